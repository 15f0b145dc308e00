"""OME-Zarr that napari opens: images, also by an address; labels, corrected where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.progress import Progress, job
from napari_segnet.widgets.layers.private import unwrapped, window_of
from napari_segnet.widgets.qt.preferences import PLUGIN

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtWidgets import QMainWindow

    from napari_segnet.readers import StoredLabels, ZarrLabels

__all__ = ["MOST_PX", "ask_address", "zarr_reader"]

LayerData = tuple[Any, dict[str, Any], str]
_ready: dict[str, list[LayerData]] = {}
"""What a thread has read of an address, while napari makes a layer of it."""
MOST_PX = 2**28
"""Of a plane of labels that is corrected: napari holds it in memory, 4 bytes a pixel and more."""


def zarr_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens OME-Zarr; None for a folder that is no Zarr."""
    from napari_segnet.readers import address_of, is_zarr

    first = path if isinstance(path, str) else path[0]
    return _open if address_of(first) or is_zarr(Path(first)) else None


def ask_address(viewer: napari.viewer.Viewer) -> None:
    """Ask for the address of an OME-Zarr image, and open it: read in a thread, until cancelled."""
    from qtpy.QtWidgets import QInputDialog

    from napari_segnet.readers import local_path, named

    window = window_of(unwrapped(viewer))
    words = "Address of an OME-Zarr image, such as https://host/cells.zarr:"
    text, said = QInputDialog.getText(window, "Open an address", words)
    if said and text.strip():
        _open_soon(unwrapped(viewer), window, str(named(local_path(text.strip()))))


def _open_soon(viewer: napari.viewer.Viewer, window: QMainWindow | None, address: str) -> None:
    from qtpy.QtWidgets import QProgressDialog

    from napari_segnet.widgets.qt.job_runner import JobRunner

    waiting = QProgressDialog(f"Opening {address} …", "Cancel", 0, 0, window)
    waiting.setObjectName("segnet_open_address")
    waiting.setWindowTitle("Open an address")
    runner = JobRunner(waiting)
    runner.succeeded.connect(
        lambda found: None if waiting.wasCanceled() else _show(viewer, address, found)
    )
    runner.failed.connect(lambda error: None if waiting.wasCanceled() else _say(error))
    runner.finished.connect(waiting.deleteLater)
    waiting.canceled.connect(waiting.deleteLater)  # now: a server may not answer for minutes
    runner.start(partial(_read, address))
    waiting.show()


@job
def _read(address: str) -> Generator[Progress, None, list[LayerData]]:
    yield Progress(what="opening")
    return [_layer(address)]


def _show(viewer: napari.viewer.Viewer, address: str, found: list[LayerData]) -> None:
    """Open what was read by napari's own way, which notes in the layer where it is from."""
    _ready[address] = found
    try:
        viewer.open(address, plugin=PLUGIN)
    finally:
        _ready.pop(address, None)


def _say(error: BaseException) -> None:
    from napari.utils.notifications import show_error

    from napari_segnet.widgets.qt.message_bar import in_words

    show_error(in_words(error))


def _open(path: str | Sequence[str]) -> list[LayerData]:
    if isinstance(path, str) and path in _ready:
        return _ready[path]
    return [_layer(one) for one in ([path] if isinstance(path, str) else path)]


def _layer(path: str) -> LayerData:
    """Return an image, or labels: those that cannot be corrected say why."""
    from napari_segnet.readers import address_of, open_image, stored_labels
    from napari_segnet.widgets.layers.convert import image_layer_args

    stored = None if address_of(path) else stored_labels(Path(path))
    if stored is not None and (labels := _writable(stored)) is not None:
        return labels, _placed(stored), "labels"
    image = open_image(path)
    data, kwargs = image_layer_args(image)
    if image.levels:
        data, kwargs = [data, *image.levels], {**kwargs, "multiscale": True}
    if stored is None:
        return data, kwargs, "image"
    del kwargs["rgb"]
    return data, kwargs, "labels"


def _writable(stored: StoredLabels) -> ZarrLabels | None:
    """Return labels that are changed on the disk; None where they are only looked at."""
    from napari.utils.notifications import show_warning

    from napari_segnet.readers import ZarrLabels

    height, width = stored.shape[-2:]
    if height * width > MOST_PX:
        show_warning(
            f"The labels {stored.name} are read-only: planes of {width} x {height} pixels take "
            "too much memory. Segment a region of the image (Region in the Segment dock), and "
            "correct its labels."
        )
        return None
    if all(os.access(level, os.W_OK) for level in stored.levels):
        return ZarrLabels(stored)
    show_warning(
        f"The labels {stored.name} are read-only: you may not write to {stored.levels[0].parent}. "
        "Copy that folder, and open the copy."
    )
    return None


def _placed(stored: StoredLabels) -> dict[str, Any]:
    """Return where labels lie, as ``image_layer_args`` says it of images."""
    sizes = stored.pixel_size_um
    return {
        "name": stored.name,
        "scale": [sizes.get(a, 1.0) for a in stored.axes],
        "units": ["micrometer" if a in sizes else "pixel" for a in stored.axes],
        "axis_labels": list(stored.axes),
    }
