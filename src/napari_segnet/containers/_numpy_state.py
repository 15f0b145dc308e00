"""Arrays of numpy in a pickle: made of plain numbers and text, as numpy itself would make them.

What numpy refuses is refused, and so is what it would read in another way.
https://github.com/numpy/numpy/blob/v2.2.0/numpy/_core/src/multiarray/descriptor.c
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_segnet.containers._inert import Inert, Named

__all__ = ["ARRAYS", "HalfBuilt", "OldText", "old_text", "require_kind"]

# kind and bytes of a number; never "O", whose bytes are pickles, nor dates, whose unit lies apart
_NUMPY_DTYPE = re.compile(r"[<>|=]?([biufcSU]\d{0,6}|[?])")
_DTYPE_VERSION = 4
"""The newest way in which numpy pickles a kind of numbers."""
_MOST_UNITS = 2**31 - 1
_PIECE = 2
"""A kind and a shape."""
_DTYPE_LENGTHS = (7, 8, 9)
"""Of the state of a kind: without flags, with them, with metadata as well."""
_FLAGS_VERSION = 3
"""From here on it says flags; before, it said whether there are objects."""
_ARRAY_VERSION = 1
"""The only one in which it pickles an array with five values."""
_KIND = re.compile(r"[<>|=]?[A-Za-z?]\d{0,10}(?:\[[^\[\]]{0,16}\])?|[a-z]{3,10}\d{0,3}")
"""How numpy calls a data type: never a list of them, which numpy takes apart itself."""
_TEXT_FLAGS, _OBJECT_FLAGS = 8, 63
"""Of a kind of text (``NPY_NEEDS_INIT``) and of objects; numbers have none."""
_DATES = ("M8", "m8")
_UNITS = frozenset(
    ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic")
)
"""Of dates and times (numpy.datetime64)."""
_MADE, _MADE_ONE = "numpy.ndarray", "numpy.generic"
"""Stand-ins for an array and for one number of it, which may be a key."""
_KNOWN = sys.stdlib_module_names | {"torch", "__builtin__", "copy_reg"}
"""Modules in which no kind of array is."""
_KINDS_OF_ARRAY = ("ndarray", "matrix", "memmap", "recarray", "chararray", "MaskedArray")
_OBJECTS = ("O", "O4", "O8")
_LISTED = 2
"""Flag of a kind whose pickle is a list of objects, also of a table that has some."""
_EMPTY = {"U0": "", "S0": b""}
"""Kinds of a text without letters: a single one has no bytes."""


class OldText(str):
    """A text of Python 2, which did not tell texts from bytes.

    Attributes
    ----------
    raw : bytes
        As it stands in the pickle.
    """

    raw: bytes


def old_text(data: str) -> OldText:
    """Return a text of Python 2, which does not say its encoding, from a letter for each byte."""
    raw = data.encode("latin-1")
    try:
        text = OldText(raw.decode("utf-8"))
    except UnicodeError:
        text = OldText(data)
    text.raw = raw
    return text


class HalfBuilt:
    """A numpy dtype or array whose second half comes with BUILD."""

    def __init__(self, spec: str | None = None, size: int = 0) -> None:
        self.spec = spec
        self.order = "="
        self.size = size
        """Bytes of a number, a date or a row of a table."""
        self.listed = False
        """Whether it is a table with objects, whose rows are no bytes."""
        self.memo_keys: list[int] = []

    def __repr__(self) -> str:
        return f"<inert numpy.{'ndarray' if self.spec is None else 'dtype'}>"

    def build(self, state: Any) -> Any:
        """Return what stands for it from now on."""
        if not isinstance(state, tuple):
            raise ValueError("an array has no state")
        if self.spec is not None:
            self._build_dtype(state)
            return self
        if len(state) != 5:
            raise ValueError("an array has no shape, kind and numbers")
        version, shape, dtype, fortran, raw = state
        if version != _ARRAY_VERSION or not isinstance(fortran, int):
            raise ValueError("the state of an array is not understood")
        if not isinstance(shape, tuple):
            raise ValueError("the shape of an array is not a tuple")
        return _array(raw, dtype, shape, "F" if fortran else "C", written=True)

    def _build_dtype(self, state: tuple[Any, ...]) -> None:
        require_kind(state)
        self.order = state[1]
        if self.spec in _OBJECTS:
            if len(state) < 8 or state[2:8] != (None, None, None, -1, -1, _OBJECT_FLAGS):
                raise ValueError("the data type of an array is not understood")
            return
        try:
            kind = self.dtype()
        except ValueError:
            _require_fields(state)
            if self.spec in _DATES:
                if len(state) > 7 and state[7] != 0:
                    raise ValueError("the data type of an array has unknown flags") from None
                _require_unit(state[8] if len(state) > 8 else None)
            elif "V" in (self.spec or ""):
                self.size = _whole(state[5])
                flags = state[7] if len(state) > 7 else 0  # below 0 where numpy's are a signed byte
                self.listed = type(flags) is int and bool(flags & _LISTED)
            return  # of tables, dates: it stays a name
        text = kind.kind in "SU"
        size = state[5:7] if text else (-1, -1)
        letter = 4 if kind.kind == "U" else 1
        if any(part is not None for part in state[2:5]) or state[5:7] != size:
            raise ValueError("the data type of an array is not understood")
        if text and size != (kind.itemsize, letter):
            raise ValueError("the data type of an array has two sizes")
        known = (0, _TEXT_FLAGS) if text and state[0] >= _FLAGS_VERSION else (0,)
        if len(state) > 7 and state[7] not in known:
            raise ValueError("the data type of an array has unknown flags")

    def dtype(self) -> np.dtype[Any]:
        """Return the numpy dtype; raises ``ValueError`` for any but plain numbers and text."""
        if self.spec is None or _NUMPY_DTYPE.fullmatch(self.spec) is None:
            raise ValueError(f"arrays of data type {self.spec} are not read")
        try:
            dtype = np.dtype(self.spec)
        except TypeError as error:
            raise ValueError(f"arrays of data type {self.spec} are not read") from error
        if self.order == ">":
            return dtype.newbyteorder(">")
        return dtype.newbyteorder("<") if self.order == "<" else dtype


def require_kind(state: Any) -> None:
    """Refuse the state of a kind of numbers that numpy would not take.

    Parameters
    ----------
    state : Any
        Version, byte order, three values of tables, two sizes, perhaps flags and metadata.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(state, tuple) or len(state) not in _DTYPE_LENGTHS:
        raise ValueError("the data type of an array is not understood")
    if type(state[0]) is not int or not 0 <= state[0] <= _DTYPE_VERSION:
        raise ValueError("the data type of an array is not understood")
    # A path is a text, too.
    if type(state[1]) not in (str, OldText) or state[1] not in ("<", ">", "=", "|"):
        raise ValueError("the data type of an array is not understood")


def _dtype(spec: Any, *rest: Any) -> Any:
    """Return what ``numpy.dtype`` would make of a text or of a class of numbers."""
    if len(rest) > 2:
        raise ValueError("the data type of an array is not a text")
    if isinstance(spec, Named | Inert):
        if isinstance(spec, Inert) or spec.short not in np.sctypeDict:
            return Inert("numpy.dtype", (spec, *rest))
        spec = np.dtype(spec.short).str
    if not isinstance(spec, str) or _KIND.fullmatch(spec) is None:
        raise ValueError("the data type of an array is not a text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that numpy will take away
            known = np.dtype(spec)
    except (TypeError, ValueError) as error:
        raise ValueError(f"no array has the data type {spec}") from error
    if known.hasobject:
        return HalfBuilt("O", known.itemsize)
    if known.kind in "biufcV":
        return HalfBuilt(known.str, known.itemsize)  # "n" is a name of "<i8"
    return HalfBuilt(spec, known.itemsize)


def _reconstruct(kind: Any = None, shape: Any = None, letter: Any = None, *rest: Any) -> HalfBuilt:
    """Begin an array as numpy does, always in the same way."""
    empty = shape == (0,) and type(shape[0]) is int  # not False, which equals it
    if rest or not _is_array_kind(kind) or not empty or letter not in ("b", b"b"):
        raise ValueError("an array does not begin as numpy writes it")
    return HalfBuilt()


def _is_array_kind(kind: Any) -> bool:
    """Tell if a class may be one of arrays: numpy's own, or one that only its writer knows."""
    if not isinstance(kind, Named):
        return False
    root = kind.module.partition(".")[0]
    return kind.short in _KINDS_OF_ARRAY if root == "numpy" else root not in _KNOWN


def _require_unit(said: Any) -> None:
    """Refuse dates whose unit there is not: ``({}, (b"D", 1, 1, 1))``."""
    if said is None:
        return
    if not isinstance(said, tuple) or len(said) != 2 or not isinstance(said[1], tuple):
        raise ValueError("the data type of an array is not understood")
    if not isinstance(said[0], dict | None):
        raise ValueError("the data type of an array is not understood")
    unit, *steps = said[1]
    name = unit.decode("latin-1") if isinstance(unit, bytes) else unit
    odd = any(type(n) is not int or not 1 <= n <= _MOST_UNITS for n in steps)
    if name not in _UNITS or steps[1:] != [1, 1] or odd:
        raise ValueError("the data type of an array is not understood")


def _require_fields(state: tuple[Any, ...]) -> None:
    """Refuse a table that has names and no fields, or a piece of a table that is none.

    numpy fails later, if at all, where a name is none of a field; tables are not read here.
    """
    piece, names, fields = state[2:5]
    if piece is not None and not (isinstance(piece, tuple) and len(piece) == _PIECE):
        raise ValueError("a piece of a table has no kind and shape")
    none = names is None and fields is None
    if not none and not (isinstance(names, tuple) and isinstance(fields, dict)):
        raise ValueError("the names of a table are not those of its fields")


def _whole(size: Any) -> int:
    if type(size) is not int or size < 0:
        raise ValueError("the data type of an array is not understood")
    return size


def _never(*_args: Any) -> Any:
    raise ValueError("an array does not begin as numpy writes it")


def _array(raw: Any, dtype: Any, shape: Any, order: Any, *, written: bool = False) -> Any:
    """Return an array; ``written`` by its own pickle, so that its numbers are bytes alone."""
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    if any(type(n) is not int or n < 0 for n in sizes):
        raise ValueError("the shape of an array is not a list of lengths")
    if isinstance(dtype, Inert):
        return Inert(_MADE, (shape,))
    if not isinstance(dtype, HalfBuilt) or dtype.spec is None:
        raise ValueError("the data type of an array is missing")
    if isinstance(raw, list):  # of objects, such as numpy.save makes of a dict
        if dtype.spec not in _OBJECTS and not dtype.listed:
            raise ValueError("the numbers of an array are not stored as bytes")
        if len(raw) != math.prod(sizes):
            raise ValueError(f"an array of shape {sizes} has {len(raw)} objects")
        return Inert(_MADE, (shape,), items=raw)
    if dtype.listed or not isinstance(raw, (bytes, str) if written else (bytes, bytearray, str)):
        raise ValueError("the numbers of an array are not stored as bytes")
    if isinstance(raw, str):
        raw = raw.raw if isinstance(raw, OldText) else raw.encode("latin-1")
    try:
        kind = dtype.dtype()
    except ValueError:
        if dtype.spec in _OBJECTS or len(raw) != dtype.size * math.prod(sizes):
            raise ValueError(f"an array of shape {sizes} has {len(raw)} bytes") from None
        return Inert(_MADE, (shape, dtype.spec))
    if kind.itemsize == 0 or len(raw) != kind.itemsize * math.prod(sizes):
        raise ValueError(f"an array of shape {sizes} has {len(raw)} bytes")
    if order not in ("C", "F"):
        raise ValueError("the order of an array is not understood")
    array = np.frombuffer(bytes(raw), kind)
    if kind.kind == "U" and not _is_text(array):
        raise ValueError("an array of text holds numbers that are no letters")
    return array.reshape(sizes, order=order)


def _is_text(array: np.ndarray[Any, Any]) -> bool:
    """Tell if all are code points of Unicode, halves of surrogate pairs excluded."""
    codes = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    surrogates = (codes >= 0xD800) & (codes < 0xE000)
    return not bool(np.any(surrogates | (codes > 0x10FFFF)))


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    if isinstance(dtype, HalfBuilt):
        if dtype.spec in _EMPTY and raw in ("", b""):
            return _EMPTY[dtype.spec]
        if dtype.listed and isinstance(raw, Inert) and raw.name == _MADE:
            return Inert(_MADE_ONE, ((), dtype.spec))  # a row of a table, from an array of one
    array = _array(raw, dtype, (), "C", written=True)
    if isinstance(array, Inert):
        return Inert(_MADE_ONE, array.args, items=array.items)
    return array.item()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
    """Return an array of protocol 5; numpy says from 2.3 on in which order its axes lie.

    https://github.com/numpy/numpy/blob/v2.3.0/numpy/_core/numeric.py
    """
    if order != "K" or axes is None:
        return _array(raw, dtype, shape, order)
    array = _array(raw, dtype, shape, "C")
    whole = isinstance(axes, tuple) and all(type(axis) is int for axis in axes)
    if not whole or sorted(axes) != list(range(len(shape))):
        raise ValueError("the order of an array's axes is not understood")
    return array.transpose(axes) if isinstance(array, np.ndarray) else array


ARRAYS: Mapping[str, Callable[..., Any]] = {
    **{f"{module}.multiarray.scalar": _scalar for module in ("numpy.core", "numpy._core")},
    **{f"{module}.numeric._frombuffer": _from_buffer for module in ("numpy.core", "numpy._core")},
    **{
        f"{module}.multiarray._reconstruct": _reconstruct
        for module in ("numpy.core", "numpy._core")
    },
    "numpy.dtype": _dtype,
    "numpy.ndarray": _never,
}
"""What they refuse is damage, as it is of a tensor."""
