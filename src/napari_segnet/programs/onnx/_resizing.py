"""``Resize`` and ``Upsample`` of ONNX.

https://onnx.ai/onnx/operators/onnx__Resize.html says where pixels are taken from;
``coordinate_transformation_mode`` has a name for each way, and ``nearest_mode`` how a place is
rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from napari_segnet.programs._evaluate import (
    Drawing,
    Ints,
    Known,
    NotReadable,
    Value,
    Weight,
    placed,
    resized,
)
from napari_segnet.programs.onnx._node import At

__all__ = ["RESIZING"]

GRIDS: Mapping[str, Literal["half-pixel", "corners", "asymmetric"]] = {
    "half_pixel": "half-pixel",
    "pytorch_half_pixel": "half-pixel",  # another only where one pixel is asked for
    "align_corners": "corners",
    "asymmetric": "asymmetric",
}
NEAREST: Mapping[tuple[str, str], Literal["half-pixel", "asymmetric"]] = {
    ("asymmetric", "floor"): "asymmetric",
    ("half_pixel", "round_prefer_ceil"): "half-pixel",
    ("pytorch_half_pixel", "round_prefer_ceil"): "half-pixel",
    ("tf_half_pixel_for_nn", "floor"): "half-pixel",
}
"""What torch has as ``nearest`` and ``nearest-exact``, for any ratio of sizes."""
MULTIPLES = ("half_pixel", "pytorch_half_pixel")
"""Of whole multiples these take pixel ``j // factor``, however halves are rounded."""


def _resize(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = inputs[0]
    if not isinstance(value, Value):
        raise NotReadable(f"{at} does not work on the image")
    if at.operation == "Upsample" or at.opset < 11:
        scales, sizes = _given(at, inputs, 1), None
        if scales is None and at.reals("scales") is not None:
            scales = np.array(at.reals("scales"))[None]
        way, rounding = "asymmetric", "floor"
    else:
        scales, sizes = _given(at, inputs, 2), _given(at, inputs, 3)
        way = at.text("coordinate_transformation_mode", "half_pixel")
        rounding = at.text("nearest_mode", "round_prefer_floor")
    mode = at.text("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise at.unknown(f"a resizing of the kind {mode!r}, which is not read")
    if at.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise at.unknown("a resizing that keeps the ratio of the sides")
    lengths = _lengths(draw, at, value, scales, sizes)
    smaller = any(
        (n < m)[draw.probes.alive].any() for n, m in zip(lengths, draw.shape(value), strict=True)
    )
    if at.number("antialias", 0) and smaller:
        raise at.unknown("a resizing that smooths before it (antialias)")
    if mode == "linear":
        if way not in GRIDS:
            raise at.unknown(f"a resizing with the coordinates {way!r}, which are not read")
        return _along(draw, at, value, lengths, "linear", GRIDS[way], exact=True)
    grid: Any = NEAREST.get((way, rounding))
    rounded = rounding.startswith("round")
    doubled = way == "asymmetric" and rounding == "round_prefer_floor"
    fine = (way in MULTIPLES and rounded) or (doubled and _doubled(draw, value, lengths))
    if grid is None and not fine:
        raise at.unknown(f"a resizing with the coordinates {way!r} and {rounding!r}")
    # Half-pixel places take other pixels than torch's nearest where no whole multiple is asked.
    if grid is None:
        return _along(draw, at, value, lengths, "nearest", "half-pixel", exact=False)
    return _along(draw, at, value, lengths, "nearest", grid, exact=True)


def _given(at: At, inputs: Sequence[Any], place: int) -> Known | None:
    """Return scales or sizes; none where they are left out or empty."""
    found = inputs[place] if place < len(inputs) else None
    if isinstance(found, Weight):
        array = at.read(found.key)
        found = None if array is None else array.reshape(found.shape)[None]
    if isinstance(found, Value):
        raise NotReadable(f"{at} takes its size from the image's values")
    return None if found is None or found.shape[1:] == (0,) else found


def _lengths(
    draw: Drawing, at: At, value: Value, scales: Known | None, sizes: Known | None
) -> list[Ints]:
    """Return the length of each axis of the answer."""
    probes, have = draw.probes, draw.shape(value)
    axes = at.wholes("axes") or list(range(len(have)))
    axes = [placed(axis, len(have)) for axis in axes]
    given = sizes if sizes is not None else scales
    if given is None or given.shape[1:] != (len(axes),):
        raise NotReadable(f"{at} does not say a size for each axis")
    table = np.broadcast_to(given, (probes.count, len(axes)))
    found = list(have)
    for place, axis in enumerate(axes):
        column = table[:, place]
        if sizes is not None:
            found[axis] = column.astype(np.int64)
            continue
        exact = have[axis] * column.astype(np.float64)
        whole = np.floor(exact + 1e-4).astype(np.int64)
        # Where a scale does not fit the size, places are computed by the scale, not the sizes.
        probes.require(
            np.abs(exact - whole) < 1e-3,
            f"{at} resizes by {column[0]} to no whole number of pixels",
        )
        found[axis] = whole
    return found


def _doubled(draw: Drawing, value: Value, lengths: Sequence[Ints]) -> bool:
    pairs = zip(draw.shape(value), lengths, strict=True)
    return all(draw.probes.equal(a, b) or draw.probes.equal(2 * a, b) for a, b in pairs)


def _along(
    draw: Drawing,
    at: At,
    value: Value,
    lengths: Sequence[Ints],
    mode: Any,
    grid: Any,
    *,
    exact: bool,
) -> Value:
    """Resize the axes of space, wherever the view has them."""
    order = draw.order(value)
    have = draw.shape(value)
    if order is None or not draw.is_map(value.node):
        value = draw.as_array(value)
        order, have = draw.order(value), draw.shape(value)
    if order is None or not draw.is_map(value.node):
        raise NotReadable(f"{at} resizes something that is no map")
    base = draw.bases[value.node]
    wanted = [atom.lengths for atom in base[2:]]
    for axis, place in enumerate(order):
        if place is not None and place >= 2:
            wanted[place - 2] = lengths[axis]
        elif not draw.probes.equal(have[axis], lengths[axis]):
            raise NotReadable(f"{at} resizes along channels")
    plain = Value(node=value.node, axes=tuple((atom,) for atom in base))
    answer = resized(draw, plain, wanted, mode, grid, upward=not exact)
    new = draw.bases[answer.node]
    axes = tuple(() if place is None else (new[place],) for place in order)
    return Value(node=answer.node, axes=axes)


RESIZING: Mapping[str, Callable[[Drawing, At, Sequence[Any]], Value]] = {
    "Resize": _resize,
    "Upsample": _resize,
}
