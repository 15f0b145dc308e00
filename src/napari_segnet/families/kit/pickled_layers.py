"""What the layers of a whole pickled module say of a U-Net, and that it has no others.

The pickle names the class and the numbers of every layer that is an object. What its forward
does with functions (the order of a join, ``torch.relu(x)``) is code, which no file holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from napari_segnet.containers import Layer, Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families.kit.facts import refusal
from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Convolution,
    Graph,
    Identity,
    Node,
    Resize,
    TransposedConvolution,
)

__all__ = ["layers_say", "require_layers"]

_DROPOUTS = frozenset({"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"})
_IDLE = frozenset({*_DROPOUTS, "FeatureAlphaDropout", "Identity"})
_IDLE_CLASSES = re.compile(
    r"torch\.nn\.modules\.(?:loss|container)\.\w+|torchmetrics\..+|(?:\w+\.)*\w*(?:Loss|DropPath)"
)
"""Layers that change nothing once the training is over, and empty lists."""
_CONVS = re.compile(r"Conv(Transpose)?[23]d")
_NORMS = frozenset({"BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"})
_FUNCTIONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ReLU": lambda _: "relu",
    "LeakyReLU": lambda v: f"leaky_relu:{v.get('negative_slope', 0.01):g}",
    "ELU": lambda v: f"elu:{v.get('alpha', 1.0):g}",
    "GELU": lambda v: "gelu" if v.get("approximate", "none") == "none" else "",
    "SiLU": lambda _: "silu",
    "Identity": lambda _: "none",
}
_ENDS = {"Sigmoid": "sigmoid", "Softmax": "softmax", "Softmax2d": "softmax", "Tanh": "tanh"}


class _Layers:
    """The layers of one file beside the network that its tensors are taken for."""

    def __init__(
        self, weights: Weights, graph: Graph, title: str, in_file: Callable[[str], str]
    ) -> None:
        self.weights, self.title, self.graph = weights, title, graph
        self.nodes = {in_file(f"{node.name}.")[:-1]: node for node in graph.nodes}
        self.leaves = {
            place: layer
            for place, layer in weights.layers.items()
            if not layer.inner and not _idle(layer)
        }

    def odd(self, place: str, layer: Layer, why: str = "") -> UnknownNetworkError:
        """Return the refusal of one layer, by its place and class."""
        what = f"its layer {place or 'at the top'} is a {layer.torch or layer.kind}"
        return refusal(self.weights, self.title, what + (why or ", which has no place in it"))

    def hidden(self) -> dict[str, Layer]:
        """Return the layers at the places of functions between convolutions."""
        return {
            place: self.weights.layers[place]
            for place, node in self.nodes.items()
            if place in self.weights.layers
            and isinstance(node.operation, Activation | Identity)
            and not _is_end(self.weights.layers[place])
        }

    def pick(self, wanted: Callable[[Layer], bool]) -> dict[str, Layer]:
        """Return the layers of a kind, wherever they stand."""
        return {place: layer for place, layer in self.leaves.items() if wanted(layer)}

    def common(self, words: Mapping[str, Any], what: str) -> Any:
        """Return the one value of all layers, None of none; two are a refusal."""
        found = list(dict.fromkeys(words.values()))
        if len(found) < 2:
            return found[0] if found else None
        first, second = (next(p for p, v in words.items() if v == value) for value in found[:2])
        reason = f"{what} is {found[0]} at {first} and {found[1]} at {second}"
        raise refusal(self.weights, self.title, f"{reason}, where one is expected everywhere")


def layers_say(
    weights: Weights,
    graph: Graph,
    title: str,
    in_file: Callable[[str], str] = str,
    can: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the hyper-parameters that the layers of a whole pickled module decide.

    Parameters
    ----------
    weights : Weights
        The file; of a state dict nothing is said.
    graph : Graph
        The network with the kinds of layers that are usual.
    title : str
        The family's name for people.
    in_file : callable
        Key of the module -> its name in this file.
    can : iterable of str
        Hyper-parameters that the family has.

    Raises
    ------
    UnknownNetworkError
        Naming a layer that the family cannot have, or two that differ.
    """
    if not weights.layers:
        return {}
    layers = _Layers(weights, graph, title, in_file)
    convs = layers.pick(lambda layer: bool(_CONVS.fullmatch(layer.torch)) and _windowed(layer))
    padded = {p: c for p, c in convs.items() if any(_numbers(c.values.get("padding")))}
    found = {
        "nonlinearity": _nonlinearity(layers),
        "pooling": layers.common(_poolings(layers), "the pooling"),
        "upsampling": layers.common(_upsamplings(layers), "the up-sampling"),
        "norm_eps": layers.common(_epsilons(layers), "the epsilon of the normalisation"),
        "padding_mode": layers.common(
            {p: c.values.get("padding_mode", "zeros") for p, c in padded.items()},
            "the padding mode",
        ),
        "dilation": layers.common(
            {p: max(_numbers(c.values.get("dilation"))) for p, c in convs.items()}, "the dilation"
        ),
        "padding": bool(padded) if convs else None,
        "activation": layers.common(_ends(layers), "the activation at the end"),
    }
    return {name: found[name] for name in can if found.get(name) is not None}


def require_layers(
    weights: Weights, graph: Graph, title: str, in_file: Callable[[str], str] = str
) -> None:
    """Refuse a whole pickled module that has a layer or a number that the graph has not.

    Raises
    ------
    UnknownNetworkError
        Naming the layer.
    """
    if not weights.layers:
        return
    layers = _Layers(weights, graph, title, in_file)
    _nonlinearity(layers)
    known = {*layers.hidden(), *_poolings(layers), *_upsamplings(layers), *_ends(layers)}
    for place, layer in layers.leaves.items():
        node = layers.nodes.get(place)
        if place in known:
            continue
        if node is None or (not _CONVS.fullmatch(layer.torch) and layer.torch not in _NORMS):
            raise layers.odd(place, layer)
        if wrong := _differs(layer, node, graph.ndim):
            raise layers.odd(place, layer, f" with {wrong}, which this network has not")
    if _upsamplings(layers) and not any(isinstance(n.operation, Resize) for n in graph.nodes):
        place, layer = next((p, layers.leaves[p]) for p in _upsamplings(layers))
        raise layers.odd(place, layer)


# ---- Kinds of layers -------------------------------------------------------------------


def _idle(layer: Layer) -> bool:
    return layer.torch in _IDLE or bool(_IDLE_CLASSES.fullmatch(layer.kind))


def _is_end(layer: Layer) -> bool:
    return layer.torch in _ENDS or layer.torch in _DROPOUTS


def _numbers(value: Any) -> tuple[int, ...]:
    """Return the numbers of an attribute; a word such as ``same`` is refused elsewhere."""
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, int)) or (0,)


def _windowed(layer: Layer) -> bool:
    """Tell a convolution that looks at neighbours and is not transposed."""
    back = layer.torch.startswith("ConvTranspose")
    return not back and max(_numbers(layer.values.get("kernel_size"))) > 1


def _nonlinearity(layers: _Layers) -> str | None:
    words = {}
    for place, layer in layers.hidden().items():
        function = _FUNCTIONS.get(layer.torch)
        word = function(layer.values) if function is not None else ""
        if not word:
            raise layers.odd(place, layer, ", where a function such as ReLU is known")
        words[place] = word
    found: str | None = layers.common(words, "the function after the convolutions")
    return found


def _poolings(layers: _Layers) -> dict[str, str]:
    found = {}
    for place, layer in layers.pick(lambda one: "Pool" in one.torch).items():
        edge, step, rim, gap = (
            set(_numbers(layer.values.get(name)))
            for name in ("kernel_size", "stride", "padding", "dilation")
        )
        kind, plain = layer.torch[:3], not layer.values.get("ceil_mode")
        plain = plain and not layer.values.get("divisor_override") and step == {2}
        window = (edge, rim)
        if kind == "Max" and plain and gap == {1} and window == ({2}, {0}):
            found[place] = "max"
        elif kind == "Max" and plain and gap == {1} and window == ({3}, {1}):
            found[place] = "max-3x3"
        elif kind == "Avg" and plain and window == ({2}, {0}):
            found[place] = "average"
        else:
            raise layers.odd(place, layer, f" ({_spelled(layer)}), which this network has not")
    return found


def _upsamplings(layers: _Layers) -> dict[str, str]:
    found = {}
    for place, layer in layers.pick(lambda one: one.torch.startswith("Upsampl")).items():
        factor, mode = layer.values.get("scale_factor"), layer.values.get("mode")
        factors = set(factor) if isinstance(factor, list) else {factor}
        if factors != {2} or mode not in ("nearest", "bilinear", "trilinear"):
            raise layers.odd(place, layer, f" ({_spelled(layer)}), which this network has not")
        aligned = bool(layer.values.get("align_corners"))
        found[place] = "nearest" if mode == "nearest" else "linear-aligned" if aligned else "linear"
    return found


def _epsilons(layers: _Layers) -> dict[str, float]:
    found = {}
    for place, layer in layers.pick(lambda one: one.torch in _NORMS).items():
        if not layer.values.get("track_running_stats", True):
            raise layers.odd(place, layer, " without running statistics")
        found[place] = float(layer.values.get("eps", 1e-5))
    return found


def _ends(layers: _Layers) -> dict[str, str]:
    """Return sigmoid, softmax or tanh that stands beside the blocks: the network's end."""
    found = {}
    for place, layer in layers.pick(_is_end).items():
        inside = place.rpartition(".")[0]
        if inside not in ("", "outc", "last") or layer.values.get("dim", 1) not in (1, -3, None):
            raise layers.odd(place, layer)
        found[place] = _ENDS[layer.torch]
    return found


def _differs(layer: Layer, node: Node, ndim: int) -> str:
    """Say in which number a layer with tensors differs from ours; empty if in none."""
    own, values = node.operation, layer.values
    if isinstance(own, BatchNorm):
        return "" if layer.torch in _NORMS else "other numbers"
    if not isinstance(own, Convolution | TransposedConvolution):
        return "tensors"
    if isinstance(own, TransposedConvolution) is not layer.torch.startswith("ConvTranspose"):
        return "its direction"
    ours: dict[str, Any] = {
        "stride": own.stride,
        "padding": own.before,
        "dilation": own.dilation,
        "groups": own.groups,
    }
    if isinstance(own, TransposedConvolution):
        ours["output_padding"] = own.extra
    elif any(own.before):
        ours["padding_mode"] = own.fill
    for name, value in ours.items():
        there = values.get(name, value)
        wanted = list(value) if isinstance(value, tuple) else value
        if isinstance(wanted, list) and isinstance(there, int):
            there = [there] * ndim
        if there == "same" and name == "padding" and isinstance(own, Convolution):
            there = wanted if own.before == own.after and all(n % 2 for n in own.kernel) else there
        if (list(there) if isinstance(there, tuple) else there) != wanted:
            return f"{name} {there}"
    return ""


def _spelled(layer: Layer) -> str:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "scale_factor", "size", "mode")
    return ", ".join(f"{n} {layer.values[n]}" for n in names if layer.values.get(n) is not None)
