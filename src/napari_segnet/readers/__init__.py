"""Picture files become an :class:`~napari_segnet.image.Image`.

To add a reader, write a file with a class that has the methods of :class:`Reader` and
name it in ``READERS``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from napari_segnet.image import Image

__all__ = ["Reader"]


class Reader(Protocol):
    """A kind of picture file."""

    name: str
    suffixes: tuple[str, ...]

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell from the first 4096 bytes (then the ending) if this is ours."""

    def read(self, path: Path, axes: str | None) -> Image:
        """Open the file lazily where possible; ``axes`` overrides what it says."""
