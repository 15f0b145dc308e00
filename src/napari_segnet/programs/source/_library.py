"""Networks of libraries, as definitions of our own that are read like those of a user."""

from __future__ import annotations

import functools
from pathlib import Path

from napari_segnet.programs.source._files import SourceFile, read_file

__all__ = ["FOLDER", "library"]

FOLDER = Path(__file__).with_name("definitions")
LIBRARIES = {
    "torchvision.models": "torchvision_models.txt",
    "monai.networks.nets": "monai_nets.txt",
}


def library(name: str) -> SourceFile | None:
    """Return the file that may define something of a library; None if there is none."""
    for start, file in LIBRARIES.items():
        if name.startswith(f"{start}."):
            return _read(file)
    return None


@functools.cache
def _read(file: str) -> SourceFile:
    return read_file(FOLDER / file)
