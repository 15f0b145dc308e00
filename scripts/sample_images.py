"""Write sample images of fluorescent nuclei, and the true labels, as TIFF files.

    python scripts/sample_images.py IMAGES TRUTH

They are computed, not photographed: the nuclei of `napari_segnet.samples`. Good for trying
the commands and for seeing that all is installed; not for judging a network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_segnet.samples import PIXEL_SIZE_UM, VOXEL_SIZE_UM, draw_nuclei, photograph


def write(path: Path, pixels: npt.NDArray[Any], axes: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "axes": axes.upper(),
        "unit": "um",
        "spacing": VOXEL_SIZE_UM["z"] if "z" in axes else None,
    }
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / PIXEL_SIZE_UM["x"], 1 / PIXEL_SIZE_UM["y"]),
        metadata={key: value for key, value in metadata.items() if value is not None},
    )


def main(images: Path, truth: Path) -> None:
    rng = np.random.default_rng(2018)
    for name, shape, count in [("sparse", (384, 512), 25), ("dense", (512, 512), 170)]:
        labels = draw_nuclei(rng, shape, count)
        write(images / f"{name}.tif", photograph(rng, labels), "yx")
        write(truth / f"{name}.tif", labels.astype(np.uint16), "yx")
    planes = [draw_nuclei(rng, (256, 256), 20) for _ in range(3)]
    first = np.cumsum([0, *(plane.max() for plane in planes[:-1])])
    stack = np.stack([np.where(p > 0, p + n, 0) for p, n in zip(planes, first, strict=True)])
    write(images / "stack.tif", np.stack([photograph(rng, plane) for plane in planes]), "zyx")
    write(truth / "stack.tif", stack.astype(np.uint16), "zyx")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/sample_images.py IMAGES TRUTH")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
