"""Teach, and keep only what is better: scores before and after on what was held out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset, Sample, hold_out, read_objects
from napari_segnet.engines.torch import best_device
from napari_segnet.inference import PredictSettings
from napari_segnet.progress import Job, Progress, changed_reports, job
from napari_segnet.readers import open_image
from napari_segnet.steps.overlap import overlaps
from napari_segnet.train._begin import SHOWN, advised, as_run, with_facts_of
from napari_segnet.train._comparison import Comparison
from napari_segnet.train._forecast import Forecast, forecast
from napari_segnet.train._gate import HeldOut, no_judges, score_held_out, trusted_part
from napari_segnet.train.settings import TrainSettings

__all__ = ["Change", "TrainingResult", "changes", "fine_tune"]

COLOURS = {
    "right": (255, 255, 255),
    "gained": (0, 200, 120),
    "lost": (220, 40, 160),
    "missed": (240, 180, 0),
    "false": (60, 120, 255),
}
"""Outlines of what was found before and after, only after, only before, never, and of what the
new network invents. Told apart by the colour-blind too."""
EARLIER_BEFORE, EARLIER_AFTER = "earlier image before", "earlier image after"
"""Names of progress."""
STRETCH = (1.0, 99.8)
"""Percentiles that become black and white."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """What became of one held-out image.

    Attributes
    ----------
    name : str
        Of the image.
    picture : ndarray
        uint8 ``(y, x, 3)``: the plane with the most changes, outlines in ``COLOURS``.
    counts : mapping of str to int
        Objects of each kind in ``COLOURS``, over all planes.
    """

    name: str
    picture: npt.NDArray[np.uint8]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingResult:
    """A network that was trained, and whether it is better.

    Attributes
    ----------
    checkpoint : Checkpoint
        The new network.
    before, after : HeldOut or None
        Scores on what was held out. ``before`` is None for a network that begins from nothing.
    promoted : bool
        Whether the new one is better with the probability ``TrainSettings.promote_at``: only
        then should it take the place of the old one. False where nothing is held out, since
        nobody knows.
    dataset : Dataset
        With what was held out.
    comparison : Comparison or None
        How probably it is better, and by how much; None where nothing can be compared.
    earlier : Comparison or None
        The same on ``earlier`` images, which the old network knew: what was forgotten.
    """

    checkpoint: Checkpoint
    before: HeldOut | None
    after: HeldOut
    promoted: bool
    dataset: Dataset
    comparison: Comparison | None = None
    earlier: Comparison | None = None

    @property
    def forecast(self) -> Forecast | None:
        """What more corrected images are going to bring; None for classes, or without a score."""
        return forecast(self.after, self.dataset)

    def changes(self) -> Iterator[Change]:
        """Yield what became of each held-out image."""
        return changes(self.dataset, self.before, self.after)


@job
def fine_tune(
    network: Checkpoint,
    dataset: Dataset,
    out: Path,
    settings: TrainSettings | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    earlier: Dataset | None = None,
) -> Generator[Progress, None, TrainingResult]:
    """Score a network, train it, and score it again.

    Where the held-out images have too few objects to judge by, a region of others is held out,
    too (``dataset.hold_out``). What is held out with labels that are the old network's own
    answer, pixel by pixel, is left out of both scores.

    Parameters
    ----------
    network, dataset, out, settings, device, resume
        As for :func:`train`.
    earlier : Dataset, optional
        Images of the kind that the network knew before. They show what is forgotten; where some are
        held out, only those are scored. Nothing is learned from them, unless ``rehearsal`` is set:
        then some are held out.

    Yields
    ------
    Progress
        As :func:`train` and :func:`score_held_out`, with ``held-out image before``,
        ``held-out image after``, and the same for ``earlier image``.

    Returns
    -------
    TrainingResult
        The new network and whether it is better.

    Raises
    ------
    SegnetError
        As :func:`train`.
    """
    from napari_segnet.train._train import train

    settings = settings or TrainSettings()
    dataset = hold_out(dataset)
    if earlier is not None and settings.rehearsal:
        earlier = hold_out(earlier)
    steps = train(network, dataset, out, settings, device=device, resume=resume, earlier=earlier)
    # What cannot be trained is refused before anything is scored.
    yield next(steps)
    earlier = None if earlier is None else _all_held_out(earlier)
    result: TrainingResult = yield from _judged(steps, network, dataset, earlier, settings, device)
    return result


def _judged(
    steps: Job[Checkpoint],
    network: Checkpoint,
    dataset: Dataset,
    earlier: Dataset | None,
    settings: TrainSettings,
    device: str,
) -> Generator[Progress, None, TrainingResult]:
    """Score a network, do the steps of its training, and score what comes out."""
    how = as_run(settings, best_device(device))
    plain = PredictSettings(device=how.device, threads=settings.threads)
    before = before_earlier = None
    if network.path.exists():
        # With the advice that the new one gets: what is compared is what was learned.
        before = yield from _scored(advised(network), dataset, how, "before")
        if earlier is not None:
            before_earlier = yield from _scored(advised(network), earlier, plain, EARLIER_BEFORE)
        # What is its own answer would never let another one be better.
        if before.own:
            yield no_judges([Path(path).stem for path in before.own])
    checkpoint = yield from steps
    judged = checkpoint if before is None else with_facts_of(network, checkpoint, *SHOWN)
    after = yield from _scored(judged, dataset, how, "after")
    known = None
    if earlier is not None and before_earlier is not None:
        known_so = _as_before(checkpoint, network)
        after_earlier = yield from _scored(known_so, earlier, plain, EARLIER_AFTER)
        known = after_earlier.compared_to(before_earlier, settings.promote_at)
    if before is not None:
        own = before.own
        before, after = before.without(own), after.without(own)
    comparison = None if before is None else after.compared_to(before, settings.promote_at)
    better = before is None or (comparison is not None and comparison.verdict == "better")
    return TrainingResult(
        checkpoint=checkpoint,
        before=before,
        after=after,
        promoted=bool(after.images) and better,
        dataset=dataset,
        comparison=comparison,
        earlier=known,
    )


def _as_before(trained: Checkpoint, network: Checkpoint) -> Checkpoint:
    """Return a network that is shown images as the old one was: earlier ones are of its kind."""
    same = with_facts_of(network, trained, "invert", "channels", "object_px", *SHOWN)
    return replace(same, prepare=network.prepare, pixel_size_um=network.pixel_size_um)


def _all_held_out(dataset: Dataset) -> Dataset:
    """Return a dataset of which nothing is learned: what is held out, or else all of it."""
    chosen = dataset.of("val") or dataset.samples
    return replace(dataset, samples=tuple(replace(one, split="val") for one in chosen))


def _scored(
    network: Checkpoint, dataset: Dataset, how: PredictSettings, when: str
) -> Generator[Progress, None, HeldOut]:
    def named(report: Progress) -> Progress:
        if report.what != "held-out image":
            return report
        what = when if when in (EARLIER_BEFORE, EARLIER_AFTER) else f"{report.what} {when}"
        return replace(report, what=what)

    return (yield from changed_reports(score_held_out(network, dataset, how), named))


# ---- Pictures ----


def changes(dataset: Dataset, before: HeldOut | None, after: HeldOut) -> Iterator[Change]:
    """Yield what became of each held-out image whose labels were kept."""
    for sample in dataset.of("val"):
        new = after.labels.get(str(sample.image))
        if new is None:
            continue
        old = None if before is None else before.labels.get(str(sample.image))
        yield _change(sample, np.zeros_like(new) if old is None else old, new)


def _change(sample: Sample, old: npt.NDArray[np.int32], new: npt.NDArray[np.int32]) -> Change:
    image = open_image(sample.image)
    truth = read_objects(sample, image)
    trusted = trusted_part(sample, image, truth)
    truth, old, new = truth * trusted, old * trusted, new * trusted
    counts = dict.fromkeys(COLOURS, 0)
    best: tuple[int, npt.NDArray[np.uint8]] | None = None
    for t, z in np.ndindex(*truth.shape[:2]):
        kinds = _kinds(truth[t, z], old[t, z], new[t, z])
        for name, ids in kinds.items():
            counts[name] += len(ids)
        weight = len(kinds["gained"]) + len(kinds["lost"])
        if best is None or weight > best[0]:
            grey = _grey(image, t, z)
            best = (weight, _drawn(grey, truth[t, z], new[t, z], kinds))
    assert best is not None  # an image has at least one plane
    return Change(name=sample.name, picture=best[1], counts=counts)


def _kinds(
    truth: npt.NDArray[np.int32], old: npt.NDArray[np.int32], new: npt.NDArray[np.int32]
) -> dict[str, set[int]]:
    """Return the true objects by what became of them, and the new false ones."""
    found_old, _ = _matches(truth, old)
    found_new, used = _matches(truth, new)
    ids = {int(i) for i in np.unique(truth[truth > 0])}
    return {
        "right": found_old & found_new,
        "gained": found_new - found_old,
        "lost": found_old - found_new,
        "missed": ids - found_old - found_new,
        "false": {int(i) for i in np.unique(new[new > 0])} - used,
    }


def _matches(
    truth: npt.NDArray[np.int32], labels: npt.NDArray[np.int32]
) -> tuple[set[int], set[int]]:
    """Return which objects have a partner with an IoU of at least one half."""
    table = overlaps(truth, labels)
    good = 2 * table.pixels >= table.unions
    first, second = table.first_ids[table.first[good]], table.second_ids[table.second[good]]
    return set(first.tolist()), set(second.tolist())


def _grey(image: Any, t: int, z: int) -> npt.NDArray[np.uint8]:
    pixels = image.read(t=t, z=z)[0, :, 0].astype(np.float32).mean(0)
    low, high = np.percentile(pixels, STRETCH)
    shown: npt.NDArray[np.uint8] = np.rint(
        255 * np.clip((pixels - low) / max(float(high - low), 1e-9), 0, 1)
    ).astype(np.uint8)
    return shown


def _drawn(
    grey: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.int32],
    new: npt.NDArray[np.int32],
    kinds: dict[str, set[int]],
) -> npt.NDArray[np.uint8]:
    from skimage.segmentation import find_boundaries

    picture = np.repeat(grey[..., None], 3, axis=2)
    for name, colour in COLOURS.items():
        labels = new if name == "false" else truth
        chosen = np.where(np.isin(labels, list(kinds[name])), labels, 0)
        picture[find_boundaries(chosen, mode="inner")] = colour  # type: ignore[no-untyped-call]
    return picture
