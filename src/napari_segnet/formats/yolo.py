"""YOLO for segmentation: a text beside each picture, a line with a polygon for each object.

https://docs.ultralytics.com/datasets/segment. Corners are shares of width and height; ``data.yaml``
names the classes. Folders lie as there (``images/train`` with ``labels/train``) or as Roboflow has
them (``train/images`` with ``train/labels``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_yaml
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import OBJECT, Drawing, Loop, loops_of, pair_of
from napari_segnet.formats._match import stem_of
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import pictures, save_image, side_named

__all__ = ["YoloSeg"]

LISTINGS = ("data.yaml", "data.yml", "dataset.yaml")
BOX = 5
"""Numbers in the line of a box: class, middle, width and height."""
DIGITS = 6
"""Behind the point: a hundredth of a pixel of pictures with 10,000."""


class YoloSeg:
    """The format; see the module's docstring."""

    name = "yolo-seg"
    title = "YOLO segmentation: a text with polygons for each image"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = False
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by folders images and labels, with texts in the latter that are called as images.

        Others, such as a list of classes, lie beside label pictures as well.
        """
        return any(_called_alike(*both) for both in _sides(_top(path)))

    def find(self, path: Path) -> Found:
        """List the pictures; one without a text has no object, as there."""
        top = _top(path)
        names = _names(top)
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for images, labels in _sides(top):
            texts = {file.stem: file for file in sorted(labels.glob("*.txt"))}
            split = side_named(images.name) or side_named(images.parent.name)
            for picture in pictures(images):
                text = texts.pop(stem_of(picture), None)
                entries.append(
                    Entry(name=picture.name, read=partial(_pair, picture, text, names, split))
                )
            why = "has no image of its name"
            left_out += [Remark(kind="text", what=f.name, why=why) for f in texts.values()]
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures, texts and in the end the names of classes."""
        kinds: list[str] = []
        sides: set[str] = set()
        for pair in pairs:
            side = pair.split or "train"
            sides.add(side)
            kinds += [name for name in pair.class_names[1:] if name not in kinds]
            loops = loops_of(pair)
            kinds += [k for k in dict.fromkeys(loop.kind for loop in loops) if k not in kinds]
            height, width = pair.labels.shape[-2:]
            save_image(folder / "images" / side / f"{pair.name}.tif", pair.image)
            text = "".join(_lines(loops, kinds, width, height))
            write_whole(
                folder / "labels" / side / f"{pair.name}.txt", partial(write_text, text=text)
            )
            yield pair.name
        write_whole(folder / LISTINGS[0], partial(write_text, text=_listing(kinds, sides)))


def _top(path: Path) -> Path:
    return path.parent if path.is_file() and path.name in LISTINGS else path


def _sides(top: Path) -> list[tuple[Path, Path]]:
    """Return folders of pictures, each with that of its texts."""
    if not top.is_dir():
        return []
    images, labels = top / "images", top / "labels"
    found = [(images, labels)]
    if images.is_dir():
        found += [(p, labels / p.name) for p in sorted(images.iterdir()) if p.is_dir()]
    found += [(p / "images", p / "labels") for p in sorted(top.iterdir()) if p.is_dir()]
    return [(one, other) for one, other in found if one.is_dir() and other.is_dir()]


def _called_alike(images: Path, labels: Path) -> bool:
    texts = {file.stem for file in labels.glob("*.txt")}
    return bool(texts) and any(stem_of(picture) in texts for picture in pictures(images))


def _names(top: Path) -> dict[int, str]:
    listing = next((top / name for name in LISTINGS if (top / name).is_file()), None)
    if listing is None:
        return {}
    try:
        names: Any = parsed_yaml(listing.read_text(encoding="utf-8-sig")).get("names", {})
        rows = names.items() if isinstance(names, Mapping) else enumerate(names)
        return {int(number): str(name) for number, name in rows}
    except (ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{listing} cannot be understood ({error}): it should have names, a list of classes. "
            "Correct it."
        ) from error


def _pair(picture: Path, text: Path | None, names: Mapping[int, str], split: Any) -> Pair:
    from napari_segnet.readers import open_image

    sizes = open_image(picture).sizes
    drawings = _drawings(text, names, sizes["x"], sizes["y"]) if text is not None else []
    return pair_of(picture, drawings, None, split)


def _drawings(text: Path, names: Mapping[int, str], width: int, height: int) -> list[Drawing]:
    found = []
    lines = text.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        name = f"line {number} in {text.name}"
        try:
            values = [float(word) for word in words]
            kind = int(values[0])
            corners = (np.reshape(values[1:], (-1, 2)) * (width, height)).ravel().tolist()
        except (ValueError, OverflowError) as error:  # the class may be infinite
            found.append(Drawing(name=name, kind=OBJECT, fault=f"cannot be read ({error})"))
            continue
        fault = "is a box, which says nothing of the outline" if len(values) == BOX else ""
        own = names.get(kind, f"class {kind}")
        found.append(Drawing(name=name, kind=own, loops=(corners,), fault=fault))
    return found


def _lines(loops: list[Loop], kinds: list[str], width: int, height: int) -> Iterator[str]:
    """Yield a line for each object; its parts are joined by lines of no width, as there."""
    objects: dict[int, list[Loop]] = {}
    for loop in loops:
        objects.setdefault(loop.label, []).append(loop)
    for parts in objects.values():
        first = parts[0].corners
        way = [*first]
        for part in parts[1:]:
            way += [*first[:2], *part.corners, *part.corners[:2]]
        if len(parts) > 1:
            way += first[:2]
        shares = (np.reshape(way, (-1, 2)) / (width, height)).ravel()
        numbers = " ".join(f"{n:.{DIGITS}f}".rstrip("0").rstrip(".") for n in shares)
        yield f"{kinds.index(parts[0].kind)} {numbers}\n"


def _listing(kinds: list[str], sides: set[str]) -> str:
    import json

    train = "images/train" if "train" in sides else "images/val"
    val = "images/val" if "val" in sides else train
    rows = [f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(kinds or [OBJECT])]
    return f"path: .\ntrain: {train}\nval: {val}\nnames:\n{''.join(rows)}"
