"""Weight files by their bytes: tensors and plain metadata, never executed.

A container looks at the first bytes (never at the file's ending), lists the tensors
without reading them, and gives plain values for everything else. To add one, write a
file with a class that has the methods of :class:`Container` and name it in
``CONTAINERS``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from napari_segnet.containers._inert import Inert
from napari_segnet.containers._keras_rewrite import rewrite_keras
from napari_segnet.containers._layouts import arranged, restored
from napari_segnet.containers._onnx_model import OnnxGraph, OnnxModel, OnnxNode
from napari_segnet.containers._onnx_tensor import OnnxTensor, numbers_of
from napari_segnet.containers._onnx_write import rewrite_onnx
from napari_segnet.containers._open import is_one_of, open_with, understood
from napari_segnet.containers._package_files import PackageFiles, open_package_files, unpacked
from napari_segnet.containers._peel import candidates
from napari_segnet.containers._types import Container, Layer, TensorRef, Tree, Weights
from napari_segnet.containers._unpickle import Stream, unpickle
from napari_segnet.containers.damaged import DAMAGED
from napari_segnet.containers.keras_h5 import KerasH5, holds_keras
from napari_segnet.containers.keras_zip import KerasZip
from napari_segnet.containers.onnx_file import Onnx
from napari_segnet.containers.pickled_arrays import PickledArrays
from napari_segnet.containers.refused import NAMED, REFUSED
from napari_segnet.containers.safetensors_file import Safetensors
from napari_segnet.containers.torch_export import TorchExport
from napari_segnet.containers.torch_legacy import TorchLegacy
from napari_segnet.containers.torch_script import TorchScript
from napari_segnet.containers.torch_zip import TorchZip
from napari_segnet.stamp import stamp_of

__all__ = [
    "CONTAINERS",
    "Container",
    "Inert",
    "Layer",
    "OnnxGraph",
    "OnnxModel",
    "OnnxNode",
    "OnnxTensor",
    "PackageFiles",
    "TensorRef",
    "Tree",
    "Weights",
    "arranged",
    "candidates",
    "holds_keras",
    "holds_torch",
    "numbers_of",
    "open_package_files",
    "open_tree",
    "open_weights",
    "read_pickle",
    "restored",
    "rewrite_keras",
    "rewrite_onnx",
    "understood",
    "weights_file",
]

CONTAINERS: tuple[Container, ...] = (
    TorchZip(),
    TorchScript(),
    TorchExport(),
    TorchLegacy(),
    Safetensors(),
    PickledArrays(),
    KerasZip(),
    KerasH5(),
    Onnx(),
    *REFUSED,
    *DAMAGED,
    *NAMED,
)
"""In the order they are asked; the first that knows a file opens or refuses it."""


def open_tree(path: Path | str, member: str = "") -> Tree:
    """List all that a weights file holds, without reading a tensor or running anything.

    Parameters
    ----------
    path : Path or str
        The file.
    member : str
        Where it is a package in a zip: the name of the weights file inside.

    Raises
    ------
    WeightsError
        One of its kinds, with a sentence that says what the file is and what to do.
    """
    path = Path(path)
    if not member:
        return open_with(CONTAINERS, path)
    tree = open_with(CONTAINERS, weights_file(path, member))
    return replace(tree, stamp=stamp_of(path.stat()))


def open_weights(path: Path | str, member: str = "") -> tuple[Weights, ...]:
    """Return every way to see a file as a flat set of named tensors, best first.

    Raises
    ------
    WeightsError
        As :func:`open_tree`; ``UnknownNetworkError`` if there are no named tensors in it.
    """
    return candidates(open_tree(path, member), Path(path))


def holds_torch(path: Path) -> bool:
    """Tell if a file is what ``torch.save`` writes, whatever its name."""
    return is_one_of((TorchZip(), TorchLegacy()), path)


def weights_file(path: Path, member: str = "") -> Path:
    """Return the file that holds weights: of a package in a zip, its unpacked member."""
    return unpacked(path, member) if member else path


def read_pickle(file: BinaryIO, path: Path) -> Any:
    """Return the plain values and arrays of a pickle in a file; nothing in it is run.

    Parameters
    ----------
    file : BinaryIO
        At the first byte of the pickle.
    path : Path
        The file, for messages.

    Raises
    ------
    WeightsError
        If it is damaged, or would run code.
    """
    left = os.fstat(file.fileno()).st_size - file.tell()
    return unpickle(Stream(file, left), path.name)
