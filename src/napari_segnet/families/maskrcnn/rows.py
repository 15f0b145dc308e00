"""Tensors of a network, listed layer by layer under the names that torchvision gives them."""

from __future__ import annotations

from napari_segnet.graph import Tensor

__all__ = ["GROUPS", "Rows"]

GROUPS = 32
"""Groups of a group normalisation, as Detectron2 and MMDetection have them."""


class Rows:
    """Collects tensors layer by layer."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def convolution(
        self, name: str, before: int, after: int, kernel: int, bias: bool = False, groups: int = 1
    ) -> None:
        """Add ``Conv2d``."""
        self.tensors[f"{name}.weight"] = Tensor(shape=(after, before // groups, kernel, kernel))
        if bias:
            self.tensors[f"{name}.bias"] = Tensor(shape=(after,))

    def linear(self, name: str, before: int, after: int) -> None:
        """Add ``Linear``."""
        self.tensors[f"{name}.weight"] = Tensor(shape=(after, before))
        self.tensors[f"{name}.bias"] = Tensor(shape=(after,))

    def norm(self, name: str, width: int, kind: str) -> None:
        """Add a normalisation: ``batch``, ``frozen``, ``group`` or ``none``."""
        if kind == "none":
            return
        if kind == "group" and width % GROUPS:
            raise ValueError(f"{width} channels cannot be cut into {GROUPS} groups")
        learnt = Tensor(shape=(width,), trained=kind != "frozen")
        self.tensors |= {f"{name}.weight": learnt, f"{name}.bias": learnt}
        if kind == "group":
            return
        counted = Tensor(shape=(width,), trained=False)
        self.tensors |= {f"{name}.running_mean": counted, f"{name}.running_var": counted}
        if kind == "batch":
            self.tensors[f"{name}.num_batches_tracked"] = Tensor(shape=(), trained=False)

    def layer(
        self,
        name: str,
        before: int,
        after: int,
        kernel: int,
        norm: str,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        """Add ``Conv2dNormActivation``: a bias where no normalisation follows, or if told."""
        bias = bias or norm == "none"
        self.convolution(f"{name}.0", before, after, kernel, bias=bias, groups=groups)
        self.norm(f"{name}.1", after, norm)
