"""Numbers in the headers of DICOM, which are texts, lists or nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError

__all__ = ["RESCALING", "directions_of", "is_mixed", "real", "reals", "rescaling", "whole"]

RESCALING = ("RescaleSlope", "RescaleIntercept")


def real(value: Any) -> float | None:
    """Return a number; None where there is none, or several."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None  # absent, empty or no number: not known
    return number if math.isfinite(number) else None


def whole(header: Any, name: str) -> int | None:
    """Return a whole number of a header by its name."""
    value = real(header.get(name))
    return None if value is None else int(value)


def reals(value: Any, count: int, positive: bool = False) -> tuple[float, ...] | None:
    """Return so many numbers; None where there are others."""
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return None
    found = [real(v) for v in value]
    good = [v for v in found if v is not None and (v > 0 or not positive)]
    return tuple(good) if len(good) == len(found) == count else None


def directions_of(value: Any) -> tuple[float, ...] | None:
    """Return the two directions, if they are two unit vectors at right angles."""
    found = reals(value, 6)
    if found is None:
        return None
    row, column = found[:3], found[3:]
    product = sum(a * b for a, b in zip(row, column, strict=True))
    lengths = math.hypot(*row), math.hypot(*column)
    return found if abs(product) < 0.01 and all(abs(n - 1) < 0.01 for n in lengths) else None


def rescaling(said: list[Any], path: Path) -> tuple[float | None, float | None]:
    """Return slope and intercept; a file has one number of both, or none (PS3.3 C.11.1)."""
    found = [None if value is None or value == "" else value for value in said]
    # A text is none, even if it reads like one: the file says it of the kind of the element.
    numbers = [None if isinstance(value, str | bytes) else real(value) for value in found]
    odd = any(one is None for one in numbers) and any(one is not None for one in found)
    if odd or numbers[0] == 0:
        raise ImageError(
            f"{path.name} is damaged: the slope and intercept of its numbers are "
            f"{' and '.join(str(one)[:40] for one in found)}, and programs differ in what they "
            "make of that. Export it again."
        )
    return numbers[0], numbers[1]


def is_mixed(header: Any, syntax: str) -> bool:
    """Tell, before a value is asked for, if elements are written otherwise than the file says."""
    from pydicom.uid import UID

    said = UID(syntax or "1")
    if not said.is_transfer_syntax:
        return False
    own = getattr(header.get_item("Rows"), "is_implicit_VR", said.is_implicit_VR)
    return bool(own != said.is_implicit_VR)
