"""Bare weights of a known library: the network is drawn by the names of its tensors.

Widths, depths and kernels are those of the shapes. What no tensor shows (a function, a dilation,
an epsilon) is the library's default: *assumed*, and can be told. To add a network, draw it with a
:class:`~napari_segnet.programs.library._pen.Pen` and name it in ``KINDS``.
"""

from __future__ import annotations

from napari_segnet.programs.library._kinds import KINDS, Kind
from napari_segnet.programs.library.program import Library

__all__ = ["KINDS", "Kind", "Library"]
