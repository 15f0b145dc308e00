"""What the networks of segmentation-models-pytorch (MIT) share: the encoder and the head."""

from __future__ import annotations

from napari_segnet.programs.library._encoders import encoder
from napari_segnet.programs.library._pen import Miss, Pen

__all__ = ["conv", "features_of", "head"]


def features_of(pen: Pen, depth: int, stride: int = 32) -> list[str]:
    """Return the answers of the encoder at each halving, the image first.

    One that a transformer does not have is an empty text.
    """
    name = "encoder.model" if pen.has("encoder.model") else "encoder"
    found = encoder(pen, name, stride)
    # A VGG has an answer at full size in the place of the image.
    found = found[1:] if len(found) == 7 else found
    if depth < 1 or len(found) <= depth:
        raise Miss(f"its decoder has {depth} levels, its encoder {len(found) - 1}")
    return found[: depth + 1]


def conv(pen: Pen, name: str, x: str) -> str:
    """Draw a convolution, a norm where there is one, and the function between layers."""
    x = pen.conv(f"{name}.0", x)
    return pen.act(pen.norm(f"{name}.1", x) if pen.has(f"{name}.1") else x)


def head(pen: Pen, x: str, factor: int) -> str:
    """Draw the last convolution, and bring its answer to the size of the image."""
    x = pen.conv("segmentation_head.0", x)
    return pen.resize(x, factor, "linear-aligned")
