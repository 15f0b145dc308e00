"""What may be typed where a name is expected."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["SOURCE", "file_name", "some_text"]

SOURCE = (
    "the Python file or notebook that defines the network; it is read, never run (without: what "
    "lies beside the weights)"
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
