"""Models of Keras in code beside weights: which function makes them, and with which arguments."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._budget import Budget
from napari_segnet.programs.source._keras_config import config_of, layers_of, weight_shapes
from napari_segnet.programs.source._keras_values import KerasLayer, KerasModel
from napari_segnet.programs.source._library import library
from napari_segnet.programs.source._names import Files, Globals
from napari_segnet.programs.source._runner import Runner
from napari_segnet.programs.source._suggest import suggestions
from napari_segnet.programs.source._tries import Argument
from napari_segnet.programs.source._values import Bound, Class, Frame, Function, Instance

__all__ = ["KerasDefinition", "KerasMiss", "keras_definition"]

MAKERS = ("Model", "Sequential")
MOST_TRIES = 200
ROUNDS = 3
FIRST, LAST = ("in", "chan", "img", "depth"), ("class", "label", "out", "n_c", "num_c")
"""In the names of arguments that are the number of input channels, and of classes."""

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasDefinition:
    """A model that has the weights of a file.

    Attributes
    ----------
    name, where : str
        What makes it, and where that stands.
    source : Path
        The file of code.
    config : dict
        As ``model.to_json()``.
    order : tuple of (str, str, bool)
        Name, class and whether the code names it, of each layer with weights, as they are made.
    arguments : mapping of str to Argument
        What the function got.
    suggested : mapping
        What code of prediction and training says of the input.
    """

    name: str
    where: str
    source: Path
    config: Mapping[str, Any]
    order: tuple[tuple[str, str, bool], ...]
    arguments: Mapping[str, Argument]
    suggested: Any = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KerasMiss:
    """Why no model of the code has the weights; empty where the code makes none."""

    why: str = ""


def keras_definition(
    paths: Sequence[Path], shapes: Shapes, overrides: Mapping[str, Any]
) -> KerasDefinition | KerasMiss:
    """Return the model in files of code that has weights of these shapes.

    Parameters
    ----------
    paths : sequence of Path
        Python files and notebooks; they are read, never run.
    shapes : sequence of tuple of int
        Of all weights, layer by layer.
    overrides : mapping
        Arguments of its function by name, and ``class``: what the function is called.
    """
    search = _Search(files=Files(library=library), budget=Budget(), shapes=Counter(shapes))
    search.ndim = next((len(s) - 2 for s in shapes if len(s) > 3), 2)
    search.first = next((s[-2] for s in shapes if len(s) > 3), 1)
    search.last = next((s[-1] for s in reversed(shapes) if len(s) > 3), 1)
    names = []
    for path in paths:
        try:
            names.append(search.files.add(path))
        except NotReadable as error:
            search.why = search.why or str(error)
    for own in names:
        found = search.in_file(own, overrides)
        if found is not None:
            said = suggestions([own.file, *(n.file for n in names if n is not own)])
            return found if not said else _with(found, said)
    return KerasMiss(search.why)


def _with(found: KerasDefinition, said: Any) -> KerasDefinition:
    return KerasDefinition(
        name=found.name,
        where=found.where,
        source=found.source,
        config=found.config,
        order=found.order,
        arguments=found.arguments,
        suggested=said,
    )


@dataclass(slots=True, eq=False)
class _Search:
    files: Files
    budget: Budget
    shapes: Counter[tuple[int, ...]]
    first: int = 1
    last: int = 1
    ndim: int = 2
    why: str = ""
    left: int = MOST_TRIES

    # ---- What makes models -------------------------------------------------------------

    def in_file(self, names: Globals, overrides: Mapping[str, Any]) -> KerasDefinition | None:
        """Return the first model of a file that fits: of functions, then of plain statements."""
        wanted = str(overrides.get("class", ""))
        for node, owner in _functions(names.file.body):
            if wanted and wanted != node.name:
                continue
            made = self._function(names, node, owner, overrides)
            if made is not None:
                return made
        return None if wanted else self._statements(names)

    def _function(
        self, names: Globals, node: ast.FunctionDef, owner: str, overrides: Mapping[str, Any]
    ) -> KerasDefinition | None:
        order = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        order = [name for name in order if name not in ("self", "cls")]
        given = {
            name: Argument(value=overrides[name], source="told", why="by the user")
            for name in order
            if name in overrides
        }
        best: tuple[int, dict[str, Any]] | None = None
        for said in (*self._calls(names, node.name), {}):
            values = {**said, **{n: a.value for n, a in given.items()}}
            read = {
                name: Argument(value=value, source="read", why="in the call in the code")
                for name, value in said.items()
                if name not in given
            }
            score, values = self._improved(names, node, owner, order, values, {*given})
            if score == 0:
                kept = {n: a for n, a in read.items() if values.get(n) == a.value}
                return self._definition(names, node, owner, values, {**kept, **given})
            if best is None or score < best[0]:
                best = (score, values)
        return None

    def _calls(self, names: Globals, name: str) -> list[dict[str, Any]]:
        """Return what calls of a function in the code give it, as far as that is read."""
        found: list[dict[str, Any]] = []
        for statement in names.file.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _called(node) == name:
                    values: dict[str, Any] = {}
                    run = Runner(files=self.files, budget=self.budget)
                    target = self._target(names, name)
                    order = [a.arg for a in target.args.args] if target is not None else []
                    order = [one for one in order if one not in ("self", "cls")]
                    pairs = [
                        *zip(order, node.args, strict=False),
                        *((k.arg, k.value) for k in node.keywords if k.arg is not None),
                    ]
                    for key, value in pairs:
                        try:
                            one = run.value(value, Frame(names=names))
                        except (NotReadable, RecursionError):
                            continue
                        if isinstance(one, bool | int | float | str | list | tuple):
                            values[key] = one
                    if values and values not in found:
                        found.append(values)
        return found[:4]

    def _target(self, names: Globals, name: str) -> ast.FunctionDef | None:
        return next((node for node, _ in _functions(names.file.body) if node.name == name), None)

    # ---- Arguments ---------------------------------------------------------------------

    def _improved(
        self,
        names: Globals,
        node: ast.FunctionDef,
        owner: str,
        order: Sequence[str],
        values: dict[str, Any],
        fixed: set[str],
    ) -> tuple[int, dict[str, Any]]:
        """Return the arguments with which most weights agree, changed one after the other."""
        defaults = _defaults(node)
        for name in order:
            if name not in values and name not in defaults:
                values = {**values, name: self._guess(name)}
        best = self._score(names, node, owner, values)
        for _ in range(ROUNDS):
            before = best
            for name in order:
                if name in fixed or best == 0:
                    continue
                now = values.get(name, defaults.get(name))
                for value in self._others(now):
                    changed = {**values, name: value}
                    score = self._score(names, node, owner, changed)
                    if score < best:
                        best, values = score, changed
            if best in (0, before):
                break
        return best, values

    def _guess(self, name: str) -> Any:
        plain = name.lower()
        if "shape" in plain or "size" in plain:
            return (*(None,) * self.ndim, self.first)
        if any(word in plain for word in LAST):
            return self.last
        if any(word in plain for word in ("height", "width", "row", "col", "img_h", "img_w")):
            return 256
        if any(word in plain for word in FIRST):
            return self.first
        return next((shape[-1] for shape in self.shapes if len(shape) > 3), 1)

    def _others(self, now: Any) -> list[Any]:
        if isinstance(now, bool):
            return [not now]
        if isinstance(now, list | tuple) and len(now) in (3, 4) and type(now[-1]) is int:
            return [(*now[:-1], self.first)] if now[-1] != self.first else []
        if isinstance(now, int):
            wide = [shape[-1] for shape in self.shapes if len(shape) > 3]
            row = [self.last, self.first, *wide, 1, 2, 3, 4, 5, now * 2, now // 2]
            return [n for n in dict.fromkeys(row) if n != now][:12]
        return []

    def _score(
        self, names: Globals, node: ast.FunctionDef, owner: str, values: Mapping[str, Any]
    ) -> int:
        """Return how many weights differ; a large number where no model is made."""
        self.left -= 1
        if self.left < 0:
            return 10**9
        try:
            model, _ = self._made(names, node, owner, values)
            own = Counter(shape for _, rows in weight_shapes(model) for shape in rows)
        except (NotReadable, RecursionError) as error:
            self.why = self.why or f"{node.name} is not read: {error}"
            return 10**9
        off = (own - self.shapes).total() + (self.shapes - own).total()
        if off and not self.why.startswith("the weights"):
            where = names.file.where(node.lineno)
            self.why = f"the weights of {node.name} ({where}) are others: {off} differ"
        return off

    def _made(
        self, names: Globals, node: ast.FunctionDef, owner: str, values: Mapping[str, Any]
    ) -> tuple[KerasModel, Runner]:
        run = Runner(files=self.files, budget=self.budget)
        try:
            made = run.call(self._callable(run, names, node, owner), (), dict(values))
        except NotReadable as error:
            raise run.error(error) from error
        if isinstance(made, tuple | list):
            made = next((one for one in made if isinstance(one, KerasModel)), None)
        if isinstance(made, Instance):
            made = None
        if not isinstance(made, KerasModel):
            if not run.keras.models:
                raise NotReadable(f"{node.name} makes no model")
            made = run.keras.models[-1]
        return made, run

    def _callable(
        self, run: Runner, names: Globals, node: ast.FunctionDef, owner: str
    ) -> Function | Bound | Any:
        if not owner:
            return run.looked_up(node.name, names)
        kind = run.looked_up(owner, names)
        if not isinstance(kind, Class):
            raise NotReadable(f"{owner} is no class")
        if any(_called_name(one) == "staticmethod" for one in node.decorator_list):
            return run.attribute(kind, node.name)
        return run.attribute(run.call(kind, (), {}), node.name)

    # ---- What is found -----------------------------------------------------------------

    def _definition(
        self,
        names: Globals,
        node: ast.FunctionDef,
        owner: str,
        values: Mapping[str, Any],
        known: Mapping[str, Argument],
    ) -> KerasDefinition:
        model, _ = self._made(names, node, owner, values)
        defaults = _defaults(node)
        arguments = dict(known)
        for name, value in {**defaults, **values}.items():
            if name in arguments or not isinstance(value, bool | int | float | str | list | tuple):
                continue
            others = self._others(value)[:4]
            scores = [self._score(names, node, owner, {**values, name: one}) for one in others]
            if scores and 0 not in scores:
                why, source = "only so the weights have their shapes", "read"
            else:
                own = defaults.get(name) == value
                why, source = "no weight shows it", "assumed"
                why = f"the default of the code; {why}" if own else why
            arguments[name] = Argument(value=value, source=source, why=why)
        return _described(model, node.name, names, node.lineno, arguments)

    def _statements(self, names: Globals) -> KerasDefinition | None:
        """Return a model that plain statements make, one after the other, as in a notebook."""
        run, frame = Runner(files=self.files, budget=self.budget), Frame(names=names)
        for statement in names.file.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
                continue
            try:
                run.block([statement], frame)
            except (NotReadable, RecursionError) as error:
                if _makes_model(statement):
                    self.why = self.why or str(run.error(NotReadable(str(error))))
        for model in reversed(run.keras.models):
            try:
                own = Counter(shape for _, rows in weight_shapes(model) for shape in rows)
            except NotReadable as error:
                self.why = self.why or str(error)
                continue
            if own == self.shapes:
                return _described(model, model.name, names, _line_of(model), {})
        return None


def _line_of(model: KerasModel) -> int:
    digits = "".join(c if c.isdigit() else " " for c in model.line.partition(" of ")[0]).split()
    return int(digits[-1]) if digits else 1


def _described(
    model: KerasModel,
    name: str,
    names: Globals,
    line: int,
    arguments: Mapping[str, Argument],
) -> KerasDefinition:
    weighted = [layer for layer, _ in weight_shapes(model)]
    own = {id(layer) for layer in layers_of(model)}
    order = tuple(
        (layer.name, layer.kind, layer.named or id(layer) not in own)
        for layer in sorted(weighted, key=_number)
    )
    return KerasDefinition(
        name=name,
        where=names.file.where(line),
        source=names.file.path,
        config=config_of(model),
        order=order,
        arguments=arguments,
    )


def _number(layer: KerasLayer) -> int:
    """Return the number in a name that Keras gives, in which layers are made."""
    last = layer.name.rpartition("_")[2]
    return int(last) if last.isdigit() and not layer.named else 0


# ---- Syntax ----------------------------------------------------------------------------


def _functions(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield functions, and methods with their class, in which a model is made."""
    rows: list[tuple[ast.FunctionDef, str]] = []
    for one in body:
        if isinstance(one, ast.FunctionDef):
            rows.append((one, ""))
        elif isinstance(one, ast.ClassDef):
            rows += [(part, one.name) for part in one.body if isinstance(part, ast.FunctionDef)]
    for node, owner in rows:
        if _makes_model(node) and node.name != "__init__":
            yield node, owner


def _makes_model(node: ast.AST) -> bool:
    return any(_called(one) in MAKERS for one in ast.walk(node) if isinstance(one, ast.Call))


def _called(node: ast.Call) -> str:
    return _called_name(node.func)


def _called_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _defaults(node: ast.FunctionDef) -> dict[str, Any]:
    """Return the defaults of arguments that are plain values; others stand as None."""
    args = node.args
    names = [a.arg for a in (*args.posonlyargs, *args.args)]
    pairs = [
        *zip(names[len(names) - len(args.defaults) :], args.defaults, strict=True),
        *((a.arg, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d),
    ]
    found = {}
    for name, value in pairs:
        try:
            found[name] = ast.literal_eval(value)
        except ValueError:
            found[name] = None
    return found
