"""With one to three corrected images: each is judged by a training that has not seen it.

A part that is held out of so few images has too few objects to judge by. So the training is done
two or three times, and what each has not seen is scored. What is judged is the way of training, on
all objects, not one network (cross-fitting).
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Box, Dataset, Sample
from napari_segnet.engines.torch import best_device
from napari_segnet.errors import DatasetError
from napari_segnet.progress import Progress, job
from napari_segnet.readers import open_image
from napari_segnet.train._begin import SHOWN, advised, as_run, with_facts_of
from napari_segnet.train._comparison import Comparison, Parts, compare_parts
from napari_segnet.train._gate import score_held_out
from napari_segnet.train._train import train
from napari_segnet.train.settings import TrainSettings

__all__ = ["MOST_IMAGES", "CrossFit", "cross_fit", "cross_fit_cost"]

MOST_IMAGES = 3
"""Of more images enough are held out for a single training to be judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """What several trainings came to, each on what it had not seen.

    Attributes
    ----------
    trainings : int
        How many.
    comparison : Comparison or None
        New against old on everything; None where nothing can be compared.
    """

    trainings: int
    comparison: Comparison | None

    def sentence(self) -> str:
        """Say it for a biologist."""
        if self.comparison is None:
            return "The trainings and the old network cannot be compared on these labels."
        said = self.comparison.sentence().replace("held-out object", "object")
        return f"Compared by {self.trainings} trainings, each on unseen images: {said}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        comparison = self.comparison
        return {
            "trainings": self.trainings,
            "comparison": None if comparison is None else comparison.to_json(),
            "says": self.sentence(),
        }


def cross_fit_cost(dataset: Dataset, settings: TrainSettings) -> tuple[int, float]:
    """Return how many trainings cross-fitting takes, and their minutes (0: not known before).

    No training where the dataset has more than ``MOST_IMAGES`` images.
    """
    sources = len(_sources(dataset))
    count = max(2, sources) if 1 <= sources <= MOST_IMAGES else 0
    return count, count * settings.minutes


def _sources(dataset: Dataset) -> list[str]:
    return list(dict.fromkeys(s.source or str(s.image) for s in dataset.samples))


def _folds(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the dataset with one image after the other held out; of a single one, its halves."""
    sources = _sources(dataset)
    if len(sources) > 1:
        for source in sources:
            samples = tuple(_sided(sample, source) for sample in dataset.samples)
            yield replace(dataset, samples=samples)
        return
    for first in (True, False):
        sides: list[Sample] = []
        for sample in dataset.samples:
            sizes = open_image(sample.image).sizes
            height, width = sizes["y"], sizes["x"]
            half = width // 2
            box: Box = (0, 0, height, half) if first else (0, half, height, width)
            sides += [replace(sample, box=box, split=side) for side in ("train", "val")]
        yield replace(dataset, samples=tuple(sides))


@job
def cross_fit(
    network: Checkpoint,
    dataset: Dataset,
    settings: TrainSettings | None = None,
    *,
    device: str = "auto",
) -> Generator[Progress, None, CrossFit]:
    """Train once for each image, without it, and judge each training by that image.

    Parameters
    ----------
    network : Checkpoint
        What each training begins with.
    dataset : Dataset
        Of one to three images, whatever their side of the split; a single one is halved.
    settings : TrainSettings
        Of each training.
    device : str
        As in ``train``.

    Yields
    ------
    Progress
        ``training`` before each of them, and those of ``train`` and ``score_held_out``.

    Returns
    -------
    CrossFit
        New against old, on all objects.

    Raises
    ------
    SegnetError
        As ``train``; if there are more than three images.
    """
    settings = settings or TrainSettings()
    count, _ = cross_fit_cost(dataset, settings)
    if not count:
        raise DatasetError(
            f"Cross-fitting is for 1 to {MOST_IMAGES} images, and the training set has "
            f"{len(_sources(dataset))}. With so many, the held-out images are enough for a "
            "comparison."
        )
    how = as_run(settings, best_device(device))
    before: dict[str, tuple[Parts, ...]] = {}
    after: dict[str, tuple[Parts, ...]] = {}
    kinds = set()
    with tempfile.TemporaryDirectory(prefix="segnet-cross-fit-") as folder:
        for number, part in enumerate(_folds(dataset)):
            yield Progress(what="training", done=number, total=count)
            out = Path(folder) / f"{number}.safetensors"
            made = yield from train(network, part, out, settings, device=device)
            old = yield from score_held_out(advised(network), part, how)
            new = yield from score_held_out(with_facts_of(network, made, *SHOWN), part, how)
            kinds |= {old.kind, new.kind}
            for path in old.parts:
                before[path] = (*before.get(path, ()), *old.parts[path])
                after[path] = (*after.get(path, ()), *new.parts[path])
    comparison = compare_parts(before, after, settings.promote_at) if len(kinds) == 1 else None
    return CrossFit(trainings=count, comparison=comparison)


def _sided(sample: Sample, source: str) -> Sample:
    """Return a sample held out if it is of a source, else to be learned from."""
    mine = (sample.source or str(sample.image)) == source
    return replace(sample, split="val" if mine else "train", box=None)
