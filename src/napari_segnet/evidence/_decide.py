"""Which choices of a network are decided by what its file says of it."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Known
from napari_segnet.evidence._answers import distinct
from napari_segnet.evidence._fit import SAME, Fit, gain, least_gain, margin, trust
from napari_segnet.evidence._margins import (
    AGAINST,
    FAIR,
    LIKELIER,
    ODD,
    OF_ALL,
    SPEAKS,
    UNCERTAIN,
    UNPROVEN,
    is_provable,
    margin_of,
)
from napari_segnet.evidence._search import MOST_NORMS, Judged, Search
from napari_segnet.evidence._variants import Variants
from napari_segnet.image import Image
from napari_segnet.programs.structure import Candidate, Space, with_both_answers
from napari_segnet.progress import Progress, job

if TYPE_CHECKING:
    import torch

__all__ = ["Decision", "Verdict", "decide"]

MOST_RANKED = 8
"""Candidates that are worth showing."""
MOST_SHOWN = 4
"""Of these, so many are compared by their answers: three are shown beside one another."""
TURNS = 3
"""While other values are tried, a better network may turn up; then these are tried around it."""
LEAD = 3.0
"""Logarithm. By so much another value than the published one must be likelier: norms do not misfit
one by one, so their sum says more than is known."""
STEPLESS = (
    "the BatchNorm statistics rule the others out, but not a step that has no tensors: a scaled or "
    "gated skip connection, a layer that is never run, an enlarged output"
)
UNTRACED = "the input of every BatchNorm is the same with any value, so no statistics decide"
UNFIT = "the BatchNorm statistics of the file fit none of the networks that were tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of one choice.

    Attributes
    ----------
    value : str
        What is taken.
    decided : bool
        Whether the file proves it; else it is assumed.
    margin : float
        By how much it fits better than the next best value; below 0: worse, but likelier.
    against : str
        That value.
    divergence, other : float
        Typical divergence of both in nats, at the norms that differ.
    traced : bool
        Whether any norm has another input with another value; else no statistics can decide.
    """

    value: str
    decided: bool
    margin: float
    against: str
    divergence: float = math.nan
    other: float = math.nan
    traced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The networks that a file may be, the best first, and what of the best one is proven.

    Attributes
    ----------
    candidates : tuple of Candidate
        All that were tried, up to eight, in the order of fit and prior together.
    verdicts : mapping of str to Verdict
        For each open choice of the first; empty where the file has no statistics.
    fit : Fit or None
        How well the first fits.
    inputs : mapping of str to float
        Value of the setting ``normalize`` -> divergence in nats at the first norms, best first.
    shown : str
        What the networks were shown, in words.
    """

    candidates: tuple[Candidate, ...]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    fit: Fit | None = None
    inputs: Mapping[str, float] = field(default_factory=dict)
    shown: str = ""

    @property
    def is_uncertain(self) -> bool:
        """True if even the first is so far from the file's numbers that another one is meant."""
        return self.fit is not None and self.fit.late > UNCERTAIN

    @property
    def odd(self) -> tuple[str, ...]:
        """Layers whose input is so far from the file's numbers that something else comes there."""
        return () if self.fit is None else self.fit.beyond(ODD)

    @property
    def misfits(self) -> bool:
        """True if even the first fits badly, in many layers or in one."""
        return self.is_uncertain or bool(self.odd)

    @property
    def best(self) -> Candidate:
        """The first candidate."""
        return self.candidates[0]

    def known(self) -> dict[str, Known]:
        """Return how each choice of the best candidate is known."""
        found = {}
        for name, values in self.best.open.items():
            why = self.best.why.get(name, "")
            verdict = self.verdicts.get(name)
            reason = self._why_unproven() if name == "layout" else ""
            if reason:
                found[name] = Known(source="assumed", why=f"{why}; {reason}" if why else reason)
            elif len(values) < 2:
                found[name] = Known(source="read", why=why)
            elif verdict is None:
                found[name] = Known(source="assumed", why=why)
            else:
                found[name] = known(verdict, why, self.shown)
        return found

    def _why_unproven(self) -> str:
        """Return why no statistics prove the layout; empty where they are silent of it."""
        if self.is_uncertain:
            return UNFIT
        verdict = self.verdicts.get("layout")
        return STEPLESS if verdict is not None and verdict.decided else ""


def known(verdict: Verdict, why: str, shown: str) -> Known:
    """Return a verdict as a fact, with its reason.

    Parameters
    ----------
    verdict : Verdict
        On one choice.
    why : str
        Why the value is the likeliest without a verdict.
    shown : str
        What the network was shown, in words.
    """
    figures = f"{verdict.divergence:.2g} against {verdict.other:.2g} of {verdict.against}"
    if verdict.decided:
        said = f"by the BatchNorm statistics of the file on {shown}: {figures}"
        return Known(source="decided", why=said)
    tail = f"the BatchNorm statistics do not decide ({figures})"
    tail = tail if verdict.traced else UNTRACED
    return Known(source="assumed", why=f"{why}; {tail}" if why else tail)


@job
def decide(
    space: Space, tensors: Mapping[str, torch.Tensor], image: Image | None = None
) -> Generator[Progress, None, Decision]:
    """Find the network of a file among all that its tensors can be.

    Parameters
    ----------
    space : Space
        The networks that the shapes allow.
    tensors : mapping of str to Tensor
        Of the file, under their names in the graphs.
    image : Image, optional
        Of the user; without it, pictures that ship with the package.

    Yields
    ------
    Progress
        ``network``: how many were tried.

    Returns
    -------
    Decision
        Candidates and verdicts; without statistics in the file, by prior and weights alone.
    """
    yield Progress(what="network")
    published = isinstance(space, Variants)
    space = space if published else _weighed(space, tensors)
    first = space.first(MOST_RANKED)
    search = Search.begin(space, first, tensors, image)
    if search is None:
        return Decision(candidates=with_both_answers(space, first))
    best = yield from search.best()
    if best is None:
        return Decision(candidates=with_both_answers(space, first))
    search.trust = 1.0 if published else trust(best.fit.late, UNCERTAIN)
    misfits = search.trust < 1.0
    for turn in range(TURNS):
        verdicts = yield from _verdicts(search, best)
        ranked = yield from search.ranked(best, MOST_RANKED)
        # What is published stays as it is until another network is proven.
        leads = _leads(ranked[0], best, misfits)
        if turn == TURNS - 1 or published or not leads:
            break
        best = ranked[0]
    verdicts = yield from _agreed(search, best, verdicts)
    if published:
        best, verdicts = yield from _likeliest(search, best, verdicts)
    else:
        ranked = yield from search.ranked(best, MOST_RANKED, limited=True)
    if misfits or best.fit.late > UNCERTAIN:
        verdicts = {n: replace(verdict, decided=False) for n, verdict in verdicts.items()}
    shown = _shown(search, best, ranked, verdicts)
    return Decision(
        candidates=with_both_answers(space, shown),
        verdicts=verdicts,
        fit=best.fit,
        inputs=search.measure.inputs,
        shown=str(search.measure.pictures),
    )


def _weighed(space: Space, tensors: Mapping[str, torch.Tensor]) -> Space:
    """Return a space whose priors know what the weights say."""
    from napari_segnet.evidence._trained import Trained, Weighed

    return Weighed(space, Trained(tensors))


def _leads(one: Judged, best: Judged, misfits: bool = False) -> bool:
    """Tell if a network that is likelier than the best so far takes its place.

    ``misfits``: whether even the best one fits so badly that a worse fit does not matter.
    """
    if one.candidate.graph == best.candidate.graph:
        return False
    if misfits:
        return True
    others = one.candidate.choices
    # What only one of the topologies leaves open tells nothing of the other.
    differ = [n for n, value in best.candidate.choices.items() if others.get(n, value) != value]
    return margin(best.fit, one.fit) < min(margin_of(name) for name in differ or ("layout",))


def _shown(
    search: Search,
    best: Judged,
    ranked: Sequence[Judged],
    verdicts: Mapping[str, Verdict],
) -> tuple[Candidate, ...]:
    """Return what is worth showing: first what contradicts no verdict, nothing twice."""
    proven = {name: verdict.value for name, verdict in verdicts.items() if verdict.decided}
    others = [one.candidate for one in ranked if one.candidate.graph != best.candidate.graph]
    others.sort(key=lambda one: any(one.choices.get(n, v) != v for n, v in proven.items()))
    found = (best.candidate, *others)[:MOST_RANKED]
    return distinct(found, search.measure, MOST_SHOWN)


def _verdicts(search: Search, best: Judged) -> Generator[Progress, None, dict[str, Verdict]]:
    """Set every open choice of a network beside all its other values."""
    found = {}
    for name, values in best.candidate.open.items():
        taken = best.candidate.choices[name]
        if len(values) < 2:
            continue
        others: dict[str, Judged] = {}
        for value in values:
            if value != taken:
                other = yield from search.beside(best, name, value)
                if other is not None:
                    others[value] = other
        if others:
            found[name] = _verdict(best, name, others, name)
        elif others := _elsewhere(search, best, name):
            found[name] = _verdict(best, name, others, "layout")
        # Otherwise no other value can even take the tensors, or the pictures.
    if "valid" in best.candidate.open.get("padding", ()) and "dilation" in found:
        # Dilated kernels see as much less of the image as others without paddings.
        sure = found["padding"].decided if "padding" in found else False
        found["dilation"] = replace(found["dilation"], decided=found["dilation"].decided and sure)
    return found


def _elsewhere(search: Search, best: Judged, name: str) -> dict[str, Judged]:
    """Return the best network of each topology that has another value of a choice, by its layout.

    In such a topology that is the only value, and here it is another one.
    """
    taken = best.candidate.choices[name]
    return {
        one.candidate.layout: one
        for one in search.by_layout()
        if one.candidate.choices.get(name, taken) != taken
    }


def _verdict(best: Judged, name: str, others: Mapping[str, Judged], margins: str) -> Verdict:
    """Set a network beside those with other values of a choice, by the margin of one."""
    taken = best.candidate.choices[name]
    nearest = min(others, key=lambda value: margin(best.fit, others[value].fit))
    near, far = _typical(best.fit, others[nearest].fit)
    return Verdict(
        value=taken,
        decided=is_provable(name, taken)
        and all(
            _clearly(best, other, margins) and _agree(best.fit, other.fit, name)
            for other in others.values()
        ),
        margin=margin(best.fit, others[nearest].fit),
        against=others[nearest].candidate.choices[name],
        divergence=near,
        other=far,
        traced=any(_differ(best.fit, other.fit) for other in others.values()),
    )


def _agreed(
    search: Search, best: Judged, verdicts: Mapping[str, Verdict]
) -> Generator[Progress, None, dict[str, Verdict]]:
    """Leave nothing decided that a topology does not share which the norms do not rule out.

    Where topologies are left, the file proves a choice only if it proves it in each of them.
    """
    found = dict(verdicts)
    rivals = yield from search.rivals(best, margin_of("layout", best.fit.late))
    for rival in rivals:
        for name, verdict in found.items():
            if name == "layout" or not verdict.decided:
                continue
            proven = rival.candidate.choices.get(name) == verdict.value
            for value in rival.candidate.open.get(name, ()) if proven else ():
                if value != verdict.value:
                    other = yield from search.beside(rival, name, value)
                    proven = proven and (other is None or _clearly(rival, other, name))
            found[name] = replace(verdict, decided=proven)
    return found


def _likeliest(
    search: Search, best: Judged, verdicts: Mapping[str, Verdict]
) -> Generator[Progress, None, tuple[Judged, dict[str, Verdict]]]:
    """Take back what the search changed for too small a gain: there, the prior counts more.

    The other verdicts stay as they are: they were found beside the values that fit best.
    """
    back: dict[str, Verdict] = {}
    for name in verdicts:
        usual, taken = best.candidate.open[name][0], best.candidate.choices[name]
        if taken == usual:
            continue
        other = yield from search.beside(best, name, usual)
        if other is not None and _too_small(best, other, name):
            near, far = _typical(best.fit, other.fit)
            back[name] = Verdict(
                value=usual,
                decided=False,
                margin=-margin(best.fit, other.fit),
                against=taken,
                divergence=far,
                other=near,
            )
    if not back:
        return best, dict(verdicts)
    choices = {**best.candidate.choices} | {name: one.value for name, one in back.items()}
    plainer = yield from search.judged(best.candidate.layout, choices, keep=True)
    return plainer or best, {**verdicts, **(back if plainer else {})}


def _clearly(best: Judged, other: Judged, name: str) -> bool:
    """Tell if a network fits so much better than one with another value that this is proven."""
    if name in OF_ALL and best.fit.worst > ODD:
        return False
    least = margin_of(name, best.fit.late)
    near, _ = _typical(best.fit, other.fit)
    return margin(best.fit, other.fit) >= (least if near < FAIR else 2 * least)


def _agree(fit: Fit, other: Fit, name: str) -> bool:
    """Tell if norms together are likelier by far with a value of a choice, and each alone is.

    One layer that is made otherwise than the others changes what comes to few norms.
    """
    each = SPEAKS if name in OF_ALL else AGAINST
    together = gain(fit, other, MOST_NORMS)
    return together >= LIKELIER and least_gain(fit, other) >= each


def _too_small(best: Judged, other: Judged, name: str) -> bool:
    """Tell if a network fits no clearly better, and leads too little by prior and norms together.

    Of seven published networks another value led by 0.5 at most, prior aside, and lay behind by 1.7
    or more with it; of three with statistics of noise, a 3x3 pooling led by 1.9 to 2.6. That of
    a fork with a word in the list led by 4 to 25 in 10 of 11 with norms, a wrong one by 2.3.
    What fills the paddings is seen at the edges of small pictures alone: all norms together led
    there for a published network that fills them with zeros, so twice the margin is asked.
    """
    if (name, best.candidate.choices[name]) in UNPROVEN:
        return margin(best.fit, other.fit) < 2 * margin_of(name)
    together = best.candidate.prior - other.candidate.prior + gain(best.fit, other.fit)
    return margin(best.fit, other.fit) < margin_of(name) and together <= LEAD


def _differ(fit: Fit, other: Fit) -> list[str]:
    """Return the norms to which something else comes in two networks."""
    return [n for n, value in fit.norms.items() if abs(value - other.norms.get(n, value)) > SAME]


def _typical(fit: Fit, other: Fit) -> tuple[float, float]:
    """Return the mean divergences at those norms that differ."""
    names = _differ(fit, other)
    if not names:
        return fit.typical, other.typical
    return fit.mean_of(names), other.mean_of(names)
