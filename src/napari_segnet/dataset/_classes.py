"""Classes of two lists are the same where their names are, whatever their numbers."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["merged_classes"]


def merged_classes(
    there: tuple[str, ...], names: tuple[str, ...]
) -> tuple[tuple[str, ...], Mapping[int, int]]:
    """Return the classes of both lists, and the place in it of each class of the second.

    Parameters
    ----------
    there, names : tuple of str
        Background first; empty where classes have no names. Those of ``there`` keep their
        places.
    """
    if not there or not names:
        return there or names, {i: i for i in range(len(names))}
    every = list(there)
    places = {0: 0}
    for number, name in enumerate(names[1:], start=1):
        if name not in every[1:]:
            every.append(name)
        places[number] = every.index(name, 1)
    return tuple(every), places
