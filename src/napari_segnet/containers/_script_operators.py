"""Which values an operation of PyTorch takes in TorchScript, and what it gives.

https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/frontend/schema_matching.cpp, as of
PyTorch 2.15
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from napari_segnet.containers._operators import Argument, Operator, overloads
from napari_segnet.containers._script_types import ANY, NONE, Type, bound, fits, made_of, unsure

__all__ = ["called", "is_function"]

_EARLIER = frozenset(("linspace", "logspace"))
"""Operations of which PyTorch reads earlier schemas, too."""
_MOST_KEPT = 4096
"""Calls whose results are remembered: the code of a network makes few of different types."""
_SPACES = {"torch.": "", "ops.aten.": "", "ops.prim.": "prim::"}


@functools.lru_cache(_MOST_KEPT)
def is_function(name: str, own: Type) -> bool:
    """Tell if an operation may be called as a function of a value, which it takes as ``self``."""
    takes = (part for one in overloads(name) for part in one.arguments if part.name == "self")
    return any(fits(own, one.kind, {}, convert=False) for one in takes)


def called(name: str, given: Sequence[Type], named: Mapping[str, Type]) -> Type:
    """Return the type of what an operation gives; any where that is not known.

    Parameters
    ----------
    name : str
        Of the operation, as it is written.
    given : sequence of Type
        Types of the values that are given by place.
    named : mapping of str to Type
        Types of those that are given by name.

    Raises
    ------
    ValueError
        If no kind of the operation takes these values.
    """
    space = next((one for one in _SPACES if name.startswith(one)), None)
    plain = "" if space is None else _SPACES[space] + name.removeprefix(space)
    if not overloads(plain) or plain in _EARLIER:
        return ANY
    return _called(name, plain, tuple(given), tuple(named.items()))


@functools.lru_cache(_MOST_KEPT)
def _called(
    name: str,
    plain: str,
    given: tuple[Type, ...],
    said: tuple[tuple[str, Type], ...],
) -> Type:
    found, named = list[Type](), dict(said)
    for convert in (False, True):
        for one in overloads(plain):
            made = _match(one, given, named, convert=convert)
            if made is not None and not named and [own.kind for own in one.arguments] == [*given]:
                return made  # PyTorch has the kinds for numbers of any type behind the others
            found += [] if made is None else [made]
        if found and not any(map(unsure, (*given, *named.values()))):
            break
    if not found:
        shown = [*map(str, given), *(f"{key}={kind}" for key, kind in named.items())]
        raise ValueError(f"{name} takes no {', '.join(shown) or 'nothing'}")
    return found[0] if all(one == found[0] for one in found) else ANY


def _match(
    one: Operator, given: Sequence[Type], named: Mapping[str, Type], *, convert: bool
) -> Type | None:
    """Return what a kind of an operation gives; None if it does not take these values."""
    left, names, kinds = list(given), dict(named), dict[str, Type]()
    for place, own in enumerate(one.arguments):
        if left and not own.named:
            if own.name in names:
                return None
            if convert and _takes_all(one.arguments, place, left[0]):
                if not all(fits(each, own.kind.args[0], kinds, convert=True) for each in left):
                    return None
                left.clear()
            elif not _takes(own, left.pop(0), kinds, convert=convert):
                return None
        elif own.name in names:
            if not _takes(own, names.pop(own.name), kinds, convert=convert):
                return None
        elif not own.optional:
            return None
    if names or (left and not one.more):
        return None
    results = [bound(kind, kinds) for kind in one.results]
    if not results:
        return NONE
    return results[0] if len(results) == 1 else made_of("Tuple", results)


def _takes(own: Argument, have: Type, kinds: dict[str, Type], *, convert: bool) -> bool:
    if own.length and have.name in {"int", "float"} and have in _listed(own.kind):
        return True
    return fits(have, own.kind, kinds, convert=convert)


def _listed(kind: Type) -> Iterator[Type]:
    """Yield what a list holds, or one that may be missing."""
    inner = kind.args[0] if kind.name == "Optional" else kind
    if inner.name == "List":
        yield from inner.args


def _takes_all(own: Sequence[Argument], place: int, first: Type) -> bool:
    """Tell if the last argument is a list, and its values are given one by one."""
    last = place + 1 == len(own) or own[place + 1].named
    kind = own[place].kind
    listed = kind.name == "List" and not own[place].length and not kind.args[0].name.startswith("t")
    return last and listed and first.name not in {"List", "Tuple", "Any"}
