"""A model of Keras that a definition makes, as Keras writes it: layers in order, and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._keras_shapes import answer_shape
from napari_segnet.programs.source._keras_values import KerasLayer, KerasMap, KerasModel, Shape

__all__ = ["config_of", "layers_of", "weight_shapes"]

Node = tuple[KerasLayer, int]
WEIGHTED = ("Conv", "Dense", "Normalization", "PReLU")
"""In the classes of layers that have weights."""


def config_of(model: KerasModel) -> dict[str, Any]:
    """Return what ``model.to_json()`` of Keras 2 holds."""
    if model.row is not None:
        rows = [_row(layer) for layer in model.row]
        return {"class_name": "Sequential", "config": {"name": model.name, "layers": rows}}
    nodes, layers = _sorted(model.outputs)
    numbers = _call_numbers(nodes, layers)
    return {
        "class_name": "Functional",
        "config": {
            "name": model.name,
            "layers": [
                {**_row(layer), "name": layer.name, "inbound_nodes": _inbound(layer, numbers)}
                for layer in layers
            ],
            "input_layers": [_ref(one, numbers) for one in model.inputs],
            "output_layers": [_ref(one, numbers) for one in model.outputs],
        },
    }


def _row(layer: KerasLayer) -> dict[str, Any]:
    if layer.model is not None:
        return config_of(layer.model)
    return {"class_name": layer.kind, "config": {**layer.config, "name": layer.name}}


def _ref(one: KerasMap, numbers: Mapping[tuple[int, int], int]) -> list[Any]:
    number = numbers.get((id(one.layer), one.call))
    if number is None:
        raise NotReadable(f"its input {one.layer.name} does not lead to its outputs")
    return [one.layer.name, number, 0]


def _inbound(layer: KerasLayer, numbers: Mapping[tuple[int, int], int]) -> list[Any]:
    calls = [n for n in range(len(layer.calls)) if (id(layer), n) in numbers]
    return [[[*_ref(one, numbers), {}] for one in layer.calls[n]] for n in calls]


def _call_numbers(
    nodes: Sequence[Node], layers: Sequence[KerasLayer]
) -> dict[tuple[int, int], int]:
    """Return the number of each call among those of its layer that the model has."""
    found = {}
    for layer in layers:
        own = sorted(call for one, call in nodes if one is layer)
        found.update({(id(layer), call): number for number, call in enumerate(own)})
    return found


# ---- The order of Keras ----------------------------------------------------------------


def layers_of(model: KerasModel) -> list[KerasLayer]:
    """Return its layers in the order of ``model.layers``."""
    return list(model.row) if model.row is not None else _sorted(model.outputs)[1]


def _sorted(outputs: Sequence[KerasMap]) -> tuple[list[Node], list[KerasLayer]]:
    """Return calls and layers as ``_map_graph_network`` of Keras has them.

    Layers that are farther from the outputs come first; of those as far, that which is met first
    on the way from the outputs to the inputs.
    """
    nodes, order = _from_outputs(outputs)
    depths: dict[tuple[int, int], int] = {}
    layer_depths: dict[int, int] = {}
    for layer, call in reversed(nodes):
        own = max(depths.get((id(layer), call), 0), layer_depths.get(id(layer), 0))
        depths[id(layer), call] = layer_depths[id(layer)] = own
        for one in layer.calls[call] if layer.calls else ():
            key = id(one.layer), one.call
            depths[key] = max(own + 1, depths.get(key, 0))
    places = {id(layer): place for place, layer in enumerate(order)}
    layers = sorted(order, key=lambda one: (-layer_depths[id(one)], places[id(one)]))
    return nodes, layers


def _from_outputs(outputs: Sequence[KerasMap]) -> tuple[list[Node], list[KerasLayer]]:
    """Return calls, each behind all that it needs, and layers as they are met first."""
    nodes: list[Node] = []
    order: dict[int, KerasLayer] = {}
    done: set[tuple[int, int]] = set()
    for end in outputs:
        rows: list[tuple[KerasMap, bool]] = [(end, False)]
        while rows:
            one, inputs_done = rows.pop()
            key = id(one.layer), one.call
            if key in done:
                continue
            if inputs_done:
                done.add(key)
                nodes.append((one.layer, one.call))
                continue
            order.setdefault(id(one.layer), one.layer)
            rows.append((one, True))
            inputs = one.layer.calls[one.call] if one.layer.calls else ()
            rows += [(inner, False) for inner in reversed(inputs)]
    return nodes, list(order.values())


# ---- Weights ---------------------------------------------------------------------------


def weight_shapes(
    model: KerasModel, given: Shape | None = None
) -> Iterator[tuple[KerasLayer, list[tuple[int, ...]]]]:
    """Yield layers with weights, and the shapes of these as Keras has them.

    ``given`` is the shape that a sequential model is called on.
    """
    for layer in layers_of(model):
        if layer.model is not None:
            yield from weight_shapes(layer.model, layer.calls[0][0].shape if layer.calls else given)
            continue
        if model.row is not None:
            row = layer.config.get("batch_input_shape")
            given = tuple(row) if given is None and row is not None else given
            inputs: list[Shape] = [given] if given is not None else []
        else:
            inputs = [one.shape for one in layer.calls[0]] if layer.calls else []
        if any(word in layer.kind for word in WEIGHTED) and inputs:
            yield layer, _shapes(layer, inputs[0])
        if model.row is not None and given is not None and layer.kind != "InputLayer":
            given = answer_shape(layer.kind, layer.config, [given])


def _shapes(layer: KerasLayer, given: Shape) -> list[tuple[int, ...]]:
    config, channels = layer.config, given[-1]
    if type(channels) is not int:
        raise NotReadable(f"{layer.name} ({layer.line}) takes a map whose channels are not known")
    if "Normalization" in layer.kind:
        count = 2 if layer.kind.startswith(("Layer", "Group")) else 4
        lacks = (config.get("scale") is False) + (config.get("center") is False)
        return [(channels,)] * (count - lacks)
    if layer.kind == "PReLU":
        shared = config.get("shared_axes") or []
        space = [1 if axis in shared else n for axis, n in enumerate(given[1:], 1)]
        return [tuple(n or 1 for n in space)]
    if layer.kind == "Dense":
        kernels: list[tuple[int, ...]] = [(channels, config["units"])]
        wide = config["units"]
    else:
        kernels, wide = _kernels(layer, channels, len(given) - 2)
    return kernels if config.get("use_bias") is False else [*kernels, (wide,)]


def _kernels(layer: KerasLayer, channels: int, ndim: int) -> tuple[list[tuple[int, ...]], int]:
    config = layer.config
    size = config.get("kernel_size", 1)
    kernel = tuple(size) if isinstance(size, list) else (size,) * ndim
    if layer.kind.startswith("Depthwise"):
        multiplier = config.get("depth_multiplier", 1)
        return [(*kernel, channels, multiplier)], channels * multiplier
    filters = config.get("filters")
    if type(filters) is not int:
        raise NotReadable(f"{layer.name} ({layer.line}) has {filters!r} filters")
    if layer.kind.startswith("Separable"):
        multiplier = config.get("depth_multiplier", 1)
        wide = channels * multiplier
        ones = (1,) * len(kernel)
        return [(*kernel, channels, multiplier), (*ones, wide, filters)], filters
    if layer.kind.endswith("Transpose"):
        return [(*kernel, filters, channels)], filters
    return [(*kernel, channels // (config.get("groups") or 1), filters)], filters
