"""Light or dark, or a stain: what a network finds in each, side by side."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QHeaderView, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.named import named_button
from napari_segnet.widgets.qt.pixmaps import pixmap_of
from napari_segnet.widgets.qt.torch_loading import load_torch
from napari_segnet.widgets.segment.trial_table import TrialTable

if TYPE_CHECKING:
    from napari_segnet.detective import TriedInput

__all__ = ["InputsBox", "input_name", "tried_inputs"]

_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
PICTURE_PX = 96
"""Side of the pictures in the table; four of them fit a screen 720 px high."""


@job
def tried_inputs(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, labels: LabelSettings
) -> Generator[Progress, None, tuple[TriedInput, ...]]:
    """Try light and dark; torch is loaded first, without stopping the window."""
    yield Progress(what="reading the weights")
    load_torch()
    from napari_segnet.detective import try_inputs

    return (yield from try_inputs(checkpoint, image, settings, labels))


def input_name(channels: str, invert: str) -> str:
    """Return a way to show an image to a network, in words."""
    if channels != "auto" and not channels.isdecimal():
        return f"{channels} (stain)"
    return "dark objects (inverted)" if invert == "yes" else "bright objects (as it is)"


class InputsBox(TrialTable):
    """Tries light and dark; a click takes one: ``taken`` is a signal of ``TriedInput``."""

    def __init__(self, parent: QWidget | None = None) -> None:
        button = named_button(
            "Try light and dark on what is visible",
            "segnet_try_inputs",
            "Run the network on the visible region (its middle, if that is large) as it is and "
            "inverted, for a colour image also on its stains, and show the objects of each",
        )
        super().__init__("segnet_inputs", button, ("found", "input of the network"), parent)
        head = self.table.horizontalHeader()
        if head is not None:
            head.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        self.table.setIconSize(QSize(PICTURE_PX, PICTURE_PX))
        self.table.setColumnWidth(0, PICTURE_PX + 8)
        self.table.setWordWrap(True)

    def show_tried(self, tried: Sequence[TriedInput]) -> None:
        """Fill the table; the one that fits best is named, the user decides."""
        best = max((one.fit for one in tried), default=0.0)
        texts = [("", _words(one, one.fit == best > 0)) for one in tried]
        self.fill(tried, texts)
        for row, one in enumerate(tried):
            picture, words = self.table.item(row, 0), self.table.item(row, 1)
            if picture is None or words is None:
                continue
            picture.setIcon(QIcon(pixmap_of(one.picture)))
            words.setTextAlignment(_LEFT)
            if one.fit == best > 0:
                font = words.font()
                font.setBold(True)
                words.setFont(font)
            self.table.setRowHeight(row, PICTURE_PX + 6)
        self.fit_height()
        self.say("Click the row whose outlines fit the objects.")


def _words(one: TriedInput, is_best: bool) -> str:
    lines = [input_name(one.channels, one.invert)]
    objects = "1 object" if one.found.count == 1 else f"{one.found.count} objects"
    lines.append(f"{objects}, {one.covered:.0%} of the image")
    if not math.isnan(one.found.score):
        lines.append(f"mean score {one.found.score:.2f}")
    if is_best:
        lines.append("fits best")
    return "\n".join(lines)
