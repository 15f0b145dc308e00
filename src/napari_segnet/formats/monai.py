"""MONAI: a JSON that lists pairs of ``image`` and ``label`` by side, as the Decathlon has it.

``training`` (with ``fold``), ``validation`` and ``test``; see ``load_decathlon_datalist`` there.
Planes of grey or RGB are PNG, all else npy: MONAI opens both without another package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.dataset import Split, open_labels, renumbered
from napari_segnet.dataset._labels import whole_numbers
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import OBJECT
from napari_segnet.formats._find_picture import PictureFinder
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import failing, pair_entry
from napari_segnet.image import Image

__all__ = ["MonaiDatalist"]

LISTING = "datalist.json"
MOST_LABELS = 2**16
SIDES: dict[str, Split] = {"training": "train", "train": "train", "validation": "val", "val": "val",
                           "test": "val", "testing": "val"}  # fmt: skip


class MonaiDatalist:
    """The format; see the module's docstring."""

    name = "monai"
    title = "MONAI datalist: a JSON of images and labels"
    ndim: tuple[int, ...] = (2, 3)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by a JSON that lists images and labels by side."""
        return _listing(path) is not None

    def find(self, path: Path) -> Found:
        """List the pairs; images without a label are said."""
        file = _listing(path) or path
        try:
            content = parsed_json(file.read_bytes(), nan=True)
            rows = [(row, side) for key, side in SIDES.items() for row in content.get(key, ())]
            names = _class_names(content)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{file} cannot be understood as a datalist of MONAI ({error!r}). Correct it."
            ) from error
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for row, side in rows:
            pair = _files(row)
            if pair is None:
                why = "has no label"
                left_out.append(Remark(kind="image", what=str(row)[:80], why=why))
                continue
            entries.append(_entry(file, *pair, names, side))
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures, and in the end what lists them."""
        rows: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
        kinds: tuple[str, ...] = ()
        for pair in pairs:
            kinds = pair.class_names or kinds
            side = "validation" if pair.split == "val" else "training"
            image, labels = (f"{where}/{pair.name}" for where in ("images", "labels"))
            ends = [
                _save(folder / where, values)
                for where, values in ((image, _moved(pair.image)), (labels, _squeezed(pair)))
            ]
            rows[side].append({"image": image + ends[0], "label": labels + ends[1]})
            yield pair.name
        about = {"labels": dict(enumerate(kinds or ("background", OBJECT))), **rows}
        text = json.dumps(about, ensure_ascii=False, indent=1)
        write_whole(folder / LISTING, partial(write_text, text=text))


def _listing(path: Path) -> Path | None:
    """Return the JSON that is one: the path itself, or one in it."""
    files = [path] if path.is_file() else sorted(path.glob("*.json")) if path.is_dir() else []
    for file in files:
        if file.suffix.lower() == ".json" and not file.name.startswith("."):
            head = file.read_bytes()
            if b'"training"' in head and b'"image"' in head and b'"label"' in head:
                return file
    return None


def _class_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    rows = content.get("labels")
    if not isinstance(rows, Mapping) or not all(str(key).isdigit() for key in rows):
        return ()
    numbers = {int(key): str(name) for key, name in rows.items()}
    if max(numbers, default=0) >= MOST_LABELS:
        raise ValueError(f"labels are numbers from 0 to {MOST_LABELS - 1}")
    return tuple(numbers.get(n, f"class {n}") for n in range(max(numbers, default=0) + 1))


def _files(row: Any) -> tuple[str, str] | None:
    """Return image and label of a row; of several images they are channels, which is refused."""
    if not isinstance(row, Mapping) or "label" not in row:
        return None
    image, label = row.get("image"), row["label"]
    if isinstance(image, list) and len(image) == 1:
        image = image[0]
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    return (image, label) if isinstance(image, str) and isinstance(label, str) else None


def _entry(file: Path, image: str, label: str, names: tuple[str, ...], side: Split) -> Entry:
    finder = PictureFinder(file, file.parent)
    try:
        files = _found(finder, image), _found(finder, label)
    except DatasetError as error:
        return failing(image, str(error))
    found = pair_entry(*files, split=side)
    arrays = files[0].suffix.lower() == ".npy"

    def read() -> Pair:
        pair = _npy_pair(*files, side) if arrays else found.read()
        own = [int(n) for n in np.unique(pair.labels) if n > 0]
        if len(names) < 3 or any(n >= len(names) for n in own):
            return pair
        return replace(pair, classes={n: n for n in own}, class_names=names)

    return Entry(name=Path(image).name, read=read)


def _found(finder: PictureFinder, name: str) -> Path:
    """Return a file: where it is named from the listing on, else where such files lie."""
    near = finder.listing.parent / name
    return near if near.is_file() else finder.find(name)


def _moved(image: Image) -> npt.NDArray[Any]:
    """Return pixels: colours last, else ``(c, t, z, y, x)`` without axes of length one."""
    block = image.read().swapaxes(0, 1)
    lengths = [image.sizes[a] for a in "ctz" if image.sizes[a] > 1]
    moved = block.reshape([*lengths, *block.shape[-2:]])
    return np.moveaxis(moved, 0, -1) if image.rgb and moved.ndim == 3 else moved


def _squeezed(pair: Pair) -> npt.NDArray[Any]:
    shape = pair.labels.shape
    numbers = pair.labels.reshape([*(n for n in shape[:2] if n > 1), *shape[2:]])
    few = int(numbers.max(initial=0)) < 2**16
    return numbers.astype(np.uint16) if few else numbers


def _save(path: Path, values: npt.NDArray[Any]) -> str:
    """Write what fits as PNG, else npy; return the ending."""
    from PIL import Image as Pillow

    grey = values.ndim == 2 and values.dtype in (np.uint8, np.uint16)
    coloured = values.ndim == 3 and values.shape[-1] == 3 and values.dtype == np.uint8
    ending = ".png" if grey or coloured else ".npy"

    def write(part: Path) -> None:
        with part.open("wb") as file:
            if ending == ".npy":
                np.save(file, values, allow_pickle=False)
            else:
                Pillow.fromarray(np.ascontiguousarray(values)).save(file, format="PNG")

    write_whole(path.with_name(path.name + ending), write)
    return ending


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        found: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"{path} cannot be read as an array ({error}). Save it again with numpy."
        ) from error
    if found.dtype.kind not in "biuf":
        raise DatasetError(f"{path} holds {found.dtype}, but pixels are numbers. Save it again.")
    return found


def _npy_pair(image: Path, labels: Path, side: Split) -> Pair:
    """Read an array, whose axes no file says: those of its labels, and channels first.

    Colours may be last, as they are written.
    """
    from napari_segnet.readers import image_stem, open_image

    shape = _array(image).shape
    if labels.suffix.lower() == ".npy":
        numbers = np.asarray(_array(labels))
    else:
        block = open_labels(labels).read()
        numbers = block.reshape([n for n in block.shape[:3] if n > 1] + list(block.shape[3:]))
    own = "tzyx"[-numbers.ndim :] if 2 <= numbers.ndim <= 4 else None
    if own is not None and len(shape) == numbers.ndim + 1:
        own = f"{own}c" if shape == (*numbers.shape, 3) else f"c{own}"
    picture = open_image(image, own if own is not None and len(own) == len(shape) else None)
    wanted = tuple(picture.sizes[a] for a in "tzyx")
    if numbers.size != math.prod(wanted) or numbers.shape[-2:] != wanted[-2:]:
        raise DatasetError(
            f"{labels} is {numbers.shape}, but its image is {wanted}. Each pixel needs one label."
        )
    whole, _ = renumbered(whole_numbers(labels, numbers.reshape(wanted)))
    return Pair(
        name=image_stem(image),
        image=picture,
        labels=whole,
        source=str(image.absolute()),
        split=side,
        drawn=True,
    )
