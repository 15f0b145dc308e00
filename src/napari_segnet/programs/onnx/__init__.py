"""Networks in ONNX, read node by node; neither ``onnx`` nor a runtime is needed."""

from __future__ import annotations

from napari_segnet.programs.onnx.program import Onnx

__all__ = ["Onnx"]
