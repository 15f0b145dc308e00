"""The jobs behind “Find settings”; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings
from napari_segnet.plan import Settled
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    from napari_segnet.compare import Compared
    from napari_segnet.find import Likeness

__all__ = ["compared_ways", "found_settings", "likeness_of"]


@job
def found_settings(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings
) -> Generator[Progress, None, Settled]:
    """Find how an image is shown to a network."""
    yield Progress(what="settings")
    load_torch()
    from napari_segnet.plan import settle

    return (yield from settle(checkpoint, image, settings))


@job
def likeness_of(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings
) -> Generator[Progress, None, Likeness | None]:
    """Tell if an image is like those of the training, and where not."""
    yield Progress(what="image")
    load_torch()
    from napari_segnet.find import likeness
    from napari_segnet.plan import settle, way_of

    settled = yield from settle(checkpoint, image, settings)
    way = way_of(checkpoint, image, settled.settings)
    return (yield from likeness(checkpoint, image, way, where=True))


@job
def compared_ways(
    checkpoint: Checkpoint, image: Image, ways: Sequence[PredictSettings]
) -> Generator[Progress, None, Compared]:
    """Run a network on a part of an image, shown in several ways."""
    yield Progress(what="comparing")
    load_torch()
    from napari_segnet.compare import compare_settings

    return (yield from compare_settings(checkpoint, image, ways))
