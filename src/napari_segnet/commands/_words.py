"""What may be typed where a name is expected, and words that several commands say."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.errors import Remedy

if TYPE_CHECKING:
    from napari_segnet.find import Likeness
    from napari_segnet.plan import PredictSettings

__all__ = ["SOURCE", "count", "file_name", "part", "some_text", "unlike_in_words"]

SOURCE = (
    "the Python file or notebook that defines the network; it is read, never run (by default a "
    "file beside the weights)"
)


def some_text(text: str) -> str:
    """Refuse an empty word: a variable of a script that was never set.

    Taken as it is, it would mean the built-in network, or the folder one stands in.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def file_name(text: str) -> Path:
    """Return the path of a name that is not empty."""
    return Path(some_text(text))


def count(text: str) -> int:
    """Return a whole number, 1 or more."""
    if not text.strip().isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a whole number, 1 or more")
    return int(text)


def part(text: str) -> tuple[int, int]:
    """Return ``(K, N)`` of ``K/N``."""
    first, slash, last = text.partition("/")
    if not (slash and first.strip().isdecimal() and last.strip().isdecimal()):
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be K/N, such as 1/4")
    number, of = int(first), int(last)
    if not 1 <= number <= of:
        raise argparse.ArgumentTypeError(
            f"is {text!r}, but K must be from 1 to N (of a SLURM job array: --array=1-{max(of, 1)})"
        )
    return number, of


def unlike_in_words(like: Likeness, settings: PredictSettings) -> str:
    """Return that an image is unlike the training images, and what may help."""
    if settings.normalize != "auto":
        return like.says
    return f"{like.says} {Remedy('normalize', 'find')} looks for the normalisation that fits."
