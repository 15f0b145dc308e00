"""The tensors of the MobileNetV3 bodies of torchvision.

Howard et al. 2019 (doi 10.1109/ICCV.2019.00140), as ``_mobilenet_v3_conf`` in
https://github.com/pytorch/vision/blob/main/torchvision/models/mobilenetv3.py has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.families.maskrcnn.rows import Rows

__all__ = ["mobilenet"]

FIRST = 16
"""Channels of the first convolution, which every block counts on."""
LAST = 6
"""The last layer has so many times the channels of the last block."""

_Blocks = tuple[tuple[int, int, int, bool], ...]

BLOCKS: Mapping[str, _Blocks] = {
    "mobilenet_v3_large": (
        (3, 16, 16, False),
        (3, 64, 24, False),
        (3, 72, 24, False),
        (5, 72, 40, True),
        *((5, 120, 40, True),) * 2,
        (3, 240, 80, False),
        (3, 200, 80, False),
        *((3, 184, 80, False),) * 2,
        (3, 480, 112, True),
        (3, 672, 112, True),
        (5, 672, 160, True),
        *((5, 960, 160, True),) * 2,
    ),
    "mobilenet_v3_small": (
        (3, 16, 16, True),
        (3, 72, 24, False),
        (3, 88, 24, False),
        (5, 96, 40, True),
        *((5, 240, 40, True),) * 2,
        (5, 120, 48, True),
        (5, 144, 48, True),
        (5, 288, 96, True),
        *((5, 576, 96, True),) * 2,
    ),
}
"""For each block: edge of its kernel, channels within, channels after, whether it squeezes."""


def mobilenet(rows: Rows, hparams: Mapping[str, Any], channels: int) -> list[int]:
    """Add a body as far as the pyramid needs it; return the widths that go into it."""
    body, norm, levels = "backbone.body", hparams["norm"], hparams["levels"]
    rows.layer(f"{body}.0", channels, FIRST, 3, norm)
    blocks, widths = BLOCKS[hparams["body"]], [FIRST]
    for number, block in enumerate(blocks[: max(levels)], 1):
        _block(rows, f"{body}.{number}.block", widths[-1], block, norm)
        widths.append(block[2])
    if max(levels) > len(blocks):
        rows.layer(f"{body}.{len(blocks) + 1}", widths[-1], LAST * widths[-1], 1, norm)
        widths.append(LAST * widths[-1])
    return [widths[level] for level in levels]


def _block(
    rows: Rows, name: str, before: int, block: tuple[int, int, int, bool], norm: str
) -> None:
    """Add an inverted residual: wider, each channel by itself, squeeze, narrower."""
    kernel, within, after, squeezes = block
    number = 0
    if within != before:
        rows.layer(f"{name}.0", before, within, 1, norm)
        number = 1
    rows.layer(f"{name}.{number}", within, within, kernel, norm, groups=within)
    if squeezes:
        number += 1
        squeezed = _squeezed(within)
        rows.convolution(f"{name}.{number}.fc1", within, squeezed, 1, bias=True)
        rows.convolution(f"{name}.{number}.fc2", squeezed, within, 1, bias=True)
    rows.layer(f"{name}.{number + 1}", within, after, 1, norm)


def _squeezed(width: int) -> int:
    """Return a quarter, rounded to a multiple of 8 (``_make_divisible`` of torchvision)."""
    quarter = width // 4
    rounded = max(8, (quarter + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * quarter else rounded + 8
