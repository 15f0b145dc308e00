"""The job of the Review tab, and what it is given; nothing here touches a widget."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.errors import ImageError, SegnetError
from napari_segnet.image import Image
from napari_segnet.progress import Progress, job
from napari_segnet.review import Items, doubt_labels, doubt_own, doubt_unaided
from napari_segnet.widgets.checkpoint.recognise import recognise_with_proof
from napari_segnet.widgets.layers.axes import guess_axes, level_0, without_channels
from napari_segnet.widgets.layers.convert import Region, source_of
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.region import region_of
from napari_segnet.widgets.layers.subject import (
    axes_of,
    belongs_to,
    images_in,
    is_recorded,
    subject_of,
)
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["Given", "look_at", "network_input", "rectangle_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """Labels as they were when the job began, and their image.

    Attributes
    ----------
    labels : ndarray
        A copy, without an axis of channels.
    shape : tuple of int
        Of the layer, with such an axis.
    axes : str
        Of ``labels``; empty where they are not known.
    image : Image or None
        The picture of exactly these pixels, if a network is to be run on it.
    scores, classes : mapping
        What is known of each label.
    """

    labels: npt.NDArray[Any]
    shape: tuple[int, ...]
    axes: str
    image: Image | None
    scores: Mapping[int, float]
    classes: Mapping[int, int]


def network_input(
    layer: napari.layers.Labels, viewer: napari.viewer.Viewer, with_image: bool
) -> Given:
    """Capture a layer, and the part of the image that it lies on.

    Raises
    ------
    ImageError
        If there is no image of these labels.
    """
    image, axes = None, axes_of(layer, viewer.layers)
    if with_image:
        image, axes = _image_of(layer, viewer)
    labels = np.array(layer.data)
    flat = without_channels(layer.name, labels, axes)
    table = layer.features
    ids = [int(i) for i in table["index"]] if "index" in table else []
    return Given(
        labels=flat,
        shape=tuple(labels.shape),
        axes=axes.replace("c", ""),
        image=image,
        scores=dict(zip(ids, map(float, table["score"]), strict=True)) if "score" in table else {},
        classes=dict(zip(ids, map(int, table["class"]), strict=True)) if "class" in table else {},
    )


def _image_of(layer: napari.layers.Labels, viewer: napari.viewer.Viewer) -> tuple[Image, str]:
    """Return the part of the image that labels lie on, and what the labels' axes are."""
    image = subject_of(layer, viewer.layers)
    others = [] if image is not None or is_recorded(layer) else images_in(viewer.layers)
    if others:
        raise _off(layer, others[-1])
    if image is None:
        raise ImageError(
            f"There is no image that “{layer.name}” was made of. Open it, or choose “no network”."
        )
    axes = guess_axes(image)
    spatial = axes[: image.ndim]
    told = record_of(layer)
    offset = told.offset_px if belongs_to(layer, image) else ()
    offset = offset or (0,) * len(spatial)
    own = told.axes or spatial
    if len(own) != layer.ndim and len(spatial.replace("c", "")) == layer.ndim:
        own = spatial.replace("c", "")
    lengths = dict(zip(own, layer.data.shape, strict=False))
    whole = dict(zip(spatial, level_0(image).shape, strict=False))
    box = []
    for axis, start in zip(spatial, offset, strict=True):
        length = whole[axis] if axis == "c" else lengths.get(axis, 1)
        box.append(slice(int(start) if axis != "c" else 0, int(start) + int(length)))
        if axis != "c" and int(start) + int(length) > int(whole[axis]):
            raise _off(layer, image)
    source = source_of(image, axes, Region(kind="layer", box=tuple(box)))
    return source.image, own


def _off(layer: napari.layers.Labels, image: napari.layers.Image) -> ImageError:
    return ImageError(
        f"“{layer.name}” has {tuple(layer.data.shape)} pixels and “{image.name}” "
        f"{tuple(level_0(image).shape)}: they do not lie on each other. Open the image that the "
        "labels were made of, or choose “no network”."
    )


@job
def look_at(given: Given, key: str, network: str, flips: bool) -> Generator[Progress, None, Items]:
    """Find what is doubtful.

    Parameters
    ----------
    given : Given
        The labels.
    key : str
        Of the kept answer that they were made of, or empty.
    network : str
        A path or the name of a built-in network that is asked, or empty.
    flips : bool
        Turn the image over, too.
    """
    prediction = cache.predictions.recall(key) if key else None
    if prediction is not None:
        items = yield from doubt_own(given.labels, prediction, given.scores, given.classes)
    elif network and given.image is not None:
        yield Progress(what="reading the weights")
        load_torch()
        checkpoint = yield from recognise_with_proof(network, {})
        items = yield from doubt_labels(given.labels, checkpoint, given.image, flips=flips)
    else:
        items = yield from doubt_unaided(given.labels, given.axes)
    return _placed(items, given)


def _placed(items: Items, given: Given) -> Items:
    """Return items with the dimensions of the layer, and with what is known of its labels."""
    from dataclasses import replace

    if given.scores or given.classes:
        told = items.with_table(given.scores, given.classes)
        lacking = items.ids < 0
        scores = np.where(lacking, items.scores, told.scores)
        items = replace(told, scores=scores)
    if len(given.shape) == items.first.shape[1]:
        return items
    axis = next(i for i, n in enumerate(given.shape) if n == 1)
    return replace(
        items,
        first=np.insert(items.first, axis, 0, axis=1),
        stop=np.insert(items.stop, axis, 1, axis=1),
        shapes={label: np.expand_dims(shape, axis) for label, shape in items.shapes.items()},
    )


def rectangle_of(layer: napari.layers.Labels, viewer: napari.viewer.Viewer) -> tuple[slice, ...]:
    """Return the selected rectangle as a box of the layer, on the plane that is shown.

    Raises
    ------
    SegnetError
        If there is no rectangle, or it lies elsewhere.
    """
    axes = axes_of(layer, viewer.layers)
    drawn = region_of("rectangle", layer, viewer, axes=axes).box
    plane = region_of("plane", layer, viewer, axes=axes).box
    box = tuple(
        part if letter in "yx" else there
        for letter, part, there in zip(axes, drawn, plane, strict=True)
    )
    if any(part.start >= part.stop for part in box):
        raise SegnetError(f"The rectangle lies outside of “{layer.name}”. Draw it over the labels.")
    return box
