"""What the operations of PyTorch (``aten``) take and give, by which a program calls them.

``export_operators.txt`` is made of ``torch._C._jit_get_all_schemas()`` of PyTorch 2.15. Before the
colon of a line: ``t`` for one tensor or else the number of results, ``!`` where an argument is
changed in place, and the arguments in order, with ``*`` before those that are given by name alone
and ``?`` behind those that have a default. Behind it: the operations for which that holds.
"""

from __future__ import annotations

import functools
import keyword
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Argument", "Operator", "argument_names", "operators"]

FILE = Path(__file__).with_name("export_operators.txt")
_DEFAULT = ".default"


class Argument(NamedTuple):
    """What an operation takes: its name, if it may be missing, and if it has no place."""

    name: str
    optional: bool
    named: bool

    @property
    def word(self) -> bool:
        """Whether its name is a word of Python: its reader then takes it by its place."""
        return keyword.iskeyword(self.name)

    @property
    def needed(self) -> bool:
        """Whether PyTorch looks for it in each program."""
        return not (self.optional or self.named) or self.word


class Operator(NamedTuple):
    """An operation: its arguments in order, and how many values it gives."""

    arguments: tuple[Argument, ...]
    results: int
    changes: bool
    """Whether it changes one of its arguments."""


@functools.cache
def operators() -> Mapping[str, Operator]:
    """Return all by their names, ``conv2d.default`` for one."""
    found = {}
    for line in FILE.read_text("ascii").splitlines():
        said, _, names = line.partition(" : ")
        head, *rest = said.split(" ")
        results = head.removesuffix("!")
        made = Operator(
            tuple(Argument(a.strip("*?"), a.endswith("?"), a.startswith("*")) for a in rest),
            1 if results == "t" else int(results),
            head.endswith("!"),
        )
        for name in names.split(" "):
            found[name if "." in name else name + _DEFAULT] = made
    return found


@functools.cache
def argument_names() -> frozenset[str]:
    """Return the names of what any operation takes."""
    return frozenset(one.name for own in operators().values() for one in own.arguments)
