"""Which layer gets the objects that a network is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.widgets.layers.convert import Source, placement, region_of
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["labels_over", "shapes_meant", "visible_part"]


def labels_over(
    viewer: napari.viewer.Viewer, source: Source, checkpoint: Checkpoint, name: str
) -> napari.layers.Labels:
    """Return the Labels layer over an image: the active one, the one asked before, a new one.

    Raises
    ------
    SegnetError
        If the active layer is one that lies elsewhere.
    """
    from napari.layers import Labels

    active = viewer.layers.selection.active
    shape = tuple(1 if a == "c" else source.image.sizes[a] for a in source.axes)
    if isinstance(active, Labels):
        if not _lies_over(active, source, shape):
            raise SegnetError(
                f"“{active.name}” does not lie exactly over “{source.layer_name}”, so it cannot "
                "get objects of this image. Select the image and prompt again to make a new "
                "layer."
            )
        return active
    for layer in reversed(viewer.layers):
        record = record_of(layer)
        same = record.asked == name and record.image_id in ("", source.layer_id)
        if same and isinstance(layer, Labels) and _lies_over(layer, source, shape):
            return layer
    # Classes of the network, and ids from 1 on: nobody need look where objects lie.
    record = LayerRecord(
        kind="instance",
        axes=source.axes,
        class_names=tuple(checkpoint.class_names),
        image_id=source.layer_id,
        image_layer=source.layer_name,
        offset_px=source.offset_px,
        highest_id=0,
        asked=name,
    )
    return viewer.add_labels(
        np.zeros(shape, np.int32), name=name, metadata=metadata_of(record), **placement(source)
    )


def visible_part(
    viewer: napari.viewer.Viewer, image: napari.layers.Image, source: Source, axes: str
) -> tuple[float, float, float, float] | None:
    """Return ``y0 x0 y1 x1`` of what is visible in pixels of a source; None if nothing is."""
    try:
        region = region_of("visible", image, viewer, axes=axes)
    except SegnetError:  # nothing to get ready for; what is asked later is looked at then
        return None
    letters = axes[: len(region.box)]
    parts = {
        a: (part.start - offset, part.stop - offset)
        for a, part, offset in zip(letters, region.box, source.offset_px, strict=True)
    }
    (y0, y1), (x0, x1) = parts["y"], parts["x"]
    return (float(y0), float(x0), float(y1), float(x1))


def _lies_over(layer: napari.layers.Labels, source: Source, shape: tuple[int, ...]) -> bool:
    if layer.multiscale or tuple(layer.data.shape) != shape:
        return False
    frame = source.frame
    linear = frame.rotate @ frame.shear @ np.diag(frame.scale)
    for corner in (np.zeros(len(shape)), np.array(shape, float) - 1):
        there = frame.affine @ np.append(linear @ corner + frame.translate, 1)
        if not np.allclose(layer.data_to_world(corner), there[:-1], atol=1e-3 * frame.scale.min()):
            return False
    return True


def shapes_meant(viewer: napari.viewer.Viewer) -> list[npt.NDArray[np.float64]]:
    """Return the shapes that are meant, each as ``(n, dimensions)`` in the world.

    Raises
    ------
    SegnetError
        If there are none.
    """
    from napari.layers import Shapes

    chosen = [x for x in viewer.layers.selection if isinstance(x, Shapes) and len(x.data)]
    there = chosen or [
        x for x in viewer.layers if isinstance(x, Shapes) and x.visible and len(x.data)
    ]
    if not there:
        raise SegnetError(
            "There are no shapes. Add a Shapes layer (the polygon button above the list of "
            "layers), draw a rectangle around each object, and press this button again."
        )
    layer = there[0] if chosen else there[-1]
    wanted = sorted(layer.selected_data) or range(len(layer.data))
    return [
        np.array([layer.data_to_world(vertex) for vertex in np.asarray(layer.data[k])])
        for k in wanted
    ]
