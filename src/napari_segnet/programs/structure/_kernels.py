"""Numbers of convolutions that follow from their kernels."""

from __future__ import annotations

from typing import Literal

from napari_segnet.graph import Convolution, TransposedConvolution
from napari_segnet.programs.structure._units import Unit

__all__ = ["straight", "transposed"]

Axes = tuple[int, ...]


def straight(unit: Unit, stride: Axes, dilation: int, groups: int, fill: str) -> Convolution:
    """Return a convolution whose answer has the length of its input over the stride.

    An even kernel with a stride of 2 is padded by one less than its half. Without one, a pixel is
    added behind for a kernel of 2, as torch's own ``same`` does, and one more in front than behind
    for a larger one. ``fill`` ``valid``: nothing is added; ``wide``: as many pixels as a kernel of
    2 takes, in front and behind.
    """
    ones = (1,) * len(unit.kernel)
    before, after = [], []
    for edge, step in zip(unit.kernel, stride, strict=True):
        beyond = dilation * (edge - 1)
        low = beyond - beyond // 2
        if edge % 2 == 0 and (step > 1 or edge == 2):
            low = (beyond - 1) // 2
        before.append(low)
        after.append(low if step > 1 else beyond - low)
    if fill in ("valid", "wide"):
        before, after = [int(fill == "wide")] * len(ones), [int(fill == "wide")] * len(ones)
    kind: Literal["zeros", "reflect"] = "reflect" if fill == "reflect" and any(before) else "zeros"
    return Convolution(
        outputs=unit.outputs(False),
        kernel=unit.kernel,
        stride=stride,
        before=tuple(before),
        after=tuple(after),
        dilation=tuple(dilation if edge > 1 else 1 for edge in unit.kernel),
        groups=groups,
        bias=unit.layer.bias,
        fill=kind,
    )


def transposed(unit: Unit, stride: Axes, whole: bool = False) -> TransposedConvolution:
    """Return a transposed convolution whose answer has the length of its input times the stride.

    A kernel of 2 needs nothing; 3 cuts one pixel in front and behind and adds one behind; 4
    cuts one at both ends. ``whole``: nothing is cut or added.
    """
    cut, extra = [], []
    for edge, step in zip(unit.kernel, stride, strict=True):
        low = 0 if whole else (edge - step + 1) // 2
        cut.append(low)
        extra.append(0 if whole else 2 * low - (edge - step))
    return TransposedConvolution(
        outputs=unit.outputs(True),
        kernel=unit.kernel,
        stride=stride,
        before=tuple(cut),
        after=tuple(cut),
        extra=tuple(extra),
        dilation=(1,) * len(stride),
        bias=unit.layer.bias,
    )
