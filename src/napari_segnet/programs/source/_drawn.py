"""The graph of a network that was found in code: its ``forward`` read with an image."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_segnet.containers import TensorRef, Weights
from napari_segnet.errors import SettingsError
from napari_segnet.programs._evaluate import Drawing, NotReadable, Probes, Value, sliced
from napari_segnet.programs.source._before import called_whole
from napari_segnet.programs.source._budget import Budget
from napari_segnet.programs.source._ends import Ended, FixedSize, ended
from napari_segnet.programs.source._match import tensors_of
from napari_segnet.programs.source._members import class_member
from napari_segnet.programs.source._names import Files
from napari_segnet.programs.source._runner import Runner
from napari_segnet.programs.source._search import Match
from napari_segnet.programs.source._values import Class, Function, Instance

__all__ = ["Drawn", "drawn_from"]

MOST_CHANNELS = 8
"""Numbers of channels of the image that are tried."""
MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Of how many pixels the sizes are at which a network is drawn; all first."""
MOST_NUMBERS = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The graph of a network.

    Attributes
    ----------
    ended : Ended
        The graph with its outputs.
    draw : Drawing
        What it grew in.
    main : int
        Which answer of ``forward`` counts, from 0.
    keys : mapping of str to str
        Name of a tensor in the code -> in the file; empty where the file lacks it.
    notes : tuple of str
        Sentences for the user.
    """

    ended: Ended
    draw: Drawing
    main: int
    keys: Mapping[str, str]
    notes: tuple[str, ...] = ()


def drawn_from(
    weights: Weights, match: Match, files: Files, budget: Budget, overrides: Mapping[str, Any]
) -> Drawn:
    """Return the graph of a network with the channels and sizes at which it can be drawn.

    Raises
    ------
    NotReadable
        If its ``forward`` is not read; the reason of the try that comes farthest.
    """
    main = _whole(overrides.get("output", 1)) - 1
    refusal, farthest = NotReadable("the file holds no kernel along two or three axes"), -1
    for ndim, channels in _inputs(weights.tensors):
        try:
            return _tried_at_sizes(weights, match, files, budget, channels, ndim, main)
        except FixedSize as fixed:
            drawn = _tried(weights, match, files, budget, channels, fixed.lengths, main)
            shown = " x ".join(map(str, fixed.lengths))
            note = (
                f"Its forward brings its answer to {shown} pixels: it is meant for images of that "
                "size, for which this changes nothing."
            )
            return replace(drawn, notes=(*drawn.notes, note))
        except _Failed as error:
            # The try with the right channels comes farthest.
            if error.nodes > farthest:
                refusal, farthest = error.why, error.nodes
    raise refusal


def _tried_at_sizes(
    weights: Weights,
    match: Match,
    files: Files,
    budget: Budget,
    channels: int,
    ndim: int,
    main: int,
) -> Drawn:
    """Draw at all sizes, else at multiples of more and more pixels, where sizes are in the way."""
    failed: _Failed | None = None
    for multiple in MULTIPLES:
        try:
            free = (None,) * ndim
            return _tried(weights, match, files, budget, channels, free, main, multiple)
        except _Failed as error:
            if failed is None or error.nodes > failed.nodes:
                failed = error  # what is in the way where sizes are not
            if not any(word in str(error.why) for word in ("size", "pixels", "map that is there")):
                break
    assert failed is not None
    raise failed


class _Failed(Exception):
    def __init__(self, why: NotReadable, nodes: int) -> None:
        self.why, self.nodes = why, nodes


def _whole(value: Any) -> int:
    try:
        found = int(value)
    except (TypeError, ValueError):
        found = 0
    if found < 1:
        raise SettingsError(f"output must be a number from 1, not {value!r}. Correct the setting.")
    return found


def _inputs(root: Mapping[str, TensorRef]) -> list[tuple[int, int]]:
    """Return dimensions and channels that the image may have, by the kernels of convolutions."""
    seen: dict[tuple[int, int], None] = {}
    for tensor in root.values():
        if len(tensor.shape) in (4, 5) and min(tensor.shape) > 0:
            seen.setdefault((len(tensor.shape) - 2, tensor.shape[1]))
    # Layers may be registered in another order than they run; an image has few channels.
    own = [*seen][:1] + sorted([*seen][1:], key=lambda pair: pair[1])[: MOST_CHANNELS // 2 - 1]
    several = [(ndim, n * count) for ndim, n in own[:1] for count in (2, 3, 4)]
    return [*own, *(pair for pair in several if pair not in own)]


def _tried(
    weights: Weights,
    match: Match,
    files: Files,
    budget: Budget,
    channels: int,
    lengths: tuple[int | None, ...],
    main: int,
    multiple: int = 1,
    place: int = 0,
) -> Drawn:
    draw = Drawing(channels, Probes(lengths, None))
    started = draw.probes.alive.copy()
    for axis in draw.probes.lengths:
        started &= axis % multiple == 0
    draw.probes.alive = started.copy()
    run = Runner(files=files, budget=budget)
    made = match.made(run)
    own = tensors_of(made)
    for key, tensor in own.items():
        if key not in weights.tensors:
            tensor.key = ""
    run.draw, run.numbers = draw, functools.partial(_numbers, weights.tensors)
    draw.at = match.made_by.name
    counts = _counts(made, channels)
    try:
        images = _images(draw, counts[place])
        answer, notes = called_whole(run, made, images, main)
        end = ended(draw, _current(run, answer), main, started)
        if len(images) > 1:
            notes = (
                *notes,
                f"Its {len(images)} inputs are the channels of one image, in their order.",
            )
        keys = {key: tensor.key for key, tensor in own.items()}
        return Drawn(ended=end, draw=draw, main=main, keys=keys, notes=notes)
    except NotReadable as error:
        if place + 1 < len(counts):
            same = (weights, match, files, budget, channels, lengths, main, multiple)
            return _tried(*same, place=place + 1)
        raise _Failed(run.error(error), len(draw.bases)) from error
    except RecursionError as error:
        why = run.error(NotReadable("it is nested too deeply"))
        raise _Failed(why, len(draw.bases)) from error
    except ValueError as error:
        why = run.error(NotReadable(f"it cannot be built ({error})"))
        raise _Failed(why, len(draw.bases)) from error


def _counts(made: Instance, channels: int) -> list[int]:
    """Return how many images ``forward`` may take; those with defaults are one channel each."""
    forward = class_member(made.kind, "forward") if isinstance(made.kind, Class) else None
    if not isinstance(forward, Function):
        return [1]
    own = forward.node.args
    names = [*own.posonlyargs, *own.args][1:]
    count = max(len(names) - len(own.defaults), 1)
    if own.vararg is not None and not names:
        return [channels]
    return [count, channels] if count < channels <= len(names) else [count]


def _images(draw: Drawing, count: int) -> tuple[Value, ...]:
    """Return the image in so many parts."""
    channels = draw.builder.channels(draw.builder.image)
    if count == 1:
        return (draw.image,)
    if channels % count:
        raise NotReadable(
            f"its forward takes {count} inputs, and the image has {channels} channels"
        )
    each, number = channels // count, draw.probes.number
    draw.at = "inputs"
    return tuple(
        sliced(draw, draw.image, 1, number(each * i), number(each * (i + 1))) for i in range(count)
    )


def _current(run: Runner, answer: Any) -> Any:
    if isinstance(answer, list | tuple):
        return [_current(run, one) for one in answer[:64]]
    if isinstance(answer, dict):
        return {key: _current(run, one) for key, one in list(answer.items())[:64]}
    return run.current(answer)


def _numbers(root: Mapping[str, TensorRef], key: str) -> Any:
    """Return the numbers of a small tensor; they are read, so torch is needed."""
    tensor = root.get(key)
    if tensor is None or math.prod(tensor.shape) > MOST_NUMBERS:
        return None
    return tensor.load().float().numpy()
