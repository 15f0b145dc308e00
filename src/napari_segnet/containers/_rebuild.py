"""What a pickle may build: tensors by their places, arrays, and plain values.

Each function here gets the arguments that the named class or function would have got,
checks them, and makes the harmless equal. Nothing is imported by a name in a file.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_segnet.containers._inert import Inert, Named, Record
from napari_segnet.containers._named_texts import device, layout, path
from napari_segnet.containers._numpy_state import ARRAYS, HalfBuilt
from napari_segnet.containers._storage import ITEMSIZE, Storage, tensor_ref, unreadable
from napari_segnet.containers._types import TensorRef

__all__ = [
    "ARRAYS",
    "FORGIVING",
    "FUNCTIONS",
    "MOST_ARGUMENTS",
    "MUTABLE",
    "OF_ANYTHING",
    "OF_NOTHING",
    "PLAIN",
    "STATEFUL",
    "TENSORS",
    "HalfBuilt",
    "hashable",
    "is_kind",
    "is_storage",
    "storage_dtype",
]

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
}
"""Kinds of storages that have a kind of numbers; ``torch.storage._storage_type_to_dtype_map``."""
_NO_OTHERS: Mapping[str, str] = {}
_DATES = (datetime.date, datetime.time, datetime.timedelta)
_KEYS = (str, int, float, bytes, type(None), complex, Named, Inert, *_DATES)
_MAX_KEY_PARTS = 1000
_MAX_DIGITS = 100


def storage_dtype(kind: Any, others: Mapping[str, str] = _NO_OTHERS) -> str:
    """Return torch's name of the numbers in a storage class such as ``FloatStorage``.

    Parameters
    ----------
    kind : Any
        What a file names as the class.
    others : mapping of str to str
        Kinds of numbers by the whole names of classes that this format alone knows.

    Raises
    ------
    ValueError
        If the format has no such class.
    """
    if isinstance(kind, Named):
        if str(kind) in others:
            return others[str(kind)]
        if is_storage(kind.short):
            return _STORAGE_DTYPES[kind.short.removesuffix("Storage")]
    raise ValueError(f"the kind of storage {kind} is unknown")


def is_kind(name: str) -> bool:
    """Tell a data type or a kind of storage of torch by its name; neither can be called."""
    return name.endswith("Storage") or name in ITEMSIZE


def is_storage(name: str) -> bool:
    """Tell a kind of storage, which torch finds by its name, whatever its module is called."""
    return name.endswith("Storage") and name.removesuffix("Storage") in _STORAGE_DTYPES


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
        elif isinstance(part, Inert) and part.name in _NO_KEYS:
            raise ValueError(f"a {part.name.rpartition('.')[2]} cannot be a key")
        elif isinstance(part, HalfBuilt) and part.spec is not None:
            continue  # a data type of numpy
        elif not isinstance(part, _KEYS):
            raise ValueError(f"a {type(part).__name__} cannot be a key")
    return key


# ---- Tensors ---------------------------------------------------------------------------


def _dtype(named: Any) -> str:
    if not isinstance(named, Named) or named.short not in ITEMSIZE:
        raise ValueError(f"the kind of number {named} is unknown")
    return named.short


def _tensor_v1(storage: Any, offset: Any, shape: Any, stride: Any) -> TensorRef:
    return _strided(storage, offset, shape, stride, None, None)


def _tensor_v2(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    _hooks: Any,
    metadata: Any = None,
) -> TensorRef:
    made = _strided(storage, offset, shape, stride, None, metadata)
    _require_gradient(made, requires_grad)
    return made


def _tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    _hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> TensorRef:
    made = _strided(storage, offset, shape, stride, _dtype(dtype), metadata)
    region = storage.place.region
    if region is not None and region.swap and ITEMSIZE[made.dtype] > 1:
        raise ValueError("numbers of a newer kind are in a byte order that PyTorch does not turn")
    _require_gradient(made, requires_grad)
    return made


def _require_gradient(tensor: TensorRef, wanted: Any) -> None:
    """Refuse what torch refuses to mark as trained: whole numbers, and what is no yes or no."""
    if not isinstance(wanted, bool):
        raise ValueError("requires_grad of a tensor is neither True nor False")
    if wanted and not tensor.dtype.startswith(("float", "bfloat", "complex")):
        raise ValueError(f"a tensor of kind {tensor.dtype} has no gradient")


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
    if metadata is not None and not isinstance(metadata, dict):
        raise ValueError("the metadata of a tensor are not a dict")
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
    tensors = [item for item in data if isinstance(item, TensorRef)]
    values = tensors[-1] if tensors else None  # behind its indices
    shape = next((item for item in data if isinstance(item, tuple)), ())
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


def _inner(data: Any = None, *rest: Any) -> Any:
    """Return a parameter's tensor for the parameter."""
    if len(rest) > 1:
        raise ValueError(f"a parameter is made of {len(rest) + 1} values")
    if not isinstance(data, TensorRef):
        raise ValueError("a parameter holds no tensor")
    return data


def _parameter(data: Any, requires_grad: Any, _hooks: Any) -> Any:
    found = _inner(data)
    _require_gradient(found, requires_grad)
    return found


def _parameter_with_state(data: Any, requires_grad: Any, hooks: Any, _state: Any) -> Any:
    return _parameter(data, requires_grad, hooks)


def _from_numpy(data: Any, *_rest: Any) -> Any:
    if not isinstance(data, np.ndarray | TensorRef):
        raise ValueError("a tensor does not hold numbers")
    return data


_NO_ROW = (str, float, complex, dict, set, frozenset, type(None), Named)


def _plain_tensor(*args: Any) -> Any:
    """Return what stands for ``torch.Tensor(...)``: of lengths, or of one thing."""
    if len(args) > 1 and not all(type(arg) is int for arg in args):
        raise ValueError(f"a tensor is made of {len(args)} values")
    if len(args) == 1 and isinstance(args[0], _NO_ROW):
        raise ValueError(f"a tensor is made of a {type(args[0]).__name__}")
    return Inert("torch.Tensor", args)


TENSORS: Mapping[str, Builder] = {
    "torch.Tensor": _plain_tensor,
    "torch._utils._rebuild_tensor": _tensor_v1,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
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


def _missing(_factory: Any = None, *items: Any) -> dict[Any, Any]:
    return _dict(*items)


def _counted(counts: Any = None) -> dict[Any, Any]:
    return _dict({} if counts is None else _of(dict)(counts))


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return _of(int, float, bool, str)(value)


def _encode(text: Any, encoding: Any = "utf-8", errors: Any = "strict") -> bytes:
    """Return bytes as pickles before protocol 3 write them."""
    if errors not in {"strict", "ignore", "replace"} or encoding not in {
        "latin1",
        "latin-1",
        "utf-8",
        "utf8",
        "ascii",
    }:
        raise ValueError("an unknown encoding")
    return bytes(_of(str)(text).encode(encoding, errors))


def _byte_array(*args: Any) -> bytearray:
    if not args or isinstance(args[0], bytes | bytearray):
        return bytearray(*args[:1])
    return bytearray(_encode(*args))


def _date(kind: Any) -> Builder:
    """Build a date or time from numbers, or from the bytes that its own pickle holds."""

    def build(*args: Any) -> Any:
        return kind(*map(_of(int, float, bytes, str, datetime.tzinfo, datetime.timedelta), args))

    return build


def _slice(*args: Any) -> slice:
    return slice(*map(_of(int, type(None)), args))


def _range(*args: Any) -> range:
    return range(*map(_of(int), args))


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")

_CLASSES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
FUNCTIONS = frozenset(
    (
        *(name for name in TENSORS if name not in _CLASSES),
        *(name for name in ARRAYS if name != "numpy.dtype"),
        *("_codecs.encode", "torch.serialization._get_layout"),
    )
)
"""Functions, of which nothing new can be made as of a class."""
MUTABLE = frozenset(
    (
        *(f"collections.{name}" for name in ("OrderedDict", "defaultdict", "Counter", "deque")),
        *(f"builtins.{name}" for name in ("set", "list", "dict", "bytearray")),
    )
)
"""Classes whose new objects are empty, whatever they are given."""
_NO_KEYS = MUTABLE | {"numpy.ndarray"}
FORGIVING = (MUTABLE - {"builtins.bytearray"}) | {"builtins.frozenset", "builtins.tuple"}
"""Classes that may hold what we know only by name, so that a stand-in takes their place."""
MOST_ARGUMENTS: Mapping[str, int] = {
    **dict.fromkeys((f"builtins.{name}" for name in ("list", "tuple", "set", "frozenset")), 1),
    **dict.fromkeys(("builtins.dict", "collections.OrderedDict", "collections.Counter"), 1),
    **dict.fromkeys((f"builtins.{name}" for name in ("bool", "float")), 1),
    **dict.fromkeys((f"builtins.{name}" for name in ("int", "complex")), 2),
    **dict.fromkeys((f"builtins.{name}" for name in ("str", "bytes", "bytearray")), 3),
    **dict.fromkeys((f"builtins.{name}" for name in ("slice", "range", "xrange")), 3),
    **dict.fromkeys(("collections.deque", "collections.defaultdict"), 2),
    **dict.fromkeys(("argparse.Namespace", "types.SimpleNamespace"), 0),
    "torch.Size": 1,
}
"""How many values these are made of."""
OF_NOTHING = frozenset(
    ("builtins.object", *(f"enum.{name}" for name in ("Enum", "IntEnum", "Flag", "IntFlag")))
)
"""Classes that have no values themselves, as classes made of them have."""
OF_ANYTHING = frozenset(("builtins.str", "builtins.bool", "builtins.slice"))
"""Classes that are also made of a class; others refuse it."""
STATEFUL = frozenset(("collections.OrderedDict", "collections.Counter"))
"""Classes that we make plain values of, and whose objects take a state."""

# A builder that refuses its arguments (ValueError, TypeError, ...) leaves an inert stand-in.
PLAIN: Mapping[str, Builder] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _missing,
    "collections.Counter": _counted,
    "collections.deque": lambda *args: list(_sequence(args[0])) if args else [],
    "argparse.Namespace": lambda: Record(),
    "types.SimpleNamespace": lambda: Record(),
    "torch.Size": lambda sizes=(): tuple(_sequence(sizes)),
    "torch.device": device,
    "torch.serialization._get_layout": layout,
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
    **{f"{module}.{name}": path for module in ("pathlib", "pathlib._local") for name in _PATHS},
}
