"""What goes wrong inside foreign decoders becomes an ImageError that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari_segnet.errors import Cancelled, ImageError
from napari_segnet.readers._address import Place

__all__ = ["decoding", "require_memory", "understood"]


@contextmanager
def decoding(path: Place, kind: str) -> Iterator[None]:
    """Turn any failure inside into an :class:`ImageError`.

    Decoders raise whatever they like on damaged bytes (``struct.error``, ``KeyError``,
    ``zlib.error``, ...), hence the wide net; the cause stays attached.
    """
    try:
        yield
    except (ImageError, Cancelled):
        raise
    except MemoryError as error:
        raise ImageError(
            f"There is not enough memory to open {path.name}. Close other programs, or save "
            "it as a tiled TIFF, which is read piece by piece."
        ) from error
    except FileNotFoundError as error:
        raise ImageError(f"{path} is gone. Check that its disk is still connected.") from error
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise ImageError(
            f"{path.name} is damaged or not complete: its {kind} data cannot be decoded "
            f"({reason[0][:200] if reason else type(error).__name__}). Copy or export it again."
        ) from error


ODD = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    NotImplementedError,
)
"""What becomes of numbers and names in a header that no picture has."""


@contextmanager
def understood(path: Place) -> Iterator[None]:
    """Turn what an odd header does into an :class:`ImageError`."""
    try:
        yield
    except ODD as error:
        raise ImageError(
            f"{path.name} is damaged: what its header says cannot be understood "
            f"({type(error).__name__}: {str(error)[:120]}). Copy or export it again; if other "
            "programs open it, the fault is ours: report it with this sentence."
        ) from error


PIECEWISE = "Save it as a tiled TIFF, which is read piece by piece."


def require_memory(path: Place, need_bytes: int, remedy: str = PIECEWISE) -> None:
    """Refuse to decode at once what the free memory cannot hold; ``remedy`` says what helps."""
    import psutil

    free = int(psutil.virtual_memory().available)
    if need_bytes > 0.8 * free:
        raise ImageError(
            f"{path.name} needs about {need_bytes / 1e9:.1f} GB of memory to be decoded, and "
            f"{free / 1e9:.1f} GB are free. {remedy}"
        )
