"""COCO's run lengths: masks as counts of zeros and ones, column by column.

The text form packs each count into 5 bits a letter, from the third on as the difference to
the count before the last (https://github.com/cocodataset/cocoapi, common/maskApi.c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["counts_of", "decode", "from_text", "to_text"]


def counts_of(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return the run lengths of a mask ``(y, x)``: zeros first, then ones, and so on."""
    flat = mask.T.ravel()
    if not flat.size:
        return []
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def decode(counts: list[int], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask ``(y, x)`` of run lengths.

    Raises
    ------
    ValueError
        If they do not fill it.
    """
    if any(n < 0 for n in counts) or sum(counts) != shape[0] * shape[1]:
        raise ValueError(f"the runs cover {sum(counts)} of {shape[0] * shape[1]} pixels")
    bits = np.arange(len(counts)) % 2 == 1
    return np.repeat(bits, counts).reshape(shape[::-1]).T


def to_text(counts: list[int]) -> str:
    """Return run lengths as text."""
    letters: list[str] = []
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = x & 31
            x >>= 5
            more = x != (-1 if bits & 16 else 0)
            letters.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(letters)


def from_text(text: Any) -> list[int]:
    """Return the run lengths of a text.

    Raises
    ------
    ValueError
        If it is none.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in str(text):
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"{letter!r} is no letter of run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the text of the run lengths is cut off")
    return counts
