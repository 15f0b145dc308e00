"""The run lengths of Label Studio's brush: four bytes a pixel, of which the last one is paint.

A stream of bits, the highest of each byte first: how many values (32 bits); bits of a value,
less one (5); four sizes of lengths, less one (4 each); then runs: whether all values are equal
(1), which size (2), the length less one, and one value or as many as the run is long
(https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["alpha_of"]

BYTES = 4
"""Red, green, blue and alpha of a pixel."""


class _Bits:
    """Reads whole numbers of any width."""

    def __init__(self, values: Sequence[int]) -> None:
        data = bytes(values)
        self._text = format(int.from_bytes(data, "big"), f"0{8 * len(data)}b") if data else ""
        self._place = 0

    def take(self, count: int) -> int:
        end = self._place + count
        if end > len(self._text):
            raise ValueError("the run lengths of the brush are cut off")
        number = int(self._text[self._place : end], 2)
        self._place = end
        return number


def alpha_of(values: Sequence[int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask ``(y, x)`` of what a brush painted.

    Parameters
    ----------
    values : sequence of int
        The bytes, 0 to 255 each.
    size : tuple of int
        Rows and columns of the picture.

    Raises
    ------
    ValueError
        If they are cut off, or are of a picture of another size.
    """
    bits = _Bits(values)
    count, word = bits.take(32), bits.take(5) + 1
    if count != BYTES * size[0] * size[1]:
        raise ValueError(
            f"the brush painted on {count // BYTES} pixels, and the image has {size[0] * size[1]}"
        )
    lengths = [bits.take(4) + 1 for _ in range(4)]
    found = np.zeros(count, bool)
    place = 0
    while place < count:
        equal, length = bits.take(1), bits.take(lengths[bits.take(2)]) + 1
        end = min(place + length, count)
        if equal:
            found[place:end] = bits.take(word) > 0
        else:
            found[place:end] = [bits.take(word) > 0 for _ in range(end - place)]
        place = end
    return found.reshape(*size, BYTES)[..., BYTES - 1].copy()
