"""Bare weights with the code of their network beside them, as a checkpoint of a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known, Layout, PrepareStep, Store
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import tensors
from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs._outputs import rescaled_by
from napari_segnet.programs.source._budget import Budget
from napari_segnet.programs.source._drawn import Drawn, drawn_from
from napari_segnet.programs.source._files import ENDINGS, SourceFile, files_beside
from napari_segnet.programs.source._library import FOLDER, library
from napari_segnet.programs.source._lone import drawn_with_sense
from napari_segnet.programs.source._names import Files, Globals
from napari_segnet.programs.source._search import Match, Miss, best_match
from napari_segnet.programs.source._suggest import suggestions
from napari_segnet.programs.source._tries import Argument

__all__ = ["Source", "SourceRefusal", "paths_of_code", "refused"]

MOST_VIEWS = 4
PREPARE = Known(
    source="assumed",
    why="the code of the network does not say how images were prepared; dividing those with values "
    "over 1 by 255 is usual. What other code beside it says stands under 'suggested'",
)
OWN = ("source", "class", "output")
"""What can be told besides the arguments of the constructor."""


class SourceRefusal(Exception):
    """Why the code beside weights does not describe them; a sentence.

    Parameters
    ----------
    why : str
        The sentence.
    network : bool
        Whether the code defines a network at all, so that the user may expect it to be read.
    """

    def __init__(self, why: str, *, network: bool = False) -> None:
        super().__init__(why)
        self.network = network


class Source:
    """The program; it is asked for bare weights, before all families."""

    name = "source"
    title = "Network read from its code"

    def describe(self, views: Sequence[Weights], overrides: Mapping[str, Any]) -> Checkpoint | None:
        """Return the network that the code beside weights defines; None if there is no code.

        Raises
        ------
        SourceRefusal
            If the code is not that of the weights, or cannot be read; names the line.
        SettingsError
            If ``source`` is told and is no file of code.
        """
        path = views[0].path
        paths = paths_of_code(path, overrides)
        if not paths:
            return None
        budget = Budget()
        files = Files(library=library)
        names, wrong = _opened(files, paths, bool(overrides.get("source")))
        if not names:
            raise SourceRefusal(f"{wrong}.")
        miss: Miss | None = None
        for weights in views[:MOST_VIEWS]:
            shapes = {key: tensor.shape for key, tensor in weights.tensors.items()}
            said = _flat(weights.metadata)
            try:
                found = best_match(files, names, shapes, said, overrides, budget)
            except (NotReadable, RecursionError) as error:
                raise SourceRefusal(
                    f"The code beside {path.name} is not read: {error}.", network=True
                ) from error
            if isinstance(found, Match):
                return self._described(weights, found, files, budget, overrides, names)
            if miss is None or (found.near and not miss.near):
                miss = found
        network = miss is not None and bool(miss.name)
        raise SourceRefusal(_sentence(path, miss, paths), network=network)

    def _described(
        self,
        weights: Weights,
        match: Match,
        files: Files,
        budget: Budget,
        overrides: Mapping[str, Any],
        names: Sequence[Globals],
    ) -> Checkpoint:
        where = match.made_by.names.file.where(match.made_by.node.lineno)
        try:
            match, drawn = drawn_with_sense(
                match, lambda one: drawn_from(weights, one, files, budget, overrides)
            )
            checkpoint = _checkpoint(weights, match, drawn)
        except (NotReadable, ValueError, RecursionError) as error:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise SourceRefusal(
                f"{match.made_by.name} ({where}) has the tensors of {weights.path.name}, but its "
                f"forward is not read: {why}.",
                network=True,
            ) from error
        if left := set(overrides) - {*OWN, *match.arguments}:
            raise SourceRefusal(
                f"{match.made_by.name} ({where}) has no argument {', '.join(sorted(left))} that "
                "could be told.",
                network=True,
            )
        checkpoint = _with_place(checkpoint, names[0].file.path, bool(overrides.get("source")))
        found = suggestions(_telling(files, names))
        card = {**checkpoint.card, "suggested": found} if found else checkpoint.card
        return replace(checkpoint, card=card)


def _with_place(checkpoint: Checkpoint, path: Path, is_override: bool) -> Checkpoint:
    """Add where the code lies; a card that training writes keeps it where a user told it."""
    own = Path(str(checkpoint.hparams["source"]))
    beside = path if own.parent == FOLDER else own
    shown = str(beside) if is_override else beside.name
    why = "by the user" if is_override else "it lies beside the file"
    known = Known(source="told" if is_override else "read", why=why)
    return replace(
        checkpoint,
        hparams={**checkpoint.hparams, "source": shown},
        known={**checkpoint.known, "source": known},
    )


def _telling(files: Files, names: Sequence[Globals]) -> list[SourceFile]:
    own = [one.file for one in names]
    return own + [one.file for one in files.known.values() if one.file not in own]


# ---- Files -----------------------------------------------------------------------------


def paths_of_code(path: Path, overrides: Mapping[str, Any]) -> list[Path]:
    """Return the files of code that belong to weights, that which is told first."""
    beside = files_beside(path)
    given = overrides.get("source")
    if not given:
        return beside
    own = Path(str(given)).expanduser()
    own = own if own.is_absolute() or own.exists() else path.parent / own
    if own.is_dir():
        inside = files_beside(own / path.name)
        if not inside:
            raise SettingsError(f"The folder {own} holds no .py or .ipynb file.")
        return inside + beside
    if not own.is_file() or own.suffix.lower() not in ENDINGS:
        raise SettingsError(
            f"{given} is no file of code. Give the .py or .ipynb that defines the network."
        )
    near = [one for one in files_beside(own) if one != own]
    return [own, *near, *(one for one in beside if one not in (own, *near))]


def _opened(files: Files, paths: Sequence[Path], first_only: bool) -> tuple[list[Globals], str]:
    names: list[Globals] = []
    wrong = ""
    for place, one in enumerate(paths):
        try:
            names.append(files.add(one))
        except NotReadable as error:
            wrong = wrong or f"The code cannot be read: {error}"
            if first_only and place == 0:
                raise SourceRefusal(f"{wrong}.") from error
    return names, wrong or "There is no code beside it"


def _flat(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values beside the tensors, also those one level down."""
    found: dict[str, Any] = {}
    for name, value in metadata.items():
        rows = value.items() if isinstance(value, Mapping) else [(name, value)]
        for key, one in rows:
            plain = isinstance(one, bool | int | str) or (
                isinstance(one, list | tuple) and all(isinstance(n, int) for n in one)
            )
            if isinstance(key, str) and plain:
                found.setdefault(key, one)
    return found


def _sentence(path: Path, miss: Miss | None, paths: Sequence[Path]) -> str:
    shown = ", ".join(one.name for one in paths[:3])
    if miss is None or not miss.name:
        return f"The code beside {path.name} ({shown}) defines no network of PyTorch."
    return (
        f"{miss.name} ({miss.where}) is not the network of {path.name}: {miss.why}. Put the code "
        "of the very version beside it that the weights were written with."
    )


# ---- The checkpoint --------------------------------------------------------------------


def _checkpoint(weights: Weights, match: Match, drawn: Drawn) -> Checkpoint:
    draw, graph = drawn.draw, drawn.ended.graph
    keys, layouts = dict[str, str](), dict[str, Layout]()
    for name, tensor in tensors(graph).items():
        slot = draw.slots[name]
        key, number = slot.key, 1
        while key in keys:
            number += 1
            key = f"{slot.key} ({number})"
        keys[key] = name
        shape = weights.tensors[slot.key].shape
        if slot.order != tuple(range(len(shape))) or shape != tensor.shape or key != slot.key:
            layouts[key] = Layout(order=slot.order, key=slot.key if key != slot.key else "")
    kinds = Counter(weights.tensors[draw.slots[name].key].dtype for name in keys.values())
    store = Store(
        container=weights.container,
        wrapper=weights.wrapper,
        prefix=weights.prefix,
        dtype=kinds.most_common(1)[0][0] if kinds else "float32",
        keys=keys,
        layouts=layouts,
    )
    inside = rescaled_by(graph)
    step = PrepareStep(name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"})
    checkpoint = describe_graph(
        path=weights.path,
        graph=graph,
        store=store,
        outputs=drawn.ended.outputs,
        prepare=() if inside else (step,),
    )
    return _with_facts(checkpoint, weights, match, drawn, inside)


def _with_facts(
    checkpoint: Checkpoint, weights: Weights, match: Match, drawn: Drawn, inside: str
) -> Checkpoint:
    file = match.made_by.names.file
    where = file.where(match.made_by.node.lineno)
    why = f"from {match.made_by.name} ({where}), which was read and not run"
    known = {n: Known(source="read", why=why) for n in ("family", "program", "graph")}
    known["prepare"] = PREPARE
    if inside:
        known["prepare"] = Known(source="read", why=f"the network does it itself ({inside})")
    known["channels"] = Known(source="read", why="follows from the kernels of its convolutions")
    hparams: dict[str, Any] = {"source": str(file.path), "class": match.made_by.name}
    known["source"] = known["class"] = Known(source="read", why=f"its code, {where}")
    if match.chosen:
        known["class"] = Known(source="told", why="by the user")
    elif match.others:
        same = " and ".join(match.others)
        other = Known(source="assumed", why=f"the same tensors are those of {same}")
        known["class"] = other
        known["graph"] = replace(other, why=f"{why}; {other.why}")
    if drawn.ended.count > 1:
        hparams["output"] = drawn.main + 1
        known["output"] = Known(source="assumed", why="its forward answers with several maps")
    assumed = []
    for name, given in match.arguments.items():
        if not isinstance(given.value, bool | int | float | str | list | tuple):
            continue
        own = f"{name}_argument" if name in RESERVED else name
        hparams[own] = list(given.value) if isinstance(given.value, tuple) else given.value
        known[own] = _known(given)
        if given.source == "assumed":
            assumed.append(name)
    notes = [*drawn.notes, *drawn.ended.notes]
    used = {drawn.draw.slots[name].key for name in tensors(drawn.ended.graph)}
    unused = [
        key
        for key in weights.tensors
        # A layer that lies at two places has the key of the first.
        if drawn.keys.get(key, key) not in used and not key.endswith("batches_tracked")
    ]
    if unused:
        shown = ", ".join(unused[:4]) + (f" and {len(unused) - 4} more" if len(unused) > 4 else "")
        notes.append(f"Tensors that its forward does not use: {shown}.")
    return replace(
        checkpoint,
        program=Source.name,
        notes=tuple(notes),
        hparams={**checkpoint.hparams, **hparams},
        known={**checkpoint.known, **known},
    )


def _known(given: Argument) -> Known:
    return Known(source=given.source, why=given.why)  # type: ignore[arg-type]


RESERVED = frozenset(
    (*(one.name for one in fields(Checkpoint)), *OWN, "graph", "stride_px", "size_multiple_px")
)
"""Names of facts that an argument of a constructor may not take."""


def refused(refusal: SourceRefusal) -> UnsupportedWeightsError:
    """Return a refusal as the error that a user sees who named the code."""
    return UnsupportedWeightsError(
        f"{refusal} Leave the setting source out, and the weights are read by their tensors."
    )
