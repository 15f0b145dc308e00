"""Label pictures: whole numbers, one per pixel of their image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.budget import parsed_json
from napari_segnet.dataset._label_picture import open_labels
from napari_segnet.dataset._pieces import numbers_of, pieces_of
from napari_segnet.dataset._sample import Sample
from napari_segnet.errors import DatasetError
from napari_segnet.image import Image

__all__ = [
    "HIGHEST",
    "as_objects",
    "classes_of",
    "read_any_labels",
    "read_labels",
    "read_objects",
    "renumbered",
    "whole_numbers",
]

HIGHEST = int(np.iinfo(np.int32).max)
"""The highest id that labels here can have."""


def read_labels(path: Path, image: Image) -> npt.NDArray[np.int32]:
    """Read a label picture that belongs to an image.

    Returns
    -------
    ndarray
        int32 ``(t, z, y, x)``.

    Raises
    ------
    DatasetError
        If it has another size than the image, colours, or values that are not whole
        numbers from 0 to 2147483647.
    ImageError
        If it cannot be read.
    """
    labels = read_any_labels(path, image)
    if labels.max(initial=0) > HIGHEST:
        raise _out_of_range(path, labels)
    return labels.astype(np.int32)


def read_objects(sample: Sample, image: Image) -> npt.NDArray[np.int32]:
    """Read the labels of a sample, one number per object.

    Where its picture is a mask, one number for all objects together, each separate piece is an
    object. What was added by :func:`~napari_segnet.dataset.add` was judged when it came.

    Returns
    -------
    ndarray
        int32 ``(t, z, y, x)``.

    Raises
    ------
    DatasetError, ImageError
        As :func:`read_labels`.
    """
    return as_objects(sample, read_labels(sample.labels, image))[0]


def as_objects(sample: Sample, labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], str]:
    """Return labels of objects, the pieces of a mask, and what is odd about their numbers."""
    numbers = numbers_of(labels)
    if numbers.is_surely_mask and not sample.added:
        return pieces_of(labels), (
            f"one number, {numbers.highest}, in several separate pieces is taken as a mask, and "
            "each piece as an object."
        )
    if numbers.is_mask:
        return labels, (
            f"one number, {numbers.highest}, lies in several separate pieces and counts as one "
            "object. If it is a mask, import it again: its pieces become objects."
        )
    if numbers.are_classes:
        return labels, (
            "numbers that each lie in several separate pieces look like classes, but the network "
            "learns objects. Import with --labels pieces to make each piece an object."
        )
    return labels, ""


def read_any_labels(path: Path, image: Image) -> npt.NDArray[Any]:
    """Read a label picture as :func:`read_labels` does, with ids as high as they are.

    Returns
    -------
    ndarray
        An integer type, ``(t, z, y, x)``; none is negative.
    """
    picture = open_labels(path)
    block, want = picture.read(), tuple(image.sizes[a] for a in "tzyx")
    if block.shape[1] > 1:
        if picture.rgb or not _are_planes(block.shape, want):
            raise DatasetError(
                f"{path} should hold one whole number per pixel (0 background, 1.. objects), "
                "but it is a colour or multichannel image. Export the labels again as a label "
                "image."
            )
        # ImageJ calls the planes of a stack channels where nobody told it otherwise.
        block = block.swapaxes(1, 2)
    block = block[:, 0]
    # A file may call its planes t or z: where there is one such axis, that is no difference.
    same = block.shape == want or (
        1 in want[:2] and 1 in block.shape[:2] and sorted(block.shape[:2]) == sorted(want[:2])
    )
    if not same or block.shape[2:] != want[2:]:
        raise DatasetError(
            f"{path} is {_text(block.shape)}, but its image is {_text(want)}. Each pixel of the "
            "image needs one label."
        )
    return whole_numbers(path, block.reshape(want))


def _are_planes(block: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Tell if the channels ``(t, c, z, y, x)`` are as many as the image has planes."""
    return block[0] == block[2] == 1 and block[1] == want[0] * want[1] and 1 in want[:2]


def renumbered(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], dict[int, int]]:
    """Return labels of any integer type as int32, and the new number of each old one.

    Only where an id is too high for int32 are they numbered anew, from 1 on in the order of
    their first pixels; else nothing changes and the table is empty.
    """
    import fastremap

    if labels.max(initial=0) <= HIGHEST:
        return labels.astype(np.int32), {}
    found, table = fastremap.renumber(labels, preserve_zero=True)
    return found.astype(np.int32), {int(old): int(new) for old, new in table.items()}


def whole_numbers(path: Path, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels of a file as an integer type; fractions and what is below 0 are refused."""
    if labels.dtype.kind == "f":
        broken = int((~np.isfinite(labels)).sum())
        if broken:
            raise DatasetError(
                f"{path} holds no number (NaN) or infinity in {broken} of {labels.size} pixels, "
                "but labels are whole numbers (0 background, 1.. objects). Set these pixels to 0."
            )
        if not np.array_equal(labels, np.rint(labels)):
            raise DatasetError(
                f"{path} holds fractions, but labels are whole numbers (0 background, 1.. "
                "objects). Is it an image or a probability map?"
            )
        if labels.max(initial=0) >= 2.0**63:
            raise _out_of_range(path, labels)
    if labels.min(initial=0) < 0:
        raise _out_of_range(path, labels)
    return labels.astype(np.int64) if labels.dtype.kind == "f" else labels


def _out_of_range(path: Path, labels: npt.NDArray[Any]) -> DatasetError:
    return DatasetError(
        f"{path} holds labels from {labels.min()} to {labels.max()}, but they go from 0 "
        f"(background) to {HIGHEST}. Set what should be ignored to 0, and number the objects anew "
        "where their numbers are higher: import does that."
    )


def _text(shape: tuple[int, ...]) -> str:
    planes = "" if shape[:2] == (1, 1) else f"{shape[0]} x {shape[1]} planes (t, z) of "
    return f"{planes}{shape[2]} x {shape[3]} pixels"


def classes_of(sample: Sample) -> dict[int, int]:
    """Return the class of each object of a sample; empty where they have none.

    Raises
    ------
    DatasetError
        If its file cannot be understood.
    """
    if sample.objects is None or not sample.objects.is_file():
        return {}
    try:
        content: Any = parsed_json(sample.objects.read_text(encoding="utf8"), file_names=True)
        return {int(label): int(kind) for label, kind in content.get("classes", {}).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{sample.objects} cannot be understood ({error!r}). Add the image to the dataset "
            "again, or remove the file: its objects are then of one class."
        ) from error
