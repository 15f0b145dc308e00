"""``-o NAME.zarr``: where the labels of one image go as OME-Zarr."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.errors import SettingsError

if TYPE_CHECKING:
    from napari_segnet.writers import ZarrPlace

__all__ = ["image_stem_of", "zarr_place"]


def image_stem_of(output: Path) -> str:
    """Return what the files beside ``NAME.zarr`` or ``NAME.ome.zarr`` are called: ``NAME``."""
    stem = output.name[: -len(".zarr")]
    short = stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem
    return short or "labels"


def zarr_place(output: Path, images: Sequence[Path], weights: Path) -> ZarrPlace:
    """Return where the labels go.

    An OME-Zarr image that is there already gets them among its labels, by the name of the
    network; otherwise they are an OME-Zarr of their own, of the version that the image has.

    Parameters
    ----------
    output : Path
        What was asked for; ends with ``.zarr``.
    images : sequence of Path
        What is segmented.
    weights : Path
        Of the network.

    Raises
    ------
    SettingsError
        If there are several images, or the image's labels are of another kind.
    """
    from napari_segnet.readers import has_grid, layout_of
    from napari_segnet.writers import ZarrPlace

    if len(images) != 1:
        raise SettingsError(
            f"{output} is the labels of one image, and there are {len(images)}. Name a folder with "
            "-o, or segment them one by one."
        )
    if has_grid(images[0]):
        raise SettingsError(
            f"{images[0]} is a medical image, whose labels are NIfTI on its own grid. Name a "
            "folder with -o."
        )
    layout = layout_of(output)
    if layout is not None:
        if not images[0].exists() or not images[0].samefile(output):
            raise SettingsError(
                f"{output} is an OME-Zarr image, but not the one that is segmented. Name that one, "
                "or labels of another name, with -o."
            )
        name = re.sub(r"[^\w.-]+", "_", weights.stem).strip(".") or "labels"
        return ZarrPlace(
            folder=output / "labels" / name,
            image=output,
            zarr_format=layout.zarr_format,
            axes=layout.axes,
            levels=layout.levels,
            units=layout.units,
        )
    of_image = layout_of(images[0])
    if of_image is None:
        return ZarrPlace(folder=output)
    return ZarrPlace(
        folder=output,
        zarr_format=of_image.zarr_format,
        scale=of_image.scale,
        translation=of_image.translation,
        units=of_image.units,
    )
