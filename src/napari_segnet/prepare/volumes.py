"""Whole volumes as the program of a network's training shows them: nnU-Net's way.

Its axes turned, a border of zeros cut off, each channel normalised by its own scheme, resampled to
the voxels of the training; windows of one size then see it. All of that is data: a
:class:`PrepareStep` of the name ``volume``.
https://github.com/MIC-DKFZ/nnUNet/blob/master/nnunetv2/preprocessing (Apache-2.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.prepare.resample import lone_axis, resample, resampled_lengths

__all__ = ["SCHEMES", "VOLUME", "Scheme", "Volume", "VolumeRecipe", "volume_step"]

VOLUME = "volume"
UM = 1000.0
"""Micrometres in a millimetre."""
LEAST_STD = 1e-8
"""What nothing is divided by less than, as there."""
MOST_CHANNELS = 1024
SCHEMES = ("none", "z-score", "z-score-masked", "clip-mean-std", "min-max", "divide-255")
"""What may be done to a channel. ``z-score-masked``: outside of the image's object all stays 0."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How one channel is normalised.

    Attributes
    ----------
    how : str
        One of ``SCHEMES``.
    numbers : tuple of float
        Of ``clip-mean-std``: lower and upper limit, mean and standard deviation.
    """

    how: str
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        wanted = 4 if self.how == "clip-mean-std" else 0
        if self.how not in SCHEMES or len(self.numbers) != wanted:
            raise ValueError(f"the normalisation {self.how} {self.numbers} is not known")
        if not all(np.isfinite(self.numbers)):
            raise ValueError(f"the normalisation {self.how} has the numbers {self.numbers}")

    def apply(self, pixels: Floats, mask: npt.NDArray[np.bool_]) -> None:
        """Normalise ``(z, y, x)`` in place; ``mask`` is where the image has an object."""
        if self.how == "z-score-masked" and mask.any():
            inside = pixels[mask]
            pixels[mask] = (inside - inside.mean()) / max(inside.std(), LEAST_STD)
        elif self.how == "z-score":
            std = pixels.std()
            pixels -= pixels.mean()
            pixels /= max(std, LEAST_STD)
        elif self.how == "clip-mean-std":
            low, high, mean, std = self.numbers
            np.clip(pixels, low, high, out=pixels)
            pixels -= np.float32(mean)
            pixels /= np.float32(max(std, LEAST_STD))
        elif self.how == "min-max":
            pixels -= pixels.min()
            pixels /= max(pixels.max(), LEAST_STD)
        elif self.how == "divide-255":
            pixels /= 255


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecipe:
    """From a volume to what a network sees of it, and back.

    Attributes
    ----------
    schemes : tuple of Scheme
        One per channel of the network.
    window_px : tuple of int
        Size of a window, in the order of the network's axes; two for a network of planes.
    spacing : tuple of float
        Size of a voxel, in that order, as many; in ``unit``, with all digits of the training:
        lengths that are rounded follow from it.
    unit : str
        ``"mm"``, or ``"px"``: images have no size there, each pixel counts as 1.
    order : tuple of int
        Which axis of ``zyx`` stands at each place there.
    mirror : tuple of int
        The window's axes along which it may be turned over.
    pixels_order, maps_order : tuple of int and int
        Degree of the splines that resample pixels and maps, in the plane and, where planes lie far
        apart, along the other axis.
    separate : bool or None
        If that axis is resampled on its own; None: where voxels are three times as long.
    """

    schemes: tuple[Scheme, ...]
    window_px: tuple[int, ...]
    spacing: tuple[float, ...]
    unit: str = "mm"
    order: tuple[int, ...] = (0, 1, 2)
    mirror: tuple[int, ...] = ()
    pixels_order: tuple[int, int] = (3, 0)
    maps_order: tuple[int, int] = (1, 0)
    separate: bool | None = None

    def __post_init__(self) -> None:
        ndim = len(self.window_px)
        odd = [
            (ndim not in (2, 3) or not all(0 < n <= 2**16 for n in self.window_px), "window_px"),
            (len(self.spacing) != ndim, "spacing"),
            (not all(0 < s < 1e9 for s in self.spacing), "spacing"),
            (sorted(self.order) != [0, 1, 2], "order"),
            (self.unit not in ("mm", "px"), "unit"),
            (not set(self.mirror) <= set(range(ndim)), "mirror"),
            (not set(self.pixels_order + self.maps_order) <= set(range(6)), "pixels_order"),
            (not 0 < len(self.schemes) <= MOST_CHANNELS, "schemes"),
        ]
        wrong = next((name for bad, name in odd if bad), "")
        if wrong:
            raise ValueError(f"{wrong} is {getattr(self, wrong)} in a recipe of volumes")

    @property
    def ndim(self) -> int:
        """2: windows are planes; 3: volumes."""
        return len(self.window_px)

    def to_step(self) -> PrepareStep:
        """Return plain JSON values."""
        plain = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        plain["schemes"] = [[one.how, *one.numbers] for one in self.schemes]
        return PrepareStep(name=VOLUME, options=plain)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> VolumeRecipe:
        """Return what :meth:`to_step` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is none.
        """
        separate = options["separate"]
        whole = ("window_px", "order", "mirror", "pixels_order", "maps_order")
        numbers: dict[str, Any] = {name: tuple(int(n) for n in options[name]) for name in whole}
        return cls(
            **numbers,
            schemes=tuple(
                Scheme(how=str(how), numbers=tuple(float(n) for n in rest))
                for how, *rest in options["schemes"]
            ),
            spacing=tuple(float(n) for n in options["spacing"]),
            unit=str(options["unit"]),
            separate=separate if separate is None else bool(separate),
        )

    def prepared(
        self,
        pixels: npt.NDArray[Any],
        spacing_um: Sequence[float | None],
        own: Sequence[Any] | None = None,
        scale: float | None = None,
    ) -> Volume:
        """Return a volume as the network sees it.

        Parameters
        ----------
        pixels : ndarray
            ``(c, z, y, x)``, any dtype.
        spacing_um : sequence of float or None
            Of ``z, y, x``; None where it is not known: then it counts as that of the training.
        own : sequence of Affine, optional
            Normalisations, one per channel, in place of the schemes.
        scale : float, optional
            Image pixels per network pixel in ``y`` and ``x``, in place of what follows of sizes.
        """
        turned = pixels.transpose(0, *(1 + axis for axis in self.order))
        data = np.array(turned, np.float32, order="C")
        data[~np.isfinite(data)] = 0
        shape = data.shape[1:]
        mask, box = _nonzero(data)
        data, mask = np.ascontiguousarray(data[(slice(None), *box)]), mask[box]
        for number, scheme in enumerate(self.schemes):
            if own is None:
                scheme.apply(data[number], mask)
            else:
                own[number].apply(data[number], out=data[number])
        have, want = self._spacings(spacing_um)
        if scale is None:
            lengths = resampled_lengths(data.shape[1:], have, want)
        else:
            factors = [1.0 if axis == 0 else scale for axis in self.order]
            lengths = resampled_lengths(data.shape[1:], (1.0,) * 3, factors)
        axis = lone_axis(have, want, self.separate)
        seen = resample(data, lengths, self.pixels_order, axis).astype(np.float32, copy=False)
        return Volume(
            pixels=seen,
            shape=shape,
            box=box,
            back_axis=lone_axis(want, have, self.separate),
        )

    def returned(self, maps: npt.NDArray[Any], volume: Volume) -> npt.NDArray[Any]:
        """Return raw maps ``(channel, *volume.pixels.shape[1:])`` at the pixels of its box.

        In the order of the network's axes; their dtype stays.
        """
        lengths = tuple(part.stop - part.start for part in volume.box)
        return resample(maps, lengths, self.maps_order, volume.back_axis)

    def turned_back(self, maps: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return ``(channel, z, y, x)`` of maps in the order of the network's axes."""
        places = [self.order.index(axis) for axis in range(3)]
        return maps.transpose(0, *(1 + place for place in places))

    def _spacings(
        self, spacing_um: Sequence[float | None]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the image's spacing and the network's, in the order of the network's axes."""
        sizes = [spacing_um[axis] for axis in self.order]
        # Files keep sizes in single precision, and nnU-Net takes them as they are there.
        known = [None if n is None or self.unit == "px" else _single(n / UM) for n in sizes]
        trained = self.spacing
        if self.ndim == 2:  # planes stay as many as they are
            trained = (known[0] or FAR * max(trained), *trained)
        if self.unit == "px":
            known = [known[0] if self.ndim == 2 else 1.0, 1.0, 1.0]
        pairs = [(own or other, other) for own, other in zip(known, trained, strict=True)]
        return tuple(own for own, _ in pairs), tuple(other for _, other in pairs)


def _single(value: float) -> float:
    return float(np.float32(value))


FAR = 999.0
"""A picture's depth beside its pixels there, so that planes never mix."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """A volume as a network sees it.

    Attributes
    ----------
    pixels : ndarray
        ``(c, *)`` float32, three axes in the order of the network.
    shape : tuple of int
        Of the whole image in that order.
    box : tuple of slice
        Which part of it that is, before it was resampled.
    back_axis : int or None
        The axis that is resampled on its own on the way back.
    """

    pixels: Floats
    shape: tuple[int, ...]
    box: tuple[slice, ...]
    back_axis: int | None


def volume_step(steps: Sequence[PrepareStep]) -> VolumeRecipe | None:
    """Return the recipe among the steps of a checkpoint; None where there is none."""
    own = next((one for one in steps if one.name == VOLUME), None)
    return None if own is None else VolumeRecipe.from_options(own.options)


def _nonzero(data: Floats) -> tuple[npt.NDArray[np.bool_], tuple[slice, ...]]:
    """Return where an image has an object, holes filled, and the box around it; else all."""
    from scipy.ndimage import binary_fill_holes

    mask: npt.NDArray[np.bool_] = np.zeros(data.shape[1:], np.bool_)
    for channel in data:
        mask |= channel != 0
    mask = binary_fill_holes(mask)
    box = []
    for axis in range(mask.ndim):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        whole = slice(0, mask.shape[axis])
        box.append(slice(int(there[0]), int(there[-1]) + 1) if there.size else whole)
    return mask, tuple(box)
