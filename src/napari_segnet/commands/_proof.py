"""What a network is, as a command uses it: with proof, and with progress where that takes long."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.errors import SegnetError

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.image import Image
    from napari_segnet.proof import Recognised

__all__ = ["first_image", "proven"]


def proven(checkpoint: Checkpoint, image: Image | None = None) -> Recognised:
    """Prove what names and shapes of a file leave open; say on standard error how far it is."""
    from napari_segnet.commands._bar import Bar
    from napari_segnet.proof import prove

    bar = Bar(checkpoint.path.name)
    steps = prove(checkpoint, image)
    said = False
    try:
        while True:
            report = next(steps)
            if report.done:
                said = True
                bar.say(f"networks that fit its tensors: {report.done} tried")
    except StopIteration as stop:
        found: Recognised = stop.value
        return found
    finally:
        steps.close()
        if said:
            bar.clear()


def first_image(paths: Iterable[Path], axes: str | None) -> Image | None:
    """Return the first picture that opens: what the network is meant for.

    One that does not open is told about when its turn comes.
    """
    from napari_segnet.readers import open_image

    for path in paths:
        try:
            return open_image(path, axes)
        except SegnetError:
            continue
    return None
