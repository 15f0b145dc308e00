"""Put other numbers into a copy of a file of Keras; all else of it stays as it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from shutil import copyfile, copyfileobj
from typing import TYPE_CHECKING, Any

from napari_segnet.containers._types import Tree
from napari_segnet.containers.keras_h5 import NOT_WEIGHTS, WEIGHTS
from napari_segnet.containers.keras_zip import CONFIG
from napari_segnet.containers.keras_zip import WEIGHTS as ZIPPED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["rewrite_keras"]


def rewrite_keras(
    old: Path,
    new: Path,
    tree: Tree,
    numbers: Mapping[str, npt.NDArray[np.floating[Any]]],
    config: str | None = None,
) -> tuple[str, ...]:
    """Write a copy of a file of Keras with other numbers, without the state of its optimizer.

    Parameters
    ----------
    old : Path
        The file, which stays as it is.
    new : Path
        The copy.
    tree : Tree
        What ``open_tree`` found in the old file: every key of ``numbers`` is one of its root,
        so its numbers lie in the file itself.
    numbers : mapping of str to ndarray
        Key -> what stands there now, in axes of the file; it is stored in the file's dtype.
    config : str, optional
        Another description of the network, as JSON.

    Returns
    -------
    tuple of str
        Groups that are left out: what an optimizer counted belongs to the old numbers.

    Raises
    ------
    OSError, RuntimeError, ValueError, KeyError, BadZipFile
        If it cannot be read or written.
    """
    if tree.container != "keras-zip":
        copyfile(old, new)
        return _edit(new, tree, numbers, config)
    with zipfile.ZipFile(old) as source:
        inside = io.BytesIO(source.read(ZIPPED))
    left_out = _edit(inside, tree, numbers, None)
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(new, "w") as target:
        for info in source.infolist():
            if info.filename == ZIPPED:
                target.writestr(_entry(info), inside.getbuffer())
            elif info.filename == CONFIG and config is not None:
                target.writestr(_entry(info), config)
            elif info.is_dir():
                target.writestr(_entry(info), b"")
            else:
                with source.open(info) as part, target.open(_entry(info), "w") as copied:
                    copyfileobj(part, copied)
    return left_out


def _entry(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return an entry of the same name, time and packing, whose size is not known yet."""
    fresh = zipfile.ZipInfo(info.filename, info.date_time)
    fresh.compress_type, fresh.external_attr = info.compress_type, info.external_attr
    fresh.file_size = info.file_size  # as an estimate: it decides if sizes take 64 bits
    return fresh


def _optimizer(file: Any, tree: Tree) -> tuple[str, ...]:
    layers: Collection[str] = {key.partition("/")[0] for key in tree.metadata["layers"]}
    return tuple(name for name in NOT_WEIGHTS if name in file and name not in layers)


def _edit(
    where: Any,
    tree: Tree,
    numbers: Mapping[str, npt.NDArray[np.floating[Any]]],
    config: str | None,
) -> tuple[str, ...]:
    import h5py

    with h5py.File(where, "r+") as file:
        left_out = _optimizer(file, tree)
        for name in left_out:
            del file[name]
        if config is not None:
            file.attrs["model_config"] = config
        group = file[WEIGHTS] if WEIGHTS in file else file
        for key, values in numbers.items():
            place: Any = key.encode("utf-8", "surrogateescape")
            held = group[place]
            if held.shape == values.shape:
                held[...] = values
            else:  # of a new last layer
                kind = held.dtype
                del group[place]
                group.create_dataset(place, data=values.astype(kind))
    return left_out
