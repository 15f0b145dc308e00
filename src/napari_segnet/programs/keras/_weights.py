"""Which tensor of a file belongs to which layer.

Keras writes lists of weights, in the order of a model's layers. In files of Keras 1 and 2 (and
HDF5 of Keras 3) a model inside of a model is one layer: first the trained weights of all layers
in it, then all others. Keras 3 writes each layer by itself, in a folder that is called after its
class; newer versions write its name as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from napari_segnet.containers import TensorRef
from napari_segnet.programs.keras._drawing import Drawing, Slot
from napari_segnet.programs.keras._joins import operation_of
from napari_segnet.programs.keras._model import Layer, Model, NotReadable

__all__ = ["Found", "matched"]

Found = dict[str, tuple[str, Slot]]
"""Key in the file -> name in the graph (empty: not needed) and how it lies there."""
FOLDERS = ("layers", "_layer_checkpoint_dependencies")
"""Where Keras 3, and TensorFlow 2.12's Keras, put the layers of a model."""
RANDOM = "seed_generator"
"""In the name of a layer's random state, which is no weight."""


def matched(
    draw: Drawing, model: Model, tensors: Mapping[str, TensorRef], metadata: Mapping[str, Any]
) -> Found:
    """Return where each tensor of the graph lies in the file.

    Raises
    ------
    NotReadable
        If a layer's weights are missing, or have another number or shape.
    """
    layers: Mapping[str, Sequence[str]] = metadata["layers"]
    found: Found = {}
    folders = any(key.partition("/")[0] in FOLDERS for key in layers)
    pairs = (
        _in_folders(draw, model, (), "", layers, metadata["names"])
        if folders
        else _in_lists(draw, model, layers, tensors)
    )
    for slots, keys, name in pairs:
        keys = [key for key in keys if RANDOM not in key]
        if len(keys) < sum(bool(slot.name) for slot in slots) or len(keys) > len(slots):
            raise NotReadable(
                f"its layer {name} has {len(slots)} weights, and the file {len(keys)} for it"
            )
        for slot, key in zip(slots, keys, strict=False):
            shape = tensors[key].shape
            if shape != slot.shape and _plain(shape) != _plain(slot.shape):
                raise NotReadable(
                    f"the weight {key} has the shape {shape}, where {slot.shape} follows from its "
                    f"layer {name}"
                )
            if slot.name:
                found[key] = (slot.name, slot)
    return found


def _plain(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape without axes of one; a mean may be ``(1, 1, 1, c)`` or ``(c,)``."""
    return tuple(n for n in shape if n != 1)


def _slots(draw: Drawing, names: tuple[str, ...]) -> list[Slot]:
    return draw.slots.get(draw.path(names), [])


Pair = tuple[Sequence[Slot], Sequence[str], str]

# ---- One list a layer ------------------------------------------------------------------


def _in_lists(
    draw: Drawing, model: Model, layers: Mapping[str, Sequence[str]], tensors: Mapping[str, Any]
) -> Iterator[Pair]:
    for layer in model.layers:
        keys = list(layers.get(layer.name, ()))
        if layer.model is None:
            if draw.knows((layer.name,)):
                yield _slots(draw, (layer.name,)), keys, layer.name
            continue
        inner = list(_leaves(layer.model, (layer.name,)))
        if not any(draw.knows(names) for names, _, _ in inner):
            continue  # of another output
        named = _by_name(draw, inner, keys)
        yield from named if named is not None else _in_order(draw, inner, keys, layer.name)


def _leaves(
    model: Model, above: tuple[str, ...], trained: bool = True
) -> Iterator[tuple[tuple[str, ...], Layer, bool]]:
    """Yield all layers inside of a model, where they are, and if they are trained."""
    for layer in model.layers:
        own = trained and bool(layer.config.get("trainable", True))
        if layer.model is None:
            yield (*above, layer.name), layer, own
        else:
            yield from _leaves(layer.model, (*above, layer.name), own)


Leaves = Sequence[tuple[tuple[str, ...], Layer, bool]]


def _by_name(draw: Drawing, leaves: Leaves, keys: Sequence[str]) -> list[Pair] | None:
    """Return the weights of layers whose names stand in the keys; None if any does not."""
    found: list[Pair] = []
    for names, layer, _ in leaves:
        slots = _slots(draw, names)
        if not slots:
            continue
        # The last folder is that of the layer; what lies in front of it differs by version.
        own = [key for key in keys if key.split("/")[-2] == layer.name]
        if len(own) != len(slots):
            return None
        found.append((slots, own, layer.name))
    used = [key for _, own, _ in found for key in own]
    return found if len(set(used)) == len(used) else None


def _in_order(draw: Drawing, leaves: Leaves, keys: Sequence[str], name: str) -> Iterator[Pair]:
    """Yield all trained weights first, then all others, as Keras lists them."""
    rows = [(slot, layer.name, on) for names, layer, on in leaves for slot in _slots(draw, names)]
    rows.sort(key=lambda row: not (row[0].trained and row[2]))
    keys = [key for key in keys if RANDOM not in key]
    if len(rows) != len(keys):
        raise NotReadable(
            f"its model {name} has {len(rows)} weights, and the file {len(keys)} for it"
        )
    for (slot, layer_name, _), key in zip(rows, keys, strict=True):
        yield [slot], [key], layer_name


# ---- One folder a layer ----------------------------------------------------------------


def _in_folders(
    draw: Drawing,
    model: Model,
    above: tuple[str, ...],
    folder: str,
    layers: Mapping[str, Sequence[str]],
    names: Mapping[str, str],
) -> Iterator[Pair]:
    used: dict[str, int] = {}
    for layer in model.layers:
        if layer.name.endswith(" (input)") or operation_of(layer) is not None:
            continue  # not a layer of the file
        stem = _snake(layer.kind)
        number = used[stem] = used.get(stem, -1) + 1
        own = f"{stem}_{number}" if number else stem
        here = [f"{folder}{name}/{own}" for name in FOLDERS]
        for name in FOLDERS:
            start = f"{folder}{name}/"
            named = [
                key
                for key, said in names.items()
                if said == layer.name and key.startswith(start) and "/" not in key[len(start) :]
            ]
            here = named if len(named) == 1 else here
        if layer.model is not None:
            inside = [h for h in here if any(key.startswith(f"{h}/") for key in layers)] or here
            yield from _in_folders(
                draw, layer.model, (*above, layer.name), f"{inside[0]}/", layers, names
            )
            continue
        keys = next((layers[h] for h in here if h in layers), [])
        if draw.knows((*above, layer.name)):
            yield _slots(draw, (*above, layer.name)), keys, layer.name


def _snake(name: str) -> str:
    """Return what Keras calls the folder of a class, see ``to_snake_case`` there."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
