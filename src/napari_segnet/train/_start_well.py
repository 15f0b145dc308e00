"""Start well: the settings that already bring most are tried on the corrected objects.

A network that finds nothing on new images is often shown them in the wrong way: dark objects where
it knows bright ones, another scale, another normalisation. That costs no training to put right.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from napari_segnet.builtin import builtin_models
from napari_segnet.card import AVERAGES, averaging_times
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import best_device
from napari_segnet.errors import ImageError, MismatchError, SegnetError, SettingsError
from napari_segnet.find import find_settings
from napari_segnet.image import Image
from napari_segnet.plan import PredictSettings
from napari_segnet.plan.found import way_of
from napari_segnet.plan.input import (
    channels_of,
    inverted,
    recipe,
    scale_of,
    stands_mirrors,
    stands_scales,
)
from napari_segnet.progress import Progress, changed_reports, check_cancelled, job, run
from napari_segnet.readers import open_image
from napari_segnet.recognition import identify
from napari_segnet.train._begin import advised, as_run
from napari_segnet.train._comparison import Comparison
from napari_segnet.train._gate import HeldOut, score_held_out
from napari_segnet.train._starting_point import SETTINGS, OtherNetwork, StartingPoint, TriedWay
from napari_segnet.train.settings import TrainSettings

__all__ = ["other_built_in", "start_well"]

FACTORS = (0.5, 0.5**0.5, 2**0.5, 2.0)
"""Of the usual scale, by half octaves; networks stand a change of size by a fifth or so."""
STAINS = ("hematoxylin", "eosin")
NORMALIZERS = ("percentile", "min-max", "z-score", "divide-255")
"""Those that most public networks were trained with, see ``find``."""
MOST_SAMPLES = 4
"""Images that are tried, the ones with the most sources first: each way runs the network on all."""
MOST_S, LEAST_S = 300, 60
"""Seconds after which no further way is tried, at most and at least: large volumes take minutes
each, and a training of a minute is not to begin after five."""
MOST_FOUND = 2
"""Of what fits the statistics in the file."""
NOTHING = 0.01
"""So much score is not worth a setting more."""


Changes = Mapping[str, str | float]


@job
def start_well(
    network: Checkpoint,
    dataset: Dataset,
    settings: TrainSettings | None = None,
    *,
    device: str = "auto",
    others: Sequence[Checkpoint] = (),
) -> Generator[Progress, None, StartingPoint]:
    """Try how the corrected images are best shown to a network that is not trained yet.

    What fits the statistics in the file best (``find``) first, then light and dark and channels,
    each alone; then scale and at last normalisation, each with the best of what was found before
    it; at last the other networks, each as its card says. A way that not all images can be shown
    in is left out. After as long as the training takes, but at most ``MOST_S`` seconds, no more
    are tried.

    Parameters
    ----------
    network : Checkpoint
        What the training would begin with.
    dataset : Dataset
        Corrected images, of which up to ``MOST_SAMPLES`` are looked at, all on either side of the
        split: nothing is learned. Labels that are a network's own answer do not count.
    settings : TrainSettings
        How images would be shown as it is.
    device : str
        As in ``train``.
    others : sequence of Checkpoint
        What could be trained instead (``other_built_in``).

    Yields
    ------
    Progress
        ``way``, one after the other; ``note`` for labels that do not count.

    Returns
    -------
    StartingPoint
        Scores, and the way that is offered; it is a SettingsError if there is nothing to judge by.
    """
    settings = settings or TrainSettings()
    _require_weights(network)
    looked_at = _looked_at(dataset)
    tries = _Tries(advised(network), looked_at, settings, device)
    yield Progress(what="way")
    now = yield from tries.add({})
    image, *further = _opened(looked_at)
    chosen = now
    for make in (partial(_by_statistics, further), _lights, _scales, _normalizers):
        for changes in make(network, image, settings, tries.ranked()[0].changes):
            if tries.seconds_left > 0:
                yield from tries.add_where_it_fits(changes)
        chosen = tries.surely_better(chosen, settings.promote_at)
    chosen = yield from tries.simplest(chosen)
    averaged = yield from tries.averaged(chosen, settings.promote_at)
    other = yield from tries.best_of(others, chosen, settings.promote_at)
    return StartingPoint(
        ways=tries.ranked(), now=now, chosen=chosen, averaged=averaged, other=other,
        given=_differing(settings), comparison=tries.offer(chosen, now),
    )  # fmt: skip


def _require_weights(network: Checkpoint) -> None:
    if not network.path.exists():
        raise SettingsError(
            f"{network.path.name} is untrained, so there are no settings to try. Train it."
        )


def other_built_in(network: Checkpoint) -> tuple[Checkpoint, ...]:
    """Return the built-in networks besides this one, of as many dimensions."""
    found = (identify(path) for path in builtin_models().values() if path != network.path)
    return tuple(other for other in found if other.ndim == network.ndim)


class _Tries:
    """Runs the network in one way after the other and keeps what came of it."""

    def __init__(
        self, network: Checkpoint, dataset: Dataset, settings: TrainSettings, device: str
    ) -> None:
        self._network, self._dataset, self._settings = network, dataset, settings
        self._device = best_device(device)
        self._begun = perf_counter()
        self.found: list[TriedWay] = []

    @property
    def seconds(self) -> float:
        """How long ways were tried so far."""
        return perf_counter() - self._begun

    @property
    def seconds_left(self) -> float:
        """For how long further ways may be tried; negative if that is over."""
        training = 60 * self._settings.minutes or MOST_S
        return min(MOST_S, max(LEAST_S, training)) - self.seconds

    def add(self, changes: Changes) -> Generator[Progress, None, TriedWay]:
        """Try one way; what was tried is not tried again."""
        check_cancelled()
        for way in self.found:
            if dict(way.changes) == dict(changes):
                return way
        values: Any = {name: changes[name] for name in changes if name not in AVERAGES}
        how = as_run(replace(self._settings, **values), self._device)
        # Ways are compared with each other: mirror images and scales are not worth their time.
        averages: Any = {name: str(changes.get(name, "no")) for name in AVERAGES}
        held = yield from self._scored(self._network, replace(how, **averages))
        if not held.images or (held.kind == "instance" and not held.scores.n_true):
            raise SettingsError(
                "There is no corrected object to score settings with. Correct an image, and add "
                "it to the training set."
            )
        way = TriedWay(changes=dict(changes), held=held)
        self.found.append(way)
        return way

    def _scored(
        self, network: Checkpoint, how: PredictSettings
    ) -> Generator[Progress, None, HeldOut]:
        def change(report: Progress) -> Progress:
            first = report.what == "note" and not self.found
            return report if first else Progress(what="way", done=len(self.found))

        steps = score_held_out(network, self._dataset, how)
        return (yield from changed_reports(steps, change))

    def best_of(
        self, others: Sequence[Checkpoint], than: TriedWay, wanted: float
    ) -> Generator[Progress, None, OtherNetwork | None]:
        """Try other networks; return the best whose score is higher than that of a way.

        One that is better by more than chance comes before all others.

        Images whose true labels are the own answer of one of the two are left out: no other network
        could be better there.
        """
        how = as_run(StartingPoint.as_its_card_says(self._settings), self._device)
        how = replace(how, mirror="no", multiscale="no")
        found: list[OtherNetwork] = []
        for network in others:
            if self.seconds_left <= 0:
                break
            check_cancelled()
            try:
                held = yield from self._scored(network, how)
            except SegnetError:
                continue  # it costs nothing of what was found
            own = {*held.own, *than.held.own}
            way, usual = TriedWay(changes={}, held=held.without(own)), than.held.without(own)
            comparison = way.held.compared_to(usual, 1 - (1 - wanted) / len(others))
            if comparison is not None and comparison.gain[1] >= NOTHING:
                name = network.path.stem
                found.append(OtherNetwork(name=name, way=way, comparison=comparison))
        return max(found, key=lambda other: (other.is_certain, other.way.score), default=None)

    def add_where_it_fits(self, changes: Changes) -> Generator[Progress, None, None]:
        """Try one way, unless one of the images cannot be shown so: a grey one has no stains."""
        try:
            yield from self.add(changes)
        except MismatchError:
            return

    def averaged(self, way: TriedWay, wanted: float) -> Generator[Progress, None, TriedWay | None]:
        """Try a way with averaged outputs; return it if that is better by more than chance.

        Mirror images alone come first: half the size costs objects that are small already.
        """
        found: TriedWay | None = None
        for averages in _averages(self._network):
            usual_s = self.seconds / max(1, len(self.found))
            if usual_s * averaging_times(averages) > self.seconds_left:
                break
            tried = yield from self.add({**way.changes, **averages})
            comparison = tried.held.compared_to(way.held, wanted)
            better = comparison is not None and comparison.verdict == "better"
            if better and tried.score >= (found or way).score + NOTHING:
                found = tried
        return found

    def surely_better(self, than: TriedWay, wanted: float) -> TriedWay:
        """Return the best way if it is better than another one by more than chance, else that.

        The more ways were tried, the surer one must be (Bonferroni).
        """
        best = self.ranked()[0]
        sure = 1 - (1 - wanted) / max(1, len(self.found) - 1)
        comparison = best.held.compared_to(than.held, sure)
        return best if comparison is not None and comparison.verdict == "better" else than

    def offer(self, way: TriedWay, now: TriedWay) -> Comparison | None:
        """Compare what is offered with the settings that were given; None if it is these."""
        wanted = self._settings.promote_at
        return None if way is now else way.held.compared_to(now.held, wanted)

    def simplest(self, way: TriedWay) -> Generator[Progress, None, TriedWay]:
        """Leave out one change after the other, as long as that costs next to nothing."""
        for name in tuple(way.changes):
            fewer = {other: value for other, value in way.changes.items() if other != name}
            without = yield from self.add(fewer)
            if without.score >= way.score - NOTHING:
                way = without
        return way

    def ranked(self) -> tuple[TriedWay, ...]:
        """Return the ways, the best first; of equal ones those with the fewest changes."""
        return tuple(
            sorted(
                self.found,
                key=lambda w: (-w.score if not math.isnan(w.score) else 1, len(w.changes)),
            )
        )


def _looked_at(dataset: Dataset) -> Dataset:
    """Return some corrected images, of as many sources as there are, all to be scored."""
    usable = [s for s in dataset.samples if not s.untouched] or list(dataset.samples)
    first: dict[str, Sample] = {}
    for sample in usable:
        first.setdefault(sample.source or str(sample.image), sample)
    firsts = list(first.values())
    order = [*firsts, *(s for s in usable if s not in firsts)][:MOST_SAMPLES]
    samples = tuple(replace(s, split="val", box=None) for s in order)
    return replace(dataset, samples=samples)


def _opened(dataset: Dataset) -> list[Image]:
    """Return the images that can be read; the others are left out of the scores, too."""
    found = []
    for sample in dataset.samples:
        with contextlib.suppress(ImageError):
            found.append(open_image(sample.image))
    return found


def _lights(
    network: Checkpoint, image: Image, settings: TrainSettings, best: Changes
) -> Iterable[Changes]:
    """Yield light and dark exchanged, and the stains of a picture in colour."""
    own = "yes" if inverted(network, as_run(settings)) else "no"
    other = "no" if own == "yes" else "yes"
    yield {"invert": other}
    if network.channels == 1 and image.rgb and image.sizes["c"] == 3:
        for stain in STAINS:
            if stain != channels_of(network, image, as_run(settings)):
                yield {"channels": stain, **({"invert": "no"} if own == "yes" else {})}
    elif network.channels == 1 and 1 < image.sizes["c"] <= 4:
        yield from ({"channels": str(c)} for c in range(image.sizes["c"]))


def _scales(
    network: Checkpoint, image: Image, settings: TrainSettings, best: Changes
) -> Iterable[Changes]:
    """Yield smaller and larger ones by half octaves."""
    try:
        usual = settings.scale or scale_of(network, image, as_run(settings))[0]
    except MismatchError:
        usual = 1.0  # pixel sizes that cannot be true: the pixels as they are
    scales = [float(f"{usual * factor:.3g}") for factor in FACTORS]
    yield from ({**best, "scale": scale} for scale in scales if 0.01 <= scale <= 100)


def _normalizers(
    network: Checkpoint, image: Image, settings: TrainSettings, best: Changes
) -> Iterable[Changes]:
    """Yield the usual normalisations, unless the file says which one the network knows.

    The built-in network had a better score with fixed grey values (``divide-255``) on four images
    of histology, and after a training so it was worse on a quarter of the others than with its own
    (0.59 instead of 0.60, 0.48 instead of 0.50): images of one kind differ in brightness.
    """
    if _says_normalization(network):
        return
    own, _ = recipe(network, as_run(settings))
    names = [*NORMALIZERS, *(("divide-65535",) if image.dtype == "uint16" else ())]
    for name in names:
        if name != own and not (name.startswith("divide") and image.dtype.kind == "f"):
            yield {**best, "normalize": name}


def _differing(settings: TrainSettings) -> Changes:
    """Return the settings of the input that are not the usual ones."""
    usual = TrainSettings()
    values = {name: getattr(settings, name) for name in SETTINGS}
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def _averages(network: Checkpoint) -> tuple[Changes, ...]:
    """Return by which averages a network can run and does not already, the quicker ones first."""
    can = {
        "mirror": network.ndim == 2 and stands_mirrors(network),
        "multiscale": stands_scales(network),
    }
    names = [name for name in AVERAGES if can[name] and network.card.get(name) != "yes"]
    return tuple(dict.fromkeys(names[: at + 1], "yes") for at in range(len(names)))


def _says_normalization(network: Checkpoint) -> bool:
    known = network.known.get("prepare")
    return known is not None and known.source == "read"


def _by_statistics(
    others: Sequence[Image],
    network: Checkpoint,
    image: Image,
    settings: TrainSettings,
    best: Changes,
) -> Iterable[Changes]:
    """Yield what fits best what the file remembers of its training, if it does."""
    given = way_of(network, image, as_run(settings))
    names = ("scale", "invert", *(("channels",) if network.channels > 1 else ()))
    names = names if _says_normalization(network) else ("normalize", *names)
    found = run(find_settings(network, image, given, names, others))
    if found.by != "nothing":
        for ranked in found.ranked[:MOST_FOUND]:
            values = {name: getattr(ranked.way, name) for name in SETTINGS}
            yield {n: v for n, v in values.items() if v != getattr(given, n)}
