"""Definitions in Python that lie beside weights: files and notebooks, parsed and never run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.programs._evaluate import NotReadable

__all__ = ["SourceFile", "files_beside", "read_file", "wanted_module"]

ENDINGS = (".py", ".ipynb")
MOST_FILES = 48
"""Files of a folder that are looked at."""
LARGEST_TEXT = 2**20
"""Characters of code in one file; the longest definitions have 100,000."""
LARGEST_NOTEBOOK = 2**26
"""Bytes of a notebook, which holds its pictures."""
MOST_NODES = 200_000
"""Of the syntax tree of one file."""
DEEPEST = 120
"""Syntax in each other."""
MAGIC = re.compile(r"^(\s*)[%!?]")
TEXT_CELLS = ("writefile", "time", "timeit", "capture", "prun")
"""Cells that begin with ``%%`` and hold Python."""


@dataclass(slots=True, eq=False)
class SourceFile:
    """A file of code.

    Attributes
    ----------
    path : Path
        Where it lies.
    body : list of ast.stmt
        Its statements; what cannot be parsed is left out.
    text : str
        All of its code.
    places : tuple of (int, int)
        Of a notebook: cell and line of each line of the text, from 1.
    """

    path: Path
    body: list[ast.stmt]
    text: str
    places: tuple[tuple[int, int], ...] = field(default=())

    def where(self, line: int) -> str:
        """Return a place for people: ``line 12 of unet.py``."""
        if self.places and 0 < line <= len(self.places):
            cell, own = self.places[line - 1]
            return f"cell {cell}, line {own} of {self.path.name}"
        return f"line {line} of {self.path.name}"

    def line(self, number: int) -> str:
        """Return the text of a line, without the space around it."""
        lines = self.text.split("\n")
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def files_beside(path: Path) -> list[Path]:
    """Return the files of code in the folder of weights, likeliest first."""
    try:
        found = [one for one in path.parent.iterdir() if one.suffix.lower() in ENDINGS]
    except OSError:
        return []
    stem = path.name.split(".")[0].lower()

    def likely(one: Path) -> tuple[bool, bool, str]:
        name = one.stem.lower()
        named = any(word in name for word in ("net", "model", "arch", "segm"))
        return (name != stem, not named, one.name)

    return sorted((one for one in found if one.is_file()), key=likely)[:MOST_FILES]


def wanted_module(start: Path, name: str, level: int = 0) -> Path | None:
    """Return the file of a module that code imports, near the code; None if it is not there.

    Only ``name.py`` and ``name/__init__.py`` in the folder of the code and up to three above it
    are looked for; nothing is searched on Python's own path.
    """
    parts = [part for part in name.split(".") if part]
    if any(not part.isidentifier() for part in parts):
        return None
    folder = start.parent
    for _ in range(max(level - 1, 0)):
        folder = folder.parent
    folders = [folder] if level else [folder, *list(folder.parents)[:3]]
    tails = [parts] if level or len(parts) < 2 else [parts, parts[-1:]]
    for tail in tails:
        for one in folders if tail is parts else folders[:1]:
            base = one.joinpath(*tail)
            for file in (base.with_name(base.name + ".py"), base / "__init__.py"):
                if file.is_file() and file != start:
                    return file
    return None


def read_file(path: Path) -> SourceFile:
    """Return the statements of a file.

    Raises
    ------
    NotReadable
        If it is no code, or more than any definition has.
    """
    try:
        if path.stat().st_size > LARGEST_NOTEBOOK:
            raise NotReadable(f"{path.name} is larger than any definition")
        raw = path.read_bytes()
    except OSError as error:
        raise NotReadable(f"{path.name} cannot be opened ({error.strerror or error})") from error
    text = raw.decode("utf-8-sig", errors="replace")
    if path.suffix.lower() == ".ipynb":
        return _notebook(path, text)
    if len(text) > LARGEST_TEXT:
        raise NotReadable(f"{path.name} has more than {LARGEST_TEXT:,} characters")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    body = list(_statements(text))
    if not body and text.strip():
        raise NotReadable(f"{path.name} holds no Python that can be parsed")
    _require_modest(body, path.name)
    _mangle(body)
    return SourceFile(path=path, body=body, text=text)


def _notebook(path: Path, text: str) -> SourceFile:
    try:
        cells = parsed_json(text)["cells"]
        rows = [
            (number, "".join(cell["source"]))
            for number, cell in enumerate(cells, start=1)
            if cell.get("cell_type") == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotReadable(f"{path.name} is no notebook ({type(error).__name__})") from error
    body: list[ast.stmt] = []
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    for number, cell in rows:
        own = _plain_cell(cell)
        if len(own) + sum(map(len, lines)) > LARGEST_TEXT:
            raise NotReadable(f"{path.name} has more than {LARGEST_TEXT:,} characters of code")
        for one in _statements(own):
            ast.increment_lineno(one, len(lines))
            body.append(one)
        fresh = own.split("\n")
        lines += fresh
        places += [(number, place) for place in range(1, len(fresh) + 1)]
    _require_modest(body, path.name)
    _mangle(body)
    return SourceFile(path=path, body=body, text="\n".join(lines), places=tuple(places))


def _plain_cell(text: str) -> str:
    """Return a cell without the commands of notebooks; its lines keep their numbers."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%") and not first[2:].strip().startswith(TEXT_CELLS):
        return "\n" * (len(lines) - 1)
    return "\n".join(found[1] + "pass" if (found := MAGIC.match(line)) else line for line in lines)


def _parsed(text: str) -> list[ast.stmt] | None:
    with warnings.catch_warnings():
        # Python warns of "\d" in texts, which is no matter of the user of weights.
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _statements(text: str) -> Iterator[ast.stmt]:
    """Yield the statements of a text; where it is no Python 3, of each part that is."""
    whole = _parsed(text)
    if whole is not None:
        yield from whole
        return
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if line[:1] not in ("", " ", "\t", ")", "]", "#")]
    for first, last in zip(starts, [*starts[1:], len(lines)], strict=True):
        for one in _parsed("\n".join(lines[first:last])) or ():
            ast.increment_lineno(one, first)
            yield one


def _require_modest(body: Sequence[ast.AST], name: str) -> None:
    """Refuse code so deep that walking through it would overflow the stack, or so long."""
    row: list[ast.AST] = list(body)
    depth = count = 0
    while row:
        depth, count = depth + 1, count + len(row)
        if depth > DEEPEST or count > MOST_NODES:
            what = "nested too deeply" if depth > DEEPEST else "too long"
            raise NotReadable(f"the code in {name} is {what}")
        row = [child for node in row for child in _children(node)]


def _mangle(body: Sequence[ast.stmt]) -> None:
    """Give names such as ``self.__conv`` the name of their class in front, as Python does.

    https://docs.python.org/3/reference/expressions.html#private-name-mangling
    """
    row: list[tuple[Any, str]] = [(one, "") for one in body]
    while row:
        node, owner = row.pop()
        inside = node.name.lstrip("_") if isinstance(node, ast.ClassDef) else owner
        for place in ("attr", "id", "name", "arg"):
            name = getattr(node, place, None)
            private = isinstance(name, str) and name.startswith("__") and not name.endswith("__")
            if owner and private:
                setattr(node, place, f"_{owner}{name}")
        row += [(child, inside) for child in _children(node)]


def _children(node: ast.AST) -> Iterator[Any]:
    return ast.iter_child_nodes(node)
