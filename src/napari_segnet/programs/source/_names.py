"""Names of a file: what its outermost statements define, looked up when they are needed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._files import SourceFile, read_file, wanted_module
from napari_segnet.programs.source._values import External

__all__ = ["USUAL", "Files", "Globals"]

MOST_FILES = 64
USUAL = {
    **{"torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "np": "numpy"},
    **{"TF": "torchvision.transforms.functional", "models": "torchvision.models"},
    **{"math": "math", "OrderedDict": "collections.OrderedDict", "torchvision": "torchvision"},
    **{"partial": "functools.partial", "tf": "tensorflow", "keras": "keras", "numpy": "numpy"},
    "layers": "keras.layers",
}
"""What names mean in code whose imports are missing, as in a part of a notebook."""


@dataclass(slots=True, eq=False)
class Globals:
    """The names of one file.

    Attributes
    ----------
    file : SourceFile
        The file.
    files : Files
        All that are known.
    bound : dict of str to list of ast.stmt
        Every statement that gives a name a value.
    stars : list of ast.ImportFrom
        Imports of all names of a module.
    found : dict of str
        Values that were looked up.
    before : int
        Only definitions before this line count where a name has several; 0: all do.
    """

    file: SourceFile
    files: Files
    bound: dict[str, list[ast.stmt]] = field(default_factory=dict)
    stars: list[ast.ImportFrom] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    before: int = 0
    busy: set[str] = field(default_factory=set)

    @staticmethod
    def of(file: SourceFile, files: Files, before: int = 0) -> Globals:
        """Return the names of a file."""
        names = Globals(file=file, files=files, before=before)
        for statement in _outermost(file.body):
            for name in _bound(statement):
                if name == "*":
                    assert isinstance(statement, ast.ImportFrom)
                    names.stars.append(statement)
                else:
                    names.bound.setdefault(name, []).append(statement)
        return names

    def statement(self, name: str) -> ast.stmt | None:
        """Return what defines a name; of several the last, or the last before a line."""
        own = self.bound.get(name, [])
        early = [one for one in own if one.lineno < self.before]
        chosen = early if early else own
        return chosen[-1] if chosen else None

    def imported(self, node: ast.Import | ast.ImportFrom, name: str) -> Any:
        """Return what an import gives a name."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname == name:
                    return self.files.module(self, alias.name, 0) or External(alias.name)
                if alias.asname is None and alias.name.split(".")[0] == name:
                    return External(name)
        else:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _Member(node, alias.name)
        raise NotReadable(f"the import of {name} is not understood")


@dataclass(frozen=True, slots=True)
class _Member:
    """A name of a module that an import names."""

    node: ast.ImportFrom
    name: str


@dataclass(slots=True, eq=False)
class Files:
    """All files of code that are known, and the modules near them.

    Attributes
    ----------
    known : dict of Path to Globals
        By where they lie.
    library : callable
        Returns the file that defines something of a library by its dotted name, or None.
    definitions : dict of Path to Globals
        Those of libraries that were read.
    """

    library: Callable[[str], SourceFile | None]
    known: dict[Path, Globals] = field(default_factory=dict)
    definitions: dict[Path, Globals] = field(default_factory=dict)

    def defined(self, name: str) -> Globals | None:
        """Return the definition of something of a library by its dotted name."""
        file = self.library(name)
        if file is None:
            return None
        if file.path not in self.definitions:
            self.definitions[file.path] = Globals.of(file, self)
        found = self.definitions[file.path]
        return found if name.rpartition(".")[2] in found.bound else None

    def add(self, path: Path) -> Globals:
        """Return the names of a file, which is read at most once."""
        if path not in self.known:
            if len(self.known) >= MOST_FILES:
                raise NotReadable(f"the code takes more than {MOST_FILES} files")
            self.known[path] = Globals.of(read_file(path), self)
        return self.known[path]

    def module(self, names: Globals, module: str, level: int) -> Globals | None:
        """Return a module that code imports, if its file is near."""
        found = wanted_module(names.file.path, module, level)
        if found is None:
            last = module.rpartition(".")[2]
            near = [one for one in self.known if one.stem == last and one != names.file.path]
            found = near[0] if near else None
        if found is None:
            return None
        try:
            return self.add(found)
        except NotReadable:
            return None

    def exactly(self, names: Globals, module: str, level: int = 0) -> Globals | None:
        """Return a module whose file lies in the very folders that its name says."""
        path, parts = wanted_module(names.file.path, module, level), tuple(module.split("."))
        if path is None or path.with_suffix("").parts[-len(parts) :] != parts:
            return None
        return self.add(path)

    def member(self, names: Globals, given: Any) -> tuple[Globals | None, str, External]:
        """Return where a name of an import is defined, its name there, and its dotted name."""
        node, name = given.node, given.name
        module = node.module or ""
        inside = self.module(names, module, node.level) if module or node.level else None
        if inside is None and node.level and not module:
            inside = self.module(names, name, node.level)
            return inside, "", External(name)
        if inside is None and module:
            # A folder without __init__.py is a package, too.
            dotted = f"{module}.{name}"
            found = self.exactly(names, dotted, node.level)
            if found is not None:
                return found, "", External(dotted)
        return inside, name, External(f"{module}.{name}" if module else name)


def _outermost(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements outside of functions and classes, those in branches as well."""
    for one in body:
        yield one
        for inner in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                rows = getattr(one, inner, None) or []
                for row in rows:
                    if isinstance(row, ast.ExceptHandler):
                        yield from _outermost(row.body)
                    elif isinstance(row, ast.stmt):
                        yield from _outermost([row])


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _targets(target)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _targets(node.target)


def _targets(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for one in target.elts:
            yield from _targets(one)
