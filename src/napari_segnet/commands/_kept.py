"""Where the answer to a large image is kept while it is made, so that the same command goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_segnet.commands._plan import Plan
    from napari_segnet.sinks import KeptPlace

__all__ = ["kept_place", "said_if_kept"]

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


@contextmanager
def said_if_kept(place: KeptPlace) -> Iterator[None]:
    """Add to what fails, or is stopped, that the answer is kept, and how to go on."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if place.folder.is_dir() and str(place.folder) not in str(error):
            error.add_note(
                f"The network's output is kept in {place.folder}. Repeat the command to resume, "
                "also with other label settings."
            )
        raise
