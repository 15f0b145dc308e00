"""The docks as napari opens them: rooms that know nothing of each other are put together.

Each is imported when it is asked for: who opens one waits for no other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_segnet.widgets.plugin.correct_dock import CorrectDock as CorrectDock
    from napari_segnet.widgets.plugin.segment_dock import SegmentDock as SegmentDock

__all__ = ["CorrectDock", "SegmentDock"]

_HOMES = {"CorrectDock": "correct_dock", "SegmentDock": "segment_dock"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: Any = getattr(
        importlib.import_module(f"napari_segnet.widgets.plugin.{_HOMES[name]}"), name
    )
    globals()[name] = value
    return value
