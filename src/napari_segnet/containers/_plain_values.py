"""Plain values that a pickle builds: what Python would make, a stand-in, or a refusal."""

from __future__ import annotations

from typing import Any

from napari_segnet.budget import OverBudget
from napari_segnet.containers._inert import Inert, Named
from napari_segnet.containers._rebuild import (
    FORGIVING,
    FUNCTIONS,
    MOST_ARGUMENTS,
    OF_ANYTHING,
    PLAIN,
    is_kind,
)

__all__ = ["plain_or_inert"]

_PLAINEST = (str, bytes, int, float, complex, list, tuple, dict, type(None))
_CALLED = (Named, Inert, type(None))
_NO_ROW = (int, float, complex, type(None), Named)
_OF_PAIRS = ("builtins.dict", "collections.OrderedDict")


def plain_or_inert(name: str, args: tuple[Any, ...]) -> Any:
    """Return the value that a class of the table ``PLAIN`` makes of arguments.

    A stand-in takes its place where they hold what is known by name alone.

    Parameters
    ----------
    name : str
        Dotted name of the class or function.
    args : tuple
        What it would have got.

    Raises
    ------
    ValueError, TypeError, OverflowError or AttributeError
        If Python refuses them, too.
    """
    if name == "collections.defaultdict" and args and not _can_be_called(args[0]):
        raise ValueError("the default factory of a dict cannot be called")
    if len(args) > MOST_ARGUMENTS.get(name, len(args)):
        raise ValueError(f"a {name.rpartition('.')[2]} is made of {len(args)} values")
    try:
        return PLAIN[name](*args)
    except OverBudget:
        raise
    except (ValueError, TypeError, OverflowError, AttributeError):
        known = all(isinstance(one, _PLAINEST) for one in args)
        known = known or (name not in OF_ANYTHING and any(isinstance(one, Named) for one in args))
        if name in FUNCTIONS or (known and name not in FORGIVING):
            raise  # Python itself refuses it, too
        if name in FORGIVING and (isinstance(args[0], _NO_ROW) or _no_pairs(name, args)):
            raise
        return Inert(name, args)


def _can_be_called(made: Any) -> bool:
    """Tell if missing values of a dict may be made by it; kinds of numbers of torch are none."""
    if isinstance(made, Named) and made.module.partition(".")[0] == "torch":
        return not is_kind(made.short)
    return isinstance(made, _CALLED)


def _no_pairs(name: str, args: tuple[Any, ...]) -> bool:
    """Tell if Python makes no dict of values: of texts, numbers, rows of other lengths than 2.

    It counts all values but those that cannot be keys.
    """
    if name == "collections.Counter" and isinstance(args[0], list | tuple):
        return any(isinstance(one, dict | list | set | bytearray) for one in args[0])
    items = args[0] if name in _OF_PAIRS and args else ()
    if isinstance(items, str | bytes):
        return True
    plain = items if isinstance(items, list | tuple | set | frozenset) else ()
    return any(
        isinstance(one, int | float | complex | Named | None)
        or (isinstance(one, str | bytes | list | tuple) and len(one) != 2)
        for one in plain
    )
