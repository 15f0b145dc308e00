"""Where the answer to a large image is kept while it is made, so that the same command goes on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_segnet.commands._plan import Plan
    from napari_segnet.sinks import KeptPlace

__all__ = ["kept_place", "kept_words"]

ENDING = ".unfinished"


def kept_place(plan: Plan, stem: str) -> KeptPlace:
    """Return where the answer to an image is kept: beside its results, or in the scratch folder.

    Labels as OME-Zarr are of large images, so it always is; of others where it is too large for
    memory.
    """
    from napari_segnet.room import SCRATCH
    from napari_segnet.sinks import KeptPlace

    folder, name = plan.folder, f".{stem}{ENDING}"
    if scratch := os.environ.get(SCRATCH):
        # Two outputs of one name share the folder, but no answer.
        output = os.fsencode(folder.absolute())
        name = f"{stem}-{hashlib.blake2b(output, digest_size=4).hexdigest()}{ENDING}"
        folder = Path(scratch)
    return KeptPlace(folder=folder / name, overwrite=plan.overwrite, only_large=plan.zarr is None)


def kept_words(place: KeptPlace, said: str = "") -> str:
    """Return what to add to a failure, ``said``: that the answer is kept, and how to go on."""
    if not place.folder.is_dir() or str(place.folder) in said:
        return ""
    return (
        f" What the network said is kept in {place.folder}: repeat the command, also with other "
        "settings of labels, and it goes on from there."
    )
