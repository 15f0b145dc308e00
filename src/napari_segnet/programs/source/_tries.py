"""Classes and functions that may make the network of a file, with what calls give them."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._budget import Budget
from napari_segnet.programs.source._members import class_member
from napari_segnet.programs.source._names import Files, Globals
from napari_segnet.programs.source._runner import Runner
from napari_segnet.programs.source._values import Class, External, Frame, Function, Unknown

__all__ = ["Argument", "Tries", "Try", "key_of_arguments"]

MOST_CALLS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A value that the constructor gets, and how it is known: read, assumed or told."""

    value: Any
    source: str
    why: str


@dataclass(slots=True, kw_only=True, eq=False)
class Try:
    """A class or a function that makes a network, with what is known of its arguments.

    Attributes
    ----------
    made_by : Class or Function
        What is called.
    given : dict of str to Argument
        Arguments that something says.
    called : bool
        Whether a call in the code makes it.
    """

    made_by: Class | Function
    given: dict[str, Argument] = field(default_factory=dict)
    called: bool = False

    @property
    def constructor(self) -> Function | None:
        """The function that takes the arguments."""
        if isinstance(self.made_by, Function):
            return self.made_by
        found = class_member(self.made_by, "__init__")
        return found if isinstance(found, Function) else None

    @property
    def names(self) -> list[str]:
        """Arguments by name."""
        own = self.constructor
        if own is None:
            return []
        args = own.node.args
        found = [one.arg for one in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
        return found[1:] if isinstance(self.made_by, Class) else found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tries:
    """Looks for what makes a network.

    Attributes
    ----------
    files : Files
        The code.
    budget : Budget
        How much is read.
    overrides, said : mapping
        Arguments by name, from the user and from beside the tensors.
    """

    files: Files
    budget: Budget
    overrides: Mapping[str, Any]
    said: Mapping[str, Any]

    def found_in(self, names: Sequence[Globals]) -> Iterator[Try]:
        """Yield calls that make a network, then all classes by themselves."""
        calls = [one for own in names for one in self._calls(own)]
        yield from calls[:MOST_CALLS]
        for own in names:
            for name, rows in own.bound.items():
                if any(isinstance(row, ast.ClassDef) for row in rows):
                    for kind in self._classes(own, name):
                        yield self._try(kind, {})
        for own in names:
            for name, rows in own.bound.items():
                last = rows[-1]
                if isinstance(last, ast.FunctionDef) and _returns_network(last):
                    made = self._looked_up(own, name)
                    if isinstance(made, Function):
                        yield self._try(made, {})

    def _classes(self, names: Globals, name: str) -> Iterator[Class]:
        rows = [row for row in names.bound[name] if isinstance(row, ast.ClassDef)]
        for row in reversed(rows):
            own = names
            if len(rows) > 1:
                # Of several cells with the same class each sees what stands before its end.
                own = Globals.of(names.file, names.files, before=(row.end_lineno or 0) + 1)
            found = self._looked_up(own, name)
            if isinstance(found, Class) and found.is_module():
                yield found

    def _looked_up(self, names: Globals, name: str) -> Any:
        try:
            return Runner(files=self.files, budget=self.budget).looked_up(name, names)
        except (NotReadable, RecursionError):
            return None

    def _calls(self, names: Globals) -> Iterator[Try]:
        seen = set()
        for call, around in _calls_in(names.file.body):
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if isinstance(call.func, ast.Attribute):
                name = call.func.attr
            if not name or name in ("print", "super", "len"):
                continue
            run = Runner(files=self.files, budget=self.budget)
            frame = _local(run, names, around)
            try:
                kind = run.value(call.func, frame)
            except (NotReadable, RecursionError):
                continue
            if not isinstance(kind, Class) or not kind.is_module():
                continue
            given = self._given(run, kind, call, frame, names)
            key = (id(kind), key_of_arguments({n: a.value for n, a in given.items()}))
            if key not in seen:
                seen.add(key)
                yield replace(self._try(kind, given), called=True)

    def _given(
        self, run: Runner, kind: Class, call: ast.Call, frame: Frame, names: Globals
    ) -> dict[str, Argument]:
        order = Try(made_by=kind).names
        pairs: list[tuple[str, ast.expr]] = [
            *zip(order, (a for a in call.args if not isinstance(a, ast.Starred)), strict=False)
        ]
        given: dict[str, Any] = {}
        for keyword in call.keywords:
            if keyword.arg is not None:
                pairs.append((keyword.arg, keyword.value))
            else:
                given |= self._starred(run, keyword.value, frame)
        for name, node in pairs:
            try:
                value = run.value(node, frame)
            except (NotReadable, RecursionError):
                continue
            if not isinstance(value, Unknown):
                given[name] = value
        where = names.file.where(call.lineno)
        return {
            name: Argument(value=value, source="read", why=f"in the call, {where}")
            for name, value in given.items()
        }

    def _starred(self, run: Runner, node: ast.expr, frame: Frame) -> dict[str, Any]:
        try:
            found = run.value(node, frame)
        except (NotReadable, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _try(self, kind: Class | Function, given: dict[str, Argument]) -> Try:
        made = Try(made_by=kind, given=dict(given))
        for name in made.names:
            if name in self.said:
                made.given[name] = Argument(
                    value=self.said[name], source="read", why="written in the file"
                )
            if name in self.overrides:
                value = _typed(self.overrides[name], made, name)
                made.given[name] = Argument(value=value, source="told", why="by the user")
        return made


def key_of_arguments(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells arguments apart: numbers and texts; classes and layers by identity."""

    def key(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return (type(value), *map(key, value))
        if isinstance(value, dict):
            return (dict, *((key(a), key(b)) for a, b in value.items()))
        plain = isinstance(value, bool | int | float | str | External | None)
        return (type(value), value) if plain else id(value)

    return tuple(sorted((name, key(value)) for name, value in values.items()))


def _typed(value: Any, one: Try, name: str) -> Any:
    """Return what a user told as the kind of value that the default has."""
    if not isinstance(value, str):
        return value
    word = value.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        number = float(word)
    except ValueError:
        parts = word.strip("()[] ").split(",")
        if len(parts) > 1 and all(part.strip().isdigit() for part in parts):
            return [int(part) for part in parts]
        return word
    return int(number) if math.isfinite(number) and number.is_integer() else number


def _returns_network(node: ast.FunctionDef) -> bool:
    words = ("model", "net", "unet", "build", "create", "get")
    returns = any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(node))
    return returns and any(word in node.name.lower() for word in words)


Around = ast.FunctionDef | None


def _calls_in(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.Call, Around]]:
    """Yield calls outside of the classes of networks, and the function each stands in."""
    rows: list[tuple[ast.AST, Around]] = [(one, None) for one in body]
    while rows:
        node, around = rows.pop(0)
        if isinstance(node, ast.ClassDef) and any(
            "Module" in ast.unparse(base) or "nn." in ast.unparse(base) for base in node.bases
        ):
            continue
        if isinstance(node, ast.FunctionDef):
            around = node
        if isinstance(node, ast.Call):
            yield node, around
        rows += [(child, around) for child in ast.iter_child_nodes(node)]


def _local(run: Runner, names: Globals, around: Around) -> Frame:
    """Return the names of a function that plain statements give."""
    frame = Frame(names=names)
    if around is None:
        return frame
    args = around.args
    for one in (*args.posonlyargs, *args.args, *args.kwonlyargs):
        frame.values[one.arg] = Unknown(f"the argument {one.arg}")
    for statement in around.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            run_budget = replace(run.budget)
            try:
                run.block([statement], frame)
            except (NotReadable, RecursionError):
                run.budget.depth = run_budget.depth
    return frame
