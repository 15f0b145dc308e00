"""What a failure is called before the user: a sentence, whatever it was."""

from __future__ import annotations

import os
import traceback

from napari_segnet.errors import SegnetError, is_of_the_device, system_in_words

__all__ = ["TRACEBACK", "added", "in_words"]

TRACEBACK = "NAPARI_SEGNET_TRACEBACK"
"""Environment variable that makes the command show where a mistake of ours happened."""


def in_words(error: Exception) -> str:
    """Return a sentence for the user.

    A ``SegnetError`` speaks for itself. Anything else is a mistake of ours: it must not cost
    the user the other images of a run, but is not hidden either.
    """
    if isinstance(error, SegnetError):
        return str(error)
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory for this. Close other programs, or work on a part of the "
            f"image.{_trace(error)}"
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{system_in_words(error)}.{_trace(error)}"
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
    if is_of_the_device(error):
        return (
            f"The GPU failed ({lines[0][:200]}), and this program can use it no more. Run the "
            f"rest again, with --device cpu if it fails again.{_trace(error)}"
        )
    return (
        f"Something happened that napari-segnet does not foresee ({what}). Please report it with "
        f"what the command prints when the variable {TRACEBACK} is set to 1.{_trace(error)}"
    )


def added(error: BaseException) -> str:
    """Return what was added to an error on its way, each after a space."""
    return "".join(f" {note}" for note in getattr(error, "__notes__", ()))


def _trace(error: Exception) -> str:
    if not os.environ.get(TRACEBACK):
        return ""
    return "\n" + "".join(traceback.format_exception(error)).rstrip()
