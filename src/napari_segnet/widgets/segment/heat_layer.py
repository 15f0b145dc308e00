"""Where an image is unlike those of the training, as a translucent layer over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.widgets.segment.request import RunRequest

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_segnet.find import Likeness

__all__ = ["show_heat"]

NAME = "unlike the training"


def show_heat(
    viewer: napari.viewer.Viewer, like: Likeness, asked: RunRequest
) -> napari.layers.Image:
    """Add the layer, in the place of an earlier one; the layer that is active stays it."""
    source, heat = asked.source, like.heat
    assert heat is not None, "asked for"
    name = f"{source.layer_name} · {NAME}"
    for layer in [layer for layer in viewer.layers if layer.name == name]:
        viewer.layers.remove(layer)
    sizes = source.image.sizes
    offsets, factors, shape = [], [], []
    for axis in source.axes:
        if axis in "yx":
            at = "yx".index(axis)
            offsets.append(heat.corner_px[at])
            factors.append(heat.step_px[at])
            shape.append(heat.scores.shape[at])
        else:  # one pixel as thick as all planes: it is seen in each
            offsets.append((sizes[axis] - 1) / 2)
            factors.append(float(sizes[axis]))
            shape.append(1)
    scores = heat.scores if source.axes.index("y") < source.axes.index("x") else heat.scores.T
    active = viewer.layers.selection.active
    made = viewer.add_image(
        scores.reshape(shape),
        name=name,
        colormap="inferno",
        contrast_limits=(like.limit / 2, 4 * like.limit),
        interpolation2d="linear",
        blending="translucent",
        opacity=0.5,
        **source.frame.moved(np.array(offsets), np.array(factors)).to_layer(),
    )
    viewer.layers.selection.active = active
    return made
