"""Medical images that napari opens, and labels that it saves as NIfTI: see the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError, MismatchError, OutputError
from napari_segnet.grid import Grid
from napari_segnet.image import AXES, Image
from napari_segnet.widgets.plugin.drop_reader import NO_LAYER, offer_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["medical_reader", "write_nifti"]

LayerData = tuple[Any, dict[str, Any], str]
PACKED = ".gz"


def medical_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]]:
    """Return what opens NIfTI, DICOM files and folders of them; which, the manifest says."""
    return _open


# ---- Reading ----


def _open(path: str | Sequence[str]) -> list[Any]:
    """Return a layer for each image: a folder may hold several DICOM series.

    A folder of other pictures becomes no layer: the Segment dock offers to segment them all.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(p) for p in path]
    if len(paths) == 1 and _holds_pictures(paths[0]) and offer_folder(paths[0]):
        return NO_LAYER
    return [_layer(image, labels) for image, labels in _images(paths)]


def _holds_pictures(folder: Path) -> bool:
    from napari_segnet.readers import holds_series, image_paths

    if not folder.is_dir() or holds_series(folder):
        return False
    try:
        return bool(image_paths([folder]))
    except ImageError:
        return False


def _images(paths: Sequence[Path]) -> list[tuple[Image, bool]]:
    from napari_segnet.readers import holds_series, is_label_file, open_image, open_series

    found: list[tuple[Image, bool]] = []
    for path in paths:
        if not path.is_dir():
            image = open_image(path)
            found.append((image, image.dtype.kind in "iu" and is_label_file(path)))
        elif holds_series(path):
            found += [(image, False) for image in open_series(path)]
        else:
            found.append((open_image(path), False))  # it says what the folder is not
    return found


def _layer(image: Image, labels: bool) -> LayerData:
    from napari_segnet.widgets.layers.convert import image_layer_args

    data, kwargs = image_layer_args(image)
    if not labels:
        return data, kwargs, "image"
    del kwargs["rgb"]
    return _as_labels(image), kwargs, "labels"


def _as_labels(image: Image) -> npt.NDArray[np.int32]:
    """Return labels in memory, where they can be painted."""
    import numpy as np

    numbers = np.asarray(image.data)
    limits = np.iinfo(np.int32)
    if numbers.min(initial=0) < limits.min or numbers.max(initial=0) > limits.max:
        raise ImageError(
            f"{image.name} holds labels from {numbers.min()} to {numbers.max()}, and here they go "
            f"up to {limits.max}. Number its objects anew."
        )
    return numbers.astype(np.int32)


# ---- Writing ----


def write_nifti(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as NIfTI, on the grid of the medical image that it belongs to.

    Parameters
    ----------
    path : str
        Ends in ``.nii`` or ``.nii.gz``.
    data : array-like
        The labels.
    meta : dict
        Of the layer, as napari gives it.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    MismatchError
        If the labels do not lie on that grid, or on one of several.
    """
    import numpy as np

    from napari_segnet.atomic import why, write_whole
    from napari_segnet.writers import write_nifti_labels

    labels = np.asarray(data)
    axes = _axes(meta, labels.ndim)
    grid = _grid(meta, labels.shape, axes)
    packed = path.lower().endswith(PACKED)
    write = partial(write_nifti_labels, labels=labels, axes=axes, grid=grid, packed=packed)
    try:
        write_whole(Path(path), write, make_folder=False)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {why(error)}.") from error
    return [path]


def _axes(meta: Mapping[str, Any], ndim: int) -> str:
    """Return one letter per dimension: what the labels know, what they are called, or usual."""
    from napari_segnet.widgets.layers.record import record_in

    known = record_in(meta.get("metadata") or {}).axes
    called = "".join(str(label) for label in meta.get("axis_labels") or ())
    for axes in (known, called):
        if len(axes) == ndim == len(set(axes)) and set(axes) <= set(AXES):
            return axes
    if ndim > 4:
        raise MismatchError(
            f"The labels have {ndim} dimensions, and NIfTI here takes t, z, y and x. Split them, "
            "or save them as TIFF."
        )
    return "tzyx"[4 - ndim :]


def _grid(meta: Mapping[str, Any], shape: tuple[int, ...], axes: str) -> Grid:
    """Return the grid that the labels came with, that of their image, or one of their scale."""
    from napari_segnet.widgets.layers.grids import grid_in, grid_of_origin
    from napari_segnet.widgets.layers.record import record_in
    from napari_segnet.writers import plain_grid

    metadata = meta.get("metadata") or {}
    own = grid_of_origin(record_in(metadata).origin) or grid_in(metadata)
    if own is not None:
        return own
    lengths = {a: n for a, n in zip(axes, shape, strict=True) if n > 1}
    found = {grid.affine: (name, grid) for name, grid in _shown() if _fits(grid, lengths)}
    if len(found) > 1:
        names = " and ".join(f"“{name}”" for name, _ in found.values())
        raise MismatchError(
            f"The labels fit {names}, which have different positions in the body. Hide the image "
            "that they do not belong to, and save again."
        )
    if found:
        return next(iter(found.values()))[1]
    return plain_grid(axes, shape, _sizes_um(meta, axes))


def _fits(grid: Grid, lengths: Mapping[str, int]) -> bool:
    return {a: n for a, n in grid.label_dims.items() if n > 1} == lengths


def _shown() -> list[tuple[str, Grid]]:
    """Return the grids of the images that are shown."""
    import napari
    from napari.layers import Image as ImageLayer

    from napari_segnet.widgets.layers.grids import grid_in

    viewer = napari.current_viewer()
    layers = [] if viewer is None else [x for x in viewer.layers if isinstance(x, ImageLayer)]
    grids = [(layer.name, grid_in(layer.metadata)) for layer in layers if layer.visible]
    return [(name, grid) for name, grid in grids if grid is not None]


def _sizes_um(meta: Mapping[str, Any], axes: str) -> dict[str, float]:
    """Return micrometres per pixel by axis, where the layer's unit is a length."""
    from napari_segnet.widgets.layers.axes import micrometres

    scale, units = meta.get("scale"), meta.get("units")
    if scale is None or units is None:
        return {}
    pairs = zip(axes, scale, units, strict=True)
    found = {a: float(s) * micrometres(unit) for a, s, unit in pairs if a != "t"}
    return {a: size for a, size in found.items() if size > 0}
