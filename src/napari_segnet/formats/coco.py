"""COCO's JSON (https://cocodataset.org/#format-data), with run lengths or polygons.

Written: ``images/``, ``instances_train.json`` and, where images are held out,
``instances_val.json``. Read: any JSON of that kind, run lengths and polygons. Where objects
overlap, smaller ones lie on top. In what we write, a crowd marks what nobody has reviewed; what
others mean by one, ``_coco_objects`` tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.errors import DatasetError
from napari_segnet.formats._coco_listing import Listing, listings, looks_like_coco, number_of
from napari_segnet.formats._coco_objects import NOT_REVIEWED, objects_of
from napari_segnet.formats._find_picture import PictureFinder
from napari_segnet.formats._pair import Entry, Found, Pair
from napari_segnet.formats._pictures import save_image, side_named
from napari_segnet.outlines import outlines
from napari_segnet.rle import counts_of, to_text
from napari_segnet.writers.coco import OBJECT, categories, coco_annotations, run_lengths

__all__ = ["Coco", "CocoPolygons"]


class Coco:
    """The format with run lengths, which are exact; see the module's docstring."""

    name = "coco"
    title = "COCO JSON, run lengths"
    ndim: tuple[int, ...] = (2,)
    trusted = True
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by a JSON that has images and annotations."""
        return looks_like_coco(path)

    def find(self, path: Path) -> Found:
        """List the images."""
        every = listings(path)
        entries = [entry for listing in every.found for entry in _entries(listing, path)]
        if not entries:
            raise DatasetError(f"{path} lists no images. Is it the JSON of COCO's instances?")
        inside = (remark for listing in every.found for remark in listing.left_out)
        return Found(
            entries=tuple(entries),
            left_out=(*every.left_out, *inside),
            remarks=every.remarks,
        )

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write images, and one JSON for each side of the split."""
        return _write(pairs, folder, run_lengths)


class CocoPolygons(Coco):
    """The format with polygons, which more programs understand but which have no holes."""

    name = "coco-polygons"
    title = "COCO JSON, polygons without holes"
    keeps_objects = True
    lossless = False

    def detect(self, path: Path) -> bool:
        """Never: :class:`Coco` reads both."""
        return False

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write images, and one JSON for each side of the split."""
        return _write(pairs, folder, lambda mask, _shape, box: _polygons(mask, box))


# ---- Out ----


def _write(pairs: Iterator[Pair], folder: Path, shape_of: Any) -> Iterator[str]:
    listings: dict[str, dict[str, list[dict[str, Any]]]] = {}
    names: tuple[str, ...] = ()
    most = 1
    for pair in pairs:
        names = pair.class_names or names
        most = max([most, *pair.classes.values()])
        file = f"{pair.name}.tif"
        save_image(folder / "images" / file, pair.image)
        side: str = pair.split or "train"
        listing = listings.setdefault(side, {"images": [], "annotations": []})
        number, labels = len(listing["images"]) + 1, pair.labels[0, 0]
        height, width = labels.shape
        listing["images"].append(
            {"id": number, "file_name": file, "height": height, "width": width}
        )
        first = len(listing["annotations"])
        made = coco_annotations(labels, pair.classes, number, first, shape_of)
        listing["annotations"] += made.values()
        if pair.trusted is not None:
            crowd = _unseen(~pair.trusted[0, 0], number, len(listing["annotations"]))
            listing["annotations"].append(crowd)
        yield pair.name
    found = categories(names, most)
    for side, listing in listings.items():
        text = json.dumps({**listing, "categories": found}, ensure_ascii=False)
        path = folder / f"instances_{side}.json"
        write_whole(path, partial(write_text, text=text))


def _unseen(mask: npt.NDArray[np.bool_], image: int, first: int) -> dict[str, Any]:
    """Return the annotation of what nobody has looked at: scores leave a crowd out."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = [int(v[0]) if v.size else 0 for v in (columns, rows)]
    box += [int(v[-1] - v[0] + 1) if v.size else 0 for v in (columns, rows)]
    return {
        "id": first + 1,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 1,
        NOT_REVIEWED: True,
        "area": int(mask.sum()),
        "bbox": box,
        "segmentation": {"size": list(mask.shape), "counts": to_text(counts_of(mask))},
    }


def _polygons(mask: npt.NDArray[np.bool_], box: tuple[slice, slice]) -> list[list[float]]:
    start = (box[1].start, box[0].start)
    return [[n + start[i % 2] for i, n in enumerate(loop)] for loop in outlines(mask)]


# ---- In ----


def _entries(listing: Listing, root: Path) -> list[Entry]:
    near = listing.path.parent
    top = root if root.is_dir() else near.parent if near.name == "annotations" else near
    finder = PictureFinder(listing.path, top, listing.subset)
    return [
        Entry(name=row["file_name"], read=lambda row=row: _pair(listing, row, finder))  # type: ignore[misc]
        for row in listing.images
    ]


def _pair(listing: Listing, row: Mapping[str, Any], finder: PictureFinder) -> Pair:
    from napari_segnet.readers import image_stem, open_image

    path = finder.find(row["file_name"])
    image = open_image(path)
    shape = (image.sizes["y"], image.sizes["x"])
    if image.sizes["t"] * image.sizes["z"] > 1:
        raise DatasetError(f"{path} is a stack, but COCO describes single planes. Split it.")
    # 0, which some programs write, says nothing.
    named = tuple(
        int(number_of(row.get(key))) or n for key, n in zip(("height", "width"), shape, strict=True)
    )
    if named != shape:
        raise DatasetError(
            f"{path} has {shape[0]} x {shape[1]} pixels, but {listing.path.name} says "
            f"{named[0]} x {named[1]}. Was the image rescaled?"
        )
    found = objects_of(listing, row, shape)
    classed = listing.names[1:] not in ((), (OBJECT,))
    return Pair(
        name=image_stem(path),
        image=image,
        labels=found.labels[None, None],
        trusted=None if found.trusted.all() else found.trusted[None, None],
        source=str(path.absolute()),
        split=side_named(listing.side),
        classes=found.classes if classed else {},
        class_names=listing.names if classed else (),
        left_out=found.left_out,
        remarks=found.remarks,
    )
