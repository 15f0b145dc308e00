"""What a network sees of an image: channels chosen, normalised, scaled.

The one preparation of pixels: prediction, prompts, previews and training read through it.
Everything here is a value that may travel to another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MismatchError, Remedy
from napari_segnet.image import Image
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.prepare import (
    Affine,
    ChannelMap,
    Normalization,
    fit,
    map_channels,
    parse_normalizer,
)
from napari_segnet.prepare.scale import resize, scaled_lengths
from napari_segnet.tiles import Tile

__all__ = [
    "LEARNING",
    "RUNNING",
    "NetworkInput",
    "Remedies",
    "UnitInput",
    "inverted",
    "prepare_input",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitInput:
    """How one plane or volume becomes what the network sees; see :meth:`NetworkInput.unit`.

    Attributes
    ----------
    t, z : int
        The plane; ``z`` is 0 for a volume.
    ndim : int
        2: a plane; 3: a volume.
    shape : tuple of int
        ``([z,] y, x)`` in image pixels.
    seen : tuple of int
        ``([z,] y, x)`` in network pixels.
    channels : ChannelMap
        Which image channels are read.
    affines : tuple of tuple of Affine
        One normalisation per network channel; those of every plane of a volume, or one for
        all planes where they are alike.
    """

    t: int
    z: int
    ndim: int
    shape: tuple[int, ...]
    seen: tuple[int, ...]
    channels: ChannelMap
    affines: tuple[tuple[Affine, ...], ...]

    def read(
        self,
        image: Image,
        box: tuple[slice, ...],
        out: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return a box ``([z,] y, x)`` of image pixels, normalised.

        ``(c, [z,] y, x)`` float32; written into ``out``, if there is one.
        """
        depth = box[0] if self.ndim == 3 else slice(self.z, self.z + 1)
        raw = self.channels.read(image, self.t, depth, box[-2], box[-1])  # (c, z, y, x)
        block = np.empty(raw.shape, np.float32) if out is None else out.reshape(raw.shape)
        for k in range(raw.shape[1]):
            plane = depth.start + k if len(self.affines) > 1 else 0
            for c, affine in enumerate(self.affines[plane]):
                affine.apply(raw[c, k], out=block[c, k])
        return block if self.ndim == 3 else block[:, 0]

    def read_seen(
        self, image: Image, out: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return all of it as the network sees it.

        ``(c, *seen)`` float32; written into ``out``, if there is one.
        """
        whole = tuple(slice(0, n) for n in self.shape)
        if self.seen == self.shape:
            return self.read(image, whole, out)
        small = resize(self.read(image, whole), self.seen)
        if out is None:
            return small
        out[...] = small
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkInput:
    """An image in the eyes of one network; pickled where the image's data is.

    Attributes
    ----------
    image : Image
        The image.
    ndim : int
        2: planes are answered one by one; 3: volumes.
    channels : ChannelMap
        Which channels the network gets.
    normalization : Normalization
        The fitted figures.
    scale : float
        Image pixels per network pixel in y and x.
    how, over : str
        The normalisation that was chosen and its scope.
    notes : tuple of str
        What the user should know.
    """

    image: Image
    ndim: int
    channels: ChannelMap
    normalization: Normalization
    scale: float
    how: str
    over: str
    notes: tuple[str, ...]

    @property
    def units(self) -> list[tuple[int, int]]:
        """``(t, z)`` of each plane, or ``(t, 0)`` of each volume."""
        sizes = self.image.sizes
        planes = sizes["z"] if self.ndim == 2 else 1
        return [(t, z) for t in range(sizes["t"]) for z in range(planes)]

    @property
    def shape(self) -> tuple[int, ...]:
        """``([z,] y, x)`` of one unit in image pixels."""
        sizes = self.image.sizes
        return tuple(sizes[a] for a in "zyx"[-self.ndim :])

    @property
    def seen(self) -> tuple[int, ...]:
        """``([z,] y, x)`` of one unit in network pixels."""
        factors = (1.0, self.scale, self.scale)[-self.ndim :]
        return scaled_lengths(self.shape, factors)

    def unit(self, t: int, z: int) -> UnitInput:
        """Return how one plane, or volume (``z`` is 0), is read."""
        several = self.ndim == 3 and self.normalization.over == "plane"
        planes = range(self.shape[0]) if several else (z,)
        return UnitInput(
            t=t,
            z=z,
            ndim=self.ndim,
            shape=self.shape,
            seen=self.seen,
            channels=self.channels,
            affines=tuple(self.normalization.affines(t, plane) for plane in planes),
        )

    def reader(self, t: int, z: int) -> Callable[[Tile], npt.NDArray[np.float32]]:
        """Return what reads the prepared pixels of a tile of one unit, ``(c, [z,] y, x)``."""
        unit = self.unit(t, z)
        if unit.seen == unit.shape:
            return lambda tile: unit.read(self.image, tile.read)
        small = unit.read_seen(self.image)
        return lambda tile: small[(slice(None), *tile.read)]


def prepare_input(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, remedies: Remedies = RUNNING
) -> NetworkInput:
    """Choose channels, normalisation and scale, and fit them to an image.

    The figures of normalisation are measured on the image's pixels, so call it in a worker.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    image : Image
        The image.
    settings : PredictSettings
        Wishes of channels, normalisation and scale.
    remedies : Remedies
        What to say to a user whose image does not fit.

    Raises
    ------
    MismatchError
        If the image does not fit the network; the message says what to set.
    ImageError
        If the image has no finite pixel.
    """
    if checkpoint.ndim == 3 and "z" not in image.axes:
        raise MismatchError(
            f"This network needs a volume with a z axis, but {image.name} has the axes "
            f"{image.axes!r}. {remedies.volume}",
            remedies=remedies.settings,
        )
    channels = map_channels(
        image,
        checkpoint.channels,
        settings.channels,
        invert=inverted(checkpoint, settings),
        spare=spare_channels(checkpoint),
    )
    how, over = recipe(checkpoint, settings)
    normalization = fit(image, channels, parse_normalizer(how), over)
    scale, note = scale_of(checkpoint, image, settings, remedies)
    notes = (*image.notes, *((channels.note,) if channels.note else ()), *note)
    return NetworkInput(
        image=image,
        ndim=checkpoint.ndim,
        channels=channels,
        normalization=normalization,
        scale=scale,
        how=how,
        over=over,
        notes=notes,
    )


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
    """Tell if dark and bright are exchanged: the user's word, else how the network was taught."""
    if settings.invert != "auto":
        return settings.invert == "yes"
    return checkpoint.card.get("invert") == "yes"


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
    if settings.scale is not None:
        return settings.scale, ()
    if settings.object_px is not None or settings.object_um is not None:
        return _scale_by_object(checkpoint, image, settings)
    trained, has = checkpoint.pixel_size_um.get("x"), image.pixel_size_um.get("x")
    if not trained or not has:
        return _scale_of_file(checkpoint)
    scale = trained / has
    if not 1 / MOST_SCALE <= scale <= MOST_SCALE:
        raise MismatchError(
            f"The network was trained at {trained:g} µm per pixel, but {image.name} says that its "
            f"pixels are {has:g} µm, which is hardly true of the same objects. "
            f"{remedies.pixel_size}",
            remedies=remedies.settings,
        )
    if abs(scale - 1) < LEAST_DIFFERENCE:
        return 1.0, ()
    note = (
        f"The network was trained at {trained:g} µm per pixel and the image has {has:g} µm, so it "
        f"was shown at scale {scale:.3g}."
    )
    return scale, (note,)


def _scale_of_file(checkpoint: Checkpoint) -> tuple[float, tuple[str, ...]]:
    """Return the scale at which the program of a network shows images unless told otherwise."""
    own = next((s.options.get("factor") for s in checkpoint.prepare if s.name == "scale"), None)
    if not isinstance(own, int | float) or not 0.01 <= own <= 100 or own == 1:
        return 1.0, ()
    note = (
        f"The objects of its training had {own * _object_px(checkpoint):.3g} pixels, so the image "
        f"was shown at scale {own:.3g}. If they are of another size here, say {OBJECT}."
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
            f"{checkpoint.path.name} does not record how large the objects of its training were, "
            "so their size in this image says nothing about the scale. Set scale instead; the "
            "button “Try scales” of the window shows which one fits."
        )
    size, pixel = settings.object_px, image.pixel_size_um.get("x")
    if size is None:
        if not pixel:
            raise MismatchError(
                f"{image.name} does not say how large its pixels are, so object_um cannot be "
                "turned into pixels. Set object_px instead."
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
