"""Crops of approved samples, changed at random, with what the network should answer."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastremap
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from napari_segnet.answers import answer_of
from napari_segnet.answers.objective import Crop
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Sample, as_classes, as_objects, classes_of, read_labels, usable
from napari_segnet.errors import DatasetError, ImageError, MismatchError, SegnetError
from napari_segnet.image import Image
from napari_segnet.plan import PredictSettings
from napari_segnet.plan.input import LEARNING, NetworkInput, prepare_input
from napari_segnet.readers import open_image

__all__ = ["Augmentation", "Crop", "Crops", "prepared_pixels"]

MARGIN_PX = 32
"""Targets look at objects beyond the crop: half the size of a large nucleus."""
KEEP_BYTES = 2 * 1024**3
"""Samples are kept in memory up to this size; the others are read at each use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Greatest random changes; the defaults change nothing. See ``TrainSettings``."""

    on_objects: float = 0.5
    flip: bool = False
    rotate: bool = False
    scale_range: tuple[float, float] = (1.0, 1.0)
    gamma: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 0.0
    blur_px: float = 0.0


class Crops:
    """Draws crops of samples for one network.

    Parameters
    ----------
    samples : tuple of Sample
        What to draw from.
    network : Checkpoint
        Says how pixels are prepared and what it should answer.
    shape : tuple of int
        ``([z,] y, x)`` of a crop as the network takes it, in network pixels; targets are
        smaller where the network's answer is.
    augmentation : Augmentation
        How crops are changed at random.
    channels, invert : str
        Which image channels the network gets, and if inverted, as in ``PredictSettings``.
    """

    def __init__(
        self,
        samples: tuple[Sample, ...],
        network: Checkpoint,
        shape: tuple[int, ...],
        augmentation: Augmentation,
        channels: str = "auto",
        invert: str = "auto",
    ) -> None:
        self._samples, self._network = samples, network
        self._settings = PredictSettings(channels=channels, invert=invert)
        self._answer = answer_of(network)
        self._shape, self._change = shape, augmentation
        self._kept: dict[int, _Pair] = {}
        self._kept_bytes = 0
        self._keeping = threading.Lock()
        self._useful = list(range(len(samples)))
        self._objects = False
        self._hints: list[str] = []
        self._diameters: list[float] = []
        self.objects = 0  # trusted ones that check() has met, plane by plane; none of classes

    def __len__(self) -> int:
        """Return how many samples have something to learn from."""
        return len(self._useful)

    @property
    def has_objects(self) -> bool:
        """Tell if :meth:`check` has met a trusted pixel with a label other than background."""
        return self._objects

    @property
    def object_px(self) -> float | None:
        """Median diameter of the objects that :meth:`check` has met, in network pixels."""
        return round(float(np.median(self._diameters)), 1) if self._diameters else None

    @property
    def hints(self) -> tuple[str, ...]:
        """What :meth:`check` has met in labels that may not mean what they seem to."""
        return tuple(
            f"{self._hints.count(hint)} of {len(self._samples)} label images: {hint}"
            for hint in dict.fromkeys(self._hints)
        )

    def check(self) -> Iterator[str]:
        """Read every sample once, so that what is wrong with one shows now.

        Those without a trusted pixel are left out from then on, and so are those of which a
        file is gone or damaged.

        Yields
        ------
        str
            After each sample: why it is left out, if a file of it cannot be read, else nothing.

        Raises
        ------
        DatasetError
            For a sample that does not fit the network or its labels, with the file's name.
        """
        useful = []
        for index in range(len(self._samples)):
            try:
                pair = self._pair(index)
            except _DamagedError as error:
                yield str(error)
                continue
            if pair.units:
                useful.append(index)
            self._hints += [pair.hint] if pair.hint else []
            self._objects |= bool(((pair.labels > 0) & (pair.trusted > 0)).any())
            if not any(output.role == "class" for output in self._network.outputs):
                self._diameters += pair.diameters_px(self._network.ndim)
            yield ""
        self._useful, self.objects = useful, len(self._diameters)

    def unchanged(self) -> Crops:
        """Return what draws the same samples as they are, wherever they are trusted."""
        other = copy.copy(self)  # with the samples that are kept in memory
        other._change = Augmentation(on_objects=0)
        return other

    def draw(self, rng: np.random.Generator, sample: int | None = None) -> Crop:
        """Return one random crop, of the useful sample of that number or of a random one."""
        number = int(rng.integers(len(self._useful))) if sample is None else sample
        pair = self._pair(self._useful[number])
        unit = pair.unit(rng, self._network.ndim)
        wide = tuple(n + 2 * m for n, m in zip(self._shape, self._margin(), strict=True))
        where = _places(self._matrix(rng), wide, self._centre(unit, rng))
        unit, where = _window(unit, where)
        grid = _grid(unit, where)
        pixels = _sample(unit.pixels, grid, "bilinear")
        labels = _sample(unit.labels[None].astype(np.float32), grid, "nearest")[0]
        trusted = _sample(unit.trusted[None].astype(np.float32), grid, "nearest")
        # Objects that the edge cuts are grown together with their mirror images: nothing of that
        # is learned. Boxes and masks end where the image does (cut_at_edge).
        inside = _inside(where, unit.labels.shape)
        trusted *= inside
        if self._answer.cut_at_edge:
            labels *= inside
        targets = self._answer.targets(labels.round().astype(np.int32), self._network)
        inner = (slice(None), *(slice(m, -m or None) for m in self._margin()))
        # A network without padding answers for the middle of what it sees.
        lost = (n // 2 for n in self._network.size.loss)
        edges = [m + n for m, n in zip(self._margin(), lost, strict=True)]
        middle = (slice(None), *(slice(m, -m or None) for m in edges))
        return Crop(
            pixels=self._intensity(pixels[inner], rng),
            targets=np.ascontiguousarray(targets[middle]),
            trusted=np.ascontiguousarray(trusted[middle]),
            labels=np.ascontiguousarray(labels[middle[1:]].round().astype(np.int32)),
            kinds=pair.kinds,
        )

    def _margin(self) -> tuple[int, ...]:
        return (0, MARGIN_PX, MARGIN_PX)[-len(self._shape) :]

    def _pair(self, index: int) -> _Pair:
        if index in self._kept:
            return self._kept[index]
        pair = _read(self._samples[index], self._network, self._settings)
        with self._keeping:  # several threads may draw
            if index not in self._kept and self._kept_bytes + pair.nbytes <= KEEP_BYTES:
                self._kept[index] = pair
                self._kept_bytes += pair.nbytes
        return pair

    def _centre(self, unit: _Unit, rng: np.random.Generator) -> tuple[int, ...]:
        """Choose a trusted pixel ``([z,] y, x)``, on an object as often as is wished."""
        trusted = unit.trusted > 0
        on_object = rng.random() < self._change.on_objects
        inside = np.flatnonzero(trusted & (unit.labels > 0) if on_object else trusted)
        if not inside.size:
            inside = np.flatnonzero(trusted)
        where = np.unravel_index(inside[rng.integers(inside.size)], trusted.shape)
        return tuple(int(i) for i in where)

    def _matrix(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Pixels of the sample per crop pixel ``([z,] y, x)``: zoom, turn and mirror."""
        change, ndim = self._change, len(self._shape)
        low, high = np.log(change.scale_range)
        angle = rng.random() * 2 * np.pi if change.rotate else 0.0
        zoom = np.exp(rng.uniform(low, high))
        plane = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
        matrix = np.eye(ndim)
        matrix[-2:, -2:] = plane
        if change.flip:
            matrix = matrix * rng.choice((-1.0, 1.0), size=ndim)
        return matrix

    def _intensity(
        self, pixels: npt.NDArray[np.float32], rng: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        change = self._change
        x = torch.from_numpy(pixels)
        if change.blur_px and rng.random() < 0.3:
            sigma = float(rng.uniform(min(0.3, change.blur_px), change.blur_px))
            # Two sigma on each side, and no more than there is to be mirrored.
            reach = min(math.ceil(2 * change.blur_px), min(x.shape[-2:]) - 1)
            size = 2 * reach + 1
            x = vision.gaussian_blur(x, kernel_size=[size, size], sigma=[sigma, sigma])
        if change.gamma > 1:
            low, high = x.min(), x.max()
            span = (high - low).clamp(min=1e-6)
            power = float(np.exp(rng.uniform(-1, 1) * np.log(change.gamma)))
            x = low + span * ((x - low) / span).pow(power)
        if change.gain > 1:
            x = x * float(np.exp(rng.uniform(-1, 1) * np.log(change.gain)))
        if change.offset:
            x = x + float(rng.uniform(-change.offset, change.offset))
        result: npt.NDArray[np.float32] = x.numpy()
        if change.noise and rng.random() < 0.5:
            sigma = rng.uniform(0, change.noise)
            result = result + sigma * rng.standard_normal(result.shape, dtype=np.float32)
        return np.ascontiguousarray(result, dtype=np.float32)


class _DamagedError(DatasetError):
    """A file of a sample cannot be read; the others can."""


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """What crops are taken of: a plane or a volume."""

    pixels: npt.NDArray[np.float32]  # (c, [z,] y, x)
    labels: npt.NDArray[np.int32]  # ([z,] y, x)
    trusted: npt.NDArray[np.uint8]  # ([z,] y, x)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A sample in memory, as the network sees it: normalised, in network pixels."""

    pixels: npt.NDArray[np.float32]  # (t, c, z, y, x)
    labels: npt.NDArray[np.int32]  # (t, z, y, x)
    trusted: npt.NDArray[np.uint8]  # (t, z, y, x)
    units: tuple[tuple[int, int], ...]  # (t, z) of the planes or (t, 0) of the volumes of use
    kinds: Mapping[int, int]  # class of each label
    hint: str  # what is odd about the labels

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + self.labels.nbytes + self.trusted.nbytes

    def diameters_px(self, ndim: int) -> list[float]:
        """Return the diameter of a disk of the area of each trusted object, in its widest plane."""
        found: list[float] = []
        for t, z in self.units:
            planes = range(self.labels.shape[1]) if ndim == 3 else (z,)
            widest: dict[int, int] = {}
            for plane in planes:
                labels = self.labels[t, plane] * (self.trusted[t, plane] > 0)
                for one, area in zip(*np.unique(labels, return_counts=True), strict=True):
                    widest[int(one)] = max(widest.get(int(one), 0), int(area))
            found += [2 * math.sqrt(area / math.pi) for one, area in widest.items() if one]
        return found

    def unit(self, rng: np.random.Generator, ndim: int) -> _Unit:
        t, z = self.units[int(rng.integers(len(self.units)))]
        if ndim == 3:
            return _Unit(self.pixels[t], self.labels[t], self.trusted[t])
        return _Unit(self.pixels[t][:, z], self.labels[t, z], self.trusted[t, z])


def _read(sample: Sample, network: Checkpoint, settings: PredictSettings) -> _Pair:
    try:
        image = open_image(sample.image)
        given = prepare_input(network, image, settings, LEARNING)
        pixels = prepared_pixels(given)
    except ImageError as error:
        raise _DamagedError(f"{sample.image} cannot be learned from: {error}") from error
    except SegnetError as error:
        raise DatasetError(f"{sample.image} cannot be learned from: {error}") from error
    labels, kinds, hint = _labels(sample, image, network)
    seen = np.ones(labels.shape, bool)
    if sample.trusted is not None:
        seen = _read_labels(sample.trusted, image) > 0
    trusted = usable(sample, labels, seen).astype(np.uint8)
    lengths = (image.sizes["z"], *given.seen[-2:])
    labels, trusted = _nearest(labels, lengths), _nearest(trusted, lengths)
    alive = trusted.any(axis=(-2, -1)) if network.ndim == 2 else trusted.any(axis=(1, 2, 3))
    units = tuple((int(t), int(z)) for t, z in np.argwhere(alive.reshape(len(trusted), -1)))
    return _Pair(pixels, labels, trusted, units, kinds, hint)


def prepared_pixels(given: NetworkInput) -> npt.NDArray[np.float32]:
    """Return an image as its network sees it: ``(t, c, z, y, x)`` float32, in network pixels."""
    sizes = given.image.sizes
    channels = len(given.channels.channels)
    pixels = np.empty((sizes["t"], channels, sizes["z"], *given.seen[-2:]), np.float32)
    for t, z in given.units:
        given.unit(t, z).read_seen(
            given.image, out=pixels[t] if given.ndim == 3 else pixels[t, :, z]
        )
    return pixels


def _nearest(array: npt.NDArray[Any], lengths: tuple[int, ...]) -> npt.NDArray[Any]:
    """Resample labels ``(t, z, y, x)`` to other lengths ``(z, y, x)``; none is mixed."""
    for axis, (old, new) in enumerate(zip(array.shape[1:], lengths, strict=True), start=1):
        if old != new:
            # The old pixel under the middle of each new one, as pixels are resampled.
            where = ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
            array = np.take(array, where, axis)
    return array


def _labels(
    sample: Sample, image: Image, network: Checkpoint
) -> tuple[npt.NDArray[np.int32], Mapping[int, int], str]:
    """Return labels ``(t, z, y, x)``, the class of each where objects have one, and a hint."""
    labels = _read_labels(sample.labels, image)
    kinds: Mapping[int, int] = {}
    hint = ""
    if any(output.role == "class" for output in network.outputs):
        labels = as_classes(sample, labels, _last_class(network))
    else:
        labels, hint = as_objects(sample, labels)
        # Any ids will do, and small ones pass through float32 unchanged.
        labels, numbers = fastremap.renumber(labels, preserve_zero=True)
        labels = labels.astype(np.int32)
        if answer_of(network).objects_have_classes:
            kinds = _kinds(sample, network, {int(k): int(v) for k, v in numbers.items()})
    try:
        # One pixel of each label shows if the network has a place for it.
        one_each = np.unique(labels).reshape((1,) * (network.ndim - 1) + (-1,))
        answer_of(network).targets(one_each, network)
    except MismatchError as error:
        raise DatasetError(f"{sample.labels} cannot be learned from: {error}") from error
    return labels, kinds, hint


def _last_class(network: Checkpoint) -> int:
    """Return the highest class that a network tells: one sigmoid map per class has no map for 0."""
    (output,) = (o for o in network.outputs if o.role == "class")
    return output.channels if output.activation == "sigmoid" else max(1, output.channels - 1)


def _kinds(sample: Sample, network: Checkpoint, numbers: Mapping[int, int]) -> dict[int, int]:
    """Return the class of each label under its new number."""
    kinds = {numbers[k]: v for k, v in classes_of(sample).items() if k in numbers}
    most = max(kinds.values(), default=1)
    if most >= network.classes or min(kinds.values(), default=1) < 1:
        raise DatasetError(
            f"{sample.objects} has objects of class {most}, but the network knows 1 to "
            f"{network.classes - 1}. Set head to {most + 1} to give it new last layers for them."
        )
    return kinds


def _read_labels(path: Path, image: Image) -> npt.NDArray[np.int32]:
    try:
        return read_labels(path, image)
    except DatasetError:
        raise
    except ImageError as error:
        raise _DamagedError(f"{path} cannot be learned from: {error}") from error


def _places(
    matrix: npt.NDArray[np.float64], shape: tuple[int, ...], centre: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Return where each crop pixel lies in the image: ``([z,] y, x, axis)``, in pixels."""
    # Whole numbers: a crop that is neither turned nor zoomed has the image's own pixels.
    axes = [np.arange(n) - n // 2 for n in shape]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), -1) @ matrix.T
    offsets += np.asarray(centre)
    return offsets


def _window(unit: _Unit, where: npt.NDArray[np.float64]) -> tuple[_Unit, npt.NDArray[np.float64]]:
    """Cut out the part of an image that a crop looks at, and the places in it.

    Where the crop reaches beyond the image it is mirrored, which needs the whole axis.
    """
    # The places are a straight grid, so its corners lie outermost.
    last = tuple(slice(None, None, max(n - 1, 1)) for n in where.shape[:-1])
    ends = where[last].reshape(-1, where.shape[-1])
    low, high = np.floor(ends.min(0)).astype(int) - 1, np.ceil(ends.max(0)).astype(int) + 2
    size = np.asarray(unit.labels.shape)
    outside = (low < 0) | (high > size)
    low, high = np.where(outside, 0, low), np.where(outside, size, high)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = _Unit(unit.pixels[(slice(None), *box)], unit.labels[box], unit.trusted[box])
    return part, where - low


def _inside(where: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which places lie in the image."""
    inside = np.ones(where.shape[:-1], bool)
    for axis, size in enumerate(shape):  # np.all over a last axis of two is slow
        inside &= (where[..., axis] >= -0.5) & (where[..., axis] <= size - 0.5)
    return inside


def _grid(unit: _Unit, where: npt.NDArray[np.float64]) -> torch.Tensor:
    """Return places in an image as ``grid_sample`` wants them."""
    size = np.asarray(unit.labels.shape)
    # It counts x first and from -1 to 1 over the edges of the pixels.
    place = ((where + 0.5) / size * 2 - 1)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(place, dtype=np.float32))


def _sample(
    stack: npt.NDArray[np.float32], grid: torch.Tensor, mode: str
) -> npt.NDArray[np.float32]:
    # Beyond the image: the mirror image of pixels and labels alike.
    values: Any = functional.grid_sample(
        torch.from_numpy(stack)[None],
        grid[None],
        mode=mode,
        padding_mode="reflection",
        align_corners=False,
    )
    result: npt.NDArray[np.float32] = values[0].numpy()
    return result
