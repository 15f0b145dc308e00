"""Is the new network better? Both label the held-out images, and the labels are scored."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset, Sample, read_labels, read_objects, usable
from napari_segnet.errors import DatasetError, ImageError
from napari_segnet.evaluate import Scores, pool, score_objects
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, segment
from napari_segnet.progress import Progress, job
from napari_segnet.readers import open_image
from napari_segnet.segmentation import Kind
from napari_segnet.train._comparison import (
    Comparison,
    Parts,
    compare_parts,
    parts_of_objects,
    parts_of_pixels,
)

__all__ = ["HeldOut", "no_judges", "score_held_out", "trusted_part"]

MOST_NAMED = 5
"""Images that a note names."""
KEPT = 32
"""Images whose labels are kept to be looked at; the scores are of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """How well a network labels the images that it did not learn from.

    Attributes
    ----------
    scores : Scores
        Pooled over all of them; only trusted pixels count.
    kind : Kind
        ``instance``: objects are compared; ``semantic``: only foreground and background.
    images : int
        How many there are.
    labels : mapping of str to ndarray
        int32 ``(t, z, y, x)`` of the first of them, by the path of the image: what the network
        made, to be looked at.
    each : mapping of str to tuple of Scores
        Of the planes or volumes of every image that is scored, by its path.
    own : tuple of str
        The images among them whose true labels are this network's answer, pixel by pixel.
    parts : mapping of str to tuple of Parts
        What the decisive score of every image is made of, by its path.
    """

    scores: Scores
    kind: Kind
    images: int
    labels: Mapping[str, npt.NDArray[np.int32]] = field(default_factory=dict)
    each: Mapping[str, tuple[Scores, ...]] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    parts: Mapping[str, tuple[Parts, ...]] = field(default_factory=dict, compare=False)

    def without(self, images: Collection[str]) -> HeldOut:
        """Return the scores of the other images."""
        each = {path: scores for path, scores in self.each.items() if path not in images}
        own = tuple(path for path in self.own if path not in images)
        pooled = pool(one for scores in each.values() for one in scores)
        parts = {path: parts for path, parts in self.parts.items() if path not in images}
        return replace(self, scores=pooled, images=len(each), each=each, own=own, parts=parts)

    def figures(self) -> dict[str, Any]:
        """Return plain JSON values; empty where no image is held out."""
        if not self.images:
            return {}
        if self.kind == "semantic":
            return {"dice": self.scores.to_json()["dice"]}
        return {k: v for k, v in self.scores.to_json().items() if k != "images"}

    def better_than(self, other: HeldOut) -> bool:
        """Tell by AP at an IoU of 0.5 for objects, else by Dice; not where there is neither."""
        return self._decisive() > other._decisive()

    def compared_to(self, other: HeldOut, wanted: float = 0.9) -> Comparison | None:
        """Tell how probably this network is better than another one on the same images.

        Parameters
        ----------
        other : HeldOut
            Of the other network.
        wanted : float
            The probability from which on this one counts as better.

        Returns
        -------
        Comparison or None
            None where there is nothing to compare, or one tells objects and the other classes.
        """
        if self.kind != other.kind or self.parts.keys() != other.parts.keys():
            return None
        return compare_parts(other.parts, self.parts, wanted)

    def _decisive(self) -> float:
        return self.scores.ap50 if self.kind == "instance" else self.scores.dice


def no_judges(names: Sequence[str]) -> Progress:
    """Return the note that images are left out of the score, one sentence for all of them."""
    one = len(names) == 1
    shown = names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "others"]
    listed = shown[0] if one else f"{len(names)} images ({', '.join(shown)})"
    text = (
        f"{listed} {'is' if one else 'are'} left out of the score: {'its' if one else 'their'} "
        "labels are the network's own output, unchanged, so the old network would have a perfect "
        f"score on {'it' if one else 'them'}. Correct {'it' if one else 'them'}, or hold "
        f"{'another image' if one else 'others'} out."
    )
    return Progress(what="note", text=text)


@job
def score_held_out(
    network: Checkpoint, dataset: Dataset, settings: PredictSettings | None = None
) -> Generator[Progress, None, HeldOut]:
    """Label the held-out images of a dataset and score the labels.

    A 2D network is scored plane by plane, a 3D one volume by volume. Labels that are a
    network's answer, and that nobody has looked at (``Sample.untouched``), are left out.

    Parameters
    ----------
    network : Checkpoint
        What ``identify`` returned.
    dataset : Dataset
        Those of its samples that are held out (``val``) are labelled.
    settings : PredictSettings, optional
        How the network is run.

    Yields
    ------
    Progress
        ``held-out image``, ``note`` for what is left out of the score though it can be read,
        and between them those of ``segment``.

    Returns
    -------
    HeldOut
        Scores.
    """
    samples = yield from _judges(dataset.of("val"))
    each: dict[str, tuple[Scores, ...]] = {}
    parts: dict[str, tuple[Parts, ...]] = {}
    own: list[str] = []
    kind: Kind = "instance"
    kept: dict[str, npt.NDArray[np.int32]] = {}
    for done, sample in enumerate(samples):
        yield Progress(what="held-out image", done=done, total=len(samples))
        read = yield from _truth(sample)
        if read is None:
            continue
        image, truth, trusted = read
        made = yield from segment(network, image, settings)
        kind, path, labels = made.kind, str(sample.image), made.labels.reshape(truth.shape)
        if len(kept) < KEPT:
            kept[path] = labels
        pairs = list(_pairs(labels * trusted, truth * trusted, network.ndim))
        scores, found = _scored(pairs, kind, sample)
        each[path], parts[path] = (*each.get(path, ()), *scores), (*parts.get(path, ()), *found)
        if truth.any(where=trusted) and all(_are_same(*pair, kind) for pair in pairs):
            own.append(path)
    yield Progress(what="held-out image", done=len(samples), total=len(samples))
    return HeldOut(
        scores=pool(one for of_image in each.values() for one in of_image),
        kind=kind,
        images=len(each),
        labels=kept,
        each=each,
        own=tuple(own),
        parts=parts,
    )


_Labels = npt.NDArray[np.int32]


def _judges(samples: Sequence[Sample]) -> Generator[Progress, None, list[Sample]]:
    """Return the samples that somebody has looked at; a note names the others."""
    untouched = [sample.name for sample in samples if sample.untouched]
    if untouched:
        yield no_judges(untouched)
    return [sample for sample in samples if not sample.untouched]


def _truth(
    sample: Sample,
) -> Generator[Progress, None, tuple[Image, _Labels, npt.NDArray[np.bool_]] | None]:
    """Read image, truth and where it counts; None, and a note, where it is left out."""
    try:
        image = open_image(sample.image)
        truth = read_objects(sample, image)
        return image, truth, trusted_part(sample, image, truth)
    except (ImageError, DatasetError) as error:
        text = f"{sample.name} cannot be scored: {error} It is left out."
        yield Progress(what="note", text=text)
        return None


_Pair = tuple[_Labels, _Labels]
"""Labels that were found, and true ones."""


def _scored(
    pairs: list[_Pair], kind: Kind, sample: Sample
) -> tuple[tuple[Scores, ...], tuple[Parts, ...]]:
    """Return the scores of planes or volumes, and what the decisive ones are made of."""
    made_of = parts_of_objects if kind == "instance" else parts_of_pixels
    return (
        tuple(score_objects(*pair, name=sample.image.stem) for pair in pairs),
        tuple(made_of(*pair, source=sample.source) for pair in pairs),
    )


def trusted_part(
    sample: Sample, image: Image, truth: npt.NDArray[np.int32]
) -> npt.NDArray[np.bool_]:
    """Return where the truth ``(t, z, y, x)`` of a sample may be compared with."""
    seen = np.ones(truth.shape, bool)
    if sample.trusted is not None:
        seen = read_labels(sample.trusted, image) > 0
    return usable(sample, truth, seen)


def _are_same(labels: npt.NDArray[np.int32], truth: npt.NDArray[np.int32], kind: Kind) -> bool:
    """Tell if two label images of one shape mean the same, whatever their numbers are."""
    inside = truth > 0
    if not np.array_equal(inside, labels > 0):
        return False
    if kind == "semantic":  # of which only the foreground is scored
        return True
    both = np.unique(np.stack([truth[inside], labels[inside]]), axis=1)
    return all(np.unique(ids).size == both.shape[1] for ids in both)


def _pairs(
    labels: npt.NDArray[np.int32], truth: npt.NDArray[np.int32], ndim: int
) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Return found and true labels ``(t, z, y, x)`` of each plane or volume."""
    for t in range(truth.shape[0]):
        if ndim == 3:
            yield labels[t], truth[t]
        else:
            yield from zip(labels[t], truth[t], strict=True)
