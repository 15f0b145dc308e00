"""Label pictures: whole numbers, one per pixel of their image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset._sample import Sample
from napari_segnet.errors import DatasetError
from napari_segnet.image import Image

__all__ = ["classes_of", "read_labels"]


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
        numbers from 0 on.
    ImageError
        If it cannot be read.
    """
    from napari_segnet.readers import open_labels

    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DatasetError(
            f"{path} is a JPEG, which changes the numbers of labels when it is saved. Export the "
            "labels again as TIFF or PNG."
        )
    picture = open_labels(path)
    if picture.rgb or picture.sizes["c"] > 1:
        raise DatasetError(
            f"{path} should hold one whole number per pixel (0 background, 1.. objects), "
            "but it is a colour or multichannel picture. Export the labels again as a label image."
        )
    block = picture.read()[:, 0]
    want = tuple(image.sizes[a] for a in "tzyx")
    # A file may call its planes t or z: where there is one such axis, that is no difference.
    same = block.shape == want or (
        1 in want[:2] and 1 in block.shape[:2] and sorted(block.shape[:2]) == sorted(want[:2])
    )
    if not same or block.shape[2:] != want[2:]:
        raise DatasetError(
            f"{path} is {_text(block.shape)}, but its image is {_text(want)}. Each pixel of the "
            "image needs one label."
        )
    return _whole_numbers(path, block.reshape(want))


def _whole_numbers(path: Path, labels: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels)):
        raise DatasetError(
            f"{path} holds fractions, but labels are whole numbers (0 background, 1.. objects). "
            "Is it a picture or a probability map?"
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.int32).max:
        raise DatasetError(
            f"{path} holds labels from {labels.min()} to {labels.max()}, but they go from 0 "
            "(background) to 2147483647. Set what should be ignored to 0."
        )
    return labels.astype(np.int32)


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
        content: Any = json.loads(sample.objects.read_text(encoding="utf8"))
        return {int(label): int(kind) for label, kind in content.get("classes", {}).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{sample.objects} cannot be understood ({error!r}). Add the image to the dataset "
            "again, or remove the file: its objects are then of one class."
        ) from error
