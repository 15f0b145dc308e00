"""What is this weights file, and what of it is proven? All of recognition as one job.

``identify`` reads names and shapes and is cheap. What they leave open is asked of the statistics
in the file here: of a bare file by trying all networks that its tensors can be, of a network known
by its names by judging if it is the published one. A file that holds its graph has nothing to
prove.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_segnet import cache
from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import candidates as views_of
from napari_segnet.containers import open_tree
from napari_segnet.evidence import Decision, decide, load_tensors
from napari_segnet.families import GraphFamily
from napari_segnet.graph import BatchNorm, Graph
from napari_segnet.image import Image
from napari_segnet.judge import Judgement, judge, leaves_open
from napari_segnet.programs import STRUCTURE
from napari_segnet.programs.keras import space_of
from napari_segnet.programs.structure import Candidate, Space, checkpoint_of, read_structure
from napari_segnet.progress import Progress, job
from napari_segnet.recognition import family_of, identify, with_halo

__all__ = ["MOST_SHOWN", "Possible", "Recognised", "is_open", "prove", "recognise"]

MOST_SHOWN = 3
"""Networks that a user is asked to compare."""
MOST_LISTED = 8
"""Networks of the prior's order that are looked through where the file holds no statistics."""
CLEARER = 1.5
"""By so much a normalisation must fit better than the one in use to be worth a note; below it two
ways differ by what the pictures are, see ``evidence``."""
WORDS: Mapping[str, Mapping[str, str]] = {
    "join": {
        "up-skip": "skip connection joined last",
        "skip-up": "skip connection joined first",
        "add": "skip connection added",
        "none": "no skip connections",
    },
    "skip": {
        "before-pooling": "skip connections taken before the pooling",
        "after-pooling": "skip connections taken after the pooling",
    },
    "up_activation": {
        "none": "nothing after up-convolutions",
        "relu": "ReLU after up-convolutions",
    },
}
"""Choices that need more than their name to be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """One network that a file may be.

    Attributes
    ----------
    checkpoint : Checkpoint
        It.
    choices : mapping of str to str
        What is told to ``identify`` to have it: each open fact and its value. Empty where it is
        what is found without being told anything.
    differs : str
        What sets it apart from the others, in words.
    score : float
        Natural logarithm of how often networks are made so; 0 where that was not counted.
    """

    checkpoint: Checkpoint
    choices: Mapping[str, Any]
    differs: str
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a file is, as far as it can be known.

    Attributes
    ----------
    checkpoint : Checkpoint
        The first of all networks that it may be. Its notes say what was decided, and what is
        assumed.
    candidates : tuple of Possible
        The networks between which nothing in the file decides, up to three, in their joint
        order; the first is ``checkpoint``. Empty where there is no other.
    says : str
        What was found, in a sentence or two.
    inputs : mapping of str to float
        Value of the setting ``normalize`` -> divergence in nats, best first; empty where the file
        holds no statistics.
    """

    checkpoint: Checkpoint
    candidates: tuple[Possible, ...] = ()
    says: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)


@job
def recognise(
    path: str | Path, told: Mapping[str, Any] | None = None, image: Image | None = None
) -> Generator[Progress, None, Recognised]:
    """Tell what a weights file is, and prove what its names and shapes leave open.

    Takes seconds where ``identify`` takes none: parts of the network are run. Files that hold
    their network whole, and facts that are told, cost nothing.

    Parameters
    ----------
    path : str or Path
        A weights file, or the name of a built-in network.
    told : mapping, optional
        What you know of the network that its file does not say.
    image : Image, optional
        Such as the network is meant for: better evidence than the pictures of this package.

    Yields
    ------
    Progress
        ``network``: how many were tried.

    Returns
    -------
    Recognised
        The network, and those that it may be as well.

    Raises
    ------
    WeightsError, SettingsError
        As ``identify`` does.
    """
    yield Progress(what="network")
    return (yield from prove(identify(path, told), image))


@job
def prove(
    checkpoint: Checkpoint, image: Image | None = None
) -> Generator[Progress, None, Recognised]:
    """Ask the statistics in a file what its names and shapes leave open.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned. Facts that were read, decided or told are not questioned.
    image : Image, optional
        See :func:`recognise`.

    Yields
    ------
    Progress
        ``network``: how many were tried.

    Returns
    -------
    Recognised
        See :func:`recognise`.

    Raises
    ------
    WeightsError
        If the file cannot be read any more.
    """
    yield Progress(what="network")
    if not is_open(checkpoint):
        return Recognised(checkpoint=checkpoint)
    key = _key(checkpoint, image)
    known = cache.recognised.get(key) if key else None
    if isinstance(known, Recognised):
        return known
    if _is_bare(checkpoint):
        found = yield from _of_space(checkpoint, image)
    else:
        judged = yield from judge(checkpoint, image)
        found = _of_judgement(checkpoint, judged)
    if key:
        cache.recognised.put(key, found, 1)
    return found


def is_open(checkpoint: Checkpoint) -> bool:
    """Tell if a file leaves open what its statistics, or its user, may decide."""
    if _is_bare(checkpoint):
        facts = [n for n in checkpoint.hparams if n in checkpoint.known and n != "graph"]
        return any(checkpoint.known[name].source == "assumed" for name in facts)
    family = family_of(checkpoint)
    if not isinstance(family, GraphFamily) or not leaves_open(checkpoint):
        return False
    return _has_statistics(family.graph(checkpoint))


def _is_bare(checkpoint: Checkpoint) -> bool:
    """Tell if a network was found from its tensors alone, or from the order of its layers."""
    if checkpoint.program == STRUCTURE.name:
        return True
    return checkpoint.program == "keras" and checkpoint.known["graph"].source == "assumed"


def _has_statistics(graph: Graph) -> bool:
    return any(isinstance(node.operation, BatchNorm) for node in graph.nodes)


def _key(checkpoint: Checkpoint, image: Image | None) -> tuple[Any, ...] | None:
    """Return by what a result is known again; None for an image that is in no file."""
    facts = tuple(sorted((name, fact.source) for name, fact in checkpoint.known.items()))
    shown: tuple[Any, ...] = ()
    if image is not None:
        if not image.source:
            return None
        shown = (image.source, image.name, image.axes, tuple(image.data.shape))
    return checkpoint.sha256, str(checkpoint.path), repr(checkpoint.hparams), facts, shown


# ---- Bare files ----


class _Settled:
    """A space in which some choices are made; see ``Space``."""

    def __init__(self, space: Space, made: Mapping[str, str]) -> None:
        self._space = space
        self._made = {name: value for name, value in made.items() if name != "layout"}
        self.layouts = (made["layout"],) if "layout" in made else space.layouts

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network with these choices and those that are made."""
        found = self._space.candidate(layout, {**choices, **self._made})
        single = {name: (value,) for name, value in self._made.items()}
        return replace(found, open={**found.open, **single, "layout": self.layouts})

    def first(self, n: int) -> tuple[Candidate, ...]:
        """Return the likeliest networks that have what is made."""
        if not self._made and self.layouts == self._space.layouts:
            return self._space.first(n)
        found: list[Candidate] = []
        for layout in self.layouts:
            try:
                first = self.candidate(layout, {})
            except ValueError:
                continue  # this topology leaves no room for what is told
            found += [first, *self._changed(first)]
        found.sort(key=lambda one: -one.prior)
        return tuple(found[:n])

    def _changed(self, first: Candidate) -> list[Candidate]:
        """Return the networks that differ in one choice."""
        found = []
        for name, values in first.open.items():
            for value in values[1:] if name != "layout" else ():
                try:
                    found.append(self.candidate(first.layout, {name: value}))
                except ValueError:
                    continue
        return found


def _of_space(
    checkpoint: Checkpoint, image: Image | None
) -> Generator[Progress, None, Recognised]:
    """Try all networks that a bare file can be."""
    space, describe = _networks(checkpoint)
    settled = _Settled(space, _made(checkpoint))
    first = settled.first(MOST_LISTED)
    if _has_statistics(first[0].graph):
        decision = yield from decide(settled, load_tensors(checkpoint, first[0].graph), image)
    else:
        decision = Decision(candidates=first)
    shown = _undecided(decision)
    notes = (*checkpoint.notes, *_notes(checkpoint, decision))
    made = [replace(describe(one, decision), notes=notes) for one in shown]
    varying = [n for n in shown[0].choices if len({one.choices.get(n) for one in shown}) > 1]
    open_ = {name for name, values in shown[0].open.items() if len(values) > 1}
    possible = tuple(
        Possible(
            checkpoint=network,
            choices={name: value for name, value in one.choices.items() if name in open_},
            differs=", ".join(_in_words(name, one.choices.get(name, "none")) for name in varying),
            score=round(one.prior, 3),
        )
        for network, one in zip(made, shown, strict=True)
    )
    return Recognised(
        checkpoint=made[0],
        candidates=possible if len(possible) > 1 else (),
        says=" ".join(_notes(checkpoint, decision)),
        inputs=decision.inputs,
    )


def _networks(checkpoint: Checkpoint) -> tuple[Space, Any]:
    """Return the space of a file, and what describes one of its networks."""
    tree = open_tree(checkpoint.path)
    if checkpoint.program != STRUCTURE.name:

        def by_order(one: Candidate, decision: Decision) -> Checkpoint:
            told = {n: v for n, v in one.choices.items() if n in checkpoint.hparams}
            made = identify(checkpoint.path, told)
            return _known_as(checkpoint, made, one, decision)

        return space_of(tree), by_order
    store = checkpoint.store
    (weights, *_) = [
        view
        for view in views_of(tree, checkpoint.path)
        if (view.wrapper, view.prefix) == (store.wrapper, store.prefix)
    ]

    def by_tensors(one: Candidate, decision: Decision) -> Checkpoint:
        made = checkpoint_of(weights, one, {})
        return _known_as(checkpoint, with_halo(family_of(made), made), one, decision)

    return read_structure(weights), by_tensors


def _made(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the choices that are not assumed."""
    return {
        name: str(value)
        for name, value in checkpoint.hparams.items()
        if name != "graph"
        and name in checkpoint.known
        and checkpoint.known[name].source in ("told", "decided")
    }


KEPT = ("prepare", "class_names", "pixel_size_um")
"""Facts that lie beside the file, not in the network."""


def _known_as(
    before: Checkpoint, made: Checkpoint, one: Candidate, decision: Decision
) -> Checkpoint:
    """Return a network with how each of its choices is known."""
    best, proven = decision.best, decision.known()
    known = dict(made.known)
    for name, value in one.choices.items():
        fact = proven.get(name)
        if name in _made(before):
            known[name] = before.known[name]
        elif fact is not None and best.choices.get(name) == value:
            known[name] = fact
        else:
            known[name] = Known(source="assumed", why=one.why.get(name, ""))
    known |= {name: before.known[name] for name in KEPT if name in before.known}
    if "layout" in made.known:
        known["graph"] = replace(made.known["graph"], source=known["layout"].source)
    return replace(
        made,
        prepare=before.prepare,
        class_names=before.class_names,
        pixel_size_um=before.pixel_size_um,
        card=before.card,
        stamp=before.stamp,
        known={name: fact for name, fact in known.items() if name in made.known},
    )


def _undecided(decision: Decision) -> tuple[Candidate, ...]:
    """Return the first candidates that nothing in the file rules out."""
    best = decision.best
    decided = {n for n, verdict in decision.verdicts.items() if verdict.decided}
    found = [
        one
        for one in decision.candidates
        if all(one.choices.get(name) == best.choices[name] for name in decided)
    ]
    return tuple(found[:MOST_SHOWN])


def _in_words(name: str, value: str) -> str:
    return WORDS.get(name, {}).get(value) or f"{name.replace('_', ' ')} {value}"


def _notes(checkpoint: Checkpoint, decision: Decision) -> tuple[str, ...]:
    """Say what was decided, what is assumed, and how images were probably normalised."""
    made, facts = _made(checkpoint), decision.known()
    said: dict[str, list[str]] = {"decided": [], "assumed": []}
    for name, fact in facts.items():
        if fact.source in said and name not in made:
            said[fact.source].append(_in_words(name, decision.best.choices[name]))
    notes = []
    if decision.doubtful and decision.fit is not None:
        notes.append(
            "None of the networks that were tried fits the statistics of the file "
            f"({decision.fit.typical:.2g} nats on {decision.shown}): ask whoever trained it for "
            "its code."
        )
    if said["decided"]:
        words = ", ".join(said["decided"])
        notes.append(f"Decided by the statistics of the file on {decision.shown}: {words}.")
    if said["assumed"]:
        notes.append(f"Assumed of the network: {', '.join(said['assumed'])}.")
    notes += _input_note(checkpoint, decision.inputs)
    return tuple(notes)


def _input_note(checkpoint: Checkpoint, inputs: Mapping[str, float]) -> list[str]:
    """Say which normalisation the statistics suggest, where it is not the one in use."""
    if not inputs:
        return []
    steps = [step for step in checkpoint.prepare if step.name == "normalize"]
    used = str(steps[0].options.get("how", "none")) if steps else "none"
    used = used.removesuffix("-if-over-1")
    best, *_ = inputs
    if best == used or inputs.get(used, float("inf")) < CLEARER * inputs[best]:
        return []
    against = f" against {inputs[used]:.2g} nats of {used}" if used in inputs else ""
    return [
        f"The statistics of the file fit images normalised by {best} best ({inputs[best]:.2g}"
        f"{against}): try normalize={best}."
    ]


# ---- Known families ----


def _of_judgement(before: Checkpoint, judged: Judgement) -> Recognised:
    """Return the network that fits best; beside a fork the published one."""
    notes = (judged.says, *_input_note(before, judged.inputs)) if judged.verdicts else ()
    better = replace(judged.checkpoint, notes=(*before.notes, *notes))
    if not judged.forks:
        return Recognised(checkpoint=better, says=judged.says, inputs=judged.inputs)
    own = {} if better.family != before.family else _changed_facts(before, better)
    words = ", ".join(_in_words(name, value) for name, value in judged.forks.items())
    assumed = {
        name: value
        for name, value in before.hparams.items()
        if name in before.known and before.known[name].source == "assumed"
    }
    return Recognised(
        checkpoint=better,
        candidates=(
            Possible(checkpoint=better, choices=own, differs=f"changed: {words}"),
            Possible(checkpoint=before, choices=assumed, differs="as published"),
        ),
        says=judged.says,
        inputs=judged.inputs,
    )


def _changed_facts(before: Checkpoint, better: Checkpoint) -> dict[str, Any]:
    return {
        name: value
        for name, value in better.hparams.items()
        if name in better.known and value != before.hparams.get(name)
    }
