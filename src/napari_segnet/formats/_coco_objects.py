"""The annotations of an image become labels; what cannot be used is named, and not learned from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import numbers_of
from napari_segnet.errors import DatasetError
from napari_segnet.formats._coco_listing import Listing, key_of, number_of
from napari_segnet.formats._paint import HIDDEN, Shape, cropped, paint, polygon_shape
from napari_segnet.formats._pair import Remark
from napari_segnet.rle import decode, from_text

__all__ = ["NOT_REVIEWED", "Objects", "objects_of"]

NOT_REVIEWED = "not_reviewed"
"""Our own key of a crowd that marks what nobody has looked at."""
NEEDED = "Run lengths or polygons are needed, and a category that the JSON lists."
OWN_LISTING = re.compile(r"instances_(train|val)\.json")
OWN_ROW = {"id", "file_name", "height", "width"}
OWN_CROWD = {"id", "image_id", "category_id", "iscrowd", "area", "bbox", "segmentation"}
"""Keys of what we wrote before :data:`NOT_REVIEWED`."""
LEAST_GROUP = 2
"""So many other objects inside, or more pieces than that: a crowd is a group."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objects:
    """What the annotations of an image say.

    Attributes
    ----------
    labels : ndarray
        int32 ``(y, x)``.
    trusted : ndarray
        bool ``(y, x)``: where they may be learned from.
    classes : mapping of int to int
        Class of each label.
    left_out, remarks : tuple of Remark
        What could not be used, and what was decided.
    """

    labels: npt.NDArray[np.int32]
    trusted: npt.NDArray[np.bool_]
    classes: Mapping[int, int]
    left_out: tuple[Remark, ...]
    remarks: tuple[Remark, ...]


class _UnusableError(Exception):
    """An annotation that is no object."""


def objects_of(listing: Listing, row: Mapping[str, Any], size: tuple[int, int]) -> Objects:
    """Read the annotations of an image of ``(y, x)`` pixels.

    Raises
    ------
    DatasetError
        If there are some, and none can be used.
    """
    rows = listing.annotations.get(row["id"], [])
    trusted = np.ones(size, bool)
    shapes: list[Shape] = []
    crowds: list[tuple[Mapping[str, Any], Shape]] = []
    left_out: list[Remark] = []
    for annotation in rows:
        name = f"{annotation.get('id')} in {listing.path.name}"
        try:
            y, x, mask = _mask(annotation, size)
        except _UnusableError as error:
            # An object is there: that it is none would be learned.
            trusted[_box(annotation, size)] = False
            left_out.append(
                Remark(kind="annotation", what=name, why=f"has no usable segmentation ({error})")
            )
            continue
        kind = _kind(listing, annotation)
        shape = Shape(y=y, x=x, mask=mask, kind=kind or 1, name=name)
        if number_of(annotation.get("iscrowd")):
            crowds.append((annotation, shape))
        elif kind is None:
            trusted[shape.box] &= ~mask
            given = annotation.get("category_id")
            why = f"has the category_id {given!r}, which is that of no category"
            left_out.append(Remark(kind="annotation", what=name, why=why))
        else:
            shapes.append(shape)
    if len(left_out) == len(rows) > 0:
        raise DatasetError(f"The annotation {left_out[0].what} {left_out[0].why}. {NEEDED}")
    shapes, remarks = _with_crowds(listing, row, rows, shapes, crowds, trusted)
    labels, classes, hidden = paint(shapes, size)
    left_out += [Remark(kind="annotation", what=name, why=HIDDEN) for name in hidden]
    return Objects(
        labels=labels,
        trusted=trusted,
        classes=classes,
        left_out=tuple(left_out),
        remarks=tuple(remarks),
    )


def _with_crowds(
    listing: Listing,
    row: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    shapes: list[Shape],
    crowds: list[tuple[Mapping[str, Any], Shape]],
    trusted: npt.NDArray[np.bool_],
) -> tuple[list[Shape], list[Remark]]:
    """Tell crowds apart: what nobody has reviewed, objects, groups of objects."""
    remarks: list[Remark] = []
    found = list(shapes)
    every = [*shapes, *(shape for _, shape in crowds)]
    for annotation, shape in crowds:
        if annotation.get(NOT_REVIEWED) or _is_our_crowd(listing, row, rows, annotation):
            trusted[shape.box] &= ~shape.mask
        elif _kind(listing, annotation) is None or _is_group(listing, row, shape, every):
            trusted[shape.box] &= ~shape.mask
            why = "is a crowd that stands for a group of objects; nothing is learned there"
            remarks.append(Remark(kind="annotation", what=shape.name, why=why))
        else:
            found.append(shape)
            why = "has iscrowd 1 and is taken as an object, as CVAT writes what its brush painted"
            remarks.append(Remark(kind="annotation", what=shape.name, why=why))
    return found, remarks


def _is_our_crowd(
    listing: Listing,
    row: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    annotation: Mapping[str, Any],
) -> bool:
    """Tell if we wrote a crowd, before there was a key for it."""
    shown = annotation.get("segmentation")
    counts = shown.get("counts") if isinstance(shown, dict) else None
    return (
        OWN_LISTING.fullmatch(listing.path.name) is not None
        and set(listing.head) == {"categories"}
        and set(row) == OWN_ROW
        and str(row["file_name"]).endswith(".tif")
        and set(annotation) == OWN_CROWD
        and isinstance(counts, str)
        and annotation["category_id"] == 1
        and annotation is rows[-1]
        and sum(bool(number_of(a.get("iscrowd"))) for a in rows) == 1
    )


def _is_group(
    listing: Listing, row: Mapping[str, Any], shape: Shape, every: Sequence[Shape]
) -> bool:
    """Tell if a crowd is what COCO means by it: several objects that nobody drew one by one."""
    info = listing.head.get("info")
    address = str(info.get("url", "")) if isinstance(info, dict) else ""
    if "coco_url" in row or "cocodataset.org" in address:
        return True
    inside = sum(_lies_in(other, shape) for other in every if other is not shape)
    return inside >= LEAST_GROUP or numbers_of(shape.mask).pieces > LEAST_GROUP


def _lies_in(one: Shape, other: Shape) -> bool:
    """Tell if more than half of an object lies in another one."""
    y0, x0 = max(one.y, other.y), max(one.x, other.x)
    y1 = min(one.box[0].stop, other.box[0].stop)
    x1 = min(one.box[1].stop, other.box[1].stop)
    if y1 <= y0 or x1 <= x0:
        return False
    a = one.mask[y0 - one.y : y1 - one.y, x0 - one.x : x1 - one.x]
    b = other.mask[y0 - other.y : y1 - other.y, x0 - other.x : x1 - other.x]
    return int((a & b).sum()) * 2 > int(one.mask.sum())


def _kind(listing: Listing, annotation: Mapping[str, Any]) -> int | None:
    """Return the class of an annotation; None where it is of none that is known."""
    if listing.classes is None:
        return 1
    return listing.classes.get(key_of(annotation.get("category_id")))


def _mask(
    annotation: Mapping[str, Any], size: tuple[int, int]
) -> tuple[int, int, npt.NDArray[np.bool_]]:
    shown = annotation.get("segmentation")
    try:
        if isinstance(shown, list) and shown:
            nested = isinstance(shown[0], list) and not _are_points(shown)
            found = polygon_shape(shown if nested else [shown], size)
        elif isinstance(shown, dict):
            counts = shown["counts"]
            runs = [int(n) for n in counts] if isinstance(counts, list) else from_text(counts)
            if tuple(int(n) for n in shown["size"]) != size:
                raise ValueError(f"its size is {shown['size']}, the image is {list(size)}")
            found = cropped(decode(runs, size))
        else:
            raise ValueError("it has boxes only" if "bbox" in annotation else "it has no shape")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _UnusableError(str(error)) from error
    if not found[2].any():
        raise _UnusableError("it covers no pixel of the image")
    return found


def _are_points(shown: list[Any]) -> bool:
    """Tell if a polygon is written as points (x, y): a part of two numbers has no area."""
    return len(shown) > 2 and all(isinstance(p, list) and len(p) == 2 for p in shown)


def _box(annotation: Mapping[str, Any], size: tuple[int, int]) -> tuple[slice, slice]:
    """Return where an annotation without a shape says that its object is."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return slice(0), slice(0)
    x, y, width, height = (number_of(n) for n in box)
    if not np.isfinite([x, y, width, height]).all() or min(width, height) <= 0:
        return slice(0), slice(0)
    rows, columns = np.clip([y, y + height], 0, size[0]), np.clip([x, x + width], 0, size[1])
    return slice(int(rows[0]), int(np.ceil(rows[1]))), slice(
        int(columns[0]), int(np.ceil(columns[1]))
    )
