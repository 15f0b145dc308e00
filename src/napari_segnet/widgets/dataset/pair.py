"""A Labels layer and its image as what the training set takes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.budget import parsed_json
from napari_segnet.dataset import Sample
from napari_segnet.errors import DatasetError
from napari_segnet.image import Image
from napari_segnet.review import Review
from napari_segnet.widgets.layers.axes import guess_axes, level_0, without_channels
from napari_segnet.widgets.layers.convert import Region, image_layer_args, source_of
from napari_segnet.widgets.layers.digest import digest_of
from napari_segnet.widgets.layers.part import part_under
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of, update
from napari_segnet.widgets.layers.reviewed import review_of
from napari_segnet.widgets.layers.subject import subject_of

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

__all__ = [
    "TrainingPair",
    "image_of",
    "is_reviewed",
    "open_again",
    "review_is_informative",
    "reviewed",
    "training_pair",
]

LOOKED_AT_PX = 2**24
"""The most pixels that the window looks at without a thread: some 50 ms."""

MARK_LETTERS = 16
"""Of an image's digest, which tell images without a file apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingPair:
    """What ``dataset.add`` takes, copied from the layers: they may change meanwhile."""

    image: Image
    labels: npt.NDArray[np.int32]
    trusted: npt.NDArray[np.bool_] | None
    source: str
    plane: str
    classes: Mapping[int, int] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    review: Mapping[str, Any] | None = None
    untouched: bool = False


def image_of(viewer: ViewerModel, labels: napari.layers.Labels) -> napari.layers.Image | None:
    """Return the image layer that a Labels layer lies on; None where that must be asked."""
    return subject_of(labels, viewer.layers)


def training_pair(
    image: napari.layers.Image | None, labels: napari.layers.Labels, only_reviewed: bool
) -> TrainingPair:
    """Copy what is to be learned from.

    Raises
    ------
    DatasetError
        If the two do not fit together, or the image is not known.
    """
    if image is None:
        raise DatasetError(
            f"The image of “{labels.name}” is not open. Open it or choose the image in the list, "
            "then add the labels."
        )
    axes = guess_axes(image)
    region = Region(kind="layer", box=part_under(image, labels, axes))
    source = source_of(image, axes, region)
    letters = axes[: image.ndim] if labels.ndim == image.ndim else axes.replace("c", "")
    data = without_channels(labels.name, np.asarray(labels.data), letters)
    numbers = np.array(data, dtype=np.int32)  # a copy: it is written while the user paints
    trusted = reviewed(labels) if only_reviewed else None
    if only_reviewed and trusted is None:
        raise DatasetError(
            f"Nothing of “{labels.name}” is marked as reviewed. Review some objects or a region "
            "first, or add the whole image."
        )
    if trusted is not None and "c" in letters:
        trusted = np.asarray(trusted.any(axis=letters.index("c")))
    record = record_of(labels)
    known = record.dataset or {}
    return TrainingPair(
        image=source.image,
        labels=numbers,
        trusted=trusted,
        source=str(known.get("source") or _source_name(image)),
        plane=str(known.get("plane") or "") or _part(region.box, axes, level_0(image).shape),
        classes=_classes(labels),
        class_names=record.class_names,
        review=record.review,
        # A stroke is a review, too: what it changes counts as fixed.
        untouched=_is_an_answer(record) and not is_reviewed(labels),
    )


def _is_an_answer(record: LayerRecord) -> bool:
    """Tell if a network has made labels, in this session or before they were added."""
    return record.origin is not None or bool((record.dataset or {}).get("untouched"))


def is_reviewed(labels: napari.layers.Labels) -> bool:
    """Tell if an object or a region of the labels was reviewed; without looking at a pixel."""
    review = review_of(labels)
    return bool(review.states or review.regions)


def review_is_informative(labels: napari.layers.Labels) -> bool:
    """Tell if there is anything in the review to learn from.

    Of large labels, and of those that are no numpy array, the pixels are not looked at: then
    every object that was accepted or corrected counts, also one that was deleted since.
    """
    review = review_of(labels)
    data = labels.data
    if not isinstance(data, np.ndarray) or data.size > LOOKED_AT_PX:
        return bool(review.states or review.regions)
    return bool(review.is_informative(data))


def reviewed(labels: napari.layers.Labels) -> npt.NDArray[np.bool_] | None:
    """Return where the labels were reviewed, or None if nothing of them was."""
    review = review_of(labels)
    if review == Review():
        return None
    trusted = review.trusted(np.asarray(labels.data))
    return trusted if trusted.any() else None


def open_again(
    viewer: ViewerModel, sample: Sample, class_names: tuple[str, ...]
) -> napari.layers.Labels:
    """Show a sample for more correction; added again it takes its own place.

    Raises
    ------
    SegnetError
        If it cannot be read.
    """
    from napari_segnet.dataset import read_labels
    from napari_segnet.readers import open_image

    image = open_image(sample.image)
    labels = read_labels(sample.labels, image)
    data, kwargs = image_layer_args(image)
    layer = viewer.add_image(data, **kwargs)
    about = _about(sample)
    record = LayerRecord(
        image_id=str(layer.unique_id),
        image_layer=layer.name,
        class_names=class_names,
        dataset={
            "source": sample.source,
            "plane": sample.plane,
            **({"untouched": True} if sample.untouched else {}),
        },
        review=about.get("review") or None,
    )
    world = image.axes[: layer.ndim]
    kept = [i for i, a in enumerate(world) if a != "c"]
    shape = [image.sizes[world[i]] for i in kept]
    where: dict[str, Any] = {
        name: [getattr(layer, name)[i] for i in kept] for name in ("scale", "units", "axis_labels")
    }
    classes = {int(k): int(v) for k, v in (about.get("classes") or {}).items()}
    if classes:
        where["features"] = {"index": list(classes), "class": list(classes.values())}
    order = [a for a in "tzyx" if a in world]
    numbers = labels.reshape([image.sizes[a] for a in order])
    numbers = numbers.transpose([order.index(world[i]) for i in kept]).reshape(shape)
    found: napari.layers.Labels = viewer.add_labels(
        np.ascontiguousarray(numbers),
        name=f"{image.name} labels",
        metadata=metadata_of(record),
        **where,
    )
    return found


# ---- Which part ----


def _part(box: tuple[slice, ...], axes: str, shape: Any) -> str:
    """Return a part in words, such as ``z=3 y=0:512``; nothing for the whole."""
    words = []
    for letter, part, n in zip(axes, box, shape, strict=False):
        if (part.start, part.stop) != (0, int(n)):
            single = part.stop - part.start == 1
            words.append(f"{letter}={part.start if single else f'{part.start}:{part.stop}'}")
    return " ".join(words)


def _source_name(layer: napari.layers.Image) -> str:
    """Return what all parts of an image share: its file, or a name and a digest of its pixels.

    The name is the one that the layer had when it was added first: a layer that was renamed
    meanwhile is no other image.
    """
    if layer.source.path is not None:
        return str(layer.source.path)
    mark = digest_of(layer)[-MARK_LETTERS:]
    known = record_of(layer).source
    if not known.endswith(f" {mark}"):
        known = f"{layer.name} {mark}"
        update(layer, source=known)
    return known


# ---- Numbers ----


def _classes(labels: napari.layers.Labels) -> dict[int, int]:
    """Return the class of each object, where there is more than one."""
    record, table = record_of(labels), labels.features
    if record.kind == "semantic" or not {"index", "class"} <= set(table.columns):
        return {}
    found = {
        int(i): int(c) for i, c in zip(table["index"], table["class"], strict=True) if c == c and c
    }
    return found if len(set(found.values())) > 1 or len(record.class_names) > 2 else {}


def _about(sample: Sample) -> dict[str, Any]:
    if sample.objects is None:
        return {}
    try:
        content = parsed_json(sample.objects.read_text(encoding="utf8"), file_names=True)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"{sample.objects} cannot be read ({error!r}). Remove it; the review then starts again."
        ) from error
    return content if isinstance(content, dict) else {}
