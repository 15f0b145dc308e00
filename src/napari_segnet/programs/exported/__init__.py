"""Networks exported by torch.export (``.pt2``), whose graph is read as JSON and never run."""

from __future__ import annotations

from napari_segnet.programs.exported.program import Exported

__all__ = ["Exported"]
