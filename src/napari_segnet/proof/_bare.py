"""Of a bare file: all networks that its tensors can be, and what its statistics say of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import candidates as views_of
from napari_segnet.containers import open_tree
from napari_segnet.evidence import Decision, decide, load_tensors
from napari_segnet.graph import BatchNorm, Graph, sizes
from napari_segnet.image import Image
from napari_segnet.programs import STRUCTURE, UNASKED
from napari_segnet.programs.keras import space_of as space_of_order
from napari_segnet.programs.structure import (
    Candidate,
    Space,
    checkpoint_of,
)
from napari_segnet.progress import Progress
from napari_segnet.proof._types import Possible, Recognised
from napari_segnet.proof._words import in_words, made_of, notes_of
from napari_segnet.recognition import family_of, identify, space_of, with_halo

__all__ = ["MOST_SHOWN", "has_statistics", "of_space"]

MOST_SHOWN = 3
"""Networks that a user is asked to compare."""


def has_statistics(graph: Graph) -> bool:
    """Tell if a file says anything of what comes to some layer."""
    return any(isinstance(node.operation, BatchNorm) for node in graph.nodes)


class Settled:
    """A space in which some choices are made; see ``Space``."""

    def __init__(self, space: Space, made: Mapping[str, str]) -> None:
        self._space = space
        self._made = {name: value for name, value in made.items() if name != "layout"}
        self.layouts = (made["layout"],) if "layout" in made else space.layouts

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network with these choices and those that are made."""
        found = self._space.candidate(layout, {**choices, **self._made})
        if sizes(found.graph) is None:
            raise ValueError("its answer has another scale than the image")
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


def of_space(checkpoint: Checkpoint, image: Image | None) -> Generator[Progress, None, Recognised]:
    """Try all networks that a bare file can be."""
    space, describe, more = _networks(checkpoint)
    settled = Settled(space, made_of(checkpoint))
    first = settled.first(1)
    tensors = {**more(), **load_tensors(checkpoint, first[0].graph)}
    decision = yield from decide(settled, tensors, image)
    shown = _undecided(decision)
    # Some notes are of the network that was likeliest before, others of the file.
    before = describe(first[0], decision).notes
    of_file = tuple(note for note in checkpoint.notes if note not in (*before, UNASKED))
    found = (describe(one, decision) for one in shown)
    said = notes_of(checkpoint, decision, settled.layouts)
    made = [replace(one, notes=(*of_file, *one.notes, *said)) for one in found]
    varying = [n for n in shown[0].choices if len({one.choices.get(n) for one in shown}) > 1]
    open_ = {name for name, values in shown[0].open.items() if len(values) > 1}
    possible = tuple(
        Possible(
            checkpoint=network,
            choices={name: value for name, value in one.choices.items() if name in open_},
            differs=", ".join(
                in_words(name, one.choices.get(name, "none"), settled.layouts) for name in varying
            ),
            score=round(one.prior, 3),
        )
        for network, one in zip(made, shown, strict=True)
    )
    return Recognised(
        checkpoint=made[0],
        candidates=possible if len(possible) > 1 else (),
        says=" ".join(said),
        inputs=decision.inputs,
    )


def _networks(checkpoint: Checkpoint) -> tuple[Space, Any, Callable[[], dict[str, Any]]]:
    """Return the space of a file, what describes one of its networks, and what loads more tensors.

    These are those that only some of the networks have.
    """
    tree = open_tree(checkpoint.path, checkpoint.store.member)
    if checkpoint.program != STRUCTURE.name:

        def by_order(one: Candidate, decision: Decision) -> Checkpoint:
            overrides = {n: v for n, v in one.choices.items() if n in checkpoint.hparams}
            made = identify(checkpoint.path, overrides)
            return _known_as(checkpoint, made, one, decision)

        return space_of_order(tree), by_order, dict
    store = checkpoint.store
    (weights, *_) = [
        view
        for view in views_of(tree, checkpoint.path)
        if (view.wrapper, view.prefix) == (store.wrapper, store.prefix)
    ]

    def by_tensors(one: Candidate, decision: Decision) -> Checkpoint:
        decided = {n: verdict.value for n, verdict in decision.verdicts.items() if verdict.decided}
        made = checkpoint_of(weights, one, {**decided, **made_of(checkpoint)})
        made = replace(made, store=replace(made.store, member=store.member))
        return _known_as(checkpoint, with_halo(family_of(made), made), one, decision)

    space = space_of(weights)

    def more() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for layout in space.apart:
            try:
                one = space.candidate(layout, {})
            except ValueError:
                continue  # it has no room for what is likeliest
            made = checkpoint_of(weights, one, {})
            own = replace(made.store, member=store.member)
            found |= load_tensors(replace(made, store=own, stamp=checkpoint.stamp), one.graph)
        return found

    return space, by_tensors, more


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
        if name in made_of(before):
            known[name] = before.known[name]
        elif fact is not None and best.choices.get(name) == value:
            known[name] = fact
        else:
            known[name] = Known(source="assumed", why=one.why.get(name, ""))
    known |= {name: before.known[name] for name in KEPT if name in before.known}
    if "layout" in made.known:
        known["graph"] = known["layout"]
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
