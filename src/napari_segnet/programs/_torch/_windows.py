"""Pooling and resizing as torch does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_segnet.graph import AdaptivePooling, GlobalPooling, PixelShuffle, Unpooling
from napari_segnet.programs._evaluate import NotReadable, Places, Value, pooled, resized
from napari_segnet.programs._torch._numbers import (
    Run,
    axes_of,
    ints_of,
    plain_number,
    truth,
    whole_number,
)

__all__ = ["WINDOWS"]


def _is_whole(run: Run, x: Value, kernel: Any, padding: Any, dilation: Any = 1) -> bool:
    """Tell if a window is as large as the map, whatever size that has, and sees nothing else."""
    ndim = run.draw.ndim
    if any(axes_of(run, padding, ndim)) or set(axes_of(run, dilation, ndim)) != {1}:
        return False
    row = kernel if isinstance(kernel, list | tuple) else ()
    have = [atom.lengths for atom in run.draw.bases[run.draw.as_map(x)][2:]]
    if len(row) != len(have) or not any(isinstance(one, np.ndarray) for one in row):
        return False
    pairs = zip(row, have, strict=True)
    return all(run.draw.probes.equal(ints_of(run, one), n) for one, n in pairs)


def _max_pool(
    run: Run, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil: Any = False,
) -> Value:  # fmt: skip
    ndim = run.draw.ndim
    if _is_whole(run, x, kernel, padding, dilation):
        return run.draw.mapped(GlobalPooling(kind="max"), run.draw.as_map(x))
    own = axes_of(run, kernel, ndim)
    before = axes_of(run, padding, ndim)
    return pooled(
        run.draw,
        x,
        "max",
        kernel=own,
        stride=axes_of(run, stride, ndim) if stride else own,
        before=before,
        after=before,
        dilation=axes_of(run, dilation, ndim),
        ceil=truth(run.draw, ceil),
    )


def _max_pool_with_places(
    run: Run, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil: Any = False,
) -> tuple[Value, Places | None]:  # fmt: skip
    """Return the largest values, and where they were; None where windows overlap."""
    ndim = run.draw.ndim
    own = axes_of(run, kernel, ndim)
    steps = axes_of(run, stride, ndim) if stride else own
    margins = (*axes_of(run, padding, ndim), *(n - 1 for n in axes_of(run, dilation, ndim)))
    answer = _max_pool(run, x, kernel, stride, padding, dilation, ceil)
    if any(margins) or any(k > s for k, s in zip(own, steps, strict=True)):
        return answer, None
    return answer, Places(node=run.draw.as_map(x), kernel=own, stride=steps)


def _max_unpool(run: Run, x: Value, places: Any, size: Any = None, *_: Any) -> Value:
    draw = run.draw
    if not isinstance(places, Places):
        raise NotReadable(f"{draw.at} puts values to places of no pooling whose windows are apart")
    have = [atom.lengths for atom in draw.bases[draw.as_map(x)][2:]]
    want = [atom.lengths for atom in draw.bases[places.node][2:]]
    for axis, (n, length) in enumerate(zip(have, want, strict=True)):
        given = (
            ints_of(run, size[axis - draw.ndim])
            if size is not None and len(size)
            else ((n - 1) * places.stride[axis] + places.kernel[axis])
        )
        why = f"{draw.at} puts values into a map of another size than was pooled"
        draw.probes.require(given == length, why)
    own = Unpooling(kernel=places.kernel, stride=places.stride)
    return draw.mapped(own, draw.as_map(x), places.node)


def _avg_pool(
    run: Run, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, ceil: Any = False,
    count: Any = True, divisor: Any = None,
) -> Value:  # fmt: skip
    ndim = run.draw.ndim
    if divisor is None and _is_whole(run, x, kernel, padding):
        return run.draw.mapped(GlobalPooling(kind="average"), run.draw.as_map(x))
    own = axes_of(run, kernel, ndim)
    before = axes_of(run, padding, ndim)
    if divisor is not None:
        raise NotReadable(f"{run.draw.at} divides a sum of pixels by a number of its own")
    return pooled(
        run.draw,
        x,
        "average",
        kernel=own,
        stride=axes_of(run, stride, ndim) if stride else own,
        before=before,
        after=before,
        dilation=(1,) * ndim,
        ceil=truth(run.draw, ceil),
        count_padding=truth(run.draw, count),
    )


def _adaptive(kind: Any) -> Callable[..., Any]:
    def pool(run: Run, x: Value, size: Any) -> Value:
        own = axes_of(run, size, run.draw.ndim)
        node = run.draw.as_map(x)
        if set(own) == {1}:
            return run.draw.mapped(GlobalPooling(kind=kind), node)
        return run.draw.mapped(AdaptivePooling(kind=kind, size=own), node)

    return pool


def _upsample(mode: Any, exact: bool = False) -> Callable[..., Any]:
    """Return what resizes; torch's arguments are size, [align_corners,] scale factors."""

    def upsample(run: Run, x: Value, size: Any, *rest: Any) -> Value:
        draw = run.draw
        corners = mode == "linear" and bool(rest) and truth(draw, rest[0])
        scales = [one for one in (rest[1:] if mode == "linear" else rest) if one is not None]
        have = [atom.lengths for atom in draw.bases[draw.as_map(x)][2:]]
        if size is not None:
            lengths = [ints_of(run, one) for one in size]
        else:
            row = scales[0] if scales and isinstance(scales[0], list | tuple) else scales
            if not row:
                raise NotReadable(f"{draw.at} resizes to no size")
            row = list(row) * draw.ndim if len(row) == 1 else list(row)
            lengths = []
            for n, factor in zip(have, row, strict=True):
                product = n * float(plain_number(run, factor))
                whole = np.floor(product + 1e-6).astype(np.int64)
                why = f"{draw.at} resizes to no whole number of pixels"
                draw.probes.require(np.abs(product - whole) < 1e-6, why)
                lengths.append(whole)
        grid: Any = "corners" if corners else "half-pixel"
        if mode == "nearest":
            grid = "half-pixel" if exact else "asymmetric"
        return resized(draw, x, lengths, mode, grid, upward=False)

    return upsample


def _shuffle(run: Run, x: Value, factor: Any) -> Value:
    operation = PixelShuffle(factor=(whole_number(run, factor),) * run.draw.ndim)
    return run.draw.mapped(operation, run.draw.as_map(x))


WINDOWS: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("max_pool2d", "max_pool3d"), _max_pool),
    **{f"max_pool{n}d_with_indices": _max_pool_with_places for n in "23"},
    **{f"max_unpool{n}d": _max_unpool for n in "23"},
    **dict.fromkeys(("avg_pool2d", "avg_pool3d"), _avg_pool),
    **{f"{front}adaptive_avg_pool{n}d": _adaptive("average") for front in ("", "_") for n in "23"},
    **{f"adaptive_max_pool{n}d": lambda run, *x: (_adaptive("max")(run, *x), None) for n in "23"},
    **dict.fromkeys(("upsample_nearest2d", "upsample_nearest3d"), _upsample("nearest")),
    **dict.fromkeys(("_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
                    _upsample("nearest", exact=True)),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_trilinear3d"), _upsample("linear")),
    "pixel_shuffle": _shuffle,
}  # fmt: skip
"""What looks at windows, or changes how many pixels there are."""
