"""Functions of torch that cut a map, ask for its size, or change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.graph import AdaptivePooling, GlobalPooling
from napari_segnet.programs._evaluate import NotReadable, Stack, Value, Weight, padded
from napari_segnet.programs._torch import OPERATIONS
from napari_segnet.programs.source._operators import is_number, shown
from napari_segnet.programs.source._values import External, Filled, Unknown, Zeros

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = [
    "adaptive_pool",
    "center_cropped",
    "cropped",
    "interpolated",
    "item_of",
    "resized",
    "size_of",
    "with_zeros",
]


# ---- Sizes and cuts --------------------------------------------------------------------


def size_of(run: Runner, x: Any, dim: Any = None) -> Any:
    """Return the lengths of a tensor, or one of them."""
    if isinstance(x, Weight | Filled):
        return x.shape if dim is None else x.shape[int(dim)]
    if not isinstance(x, Value):
        raise NotReadable(f"it asks for the size of {shown(x)}")
    probes = run.drawing().probes
    row: list[Any] = list(run.drawing().shape(x))
    for axis, lengths in enumerate(row):
        # Numbers of channels decide loops; sizes of the image stay what they are.
        if axis == 1 and (lengths == lengths[0]).all() and probes.single(lengths) is not None:
            row[axis] = int(lengths[0])
    return tuple(row) if dim is None else row[int(dim)]


def item_of(run: Runner, x: Any, place: Any) -> Any:
    """Return a part of a tensor, as an index of Python takes it."""
    if isinstance(x, Stack):
        raise NotReadable("it takes an item of maps that are stacked")
    places = list(place) if isinstance(place, tuple) else [place]
    if isinstance(x, Weight | Filled):
        return _part(x, places)
    real = sum(1 for one in places if one is not None and one is not Ellipsis)
    if Ellipsis in [one for one in places if one is Ellipsis]:
        where = next(i for i, one in enumerate(places) if one is Ellipsis)
        missing = len(x.axes) - real
        places[where : where + 1] = [slice(None)] * missing
    if None not in places and len(places) <= len(x.axes):
        x, places = _window(run, x, places)
    axis = 0
    for one in places:
        if one is None:
            x = OPERATIONS["unsqueeze"](run, x, axis)
        elif isinstance(one, slice):
            if one.step not in (None, 1):
                raise NotReadable(f"it takes every {shown(one.step)}th pixel")
            if one.start is not None or one.stop is not None:
                first = 0 if one.start is None else one.start
                x = OPERATIONS["slice"](run, x, axis, first, one.stop, 1)
        elif is_number(one):
            x = OPERATIONS["select"](run, x, axis, one)
            continue
        elif isinstance(one, list) and all(isinstance(n, int) for n in one):
            parts = [OPERATIONS["slice"](run, x, axis, n, n + 1) for n in one]
            x = OPERATIONS["cat"](run, parts, axis)
        else:
            raise NotReadable(f"it takes {shown(one)} of a map")
        axis += 1
    return x


def _window(run: Runner, x: Value, places: list[Any]) -> tuple[Value, list[Any]]:
    """Cut all axes of the image at once: a window may be that of another map."""
    draw = run.drawing()
    have = draw.shape(x)
    zeros = [draw.probes.number(0) for _ in have]
    before, after = list(zeros), list(zeros)
    rest = list(places)
    for axis, one in enumerate(places):
        if axis < 2 or not isinstance(one, slice) or one.step not in (None, 1):
            continue
        ends = []
        for given, default in ((one.start, zeros[axis]), (one.stop, have[axis])):
            if given is not None and not is_number(given):
                raise NotReadable(f"it cuts a map at {shown(given)}")
            number = default if given is None else np.broadcast_to(given, default.shape)
            number = number.astype(np.int64)
            ends.append(np.clip(np.where(number < 0, number + have[axis], number), 0, have[axis]))
        draw.probes.require(ends[1] > ends[0], "it leaves nothing of a map")
        before[axis], after[axis] = -ends[0], ends[1] - have[axis]
        rest[axis] = slice(None)
    return padded(draw, x, before, after, "zeros"), rest


def _part(x: Any, places: Sequence[Any]) -> Any:
    if isinstance(x, Filled):
        return Unknown("a part of a tensor")
    ones = [1 if one is None else 0 for one in places]
    if all(one is None or one == slice(None) or one is Ellipsis for one in places):
        shape: list[int] = []
        rest = list(x.shape)
        for one in places:
            if one is None:
                shape.append(1)
            elif one is Ellipsis:
                keep = sum(1 for later in places[len(ones) :] if later == slice(None))
                shape += rest[: len(rest) - keep]
                rest = rest[len(rest) - keep :]
            else:
                shape.append(rest.pop(0))
        return x.reshaped([*shape, *rest])
    raise NotReadable("it takes a part of a weight")


def center_cropped(run: Runner, x: Any, output_size: Any) -> Any:
    """Return the middle of a map."""
    size = list(output_size) if isinstance(output_size, list | tuple) else [output_size] * 2
    draw = run.drawing()
    places: list[Any] = [slice(None), slice(None)]
    for length, want in zip(draw.shape(x)[-2:], size, strict=True):
        number = want if isinstance(want, np.ndarray) else draw.probes.number(int(want))
        draw.probes.require(number <= length, "it crops to more pixels than there are")
        first = np.round((length - number) / 2.0).astype(np.int64)
        places.append(slice(first, first + number))
    return item_of(run, x, tuple(places))


def cropped(run: Runner, x: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    """Return a window of a map."""
    cut = (slice(top, top + height), slice(left, left + width))
    return item_of(run, x, (slice(None), slice(None), *cut))


# ---- Resizing --------------------------------------------------------------------------


def interpolated(
    run: Runner,
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: Any = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: Any = False,
) -> Any:
    """Return a map with another size, as ``torch.nn.functional.interpolate``."""
    ndim = run.drawing().ndim
    if size is not None:
        size = list(size) if isinstance(size, list | tuple) else [size] * ndim
    scales = scale_factor
    if scales is not None:
        scales = list(scales) if isinstance(scales, list | tuple) else [scales] * ndim
    if (size is None) == (scales is None) or len(size or scales) != ndim:
        raise NotReadable("it resizes to a size and by a factor, or to none of both")
    if run.truth(antialias):
        _require_larger(run, x, size)
    if mode in ("bilinear", "trilinear"):
        corners = align_corners is not None and run.truth(align_corners)
        return OPERATIONS["upsample_bilinear2d"](run, x, size, corners, scales)
    if mode == "nearest":
        return OPERATIONS["upsample_nearest2d"](run, x, size, scales)
    if mode == "nearest-exact":
        return OPERATIONS["_upsample_nearest_exact2d"](run, x, size, scales)
    raise NotReadable(f"it resizes {shown(mode)}")


def _require_larger(run: Runner, x: Any, size: Any) -> None:
    """Refuse an antialiased resizing to fewer pixels; to more it is the plain one."""
    draw = run.drawing()
    have = draw.shape(x)[2:]
    for length, want in zip(have, size or have, strict=True):
        if (np.asarray(want) < length)[draw.probes.alive].any():
            raise NotReadable("it makes a map smaller with antialiasing")


def resized(
    run: Runner,
    x: Any,
    size: Any,
    interpolation: Any = None,
    max_size: Any = None,
    antialias: Any = True,
) -> Any:
    """Return a map with another size, as ``torchvision.transforms.functional.resize``."""
    word = interpolation.short if isinstance(interpolation, External) else interpolation
    words: dict[Any, str] = {None: "bilinear", 2: "bilinear", 0: "nearest"}
    mode = words.get(word, str(word).lower())
    if mode not in ("bilinear", "nearest") or max_size is not None:
        raise NotReadable(f"it resizes {shown(interpolation)}")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise NotReadable("it resizes the shorter side only")
    if mode == "bilinear" and (antialias is None or run.truth(antialias)):
        _require_larger(run, x, size)
    return interpolated(run, x, size=size, mode=mode)


def adaptive_pool(kind: Any) -> Callable[..., Any]:
    """Return what pools a map to a size, by ``average`` or ``max``."""

    def pool(run: Runner, x: Any, output_size: Any, *_: Any) -> Any:
        draw = run.drawing()
        row = (
            list(output_size)
            if isinstance(output_size, list | tuple)
            else [output_size] * draw.ndim
        )
        sizes = tuple(int(one) if one is not None else 0 for one in row)
        node = draw.as_map(x)
        if set(sizes) == {1}:
            return draw.mapped(GlobalPooling(kind=kind), node)
        return draw.mapped(AdaptivePooling(kind=kind, size=sizes), node)

    return pool


def with_zeros(run: Runner, row: Sequence[Any], dim: Any, join: Callable[..., Any]) -> Any:
    """Return maps joined with channels of zeros at their ends: a ResNet's plainest shortcut."""
    maps = [place for place, one in enumerate(row) if not isinstance(one, Zeros)]
    if not maps or dim != 1 or maps != list(range(maps[0], maps[-1] + 1)):
        raise NotReadable("it joins maps and zeros in a way that is not read")
    whole = join(run, [row[place] for place in maps], dim)
    probes = run.drawing().probes
    have = run.drawing().shape(whole)
    ends = []
    for part in (row[: maps[0]], row[maps[-1] + 1 :]):
        for one in part:
            if len(one.lengths) != len(have):
                raise NotReadable("it joins a map and zeros of other axes")
            for axis, (length, own) in enumerate(zip(one.lengths, have, strict=True)):
                if axis not in (0, 1):
                    probes.require(own == length, "it joins a map and zeros of other sizes")
        count = sum((probes.number(0) + one.lengths[1] for one in part), start=probes.number(0))
        ends.append([count if axis == 1 else probes.number(0) for axis in range(len(have))])
    return padded(run.drawing(), whole, ends[0], ends[1], "zeros")
