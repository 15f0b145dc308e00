"""What an argument of a constructor may be, by the code and by the tensors of the file."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.programs.source._files import SourceFile

__all__ = ["rows_like", "words_in"]

MOST_WORDS = 12
LONGEST_WORD = 30


def words_in(file: SourceFile) -> list[str]:
    """Return texts that the code compares something with."""
    found: dict[str, None] = {}
    for statement in file.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Compare):
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found[part.value] = None
    return [word for word in found if len(word) < LONGEST_WORD][:MOST_WORDS]


def rows_like(
    now: Sequence[int], shapes: Mapping[str, tuple[int, ...]], numbers: Sequence[int]
) -> list[Any]:
    """Return rows of numbers of channels: multiples, beginnings, and that of the file.

    Parameters
    ----------
    now : sequence of int
        The row that the code has.
    shapes : mapping of str to tuple of int
        Of the tensors of the file.
    numbers : sequence of int
        Numbers of channels in it.
    """
    kind: Any = type(now)
    if max(now) <= 8:  # strides, kernels, numbers of blocks
        ends = [list(now[:n]) for n in range(len(now) - 1, 0, -1)]
        longer = [[*now, *[now[-1]] * n] for n in (1, 2)]
        alike = [[n] * len(now) for n in (2, 1, 3)]
        return [kind(row) for row in (*ends, *longer, *alike) if row != list(now)]
    widths: list[int] = []
    for shape in shapes.values():
        if len(shape) in (4, 5) and (not widths or shape[0] > widths[-1]):
            widths.append(shape[0])
    rows: list[list[int]] = [widths[:n] for n in range(len(widths), 1, -1)]
    firsts = [n for n in numbers if n > 1]
    rows += [[n * first // now[0] for n in now] for first in firsts if now[0]]
    rows += [list(now[:n]) for n in range(len(now) - 1, 0, -1)]
    return [kind(row) for row in rows if row and list(now) != row]
