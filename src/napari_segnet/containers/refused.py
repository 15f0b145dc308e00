"""Kinds of weights files that we know by name but do not open, and what to do with each.

Each is a container of its own, so that a later version can put a real one in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_segnet.containers._types import Tree
from napari_segnet.containers._zip import names
from napari_segnet.errors import UnsupportedWeightsError

__all__ = ["NAMED", "REFUSED", "SAVED_MODEL", "Refused", "holds_messages"]

_STATE_DICT = (
    "Open it once where it was made and save its tensors alone: "
    "torch.save(model.state_dict(), 'weights.pth')."
)
_SOURCE = "Use the PyTorch, Keras or ONNX file that it was converted from."
SAVED_MODEL = (
    "Save it with the Keras that made it: keras.models.load_model(FOLDER).save('network.keras'). "
    "Or convert it: python -m tf2onnx.convert --saved-model FOLDER --output network.onnx."
)
"""What to do with a folder that TensorFlow saved."""
_CHECKPOINT = (
    "Its network stands in code alone: load it there with load_weights, and save the network: "
    "model.save('network.keras')."
)
_TAR = slice(257, 262)  # where POSIX tar has its magic word


@dataclass(slots=True)
class Refused:
    """A kind of file that is told by its bytes or its zip listing, and refused.

    Attributes
    ----------
    name : str
        Short name.
    what, advice : str
        "... is *what*, which this version does not open. *Advice*."
    looks : callable
        ``(first 4096 bytes, names in the zip)`` -> True if it is one.
    """

    name: str
    what: str
    advice: str
    looks: Callable[[bytes, frozenset[str]], bool]

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell from the first bytes and the listing."""
        return self.looks(head, names(head, path) or frozenset())

    def open(self, path: Path) -> Tree:
        """Raise ``UnsupportedWeightsError``."""
        raise UnsupportedWeightsError(
            f"{path.name} is {self.what}, which this version does not open. {self.advice}"
        )


@dataclass(slots=True)
class _Named(Refused):
    """A kind of file that the end of its name tells, beside its first bytes if those are asked.

    Attributes
    ----------
    file : str
        A regular expression of that end.
    """

    file: str = ""

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell from the first bytes and the end of the name."""
        named = re.search(self.file + "$", path.name, re.IGNORECASE)
        return bool(named) and self.looks(head, frozenset())


# ---- Tellers ---------------------------------------------------------------------------


def _starts(*starts: bytes) -> Callable[[bytes, frozenset[str]], bool]:
    return lambda head, _names: head.startswith(starts)


def _exported(_head: bytes, found: frozenset[str]) -> bool:
    """Tell weights of torch.export without the program; the rest is read by ``torch_export``."""
    last = {name.rpartition("/")[2] for name in found}
    return bool(last & {"model_weights_config.json", "archive_version"})


def _bioimageio(_head: bytes, found: frozenset[str]) -> bool:
    endings = ("rdf.yaml", "bioimageio.yaml")
    return any(name.endswith(endings) for name in found)


def _monai(_head: bytes, found: frozenset[str]) -> bool:
    inside = {name.partition("/")[2] for name in found} | found
    return bool({"configs/metadata.json", "configs/inference.json"} & inside) or any(
        name.startswith("configs/inference.") for name in inside
    )


def _npz(_head: bytes, found: frozenset[str]) -> bool:
    return bool(found) and all(name.endswith(".npy") for name in found)


def _core_ml(head: bytes, found: frozenset[str]) -> bool:
    inside = any(name.endswith((".mlmodel", ".mlpackage/Manifest.json")) for name in found)
    return inside or (holds_messages(head) and head[1] > 1)  # no TensorFlow has another version


def _other_zip(_head: bytes, found: frozenset[str]) -> bool:
    return bool(found)


def _tar(head: bytes, _names: frozenset[str]) -> bool:
    return head[_TAR] == b"ustar"


def holds_messages(head: bytes) -> bool:
    """Tell ``saved_model.pb`` and Core ML from ONNX, which begin alike.

    Their version is followed by a message that begins with a message, that of ONNX by a name.
    """
    return bool(re.match(rb"\x08[\x01-\x20]\x12[\x80-\xff]*[\0-\x7f]\n", head, re.DOTALL))


def _tensorflow(head: bytes, _names: frozenset[str]) -> bool:
    return holds_messages(head) and head[1] == 1


def _openvino(head: bytes, _names: frozenset[str]) -> bool:
    return bool(re.match(rb"\s*(<\?xml[^>]*>)?\s*<net\s", head))


_UNPACK = "Unpack it and open the weights file inside."
_PICTURE = "Drop it as an image; a network is a .pth, .pt or .safetensors file."

REFUSED: tuple[Refused, ...] = (
    Refused(
        "torch-export-parts", "a part of a program of torch.export (.pt2)", _STATE_DICT, _exported
    ),
    Refused(
        "bioimageio",
        "a model package of bioimage.io",
        "Its description does not lie at the top: unpack it and open the folder with its rdf.yaml.",
        _bioimageio,
    ),
    Refused(
        "monai-bundle",
        "a MONAI bundle",
        "Unpack it and open its models/model.pt.",
        _monai,
    ),
    Refused(
        "npz",
        "an archive of numpy arrays (.npz)",
        "Save the arrays as tensors: torch.save(state_dict, 'weights.pth').",
        _npz,
    ),
    Refused("core-ml", "a Core ML model", _SOURCE, _core_ml),
    _Named(
        "core-ml-1",
        "a Core ML model",
        _SOURCE,
        lambda head, _names: holds_messages(head),
        r"\.mlmodel",
    ),
    Refused("zip", "a zip archive that torch did not write", _UNPACK, _other_zip),
    Refused(
        "tensorflow",
        "a TensorFlow model",
        SAVED_MODEL,
        _tensorflow,
    ),
    Refused(
        "tensorflow-checkpoint",
        "the list of a TensorFlow checkpoint",
        _CHECKPOINT,
        _starts(b"model_checkpoint_path:"),
    ),
    Refused("openvino", "a program of OpenVINO", _SOURCE, _openvino),
    Refused(
        "tar",
        "a tar archive (torch itself wrote such files until 2017)",
        "If it holds other files, unpack it; if torch wrote it, load it with an old torch and "
        "save the state dict again.",
        _tar,
    ),
    Refused(
        "archive",
        "a compressed archive",
        _UNPACK,
        _starts(
            b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd"
        ),
    ),
    Refused(
        "npy",
        "a numpy array (.npy)",
        "If it is an image, drop it as an image; a network has many arrays.",
        _starts(b"\x93NUMPY"),
    ),
    Refused(
        "picture",
        "a picture",
        _PICTURE,
        _starts(b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8"),
    ),
    Refused("pdf", "a PDF document", "Choose the weights file instead.", _starts(b"%PDF")),
    Refused(
        "gguf",
        "a file of language-model weights (GGUF)",
        "Choose the weights of a segmentation network.",
        _starts(b"GGUF"),
    ),
    Refused(
        "matlab",
        "a MATLAB file (.mat)",
        "Export the network from MATLAB to PyTorch, and save its state dict.",
        _starts(b"MATLAB 5.0 MAT-file"),
    ),
    Refused(
        "tflite",
        "a TensorFlow Lite program",
        "Use the Keras file that it was made of, or convert it: python -m tf2onnx.convert --tflite "
        "FILE --output network.onnx.",
        lambda head, _names: head[4:8] == b"TFL3",
    ),
)


# ---- By the name alone -----------------------------------------------------------------


def _named(name: str, what: str, advice: str, file: str) -> _Named:
    return _Named(name, what, advice, lambda _head, _names: True, file)


NAMED: tuple[Refused, ...] = (
    _named(
        "tensorflow-checkpoint-part",
        "a part of a TensorFlow checkpoint",
        _CHECKPOINT,
        r"\.(index|meta|data-\d+-of-\d+)",
    ),
    _named(
        "tensorflow-graph",
        "a graph of TensorFlow",
        "Save the network with Keras: model.save('network.keras'). Or convert it: python -m "
        "tf2onnx.convert --graphdef FILE --inputs NAME:0 --outputs NAME:0 --output network.onnx.",
        r"\.pb",
    ),
    _named("core-ml-file", "a Core ML model", _SOURCE, r"\.mlmodel"),
    _named(
        "tensorrt", "a program of TensorRT for one kind of GPU", _SOURCE, r"\.(engine|trt|plan)"
    ),
    _named("caffe", "a network of Caffe", "Convert it to ONNX or PyTorch.", r"\.caffemodel"),
    _named(
        "darknet",
        "a file of Darknet, which holds numbers without names",
        "Convert it to ONNX or PyTorch.",
        r"\.weights",
    ),
)
"""Asked last, of files in which nothing else was recognised."""
