"""Which class is the network of a file, and what its constructor was given."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._budget import MOST_STEPS, Budget
from napari_segnet.programs.source._domains import rows_like, words_in
from napari_segnet.programs.source._match import Difference, compared_with, only_norms, tensors_of
from napari_segnet.programs.source._misses import Miss, Misses
from napari_segnet.programs.source._names import Files, Globals
from napari_segnet.programs.source._runner import Runner
from napari_segnet.programs.source._tries import Argument, Tries, Try, key_of_arguments
from napari_segnet.programs.source._values import Class, Function, Instance, Unknown

__all__ = ["Match", "Miss", "best_match"]

MOST_TRIES = 500
"""Constructors that are read in the search for one file."""
MOST_OTHERS = 12
"""Further definitions that are read, to see if they have the same tensors."""
MOST_WORDED = 8
"""Definitions whose texts are tried: an encoder's name decides of all layers."""
MOST_VARIED = 4
"""Those whose other arguments are tried."""
MOST_VALUES = 22
ROUNDS = 3
FAILED = 10**9
"""The score of what cannot be put together."""
INPUTS = ("in", "channel", "img_ch", "n_ch", "nc", "image")
OUTPUTS = ("out", "class", "num_c", "n_c", "label")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """The network of a file.

    Attributes
    ----------
    made_by : Class or Function
        What makes it.
    arguments : mapping of str to Argument
        What it gets.
    unused : tuple of str
        Tensors of the file that the code does not have: norms beside all others.
    others : tuple of str
        Other classes that have the same tensors, and where they stand.
    chosen : bool
        Whether a user named the class.
    alike : mapping of str to tuple
        Other values of arguments, with which it has the same tensors.
    """

    made_by: Class | Function
    arguments: Mapping[str, Argument]
    unused: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    chosen: bool = False
    alike: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def made(self, run: Runner) -> Instance:
        """Return the network put together anew."""
        return _made(run, self.made_by, {n: a.value for n, a in self.arguments.items()})


def best_match(
    files: Files,
    names: Sequence[Globals],
    shapes: Mapping[str, tuple[int, ...]],
    said: Mapping[str, Any],
    overrides: Mapping[str, Any],
    budget: Budget,
) -> Match | Miss:
    """Return the class that has the tensors of a file, and its arguments.

    Parameters
    ----------
    files, names : Files, sequence of Globals
        The code; classes of the first files come first.
    shapes : mapping of str to tuple of int
        Of the tensors of the file.
    said : mapping
        Plain values beside the tensors, such as ``{"n_classes": 2}``.
    overrides : mapping
        Arguments by name, and ``class``.
    budget : Budget
        How much is read.
    """
    chosen = Path(str(overrides.get("source", ""))).name == names[0].file.path.name
    misses = Misses(order=[own.file for own in names], chosen=chosen)
    search = _Search(files=files, shapes=shapes, budget=budget, misses=misses)
    tries = list(Tries(files=files, budget=budget, overrides=overrides, said=said).found_in(names))
    if wanted := str(overrides.get("class", "")):
        tries = [one for one in tries if one.made_by.name == wanted]
    search.go_through(tries)
    # Those that have most of the names are worth a search of their arguments.
    near = sorted(
        search.near, key=lambda row: (chosen and row[1].made_by.names is not names[0], row[0])
    )
    for one, values in search.worded([row[1:] for row in near])[:MOST_VARIED]:
        if not search.found:
            search.vary(one, values)
    found = search.answer()
    return replace(found, chosen=bool(wanted)) if isinstance(found, Match) else found


@dataclass(slots=True, eq=False)
class _Search:
    files: Files
    shapes: Mapping[str, tuple[int, ...]]
    budget: Budget
    misses: Misses
    left: int = MOST_TRIES
    best: tuple[int, Try, dict[str, Any], Difference] | None = None
    near: list[tuple[int, Try, dict[str, Any]]] = field(default_factory=list)
    failed: list[tuple[Try, str]] = field(default_factory=list)
    seen: dict[tuple[Any, ...], int] = field(default_factory=dict)
    named: int = 0
    others: list[str] = field(default_factory=list)
    all_named: bool = False
    alike: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def go_through(self, tries: Sequence[Try]) -> None:
        """Try calls, then the classes of each file, until one fits.

        Where a class has all names of the file and no other, its arguments are looked for before
        the next file is read: that may have many classes, and reading is bounded.
        """
        place = 0
        for _, group in groupby(tries, lambda one: one.called or id(one.made_by.names.file)):
            complete: list[tuple[int, Try, dict[str, Any]]] = []
            for one in group:
                place += 1
                self.look(one)
                if self.found:
                    self.compare(one, tries[place:])
                    return
                if self.all_named and not one.called:
                    values = self._start(one)
                    complete.append((self.score(one, values), one, values))
            for _, one, values in sorted(complete, key=lambda row: row[0])[:2]:
                self.vary(one, values, kept=MOST_STEPS // 2)
                if self.found:
                    self.compare(one, tries[place:])
                    return

    @property
    def found(self) -> bool:
        """Whether a definition has the tensors of the file."""
        return self.best is not None and self.best[0] == 0

    # ---- Trying ------------------------------------------------------------------------

    def score(self, one: Try, values: Mapping[str, Any]) -> int:
        """Return how many tensors differ with these arguments; a large number where it fails."""
        key = (id(one.made_by), key_of_arguments(values))
        if key in self.seen:
            return self.seen[key]
        self.left -= 1
        if self.left < 0:
            return FAILED
        try:
            run = Runner(files=self.files, budget=self.budget)
            made = _made(run, one.made_by, values)
            own = {name: tensor.shape for name, tensor in tensors_of(made).items()}
            _require_tensors(own, made)
        except NotReadable as error:
            self.failed.append((one, str(error)))
            self.seen[key] = FAILED
            return FAILED
        found = compared_with(own, self.shapes)
        score = found.score
        if only_norms(found, self.shapes):
            score = 0
        self.seen[key] = score
        self.named = found.named
        self.all_named = not found.missing and not found.more
        if found.named and (self.best is None or score < self.best[0]):
            self.best = (score, one, dict(values), found)
        if found.named:
            self.misses.note(score, one, found)
        return score

    def look(self, one: Try) -> None:
        """Try what is known, and guesses for what the constructor needs."""
        values = self._start(one)
        self.named, self.all_named = 0, False
        if self.score(one, values) > 0 and one.names:
            # Those that cannot be put together yet may still have all names.
            rank = -self.named if self.named else -1
            if rank == -1 or -rank * 3 > len(self.shapes):
                self.near.append((rank, self._loosened(one), values))

    def _start(self, one: Try) -> dict[str, Any]:
        values = {name: given.value for name, given in one.given.items()}
        own = one.constructor
        for name in one.names:
            if name not in values and own is not None and name not in own.defaults:
                if (guess := self._guess(name)) is not None:
                    values[name] = guess
        return values

    def compare(self, found: Try, rest: Sequence[Try]) -> None:
        """Note which other classes have all tensors too: a file does not say which wrote it.

        Where a call in the code makes the one that was found, only others that are called count.
        """
        texts = {_text(found)}
        rows = [one for one in rest if isinstance(one.made_by, Class)]
        rows = [one for one in rows if one.called or not found.called]
        enough = self.budget.steps - MOST_STEPS // 10
        for one in rows[:MOST_OTHERS]:
            if self.budget.steps < enough:
                return
            if _text(one) not in texts and self.score(one, self._start(one)) == 0:
                texts.add(_text(one))
                file = one.made_by.names.file
                self.others.append(f"{one.made_by.name} ({file.where(one.made_by.node.lineno)})")

    def _loosened(self, one: Try) -> Try:
        """Return the same without what calls say, which is that of another network."""
        kept = {n: a for n, a in one.given.items() if not a.why.startswith("in the call")}
        return Try(made_by=one.made_by, given=kept)

    def _guess(self, name: str) -> Any:
        first, last = self._ends()
        plain = name.lower()
        if any(word in plain for word in OUTPUTS):
            return last
        if any(word in plain for word in INPUTS):
            return first
        return None if self._numbers() == [] else self._numbers()[0]

    def _ends(self) -> tuple[int, int]:
        kernels = [shape for shape in self.shapes.values() if len(shape) in (4, 5)]
        return (kernels[0][1], kernels[-1][0]) if kernels else (1, 1)

    def _numbers(self) -> list[int]:
        counts: Counter[int] = Counter()
        for shape in self.shapes.values():
            if len(shape) in (4, 5):
                counts.update(shape[:2])
        first, last = self._ends()
        common = [n for n, _ in counts.most_common(12)]
        row = [first, last, *common, 1, 2, 3, 4, 5, 6, 8, 16]
        return list(dict.fromkeys(row))[:MOST_VALUES]

    # ---- Varying -----------------------------------------------------------------------

    def worded(
        self, rows: Sequence[tuple[Try, dict[str, Any]]]
    ) -> list[tuple[Try, dict[str, Any]]]:
        """Return definitions with texts for which more tensors agree first, then the others.

        Texts of all of them come before the numbers of any: they are few, and the name of an
        encoder decides of more tensors.
        """
        kept = self.budget.steps - MOST_STEPS // 4
        found = []
        for place, (one, values) in enumerate(rows):
            start = best = self.score(one, values)
            for name in one.names if place < MOST_WORDED else ():
                for word in self.domain(one, name, values) if name not in one.given else ():
                    if self.found or self.budget.steps < kept or not isinstance(word, str):
                        break
                    score = self.score(one, {**values, name: word})
                    if score < best:
                        best, values = score, {**values, name: word}
            found.append((best if best < start else FAILED, place, one, values))
        return [row[2:] for row in sorted(found, key=lambda row: row[:2])]

    def vary(self, one: Try, values: dict[str, Any], *, kept: int = 0) -> None:
        """Change one argument after the other as long as more tensors agree.

        Parameters
        ----------
        one : Try
            The definition.
        values : dict
            Arguments that it starts from.
        kept : int
            Steps that are left for other files.
        """
        values = dict(values)
        best = self.score(one, values)
        for _ in range(ROUNDS):
            before = best
            for name in one.names:
                if name in one.given:
                    continue
                for value in self.domain(one, name, values):
                    if self.budget.steps < kept:
                        return
                    for changed in self._changed(one, name, value, values):
                        score = self.score(one, changed)
                        if score < best:
                            best, values = score, changed
                    if best == 0:
                        return
            if best == before:
                return

    def _changed(
        self, one: Try, name: str, value: Any, values: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield arguments with another value; rows as long as it are cut or go on with it."""
        yield {**values, name: value}
        defaults = one.constructor.defaults if one.constructor is not None else {}
        now = values.get(name, defaults.get(name))
        if not isinstance(now, list | tuple) or not isinstance(value, list | tuple):
            return
        more = len(value) - len(now)
        others: dict[str, Any] = {}
        for other in one.names:
            row = values.get(other, defaults.get(other))
            if other == name or other in one.given or not isinstance(row, list | tuple):
                continue
            if row and abs(len(row) - len(now)) <= 1 and len(row) + more > 0:
                others[other] = type(row)([*row, *[row[-1]] * max(more, 0)][: len(row) + more])
        if more and others:
            yield {**values, **others, name: value}

    def domain(self, one: Try, name: str, values: Mapping[str, Any]) -> list[Any]:
        """Return what an argument may be, the likeliest first."""
        own = one.constructor
        default = own.defaults.get(name) if own is not None else None
        now = values.get(name, default)
        if isinstance(now, bool):
            return [not now]
        if isinstance(now, str):
            return [word for word in words_in(one.made_by.names.file) if word != now]
        if isinstance(now, list | tuple) and now and all(isinstance(n, int) for n in now):
            return rows_like(now, self.shapes, self._numbers())
        if isinstance(now, int) or (now is None and name not in (own.defaults if own else {})):
            extra = [now * 2, now // 2, now + 1, now - 1] if isinstance(now, int) else []
            row = [*self._numbers(), *extra]
            words: list[Any] = [] if isinstance(now, int) else [True, False]
            return [n for n in [*dict.fromkeys(row), *words] if n != now]
        if now is None:
            return [*self._numbers()[:8], True]
        return []

    # ---- The end -----------------------------------------------------------------------

    def answer(self) -> Match | Miss:
        """Return the network, its arguments with how each is known; or what comes nearest."""
        if self.best is not None and self.found:
            _, one, values, found = self.best
            values = self._settled(one, values)
            arguments = self._arguments(one, values)
            return Match(
                made_by=one.made_by,
                arguments=arguments,
                unused=found.more,
                others=tuple(self.others),
                alike=self.alike,
            )
        return self.misses.nearest(self.failed, len(self.shapes))

    def _settled(self, one: Try, values: dict[str, Any]) -> dict[str, Any]:
        """Return arguments as calls and the code have them, where no tensor says otherwise."""
        starts = [row[2] for row in self.near if row[1].made_by is one.made_by]
        own = one.constructor
        defaults = dict(own.defaults) if own is not None else {}
        for start in (*starts, defaults):
            for name, value in start.items():
                if name in values and name not in one.given and values[name] != value:
                    if self.score(one, {**values, name: value}) == 0:
                        values = {**values, name: value}
        return values

    def _arguments(self, one: Try, values: Mapping[str, Any]) -> dict[str, Argument]:
        own = one.constructor
        found: dict[str, Argument] = {}
        defaults = own.defaults if own is not None else {}
        for name in one.names:
            if name in one.given:
                found[name] = one.given[name]
                continue
            if name not in values and name not in defaults:
                continue
            value = values.get(name, defaults.get(name))
            if isinstance(value, float) or not isinstance(value, bool | int | str | list | tuple):
                if name in values:
                    found[name] = Argument(value=value, source="assumed", why="a default")
                continue
            near = [value + 1, max(value - 1, 1)] if type(value) is int else []
            scores = [self.score(one, {**values, name: n}) for n in near if n != value]
            # Where neighbours make other tensors, farther numbers do, too.
            more = not scores or not all(0 < score < FAILED for score in scores)
            row = (*near, *(self.domain(one, name, values)[:6] if more else ()))
            others = [n for n in row if n != value]
            same = [n for n in others if self.score(one, {**values, name: n}) == 0]
            self.alike[name] = tuple(same)
            if same or not others:
                why = "the default of the code; no tensor shows it"
                if name not in defaults or defaults[name] != value:
                    why = "no tensor shows it" + (f" or tells it from {same[0]}" if same else "")
                found[name] = Argument(value=value, source="assumed", why=why)
            else:
                why = "only so the tensors have their shapes"
                found[name] = Argument(value=value, source="read", why=why)
        return found


def _text(one: Try) -> str:
    """Return the code of a class, whose copies in other files are the same network."""
    return ast.dump(one.made_by.node)


def _require_tensors(own: Mapping[str, Any], made: Instance) -> None:
    """Refuse a network all of whose layers are of libraries that are not read."""
    strange = [value.why for value in made.fields.values() if isinstance(value, Unknown)]
    if not own and strange:
        raise NotReadable(f"it has no layers but of libraries ({strange[0]})")


def _made(run: Runner, made_by: Class | Function, values: Mapping[str, Any]) -> Instance:
    try:
        made = run.call(made_by, (), values)
    except NotReadable as error:
        raise run.error(error) from error
    except RecursionError as error:
        raise NotReadable("its code is nested too deeply") from error
    if isinstance(made, tuple | list) and made:
        made = made[0]
    if not isinstance(made, Instance):
        raise NotReadable(f"{made_by.name} makes no network")
    return made
