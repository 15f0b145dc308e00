"""Constants of classes in code that lies beside weights; ``programs.source`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ClassConstants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassConstants:
    """What a class of Python code says in its body, and in the bodies of its bases.

    Attributes
    ----------
    name, where : str
        Of the class: ``"line 12 of nucleus.py"``.
    values : mapping of str to value
        Plain values by name: numbers, texts, None and lists of them (also for tuples and arrays).
    bases : tuple of str
        Names of all its bases, the nearest first.
    unread : tuple of str
        Constants whose value was not followed, each with its place.
    """

    name: str
    where: str
    values: Mapping[str, Any] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
