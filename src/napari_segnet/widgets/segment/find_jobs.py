"""The jobs behind “Find settings”; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings
from napari_segnet.plan import Settled
from napari_segnet.progress import Progress, job
from napari_segnet.readers import image_paths, open_image
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    from napari_segnet.compare import Compared
    from napari_segnet.find import Likeness

__all__ = ["beside", "compared_ways", "found_settings", "likeness_of"]

MOST_BESIDE = 7
"""Other images that are looked at for the scale, as many as of a run of a folder."""


@job
def found_settings(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, others: Sequence[Image] = ()
) -> Generator[Progress, None, Settled]:
    """Find how an image is shown to a network; the scale on some more of its kind as well.

    These are others that are open, then such as lie in its folder.
    """
    yield Progress(what="settings")
    load_torch()
    from napari_segnet.find import alike
    from napari_segnet.plan import settle

    found: list[Image] = []
    if "scale" in settings.to_find:
        found = [one for one in others if alike(one, image)][:MOST_BESIDE]
        found += beside(image, [one.source for one in found])[: MOST_BESIDE - len(found)]
    return (yield from settle(checkpoint, image, settings, found))


def beside(image: Image, but: Collection[str | None] = ()) -> list[Image]:
    """Return some images of the folder of an image, of the same ending, spread evenly over all.

    Few of their pixels are read. There are none where the image has no file, or several; ``but``
    are files that are not taken.
    """
    path = Path(image.source or "")
    if not image.source or image.channel_sources or not path.exists():
        return []
    try:
        paths = [one for one in image_paths([path.parent]) if one.suffix == path.suffix]
    except (SegnetError, OSError):
        return []
    rest = [one for one in paths if one != path and str(one) not in but]
    count = min(MOST_BESIDE, len(rest))
    found: list[Image] = []
    for place in range(count):
        try:
            found.append(open_image(rest[place * len(rest) // count]))
        except (SegnetError, OSError):
            continue  # it is said when it is opened
    return found


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
