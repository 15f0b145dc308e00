"""Which scale fits: what a network finds at several, side by side."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.named import named_button
from napari_segnet.widgets.qt.torch_loading import load_torch
from napari_segnet.widgets.segment.trial_table import TrialTable

if TYPE_CHECKING:
    from napari_segnet.detective import Tried

__all__ = ["ScalesBox", "tried_scales"]


@job
def tried_scales(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, labels: LabelSettings
) -> Generator[Progress, None, tuple[Tried, ...]]:
    """Try scales; torch is loaded first, without stopping the window."""
    yield Progress(what="reading the weights")
    load_torch()
    from napari_segnet.detective import try_scales

    return (yield from try_scales(checkpoint, image, settings, labels))


class ScalesBox(TrialTable):
    """Tries scales; a click takes one: ``taken`` is a signal of float."""

    def __init__(self, parent: QWidget | None = None) -> None:
        button = named_button(
            "Try scales on what is visible",
            "segnet_try_scales",
            "Run the network at five scales on the visible region (its middle, if that is "
            "large), and show the objects of each",
        )
        heads = ("scale", "objects", "score", "size (px)")
        super().__init__("segnet_scales", button, heads, parent)

    def show_tried(self, tried: Sequence[Tried]) -> None:
        """Fill the table; the user decides."""
        rows = [
            (
                f"{one.scale:g}",
                str(one.count),
                "" if math.isnan(one.score) else f"{one.score:.2f}",
                "" if math.isnan(one.size_px) else f"{one.size_px:.0f}",
            )
            for one in tried
        ]
        self.fill([one.scale for one in tried], rows)
        self.say("Click the scale whose number and size of objects fit the image.")
