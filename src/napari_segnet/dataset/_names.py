"""Names of the files of a sample, that every system takes and no other file has."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.dataset._listing import FOLDERS
from napari_segnet.image import Image

__all__ = ["free_name", "name_of", "numbered"]

LONGEST_NAME = 80
"""Letters of a file name; with its folder it should stay below 260 on Windows."""
LONGEST_BYTES = 200
"""Linux and macOS take 255 with all that is added to it; a letter of Japanese has three."""
DEVICE = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)
"""What no file is called on Windows.
https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file"""


def name_of(image: Image, plane: str) -> str:
    """Return a file name that every system takes."""
    from napari_segnet.readers import one_spelling

    stem = one_spelling(Path(image.source).stem if image.source else image.name)
    text = re.sub(r"[^\w.-]+", "_", f"{stem}_{plane}" if plane else stem).strip("._")
    text = text.removesuffix(".ome").removesuffix(".labels")[:LONGEST_NAME]
    text = text.encode()[:LONGEST_BYTES].decode(errors="ignore").rstrip(".")
    return DEVICE.sub(r"\1_", text) or "image"


def free_name(
    root: Path, rows: list[dict[str, Any]], name: str, old: Mapping[str, Any] | None
) -> str:
    """Return a name that no file has; a new version of a sample is called after it."""
    if old is not None:
        name = re.sub(r"\.v\d+$", "", Path(old["labels"]).stem)
    taken = {Path(row[k]).stem.lower() for row in rows for k in ("image", "labels")}
    for folder in FOLDERS:
        if (root / folder).is_dir():
            taken |= {path.stem.lower() for path in (root / folder).iterdir()}
    mark = "-" if old is None else ".v"
    return next(text for text in numbered(name, mark) if text.lower() not in taken)


def numbered(name: str, mark: str) -> Iterator[str]:
    """Yield a name, then the same with 2, 3, ... behind a mark."""
    yield name
    for n in itertools.count(2):
        yield f"{name}{mark}{n}"
