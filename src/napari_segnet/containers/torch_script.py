"""TorchScript: code as text, a pickled tree of modules, and raw numbers, in a zip.

Nothing of it is run: the code is kept as text for whoever reads it (``programs/torchscript``).
https://github.com/pytorch/pytorch/blob/v2.8.0/torch/csrc/jit/docs/serialization.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.budget import Budget
from napari_segnet.containers._inert import Inert, Named
from napari_segnet.containers._script_code import parsed_code
from napari_segnet.containers._script_types import NONE, Type, type_of_value
from napari_segnet.containers._storage import foreign
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.containers._unpickle import unpickle
from napari_segnet.containers._zip import Archive, names
from napari_segnet.containers.torch_zip import ORDERS, Storages, require_version
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError

__all__ = ["TorchScript"]

LARGEST_CODE = 2**25
"""Bytes of code in one file; a network of 2,000 layers has 2 million."""
LEAST_CODE = 2**19
CODE_FOR_EACH, SMALL_FILE = 4, 2**20
"""Bytes of code for each byte of a file beyond a megabyte: code packs 10 to 1, and stands beside
weights; its syntax tree takes up to 200 bytes of memory for each byte of text."""
BEGIN = b"\x80\x02"
"""Protocol 2, the only one that TorchScript writes and reads."""
OPERATIONS = frozenset(
    "PROTO STOP EMPTY_LIST EMPTY_TUPLE EMPTY_DICT BINPUT LONG_BINPUT BINGET LONG_BINGET MARK "
    "NEWTRUE NEWFALSE NONE BININT1 BININT2 BININT LONG1 BINUNICODE BINFLOAT TUPLE TUPLE1 TUPLE2 "
    "TUPLE3 APPENDS LIST DICT SETITEM SETITEMS GLOBAL NEWOBJ BUILD REDUCE BINPERSID".split()
)
"""Of pickles, what TorchScript reads.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/csrc/jit/serialization/unpickler.cpp
"""
NAMES = re.compile(
    r"__torch__(\.\S+)? \S+"
    r"|torch ([A-Z]\w*Storage|device|per_\w+)"
    r"|torch\._utils _rebuild_(tensor_v2|qtensor|sparse_tensor)"
    r"|torch\._tensor _rebuild_from_type_v2"
    r"|torch\.jit\._pickle \w+|__main__ (TensorID|IntList)|torch\.distributed\.rpc rref"
    r"|builtins complex|collections OrderedDict"
)
"""Classes of its own, and what that reader makes of others."""
KINDS = {
    **{f"UInt{bits}": f"uint{bits}" for bits in (16, 32, 64)},
    **{f"Float8_{kind}": f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz")},
    **{"Float8_e8m0fnu": "float8_e8m0fnu", "ComplexHalf": "complex32"},
}
STORAGES = {f"torch.{name}Storage": kind for name, kind in KINDS.items()}
"""Classes of storages that TorchScript alone names: it has one for each kind of numbers.

https://github.com/pytorch/pytorch/blob/v2.8.0/c10/core/ScalarType.h
"""
OWN = "__torch__."
"""How the names of classes begin that the file defines."""
MOST_MODULES = 100_000
DEEPEST = 64


class TorchScript:
    """``code/`` is the program, ``data.pkl`` its modules, ``constants.pkl`` what is fixed."""

    name = "torchscript"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a zip with code and constants."""
        found = names(head, path)
        return found is not None and _folder(found) is not None

    def open(self, path: Path) -> Tree:
        """List the tensors by their places; ``metadata`` holds code, modules and constants."""
        archive = Archive.open(path)
        folder = _folder(archive.entries) or ""
        order = "little"
        if folder + "byteorder" in archive.entries:
            order = archive.read(folder + "byteorder").decode("ascii", "replace")
        if folder + "data.pkl" not in archive.entries or order not in ORDERS:
            raise BrokenWeightsError(
                f"{path.name} is a TorchScript program whose list of modules (data.pkl) is missing "
                "or damaged. Download or copy it again."
            )
        if foreign(order):
            raise UnsupportedWeightsError(
                f"{path.name} is a TorchScript program from a computer of another byte order "
                f"({order}), whose numbers PyTorch does not turn. Save the network's state dict "
                "there: torch.save(model.state_dict(), 'weights.pth')."
            )
        found = {}
        for part in ("data", "constants"):
            data = archive.read(f"{folder}{part}.pkl")
            storages = Storages(archive, folder, swap=False, part=part)
            storages.known_devices, storages.others = True, STORAGES
            stream = archive.stream(data)
            stream.known, stream.names, stream.alone = OPERATIONS, NAMES, True
            if not data.startswith(BEGIN):
                raise BrokenWeightsError(_damaged(path, f"its {part}.pkl is in another protocol"))
            found[part] = unpickle(stream, path.name, storages.get)
        require_version(archive, folder)
        module, constants = found["data"], found["constants"]
        if not isinstance(module, Inert) or not module.name.startswith(OWN):
            raise BrokenWeightsError(
                f"{path.name} is a TorchScript program without a module. Save the network again."
            )
        if not isinstance(constants, tuple):
            raise BrokenWeightsError(_damaged(path, "its constants.pkl is no tuple"))
        root = dict(_tensors(module))
        fixed = list(constants)
        root |= {f"CONSTANTS.c{i}": c for i, c in enumerate(fixed) if isinstance(c, TensorRef)}
        budget = Budget.of_file(archive.length)
        try:
            code = parsed_code(
                dict(_code(archive, folder)),
                [_type(one) for one in fixed],
                list(_modules(module)),
                budget,
            )
        except ValueError as error:
            raise BrokenWeightsError(_damaged(path, str(error))) from error
        metadata = {"module": module, "constants": fixed, "code": code}
        return Tree(container=self.name, root=root, metadata=metadata, stamp=archive.stamp)


def _type(value: Any) -> Type:
    """Return the type of a constant."""
    if isinstance(value, Named):
        raise ValueError(f"its constants hold the class {str(value)[:80]} where a value belongs")
    return Type("Tensor") if isinstance(value, TensorRef) else type_of_value(value)


def _held(value: Any) -> Type:
    """Return the type of a module's value; any where the file does not tell."""
    if value is None:
        return NONE
    if isinstance(value, Inert) and value.name.startswith(OWN):
        return Type(value.name)
    return Type("Tensor") if isinstance(value, TensorRef) else type_of_value(value)


def _folder(found: Any) -> str | None:
    """Return what stands before ``constants.pkl`` and ``code/``."""
    for name in found:
        if name.rpartition("/")[2] == "constants.pkl" and name.count("/") <= 1:
            folder = name.removesuffix("constants.pkl")
            if any(other.startswith(f"{folder}code/") for other in found):
                return str(folder)
    return None


def _code(archive: Archive, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the text of each file of code; what is beside it is read, too."""
    most = min(LARGEST_CODE, LEAST_CODE + CODE_FOR_EACH * max(archive.length - SMALL_FILE, 0))
    left, start = most, f"{folder}code/"
    for name, info in archive.entries.items():
        if not name.startswith(start):
            continue
        if not name.endswith(".py"):
            archive.read(name)  # where each line came from; PyTorch refuses a damaged one
            continue
        left -= info.file_size
        if left < 0:
            raise BrokenWeightsError(
                f"{archive.path.name} holds more than {most:,} bytes of code, which no "
                "network of its size has. Save the network's state dict alone."
            )
        dotted = name.removeprefix(start).removesuffix(".py").replace("/", ".")
        yield dotted, archive.read(name).decode("utf-8")  # UnicodeError is a ValueError


def _tensors(module: Inert) -> Iterator[tuple[str, TensorRef]]:
    """Yield tensors by the names from the outermost module down to them."""
    left, waiting = MOST_MODULES, [("", module, 0)]
    while waiting:
        path, one, depth = waiting.pop(0)
        for name, value in one.fields().items():
            left -= 1
            if left < 0 or depth > DEEPEST:
                raise BrokenWeightsError(
                    "A TorchScript program has more modules in each other than any network. Save "
                    "the network's state dict alone."
                )
            here = f"{path}.{name}" if path else name
            if isinstance(value, TensorRef):
                yield here, value
            elif isinstance(value, Inert):
                waiting.append((here, value, depth + 1))


def _modules(module: Inert) -> Iterator[tuple[str, Mapping[str, Type] | None]]:
    """Yield the classes of all modules, and the types of their values; None if it is no dict."""
    waiting, seen = [module], {id(module)}
    while waiting:
        one = waiting.pop()
        own = one.fields()
        if one.name.startswith(OWN):
            held = {name: _held(value) for name, value in own.items()}
            yield one.name, held if isinstance(one.state, dict) else None
        for value in own.values():
            if isinstance(value, Inert) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)


def _damaged(path: Path, what: str) -> str:
    return f"{path.name} is a damaged TorchScript program: {what}. Save or download it again."
