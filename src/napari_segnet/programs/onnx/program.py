"""What an ONNX file holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.checkpoint import Checkpoint, Known, Layout, Output, PrepareStep, Store
from napari_segnet.containers import OnnxModel, OnnxTensor, Tree, numbers_of
from napari_segnet.errors import BrokenWeightsError, SettingsError, UnsupportedWeightsError
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import Graph, needed, scales, tensors
from napari_segnet.programs._evaluate import (
    Drawing,
    NotReadable,
    Probes,
    Value,
    moved,
    sliced,
)
from napari_segnet.programs._outputs import group_of, rescaled_by
from napari_segnet.programs.onnx._back import ENDINGS, check_name, write_onnx
from napari_segnet.programs.onnx._draw import Reader

if TYPE_CHECKING:
    import torch

__all__ = ["Onnx"]

FLOATING = ("float32", "float16", "bfloat16", "float64")
OLDEST, NEWEST = 7, 26
"""Versions of ONNX' operations that are read: https://onnx.ai/onnx/repo-docs/Versioning.html"""
MOST_CHANNELS = 512
"""More channels than any image has."""
PREPARE = Known(
    source="assumed",
    why="ONNX does not say how images were prepared; dividing those with values over 1 by 255 is "
    "usual, and the network holds no rescaling of its own",
)


class Onnx:
    """The program; see the package's docstring."""

    name = "onnx"
    title = "Network in ONNX"
    endings = ENDINGS

    def detect(self, tree: Tree) -> bool:
        """Tell by the container."""
        return tree.container == "onnx"

    def describe(self, tree: Tree, path: Path, told: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        if told:
            raise SettingsError(
                f"{path.name} says itself what it is, so {', '.join(sorted(told))} cannot be told. "
                "Leave the setting out."
            )
        model: OnnxModel = tree.metadata["model"]
        try:
            return _described(path, tree, model)
        except NotReadable as error:
            raise UnsupportedWeightsError(_sentence(path, model, str(error))) from error
        except ValueError as error:
            reason = f"it cannot be built: {error}"
            raise UnsupportedWeightsError(_sentence(path, model, reason)) from error
        except (TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            # A number where text was expected, or the like: no exporter wrote that.
            raise BrokenWeightsError(
                f"{path.name} is a damaged ONNX file: its nodes cannot be understood "
                f"({type(error).__name__}: {str(error)[:120]}). Download or export it again."
            ) from error

    def check_name(self, checkpoint: Checkpoint, path: Path) -> None:
        """See that it can be written; see :class:`~napari_segnet.programs.WritingProgram`."""
        check_name(checkpoint, path)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write a copy of its file with other weights, see ``write_onnx``."""
        return write_onnx(module, checkpoint, path)


def _sentence(path: Path, model: OnnxModel, reason: str) -> str:
    wrote = f", written by {model.producer[:40]}" if model.producer else ""
    return (
        f"{path.name} is an ONNX program{wrote}, but {reason}. Ask its author for an export "
        "without it, or for the same network in PyTorch (a state dict, .pth)."
    )


# ---- Inputs ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """How the images come: names and channels of the inputs, lengths, where the channels are."""

    names: tuple[str, ...]
    channels: tuple[int, ...]
    lengths: tuple[int | None, ...]
    batch: int | None
    last: bool


def _inputs(model: OnnxModel) -> Iterator[_Shown]:
    """Yield how the images may come, the likeliest first.

    Raises
    ------
    NotReadable
        If they are no images.
    """
    version = model.opsets.get("", 0)
    if not OLDEST <= version <= NEWEST:
        raise NotReadable(
            f"its operations are of version {version} (opset), where {OLDEST} to {NEWEST} are read"
        )
    own = [one for one in model.graph.inputs if one.name not in model.graph.tensors]
    if not own:
        raise NotReadable("it takes no input")
    shapes = []
    for one in own:
        if one.shape is None:
            raise NotReadable(f"it does not say how many axes its input {one.name[:80]} has")
        if len(one.shape) not in (4, 5):
            kind = {2: "rows of numbers", 3: "signals along one axis (1D)"}.get(len(one.shape))
            raise NotReadable(f"its input {one.name[:80]} takes {kind or 'no images'}, not images")
        shapes.append([n if isinstance(n, int) else None for n in one.shape])
    first = shapes[0]
    if any(len(shape) != len(first) for shape in shapes):
        raise NotReadable(f"its {len(own)} inputs have several numbers of axes")
    names = tuple(one.name for one in own)
    for last in _orders(model, names[0], first):
        counts = [shape[-1] if last else shape[1] for shape in shapes]
        if counts == [None]:
            counts = [_first_channels(model)]
        if None in counts or not all(0 < (n or 0) <= MOST_CHANNELS for n in counts):
            continue
        space = [tuple(shape[1:-1] if last else shape[2:]) for shape in shapes]
        if len(set(space)) > 1:
            raise NotReadable(f"its {len(own)} inputs have several sizes")
        channels = tuple(int(n or 0) for n in counts)
        yield _Shown(names=names, channels=channels, lengths=space[0], batch=first[0], last=last)


def _orders(model: OnnxModel, name: str, shape: Sequence[int | None]) -> tuple[bool, ...]:
    """Return whether the channels come last, the likelier answer first."""
    for node in model.graph.nodes:
        if name not in node.inputs:
            continue
        if node.operation == "Conv":
            return (False,)
        order = node.attributes.get("perm")
        if node.operation == "Transpose" and isinstance(order, tuple):
            to_front = order == (0, len(shape) - 1, *range(1, len(shape) - 1))
            return (True, False) if to_front else (False, True)
        break
    front, back = shape[1], shape[-1]
    if front is None and back is not None:
        return (True, False)
    smaller = front is not None and back is not None and back < front
    return (True, False) if smaller else (False, True)


def _first_channels(model: OnnxModel) -> int | None:
    """Return the channels that the first convolution takes."""
    for node in model.graph.nodes:
        if node.operation == "Conv" and len(node.inputs) > 1:
            tensor = model.graph.tensors.get(node.inputs[1])
            groups = node.attributes.get("group", 1)
            if tensor is not None and len(tensor.shape) > 1 and isinstance(groups, int):
                return tensor.shape[1] * groups
            return None
    return None


def _shown(draw: Drawing, shown: _Shown) -> dict[str, Value]:
    """Return every input as a part of the one image."""
    found, first = dict[str, Value](), 0
    for name, count in zip(shown.names, shown.channels, strict=True):
        value = draw.image
        if len(shown.names) > 1:
            draw.at = name
            number = draw.probes.number
            value = sliced(draw, value, 1, number(first), number(first + count))
        first += count
        rank = draw.ndim + 2
        found[name] = moved(value, (0, *range(2, rank), 1)) if shown.last else value
    return found


# ---- The graph -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A network that was read."""

    graph: Graph
    draw: Drawing
    shown: _Shown
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]


def _drawn(model: OnnxModel, path: Path) -> _Drawn:
    refusal: NotReadable | None = None
    for shown in _inputs(model):
        probes = Probes(shown.lengths, shown.batch)
        draw = Drawing(sum(shown.channels), probes)
        reader = Reader(model=model, draw=draw, read=functools.partial(_numbers, path))
        try:
            values = reader.run(_shown(draw, shown))
            return _ended(model, draw, shown, values)
        except NotReadable as error:
            refusal = refusal or error
    raise refusal or NotReadable("it does not say how many channels its images have")


def _numbers(path: Path, tensor: OnnxTensor) -> np.ndarray[Any, Any] | None:
    try:
        return numbers_of(tensor, path)
    except (OSError, ValueError) as error:
        raise NotReadable(f"its tensor {tensor.name[:80]} cannot be read ({error})") from error


def _ended(model: OnnxModel, draw: Drawing, shown: _Shown, values: Mapping[str, Any]) -> _Drawn:
    """Return the graph of those outputs that are maps as large as the image."""
    ends: list[tuple[str, str]] = []
    left: list[str] = []
    for one in model.graph.outputs:
        value = values.get(one.name)
        if not isinstance(value, Value):
            left.append(one.name)
            continue
        draw.at = f"output {one.name}"
        try:
            ends.append((one.name, draw.as_map(_channels_first(draw, value))))
        except NotReadable:
            if len(model.graph.outputs) == 1:
                raise
            left.append(one.name)
    whole = draw.graph([node for _, node in ends]) if ends else None
    if whole is None:
        raise NotReadable("it answers with no map")
    sizes = [scales(whole, axis) for axis in range(draw.ndim)]
    kept = [(name, node) for name, node in ends if all(scale[node] == 1 for scale in sizes)]
    left += [name for name, node in ends if (name, node) not in kept]
    if not kept:
        raise NotReadable("its answer has another scale than the image")
    if len({node for _, node in kept}) < len(kept):
        kept = list({node: (name, node) for name, node in kept}.values())
    graph = needed(whole, tuple(node for _, node in kept))
    notes = []
    if left:
        shown_left = ", ".join(name[:40] for name in left[:3])
        notes.append(f"Outputs that are no maps of the image's size are left out: {shown_left}.")
    if len(shown.names) > 1:
        order = ", ".join(name[:40] for name in shown.names)
        notes.append(f"Its {len(shown.names)} inputs are the channels of one image: {order}.")
    outputs: tuple[Output, ...] = ()
    if len(kept) > 1:
        counts = [draw.builder.channels(node) for _, node in kept]
        outputs = tuple(
            group_of(graph, node, count, name, first=place == 0)
            for place, ((name, node), count) in enumerate(zip(kept, counts, strict=True))
        )
    return _Drawn(graph=graph, draw=draw, shown=shown, outputs=outputs, notes=tuple(notes))


def _channels_first(draw: Drawing, value: Value) -> Value:
    """Return an output with its channels first, where they come last as in TensorFlow."""
    order = draw.order(value)
    last = (0, *range(2, draw.ndim + 2), 1)
    if order is None or not draw.is_map(value.node) or len(order) != len(last):
        return value
    if any(axis not in (None, wanted) for axis, wanted in zip(order, last, strict=True)):
        return value
    return moved(value, (0, draw.ndim + 1, *range(1, draw.ndim + 1)))


# ---- The checkpoint --------------------------------------------------------------------


def _described(path: Path, tree: Tree, model: OnnxModel) -> Checkpoint:
    drawn = _drawn(model, path)
    keys, layouts = _keys(tree, drawn)
    kinds = Counter(tree.root[layouts[k].key if k in layouts and layouts[k].key else k].dtype
                    for k in keys)  # fmt: skip
    if wrong := [kind for kind in kinds if kind not in FLOATING]:
        raise NotReadable(f"its weights hold numbers of the kind {wrong[0]}")
    store = Store(
        container=tree.container,
        dtype=kinds.most_common(1)[0][0] if kinds else "float32",
        keys=keys,
        layouts=layouts,
    )
    inside = rescaled_by(drawn.graph)
    prepare = () if inside else (
        PrepareStep(name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"}),
    )  # fmt: skip
    checkpoint = describe_graph(
        path=path,
        graph=drawn.graph,
        store=store,
        outputs=drawn.outputs,
        prepare=prepare,
        card=_card(model),
    )
    return replace(
        checkpoint,
        program=Onnx.name,
        notes=drawn.notes,
        known={**checkpoint.known, **_known(checkpoint, model, drawn, inside)},
    )


def _keys(tree: Tree, drawn: _Drawn) -> tuple[dict[str, str], dict[str, Layout]]:
    """Return which tensor of the file each of the graph is, and how it lies there."""
    keys, layouts = dict[str, str](), dict[str, Layout]()
    for name, tensor in tensors(drawn.graph).items():
        slot = drawn.draw.slots[name]
        if slot.key not in tree.root:
            raise NotReadable(f"the weights of {slot.key[:80]} are not in the file")
        key, number = slot.key, 1
        while key in keys or (key != slot.key and key in tree.root):
            number += 1
            key = f"{slot.key} ({number})"
        keys[key] = name
        shape = tree.root[slot.key].shape
        plain = slot.order == tuple(range(len(shape))) and shape == tensor.shape
        if not plain or key != slot.key:
            shared = slot.key if key != slot.key else ""
            layouts[key] = Layout(order=slot.order, key=shared)
    return keys, layouts


def _card(model: OnnxModel) -> dict[str, Any]:
    """Return what the file says of itself."""
    said = {"doc": model.doc, **model.properties}
    card: dict[str, Any] = {k: v[:2000] for k, v in said.items() if v and k not in ("label",)}
    return dict(list(card.items())[:30])


def _known(
    checkpoint: Checkpoint, model: OnnxModel, drawn: _Drawn, inside: str
) -> dict[str, Known]:
    wrote = " ".join(part for part in (model.producer, model.producer_version) if part)[:80]
    version = model.opsets.get("", 0)
    why = f"each operation stands in the file (opset {version}{f', {wrote}' if wrote else ''})"
    known = {n: Known(source="read", why=why) for n in ("family", "program", "graph")}
    known["prepare"] = PREPARE
    if inside:
        known["prepare"] = Known(source="read", why=f"the network does it itself ({inside})")
    names = ", ".join(name[:40] for name in drawn.shown.names)
    where = "last" if drawn.shown.last else "first"
    fact = f"the file says so of its input {names}, whose channels come {where}"
    known["channels"] = Known(source="read", why=fact)
    fixed = [n for n in drawn.shown.lengths if n is not None]
    if fixed:
        shown = " x ".join("any" if n is None else str(n) for n in drawn.shown.lengths)
        fact = f"follows from the layers; the file says {shown} pixels, on which none depends"
        known["size"] = Known(source="read", why=fact)
    if drawn.outputs:
        fact = "the file has several outputs; what their channels mean is taken from their names"
        known["outputs"] = Known(source="assumed", why=fact)
    return known
