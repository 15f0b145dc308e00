"""How much of a definition is read before it is refused: code of strangers may never end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_segnet import budget
from napari_segnet.programs._evaluate import NotReadable

__all__ = ["LARGEST", "LONGEST", "MOST_STEPS", "Budget"]

MOST_STEPS = 1_500_000
"""Pieces of syntax that are evaluated for one file of weights; the search of arguments of a U-Net
takes 5,000 for each try."""
MOST_ITEMS = 2_000_000
"""Items of lists and characters of texts that are made."""
DEEPEST = 36
"""Calls in each other: a recursive U-Net of 10 levels has 30."""
LONGEST = 10_000
"""Items of a list, turns of a loop, characters of a text."""
LARGEST = 2**40
"""No whole number of a network is larger."""


@dataclass(slots=True)
class Budget(budget.Budget):
    """What is left; a piece of syntax is a step."""

    steps: int = MOST_STEPS
    deepest: int = DEEPEST
    error: type[Exception] = NotReadable
    items: int = MOST_ITEMS

    def made(self, value: int) -> None:
        """Count items of something new."""
        count = value
        if count > LONGEST:
            raise NotReadable(f"the code makes {count:,} items at once, more than {LONGEST:,}")
        self.items -= max(count, 0) + 1
        if self.items < 0:
            raise NotReadable(f"the code makes more than {MOST_ITEMS:,} items")

    def number(self, value: Any) -> Any:
        """Return a number if it is one that a network may have."""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
            raise NotReadable("the code computes a number that no network has")
        return value

    def call(self) -> None:
        """Count a call in another; ``depth`` is to be counted down after it."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotReadable(f"its functions call each other more than {DEEPEST} deep")

    def row(self, values: Any) -> list[Any]:
        """Return the items of something that a loop goes through."""
        if isinstance(values, range | str | list | tuple | dict | set | frozenset | Sequence):
            self.made(len(values))
            return list(values)
        if isinstance(values, np.ndarray) or not isinstance(values, Iterator):
            raise NotReadable("it goes through something that is no list")
        found = []
        for one in values:
            found.append(one)
            self.made(1)
            if len(found) > LONGEST:
                raise NotReadable(f"a loop has more than {LONGEST:,} turns")
        return found
