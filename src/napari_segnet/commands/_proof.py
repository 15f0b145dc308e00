"""What a network is, as a command uses it: with proof, and with progress where that takes long."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.errors import SegnetError

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.image import Image
    from napari_segnet.proof import Recognised

__all__ = ["proven", "shown_image"]


def proven(checkpoint: Checkpoint, image: Image | None = None) -> Recognised:
    """Prove what names and shapes of a file leave open; say in a terminal how far it is."""
    from napari_segnet.commands._bar import Bar
    from napari_segnet.proof import Recognised, is_open, prove

    if not is_open(checkpoint):
        return Recognised(checkpoint=checkpoint)
    bar = Bar(checkpoint.path.name)
    steps = prove(checkpoint, image)
    said = False
    try:
        while True:
            report = next(steps)
            if report.done and sys.stderr.isatty():  # a log has no use for it
                said = True
                bar.say(f"networks that fit its tensors: {report.done} tried")
    except StopIteration as stop:
        found: Recognised = stop.value
        return found
    finally:
        steps.close()
        if said:
            bar.clear()


def shown_image(path: Path, axes: str | None) -> Image | None:
    """Return a picture of what the network is meant for; None where it does not open.

    Why it does not is told where it is looked at for its own sake.
    """
    from napari_segnet.readers import open_image

    try:
        return open_image(path, axes)
    except SegnetError:
        return None
