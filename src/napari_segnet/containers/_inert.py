"""Stand-ins for what a pickle names but we never import, and plain copies of values."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_segnet.budget import Budget
from napari_segnet.containers._types import TensorRef

__all__ = ["Inert", "Named", "Plain", "Record", "plain", "tagged_dict"]

_MAX_VALUES = 200_000
_MAX_DEPTH = 24
_MAX_ARRAY = 4096
_MAX_BITS = 1024  # Python prints no integer of more than 4300 digits
_LEFT_OUT = "..."
_TAGGED = "torch.jit._pickle.restore_type_tag"
"""How TorchScript tells the type of a dict or list, which follows the value."""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A class or function that a pickle names: only its name, never the thing itself."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def short(self) -> str:
        """The name as torch prints it: ``float32`` for ``torch.float32``."""
        return self.name.rpartition(".")[2]


@dataclass(slots=True, eq=False, repr=False)
class Inert:
    """An object of a class that we do not import: what its pickle recorded, no behaviour.

    Attributes
    ----------
    name : str
        Dotted name of the class.
    args, state : Any
        What its constructor and its ``__setstate__`` would have got.
    entries, items : list
        What would have been set as ``object[key] = value`` or appended.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    entries: list[tuple[Any, Any]] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<inert {self.name}>"

    def build(self, state: Any) -> None:
        """Record a state; a second one joins the first where both are dicts."""
        if isinstance(self.state, dict) and isinstance(state, dict):
            self.state = {**self.state, **state}
        else:
            self.state = state

    def fields(self) -> dict[str, Any]:
        """Return attributes and dict entries that have a name."""
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        found: dict[str, Any] = {}
        for state in states:
            if isinstance(state, dict):
                found.update((key, value) for key, value in state.items() if isinstance(key, str))
        found.update((key, value) for key, value in self.entries if isinstance(key, str))
        return found


def tagged_dict(value: Any) -> dict[Any, Any]:
    """Return a dict as TorchScript writes it: bare, or with its type beside it.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, Inert) and value.name == _TAGGED and len(value.args) == 2:
        value = value.args[0]
    if not isinstance(value, dict):
        raise ValueError("the metadata of a tensor are not a dict")
    return value


class Record(dict[str, Any]):
    """A class that only holds named values (``argparse.Namespace``), as a dict."""


class Plain:
    """Copies values into plain ones, see :func:`plain`; all of them share one budget.

    A pickle may refer to the same list a million times in a few bytes; a copy of it may not.
    """

    def __init__(self, most: int = _MAX_VALUES) -> None:
        self.budget = Budget(steps=most)

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a plain copy."""
        if not self.budget.can(1) or depth > _MAX_DEPTH:
            return _LEFT_OUT
        if value is None or isinstance(value, bool | float | str):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= _MAX_BITS else _LEFT_OUT
        if isinstance(value, Mapping):
            return self._dict(value, depth)
        if isinstance(value, list | tuple | set | frozenset | range):
            return self._list(value, depth)
        if isinstance(value, Inert):
            return self._inert(value, depth)
        if isinstance(value, np.ndarray):
            small = value.size <= _MAX_ARRAY and self.budget.can(value.size)
            return value.tolist() if small else _LEFT_OUT
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, bytes | bytearray):
            return f"<{len(value)} bytes>"
        return str(value) if isinstance(value, Named | datetime.timedelta) else _shown(value)

    def _dict(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        copied = {}
        for key, item in value.items():
            if not self.budget.steps:
                break
            if not isinstance(item, TensorRef):
                copied[self._key(key)] = self.value(item, depth + 1)
        return copied

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        return _LEFT_OUT if isinstance(key, bytes) and len(key) > _MAX_ARRAY else _shown(key)

    def _list(self, value: Any, depth: int) -> list[Any]:
        copied = []
        for item in value:
            if not self.budget.steps:
                break
            if not isinstance(item, TensorRef):
                copied.append(self.value(item, depth + 1))
        return copied

    def _inert(self, value: Inert, depth: int) -> dict[str, Any]:
        copied: dict[str, Any] = {"__class__": value.name}
        if value.args:
            copied["args"] = self._list(value.args, depth)
        copied.update(self._dict(value.fields(), depth))
        if value.items:
            copied["items"] = self._list(value.items, depth)
        return copied


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # a whole number that Python does not print, somewhere in it
        return _LEFT_OUT


def plain(value: Any, copy: Plain | None = None) -> Any:
    """Return a copy of plain values (dict, list, text, number), without tensors.

    Stand-ins become dicts with the name of their class under ``__class__``; what is very
    large or very deep becomes ``"..."``, so that a copy never has more than 200,000 values,
    whatever a file claims.
    """
    return (copy or Plain()).value(value)
