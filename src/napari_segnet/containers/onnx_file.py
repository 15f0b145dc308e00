"""ONNX: a network as nodes, with its weights, in one file (or a second one beside it).

https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from napari_segnet.containers._onnx_model import NEWEST, OnnxGraph, OnnxModel, read_model
from napari_segnet.containers._onnx_operators import NEWEST as NEWEST_OPERATORS
from napari_segnet.containers._onnx_operators import LaterOperator
from napari_segnet.containers._onnx_sound import require_sound
from napari_segnet.containers._onnx_tensor import OnnxTensor, reference
from napari_segnet.containers._protobuf import Message, Source
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.containers.refused import holds_messages
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError
from napari_segnet.stamp import stamp_of

__all__ = ["Onnx", "tensors_of"]

CONSTANT = "Constant"


class Onnx:
    """Protobuf: ``ir_version`` first, then producer, domain, version, graph or opset."""

    name = "onnx"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the first fields; TensorFlow's ``saved_model.pb`` and Core ML begin alike."""
        if holds_messages(head):
            return False
        return len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 32 and head[2] in b"\x12\x1a:B"

    def open(self, path: Path) -> Tree:
        """List the tensors; ``metadata["model"]`` holds the graph."""
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            stamp = stamp_of(state)
            source = Source(file, state.st_size)
            try:
                model = read_model(Message(source, 0, state.st_size))
                if model.version > NEWEST:
                    raise UnsupportedWeightsError(
                        f"{path.name} is in version {model.version} of the format of ONNX, where "
                        f"{NEWEST} is the newest that is read. Export it with an older version of "
                        "onnx, or update this package."
                    )
                require_sound(model)
            except LaterOperator as error:
                raise UnsupportedWeightsError(
                    f"{path.name} has operations of a later version of ONNX "
                    f"({model.opsets.get('', 0)}) than {NEWEST_OPERATORS}, the newest that is "
                    f"read, or is damaged ({error}). Export it with opset_version="
                    f"{NEWEST_OPERATORS} or less, or update this package."
                ) from error
            except ValueError as error:
                raise _damaged(path, str(error)) from error
        root: dict[str, TensorRef] = {}
        for name, tensor in tensors_of(model):
            try:
                root[name] = reference(tensor, path, stamp)
            except ValueError as error:
                raise _damaged(path, f"its tensor {name[:80]!r} {error}") from error
        return Tree(container=self.name, root=root, metadata={"model": model}, stamp=stamp)


def tensors_of(model: OnnxModel) -> Iterator[tuple[str, OnnxTensor]]:
    """Yield every tensor of the outermost graph by the name of the value that it is."""
    yield from _tensors(model.graph)


def _tensors(graph: OnnxGraph) -> Iterator[tuple[str, OnnxTensor]]:
    seen = set(graph.tensors)
    yield from graph.tensors.items()
    for node in graph.nodes:
        value = node.attributes.get("value")
        if node.operation == CONSTANT and isinstance(value, OnnxTensor) and len(node.outputs) == 1:
            if node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                yield node.outputs[0], value


def _damaged(path: Path, what: str) -> BrokenWeightsError:
    return BrokenWeightsError(f"{path.name} is a damaged ONNX file: {what}. Download it again.")
