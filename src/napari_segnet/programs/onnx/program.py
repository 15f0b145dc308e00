"""What an ONNX file holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import OnnxModel, OnnxTensor, Tree, numbers_of
from napari_segnet.errors import BrokenWeightsError, SettingsError, UnsupportedWeightsError
from napari_segnet.programs._drawn import Drawn, checkpoint_of, ended
from napari_segnet.programs._evaluate import (
    Drawing,
    NotReadable,
    Probes,
    Value,
    moved,
    sliced,
)
from napari_segnet.programs.onnx._back import ENDINGS, check_name, write_onnx
from napari_segnet.programs.onnx._draw import Reader

if TYPE_CHECKING:
    import torch

__all__ = ["Onnx"]

OLDEST, NEWEST = 7, 26
"""Versions of ONNX' operations that are read: https://onnx.ai/onnx/repo-docs/Versioning.html"""
MOST_CHANNELS = 512
"""More channels than any image has."""


class Onnx:
    """The program; see the package's docstring."""

    name = "onnx"
    title = "Network in ONNX"
    endings = ENDINGS
    own_only = False

    def detect(self, tree: Tree) -> bool:
        """Tell by the container."""
        return tree.container == "onnx"

    def describe(self, tree: Tree, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        if overrides:
            raise SettingsError(
                f"{path.name} says itself what it is, so {', '.join(sorted(overrides))} cannot be "
                "told. Leave the setting out."
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


def _drawn(model: OnnxModel, path: Path) -> tuple[Drawn, _Shown]:
    refusal: NotReadable | None = None
    for shown in _inputs(model):
        probes = Probes(shown.lengths, shown.batch)
        draw = Drawing(sum(shown.channels), probes)
        reader = Reader(model=model, draw=draw, read=functools.partial(_numbers, path))
        try:
            values = reader.run(_shown(draw, shown))
            answers = [(one.name, values.get(one.name)) for one in model.graph.outputs]
            answers = [(name, _channels_first(draw, value)) for name, value in answers]
            return ended(draw, answers, shown.names), shown
        except NotReadable as error:
            refusal = refusal or error
    raise refusal or NotReadable("it does not say how many channels its images have")


def _numbers(path: Path, tensor: OnnxTensor) -> np.ndarray[Any, Any] | None:
    try:
        return numbers_of(tensor, path)
    except (OSError, ValueError) as error:
        raise NotReadable(f"its tensor {tensor.name[:80]} cannot be read ({error})") from error


def _channels_first(draw: Drawing, value: Any) -> Any:
    """Return an output with its channels first, where they come last as in TensorFlow."""
    if not isinstance(value, Value):
        return value
    order = draw.order(value)
    last = (0, *range(2, draw.ndim + 2), 1)
    if order is None or not draw.is_map(value.node) or len(order) != len(last):
        return value
    if any(axis not in (None, wanted) for axis, wanted in zip(order, last, strict=True)):
        return value
    return moved(value, (0, draw.ndim + 1, *range(1, draw.ndim + 1)))


# ---- The checkpoint --------------------------------------------------------------------


def _described(path: Path, tree: Tree, model: OnnxModel) -> Checkpoint:
    drawn, shown = _drawn(model, path)
    return checkpoint_of(
        path,
        tree,
        drawn,
        program=Onnx.name,
        title="ONNX",
        known=_known(model, shown),
        card=_card(model),
    )


def _card(model: OnnxModel) -> dict[str, Any]:
    """Return what the file says of itself."""
    said = {"doc": model.doc, **model.properties}
    card: dict[str, Any] = {k: v[:2000] for k, v in said.items() if v and k not in ("label",)}
    return dict(list(card.items())[:30])


def _known(model: OnnxModel, shown: _Shown) -> dict[str, Known]:
    wrote = " ".join(part for part in (model.producer, model.producer_version) if part)[:80]
    version = model.opsets.get("", 0)
    why = f"each operation stands in the file (opset {version}{f', {wrote}' if wrote else ''})"
    known = {n: Known(source="read", why=why) for n in ("family", "program", "graph")}
    names = ", ".join(name[:40] for name in shown.names)
    where = "last" if shown.last else "first"
    fact = f"the file says so of its input {names}, whose channels come {where}"
    known["channels"] = Known(source="read", why=fact)
    if any(n is not None for n in shown.lengths):
        size = " x ".join("any" if n is None else str(n) for n in shown.lengths)
        fact = f"follows from the layers; the file says {size} pixels, on which none depends"
        known["size"] = Known(source="read", why=fact)
    return known
