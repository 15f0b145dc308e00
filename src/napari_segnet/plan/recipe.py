"""What the settings of a run that concern its input come to, before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MismatchError, Remedy, SegnetError
from napari_segnet.image import Image
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.prepare import map_channels
from napari_segnet.prepare.volumes import VOLUME

__all__ = [
    "LEARNING",
    "RUNNING",
    "Remedies",
    "channel_names",
    "channels_of",
    "inverted",
    "recipe",
    "scale_of",
    "spare_channels",
]

MOST_SCALE = 20.0
"""Pixel sizes that differ more (a 100x objective for a 5x one) are taken for a mistake."""
LEAST_DIFFERENCE = 0.05
"""Pixel sizes that differ less count as equal: resampling would blur for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedies:
    """What a user can do about an image that does not fit; a sentence each.

    Attributes
    ----------
    volume, pixel_size : str
        Where a plane is taken for a volume, and where a pixel size is odd.
    settings : tuple of Remedy
        What the sentences name.
    """

    volume: str
    pixel_size: str
    settings: tuple[Remedy, ...] = ()


DEPTH, AS_IT_IS = Remedy("axes", "zyx"), Remedy("scale", "1")
OBJECT = Remedy("object_px", "30")
RUNNING = Remedies(
    volume=f"If one of them is really the depth, say so, for example {DEPTH}.",
    pixel_size=(
        f"If the image's pixel size is wrong, say {AS_IT_IS} to take its pixels as they are."
    ),
    settings=(DEPTH, AS_IT_IS),
)
"""Where a network is run on an image."""
LEARNING = Remedies(
    volume="Take the sample out of the training set.",
    pixel_size=(
        "If the image's pixel size is wrong, correct it, take the sample out of the training set "
        "and add it again."
    ),
)
"""Where it learns from a sample of a training set."""


def recipe(checkpoint: Checkpoint, settings: PredictSettings | None = None) -> tuple[str, str]:
    """Return normalisation and scope: the user's, else the checkpoint's.

    No pixel is read, so a window may show them at once.
    """
    settings = settings or PredictSettings()
    own = next((s.options for s in checkpoint.prepare if s.name == "normalize"), {})
    how = str(own.get("how", "none")) if settings.normalize == "auto" else settings.normalize
    over = settings.normalize_over
    return how, str(own.get("over", "volume")) if over == "auto" else over


def inverted(checkpoint: Checkpoint, settings: PredictSettings) -> bool:
    """Tell if dark and bright are exchanged: the user's word, else how the network was trained."""
    if settings.invert != "auto":
        return settings.invert == "yes"
    return checkpoint.card.get("invert") == "yes"


SAME_TURNED_OVER = frozenset(("foreground", "boundary", "distance", "class"))
"""Outputs that say the same of a mirror image, at the mirrored place."""


def stands_mirrors(checkpoint: Checkpoint) -> bool:
    """Tell if what a network answers to a mirror image can be turned back."""
    roles = {output.role for output in checkpoint.outputs}
    return bool(roles) and roles <= SAME_TURNED_OVER


def mirrored(checkpoint: Checkpoint, settings: PredictSettings) -> bool:
    """Tell if planes are also shown turned over: the user's word, else that of the training.

    Never where the answer cannot be turned back.
    """
    if not stands_mirrors(checkpoint):
        return False
    if settings.mirror != "auto":
        return settings.mirror == "yes"
    return checkpoint.card.get("mirror") == "yes"


def stands_scales(checkpoint: Checkpoint) -> bool:
    """Tell if what a network answers at other scales can be averaged: maps of planes.

    A recipe of whole volumes says at which scale these are shown, and at no other.
    """
    whole = any(step.name == VOLUME for step in checkpoint.prepare)
    return checkpoint.ndim == 2 and not whole and stands_mirrors(checkpoint)


def multiscale(checkpoint: Checkpoint, settings: PredictSettings) -> bool:
    """Tell if planes are also shown at other scales: the user's word, else that of the training."""
    if settings.multiscale != "auto":
        return settings.multiscale == "yes"
    return checkpoint.card.get("multiscale") == "yes" and stands_scales(checkpoint)


def channels_of(checkpoint: Checkpoint, image: Image, settings: PredictSettings) -> str:
    """Return which channels are shown: the user's word, else how the network was trained.

    What it was trained on counts only where an image has it: a grey one has no stains.
    """
    trained = checkpoint.card.get("channels", "auto")
    if settings.channels != "auto" or not isinstance(trained, str):
        return settings.channels
    try:
        map_channels(image, checkpoint.channels, trained, spare=spare_channels(checkpoint))
    except SegnetError:
        return "auto"
    return trained


def channel_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return what the channels of a network are, where its training says that."""
    said = checkpoint.card.get("nnunet", {})
    names = said.get("channels", ()) if isinstance(said, Mapping) else ()
    return tuple(map(str, names))


def spare_channels(checkpoint: Checkpoint) -> int:
    """Return without how many of its channels, from the last on, a network can do."""
    spare = checkpoint.card.get("empty_channels", 0)
    return spare if isinstance(spare, int) and 0 <= spare < checkpoint.channels else 0


def scale_of(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, remedies: Remedies = RUNNING
) -> tuple[float, tuple[str, ...]]:
    """Return image pixels per network pixel in y and x, and what to say of it.

    No pixel is read.

    Raises
    ------
    MismatchError
        If the pixel sizes can hardly be true, or the size of objects says nothing here.
    """
    if settings.scale is not None and not isinstance(settings.scale, str):
        return float(settings.scale), ()
    if settings.object_px is not None or settings.object_um is not None:
        return _scale_by_object(checkpoint, image, settings)
    if checkpoint.hparams.get("resize") == "square":
        return _scale_of_square(checkpoint, image)
    trained, has = checkpoint.pixel_size_um.get("x"), image.pixel_size_um.get("x")
    if not trained or not has:
        return _scale_of_file(checkpoint)
    scale = trained / has
    if not 1 / MOST_SCALE <= scale <= MOST_SCALE:
        raise MismatchError(
            f"The network was trained at {trained:g} µm per pixel, but {image.name} says that its "
            f"pixels are {has:g} µm, which is unlikely for the same objects. {remedies.pixel_size}",
            remedies=remedies.settings,
        )
    if abs(scale - 1) < LEAST_DIFFERENCE:
        return 1.0, ()
    note = (
        f"The network was trained at {trained:g} µm per pixel and the image has {has:g} µm, so it "
        f"was shown at scale {scale:.3g}."
    )
    return scale, (note,)


def _scale_of_square(checkpoint: Checkpoint, image: Image) -> tuple[float, tuple[str, ...]]:
    """Return the scale at which a whole picture fits the square that a network was trained with.

    As ``resize_image`` of matterport: enlarged until its short side is ``min_size``, but never
    beyond ``max_size``.
    """
    short, long = sorted((image.sizes["y"], image.sizes["x"]))
    least, most = checkpoint.hparams["min_size"], checkpoint.hparams["max_size"]
    larger = max(1.0, least / short)
    if round(long * larger) > most:
        larger = most / long
    scale = 1 / larger
    if scale == 1:
        return 1.0, ()
    better = "" if scale < 1 else " Small objects may vanish."
    note = (
        f"As in the program of its training the whole image was resized for the network, from "
        f"{long} to {round(long * larger)} pixels (scale {scale:.3g}).{better} Set scale=1, or "
        "tell the network resize=none, to show it pixel by pixel in tiles."
    )
    return scale, (note,)


def _scale_of_file(checkpoint: Checkpoint) -> tuple[float, tuple[str, ...]]:
    """Return the scale at which the program of a network shows images unless told otherwise."""
    own = next((s.options.get("factor") for s in checkpoint.prepare if s.name == "scale"), None)
    if not isinstance(own, int | float) or not 0.01 <= own <= 100 or own == 1:
        return 1.0, ()
    if "object_px" not in checkpoint.card:
        note = f"As in the network's training, the image was run at scale {own:.3g}."
        return float(own), (note,)
    note = (
        f"The training objects of the network had {own * _object_px(checkpoint):.3g} pixels, so "
        f"the image was run at scale {own:.3g}. If they are of another size here, say {OBJECT}."
    )
    return float(own), (note,)


def _object_px(checkpoint: Checkpoint) -> float:
    """Return the diameter of objects in network pixels; 1 where it is not known."""
    size = checkpoint.card.get("object_px")
    return float(size) if isinstance(size, int | float) and size > 0 else 1.0


def _scale_by_object(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings
) -> tuple[float, tuple[str, ...]]:
    """Return the scale at which objects look as large as those of the training."""
    trained = checkpoint.card.get("object_px")
    if not isinstance(trained, int | float) or not trained > 0:
        raise MismatchError(
            f"{checkpoint.path.name} does not record the size of its training objects, so the "
            "size in this image gives no scale. Set scale instead; the button “Try scales” of "
            "the window shows which one fits."
        )
    size, pixel = settings.object_px, image.pixel_size_um.get("x")
    if size is None:
        if not pixel:
            raise MismatchError(
                f"{image.name} does not state its pixel size, so object_um cannot be converted to "
                "pixels. Set object_px instead."
            )
        size = float(settings.object_um or 0) / pixel
    scale = size / trained
    if not 0.01 <= scale <= 100:
        raise MismatchError(
            f"Objects of {size:.3g} pixels and a network trained on {trained:g} would need a scale "
            f"of {scale:.3g}, but it must be between 0.01 and 100. Is the size right?"
        )
    note = (
        f"The network was trained on objects of {trained:g} pixels and those of the image have "
        f"{size:.3g}, so it was shown at scale {scale:.3g}."
    )
    return scale, (note,)
