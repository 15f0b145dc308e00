"""What formats of drawings share: objects drawn by hand as polygons, boxes, circles and masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import Split
from napari_segnet.errors import DatasetError
from napari_segnet.formats._paint import HIDDEN, Shape, cropped, paint, polygon_shape
from napari_segnet.formats._pair import Pair, Remark
from napari_segnet.outlines import outlines

__all__ = ["OBJECT", "Drawing", "Loop", "circle", "class_name", "loops_of", "pair_of", "rectangle"]

OBJECT = "object"
"""What the class is called where objects have none."""
CORNERS = 90
"""Of a circle; the polygon then covers 99.9 % of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """An object as it was drawn.

    Attributes
    ----------
    name : str
        For people.
    kind : str
        The name of its class.
    loops : tuple
        Corners ``x0 y0 x1 y1 ...`` of each of its parts.
    holes : tuple
        Corners of what is cut out of these.
    mask : ndarray or None
        bool ``(y, x)``, pixels that were painted, beside the loops.
    corner : tuple of int
        Row and column of the mask's first pixel.
    fault : str
        Why it cannot be used; mostly empty.
    """

    name: str
    kind: str
    loops: tuple[Sequence[float], ...] = ()
    holes: tuple[Sequence[float], ...] = ()
    mask: npt.NDArray[np.bool_] | None = None
    corner: tuple[int, int] = (0, 0)
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One outline of an object, to be written."""

    label: int
    kind: str
    corners: list[float]
    parts: int


def circle(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> list[float]:
    """Return the corners of a circle or an ellipse; ``turn`` in radians."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    across, along = rx * np.cos(angle), ry * np.sin(angle)
    xs = x + across * np.cos(turn) - along * np.sin(turn)
    ys = y + across * np.sin(turn) + along * np.cos(turn)
    corners: list[float] = np.stack([xs, ys], 1).reshape(-1).tolist()
    return corners


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    """Return the corners of a box."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def pair_of(
    path: Path, drawings: Iterable[Drawing], listed: tuple[int, int] | None, split: Split | None
) -> Pair:
    """Read a picture and paint what was drawn on it.

    ``listed``: rows and columns as the file with the drawings says, where it does.

    Raises
    ------
    DatasetError
        If the picture is of another size, or nothing that was drawn can be used.
    """
    from napari_segnet.readers import image_stem, open_image

    image = open_image(path)
    size = (image.sizes["y"], image.sizes["x"])
    if image.sizes["t"] * image.sizes["z"] > 1:
        raise DatasetError(f"{path} is a stack, but polygons are drawn on planes. Split it.")
    if listed is not None and listed != size:
        raise DatasetError(
            f"{path} has {size[0]} x {size[1]} pixels, but was drawn on with {listed[0]} x "
            f"{listed[1]}. Was the image rescaled?"
        )
    every = list(drawings)
    names = sorted({drawing.kind for drawing in every})
    shapes: list[Shape] = []
    left_out: list[Remark] = []
    for drawing in every:
        fault = drawing.fault
        try:
            y, x, mask = _pixels(drawing, size)
            fault = fault or ("" if mask.any() else "covers no pixel of the image")
        except (ValueError, TypeError) as error:
            fault = fault or f"has no usable outline ({error})"
        if fault:
            left_out.append(Remark(kind="shape", what=drawing.name, why=fault))
        else:
            kind = 1 + names.index(drawing.kind)
            shapes.append(Shape(y=y, x=x, mask=mask, kind=kind, name=drawing.name))
    if every and not shapes:
        raise DatasetError(
            f"Nothing that is drawn on {path} can be used: {left_out[0].what} {left_out[0].why}."
        )
    labels, classes, hidden = paint(shapes, size)
    left_out += [Remark(kind="shape", what=name, why=HIDDEN) for name in hidden]
    classed = names not in ([], [OBJECT])
    return Pair(
        name=image_stem(path),
        image=image,
        labels=labels[None, None],
        source=str(path.absolute()),
        split=split,
        classes=classes if classed else {},
        class_names=("background", *names) if classed else (),
        left_out=tuple(left_out),
    )


def _pixels(drawing: Drawing, size: tuple[int, int]) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Return the box and mask of what was drawn, inside of the image."""
    if drawing.mask is None:
        if not drawing.holes:
            return polygon_shape(drawing.loops, size)
        odd = np.zeros(size, bool)  # an island in a hole is there again
        for loop in (*drawing.loops, *drawing.holes):
            y, x, mask = polygon_shape([loop], size)
            odd[y : y + mask.shape[0], x : x + mask.shape[1]] ^= mask
        return cropped(odd)
    whole = np.zeros(size, bool)
    if drawing.loops:
        y, x, mask = polygon_shape(drawing.loops, size)
        whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    (y, x), (height, width) = drawing.corner, drawing.mask.shape
    low_y, low_x = max(y, 0), max(x, 0)
    part = whole[low_y : max(y + height, 0), low_x : max(x + width, 0)]
    part |= drawing.mask[low_y - y :, low_x - x :][: part.shape[0], : part.shape[1]]
    return cropped(whole)


def class_name(label: int, classes: Mapping[int, int], names: tuple[str, ...]) -> str:
    """Return what the class of a label is called."""
    kind = classes.get(label)
    if kind is None:
        return names[1] if len(names) > 1 else OBJECT
    return names[kind] if kind < len(names) else f"class {kind}"


def loops_of(pair: Pair) -> list[Loop]:
    """Return the outlines of every object of a pair, without its holes."""
    import fastremap
    from scipy import ndimage

    labels = pair.labels[0, 0]
    small, table = fastremap.renumber(labels, preserve_zero=True)
    old = {int(new): int(label) for label, new in table.items()}
    found: list[Loop] = []
    for number, box in enumerate(ndimage.find_objects(small.astype(np.int32)), start=1):
        if box is None:
            continue
        label = old[number]
        start = (box[1].start, box[0].start)
        loops = outlines(small[box] == number)
        for loop in loops:
            corners = [float(n) + start[i % 2] for i, n in enumerate(loop)]
            kind = class_name(label, pair.classes, pair.class_names)
            found.append(Loop(label=label, kind=kind, corners=corners, parts=len(loops)))
    return found
