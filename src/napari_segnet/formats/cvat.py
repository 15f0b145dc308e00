"""CVAT's own XML, "CVAT for images 1.1": ``annotations.xml`` with all that was drawn.

https://docs.cvat.ai/docs/manual/advanced/xml_format. Shapes of one label and group are one
object, as in what CVAT itself makes of them for COCO.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import Drawing, circle, class_name, pair_of, rectangle
from napari_segnet.formats._find_picture import PictureFinder
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import save_image, side_named

__all__ = ["Cvat"]

NAME = "annotations.xml"
NO_AREA = ("polyline", "points", "cuboid", "skeleton")
NO_SHAPE = ("tag", "attribute")


class Cvat:
    """The format; see the module's docstring."""

    name = "cvat"
    title = "CVAT for images: annotations.xml"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by an XML of CVAT."""
        return bool(_xmls(path))

    def find(self, path: Path) -> Found:
        """List the pictures of every XML; one that cannot be read is named."""
        entries: list[Entry] = []
        left_out: list[Remark] = []
        files = _xmls(path)
        for file in files:
            try:
                entries += _entries(file, path)
            except DatasetError as error:
                if len(files) == 1:
                    raise
                why = f"cannot be used: {error}".rstrip(".")
                left_out.append(Remark(kind="file", what=file.name, why=why))
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write each side of the split as a folder of pictures with its XML."""
        sides: dict[str, Element] = {}
        for pair in pairs:
            side: str = pair.split or "train"
            if side not in sides:
                sides[side] = Element("annotations")
                SubElement(sides[side], "version").text = "1.1"
            save_image(folder / side / "images" / f"{pair.name}.tif", pair.image)
            _add(sides[side], pair)
            yield pair.name
        for side, root in sides.items():
            text = ElementTree.tostring(root, "unicode")
            write_whole(folder / side / NAME, partial(write_text, text=text))


def _add(root: Element, pair: Pair) -> None:
    """Add a picture with a mask for each object."""
    import fastremap
    from scipy import ndimage

    labels = pair.labels[0, 0]
    height, width = labels.shape
    attributes = {"id": str(len(root) - 1), "name": f"{pair.name}.tif"}
    image = SubElement(root, "image", {**attributes, "width": str(width), "height": str(height)})
    small, table = fastremap.renumber(labels, preserve_zero=True)
    old = {int(new): int(label) for label, new in table.items()}
    for number, box in enumerate(ndimage.find_objects(small.astype(np.int32)), start=1):
        if box is None:
            continue
        mask = small[box] == number
        SubElement(
            image,
            "mask",
            label=class_name(old[number], pair.classes, pair.class_names),
            source="manual",
            occluded="0",
            rle=", ".join(map(str, _runs(mask))),
            left=str(box[1].start),
            top=str(box[0].start),
            width=str(mask.shape[1]),
            height=str(mask.shape[0]),
            z_order="0",
        )


def _runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return how many zeros, then ones, and so on, row by row."""
    flat = mask.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs: list[int] = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


# ---- In ----


def _xmls(path: Path) -> list[Path]:
    if path.is_file():
        files = [path] if path.suffix.lower() == ".xml" else []
    elif path.is_dir():
        sides = sorted(p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None)
        roots = (path, path / "annotations", *sides)
        files = [file for root in roots for file in sorted(root.glob("*.xml"))]
    else:
        files = []
    return [file for file in files if not file.name.startswith(".") and _is_ours(file)]


def _is_ours(path: Path) -> bool:
    data = path.read_bytes().replace(b"\0", b"")  # UTF-16 has one in each letter
    return b"<annotations" in data and (b"<image " in data or b"<track " in data)


def _entries(file: Path, path: Path) -> list[Entry]:
    data = file.read_bytes()
    if b"<!" in data.replace(b"\0", b"").replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        raise DatasetError(
            f"{file} declares entities or a document type, which CVAT's files never do, so it is "
            "not read. Export it again."
        )
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DatasetError(
            f"{file} cannot be read as XML ({error}); it may be cut off. Export it again."
        ) from error
    images = list(root.iter("image"))
    if not images:
        raise DatasetError(
            f"{file} describes the tracks of a video, and names no images. Export the task as "
            "“CVAT for images 1.1”."
        )
    side = file.parent.name if path.is_dir() and file.parent != path else ""
    finder = PictureFinder(file, path if path.is_dir() else file.parent)
    return [_entry(file, image, finder, image.get("subset") or side) for image in images]


def _entry(file: Path, image: Element, finder: PictureFinder, side: str) -> Entry:
    name = image.get("name") or ""

    def read() -> Pair:
        if not name:
            raise DatasetError(f"An image in {file} has no name. Export it again.")
        try:
            size = tuple(int(float(image.get(key) or 0)) for key in ("height", "width"))
        except (ValueError, OverflowError) as error:
            raise DatasetError(
                f"{name} in {file} has no usable size ({error}). Export it again."
            ) from error
        listed = (size[0], size[1]) if all(n > 0 for n in size) else None
        drawings = _drawings(f"of {name} in {file.name}", image)
        return pair_of(finder.find(name), drawings, listed, side_named(side))

    return Entry(name=name or f"an image in {file.name}", read=read)


def _drawings(of: str, image: Element) -> list[Drawing]:
    """Return what was drawn; shapes of one label and group are one object."""
    found: dict[tuple[str, object], Drawing] = {}
    for number, shape in enumerate((s for s in image if s.tag not in NO_SHAPE), start=1):
        kind, group = shape.get("label") or "object", shape.get("group_id") or "0"
        drawing = _drawing(f"{number} ({kind}) {of}", kind, shape)
        alone = group == "0" or drawing.fault or drawing.mask is not None
        key = (kind, ("alone", number) if alone else group)
        if key in found:
            loops = (*found[key].loops, *drawing.loops)
            drawing = Drawing(name=found[key].name, kind=kind, loops=loops)
        found[key] = drawing
    return list(found.values())


def _drawing(name: str, kind: str, shape: Element) -> Drawing:
    how = shape.tag
    if how in NO_AREA:
        return Drawing(name=name, kind=kind, fault=f"is a {how}, which covers no area")
    try:
        if how == "mask":
            corner = (int(_number(shape, "top")), int(_number(shape, "left")))
            return Drawing(name=name, kind=kind, mask=_mask(shape), corner=corner)
        return Drawing(name=name, kind=kind, loops=(_corners(how, shape),))
    except (ValueError, TypeError, OverflowError) as error:
        return Drawing(name=name, kind=kind, fault=f"has no usable outline ({error})")


def _number(shape: Element, key: str) -> float:
    value = shape.get(key)
    if value is None:
        raise ValueError(f"its {key} is missing")
    return float(value)


def _mask(shape: Element) -> npt.NDArray[np.bool_]:
    height, width = int(_number(shape, "height")), int(_number(shape, "width"))
    runs = [int(n) for n in (shape.get("rle") or "").replace(",", " ").split()]
    if min(height, width, *runs, 0) < 0 or sum(runs) != height * width:
        raise ValueError(f"the runs cover {sum(runs)} of {height * width} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def _corners(how: str, shape: Element) -> list[float]:
    turn = math.radians(float(shape.get("rotation") or 0))
    if how == "polygon":
        points = (shape.get("points") or "").split(";")
        return [float(n) for point in points if point for n in point.split(",")]
    if how == "box":
        x0, y0, x1, y1 = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners = np.reshape(rectangle(x0, y0, x1, y1), (-1, 2))
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        cos, sin = math.cos(turn), math.sin(turn)
        turned: list[float] = (
            ((corners - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle).reshape(-1).tolist()
        )
        return turned
    if how == "ellipse":
        cx, cy, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        return circle(cx, cy, rx, ry, turn)
    raise ValueError(f"a {how} is no shape that is known")
