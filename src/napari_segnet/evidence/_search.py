"""A walk through the networks that a file may be, one choice at a time."""

from __future__ import annotations

import math
from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Self

from napari_segnet.evidence._ahead import Ahead, Key, key_of
from napari_segnet.evidence._fit import Fit, credit, gain, margin
from napari_segnet.evidence._margins import PAIRS, margin_of
from napari_segnet.evidence._measure import Measure, has_norms
from napari_segnet.image import Image
from napari_segnet.programs.structure import Candidate, Space
from napari_segnet.progress import Progress, check_cancelled

if TYPE_CHECKING:
    import torch

__all__ = ["MOST_NORMS", "Judged", "Search"]

MOST_LAYOUTS = 16
"""Topologies that are tried; the search gives no more, the likeliest first."""
WALKED = 3
"""Of these, so many that fit best are walked around: a wrong choice misfits in some layers, a
wrong topology in most."""
MET = 6
"""All others are tried with the choices that were found, so many of them in all their ways to
join."""
REACH = 3.0
"""Logarithms by which a topology may lie behind before it is walked around."""
UNLIKELY = 5.0
"""Logarithms of fit and prior together by which a topology lies behind that is ruled out: set on
three networks (seeds 6, 15 and 20 of ``tests/support/unets``, two of them of held-out kinds)."""
SWEEPS = 3
"""A second sweep changes something in few networks; a third in none that was tried."""
STEP = 0.5
"""Share of the margin that decides at which the walk takes another value though it is rare: what is
wrong elsewhere still dims it."""
FAR = 1.0
"""What likelihoods by norms count beside the prior. Of 60 random networks (seeds 20000 to 20099)
the true one has the largest probability among all that differ from it in one choice or in the
topology with 1 (mean logarithm -0.69); with 0.4 -0.83, with 0.7 -0.71, with 1.5 -0.74."""
MOST_NORMS = 8
"""So many norms count of those that differ from the best network: pictures that are unlike those of
the training misfit in all layers alike, so that the sum over 27 norms led to a ReLU6 (seed 140005).
Of 39 networks (24 of the seeds 140000 to 140048, 15 of 131010 to 131144 that had not been first) 23
are first and 36 in three with 8, 23 and 35 with 6 or 12, 24 and 36 with 4, 22 and 35 without."""
FINALISTS = 12
"""So many networks are measured at all of their norms at most, until the first few are, which are
shown."""
LED = 5
"""So many are these: three pictures are shown beside one another, and some answer alike."""
SLIGHT = 1e-6
"""Logarithms: what is so little likelier is rounding."""
ENOUGH_NORMS = 8
"""How many norms that differ tell enough of another value of a choice."""
NO_ZEROS = 4.0
"""Logarithms: where reflected pictures are no less likely than zeros beside them, networks without
zeros are so much likelier. Of 22 random networks with zeros and nine norms or more (seeds 260000 to
260049) reflection is less likely by 4 to 44, and of an edited copy of jvanvugt's U-Net by 1.2; of
five without zeros (seeds 261000 to 261019) by 1.1 at most, of three it is likelier."""
AT_ONCE = 2
"""So many are measured at once where one may make the others needless."""
JOINED = ("join", "up_activation")
"""Choices of a decoder: they have to be found anew for another topology."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate and how well it fits."""

    candidate: Candidate
    fit: Fit


Steps = Generator[Progress, None, Judged | None]


class Search:
    """Candidates of one space, each run once.

    Attributes
    ----------
    measure : Measure
        What they are measured by.
    trust : float
        What norms count beside the prior, see :func:`trust`.
    """

    def __init__(self, space: Space, measure: Measure) -> None:
        self.measure, self.trust = measure, 1.0
        self._space, self._ahead = space, Ahead(space, measure)
        self._found: dict[Key, Judged | None] = {}
        self._full: dict[Key, Key] = {}
        self._kept = set[Key]()
        self._against: Fit | None = None
        self._gains: dict[Fit, float] = {}
        self._most, self._lead, self._limited = math.inf, 0.0, False

    @classmethod
    def begin(
        cls,
        space: Space,
        first: Sequence[Candidate],
        tensors: Mapping[str, torch.Tensor],
        image: Image | None,
    ) -> Self | None:
        """Return a search; None if the file says nothing of its layers' inputs.

        ``first``: the likeliest candidates; pictures are chosen for the first that can run.
        """
        for one in first:
            if not has_norms(one.graph):
                return None
            try:
                search = cls(space, Measure(tensors, one.graph, image))
            except (ValueError, RuntimeError):
                continue  # its tensors or its shapes do not meet
            fit = search.measure.fit(one.graph, keep=True)
            if fit is not None:
                return search if fit.norms else None
        return None

    def judged(
        self,
        layout: str,
        choices: Mapping[str, str],
        keep: bool = False,
        against: Judged | None = None,
        most: int = 0,
        whole: bool = False,
    ) -> Steps:
        """Return the candidate with these choices; None if there is none, or it cannot run.

        ``keep``, ``against`` and ``most`` are those of :meth:`Measure.fit`; ``whole``: at all of
        its norms, though some were measured before.
        """
        asked = key_of(layout, choices)
        key = self._full.get(asked, asked)
        if self._is_known(key, keep or whole):
            return self._found[key]
        check_cancelled()
        try:
            candidate = self._ahead.candidate(key)
        except ValueError:
            self._found[key] = None
            return None
        # What was not said is as is likeliest: one network has one entry.
        key = self._full[asked] = _key(candidate)
        if self._is_known(key, keep or whole):
            return self._found[key]
        beside = against.fit if against else None
        fit = self._ahead.fit(key, candidate, keep, beside, most)
        made = None if fit is None else Judged(candidate=candidate, fit=fit)
        self._found[key] = made
        if made is not None and self._limited:
            self._lead = max(self._lead, self._gain(made))
        if keep:
            self._kept.add(key)
        yield Progress(what="network", done=len(self._found))
        return made

    def _is_known(self, key: Key, again: bool) -> bool:
        return key in self._kept or (key in self._found and not again)

    def best(self) -> Steps:
        """Return the best network that the walk finds."""
        leader: Judged | None = None
        layouts = self._space.layouts[:MOST_LAYOUTS]
        for at, layout in enumerate(layouts):
            if leader is not None:
                self._begin([(one, {}) for one in layouts[at : at + AT_ONCE]], leader)
            found = yield from self.judged(layout, {}, keep=leader is None, against=leader)
            if found and (leader is None or self._score(found) > self._score(leader)):
                leader = yield from self._whole(found)
        if leader is None:
            return None
        best = yield from self._walk(leader)
        walked = {leader.candidate.layout}
        yield from self._met(best)
        while len(walked) < WALKED:
            others = [one for one in self.by_layout() if one.candidate.layout not in walked]
            if not others or self._score(others[0]) < self._score(best) - REACH:
                break
            walked.add(others[0].candidate.layout)
            found = yield from self._walk(others[0])
            best = max(best, found, key=self._score)
        return best

    def beside(self, best: Judged, name: str, value: str) -> Steps:
        """Return the network with another value of one choice, at its best.

        Another topology is met with its own best choices; where two choices may make up for
        one another, the other one is free.
        """
        layout, choices = best.candidate.layout, dict(best.candidate.choices)
        if name == "layout":
            return next((one for one in self.by_layout() if one.candidate.layout == value), None)
        choices[name] = value
        free = [other for pair in PAIRS if name in pair for other in pair if other != name]
        found, variants = [], list(self._variants(best.candidate, choices, free))
        self._begin([(layout, varied) for varied in variants], best, ENOUGH_NORMS)
        for varied in variants:
            made = yield from self.judged(layout, varied, against=best, most=ENOUGH_NORMS)
            if made is not None:
                found.append(made)
        return max(found, key=lambda one: gain(one.fit, best.fit), default=None)

    def rivals(self, best: Judged, least: float) -> Generator[Progress, None, tuple[Judged, ...]]:
        """Return the best of each other topology that neither norms nor prior rule out.

        Each is measured at all of its norms: the first ones alone may not rule it out.
        ``least``: the margin by which it is told.
        """
        found: list[Judged] = []
        for one in self.by_layout():
            own = one.candidate
            if own.layout != best.candidate.layout and self._is_rival(one, best, least):
                whole = yield from self.judged(own.layout, own.choices, whole=True)
                found += [whole] if whole and self._is_rival(whole, best, least) else []
        return tuple(found)

    def _is_rival(self, one: Judged, best: Judged, least: float) -> bool:
        return margin(best.fit, one.fit) < least and self._beyond(one, best) > -UNLIKELY

    def ranked(
        self, best: Judged, most: int, limited: bool = False
    ) -> Generator[Progress, None, tuple[Judged, ...]]:
        """Return the best networks by fit and prior together; no graph twice.

        The first few are measured at all of their norms. ``limited``: a lead in fit counts less
        among those that fit well, see ``credit``: so what is common stands beside what fits best.
        """
        self._against, self._most, self._gains = best.fit, MOST_NORMS, {}
        self._found |= yield from _without_paddings(self, self._ahead, best)
        self._lead, self._limited = 0.0, limited
        self._lead = max(self._gain(one) for one in self._found.values() if one)
        found = yield from self._finalists(best, most)
        self._limited = False
        return found

    def _finalists(self, best: Judged, most: int) -> Generator[Progress, None, tuple[Judged, ...]]:
        whole = set[Key]()
        for _ in range(FINALISTS):
            first = self._different(LED)
            parts = [one.candidate for one in first if _is_part(one, best, whole)]
            if not parts:
                break
            self._ahead.measure({_key(one): one for one in parts[:AT_ONCE]}, None, 0)
            own = parts[0]
            whole.add(_key(own))
            yield from self.judged(own.layout, own.choices, whole=True)
        return self._different(most)

    def _different(self, most: int) -> tuple[Judged, ...]:
        """Return the best of those that were tried, no graph twice."""
        found: list[Judged] = []
        for one in self._sorted():
            if len(found) == most:
                break
            if all(one.candidate.graph != other.candidate.graph for other in found):
                found.append(one)
        return tuple(found)

    def _sorted(self) -> list[Judged]:
        """Return all that were tried, the best first."""
        return sorted((one for one in self._found.values() if one), key=self._score, reverse=True)

    def by_layout(self) -> list[Judged]:
        """Return the best network of each topology, the best first."""
        found: dict[str, Judged] = {}
        for one in self._sorted():
            found.setdefault(one.candidate.layout, one)
        return list(found.values())

    def _met(self, best: Judged) -> Generator[Progress, None, None]:
        """Try other topologies with the choices that were found for one."""
        others = [o for o in self.by_layout() if o.candidate.layout != best.candidate.layout]
        for turn, other in enumerate(others):
            possible = other.candidate.open
            choices = {n: v for n, v in best.candidate.choices.items() if v in possible.get(n, ())}
            layout = other.candidate.layout
            variants = list(self._variants(other.candidate, choices, JOINED * (turn < MET)))
            self._begin([(layout, varied) for varied in variants], best)
            for varied in variants:
                yield from self.judged(layout, varied, against=best)

    def _begin(
        self, wanted: Sequence[tuple[str, Mapping[str, str]]], against: Judged, most: int = 0
    ) -> None:
        """Measure those of some candidates at once that are not known; see :meth:`judged`."""
        found = {}
        for layout, choices in wanted:
            asked = key_of(layout, choices)
            with suppress(ValueError):
                one = self._ahead.candidate(self._full.get(asked, asked))
                if _key(one) not in self._found:
                    found[_key(one)] = one
        self._ahead.measure(found, against.fit, most)

    def _variants(
        self, candidate: Candidate, choices: Mapping[str, str], free: Iterable[str]
    ) -> Iterable[dict[str, str]]:
        names = [name for name in free if len(candidate.open.get(name, ())) > 1]
        own = {**candidate.choices, **choices}
        for values in product(*(candidate.open[name] for name in names)):
            yield {**own, **dict(zip(names, values, strict=True))}

    def _walk(self, start: Judged) -> Generator[Progress, None, Judged]:
        """Change one choice at a time, then two that interact, while that is a clear gain."""
        best = yield from self._whole(start)
        names = [
            n for n, values in best.candidate.open.items() if len(values) > 1 and n != "layout"
        ]
        steps: list[tuple[str, ...]] = [(name,) for name in sorted(names, key=_order)]
        steps += [pair for pair in PAIRS if set(pair) <= set(names)]
        for _ in range(SWEEPS):
            before = best
            for step in steps:
                found = yield from self._stepped(best, step)
                if found is not best:
                    best = yield from self._whole(found)
            if best is before:
                break
        return best

    def _stepped(self, best: Judged, names: tuple[str, ...]) -> Generator[Progress, None, Judged]:
        """Return the best of the networks with other values of some choices, or the same one.

        Another value is taken where it fits so much better that it is likelier, prior included,
        or that it is all but proven.
        """
        candidate = best.candidate
        found, most = best, 0.0
        variants = list(self._variants(candidate, candidate.choices, names))
        variants += _on_the_way_down(candidate) if "encoder_activation" in names else []
        self._begin([(candidate.layout, varied) for varied in variants], best, ENOUGH_NORMS)
        for varied in variants:
            made = yield from self.judged(candidate.layout, varied, False, best, ENOUGH_NORMS)
            if made is None or made.candidate.graph == candidate.graph:
                continue
            better = self._beyond(made, best)
            least = STEP * min(margin_of(name) for name in names)
            if margin(made.fit, best.fit) >= least:
                better = max(better, FAR * gain(made.fit, best.fit))
            if better > most + SLIGHT:
                found, most = made, better
        return found

    def _beyond(self, one: Judged, other: Judged) -> float:
        """Return by how much a network is likelier than another."""
        fits = FAR * gain(one.fit, other.fit)
        return one.candidate.prior - other.candidate.prior + fits

    def _whole(self, one: Judged) -> Generator[Progress, None, Judged]:
        """Run a network to its end, so that those after it go on from its answers."""
        again = yield from self.judged(one.candidate.layout, one.candidate.choices, keep=True)
        return again or one

    def _score(self, one: Judged) -> float:
        """Return prior and fit together."""
        lead = self._gain(one)
        if self._limited:
            lead = credit(min(lead - self._lead, 0.0), one.fit.late)
        return one.candidate.prior + FAR * self.trust * lead

    def _gain(self, one: Judged) -> float:
        """Return by how much a network fits better than one to which all are compared.

        Where only its first norms were measured, it is not known to fit better than all others.
        """
        if self._against is None:
            self._against = one.fit
        if one.fit not in self._gains:
            self._gains[one.fit] = gain(one.fit, self._against, self._most)
        lead = self._gains[one.fit]
        whole = len(one.fit.norms) >= len(self._against.norms) or not self._limited
        return lead if whole else min(lead, self._lead)


def _on_the_way_down(candidate: Candidate) -> list[dict[str, str]]:
    """Return the choices with which an activation that is rare stands on the way down alone.

    One on both ways may fit since it is that of the way down, which has more norms. Where one
    stands there alone, those with it, or another of its kind, on both ways are returned.
    """
    own, usual = candidate.choices.get("activation", ""), candidate.open.get("activation", ("",))[0]
    same = candidate.choices.get("encoder_activation") == "same"
    if not same and own == usual:
        both = {"encoder_activation": "same"}
        rare = [one for one in candidate.open["encoder_activation"] if one != "same"]
        return [{**candidate.choices, "activation": one, **both} for one in rare]
    if own == usual or not same or own not in candidate.open["encoder_activation"]:
        return []
    return [{**candidate.choices, "activation": usual, "encoder_activation": own}]


def _without_paddings(
    search: Search, ahead: Ahead, best: Judged
) -> Generator[Progress, None, dict[Key, Judged | None]]:
    """Return the best network without zeros beside its pictures: reflected, and without paddings.

    What the second one cuts off misfits where it is the true one, too, or leaves nothing of a small
    picture, so it fits as the first one does. Both are likelier where zeros fit no better.
    """
    layout, choices = best.candidate.layout, dict(best.candidate.choices)
    padding = choices.get("padding")
    if padding == "valid" or "valid" not in best.candidate.open.get("padding", ()):
        return {}
    twin = yield from search.judged(layout, {**choices, "padding": "reflect"}, whole=True)
    own = yield from search.judged(layout, {**choices, "padding": "valid"})
    if twin is None or (own is not None and gain(twin.fit, own.fit) <= 0):
        return {}
    zeros = padding == "same"
    if zeros and (len(best.fit.norms) < ENOUGH_NORMS or gain(twin.fit, best.fit) < 0):
        return {}
    found: dict[Key, Judged | None] = {}
    for value in ("reflect", "valid"):
        with suppress(ValueError):
            one = ahead.candidate(key_of(layout, {**choices, "padding": value}))
            likelier = replace(one, prior=one.prior + NO_ZEROS * zeros)
            found[_key(one)] = Judged(candidate=likelier, fit=twin.fit)
    return found


def _is_part(one: Judged, best: Judged, whole: Container[Key]) -> bool:
    """Tell if a network was measured at its first norms alone."""
    return len(one.fit.norms) < len(best.fit.norms) and _key(one.candidate) not in whole


def _key(candidate: Candidate) -> Key:
    return key_of(candidate.layout, candidate.choices)


ORDER = (
    "norm_place", "inner_activation", "join", "skip", "up_activation", "activation", "pooling",
    "dilation",
)  # fmt: skip
"""What changes most comes first; all others follow. Where blocks lack an activation, none at all
fits better than one everywhere, so that one is asked for first."""


def _order(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
