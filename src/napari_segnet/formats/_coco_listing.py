"""A JSON of COCO as a value: ids compared as numbers, classes by name, what is odd named."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.errors import DatasetError
from napari_segnet.formats._pair import Remark
from napari_segnet.formats._pictures import side_named

__all__ = ["Listing", "Listings", "key_of", "listings", "looks_like_coco", "number_of"]

PARTS = ("instances_", "person_keypoints_", "captions_")
"""Before the name of the part, as in ``instances_train2017.json``."""
ROBOFLOW = "_annotations.coco"
NO_ROOT = (None, "", "none")
"""What the class above all others, which Roboflow adds, has above itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listing:
    """A JSON that was read.

    Attributes
    ----------
    path : Path
        The file.
    side : str
        The name that tells the side of the split; may tell nothing.
    subset : str
        What it calls its part, such as ``train2017``.
    images : list of mapping
        Rows with an id that nobody else has, and ``file_name``.
    annotations : mapping of key to list
        By the key of their image.
    classes : mapping of key to int or None
        The number of each category; None: there are none, and all are objects of one class.
    names : tuple of str
        Of the classes, background first.
    head : mapping
        The rest of the JSON.
    left_out : tuple of Remark
        What could not be used.
    """

    path: Path
    side: str
    subset: str
    images: list[Mapping[str, Any]]
    annotations: Mapping[Hashable, list[Mapping[str, Any]]]
    classes: Mapping[Hashable, int] | None
    names: tuple[str, ...]
    head: Mapping[str, Any]
    left_out: tuple[Remark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listings:
    """Every JSON of COCO in a folder, and those that are not used."""

    found: tuple[Listing, ...]
    left_out: tuple[Remark, ...] = ()
    remarks: tuple[Remark, ...] = ()


def key_of(value: Any) -> Hashable:
    """Return an id so that 1, 1.0 and "1" are the same; None if it cannot be one."""
    if isinstance(value, str):
        text = value.strip()
        number = number_of(text, math.nan)
        return int(number) if number.is_integer() else text
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def number_of(value: Any, otherwise: float = 0) -> float:
    """Return a number that may be written as text, or something else where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return number if math.isfinite(number) else otherwise


def looks_like_coco(path: Path) -> bool:
    """Tell if there is a JSON that lists images and annotations."""
    return any(_content(file) is not None for file in _files(path))


def listings(path: Path) -> Listings:
    """Read every JSON of COCO of a path.

    Raises
    ------
    DatasetError
        If one looks like COCO, but cannot be understood.
    """
    found: list[Listing] = []
    left_out: list[Remark] = []
    faults: list[tuple[Path, DatasetError]] = []
    for file in _files(path):
        try:
            content = _content(file, strict=True)
        except ValueError as error:
            if file == path:
                raise DatasetError(
                    f"{file} cannot be read as JSON ({error}). Export it again."
                ) from error
            why = "is no JSON that can be read; it may be cut off"
            left_out.append(Remark(kind="file", what=file.name, why=why))
            continue
        if content is None:
            continue
        try:
            found.append(_listing(file, content))
        except DatasetError as error:
            faults.append((file, error))
    if faults and not found:
        raise faults[0][1]
    left_out += [
        Remark(kind="file", what=file.name, why=f"cannot be used: {error}".rstrip("."))
        for file, error in faults
    ]
    remarks: list[Remark] = []
    if len(found) > 1:
        # COCO 2017 describes each picture three times: objects, people's joints, sentences.
        why = "is not read: others list objects, and joints and sentences are of no use here"
        rest = [one for one in found if not _describes_objects(one)]
        if len(rest) < len(found):
            found = [one for one in found if _describes_objects(one)]
            remarks = [Remark(kind="file", what=one.path.name, why=why) for one in rest]
    return Listings(found=tuple(found), left_out=tuple(left_out), remarks=tuple(remarks))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    if not path.is_dir():
        return []
    roots = [path, path / "annotations"]
    roots += sorted(p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None)
    return [
        file
        for root in roots
        for file in sorted(root.glob("*.json"))
        if file.is_file() and not file.name.startswith(".")
    ]


def _content(path: Path, strict: bool = False) -> dict[str, Any] | None:
    """Return the JSON of a file if it lists images and annotations.

    Raises
    ------
    ValueError
        If ``strict`` and it is no JSON.
    """
    try:
        # Bytes, not text: a byte order mark, UTF-8 and UTF-16 are told apart.
        content = parsed_json(path.read_bytes(), nan=True)  # which costs its annotation alone
    except ValueError:
        if strict:
            raise
        return None
    is_coco = isinstance(content, dict) and {"images", "annotations"} <= set(content)
    return content if is_coco else None


def _describes_objects(listing: Listing) -> bool:
    joints = any("keypoints" in c for c in listing.head.get("categories") or [] if _is_row(c))
    every = [a for some in listing.annotations.values() for a in some]
    shapes = not every or any("segmentation" in a or "bbox" in a for a in every)
    return shapes and not joints


def _is_row(value: Any) -> bool:
    return isinstance(value, dict)


def _listing(path: Path, content: dict[str, Any]) -> Listing:
    rows, annotations = content["images"], content["annotations"]
    if not isinstance(rows, list) or not isinstance(annotations, list):
        raise _not_understood(path, "images and annotations must be lists")
    left_out: list[Remark] = []
    images = _images(path, rows, left_out)
    if rows and not images:
        raise _not_understood(path, left_out[0].why)
    by_image = _by_image(path, images, annotations, left_out)
    if annotations and not any(by_image.values()):
        raise DatasetError(
            f"None of the {len(annotations)} annotations in {path} belongs to one of its "
            f"{len(images)} images: {left_out[-1].what} has the image_id of none. "
            "Export it again; a part of it is missing."
        )
    classes, names = _classes(path, content.get("categories"), annotations, left_out)
    subset = path.stem
    for part in PARTS:
        subset = subset.removeprefix(part)
    return Listing(
        path=path,
        side=path.parent.name if path.stem == ROBOFLOW else path.stem,
        subset="" if path.stem == ROBOFLOW else subset,
        images=images,
        annotations=by_image,
        classes=classes,
        names=names,
        head={k: v for k, v in content.items() if k not in ("images", "annotations")},
        left_out=tuple(left_out),
    )


def _not_understood(path: Path, reason: str) -> DatasetError:
    return DatasetError(
        f"{path} looks like a JSON of COCO, but cannot be understood ({reason}). Each image "
        "needs id and file_name, each annotation image_id and segmentation."
    )


def _images(path: Path, rows: list[Any], left_out: list[Remark]) -> list[Mapping[str, Any]]:
    """Return the rows that can be used: with a name, and an id of their own."""
    good: dict[Hashable, Mapping[str, Any]] = {}
    doubled: set[Hashable] = set()
    for number, row in enumerate(rows, start=1):
        what = f"number {number} in {path.name}"
        key = key_of(row.get("id")) if _is_row(row) else None
        name = row.get("file_name") if _is_row(row) else None
        if not isinstance(name, str | int | float) or not str(name).strip():
            left_out.append(Remark(kind="image", what=what, why="has no file_name"))
        elif key is None:
            left_out.append(Remark(kind="image", what=what, why="has no id"))
        elif key in good and str(good[key]["file_name"]) == str(name):
            continue  # the same line twice
        elif key in good:
            doubled.add(key)
            why = "has the id of another image, and it cannot be told whose the objects are"
            left_out.append(Remark(kind="image", what=f"{name} in {path.name}", why=why))
        else:
            good[key] = {**row, "file_name": str(name), "id": key}
    for key in doubled:
        name = good.pop(key)["file_name"]
        why = "has the id of another image, and it cannot be told whose the objects are"
        left_out.append(Remark(kind="image", what=f"{name} in {path.name}", why=why))
    return list(good.values())


def _by_image(
    path: Path, images: list[Mapping[str, Any]], rows: list[Any], left_out: list[Remark]
) -> dict[Hashable, list[Mapping[str, Any]]]:
    known = {row["id"] for row in images}
    found: dict[Hashable, list[Mapping[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows, start=1):
        key = key_of(row.get("image_id")) if _is_row(row) else None
        if key in known:
            found[key].append(row)
            continue
        own = row.get("id", f"number {number}") if _is_row(row) else f"number {number}"
        why = "has an image_id that is of no image that is listed and can be used"
        left_out.append(Remark(kind="annotation", what=f"{own} in {path.name}", why=why))
    return found


def _classes(
    path: Path, categories: Any, annotations: list[Any], left_out: list[Remark]
) -> tuple[dict[Hashable, int] | None, tuple[str, ...]]:
    """Return the number of each category, and the names; equal names are one class."""
    used = {key_of(a.get("category_id")) for a in annotations if _is_row(a)}
    rows = [row for row in categories or [] if _is_row(row)] if _is_list(categories) else []
    if not rows:
        ids = sorted((key for key in used if key is not None), key=str)
        if len(ids) < 2:
            return None, ()
        return {key: i for i, key in enumerate(ids, 1)}, ("background", *map(_numbered, ids))
    classes: dict[Hashable, int] = {}
    names: list[str] = ["background"]
    for row in rows:
        key, name = key_of(row.get("id")), str(row.get("name") or _numbered(row.get("id")))
        if key is None:
            why = "has no id that is a number or a text"
            left_out.append(Remark(kind="category", what=f"{name} in {path.name}", why=why))
            continue
        if key not in used and _is_root(row, rows):
            continue
        if name not in names[1:]:
            names.append(name)
        number = names.index(name, 1)
        if classes.setdefault(key, number) != number:
            raise DatasetError(
                f"In {path} two categories have the id {key}: {names[classes[key]]!r} and "
                f"{name!r}. Give each its own, and the annotations that of their category."
            )
    return classes, tuple(names)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _numbered(key: Any) -> str:
    return f"class {key}"


def _is_root(row: Mapping[str, Any], rows: list[Any]) -> bool:
    """Tell if a category only stands above others."""
    below = [r for r in rows if r is not row and r.get("supercategory") == row.get("name")]
    return row.get("supercategory") in NO_ROOT and bool(below)
