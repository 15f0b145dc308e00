"""Networks in TorchScript, whose code is read as text and never run."""

from __future__ import annotations

from napari_segnet.programs.torchscript.program import TorchScript

__all__ = ["TorchScript"]
