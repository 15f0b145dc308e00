"""Operations of torch by name, with the arguments that TorchScript and torch.export write.

https://pytorch.org/docs/stable/torch.html; the order of arguments is that of
https://github.com/pytorch/pytorch/blob/v2.8.0/aten/src/ATen/native/native_functions.yaml

Each draws what it does to a map into a graph, or computes with sizes; none runs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_segnet.programs._torch._layers import LAYERS
from napari_segnet.programs._torch._numbers import NUMBERS, Run, alike, rank_of, truth
from napari_segnet.programs._torch._pointwise import POINTWISE
from napari_segnet.programs._torch._views import VIEWS
from napari_segnet.programs._torch._windows import WINDOWS

__all__ = ["OPERATIONS", "Run", "alike", "rank_of", "truth"]

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    **NUMBERS,
    **POINTWISE,
    **LAYERS,
    **WINDOWS,
    **VIEWS,
}
"""What draws or computes each, by its name without ``torch.``."""
