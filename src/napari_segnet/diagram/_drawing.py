"""Stages of a network as plain shapes: boxes, lines and words at their places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.diagram._stages import Link, Stage, Stages

__all__ = ["COLOURS", "Box", "Diagram", "Line", "Words", "drawn"]

COLOURS: Mapping[str, str] = {
    "read": "#2e7d32",
    "decided": "#1565c0",
    "told": "#6a1b9a",
    "assumed": "#d84315",
}
"""By how a fact is known; told apart also where red and green look alike, by their lightness."""
PALE: Mapping[str, str] = {
    "read": "#e8f5e9",
    "decided": "#e3f2fd",
    "told": "#f3e5f5",
    "assumed": "#fbe9e7",
}
INK, GREY = "#212121", "#757575"
INSIDE = ("activation", "nonlinearity", "norm_place", "padding", "dilation")
"""Facts of what happens inside a stage; the next ones of what connects stages."""
BETWEEN: Mapping[str, tuple[str, ...]] = {
    "down": ("pooling",),
    "up": ("resize", "upsampling", "up_activation"),
    "join": ("join", "skip"),
    "add": ("residual", "residual_activation"),
    "along": (),
}
EDGE_PX, MARGIN_PX = 46, 20
COLUMN_PX, LEAST_COLUMN_PX, WIDEST_PX = 78, 54, 1500
ROW_PX = 88
LEAST_PX, TALLEST_PX = 22, 58
LEGEND_PX, LEGEND_ROW_PX = 260, 17
MOST_FACTS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle; lengths in pixels, colours as ``#rrggbb``."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through points ``(x, y)`` in pixels, with a head at its end."""

    points: tuple[tuple[float, float], ...]
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A line of text; ``x`` is its left end or, where it is centred, its middle."""

    x: float
    y: float
    text: str
    size: int = 11
    colour: str = INK
    centred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """Shapes, the lowest first, on a white sheet of so many pixels."""

    width: int
    height: int
    shapes: tuple[Box | Line | Words, ...]


def drawn(found: Stages, checkpoint: Checkpoint) -> Diagram:
    """Lay out a network: time goes to the right, coarser levels lie lower."""
    stages = found.stages
    column = max(LEAST_COLUMN_PX, min(COLUMN_PX, WIDEST_PX / len(stages)))
    facts = _facts(checkpoint)
    middles = [
        (MARGIN_PX + EDGE_PX / 2 + place * column, 62 + stage.level * ROW_PX)
        for place, stage in enumerate(stages)
    ]
    heights = [_height(stage) for stage in stages]
    shapes: list[Box | Line | Words] = []
    for link in found.links:
        shapes.append(_line(link, found, middles, heights, facts))
    for place, stage in enumerate(stages):
        shapes += _stage(place, stage, middles[place], heights[place], facts)
    levels = max(stage.level for stage in stages) + 1
    below = 62 + levels * ROW_PX - 22
    legend, rows = _legend(checkpoint, facts, below)
    wide = int(2 * MARGIN_PX + EDGE_PX + (len(stages) - 1) * column)
    return Diagram(
        width=max(wide, 2 * LEGEND_PX + MARGIN_PX),
        height=int(below + (rows + 2) * LEGEND_ROW_PX),
        shapes=(*shapes, *legend),
    )


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    """Return how each fact is known that is one of the network's own."""
    return {
        name: checkpoint.known[name].source
        for name, value in checkpoint.hparams.items()
        if name in checkpoint.known and not isinstance(value, Mapping)
    }


def _weakest(names: Iterable[str], facts: Mapping[str, str]) -> str:
    """Return how the least certain of some facts is known; what is no fact was read."""
    order = tuple(COLOURS)
    return max((facts[name] for name in names if name in facts), key=order.index, default="read")


def _height(stage: Stage) -> float:
    return min(TALLEST_PX, LEAST_PX + 4 * math.log2(max(stage.channels, 1)))


def _stage(
    place: int, stage: Stage, middle: tuple[float, float], height: float, facts: Mapping[str, str]
) -> list[Box | Line | Words]:
    (x, y), known = middle, _weakest(INSIDE if place else (), facts)
    found: list[Box | Line | Words] = [
        Box(
            x=x - EDGE_PX / 2,
            y=y - height / 2,
            width=EDGE_PX,
            height=height,
            fill=PALE[_weakest(("layout",), facts)],
            line=COLOURS[known],
        ),
        Words(x=x, y=y, text=str(stage.channels), size=13, centred=True),
    ]
    low = y + height / 2 + 9
    if stage.words:
        found.append(Words(x=x, y=low, text=stage.words, size=10, colour=GREY, centred=True))
        low += 12
    end = "image" if place == 0 else (f"answer: {stage.outputs}" if stage.outputs else "")
    if end:
        found.append(Words(x=x, y=low, text=end, size=10, centred=True))
    return found


def _line(
    link: Link,
    found: Stages,
    middles: Sequence[tuple[float, float]],
    heights: Sequence[float],
    facts: Mapping[str, str],
) -> Line:
    """Draw what goes on from box to box, or over other boxes of its level as an arch."""
    colour = COLOURS[_weakest(BETWEEN[link.kind], facts)]
    (x, y), (to_x, to_y) = middles[link.first], middles[link.then]
    if link.kind in ("down", "up", "along"):
        start, end = (x + EDGE_PX / 2, y), (to_x - EDGE_PX / 2, to_y)
        if link.kind == "along":
            return Line(points=(start, end), colour=colour)
        # Down beside the box, or up beside the one that is entered: no box is crossed.
        between = (x + EDGE_PX / 2 + to_x - EDGE_PX / 2) / 2
        return Line(points=(start, (between, y), (between, to_y), end), colour=colour)
    top = min(y - heights[link.first] / 2, to_y - heights[link.then] / 2) - 14
    top -= 3 * (link.first % 3)  # arches of one level beside one another
    return Line(
        points=(
            (x, y - heights[link.first] / 2),
            (x, top),
            (to_x, top),
            (to_x, to_y - heights[link.then] / 2),
        ),
        colour=colour,
    )


def _legend(
    checkpoint: Checkpoint, facts: Mapping[str, str], top: float
) -> tuple[list[Box | Line | Words], int]:
    """Name the facts by colour, the least certain first; return how many rows that takes."""
    order = tuple(COLOURS)
    names = sorted(facts, key=lambda name: -order.index(facts[name]))[:MOST_FACTS]
    rows = math.ceil(len(names) / 2)
    found: list[Box | Line | Words] = []
    x: float = MARGIN_PX
    for source, colour in COLOURS.items():
        found += [_swatch(x, top, colour), Words(x=x + 14, y=top, text=source)]
        x += 84
    for number, name in enumerate(names):
        x = MARGIN_PX + (number // rows) * LEGEND_PX
        y = top + (1.4 + number % rows) * LEGEND_ROW_PX
        text = f"{name.replace('_', ' ')}: {_short(checkpoint.hparams[name])}"
        found += [_swatch(x, y, COLOURS[facts[name]]), Words(x=x + 14, y=y, text=text)]
    return found, rows + 1


def _swatch(x: float, y: float, colour: str) -> Box:
    return Box(x=x, y=y - 4, width=8, height=8, fill=colour, line=colour)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 28 else f"{text[:27]}…"
