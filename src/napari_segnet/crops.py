"""Crops of approved samples, changed at random, with what the network should answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Sample, read_labels
from napari_segnet.families import TRAINABLE
from napari_segnet.prepare import fit, map_channels, parse_normalizer
from napari_segnet.readers import open_image

__all__ = ["Augmentation", "Crop", "Crops"]

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """What one step learns from.

    Attributes
    ----------
    pixels : ndarray
        ``(c, [z,] y, x)`` float32, normalised.
    targets : ndarray
        ``(channel, [z,] y, x)`` float32.
    trusted : ndarray
        ``(1, [z,] y, x)`` float32: 1 where the labels may be learned from.
    """

    pixels: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    trusted: npt.NDArray[np.float32]


class Crops:
    """Draws crops of samples for one network."""

    def __init__(
        self,
        samples: tuple[Sample, ...],
        network: Checkpoint,
        shape: tuple[int, ...],
        augmentation: Augmentation,
    ) -> None:
        self._samples, self._network = samples, network
        self._shape, self._change = shape, augmentation
        self._family = next(f for f in TRAINABLE if f.name == network.family)
        self._kept: dict[int, _Pair] = {}
        self._kept_bytes = 0

    def draw(self, rng: np.random.Generator, sample: int | None = None) -> Crop:
        """Return one random crop, of the given sample or of a random one."""
        index = int(rng.integers(len(self._samples))) if sample is None else sample
        pair = self._pair(index).unit(rng, self._network.ndim)
        matrix = self._matrix(rng)
        wide = tuple(n + 2 * m for n, m in zip(self._shape, self._margin(), strict=True))
        grid = _grid(pair, matrix, wide, self._centre(pair, rng))
        pixels = _sample(pair.pixels, grid, "bilinear")
        labels = _sample(pair.labels[None].astype(np.float32), grid, "nearest")[0]
        trusted = _sample(pair.trusted[None].astype(np.float32), grid, "nearest")
        targets = self._family.targets(labels.round().astype(np.int32), self._network)
        inner = (slice(None), *(slice(m, -m or None) for m in self._margin()))
        return Crop(
            pixels=self._intensity(pixels[inner], rng),
            targets=np.ascontiguousarray(targets[inner]),
            trusted=np.ascontiguousarray(trusted[inner]),
        )

    def _margin(self) -> tuple[int, ...]:
        return (0, MARGIN_PX, MARGIN_PX)[-len(self._shape) :]

    def _pair(self, index: int) -> _Pair:
        if index in self._kept:
            return self._kept[index]
        pair = _read(self._samples[index], self._network)
        if self._kept_bytes + pair.nbytes <= KEEP_BYTES:
            self._kept[index] = pair
            self._kept_bytes += pair.nbytes
        return pair

    def _centre(self, pair: _Unit, rng: np.random.Generator) -> tuple[float, ...]:
        if rng.random() < self._change.on_objects:
            inside = np.flatnonzero(pair.labels)
            if inside.size:
                where = np.unravel_index(inside[rng.integers(inside.size)], pair.labels.shape)
                return tuple(float(i) for i in where)
        return tuple(float(rng.random() * (n - 1)) for n in pair.labels.shape)

    def _matrix(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Image pixels per crop pixel ``([z,] y, x)``: zoom, turn and mirror."""
        change, ndim = self._change, len(self._shape)
        low, high = np.log(change.scale_range)
        angle = rng.random() * 2 * np.pi if change.rotate else 0.0
        plane = np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        ) / np.exp(rng.uniform(low, high))
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
            sigma = float(rng.uniform(0.3, change.blur_px))
            x = vision.gaussian_blur(x, kernel_size=[7, 7], sigma=[sigma, sigma])
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


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """What crops are taken of: a plane or a volume."""

    pixels: npt.NDArray[np.float32]  # (c, [z,] y, x)
    labels: npt.NDArray[np.int32]  # ([z,] y, x)
    trusted: npt.NDArray[np.uint8]  # ([z,] y, x)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A sample in memory, normalised."""

    pixels: npt.NDArray[np.float32]  # (t, c, z, y, x)
    labels: npt.NDArray[np.int32]  # (t, z, y, x)
    trusted: npt.NDArray[np.uint8]  # (t, z, y, x)

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + self.labels.nbytes + self.trusted.nbytes

    def unit(self, rng: np.random.Generator, ndim: int) -> _Unit:
        t = int(rng.integers(len(self.pixels)))
        if ndim == 3:
            return _Unit(self.pixels[t], self.labels[t], self.trusted[t])
        z = int(rng.integers(self.pixels.shape[2]))
        return _Unit(self.pixels[t][:, z], self.labels[t, z], self.trusted[t, z])


def _read(sample: Sample, network: Checkpoint) -> _Pair:
    image = open_image(sample.image)
    labels = read_labels(sample.labels, image)
    trusted = np.ones(labels.shape, np.uint8)
    if sample.trusted is not None:
        trusted = (read_labels(sample.trusted, image) > 0).astype(np.uint8)
    channels = map_channels(image, network.channels, "auto")
    how, over = _recipe(network)
    normalization = fit(image, channels, parse_normalizer(how), over)
    sizes = image.sizes
    pixels = np.empty(
        (sizes["t"], network.channels, sizes["z"], sizes["y"], sizes["x"]), np.float32
    )
    for t in range(sizes["t"]):
        for z in range(sizes["z"]):
            block = channels.read(image, t, slice(z, z + 1))
            for c, affine in enumerate(normalization.affines(t, z)):
                pixels[t, c, z] = affine.apply(block[c, 0])
    return _Pair(pixels, labels, trusted)


def _recipe(network: Checkpoint) -> tuple[str, str]:
    for step in network.prepare:
        if step.name == "normalize":
            return str(step.options["how"]), str(step.options.get("over", "volume"))
    return "none", "volume"


def _grid(
    pair: _Unit,
    matrix: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    centre: tuple[float, ...],
) -> torch.Tensor:
    """Return where each crop pixel lies in the image, as ``grid_sample`` wants it."""
    axes = [np.arange(n) - (n - 1) / 2 for n in shape]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), -1) @ matrix.T
    where = offsets + np.asarray(centre)
    size = np.asarray(pair.labels.shape)
    # grid_sample counts x first and from -1 to 1 over the edges of the pixels.
    unit = ((where + 0.5) / size * 2 - 1)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(unit, dtype=np.float32))


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
