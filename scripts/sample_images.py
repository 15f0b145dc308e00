"""Write sample images of fluorescent nuclei, and the true labels, as TIFF files.

    python scripts/sample_images.py IMAGES TRUTH

They are computed, not photographed: ellipses of uneven brightness, some touching, blurred by
a point spread function, on an uneven background with the noise of a camera. Good for trying
the commands and for seeing that all is installed; not for judging a network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

PIXEL_SIZE_UM = 0.5
RADIUS_PX = (9.0, 16.0)  # 4.5 to 8 um: nuclei of cultured cells
BLUR_PX = 1.2  # about a 0.5 NA objective at this pixel size


def nuclei(rng: np.random.Generator, shape: tuple[int, int], count: int) -> npt.NDArray[np.int32]:
    """Return labels ``(y, x)``: ellipses that may touch but do not cover each other's centre."""
    labels = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for _ in range(20 * count):
        if labels.max() == count:
            break
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        a, b = rng.uniform(*RADIUS_PX, 2)
        turn = rng.uniform(0, np.pi)
        u = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
        v = (x - cx) * np.cos(turn) - (y - cy) * np.sin(turn)
        inside = (u / a) ** 2 + (v / b) ** 2 <= 1
        if np.mean(labels[inside] > 0) <= 0.1:
            labels[inside & (labels == 0)] = labels.max() + 1
    return labels


def photograph(rng: np.random.Generator, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.uint16]:
    """Return what a 16-bit camera would see of ``labels`` ``(y, x)``, in grey levels."""
    brightness = np.concatenate([[0.0], rng.uniform(600, 2500, labels.max())])
    texture = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 2.5)
    light = brightness[labels] * (1 + 1.2 * texture)
    haze = ndimage.gaussian_filter(light, 25.0)
    light = ndimage.gaussian_filter(light, BLUR_PX) + 0.3 * haze + 150
    seen = rng.poisson(np.clip(light, 0, None)) + rng.normal(100, 12, labels.shape)
    return np.clip(seen, 0, 65535).astype(np.uint16)


def write(path: Path, pixels: npt.NDArray[Any], axes: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": axes.upper(), "unit": "um", "spacing": 2.0 if "z" in axes else None}
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / PIXEL_SIZE_UM, 1 / PIXEL_SIZE_UM),
        metadata={key: value for key, value in metadata.items() if value is not None},
    )


def main(images: Path, truth: Path) -> None:
    rng = np.random.default_rng(2018)
    for name, shape, count in [("sparse", (384, 512), 25), ("dense", (512, 512), 170)]:
        labels = nuclei(rng, shape, count)
        write(images / f"{name}.tif", photograph(rng, labels), "yx")
        write(truth / f"{name}.tif", labels.astype(np.uint16), "yx")
    planes = [nuclei(rng, (256, 256), 20) for _ in range(3)]
    first = np.cumsum([0, *(plane.max() for plane in planes[:-1])])
    stack = np.stack([np.where(p > 0, p + n, 0) for p, n in zip(planes, first, strict=True)])
    write(images / "stack.tif", np.stack([photograph(rng, plane) for plane in planes]), "zyx")
    write(truth / "stack.tif", stack.astype(np.uint16), "zyx")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/sample_images.py IMAGES TRUTH")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
