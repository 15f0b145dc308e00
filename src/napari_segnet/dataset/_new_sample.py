"""What is added to a dataset: checked and numbered before the disk is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset._classes import merged_classes
from napari_segnet.dataset._labels import HIGHEST, renumbered
from napari_segnet.errors import DatasetError
from napari_segnet.image import Image

__all__ = ["NewSample"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NewSample:
    """An image with its labels, before it is in a dataset.

    Attributes
    ----------
    image : Image
        Read plane by plane.
    labels : ndarray
        int32, of the image's size without channels; 0 is background.
    trusted : ndarray or None
        bool, of the same shape: what was reviewed. None: everything.
    classes : mapping of int to int
        Class of each object, or empty.
    class_names : tuple of str
        Background first, or empty.
    review : mapping or None
        The state of the review.
    plane : str
        Which part of the source it is.
    untouched : bool
        Nobody has looked at the labels.
    wanted_source : str or None
        Which original image it is, where that is said.
    """

    image: Image
    labels: npt.NDArray[np.int32]
    trusted: npt.NDArray[np.bool_] | None
    classes: Mapping[int, int]
    class_names: tuple[str, ...]
    review: Mapping[str, Any] | None
    plane: str
    untouched: bool
    wanted_source: str | None

    @classmethod
    def of(
        cls,
        image: Image,
        labels: npt.ArrayLike,
        trusted: npt.ArrayLike | None,
        classes: Mapping[int, int],
        review: Mapping[str, Any] | None,
        **rest: Any,
    ) -> NewSample:
        """Check the arrays, and number ids anew that int32 cannot hold.

        Raises
        ------
        DatasetError
            If labels and image do not fit, or nothing could be learned from them.
        """
        whole, mask = _checked(image, labels, trusted)
        whole, new_ids = renumbered(whole)
        if new_ids:
            _refuse_review(image, review, f"has ids up to {max(new_ids)}, beyond {HIGHEST}")
            classes = {new_ids[k]: v for k, v in classes.items() if k in new_ids}
        return cls(image=image, labels=whole, trusted=mask, classes=classes, review=review, **rest)

    @cached_property
    def digest(self) -> str:
        """What tells its pixels from others."""
        return self.image.digest()

    @property
    def source(self) -> str:
        """Which original image it is: as it is said, else its path, else its name and digest."""
        return self.wanted_source or self.image.source or f"{self.image.name} {self.digest[:8]}"

    def with_classes_of(self, known: tuple[str, ...]) -> NewSample:
        """Return it with the numbers that a dataset gives to classes; new names follow ``known``.

        Raises
        ------
        DatasetError
            If the numbers of labels that are classes change, and a review speaks of them.
        """
        names, places = merged_classes(known, self.class_names)
        if all(old == new for old, new in places.items()):
            return replace(self, class_names=names)
        labels, count = self.labels, len(self.class_names)
        if not self.classes and labels.max(initial=0) < count:
            why = "has classes in another order than the dataset"
            _refuse_review(self.image, self.review, why)
            labels = np.array([places[i] for i in range(count)], np.int32)[labels]
        classes = {k: places.get(v, v) for k, v in self.classes.items()}
        return replace(self, labels=labels, classes=classes, class_names=names)

    def about(self) -> dict[str, Any]:
        """Return classes of objects and state of the review, plain JSON; empty without both."""
        if not (self.classes or self.review):
            return {}
        return {"classes": {str(k): v for k, v in self.classes.items()}, "review": self.review}


def _refuse_review(image: Image, review: Mapping[str, Any] | None, why_not: str) -> None:
    """Refuse to change ids that the state of a review names: it would speak of other objects."""
    if review is not None:
        raise DatasetError(
            f"The labels of {image.name} {why_not}, so their numbers have to change, and the state "
            "of the review would no longer fit. Number the labels anew, or add them without it."
        )


def _checked(
    image: Image, labels: npt.ArrayLike, trusted: npt.ArrayLike | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Return labels and the reviewed part, of the image's size; refuse what is of no use."""
    whole = _whole(image, labels, "labels")
    mask = None if trusted is None else _whole(image, trusted, "reviewed part") > 0
    if whole.min(initial=0) < 0:
        raise DatasetError(
            f"The labels of {image.name} go down to {whole.min()}, but 0 is background and objects "
            "are 1 and above. Set what should be ignored to 0."
        )
    if mask is not None and not mask.any():
        raise DatasetError(
            f"Nothing of {image.name} is reviewed, so there would be nothing to learn from. "
            "Accept or correct some objects first, or add the whole image."
        )
    return whole, mask


def _whole(image: Image, values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """Return an array of the image's size, in the order of its axes without channels."""
    array = np.asarray(values)
    if array.dtype.kind not in "biu":
        raise DatasetError(f"The {what} of {image.name} must be whole numbers, not {array.dtype}.")
    axes = image.axes.replace("c", "")
    own = tuple(image.sizes[a] for a in axes)
    if array.shape == own:
        return array
    if array.shape == tuple(image.sizes[a] for a in "tzyx"):
        keep = array.reshape([image.sizes[a] for a in image.label_axes])
        return keep.transpose([image.label_axes.index(a) for a in axes])
    raise DatasetError(
        f"The {what} of {image.name} have the shape {array.shape}, but the image is {own}. Each "
        "pixel of the image needs one label."
    )
