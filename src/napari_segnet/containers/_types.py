"""The types that every container and every family speaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_segnet.stamp import Stamp

if TYPE_CHECKING:
    import torch

__all__ = ["ITEMSIZE", "Container", "Layer", "TensorRef", "Tree", "Weights"]

# Bytes of one element, by torch's name.
ITEMSIZE = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8", "quint4x2", "quint2x4"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    **dict.fromkeys(("float8_e8m0fnu",), 1),
    "complex128": 16,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorRef:
    """A tensor in a file, not yet read.

    Attributes
    ----------
    shape : tuple of int
        Its shape.
    dtype : str
        torch's name without the module: ``"float32"``, ``"bfloat16"``, ``"int64"``.
    load : callable
        Reads it into memory of the CPU.
    readable : bool
        False if it is only listed, and ``load`` says why.
    """

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], torch.Tensor]
    readable: bool = True

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory, one for each number of an unknown kind."""
        return math.prod(self.shape) * ITEMSIZE.get(self.dtype, 1) if self.readable else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """All that a file holds.

    Attributes
    ----------
    container : str
        The container's name.
    root : Any
        Nested dicts, lists and plain values with :class:`TensorRef` leaves; an object of
        any other class is an inert stand-in that knows its class name.
    metadata : mapping
        What the container itself records beside the tree (safetensors header, ...).
    stamp : Stamp or None
        Of the file when it was listed; its tensors refuse to load from any other.
    notes : tuple of str
        What a user should know of how the file was read, one sentence each.
    """

    container: str
    root: Any
    metadata: Mapping[str, Any]
    stamp: Stamp | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer that a whole pickled module names; its class is never imported.

    Attributes
    ----------
    kind : str
        Dotted name of its class: ``"torch.nn.modules.conv.Conv2d"``.
    values : mapping
        Its plain attributes: ``{"eps": 1e-05, ...}``.
    inner : bool
        True if it holds others.
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    inner: bool = False

    @property
    def torch(self) -> str:
        """The name of a class of ``torch.nn``, such as ``"Conv2d"``; empty for any other."""
        return self.kind.rpartition(".")[2] if self.kind.startswith("torch.nn.modules.") else ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """One way to see a file as a flat set of named tensors.

    Attributes
    ----------
    path : Path
        The file.
    container : str
        The container's name.
    wrapper : tuple of str
        Keys from the file's top down to the tensors.
    prefix : str
        What was taken off every key.
    tensors : mapping of str to TensorRef
        The tensors by key, in the file's order.
    metadata : mapping
        Plain values beside the tensors (epoch, hyper-parameters, ``mask_values``, ...).
    stamp, notes
        As in :class:`Tree`.
    layers : mapping of str to Layer
        Of a whole pickled module: every layer by its place, such as ``"inc.double_conv.1"``.
        Empty for a state dict.
    """

    path: Path
    container: str
    wrapper: tuple[str, ...]
    prefix: str
    tensors: Mapping[str, TensorRef]
    metadata: Mapping[str, Any]
    stamp: Stamp | None = None
    notes: tuple[str, ...] = ()
    layers: Mapping[str, Layer] = field(default_factory=dict)


class Container(Protocol):
    """A kind of weights file."""

    name: str

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell from the first 4096 bytes (and, for zips, the listing) if this is ours."""

    def open(self, path: Path) -> Tree:
        """List what the file holds; raises a ``WeightsError`` that says what to do."""
