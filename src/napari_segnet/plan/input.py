"""What a network sees of an image: channels chosen, normalised, scaled.

The one preparation of pixels: prediction, prompts, previews and training read through it.
Everything here is a value that may travel to another process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MismatchError
from napari_segnet.image import Image
from napari_segnet.plan.recipe import (
    LEARNING,
    RUNNING,
    Remedies,
    channel_names,
    channels_of,
    inverted,
    mirrored,
    multiscale,
    recipe,
    scale_of,
    spare_channels,
    stands_mirrors,
    stands_scales,
)
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.prepare import (
    Affine,
    ChannelMap,
    Normalization,
    fit,
    map_channels,
    parse_normalizer,
)
from napari_segnet.prepare.scale import resize, resize_in_bands, scaled_lengths
from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import large_array
from napari_segnet.sinks.file import in_memory_bytes
from napari_segnet.tiles import Tile

__all__ = [
    "LEARNING",
    "RUNNING",
    "NetworkInput",
    "Remedies",
    "UnitInput",
    "channels_of",
    "inverted",
    "mirrored",
    "multiscale",
    "prepare_input",
    "recipe",
    "scale_of",
    "spare_channels",
    "stands_mirrors",
    "stands_scales",
]


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
        # Where the file has coarser copies, the nearest one is read: much less of it.
        lengths = dict(zip("zyx"[-self.ndim :], self.seen, strict=True))
        near = image.level_for(lengths)
        sizes = near.sizes
        whole = tuple(slice(0, sizes[a]) for a in lengths)
        channels = len(self.affines[0])
        largest = max(math.prod(self.seen), math.prod(part.stop for part in whole))
        if out is None and 4 * channels * largest > in_memory_bytes():
            return self._read_in_bands(near, whole, channels)
        small = resize(self.read(near, whole), self.seen)
        if out is None:
            return small
        out[...] = small
        return out

    def _read_in_bands(
        self, near: Image, whole: tuple[slice, ...], channels: int
    ) -> npt.NDArray[np.float32]:
        """Return all of it in a temporary file; a band of rows is in memory."""
        made: npt.NDArray[np.float32] = large_array((channels, *self.seen), np.float32)
        old = tuple(part.stop for part in whole)

        def read(rows: slice) -> npt.NDArray[np.float32]:
            return self.read(near, (slice(rows.start, min(rows.stop, old[0])), *whole[1:]))

        for rows, block in resize_in_bands(read, channels, old, self.seen):
            check_cancelled()
            made[:, rows] = block
        return made


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
        channels_of(checkpoint, image, settings),
        invert=inverted(checkpoint, settings),
        spare=spare_channels(checkpoint),
        named=channel_names(checkpoint),
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
