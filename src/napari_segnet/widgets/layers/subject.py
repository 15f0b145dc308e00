"""Which image labels belong to: the one answer for journal, review, training set and prompts.

In a session an image is its layer, whatever it is called. In another session it is the layer
whose pixels have the same digest. A name alone counts only in records of earlier versions, and
only for an image that lies below the labels, as the image did that they were made on: one that
was opened later may be another image of this name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError
from napari_segnet.widgets.layers.axes import guess_axes, level_0, said_axes
from napari_segnet.widgets.layers.digest import digest_if_known
from napari_segnet.widgets.layers.record import record_of, update

if TYPE_CHECKING:
    import napari.layers

__all__ = [
    "axes_of",
    "belongs_to",
    "bind",
    "bound_image",
    "images_in",
    "is_drawn",
    "is_recorded",
    "labels_in",
    "of_two_images",
    "subject_of",
]


def subject_of(
    labels: napari.layers.Labels, layers: Iterable[napari.layers.Layer]
) -> napari.layers.Image | None:
    """Return the image layer that labels belong to; None where that must be asked.

    Parameters
    ----------
    labels : Labels
        Those that nobody has recorded an image for, as of another program, are taken to
        belong to the topmost visible image of their size.
    layers : iterable of Layer
        All of the viewer, the lowest first.
    """
    there, record = list(layers), record_of(labels)
    images = images_in(there)
    bound = bound_image(labels, images)
    if bound is not None:
        return bound
    if record.image_digest:
        for image in images:
            if digest_if_known(image) == record.image_digest:
                return image
    if record.image_id or record.image_digest:
        return None  # it is not open; another one would be a guess
    if is_recorded(labels):
        below = there[: there.index(labels)] if labels in there else there
        named = [image for image in images_in(below) if image.name == record.image_layer]
        return named[0] if named and _may_lie_on(labels, named[0]) else None
    fitting = [image for image in images if _exactly(labels, image)]
    fitting = fitting or [image for image in images if _as_plane(labels, image)]
    shown = [image for image in fitting if image.visible] or fitting
    return shown[-1] if shown else None


def bound_image(
    labels: napari.layers.Labels, layers: Iterable[napari.layers.Layer]
) -> napari.layers.Image | None:
    """Return the layer that labels are recorded to belong to, if it is open."""
    known = record_of(labels).image_id
    found = (layer for layer in layers if known and str(layer.unique_id) == known)
    return next(found, None)


def is_recorded(labels: napari.layers.Labels) -> bool:
    """Tell if it is recorded which image labels belong to, open or not."""
    record = record_of(labels)
    return bool(record.image_id or record.image_digest or record.image_layer)


def bind(labels: napari.layers.Labels, image: napari.layers.Image) -> None:
    """Record that labels belong to an image from now on."""
    known = record_of(labels)
    same = known.image_id == str(image.unique_id)
    update(
        labels,
        image_id=str(image.unique_id),
        image_layer=known.image_layer if same else image.name,
        image_digest=known.image_digest if same else digest_if_known(image) or "",
    )


def belongs_to(labels: napari.layers.Labels, image: napari.layers.Image) -> bool:
    """Tell if labels may be of a part of an image, at the offset in their record.

    That is so for the image that they were made of, and for any where none is recorded.
    """
    record = record_of(labels)
    if record.image_id:
        same = record.image_id == str(image.unique_id)
        return same or (bool(record.image_digest) and digest_if_known(image) == record.image_digest)
    return record.image_layer in ("", image.name)


def of_two_images(one: napari.layers.Layer, other: napari.layers.Layer) -> bool:
    """Tell if two layers are recorded to belong to different images.

    Layers that were made of one file do not: they may be of its channels.
    """
    mine, its = record_of(one), record_of(other)
    files = [(record.origin or {}).get("image", {}).get("source") for record in (mine, its)]
    if files[0] and files[0] == files[1]:
        return False
    if mine.image_digest and its.image_digest:
        return mine.image_digest != its.image_digest
    return bool(mine.image_id and its.image_id) and mine.image_id != its.image_id


def axes_of(labels: napari.layers.Labels, layers: Iterable[napari.layers.Layer]) -> str:
    """Return one letter out of ``tczyx`` per dimension of labels.

    Where nothing says it of the labels themselves, they have the axes of their image.

    Raises
    ------
    ImageError
        If there are more dimensions than axes.
    """
    said = said_axes(labels)
    image = subject_of(labels, layers) if said is None else None
    if image is not None and image.ndim <= len("tczyx"):
        axes = guess_axes(image)[: image.ndim]
        for letters in (axes, axes.replace("c", "")):
            if len(letters) == labels.ndim:
                return letters
    return said or guess_axes(labels)


def images_in(layers: Iterable[napari.layers.Layer]) -> list[napari.layers.Image]:
    """Return the image layers that are pictures of something, not what this package has drawn."""
    from napari.layers import Image

    return [x for x in layers if isinstance(x, Image) and not is_drawn(x)]


def labels_in(layers: Iterable[napari.layers.Layer]) -> list[napari.layers.Labels]:
    """Return the Labels layers of objects or classes, not those of mistakes or of a training."""
    from napari.layers import Labels

    return [x for x in layers if isinstance(x, Labels) and not is_drawn(x)]


def is_drawn(layer: napari.layers.Layer) -> bool:
    """Tell if a layer shows what this package has made and nobody learns from.

    Probabilities, mistakes, crops of a training; as images, too, its files of maps and labels.
    """
    from napari.layers import Image

    from napari_segnet.readers import OWN_OUTPUTS

    record = record_of(layer)
    if record.maps or record.learning or record.provisional or record.evaluated:
        return True
    path = str(layer.source.path or record.path).lower()
    return isinstance(layer, Image) and path.endswith(OWN_OUTPUTS)


# ---- Sizes ----


def _exactly(labels: napari.layers.Labels, image: napari.layers.Image) -> bool:
    """Tell if labels have the pixels of an image, with or without an axis for its channels."""
    shape = tuple(int(n) for n in level_0(image).shape[: image.ndim])
    try:
        axes = guess_axes(image)[: image.ndim]
    except ImageError:  # more dimensions than an image of ours has
        return False
    without = tuple(n for a, n in zip(axes, shape, strict=True) if a != "c")
    thin = tuple(1 if a == "c" else n for a, n in zip(axes, shape, strict=True))
    return tuple(labels.data.shape) in (without, thin)


def _as_plane(labels: napari.layers.Labels, image: napari.layers.Image) -> bool:
    """Tell if labels have the size of each plane of an image."""
    shape: tuple[Any, ...] = tuple(labels.data.shape)
    return tuple(level_0(image).shape[: image.ndim])[-len(shape) :] == shape


def _may_lie_on(labels: napari.layers.Labels, image: napari.layers.Image) -> bool:
    """Tell if labels are of the size of an image or of a part of it."""
    if _exactly(labels, image) or _as_plane(labels, image):
        return True
    shape = sorted((n for n in labels.data.shape if n > 1), reverse=True)
    room = sorted(level_0(image).shape[: image.ndim], reverse=True)
    return len(shape) <= len(room) and all(n <= most for n, most in zip(shape, room, strict=False))
