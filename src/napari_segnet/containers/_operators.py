"""What the operations of PyTorch take and give: their schemas, all kinds of each.

``torch_operators.txt`` is made of ``torch._C._jit_get_all_schemas()`` of PyTorch 2.15 (``aten`` and
``prim``), and of the functions that TorchScript has beside them
(https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/frontend/builtin_functions.cpp), whose
kinds end in ``own``. A line has ``!`` where an argument is changed in place, the arguments in order
(``*`` before those that are given by name alone, ``?`` behind those that have a default, ``/2``
behind a list that one number may stand for, ``...`` for any more), the results, and the names of
the operations for which all that holds.
"""

from __future__ import annotations

import ast
import functools
import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from napari_segnet.containers._script_types import ANY, Type

__all__ = ["Argument", "Operator", "argument_names", "operator", "overloads"]

FILE = Path(__file__).with_name("torch_operators.txt")
_DEFAULT, _OWN, _MORE, _NOTHING = "default", "own", "...", "()"
_GIVES = " ->"


class Argument(NamedTuple):
    """What an operation takes."""

    name: str
    kind: Type
    length: int
    """Of a list for whose numbers one may stand; 0 if none may."""
    optional: bool
    named: bool
    """Whether it is given by name alone."""

    @property
    def word(self) -> bool:
        """Whether its name is a word of Python: its reader then takes it by its place."""
        return keyword.iskeyword(self.name)

    @property
    def needed(self) -> bool:
        """Whether a program of ``torch.export`` must have it."""
        return not (self.optional or self.named) or self.word


class Operator(NamedTuple):
    """One kind of an operation."""

    arguments: tuple[Argument, ...]
    results: tuple[Type, ...]
    changes: bool
    """Whether it changes one of its arguments."""
    more: bool
    """Whether it takes any values behind these."""


def operator(name: str) -> Operator | None:
    """Return a kind of an operation, ``conv2d.default`` for one; None if there is none."""
    base, _, kind = name.partition(".")
    said = _lines().get(base, {}).get(kind)
    return None if said is None or kind.endswith(_OWN) else _operator(said)


def overloads(name: str) -> tuple[Operator, ...]:
    """Return all kinds of an operation: ``conv2d``, ``prim::RaiseException``; none if unknown."""
    return _overloads(name) if name in _lines() else ()


@functools.cache
def _overloads(name: str) -> tuple[Operator, ...]:
    return tuple(map(_operator, _lines()[name].values()))


@functools.cache
def argument_names() -> frozenset[str]:
    """Return the names of what any operation takes."""
    return frozenset(re.findall(r" \*?(\w+):", FILE.read_text("ascii")))


@functools.cache
def _lines() -> Mapping[str, Mapping[str, str]]:
    """Return for each operation what is said of each of its kinds."""
    found: dict[str, dict[str, str]] = {}
    for line in FILE.read_text("ascii").splitlines():
        said, _, names = line.partition(" : ")
        for name in names.split(" "):
            base, _, kind = name.partition(".")
            found.setdefault(base, {})[kind or _DEFAULT] = said
    return found


@functools.cache
def _operator(said: str) -> Operator:
    taken, _, given = said.partition(_GIVES)
    head, *rest = taken.split(" ")
    return Operator(
        tuple(_argument(one) for one in rest if one != _MORE),
        () if given == _NOTHING else tuple(map(_kind, given.split(";"))),
        head == "!",
        _MORE in rest,
    )


def _argument(said: str) -> Argument:
    name, _, rest = said.partition(":")
    kind, _, count = rest.removesuffix("?").partition("/")
    return Argument(
        name.removeprefix("*"),
        _kind(kind),
        int(count or 0),
        said.endswith("?"),
        name.startswith("*"),
    )


@functools.cache
def _kind(said: str) -> Type:
    return ANY if said == _MORE else _typed(ast.parse(said, mode="eval").body)


def _typed(node: ast.expr) -> Type:
    if isinstance(node, ast.Name):
        return Type(node.id)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return Type(node.value.id, tuple(map(_typed, inside)))
    return ANY  # an object of PyTorch's own
