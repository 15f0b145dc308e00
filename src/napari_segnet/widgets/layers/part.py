"""Which part of an image labels cover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_segnet.errors import DatasetError
from napari_segnet.widgets.layers.axes import level_0
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import belongs_to

if TYPE_CHECKING:
    import napari.layers

__all__ = ["part_under"]


def part_under(
    image: napari.layers.Image, labels: napari.layers.Labels, axes: str
) -> tuple[slice, ...]:
    """Return the part of an image that a Labels layer covers, a slice per dimension.

    Parameters
    ----------
    image, labels : Image, Labels
        Of one size, or labels with the offset of their part in their record.
    axes : str
        One letter per dimension of the image's data.

    Raises
    ------
    DatasetError
        If they do not fit together.
    """
    axes = axes[: image.ndim]
    whole = [int(n) for n in level_0(image).shape[: image.ndim]]
    shape = [int(n) for n in labels.data.shape]
    if len(shape) == len(whole) - 1 and "c" in axes:
        shape.insert(axes.index("c"), whole[axes.index("c")])
    offset = record_of(labels).offset_px if belongs_to(labels, image) else ()
    known = len(offset) == len(whole)
    start = offset if known else (0,) * len(whole)
    fits = len(shape) == len(whole) and all(
        a == "c" or (o + n <= w and (known or n == w))
        for a, o, n, w in zip(axes, start, shape, whole, strict=False)
    )
    if not fits:
        raise DatasetError(
            f"“{labels.name}” has {_text(labels.data.shape)} pixels and “{image.name}” has "
            f"{_text(whole)}: they do not belong together. Choose the image that was labelled."
        )
    return tuple(
        slice(0, w) if a == "c" else slice(o, o + n)
        for a, o, n, w in zip(axes, start, shape, whole, strict=True)
    )


def _text(shape: Any) -> str:
    return " x ".join(str(int(n)) for n in shape)
