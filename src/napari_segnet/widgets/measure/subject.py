"""What is measured: the labels of a layer and the pixels below them, as they were when asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.widgets.layers.axes import guess_axes, pixel_sizes_um, without_channels
from napari_segnet.widgets.layers.convert import Region, source_of
from napari_segnet.widgets.layers.features import classes_of, scores_of
from napari_segnet.widgets.layers.grids import grid_in, grid_of_origin
from napari_segnet.widgets.layers.part import part_under
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import axes_of
from napari_segnet.writers import plain_grid

if TYPE_CHECKING:
    import napari.layers

__all__ = ["Measured", "box_of", "subject_of_measure"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Labels, and what they are of.

    Attributes
    ----------
    labels : ndarray
        int32, a copy, in the order of ``axes``.
    axes : str
        One letter per dimension out of ``tzyx``, in that order.
    layer_axes : str
        The same for the dimensions of the layer, where there may be a ``c``.
    image : Image or None
        The pixels below, of the same lengths.
    pixel_size_um : mapping of str to float
        Micrometres per pixel by axis, where known.
    classes, scores : mapping
        By label.
    class_names : tuple of str
        Background first.
    kind : str
        ``instance`` or ``semantic``.
    name : str
        Of the layer.
    grid : Grid or None
        Where the voxels of a medical image lie; None for others.
    """

    labels: npt.NDArray[np.int32]
    axes: str
    layer_axes: str
    image: Image | None
    pixel_size_um: Mapping[str, float]
    classes: Mapping[int, int]
    scores: Mapping[int, float]
    class_names: tuple[str, ...]
    kind: str
    name: str
    grid: Grid | None = None

    def segmentation(self, *, on_grid: bool = False) -> Segmentation:
        """Return the labels as a result without a run, to be written.

        Parameters
        ----------
        on_grid : bool
            They are written on the grid of a medical image, or one of their pixel size.
        """
        image = self.image
        name = self.name if image is None else image.name
        source = None if image is None else image.source
        place: dict[str, Any] = {"name": name, "source": source}
        if on_grid:
            grid = self.grid or plain_grid(self.axes, self.labels.shape, self.pixel_size_um)
            place["grid"] = grid.to_json()
        return Segmentation(
            labels=self.labels,
            axes=self.axes,
            pixel_size_um=dict(self.pixel_size_um),
            kind="semantic" if self.kind == "semantic" else "instance",
            label_class=self.classes,
            label_score=self.scores,
            class_names=self.class_names,
            origin=Origin(checkpoint={}, image=place, predict={}),
        )


def subject_of_measure(
    labels: napari.layers.Labels,
    image: napari.layers.Image | None,
    layers: Iterable[napari.layers.Layer],
) -> Measured:
    """Copy the labels of a layer; the image is read when it is measured.

    Parameters
    ----------
    labels : Labels
        Objects or classes.
    image : Image or None
        What brightness is measured in.
    layers : iterable of Layer
        All of the viewer.

    Raises
    ------
    SegnetError
        If labels and image do not fit together.
    """
    pixels = None
    if image is None:
        letters = axes_of(labels, layers)
    else:
        axes = guess_axes(image)
        box = part_under(image, labels, axes)
        pixels = source_of(image, axes, Region(kind="layer", box=box)).image
        letters = axes[: image.ndim]
        letters = letters if labels.ndim == image.ndim else letters.replace("c", "")
    data = without_channels(labels.name, np.asarray(labels.data), letters)
    flat = letters.replace("c", "")
    order = [a for a in "tzyx" if a in flat]
    numbers = np.array(data.transpose([flat.index(a) for a in order]), np.int32)
    record = record_of(labels)
    sizes = pixel_sizes_um(labels, letters)
    return Measured(
        labels=np.ascontiguousarray(numbers),
        axes="".join(order),
        layer_axes=letters,
        image=pixels,
        pixel_size_um=sizes if image is None or sizes else pixel_sizes_um(image, letters),
        classes=classes_of(labels),
        scores=scores_of(labels),
        class_names=tuple(record.class_names),
        kind=record.kind or "instance",
        name=str(labels.name),
        grid=_grid(labels, image),
    )


def _grid(labels: napari.layers.Labels, image: napari.layers.Image | None) -> Grid | None:
    """Return the grid of labels: that of their run or file, or of the image below."""
    own = grid_of_origin(record_of(labels).origin) or grid_in(labels.metadata)
    return own if own is not None or image is None else grid_in(image.metadata)


def box_of(row: Mapping[str, Any], layer_axes: str, shape: Iterable[int]) -> tuple[slice, ...]:
    """Return where the object of a row lies in its layer.

    Parameters
    ----------
    row : mapping
        Of a table of :func:`napari_segnet.measure.measure`.
    layer_axes : str
        One letter per dimension of the layer.
    shape : iterable of int
        Its lengths.
    """
    box = []
    for letter, length in zip(layer_axes, shape, strict=True):
        if f"bbox_{letter}0" in row:
            box.append(slice(int(row[f"bbox_{letter}0"]), int(row[f"bbox_{letter}1"])))
        elif letter in row:
            box.append(slice(int(row[letter]), int(row[letter]) + 1))
        else:
            box.append(slice(0, int(length)))
    return tuple(box)
