"""Shapes as SVG, and as pixels."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.diagram._drawing import Box, Diagram, Line, Words

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["pixels", "svg"]

HEAD_PX = 5.0
"""Length of the head of an arrow."""
ZOOM = 2.0


def svg(diagram: Diagram) -> str:
    """Return a picture as the text of an SVG file."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{diagram.width}" '
        f'height="{diagram.height}" viewBox="0 0 {diagram.width} {diagram.height}" '
        'font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *(_element(shape) for shape in diagram.shapes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _element(shape: Box | Line | Words) -> str:
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" '
            f'height="{shape.height:g}" rx="3" fill="{shape.fill}" stroke="{shape.line}" '
            'stroke-width="2"/>'
        )
    if isinstance(shape, Line):
        points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
        head = " ".join(f"{x:.2f},{y:.2f}" for x, y in _head(shape))
        return (
            f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="1.5"/>'
            f'<polygon points="{head}" fill="{shape.colour}"/>'
        )
    anchor = ' text-anchor="middle"' if shape.centred else ""
    return (
        f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size}" fill="{shape.colour}" '
        f'dominant-baseline="central"{anchor}>{escape(shape.text)}</text>'
    )


def pixels(diagram: Diagram, zoom: float = ZOOM) -> npt.NDArray[np.uint8]:
    """Return a picture as pixels.

    Parameters
    ----------
    diagram : Diagram
        The picture.
    zoom : float
        Pixels per pixel of the diagram.

    Returns
    -------
    ndarray
        ``(y, x, 3)`` uint8.
    """
    from PIL import Image as Picture
    from PIL import ImageDraw

    size = math.ceil(diagram.width * zoom), math.ceil(diagram.height * zoom)
    sheet = Picture.new("RGB", size, "#ffffff")
    pen = ImageDraw.Draw(sheet)
    for shape in diagram.shapes:
        _paint(pen, shape, zoom)
    return np.array(sheet)


def _paint(pen: ImageDraw, shape: Box | Line | Words, zoom: float) -> None:
    if isinstance(shape, Box):
        corners = (
            shape.x * zoom,
            shape.y * zoom,
            (shape.x + shape.width) * zoom,
            (shape.y + shape.height) * zoom,
        )
        pen.rounded_rectangle(
            corners, 3 * zoom, fill=shape.fill, outline=shape.line, width=round(2 * zoom)
        )
    elif isinstance(shape, Line):
        points = [(x * zoom, y * zoom) for x, y in shape.points]
        pen.line(points, fill=shape.colour, width=max(1, round(1.5 * zoom)), joint="curve")
        pen.polygon([(x * zoom, y * zoom) for x, y in _head(shape)], fill=shape.colour)
    else:
        at = (shape.x * zoom, shape.y * zoom)
        anchor = "mm" if shape.centred else "lm"
        pen.text(at, shape.text, fill=shape.colour, font=_font(shape.size * zoom), anchor=anchor)


def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _head(line: Line) -> list[tuple[float, float]]:
    """Return the three corners of the head at the end of a line."""
    (x, y), (to_x, to_y) = line.points[-2:]
    length = math.hypot(to_x - x, to_y - y) or 1.0
    along, across = (to_x - x) / length * HEAD_PX, (to_y - y) / length * HEAD_PX
    return [
        (to_x, to_y),
        (to_x - along - across / 2, to_y - across + along / 2),
        (to_x - along + across / 2, to_y - across - along / 2),
    ]
