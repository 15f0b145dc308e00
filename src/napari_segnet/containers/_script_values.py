"""What values of TorchScript give, by their types: to operations, loops and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_segnet.containers._script_classes import ScriptCode
from napari_segnet.containers._script_operators import called
from napari_segnet.containers._script_types import Type, listed

__all__ = ["ONE", "UNDECIDED", "each", "number", "parts", "result", "span"]

ONE = frozenset(("int", "float", "bool", "complex", "number", "NoneType", "Optional"))
"""Types whose values have no parts."""
UNDECIDED = frozenset(("Tuple", "Optional", "NoneType", "complex", "Device"))
"""Types whose values are neither true nor false."""
_MOST_OF_RANGE = 3


def result(look: ScriptCode, name: str, given: Sequence[Type], named: Mapping[str, Type]) -> Type:
    """Return the type of what an operation of PyTorch gives."""
    look.budget.step(len(given))
    try:
        return called(name, given, named)
    except ValueError as error:
        raise look.refuse(str(error)) from error


def number(look: ScriptCode, name: str, found: Sequence[Type]) -> Type:
    """Return the type of what ``int``, ``float`` or ``bool`` makes of a value."""
    if len(found) != 1:
        raise look.refuse(f"{name} of {len(found)} values")
    if name != "bool":
        result(look, f"torch.{name.title()}", found, {})
    elif found[0].name in UNDECIDED:
        raise look.refuse(f"bool of a {found[0]}")
    return Type(name)


def parts(look: ScriptCode, kind: Type, count: int) -> Sequence[Type]:
    """Return the types of the parts of a value that is given to so many names."""
    if kind.name == "Tuple":
        if len(kind.args) != count:
            raise look.refuse(f"{len(kind.args)} values for {count} names")
        return kind.args
    if kind.name not in {"Any", "List"}:
        raise look.refuse(f"a {kind} is taken apart")
    if kind.name == "Any" and kind.args and len(kind.args) != count:
        raise look.refuse(f"a named tuple of {len(kind.args)} values for {count} names")
    return [listed(kind)] * count


def each(look: ScriptCode, over: Type) -> Type:
    """Return the type of what a loop goes through, each in turn."""
    if over.name in ONE:
        raise look.refuse(f"a loop goes through a {over}")
    return over if over.name in {"Tensor", "str"} else listed(over)


def span(look: ScriptCode, found: Sequence[Type]) -> Type:
    """Return the type of what ``range`` gives."""
    if not 0 < len(found) <= _MOST_OF_RANGE:
        raise look.refuse(f"range of {len(found)} values")
    if odd := [one for one in found if one.name not in {"int", "Any"}]:
        raise look.refuse(f"range of a {odd[0]}")
    return Type("List", (Type("int"),))
