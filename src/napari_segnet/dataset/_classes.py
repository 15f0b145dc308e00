"""Classes: the same in two lists where their names are; and labels as numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset._labels import classes_of
from napari_segnet.dataset._pieces import MOST_CLASSES, numbers_of
from napari_segnet.dataset._sample import Sample
from napari_segnet.errors import DatasetError

__all__ = ["as_classes", "merged_classes"]


def merged_classes(
    there: tuple[str, ...], names: tuple[str, ...]
) -> tuple[tuple[str, ...], Mapping[int, int]]:
    """Return the classes of both lists, and the place in it of each class of the second.

    Parameters
    ----------
    there, names : tuple of str
        Background first; empty where classes have no names. Those of ``there`` keep their
        places.
    """
    if not there or not names:
        return there or names, {i: i for i in range(len(names))}
    every = list(there)
    places = {0: 0}
    for number, name in enumerate(names[1:], start=1):
        if name not in every[1:]:
            every.append(name)
        places[number] = every.index(name, 1)
    return tuple(every), places


def as_classes(sample: Sample, labels: npt.NDArray[np.int32], last: int) -> npt.NDArray[np.int32]:
    """Return labels whose numbers are classes, for a network that knows 0 to ``last``.

    Objects become pixels of their class; for a network of one class, all objects and the white
    of a mask are 1. More classes than the network knows are returned as they are.

    Raises
    ------
    DatasetError
        If the numbers are no classes.
    """
    kinds = classes_of(sample)
    if kinds:
        ids, where = np.unique(labels, return_inverse=True)
        table = np.array([kinds.get(int(i), 1) if i else 0 for i in ids], np.int32)
        return table[where].reshape(labels.shape)
    if labels.max(initial=0) <= last:
        return labels
    numbers = numbers_of(labels)
    if last == 1 and not numbers.are_classes:
        return (labels > 0).astype(np.int32)
    if numbers.count == 1 and numbers.highest > MOST_CLASSES:
        raise DatasetError(
            f"{sample.labels} has one number only, {numbers.highest}, as a mask has, but the "
            f"network knows the classes 0 to {last}. Save it with the number of its class in place "
            f"of {numbers.highest}."
        )
    if not numbers.are_classes and numbers.count > last:
        raise DatasetError(
            f"{sample.labels} has {numbers.count} numbers up to {numbers.highest}, which look like "
            f"those of objects, but the network tells the classes 0 to {last}. Choose a network of "
            "objects (or set head to objects), or import the objects with their classes."
        )
    if numbers.highest > MOST_CLASSES:
        used = np.unique(labels[labels > 0])
        shown = ", ".join(str(n) for n in used[:5].tolist()) + (" ..." if used.size > 5 else "")
        raise DatasetError(
            f"{sample.labels} has the numbers {shown}, up to {numbers.highest}, but classes are "
            f"numbered 1, 2, ... and the network knows 0 to {last}. Number them so, and set to 0 "
            "what is to be ignored."
        )
    return labels
