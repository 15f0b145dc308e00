"""The Correct dock as napari opens it: edit, review, training set."""

from __future__ import annotations

from typing import ClassVar

from napari_segnet.widgets.correct import dock as correct
from napari_segnet.widgets.correct.edit_panel import EditPanel
from napari_segnet.widgets.dataset.panel import DatasetPanel
from napari_segnet.widgets.review.panel import ReviewPanel

__all__ = ["CorrectDock"]


class CorrectDock(correct.CorrectDock):
    """Edits labels, reviews them, and puts them into a training set."""

    TABS: ClassVar[tuple[correct.Tab, ...]] = (
        ("Edit", EditPanel),
        ("Review", ReviewPanel),
        ("Training set", DatasetPanel),
    )
