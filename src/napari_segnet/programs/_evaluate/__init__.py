"""Partial evaluation of programs of networks: what is a size is computed, what is a map is drawn.

Front ends (ONNX, TorchScript, Python source) walk through their own language and call what is
here: numbers are ndarrays with an axis of probes in front, see ``_probes``; maps are values under
a view, see ``_values``; everything else of a network is appended to a :class:`Drawing`.
"""

from __future__ import annotations

from napari_segnet.programs._evaluate._answers import answered
from napari_segnet.programs._evaluate._drawing import Drawing, Slot
from napari_segnet.programs._evaluate._layers import (
    batch_normed,
    convolved,
    dense,
    group_normed,
    instance_normed,
    layer_normed,
    matrix_product,
    prelu,
    same_or_margins,
    transposed_convolved,
)
from napari_segnet.programs._evaluate._pointwise import (
    activated,
    affine,
    collapsed,
    combined,
    concatenated,
    number_of,
    numbers_of,
    softmaxed,
    with_constant,
)
from napari_segnet.programs._evaluate._probes import Ints, NotReadable, Probes, placed
from napari_segnet.programs._evaluate._sizes import (
    expanded,
    padded,
    picked,
    pooled,
    reduced,
    resized,
    sliced,
)
from napari_segnet.programs._evaluate._values import (
    Known,
    Places,
    Stack,
    Value,
    Weight,
    moved,
    reshaped,
)

__all__ = [
    "Drawing",
    "Ints",
    "Known",
    "NotReadable",
    "Places",
    "Probes",
    "Slot",
    "Stack",
    "Value",
    "Weight",
    "activated",
    "affine",
    "answered",
    "batch_normed",
    "collapsed",
    "combined",
    "concatenated",
    "convolved",
    "dense",
    "expanded",
    "group_normed",
    "instance_normed",
    "layer_normed",
    "matrix_product",
    "moved",
    "number_of",
    "numbers_of",
    "padded",
    "picked",
    "placed",
    "pooled",
    "prelu",
    "reduced",
    "reshaped",
    "resized",
    "same_or_margins",
    "sliced",
    "softmaxed",
    "transposed_convolved",
    "with_constant",
]
