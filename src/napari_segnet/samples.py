"""Sample images that are computed here, and the true labels of each.

Nuclei as a fluorescence microscope shows them: in colonies, some touching, some dividing,
with chromatin and nucleoli, a little out of focus, in uneven light, with the noise of a
camera. The same call gives the same pixels on every machine of one numpy version. Good for
a first try and for tests; no image of this kind says how a network does on real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.image import Image

__all__ = [
    "SAMPLES",
    "TRUTHS",
    "draw_nuclei",
    "nuclei_2d",
    "nuclei_rgb",
    "nuclei_stack",
    "photograph",
    "true_nuclei_2d",
    "true_nuclei_rgb",
    "true_nuclei_stack",
]

Labels = npt.NDArray[np.int32]
Light = npt.NDArray[np.float64]

SEED = 2018
PIXEL_SIZE_UM = {"y": 0.5, "x": 0.5}
VOXEL_SIZE_UM = {"z": 2.0, "y": 0.5, "x": 0.5}
RADIUS_PX = (8.0, 16.0)
"""Half the axes of a nucleus: 4 to 8 um, as in cultured cells."""
BUMPS = (0.05, 0.035, 0.02)
"""How far an outline swings about the ellipse, with 2, 3 and 4 waves around it."""
COVER = 0.05
"""A nucleus is put where less than this part of it is taken; the rest of it is what shows."""
BLUR_PX = 1.1
"""About a 0.5 NA objective at this pixel size."""
SHARP_PX = (0.6, 1.1, 1.1)
SPREAD_PX = (1.3, 3.0, 3.0)
"""The same objective in depth, planes 2 um apart: away from its plane, light is also wider."""


def nuclei_2d() -> Image:
    """Return about 110 nuclei: ``(y, x)`` uint16 in grey levels, 0.5 um per pixel."""
    seen = photograph(_random(2), true_nuclei_2d())
    return Image(data=seen, axes="yx", pixel_size_um=PIXEL_SIZE_UM, name="nuclei")


def true_nuclei_2d() -> Labels:
    """Return the true labels ``(y, x)`` of :func:`nuclei_2d`."""
    return draw_nuclei(_random(1), (512, 512), 110)


def nuclei_stack() -> Image:
    """Return a small stack of nuclei: ``(z, y, x)`` uint16, voxels of 2 by 0.5 by 0.5 um."""
    seen = photograph(_random(4), true_nuclei_stack())
    return Image(data=seen, axes="zyx", pixel_size_um=VOXEL_SIZE_UM, name="nuclei stack")


def true_nuclei_stack() -> Labels:
    """Return the true labels ``(z, y, x)`` of :func:`nuclei_stack`."""
    return draw_nuclei(_random(3), (14, 192, 192), 34)


def nuclei_rgb() -> Image:
    """Return stained cells as a picture in colour: ``(y, x, 3)`` uint8, 0.5 um per pixel.

    Blue: nuclei; green: the cell's body; red: grains around the nucleus.
    """
    labels, rng = true_nuclei_rgb(), _random(6)
    nuclei = _shown(photograph(rng, labels, focus=1.0)) ** 0.7
    body = _bodies(rng, labels)
    colours = np.array([[0.32, 0.52, 1.0], [0.0, 0.34, 0.08], [0.75, 0.04, 0.16]])
    parts = np.stack([nuclei, body, _grains(rng, labels) * np.sqrt(body)])
    picture = np.tensordot(parts, colours, axes=(0, 0)) + rng.normal(0, 0.008, (*body.shape, 3))
    pixels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return Image(
        data=pixels,
        axes="yxc",
        pixel_size_um=PIXEL_SIZE_UM,
        channel_names=("red", "green", "blue"),
        rgb=True,
        name="nuclei in colour",
    )


def true_nuclei_rgb() -> Labels:
    """Return the true labels ``(y, x)`` of :func:`nuclei_rgb`."""
    return draw_nuclei(_random(5), (384, 512), 48)


SAMPLES: Mapping[str, Callable[[], Image]] = {
    "nuclei": nuclei_2d,
    "nuclei-stack": nuclei_stack,
    "nuclei-rgb": nuclei_rgb,
}
"""Every sample by its key."""

TRUTHS: Mapping[str, Callable[[], Labels]] = {
    "nuclei": true_nuclei_2d,
    "nuclei-stack": true_nuclei_stack,
    "nuclei-rgb": true_nuclei_rgb,
}
"""The true labels of every sample by its key."""


def draw_nuclei(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Labels:
    """Return nuclei that may touch, in colonies.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    shape : tuple of int
        ``([z,] y, x)`` in pixels; planes are 4 pixels apart.
    count : int
        How many; fewer where there is no room for them.

    Returns
    -------
    ndarray
        int32 of that shape, ids 1..n; each nucleus is in one piece.
    """
    labels = np.zeros(shape, np.int32)
    crowd = _crowd(rng, shape[-2:])
    drawn = 0
    for _ in range(60 * count):
        if drawn == count:
            break
        centre = rng.uniform(0, shape)
        if rng.uniform() > crowd[int(centre[-2]), int(centre[-1])]:
            continue
        box, inside = _blob(rng, centre, shape)
        free = labels[box] == 0
        if inside.sum() < 40 or np.mean(~free[inside]) > COVER:
            continue
        drawn += 1
        labels[box][_one_piece(inside & free)] = drawn
    return labels


def photograph(
    rng: np.random.Generator, labels: Labels, focus: float = 0.7
) -> npt.NDArray[np.uint16]:
    """Return what a 16-bit camera sees of nuclei.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    labels : ndarray
        ``([z,] y, x)``, one id per nucleus.
    focus : float, optional
        Share of the nuclei of a single plane that are in focus; a stack has all of them
        in focus somewhere.

    Returns
    -------
    ndarray
        uint16 of that shape, in grey levels.
    """
    from scipy import ndimage

    light = _stained(rng, labels)
    if labels.ndim == 3:
        seen = 0.6 * ndimage.gaussian_filter(light, SHARP_PX)
        seen += 0.4 * ndimage.gaussian_filter(light, SPREAD_PX)
    else:
        ids = int(labels.max()) + 1
        sharp = rng.uniform(size=ids) < focus
        seen = ndimage.gaussian_filter(np.where(sharp[labels], light, 0), BLUR_PX)
        seen += ndimage.gaussian_filter(np.where(sharp[labels], 0, light), 2 * BLUR_PX)
    haze = (2.0, 22.0, 22.0)[-labels.ndim :]
    seen += 0.25 * ndimage.gaussian_filter(light, haze) + 110
    seen *= _lamp(labels.shape[-2:])
    camera = rng.poisson(np.clip(seen, 0, None)) + rng.normal(100, 9, labels.shape)
    pixels: npt.NDArray[np.uint16] = np.clip(camera, 0, 65535).astype(np.uint16)
    return pixels


# ---- Drawing nuclei ----


def _random(stream: int) -> np.random.Generator:
    """Return chance of its own for each step, so that one step does not shift another."""
    return np.random.default_rng([SEED, stream])


def _crowd(rng: np.random.Generator, shape: tuple[int, ...]) -> Light:
    """Return how willingly cells settle ``(y, x)``, 0 to 1: in colonies, with gaps."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 45, mode="wrap")
    noise /= noise.std()
    settled: Light = np.clip(0.55 + 0.45 * noise, 0.06, 1)
    return settled


def _blob(
    rng: np.random.Generator, centre: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], npt.NDArray[np.bool_]]:
    """Return the box of one nucleus and the pixels inside its outline."""
    across = rng.uniform(RADIUS_PX[0], RADIUS_PX[1])
    along = np.clip(across * rng.uniform(1.0, 1.55), *RADIUS_PX)
    reach = int(1.2 * along) + 2
    far = [int(reach / 4) + 2, reach, reach][-len(shape) :]
    box = tuple(
        slice(max(0, int(c) - r), min(n, int(c) + r + 1))
        for c, r, n in zip(centre, far, shape, strict=True)
    )
    grid = np.meshgrid(*(np.arange(b.start, b.stop) for b in box), indexing="ij", sparse=True)
    *up, y, x = (g - c for g, c in zip(grid, centre, strict=True))
    turn = rng.uniform(0, np.pi)
    u = y * np.cos(turn) + x * np.sin(turn)
    v = x * np.cos(turn) - y * np.sin(turn)
    angle = np.arctan2(v / across, u / along)
    outline = np.ones_like(angle)
    for waves, size in enumerate(BUMPS, 2):
        outline += rng.normal(0, size) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    square = ((u / along) ** 2 + (v / across) ** 2) / outline**2
    for z in up:
        # Planes are 4 pixels apart, and a nucleus is a little flatter than it is wide.
        square = square + (4 * z / (0.8 * across)) ** 2
    inside = square <= 1
    if up:
        # A plane that only grazes a nucleus shows nothing of it.
        area = inside.sum((1, 2))
        inside &= (area >= 0.4 * area.max())[:, None, None]
    return box, inside


def _one_piece(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the largest piece: what is left of a nucleus that lies below another."""
    from scipy import ndimage

    pieces, count = ndimage.label(inside)
    if count < 2:
        return inside
    sizes = np.bincount(pieces.ravel())[1:]
    largest: npt.NDArray[np.bool_] = pieces == 1 + int(sizes.argmax())
    return largest


# ---- Staining and seeing them ----


def _stained(rng: np.random.Generator, labels: Labels) -> Light:
    """Return the light of each pixel: thick in the middle, with chromatin and nucleoli."""
    import edt

    ids = int(labels.max()) + 1
    apart = (4.0, 1.0, 1.0)[-labels.ndim :]
    depth = edt.edt(labels, anisotropy=apart, black_border=False).astype(np.float64)
    middle = np.zeros(ids)
    np.maximum.at(middle, labels.ravel(), depth.ravel())
    inward = depth / np.maximum(middle, 1)[labels]
    # A dome seen from above: steep at the rim, flat in the middle.
    dome = np.sqrt(np.clip(1 - (1 - inward) ** 2, 0, 1))
    brightness = rng.lognormal(np.log(900), 0.38, ids)
    condensed = rng.uniform(size=ids) < 0.04
    brightness[condensed] *= 2.2
    brightness[0] = 0
    texture = 1 + 0.13 * _noise(rng, labels.shape, 1.2) + 0.12 * _noise(rng, labels.shape, 3.0)
    texture *= 1 - 0.45 * _nucleoli(rng, labels, inward) * ~condensed[labels]
    light: Light = brightness[labels] * (0.45 + 0.55 * dome) * np.clip(texture, 0.3, 2)
    return light


def _noise(rng: np.random.Generator, shape: tuple[int, ...], grain_px: float) -> Light:
    """Return smooth noise of standard deviation 1."""
    from scipy import ndimage

    grain = (grain_px / 4, grain_px, grain_px)[-len(shape) :]
    rough = ndimage.gaussian_filter(rng.standard_normal(shape), grain)
    noise: Light = rough / rough.std()
    return noise


def _nucleoli(rng: np.random.Generator, labels: Labels, inward: Light) -> Light:
    """Return 1 at the middle of a nucleolus, where chromatin leaves a dark hole, falling to 0."""
    from scipy import ndimage

    deep = np.flatnonzero(inward > 0.45)
    spots = np.zeros(labels.shape)
    if deep.size:
        # One per 140 pixels of a plane: two or three in a nucleus.
        chosen = rng.choice(deep, max(1, deep.size // 140), replace=False)
        spots.ravel()[chosen] = 1
    size = (0.4, 1.9, 1.9)[-labels.ndim :]
    holes = ndimage.gaussian_filter(spots, size)
    one = np.prod([1 / (np.sqrt(2 * np.pi) * s) for s in size])
    dark: Light = np.clip(holes / one, 0, 1)
    return dark


def _lamp(shape: tuple[int, ...]) -> Light:
    """Return the light of a lamp ``(y, x)`` that is a little off the middle, at most 1."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    return np.exp(-0.16 * ((y[:, None] - 0.15) ** 2 + (x[None, :] + 0.1) ** 2))


def _shown(seen: npt.NDArray[Any]) -> Light:
    """Return grey levels as a screen shows them, 0 to 1."""
    low, high = np.percentile(seen, (20, 99))
    shown: Light = np.clip((seen - low) / (high - low), 0, 1)
    return shown


def _bodies(rng: np.random.Generator, labels: Labels) -> Light:
    """Return how thick cells are ``(y, x)``, 0 to 1: most at their nuclei, ragged outside."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(labels == 0)
    edge = away + 6 * _noise(rng, labels.shape, 10.0) + 1.5 * _noise(rng, labels.shape, 2.5)
    flat = 1 / (1 + np.exp((edge - 22) / 1.6))
    cloth = 1 + 0.12 * _noise(rng, labels.shape, 1.2) + 0.15 * _noise(rng, labels.shape, 4.0)
    # Over a nucleus there is less of the cell's body to see.
    body = flat * cloth * (0.25 + 0.45 * np.exp(-away / 14)) * np.where(labels, 0.45, 1)
    smooth: Light = np.clip(ndimage.gaussian_filter(body, 1.0), 0, 1)
    return smooth


def _grains(rng: np.random.Generator, labels: Labels) -> Light:
    """Return grains ``(y, x)``, 0 to 1, crowded around nuclei and not in them."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(labels == 0)
    near = np.exp(-away / 9) * (away > 1)
    spots = np.clip(0.45 * _noise(rng, labels.shape, 1.2) - 0.1, 0, 1)
    grains: Light = np.clip(1.3 * ndimage.gaussian_filter(near, 1.0) * spots, 0, 1)
    return grains
