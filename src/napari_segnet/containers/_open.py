"""Which container a file is, by its first bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_segnet.budget import Budget
from napari_segnet.containers._types import Container, TensorRef, Tree
from napari_segnet.containers.damaged import KNOWN
from napari_segnet.containers.refused import SAVED_MODEL
from napari_segnet.errors import BrokenWeightsError, WeightsError

__all__ = ["is_one_of", "open_with", "understood"]

_HEAD_BYTES = 4096
ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What becomes of names and numbers that nobody foresees."""
_CHOOSE = f"choose {KNOWN}"
_WEIGHTS = (".pth", ".pt", ".safetensors", ".h5", ".hdf5", ".keras", ".onnx", ".pt2")


def open_with(containers: Iterable[Container], path: Path) -> Tree:
    """Open a file with the first container that knows it; see ``open_tree``."""
    try:
        head = _head(path)
        for container in containers:
            if container.detect(head, path):
                tree = container.open(path)
                _require_modest(tree.root, path)
                return tree
    except PermissionError as error:
        raise WeightsError(
            f"{path} may not be read by you; ask its owner for the right to read it, or copy it "
            "to a folder of your own."
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror or error}); see that its disk is connected "
            "and the file is whole."
        ) from error
    except MemoryError as error:
        raise BrokenWeightsError(
            f"{path.name} needs more memory to be listed than this computer has; it is damaged "
            "or no weights file."
        ) from error
    except WeightsError:
        raise
    except Exception as error:
        # Damage finds ways that nobody foresees; whoever opened the file did nothing wrong.
        raise BrokenWeightsError(
            f"{path.name} is damaged or no weights file: what it lists cannot be understood "
            f"({type(error).__name__}: {str(error)[:120]}). Download or copy it again."
        ) from error
    shown = head[:8].hex(" ")
    raise BrokenWeightsError(
        f"{path.name} is no kind of weights file that we know (it begins with the bytes "
        f"{shown}); {_CHOOSE}."
    )


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Say of a file that it is damaged where names or numbers are in it that no network has."""
    try:
        yield
    except ODD as error:
        raise BrokenWeightsError(
            f"{path.name} is damaged or no weights file: the network that it describes cannot be "
            f"understood ({type(error).__name__}: {str(error)[:120]}). Download or copy it again; "
            "if the program that made it opens it, the fault is ours: report it with this sentence."
        ) from error


def is_one_of(containers: Iterable[Container], path: Path) -> bool:
    """Tell if a file is one of some containers; a file that cannot be read is none."""
    if not path.is_file():
        return False
    try:
        head = _head(path)
        return any(container.detect(head, path) for container in containers)
    except (OSError, WeightsError):
        return False


def _require_modest(root: Any, path: Path) -> None:
    """Refuse tensors that are many times as large as their file: views of the same few bytes."""
    if not isinstance(root, Mapping):
        return
    expanded = sum(one.nbytes for one in root.values() if isinstance(one, TensorRef))
    if expanded > Budget.of_file(path.stat().st_size).nbytes:
        raise BrokenWeightsError(
            f"{path.name} is damaged or no weights file: its tensors expand to {expanded:,} bytes, "
            "many times as many as it has. Save the network's state dict again."
        )


def _head(path: Path) -> bytes:
    if not path.exists():
        raise WeightsError(f"There is no file {path}; check its name and folder.")
    if path.is_dir():
        raise WeightsError(f"{path} is a folder, not a weights file; {_folder_advice(path)}.")
    if not path.is_file():
        raise WeightsError(f"{path} is a device, not a weights file; {_CHOOSE}.")
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _folder_advice(path: Path) -> str:
    held = {entry.name for entry in path.iterdir()}
    if "data.pkl" in held:
        return (
            "it is a .pth file that was unpacked, as browsers on macOS do; download it again "
            "with automatic unpacking switched off"
        )
    if "saved_model.pb" in held:
        return f"it is a TensorFlow model, which this version does not open. {SAVED_MODEL[:-1]}"
    weights = sorted(name for name in held if name.lower().endswith(_WEIGHTS))
    if weights:
        return f"choose the weights inside it, such as {weights[0]}"
    return _CHOOSE
