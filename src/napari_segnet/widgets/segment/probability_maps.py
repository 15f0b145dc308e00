"""What a network says, as image layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segnet import cache
from napari_segnet.answers import maps_of
from napari_segnet.checkpoint import Output
from napari_segnet.segmentation import Maps
from napari_segnet.widgets.checkpoint.recognise import Gone
from napari_segnet.widgets.layers.convert import Source, placed
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["show_maps"]

COLOURS = ("green", "magenta", "cyan", "yellow", "red", "blue")
PROBABILITY, SIGNED = (0, 1), (-1, 1)
"""What values lie between: flows and offsets point to either side."""


def show_maps(viewer: napari.viewer.Viewer, key: str, source: Source) -> None:
    """Add one image layer per output channel; what is there of this run already is replaced.

    Raises
    ------
    Gone
        If the answer is no longer kept, or is one of objects rather than maps.
    """
    prediction = cache.predictions.recall(key)
    if prediction is None:
        raise Gone("The network's output is no longer in memory. Press Run again.")
    maps = maps_of(prediction)
    if maps is None:
        raise Gone("This network gives objects, not probability maps.")
    for layer in [x for x in viewer.layers if record_of(x).maps == key]:
        viewer.layers.remove(layer)
    active = viewer.layers.selection.active
    limits = _limits(maps.outputs)
    for index, name in enumerate(_names(maps, prediction.class_names)):
        data, where = placed(source, maps.data[index], maps.axes[1:])
        viewer.add_image(
            data,
            name=f"{source.layer_name} · {name}",
            colormap=COLOURS[index % len(COLOURS)],
            contrast_limits=limits[index],
            blending="additive",
            opacity=0.6,
            metadata=metadata_of(LayerRecord(maps=key)),
            **where,
        )
    viewer.layers.selection.active = active


def _limits(outputs: Sequence[Output]) -> list[tuple[int, int]]:
    roles = [output.role for output in outputs for _ in range(output.channels)]
    return [SIGNED if role in ("flow", "offset") else PROBABILITY for role in roles]


def _names(maps: Maps, class_names: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    for output in maps.outputs:
        if output.channels == 1:
            names.append(output.role)
        elif output.role == "class" and len(class_names) == output.channels:
            names += class_names
        elif output.role == "flow":
            names += [f"flow {axis}" for axis in "zyx"[-output.channels :]]
        elif output.role == "offset":
            names += [f"offset {axis}" for axis in "xyz"[: output.channels]]
        else:
            names += [f"{output.role} {i}" for i in range(output.channels)]
    return names
