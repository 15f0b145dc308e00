"""The job of the Review tab, and what it is given; nothing here touches a widget."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.by_label import ByLabel
from napari_segnet.errors import ImageError, SegnetError, SettingsError
from napari_segnet.image import Image
from napari_segnet.plan.settings import FORMER_RUNS, PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.review import (
    Items,
    uncertainty_of_labels,
    uncertainty_of_own,
    uncertainty_unaided,
)
from napari_segnet.settings import settings_from
from napari_segnet.widgets.checkpoint.recognise import recognise_with_proof
from napari_segnet.widgets.layers.axes import guess_axes, level_0, without_channels
from napari_segnet.widgets.layers.convert import Region, source_of
from napari_segnet.widgets.layers.features import table_arrays
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
from napari_segnet.widgets.review.network_choice import checkpoint_of, maker_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["Given", "look_at", "network_input", "rectangle_of"]

Known = tuple[npt.NDArray[np.int64], npt.NDArray[Any]]
COPY_PX = 2**22
"""Pixels that are copied at once."""
OF_MACHINES = ("device", "engine", "precision", "threads", "batch_size")
"""Settings of a run that another machine may not have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """Labels that are looked at, and their image.

    Attributes
    ----------
    name : str
        Of the layer.
    labels : array-like
        Its pixels, numpy or zarr, which the user may go on to change: the job copies them.
    axes : str
        Of ``labels``; empty where they are not known.
    image : Image or None
        The picture of exactly these pixels, if a network is to be run on it.
    scores, classes : tuple of ndarray
        ``(n,)`` ids and ``(n,)`` what is known of them.
    predict : PredictSettings or None
        How the network is run, if not as usual.
    overrides : mapping
        Facts of the network that the user said.
    """

    name: str
    labels: Any
    axes: str
    image: Image | None
    scores: Known
    classes: Known
    predict: PredictSettings | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


def network_input(layer: napari.layers.Labels, viewer: napari.viewer.Viewer, network: str) -> Given:
    """Capture a layer, and the part of the image that it lies on, if a network is to be run.

    The network that made the labels is run as it was then.

    Raises
    ------
    ImageError
        If there is no image of these labels.
    """
    image, axes = None, axes_of(layer, viewer.layers)
    if network:
        image, axes = _image_of(layer, viewer)
    given = Given(
        name=layer.name,
        labels=layer.data,
        axes=axes,
        image=image,
        scores=table_arrays(layer, "score"),
        classes=table_arrays(layer, "class"),
    )
    return _as_made(given, layer) if network and network == maker_of(layer) else given


def _as_made(given: Given, layer: napari.layers.Labels) -> Given:
    """Return labels that are looked at with the network that made them, run as it was then.

    What of its settings belongs to the machine is left to this one.
    """
    origin = record_of(layer).origin or {}
    said = checkpoint_of(layer).get("told")
    try:
        asked = {**FORMER_RUNS, **(origin.get("predict") or {})}
        kept = {name: value for name, value in asked.items() if name not in OF_MACHINES}
        settings = settings_from(PredictSettings, kept)
    except (SettingsError, TypeError):  # of another version, or a script's
        return given
    return replace(given, predict=settings, overrides=said if isinstance(said, Mapping) else {})


def _image_of(layer: napari.layers.Labels, viewer: napari.viewer.Viewer) -> tuple[Image, str]:
    """Return the part of the image that labels lie on, and what the labels' axes are."""
    image = subject_of(layer, viewer.layers)
    others = [] if image is not None or is_recorded(layer) else images_in(viewer.layers)
    if others:
        raise _off(layer, others[-1])
    if image is None:
        raise ImageError(
            f"The image of “{layer.name}” is not open. Open it, or choose “no network”."
        )
    axes = guess_axes(image)
    spatial = axes[: image.ndim]
    record = record_of(layer)
    offset = record.offset_px if belongs_to(layer, image) else ()
    offset = offset or (0,) * len(spatial)
    own = record.axes or spatial
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
        f"{tuple(level_0(image).shape)}: they do not match. Open the image of the labels, or "
        "choose “no network”."
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
    copied = yield from _copied(given.labels)
    labels, axes = without_channels(given.name, copied, given.axes), given.axes.replace("c", "")
    scores, classes = _by_id(given.scores), _by_id(given.classes)
    prediction = cache.predictions.recall(key) if key else None
    if prediction is not None:
        items = yield from uncertainty_of_own(labels, prediction, scores, classes)
    elif network and given.image is not None:
        yield Progress(what="reading the weights")
        load_torch()
        checkpoint = yield from recognise_with_proof(network, given.overrides)
        items = yield from uncertainty_of_labels(
            labels, checkpoint, given.image, given.predict, flips=flips
        )
    else:
        items = yield from uncertainty_unaided(labels, axes)
    if scores or classes:
        scored = items.with_table(scores, classes)
        items = replace(scored, scores=np.where(items.ids < 0, items.scores, scored.scores))
    return _placed(items, given.axes, copied.shape)


def _copied(labels: Any) -> Generator[Progress, None, npt.NDArray[Any]]:
    """Copy labels piece by piece; what is changed meanwhile is looked at once more at the end."""
    shape = tuple(int(n) for n in labels.shape)
    chunks = (getattr(labels, "chunks", None) or (1,))[0]
    chunk = max(1, int(np.max(chunks)))  # zarr has the length of all, dask that of each
    step = chunk * max(1, COPY_PX // max(1, chunk * math.prod(shape[1:])))
    copied = np.empty(shape, labels.dtype)
    for start in range(0, shape[0], step):
        yield Progress(what="reading the labels", done=start, total=shape[0])
        copied[start : start + step] = labels[start : start + step]
    return copied


def _by_id(known: Known) -> ByLabel[Any]:
    ids, last = np.unique(known[0][::-1], return_index=True)
    return ByLabel(ids, known[1][::-1][last])  # of an id that is there twice, the last counts


def _placed(items: Items, axes: str, shape: tuple[int, ...]) -> Items:
    """Return items with the dimensions of the layer, an axis of channels too."""
    if len(shape) == items.first.shape[1]:
        return items
    axis = axes.index("c")
    shapes = items.shapes.items()
    return replace(
        items,
        first=np.insert(items.first, axis, 0, axis=1),
        stop=np.insert(items.stop, axis, shape[axis], axis=1),
        shapes={
            label: np.repeat(np.expand_dims(one, axis), shape[axis], axis) for label, one in shapes
        },
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
        raise SegnetError(f"The rectangle lies outside “{layer.name}”. Draw it over the labels.")
    return box
