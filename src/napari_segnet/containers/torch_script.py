"""TorchScript: code as text, a pickled tree of modules, and raw numbers, in a zip.

Nothing of it is run: the code is kept as text for whoever reads it (``programs/torchscript``).
https://github.com/pytorch/pytorch/blob/v2.8.0/torch/csrc/jit/docs/serialization.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_segnet.containers._inert import Inert
from napari_segnet.containers._storage import foreign
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.containers._unpickle import unpickle
from napari_segnet.containers._zip import Archive, names
from napari_segnet.containers.torch_zip import ORDERS, Storages, require_version
from napari_segnet.errors import BrokenWeightsError

__all__ = ["TorchScript"]

LARGEST_CODE = 2**25
"""Bytes of code in one file; a network of 2,000 layers has 2 million."""
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
        found = {}
        for part in ("data", "constants"):
            data = archive.read(f"{folder}{part}.pkl")
            storages = Storages(archive, folder, swap=foreign(order), part=part)
            found[part] = unpickle(archive.stream(data), path.name, storages.get)
        require_version(archive, folder)
        module, constants = found["data"], found["constants"]
        if not isinstance(module, Inert):
            raise BrokenWeightsError(
                f"{path.name} is a TorchScript program without a module. Save the network again."
            )
        root = dict(_tensors(module))
        fixed = list(constants) if isinstance(constants, list | tuple) else []
        root |= {f"CONSTANTS.c{i}": c for i, c in enumerate(fixed) if isinstance(c, TensorRef)}
        metadata = {"module": module, "constants": fixed, "code": dict(_code(archive, folder))}
        return Tree(container=self.name, root=root, metadata=metadata, stamp=archive.stamp)


def _folder(found: Any) -> str | None:
    """Return what stands before ``constants.pkl`` and ``code/``."""
    for name in found:
        if name.rpartition("/")[2] == "constants.pkl" and name.count("/") <= 1:
            folder = name.removesuffix("constants.pkl")
            if any(other.startswith(f"{folder}code/") for other in found):
                return str(folder)
    return None


def _code(archive: Archive, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the text of each file of code."""
    left, start = LARGEST_CODE, f"{folder}code/"
    for name, info in archive.entries.items():
        if not name.startswith(start) or not name.endswith(".py"):
            continue
        left -= info.file_size
        if left < 0:
            raise BrokenWeightsError(
                f"{archive.path.name} holds more than {LARGEST_CODE:,} bytes of code, which no "
                "network has. Save the network's state dict alone."
            )
        dotted = name.removeprefix(start).removesuffix(".py").replace("/", ".")
        yield dotted, archive.read(name).decode("utf-8", "replace")


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
