"""What the package makes of a file, beside the truth.

A candidate is *equal* where its answer before the final activation is that of the forward within
``max(1e-4, 3 x the distance of float32 to float64, 1e-3 x the standard deviation)``. A candidate
that copies each pixel of a smaller answer to the size of the image is compared before the copying.

*Wrong and not marked*: the first candidate is opened, is not equal, and its card marks no fact that
is to blame as assumed. To blame are the facts with a word in the truth and on the card that differ.
Where none differs, the topology is to blame, and ``layout`` (of a known family ``graph``) has to be
marked. Of a real file no
facts are known in these words: any on the card may be to blame, and one of them has to be marked.
A fact that the card calls read or decided by statistics is not marked; one that is called so and is
not true is a *false claim*, whether or not another one is marked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_segnet import identify
from napari_segnet.containers import Weights, candidates, open_tree
from napari_segnet.errors import MissingFactError, SegnetError
from napari_segnet.families import FAMILIES

__all__ = ["Opened", "Verdict", "judge", "opened", "runner", "tolerance"]

Answer = Callable[[torch.Tensor], torch.Tensor]
SHOWN = 3
"""So many pictures are shown at most."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a file is opened as: the first candidates, what the first takes, how each is known.

    ``untraced``: facts that change the input of no norm, so that no statistics decide them.
    """

    answers: Sequence[Answer] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    untraced: Sequence[str] = ()
    family: str = ""
    refused: str = ""
    asked: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``place`` is that of the equal candidate, from 0; None: none of the first three."""

    place: int | None
    refused: bool
    asked: bool
    marked: bool
    blamed: tuple[str, ...]
    why: str
    opened: Opened

    @property
    def false_claims(self) -> tuple[str, ...]:
        """Facts that differ and are called read or decided, where the first candidate differs."""
        if self.place == 0 or not self.opened.answers:
            return ()
        known = self.opened.known
        return tuple(name for name in self.blamed if known.get(name) in ("read", "decided"))

    @property
    def silently_wrong(self) -> bool:
        """See the module's docstring."""
        return not (self.refused or self.asked or self.place == 0 or self.marked)


def tolerance(raw: torch.Tensor, apart: float) -> float:
    """Return by how much equal answers differ at most."""
    return max(1e-4, 3 * apart, 1e-3 * float(raw.std()))


def opened(path: Path, statistics: bool = True) -> Opened:
    """Open a file as a user does, and list the first candidates of a bare one."""
    try:
        checkpoint = identify(path)
    except SegnetError as error:
        return Opened(refused=str(error), asked=_asks(error))
    if "layout" not in checkpoint.known:
        offered: Sequence[Any] = ()
        if statistics:
            from napari_segnet.judge import judge as ask
            from napari_segnet.progress import run

            judgement = run(ask(checkpoint))
            checkpoint, offered = judgement.checkpoint, judgement.offered
        return _as_known((checkpoint, *(other for _, _, other in offered)), path)
    return _as_bare(path, statistics)


def _asks(error: SegnetError) -> bool:
    """Tell if a refusal asks for what the file does not say, and names what takes the answer."""
    return isinstance(error, MissingFactError) or bool(re.search(r"--override \w", str(error)))


def _as_known(checkpoints: Sequence[Any], path: Path) -> Opened:
    """Return the network of a family that is known by name, and those that are offered beside."""
    first = checkpoints[0]
    known = {name: fact.source for name, fact in first.known.items()}
    choices = {name: str(value) for name, value in first.hparams.items() if name in known}
    answers = tuple(_answer_of(one, path) for one in checkpoints)
    return Opened(answers=answers, choices=choices, known=known, family=first.family)


def _answer_of(checkpoint: Any, path: Path) -> Answer:
    """Return what answers as a checkpoint's network does."""
    family = next(f for f in FAMILIES if f.name == checkpoint.family)

    def answer(batch: torch.Tensor) -> torch.Tensor:
        from support.networks import assemble

        for weights in candidates(open_tree(path), path):
            if set(checkpoint.store.keys) & set(weights.tensors):
                with torch.no_grad():
                    module = assemble(family, checkpoint, weights)
                    return family.maps(module, batch)  # type: ignore[attr-defined]
        raise AssertionError("no view of the file has the tensors of its checkpoint")

    return answer


def _as_bare(path: Path, statistics: bool) -> Opened:
    from napari_segnet.programs.structure import read_structure

    reasons: list[SegnetError] = []
    for weights in candidates(open_tree(path), path):
        try:
            return _of_space(read_structure(weights), weights, statistics)
        except SegnetError as error:
            reasons.append(error)
    return Opened(refused=str(reasons[0]), asked=_asks(reasons[0]))


def _of_space(space: Any, weights: Weights, statistics: bool) -> Opened:
    tensors = {name: tensor.load() for name, tensor in weights.tensors.items()}
    untraced: tuple[str, ...] = ()
    if statistics:
        from napari_segnet.evidence import decide
        from napari_segnet.progress import run

        decision = run(decide(space, tensors))
        found, facts = decision.candidates, decision.known()
        known = {name: fact.source for name, fact in facts.items()}
        untraced = tuple(name for name, one in decision.verdicts.items() if not one.traced)
    else:
        found = space.first(SHOWN)
        known = {n: "assumed" if len(v) > 1 else "read" for n, v in found[0].open.items()}
    answers = tuple(runner(one.graph, tensors) for one in found[:SHOWN])
    return Opened(
        answers=answers, choices=dict(found[0].choices), known=known, untraced=untraced,
        family="structure",
    )  # fmt: skip


def runner(graph: Any, tensors: Mapping[str, torch.Tensor]) -> Answer:
    """Return what answers as a graph does with these tensors."""

    def answer(batch: torch.Tensor) -> torch.Tensor:
        from napari_segnet.graph import tensors as names
        from napari_segnet.graph.build import build

        module = build(graph)
        state = module.state_dict()
        state.update({name: tensors[name].float() for name in names(graph) if name in tensors})
        module.load_state_dict(state)
        with torch.no_grad():
            return module.eval()(batch)

    return answer


def judge(
    found: Opened, batch: torch.Tensor, raw: torch.Tensor, apart: float, truth: Mapping[str, str]
) -> Verdict:
    """Compare what was opened with the forward's answer and the named facts."""
    place, why = None, found.refused
    for number, answer in enumerate(found.answers[:SHOWN]):
        try:
            given = answer(batch)
        except (ValueError, RuntimeError) as error:
            why = why or f"candidate {number + 1} does not run: {error}"
            continue
        far = _far(given, raw)
        if far <= tolerance(raw, apart):
            place = number
            break
        why = why or f"differs by {far:.2g} of a spread of {float(raw.std()):.2g}"
        if given.shape != raw.shape:
            why = f"answers {tuple(given.shape[1:])}, not {tuple(raw.shape[1:])}"
    blamed = tuple(
        name
        for name in truth
        if name in found.choices and not _same(found.choices[name], truth[name])
    )
    topology = "layout" if "layout" in found.known else "graph"
    suspects = blamed or ((topology,) if truth else tuple(found.choices))
    marks = [found.known.get(name) for name in suspects]
    return Verdict(
        place=place,
        refused=bool(found.refused) and not found.asked,
        asked=found.asked,
        marked=any(mark in ("assumed", "told") for mark in marks),
        blamed=blamed,
        why=why,
        opened=found,
    )


def _unrepeated(given: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
    """Return a map of copied pixels at the size of the forward's, which gives fewer pixels."""
    rank = raw.ndim - 2
    factor = given.shape[-1] // raw.shape[-1]
    if factor < 2 or given.shape[-rank:] != tuple(factor * edge for edge in raw.shape[-rank:]):
        return given
    small = given[(..., *(slice(None, None, factor),) * rank)]
    copied = small
    for axis in range(2, 2 + rank):
        copied = copied.repeat_interleave(factor, axis)
    return small if torch.equal(copied, given) else given


def _same(one: str, other: str) -> bool:
    if "-levels-" in other:
        return one.startswith(other)
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


def _far(given: torch.Tensor, raw: torch.Tensor) -> float:
    given = _unrepeated(given, raw)
    if given.shape != raw.shape:
        return float("inf")
    apart = float((given - raw).abs().max())
    # Where the graph holds the final activation itself, the answer is compared behind it.
    for activation in (torch.sigmoid, lambda x: torch.softmax(x, 1)):
        behind = float((given - activation(raw)).abs().max())
        apart = min(apart, behind * max(1.0, float(raw.std())) * 10)
    return apart
