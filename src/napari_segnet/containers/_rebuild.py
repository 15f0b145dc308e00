"""What a pickle may build: tensors by their places, arrays, and plain values.

Each function here gets the arguments that the named class or function would have got,
checks them, and makes the harmless equal. Nothing is imported by a name in a file.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_segnet.containers._inert import Inert, Named, Record
from napari_segnet.containers._storage import ITEMSIZE, Storage, tensor_ref, unreadable
from napari_segnet.containers._types import TensorRef

__all__ = ["ARRAYS", "PLAIN", "TENSORS", "HalfBuilt", "hashable", "storage_dtype"]

Builder = Callable[..., Any]

_STORAGE_DTYPES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
    "Untyped": "uint8",
}
# kind and bytes of a number; never "O", whose bytes are pickles
_NUMPY_DTYPE = re.compile(r"[<>|=]?([biufcSUmM]\d{0,6}|[?])(\[[a-zA-Z]{1,2}\])?")
_DATES = (datetime.date, datetime.time, datetime.timedelta)
_KEYS = (str, int, float, bytes, type(None), complex, Named, Inert, *_DATES)
_MAX_KEY_PARTS = 1000
_DTYPE_VERSION = 4
"""The newest way in which numpy pickles a kind of numbers."""
_ARRAY_VERSION = 1
"""The only one in which it pickles an array with five values."""
_MAX_DIGITS = 100


def storage_dtype(kind: Any) -> str:
    """Return torch's name of the numbers in a storage class such as ``FloatStorage``."""
    name = kind.short.removesuffix("Storage") if isinstance(kind, Named) else ""
    if name not in _STORAGE_DTYPES:
        raise ValueError(f"the kind of storage {kind} is unknown")
    return _STORAGE_DTYPES[name]


def hashable(key: Any) -> Any:
    """Return a dict key or set member if it is a plain one, else raise ``ValueError``.

    Tuples and sets are counted before they are hashed: very deep ones overflow the
    interpreter's stack, and ones that hold the same one again and again take for ever.
    """
    waiting, parts = [key], 0
    while waiting:
        part = waiting.pop()
        parts += 1
        if isinstance(part, tuple | frozenset) and parts + len(part) < _MAX_KEY_PARTS:
            waiting.extend(part)
        elif not isinstance(part, _KEYS):
            raise ValueError(f"a {type(part).__name__} cannot be a key")
    return key


# ---- Tensors ---------------------------------------------------------------------------


def _dtype(named: Any) -> str:
    if not isinstance(named, Named) or named.short not in ITEMSIZE:
        raise ValueError(f"the kind of number {named} is unknown")
    return named.short


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    _requires_grad: Any = None,
    _hooks: Any = None,
    metadata: Any = None,
) -> TensorRef:
    return _strided(storage, offset, shape, stride, None, metadata)


def _tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    _requires_grad: Any,
    _hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> TensorRef:
    return _strided(storage, offset, shape, stride, _dtype(dtype), metadata)


def _strided(
    storage: Any, offset: Any, shape: Any, stride: Any, dtype: str | None, metadata: Any
) -> TensorRef:
    if isinstance(storage, Inert):  # torch.storage._load_from_bytes: a pickle in a pickle
        return unreadable(
            shape,
            dtype or "float32",
            "A tensor was written by pickle instead of torch, which puts its numbers into a second "
            "pickle; save the network with torch.save and open that file.",
        )
    if not isinstance(storage, Storage):
        raise ValueError("a tensor does not say where its numbers are")
    if isinstance(metadata, dict) and (metadata.get("conj") or metadata.get("neg")):
        return unreadable(
            shape,
            dtype or storage.dtype,
            "A tensor is stored as a conjugate or negative view; save it after "
            "resolve_conj() and resolve_neg().",
        )
    return tensor_ref(storage, offset, shape, stride, dtype)


def _quantised(storage: Any, _offset: Any, shape: Any, *_rest: Any) -> TensorRef:
    dtype = storage.dtype if isinstance(storage, Storage) else "qint8"
    return unreadable(
        shape,
        dtype,
        f"A tensor is quantised ({dtype}); save the network before quantisation, in float32, "
        "and open that file.",
    )


def _sparse(layout: Any, data: Any) -> TensorRef:
    if not isinstance(data, tuple) or len(data) < 3:
        raise ValueError("a sparse tensor has no size")
    values = next((item for item in data[1::-1] if isinstance(item, TensorRef)), None)
    shape = next((item for item in data[2:] if isinstance(item, tuple)), ())
    return unreadable(
        shape,
        values.dtype if values is not None else "float32",
        "A tensor is sparse; save it as tensor.to_dense() and open that file.",
    )


def _meta(dtype: Any, shape: Any, _stride: Any, *_rest: Any) -> TensorRef:
    return unreadable(
        shape,
        _dtype(dtype),
        "A tensor was saved from the 'meta' device, so its numbers are not in the file; save "
        "the network again after its weights were loaded.",
    )


def _inner(data: Any, *_rest: Any) -> Any:
    """Return a parameter's tensor for the parameter."""
    return data


def _parameter(data: Any, _requires_grad: Any, _hooks: Any) -> Any:
    return data


def _parameter_with_state(data: Any, _requires_grad: Any, _hooks: Any, _state: Any) -> Any:
    return data


def _from_numpy(data: Any, *_rest: Any) -> Any:
    if not isinstance(data, np.ndarray | TensorRef):
        raise ValueError("a tensor does not hold numbers")
    return data


TENSORS: Mapping[str, Builder] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter_with_state,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_sparse_csr_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_numpy,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _from_numpy,
    "torch._utils._rebuild_xla_tensor": _from_numpy,
    "torch.nn.parameter.Parameter": _inner,
    "torch.nn.parameter.Buffer": _inner,
}


# ---- Arrays ----------------------------------------------------------------------------


class HalfBuilt:
    """A numpy dtype or array whose second half comes with BUILD."""

    def __init__(self, spec: str | None = None) -> None:
        self.spec = spec
        self.order = "="
        self.memo_keys: list[int] = []

    def __repr__(self) -> str:
        return f"<inert numpy.{'ndarray' if self.spec is None else 'dtype'}>"

    def build(self, state: Any) -> Any:
        """Return what stands for it from now on."""
        if not isinstance(state, tuple):
            raise ValueError("an array has no state")
        if self.spec is not None:
            if len(state) < 5 or type(state[0]) is not int or not 0 <= state[0] <= _DTYPE_VERSION:
                raise ValueError("the kind of an array is not understood")
            if isinstance(state[1], str):
                self.order = state[1]
            return self
        if len(state) != 5:
            raise ValueError("an array has no shape, kind and numbers")
        version, shape, dtype, fortran, raw = state
        if version != _ARRAY_VERSION or not isinstance(fortran, int):
            raise ValueError("the state of an array is not understood")
        return _array(raw, dtype, shape, "F" if fortran else "C")

    def dtype(self) -> np.dtype[Any]:
        """Return the numpy dtype; raises ``ValueError`` for any but plain numbers and text."""
        if self.spec is None or _NUMPY_DTYPE.fullmatch(self.spec) is None:
            raise ValueError(f"arrays of kind {self.spec} are not read")
        dtype = np.dtype(self.spec)
        if self.order == ">":
            return dtype.newbyteorder(">")
        return dtype.newbyteorder("<") if self.order == "<" else dtype


def _numpy_dtype(spec: Any, *_rest: Any) -> HalfBuilt:
    if isinstance(spec, Named):
        spec = np.dtype(spec.short).str if spec.short in np.sctypeDict else None
    if not isinstance(spec, str):
        raise ValueError("an array's kind is not a text")
    return HalfBuilt(spec)


def _array(raw: Any, dtype: Any, shape: Any, order: Any) -> Any:
    if isinstance(raw, list):  # of objects, such as numpy.save makes of a dict
        return Inert("numpy.ndarray", (shape,), items=raw)
    if not isinstance(dtype, HalfBuilt):
        return Inert("numpy.ndarray", (shape,))
    try:
        kind = dtype.dtype()
    except ValueError:
        return Inert("numpy.ndarray", (shape, dtype.spec))
    if not isinstance(raw, bytes | bytearray | str):
        raise ValueError("the numbers of an array are no bytes")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if isinstance(raw, str):
        raw = _python2_bytes(raw, kind.itemsize * math.prod(sizes))
    if kind.itemsize == 0 or len(raw) != kind.itemsize * math.prod(sizes):
        raise ValueError(f"an array of shape {sizes} has {len(raw)} bytes")
    layout: Any = "F" if order == "F" else "C"
    array = np.frombuffer(bytes(raw), kind)
    if kind.kind == "U" and not _is_text(array):
        raise ValueError("an array of text holds numbers that are no letters")
    return array.reshape(sizes, order=layout)


def _is_text(array: np.ndarray[Any, Any]) -> bool:
    """Tell if all are code points of Unicode, halves of surrogate pairs excluded."""
    codes = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    surrogates = (codes >= 0xD800) & (codes < 0xE000)
    return not bool(np.any(surrogates | (codes > 0x10FFFF)))


def _python2_bytes(text: str, length: int) -> bytes:
    """Return the bytes of a Python 2 string, which was taken for UTF-8 where it could be."""
    latin = text.encode("latin-1", "ignore")
    return latin if len(latin) == length == len(text) else text.encode()


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    array = _array(raw, dtype, (), "C")
    return array.item() if isinstance(array, np.ndarray) else array


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Any:
    return _array(raw, dtype, shape, order)


ARRAYS: Mapping[str, Builder] = {
    **{f"{module}.multiarray.scalar": _scalar for module in ("numpy.core", "numpy._core")},
    **{f"{module}.numeric._frombuffer": _from_buffer for module in ("numpy.core", "numpy._core")},
}
"""What they refuse is damage, as it is of a tensor."""


# ---- Plain values ----------------------------------------------------------------------


def _of(*kinds: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise ValueError(f"a {type(value).__name__} was not expected")
        return value

    return check


_sequence = _of(list, tuple, set, frozenset)
_number = _of(int, float, bool)


def _members(items: Any) -> list[Any]:
    return [hashable(item) for item in _sequence(items)]


def _dict(*args: Any) -> dict[Any, Any]:
    items = args[0] if args else {}
    pairs = items.items() if isinstance(items, dict) else _sequence(items)
    return {hashable(key): value for key, value in pairs}


def _counted(*args: Any) -> dict[Any, Any]:
    return _dict(*(arg for arg in args if isinstance(arg, dict | list)))


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return _of(int, float, bool, str)(value)


def _encode(text: Any, encoding: Any = "utf-8", *_rest: Any) -> bytes:
    """Return bytes as pickles before protocol 3 write them."""
    if encoding not in {"latin1", "latin-1", "utf-8", "utf8", "ascii"}:
        raise ValueError("an unknown encoding")
    return bytes(_of(str)(text).encode(encoding))


def _byte_array(*args: Any) -> bytearray:
    if not args or isinstance(args[0], bytes | bytearray):
        return bytearray(*args[:1])
    return bytearray(_encode(*args))


_LONGEST_PATH = 32_767
"""That of Windows, the longest of all systems."""
_LONGEST_DEVICE = 64
"""Such as ``privateuseone:12``."""


def _path(*parts: Any) -> str:
    texts = [_of(str)(part) for part in parts]
    if sum(map(len, texts)) > _LONGEST_PATH:  # a path of paths doubles at each step
        raise ValueError("a path is too long")
    return "/".join(texts).replace("//", "/", 1) if texts else "."


def _device(kind: Any = "cpu", index: Any = None) -> str:
    if len(_of(str)(kind)) > _LONGEST_DEVICE:
        raise ValueError("the name of a device is too long")
    return _of(str)(kind) if index is None else f"{_of(str)(kind)}:{_number(index)}"


def _date(kind: Any) -> Builder:
    """Build a date or time from numbers, or from the bytes that its own pickle holds."""

    def build(*args: Any) -> Any:
        return kind(*map(_of(int, float, bytes, str, datetime.tzinfo, datetime.timedelta), args))

    return build


def _slice(*args: Any) -> slice:
    return slice(*map(_of(int, type(None)), args))


def _range(*args: Any) -> range:
    return range(*map(_of(int), args))


_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")

# A builder that refuses its arguments (ValueError, TypeError, ...) leaves an inert stand-in.
PLAIN: Mapping[str, Builder] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _counted,
    "collections.Counter": _counted,
    "collections.deque": lambda *args: list(_sequence(args[0])) if args else [],
    "argparse.Namespace": lambda: Record(),
    "types.SimpleNamespace": lambda: Record(),
    "torch.Size": lambda sizes=(): tuple(_sequence(sizes)),
    "torch.device": _device,
    "torch.serialization._get_layout": lambda name: _of(str)(name),
    "numpy.dtype": _numpy_dtype,
    "_codecs.encode": _encode,
    "builtins.set": lambda items=(): set(_members(items)),
    "builtins.frozenset": lambda items=(): frozenset(_members(items)),
    "builtins.list": lambda items=(): list(_sequence(items)),
    "builtins.tuple": lambda items=(): tuple(_sequence(items)),
    "builtins.dict": _dict,
    "builtins.bytearray": _byte_array,
    "builtins.bytes": lambda *args: bytes(_byte_array(*args)),
    "builtins.complex": lambda *args: complex(*map(_number, args)),
    "builtins.int": lambda value=0: int(_short(value)),
    "builtins.float": lambda value=0.0: float(_short(value)),
    "builtins.bool": lambda value=False: bool(_short(value)),
    "builtins.str": lambda value="": str(_short(value)),
    "builtins.slice": _slice,
    "builtins.range": _range,
    "builtins.xrange": _range,
    "datetime.datetime": _date(datetime.datetime),
    "datetime.date": _date(datetime.date),
    "datetime.time": _date(datetime.time),
    "datetime.timedelta": _date(datetime.timedelta),
    "datetime.timezone": _date(datetime.timezone),
    **{f"{module}._reconstruct": lambda *_args: HalfBuilt() for module in _ARRAY_MODULES},
    **{f"{module}.{name}": _path for module in ("pathlib", "pathlib._local") for name in _PATHS},
}
