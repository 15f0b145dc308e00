"""Mask pictures in colours: indexed PNG, and a colour for each class.

``images`` and ``masks``; ``class_dict.csv`` says ``name,r,g,b`` for each colour, as CamVid and
DeepGlobe have it. Colours that it does not list are nothing that can be learned from.
"""

from __future__ import annotations

import colorsys
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.dataset import Split, open_labels
from napari_segnet.errors import DatasetError
from napari_segnet.formats._match import Match, match
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import failing, pictures, save_image, side_named, without_image
from napari_segnet.formats.tiff_pairs import IMAGES, LABELS, folders, inside

__all__ = ["ColouredMasks", "IndexedMasks"]

LISTING = "class_dict.csv"
LISTINGS = (LISTING, "class_dict.txt", "_classes.csv", "classes.csv")
EMPTY = ("background", "void", "unlabelled", "unlabeled")
TURN = 0.61803398875
"""The golden ratio's share: neighbouring numbers get hues that lie far apart."""
MOST_INDEXED = 254
"""255 is what nobody decided."""
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    name: str
    number: int
    colour: Colour


class ColouredMasks:
    """A colour for each class; see the module's docstring."""

    name = "rgb-masks"
    title = "masks in colours, with class_dict.csv"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by the listing of colours beside folders of pictures."""
        listing = _listing(path)
        if listing is None or not _both(path):
            return False
        # Other programs list classes without colours under the other names.
        return listing.name in LISTINGS[:2] or bool(_colours(listing))

    def find(self, path: Path) -> Found:
        """List the pairs."""
        listing = _listing(path)
        classes = _read_listing(listing) if listing is not None else []
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for images, masks, split in _both(path):
            found = match(pictures(images), pictures(masks, labels=True))
            entries += [_entry(one, classes, split) for one in found.found]
            left_out += without_image(found.rest)
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures, masks and the colours; objects without classes have one each."""
        names: tuple[str, ...] = ("background",)
        highest = 0
        for pair in pairs:
            root = folder / (pair.split or "train")
            numbers = _as_classes(pair)
            highest = max(highest, int(numbers.max(initial=0)))
            names = pair.class_names or names
            save_image(root / "images" / f"{pair.name}.tif", pair.image)
            _save_png(root / "masks" / f"{pair.name}.png", _table(highest)[numbers])
            yield pair.name
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("name", "r", "g", "b"))
        for number, colour in enumerate(_table(highest).tolist()):
            rows.writerow((names[number] if number < len(names) else f"label {number}", *colour))
        write_whole(folder / LISTING, partial(write_text, text=text.getvalue()))


class IndexedMasks:
    """Numbers with a colour table, as PASCAL VOC has them; of many objects, 16 bits without."""

    name = "indexed-masks"
    title = "masks as indexed PNG"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by the folders of PASCAL VOC."""
        return bool(self._folders(path))

    def find(self, path: Path) -> Found:
        """List the pairs."""
        from napari_segnet.formats.tiff_pairs import find_pairs

        return find_pairs(path, ("jpegimages",), ("segmentationobject", "segmentationclass"))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures and masks, each side of the split as a folder."""
        for pair in pairs:
            root = folder / (pair.split or "train")
            ids, small = np.unique(pair.labels[0, 0], return_inverse=True)
            few = ids if 0 in ids else np.array([0, *ids])
            numbers = (small + (0 not in ids)).reshape(pair.labels.shape[-2:])
            save_image(root / "JPEGImages" / f"{pair.name}.tif", pair.image)
            own = len(few) - 1 <= MOST_INDEXED
            _save_png(
                root / "SegmentationObject" / f"{pair.name}.png",
                numbers.astype(np.uint8 if own else np.uint16),
                table=own,
            )
            yield pair.name

    def _folders(self, path: Path) -> list[Any]:
        words = (("jpegimages",), ("segmentationobject",))
        return [one for root in (path, *inside(path)) if (one := folders(root, *words))]


def _both(path: Path) -> list[tuple[Path, Path, Split | None]]:
    """Return folders of images and masks, and their side."""
    if not path.is_dir():
        return []
    found: list[tuple[Path, Path, Split | None]] = []
    for root in (path, *inside(path)):
        pair = folders(root, IMAGES, (*LABELS, "label_colors"))
        if pair is not None:
            found.append((*pair, side_named(root.name) if root != path else None))
    for side in sorted(p for p in path.iterdir() if p.is_dir()):
        masks = path / f"{side.name}_labels"  # CamVid
        if masks.is_dir():
            found.append((side, masks, side_named(side.name)))
    return found


def _listing(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    return next((path / name for name in LISTINGS if (path / name).is_file()), None)


def _read_listing(path: Path) -> list[_Class]:
    """Return classes by colour; a background keeps the number 0, the others count on."""
    found: list[_Class] = []
    for name, colour in _colours(path):
        empty = name.lower() in EMPTY or (colour == (0, 0, 0) and not found)
        number = 0 if empty else 1 + max((one.number for one in found), default=0)
        found.append(_Class(name=name, number=number, colour=colour))
    if not found:
        raise DatasetError(
            f"{path} lists no colours. Expected a line for each class: name,red,green,blue with "
            "numbers from 0 to 255."
        )
    return found


def _colours(path: Path) -> list[tuple[str, Colour]]:
    """Return names and colours of a listing; none where it lists something else."""
    found: list[tuple[str, Colour]] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for row in csv.reader(file):
                words = [word.strip() for word in row]
                numbers = [int(w) for w in words[-3:] if w.isdecimal() and len(w) <= 3]
                if len(words) >= 4 and len(numbers) == 3 and max(numbers) < 256:  # no title
                    found.append((words[0], (numbers[0], numbers[1], numbers[2])))
    except csv.Error:
        return []
    return found


def _entry(found: Match, classes: list[_Class], split: Split | None) -> Entry:
    if len(found.labels) != 1:
        how = "no mask" if not found.labels else "two masks"
        return failing(found.image.name, f"{found.image} has {how} of its name. Correct that.")
    return Entry(
        name=found.image.name,
        read=partial(_pair, found.image, found.labels[0], classes, split),
    )


def _pair(path: Path, mask: Path, classes: list[_Class], split: Split | None) -> Pair:
    from napari_segnet.readers import image_stem, open_image

    image = open_image(path)
    colours = open_image(mask)
    if not colours.rgb:
        colours = open_labels(mask)
    block = colours.read()[0, :, 0]
    if block.shape[1:] != (image.sizes["y"], image.sizes["x"]):
        raise DatasetError(
            f"{mask} has {block.shape[1]} x {block.shape[2]} pixels, but its image has "
            f"{image.sizes['y']} x {image.sizes['x']}. Each pixel of the image needs a colour."
        )
    numbers, known = _decoded(block, classes, mask)
    names = ["background", *(one.name for one in classes if one.number > 0)]
    own = [int(n) for n in np.unique(numbers) if n > 0]
    remarks: tuple[Remark, ...] = ()
    if not known.all():
        why = "has colours that the listing does not name: nothing is learned there"
        remarks = (Remark(kind="mask", what=mask.name, why=why),)
    are_named = any(not name.startswith("label ") for name in names[1:])
    return Pair(
        name=image_stem(path),
        image=image,
        labels=numbers[None, None],
        trusted=None if known.all() else known[None, None],
        source=str(path.absolute()),
        split=split,
        classes={n: n for n in own} if are_named else {},
        class_names=tuple(names) if are_named else (),
        drawn=True,
        remarks=remarks,
    )


def _decoded(
    block: npt.NDArray[Any], classes: Sequence[_Class], mask: Path
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return numbers ``(y, x)`` of colours ``(c, y, x)``, and where they are known."""
    if len(block) < 3 or block.dtype != np.uint8:
        raise DatasetError(
            f"{mask} is no image in red, green and blue with 8 bits. Say --format tiff if it "
            "holds numbers."
        )
    code = block[0].astype(np.int32) << 16 | block[1].astype(np.int32) << 8 | block[2]
    numbers, known = np.zeros(code.shape, np.int32), np.zeros(code.shape, np.bool_)
    for one in classes:
        red, green, blue = one.colour
        there = code == (red << 16 | green << 8 | blue)
        numbers[there] = one.number
        known |= there
    return numbers, known


def _as_classes(pair: Pair) -> npt.NDArray[np.int32]:
    """Return classes ``(y, x)`` where objects have some, else their numbers from 1 on."""
    labels = pair.labels[0, 0]
    ids, small = np.unique(labels, return_inverse=True)
    if not pair.classes:
        numbers = np.arange(len(ids)) + (0 not in ids)
    else:
        numbers = np.array([pair.classes.get(int(n), int(n > 0)) for n in ids])
    found: npt.NDArray[np.int32] = numbers.astype(np.int32)[small].reshape(labels.shape)
    return found


def _table(highest: int) -> npt.NDArray[np.uint8]:
    """Return a colour ``(n, 3)`` for each number, black for 0; no two are alike."""
    rows: list[Colour] = [(0, 0, 0)]
    used = set(rows)
    for number in range(1, highest + 1):
        share = colorsys.hsv_to_rgb(number * TURN % 1, 0.85 - 0.4 * (number // 7 % 2), 0.95)
        red, green, blue = (round(255 * part) for part in share)
        while (red, green, blue) in used:
            blue, green = (blue + 1) % 256, green + (blue == 255)
        used.add((red, green, blue))
        rows.append((red, green, blue))
    return np.array(rows, np.uint8)


def _save_png(path: Path, values: npt.NDArray[Any], table: bool = False) -> None:
    from PIL import Image as Pillow

    def write(part: Path) -> None:
        picture = Pillow.fromarray(values)
        if table:
            picture.putpalette(_table(255).ravel().tolist())
        picture.save(part, format="PNG")

    write_whole(path, write)
