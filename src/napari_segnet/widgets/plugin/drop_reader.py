"""Weight files that are dropped on napari, and the dock that takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import WeightsError
from napari_segnet.widgets.checkpoint.picker import is_weights
from napari_segnet.widgets.plugin.opening import open_dock

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.widgets.plugin.docks import SegmentDock

__all__ = ["DOCK", "NO_LAYER", "find_or_open_dock", "offer_folder", "weights_reader"]

DOCK = "Segment"
"""Name of the dock in the manifest."""
NO_LAYER: list[tuple[None]] = [(None,)]
"""napari's word for: the file was taken, and no layer is to be added."""


def weights_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """Return what takes dropped weight files; which files, the manifest says.

    None for HDF5 files, zip files and folders that hold no network: another reader may know
    their images.
    """
    first = path if isinstance(path, str) else path[0]
    return _choose if is_weights(first) else None


def find_or_open_dock(viewer: napari.viewer.Viewer) -> SegmentDock:
    """Return the Segment dock of a viewer, visible and in front of docks beside it."""
    from napari_segnet.widgets.plugin.docks import SegmentDock

    return open_dock(viewer, DOCK, SegmentDock)


def offer_folder(folder: Path) -> bool:
    """Offer to segment a folder of pictures in the viewer in front; False where there is none."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return False
    dock = find_or_open_dock(viewer)
    dock.several.expand()
    dock.whole_folder.offer(folder)
    return True


def _choose(path: str | Sequence[str]) -> list[tuple[None]]:
    """Tell the Segment dock of the viewer in front; of several files it takes the first."""
    import napari

    first = path if isinstance(path, str) else path[0]
    viewer = napari.current_viewer()
    if viewer is None:
        raise WeightsError(
            f"{Path(first).name} is a network, not an image, and there is no napari window to "
            "choose it in. Open napari and drop the file there, or segment an image with it: "
            f"napari-segnet segment IMAGE -c {Path(first).name}"
        )
    find_or_open_dock(viewer).choose_weights(str(first))
    return NO_LAYER
