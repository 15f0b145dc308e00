"""The jobs behind the proof of a network; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    from napari_segnet.compare import Compared
    from napari_segnet.proof import Recognised

__all__ = ["compared", "proven", "saved"]


@job
def proven(checkpoint: Checkpoint, image: Image | None) -> Generator[Progress, None, Recognised]:
    """Prove what is open of a network; torch is loaded first, without stopping the window."""
    yield Progress(what="network")
    load_torch()
    from napari_segnet.proof import prove

    return (yield from prove(checkpoint, image))


@job
def compared(
    networks: Sequence[Checkpoint], image: Image, settings: PredictSettings
) -> Generator[Progress, None, Compared]:
    """Run the networks that a file may be on a part of an image."""
    yield Progress(what="comparing")
    load_torch()
    from napari_segnet.compare import compare

    return (yield from compare(networks, image, settings))


@job
def saved(checkpoint: Checkpoint, path: Path) -> Generator[Progress, None, Path]:
    """Write a network as a file of our own."""
    yield Progress(what="saving")
    load_torch()
    from napari_segnet.own_file import save_own

    save_own(checkpoint, path)
    return path
