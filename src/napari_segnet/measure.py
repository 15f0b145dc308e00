"""Measure objects: one row per label with its size, place, brightness and shape.

What depends on the outline (perimeter, solidity, axes) comes from scikit-image's ``regionprops``;
all else is counted over the whole image at once.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import why, write_text, write_whole
from napari_segnet.by_label import values_of
from napari_segnet.errors import MismatchError, OutputError
from napari_segnet.image import Image
from napari_segnet.progress import Progress, check_cancelled, job

__all__ = ["Table", "measure"]

OBJECTS_PER_STEP = 200
"""Objects between two reports of progress; their shapes take some 0.2 s."""
UM3_PER_ML = 1e12
BODY_VOXEL_UM3 = 1e6
"""Of 0.1 mm each way. Volumes of larger voxels are given in millilitres as well: CT and MRI have
such, microscopes smaller ones."""
Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Measurements of objects, a row each.

    Attributes
    ----------
    columns : mapping of str to ndarray
        Name -> values ``(rows,)``: whole numbers, floats (NaN where a measure has no meaning) or
        text. Lengths and areas end in ``_px`` or ``_um``; ``intensity_*`` are in the units of the
        image.
    """

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __repr__(self) -> str:
        return f"Table({len(self)} rows: {', '.join(self.columns)})"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return each row as plain values by column; what is not a number is None."""
        lists = [column.tolist() for column in self.columns.values()]
        for values in zip(*lists, strict=True):
            yield {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in zip(self.columns, values, strict=True)
            }

    def to_csv(self) -> str:
        """Return the table as text: a header, commas, a point in numbers, six digits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows():
            writer.writerow(_cell(value) for value in row.values())
        return out.getvalue()

    def save(self, path: str | Path) -> None:
        """Write :meth:`to_csv` to a file, whole or not at all.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        try:
            write_whole(Path(path), lambda part: write_text(part, self.to_csv()), make_folder=False)
        except OSError as error:
            raise OutputError(f"The table could not be written to {path}: {why(error)}.") from error


@job
def measure(
    labels: npt.NDArray[Any],
    axes: str,
    image: Image | None = None,
    *,
    pixel_size_um: Mapping[str, float] | None = None,
    label_class: Mapping[int, int] | None = None,
    label_score: Mapping[int, float] | None = None,
    class_names: Sequence[str] = (),
) -> Generator[Progress, None, Table]:
    """Measure every object of a label image.

    Parameters
    ----------
    labels : ndarray
        Whole numbers in the order of ``axes``; 0 is background. In a series an object has one row
        per time.
    axes : str
        One letter per dimension of ``labels`` out of ``tzyx``.
    image : Image, optional
        What the brightness is measured in, of the same lengths.
    pixel_size_um : mapping of str to float, optional
        Micrometres per pixel by axis. Columns in micrometres are there if it is known of all axes
        of space.
    label_class, label_score : mapping, optional
        Class index and score of each label.
    class_names : sequence of str
        By class index, background first.

    Yields
    ------
    Progress
        ``object``.

    Returns
    -------
    Table
        Rows in the order of time and label. ``label``, ``t`` (in a series), ``class``,
        ``class_name``, ``score``; ``area_px`` or (with z) ``volume_px``; ``diameter_px``, of the
        disc or ball of that size; ``centroid_*_px``, counted from the middle of the first pixel;
        ``bbox_*``, first pixel and the one behind the last; for every channel
        ``intensity_mean|min|max|sum``; in two dimensions ``perimeter_px``, ``major_axis_px``,
        ``minor_axis_px``, ``orientation_deg`` (of the major axis, counter-clockwise from the x
        axis), ``eccentricity``, ``circularity`` (4 pi area / perimeter^2), ``solidity`` (area /
        convex area); in three ``solidity`` only. The same in micrometres where known, and
        ``volume_ml`` where voxels are those of a body: 0.001 mm³ or more.

    Raises
    ------
    MismatchError
        If labels and image have other lengths, or axes do not fit.
    """
    labels = np.asarray(labels)
    _check(labels, axes, image)
    space = axes.removeprefix("t")
    columns = yield from _measured(labels, axes, image)
    facts = _facts(columns["label"], label_class or {}, label_score or {}, class_names)
    size = pixel_size_um if pixel_size_um is not None else getattr(image, "pixel_size_um", {})
    return Table(columns=_ordered(columns, facts, _in_um(columns, space, size)))


def _measured(
    labels: npt.NDArray[Any], axes: str, image: Image | None
) -> Generator[Progress, None, dict[str, Column]]:
    """Return what pixels tell of the objects of all frames, one behind the other."""
    space = axes.removeprefix("t")
    frames = labels if "t" in axes else labels[None]
    found: list[dict[str, Column]] = []
    total = sum(_dense(frame)[0].size for frame in frames)
    done = 0
    for t, frame in enumerate(frames):
        check_cancelled()
        part = _counted(frame, space)
        if image is not None:
            part |= _brightness(frame, part["label"], image, t)
        shapes = _Shapes(frame, space, len(part["label"]))
        for count in shapes.measured():
            yield Progress(what="object", done=done + count, total=total)
        done += len(part["label"])
        part |= shapes.columns
        if "t" in axes:
            head = {"label": part.pop("label"), "t": np.full(len(shapes.solidity), t)}
            part = head | part
        found.append(part)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _check(labels: npt.NDArray[Any], axes: str, image: Image | None) -> None:
    if len(axes) != labels.ndim or axes not in ("yx", "zyx", "tyx", "tzyx"):
        raise MismatchError(
            f"Labels of the shape {labels.shape} cannot have the axes {axes!r}. Name one of t, z, "
            "y, x for each dimension, in this order."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise MismatchError(
            f"Labels are whole numbers, but these are {labels.dtype}. Convert them to int32."
        )
    if image is None:
        return
    wanted = dict(zip(axes, labels.shape, strict=True))
    own = image.sizes
    if any(own[a] != wanted.get(a, 1) for a in "tzyx"):
        shown = " x ".join(str(own[a]) for a in "tzyx" if a in image.axes)
        raise MismatchError(
            f"{image.name} has {shown} pixels, but its labels "
            f"{' x '.join(str(n) for n in labels.shape)}. Measure labels on the image that they "
            "were made of."
        )


def _counted(frame: npt.NDArray[Any], space: str) -> dict[str, Column]:
    """Return what can be counted for all objects at once: size, middle, box."""
    from scipy import ndimage

    labels, dense = _dense(frame)
    area = np.bincount(dense.ravel(), minlength=len(labels) + 1)[1:]
    boxes = ndimage.find_objects(dense, max_label=len(labels))
    size = "volume_px" if "z" in space else "area_px"
    columns: dict[str, Column] = {"label": labels.astype(np.int64), size: area}
    root = 3 if "z" in space else 2
    ball = 6 / math.pi if "z" in space else 4 / math.pi
    columns["diameter_px"] = (area * ball) ** (1 / root)
    for axis, letter in enumerate(space):
        along = np.arange(frame.shape[axis], dtype=float)
        along = along.reshape([-1 if i == axis else 1 for i in range(frame.ndim)])
        total = np.bincount(
            dense.ravel(), np.broadcast_to(along, frame.shape).ravel(), len(labels) + 1
        )
        columns[f"centroid_{letter}_px"] = total[1:] / area
    for axis, letter in enumerate(space):
        columns[f"bbox_{letter}0"] = np.array([box[axis].start for box in boxes], np.int64)
        columns[f"bbox_{letter}1"] = np.array([box[axis].stop for box in boxes], np.int64)
    return columns


def _dense(frame: npt.NDArray[Any]) -> tuple[Column, npt.NDArray[Any]]:
    """Return the labels in their order, and the frame with 1 to n in their place."""
    import fastremap

    labels = fastremap.unique(frame)
    labels = labels[labels != 0]
    place = {int(label): row for row, label in enumerate(labels, 1)}
    return labels, fastremap.remap(frame, place, preserve_missing_labels=True)


def _brightness(frame: npt.NDArray[Any], labels: Column, image: Image, t: int) -> dict[str, Column]:
    """Return mean, least, most and sum of each channel inside each object."""
    from scipy import ndimage

    columns: dict[str, Column] = {}
    count = image.sizes["c"]
    names = image.channel_names or tuple("rgb"[:count] if image.rgb else map(str, range(count)))
    for c in range(count):
        pixels = image.read(t=t, c=c)[0, 0].reshape(frame.shape).astype(np.float64)
        behind = f"_{names[c]}" if count > 1 else ""
        for name, measured in (
            ("mean", ndimage.mean),
            ("min", ndimage.minimum),
            ("max", ndimage.maximum),
            ("sum", ndimage.sum_labels),
        ):
            values = measured(pixels, frame, labels) if len(labels) else []
            columns[f"intensity_{name}{behind}"] = np.asarray(values, np.float64)
    return columns


class _Shapes:
    """Measures of the outline, object by object."""

    def __init__(self, frame: npt.NDArray[Any], space: str, count: int) -> None:
        self._frame, self._flat = frame, "z" not in space
        self.solidity = np.full(count, np.nan)
        names = ("perimeter_px", "major_axis_px", "minor_axis_px", "orientation_deg")
        own = (*names, "eccentricity", "circularity") if self._flat else ()
        self._own = {name: np.full(count, np.nan) for name in own}

    @property
    def columns(self) -> dict[str, Column]:
        return {**self._own, "solidity": self.solidity}

    def measured(self) -> Generator[int, None, None]:
        """Measure all; yield how many are done."""
        from skimage.measure import regionprops

        frame = self._frame
        if frame.dtype.kind == "u" and frame.dtype.itemsize == 8:
            frame = frame.astype(np.int64)
        for row, region in enumerate(regionprops(frame)):  # type: ignore[no-untyped-call]
            self.solidity[row] = _solidity(region)
            if self._flat:
                self._outline(row, region)
            if row % OBJECTS_PER_STEP == OBJECTS_PER_STEP - 1:
                check_cancelled()
                yield row + 1

    def _outline(self, row: int, region: Any) -> None:
        own, perimeter = self._own, float(region.perimeter)
        own["perimeter_px"][row] = perimeter
        own["major_axis_px"][row] = region.axis_major_length
        own["minor_axis_px"][row] = region.axis_minor_length
        # regionprops turns from the row axis; people turn from the x axis, rows going down.
        own["orientation_deg"][row] = (math.degrees(region.orientation) + 90) % 180
        own["eccentricity"][row] = region.eccentricity
        if perimeter > 0:
            own["circularity"][row] = min(1.0, 4 * math.pi * region.area / perimeter**2)


def _solidity(region: Any) -> float:
    """Return the share of the convex hull that is filled; NaN for a line or a point.

    Too flat a set of pixels has no hull, of which regionprops only warns.
    """
    shape = region.image.shape
    if min(shape) < 2 or region.area <= len(shape):
        return math.nan
    if len(shape) == 3 and np.linalg.matrix_rank(region.coords - region.coords[0]) < 3:
        return math.nan
    return float(region.solidity)


def _facts(
    labels: Column,
    label_class: Mapping[int, int],
    label_score: Mapping[int, float],
    class_names: Sequence[str],
) -> dict[str, Column]:
    """Return class and score of each row, where they are known at all."""
    facts: dict[str, Column] = {}
    if label_class:
        classes = values_of(label_class, labels, 0)
        facts["class"] = classes
        if class_names:
            known = (classes >= 0) & (classes < len(class_names))
            words = np.array([*class_names, ""], dtype=object)
            facts["class_name"] = words[np.where(known, classes, len(class_names))]
    if label_score:
        facts["score"] = values_of(label_score, labels, math.nan)
    return facts


def _in_um(
    columns: Mapping[str, Column], space: str, size: Mapping[str, float]
) -> dict[str, Column]:
    """Return the measures in micrometres, as far as pixel sizes allow."""
    found: dict[str, Column] = {}
    for letter in space:
        if letter in size:
            found[f"centroid_{letter}_um"] = columns[f"centroid_{letter}_px"] * size[letter]
    if not all(letter in size for letter in space):
        return found
    whole = math.prod(size[letter] for letter in space)
    if "z" in space:
        volume = columns["volume_px"] * whole
        found = {"diameter_um": (volume * 6 / math.pi) ** (1 / 3), **found}
        millilitres = {"volume_ml": volume / UM3_PER_ML} if whole >= BODY_VOXEL_UM3 else {}
        return {"volume_um3": volume, **millilitres, **found}
    area = columns["area_px"] * whole
    found = {"area_um2": area, "diameter_um": np.sqrt(area * 4 / math.pi), **found}
    if math.isclose(size["y"], size["x"], rel_tol=1e-3):  # else a length depends on its direction
        for name in ("perimeter", "major_axis", "minor_axis"):
            found[f"{name}_um"] = columns[f"{name}_px"] * size["x"]
    return found


def _ordered(
    columns: dict[str, Column], facts: dict[str, Column], lengths: dict[str, Column]
) -> dict[str, Column]:
    """Put who it is first, then every measure in pixels with its twins in other units."""
    first: dict[str, Column] = {name: columns[name] for name in ("label", "t") if name in columns}
    ordered: dict[str, Column] = first | facts
    for name, column in columns.items():
        if name in ordered:
            continue
        ordered[name] = column
        stem = name.removesuffix("_px")
        for unit in ("um", "um2", "um3", "ml"):
            if (twin := f"{stem}_{unit}") in lengths:
                ordered[twin] = lengths[twin]
    return ordered


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
