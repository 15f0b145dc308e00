"""COCO's JSON (https://cocodataset.org/#format-data), with run lengths or polygons.

Written: ``images/``, ``instances_train.json`` and, where images are held out,
``instances_val.json``. Read: any JSON of that kind, run lengths and polygons. Where objects
overlap, smaller ones lie on top. A crowd marks what nobody has reviewed, both ways.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.errors import DatasetError
from napari_segnet.formats._outline import fill, outlines
from napari_segnet.formats._pair import Entry, Pair
from napari_segnet.formats._pictures import save_image, side_named
from napari_segnet.formats._rle import counts_of, decode, from_text, to_text

__all__ = ["Coco", "CocoPolygons"]

OBJECT = "object"
"""What the category is called where objects have no classes."""
IMAGE_FOLDERS = ("", "images", "train", "val", "train2017", "val2017", "../images", "..")
"""Where pictures may lie, from the JSON on; ``file_name`` comes after it."""


class Coco:
    """The format with run lengths, which are exact; see the module's docstring."""

    name = "coco"
    title = "COCO JSON, run lengths"
    ndim: tuple[int, ...] = (2,)
    trusted = True
    lossless = True

    def detect(self, path: Path) -> bool:
        """Tell by a JSON that has images and annotations."""
        return bool(_listings(path))

    def find(self, path: Path) -> tuple[Entry, ...]:
        """List the images."""
        entries: list[Entry] = []
        for listing in _listings(path):
            entries.extend(_entries(listing))
        if not entries:
            raise DatasetError(f"{path} lists no images. Is it the JSON of COCO's instances?")
        return tuple(entries)

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write images, and one JSON for each side of the split."""
        return _write(pairs, folder, _run_lengths)


class CocoPolygons(Coco):
    """The format with polygons, which more programs understand but which have no holes."""

    name = "coco-polygons"
    title = "COCO JSON, polygons without holes"
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
        listing["annotations"] += _annotations(
            labels, pair.classes, number, len(listing["annotations"]), shape_of
        )
        if pair.trusted is not None:
            crowd = _unseen(~pair.trusted[0, 0], number, len(listing["annotations"]))
            listing["annotations"].append(crowd)
        yield pair.name
    categories = [
        {"id": i, "name": names[i] if i < len(names) else OBJECT if most == 1 else f"class {i}"}
        for i in range(1, max(most, len(names) - 1) + 1)
    ]
    for side, listing in listings.items():
        text = json.dumps({**listing, "categories": categories}, ensure_ascii=False)
        path = folder / f"instances_{side}.json"
        write_whole(path, partial(write_text, text=text))


def _annotations(
    labels: npt.NDArray[np.int32],
    classes: Mapping[int, int],
    image: int,
    first: int,
    shape_of: Any,
) -> list[dict[str, Any]]:
    from scipy import ndimage

    found: list[dict[str, Any]] = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == label
        y, x = box
        found.append(
            {
                "id": first + len(found) + 1,
                "image_id": image,
                "category_id": int(classes.get(label, 1)),
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": [x.start, y.start, x.stop - x.start, y.stop - y.start],
                "segmentation": shape_of(mask, labels.shape, box),
            }
        )
    return found


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
        "area": int(mask.sum()),
        "bbox": box,
        "segmentation": {"size": list(mask.shape), "counts": to_text(counts_of(mask))},
    }


def _run_lengths(
    mask: npt.NDArray[np.bool_], shape: tuple[int, int], box: tuple[slice, slice]
) -> dict[str, Any]:
    # Only the columns of the box: an image of 4096 pixels may hold thousands of objects.
    height, x = shape[0], box[1]
    strip = np.zeros((height, mask.shape[1]), bool)
    strip[box[0]] = mask
    counts = counts_of(strip)
    counts[0] += height * x.start
    rest = height * (shape[1] - x.stop)
    if len(counts) % 2:
        counts[-1] += rest
    elif rest:
        counts.append(rest)
    return {"size": list(shape), "counts": to_text(counts)}


def _polygons(mask: npt.NDArray[np.bool_], box: tuple[slice, slice]) -> list[list[float]]:
    start = (box[1].start, box[0].start)
    return [[n + start[i % 2] for i, n in enumerate(loop)] for loop in outlines(mask)]


# ---- In ----


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Listing:
    """A JSON that was read."""

    path: Path
    images: list[dict[str, Any]]
    annotations: dict[Any, list[dict[str, Any]]]
    classes: dict[Any, int]
    names: tuple[str, ...]


def _listings(path: Path) -> list[_Listing]:
    """Return the JSONs of a path that list images and annotations."""
    if path.is_file():
        files = [path] if path.suffix.lower() == ".json" else []
    elif path.is_dir():
        files = sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])
    else:
        files = []
    found = (_listing(file) for file in files)
    return [listing for listing in found if listing is not None]


def _listing(path: Path) -> _Listing | None:
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError):
        return None  # some other text, such as a settings file
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        return None
    try:
        categories = content.get("categories") or []
        ids = [category["id"] for category in categories]
        annotations: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        return _Listing(
            path=path,
            images=[{**row, "file_name": str(row["file_name"])} for row in content["images"]],
            annotations=annotations,
            classes={number: i for i, number in enumerate(ids, start=1)},
            names=("background", *(str(c.get("name", c["id"])) for c in categories)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} looks like a JSON of COCO, but cannot be understood ({error!r}). Each image "
            "needs id and file_name, each annotation image_id and segmentation."
        ) from error


def _entries(listing: _Listing) -> list[Entry]:
    return [
        Entry(name=row["file_name"], read=lambda row=row: _pair(listing, row))  # type: ignore[misc]
        for row in listing.images
    ]


def _pair(listing: _Listing, row: Mapping[str, Any]) -> Pair:
    from napari_segnet.readers import image_stem, open_image

    path = _picture(listing.path, row["file_name"])
    image = open_image(path)
    shape = (image.sizes["y"], image.sizes["x"])
    if image.sizes["t"] * image.sizes["z"] > 1:
        raise DatasetError(f"{path} is a stack, but COCO describes single planes. Split it.")
    named = tuple(row.get(key, n) for key, n in zip(("height", "width"), shape, strict=True))
    if named != shape:
        raise DatasetError(
            f"{path} has {shape[0]} x {shape[1]} pixels, but {listing.path.name} says "
            f"{named[0]} x {named[1]}. Was the picture rescaled?"
        )
    labels, trusted, classes = _labels(listing, row, shape)
    several = len(listing.names) > 2
    return Pair(
        name=image_stem(path),
        image=image,
        labels=labels[None, None],
        trusted=None if trusted.all() else trusted[None, None],
        source=str(path.absolute()),
        split=side_named(listing.path.stem),
        classes=classes if several else {},
        class_names=listing.names if several else (),
    )


def _labels(
    listing: _Listing, row: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], dict[int, int]]:
    """Paint the objects of an image, large ones first."""
    masks: list[tuple[int, int, npt.NDArray[np.bool_]]] = []
    trusted = np.ones(shape, bool)
    for annotation in listing.annotations.get(row.get("id"), []):
        mask = _mask(listing.path, annotation, shape)
        if annotation.get("iscrowd"):
            trusted &= ~mask
        elif mask.any():
            kind = listing.classes.get(annotation.get("category_id"), 1)
            masks.append((-int(mask.sum()), kind, mask))
    labels, classes = np.zeros(shape, np.int32), {}
    for label, (_, kind, mask) in enumerate(sorted(masks, key=lambda m: m[0]), start=1):
        labels[mask] = label
        classes[label] = kind
    return labels, trusted, classes


def _mask(path: Path, annotation: Mapping[str, Any], shape: tuple[int, int]) -> Any:
    shown = annotation.get("segmentation")
    try:
        if isinstance(shown, list) and shown:
            return fill(shown, shape)
        if isinstance(shown, dict):
            counts = shown["counts"]
            runs = [int(n) for n in counts] if isinstance(counts, list) else from_text(counts)
            if tuple(shown["size"]) != shape:
                raise ValueError(f"its size is {shown['size']}, the image is {list(shape)}")
            return decode(runs, shape)
        raise ValueError("it has boxes only" if "bbox" in annotation else "it has no shape")
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"The annotation {annotation.get('id')} in {path.name} has no usable segmentation "
            f"({error}). Run lengths or polygons are needed."
        ) from error


def _picture(listing: Path, name: str) -> Path:
    for folder in IMAGE_FOLDERS:
        path = listing.parent / folder / name
        if path.is_file():
            return path
    raise DatasetError(
        f"The picture {name} that {listing.name} lists is not there. Put it beside the JSON, or "
        f"into {listing.parent / 'images'}."
    )
