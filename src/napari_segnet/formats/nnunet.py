"""nnU-Net's raw data: ``imagesTr``, ``labelsTr`` and ``dataset.json``.

https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md. Channels are
files of their own, ``case_0000.tif``, ``case_0001.tif``, ...; labels are classes, counted from 1.
What is held out lies in ``imagesTs`` and ``labelsTs``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.dataset import Split, numbers_of, read_any_labels
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import OBJECT
from napari_segnet.formats._match import stem_of
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import failing, pictures, save_image, save_labels
from napari_segnet.image import Image
from napari_segnet.joined import join_channels

__all__ = ["NnunetRaw"]

LISTING = "dataset.json"
SIDES: tuple[tuple[str, Split], ...] = (("Tr", "train"), ("Ts", "val"))
UM = 1000.0
"""Micrometres in a millimetre."""
IGNORE = "ignore"
"""The label of pixels that nobody decided: nothing is learned there."""
MOST_LABELS = 2**16


class NnunetRaw:
    """The format; see the module's docstring."""

    name = "nnunet"
    title = "nnU-Net raw data: imagesTr, labelsTr and dataset.json"
    ndim: tuple[int, ...] = (2, 3)
    trusted = False
    keeps_objects = False
    lossless = False
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by the names of folders and listing."""
        parts = (path / LISTING, path / "imagesTr", path / "labelsTr")
        return parts[0].is_file() and all(part.is_dir() for part in parts[1:])

    def find(self, path: Path) -> Found:
        """List the cases of both sides; those to be labelled have no labels, and are said."""
        names, ignored = _labels(path / LISTING)
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for ending, split in SIDES:
            labels = {stem_of(p): p for p in pictures(path / f"labels{ending}", labels=True)}
            for case, files in _cases(path / f"images{ending}").items():
                own = labels.pop(case, None)
                if own is not None:
                    read = partial(_pair, case, files, own, names, ignored, split)
                    entries.append(Entry(name=case, read=read))
                elif split == "train":
                    reason = f"{files[0]} has no labels in {path / 'labelsTr'}. Take it out."
                    entries.append(failing(case, reason))
                else:
                    why = "has no labels, as cases that are to be labelled"
                    left_out.append(Remark(kind="image", what=case, why=why))
            why = "has no image of its name"
            rest = labels.values()
            left_out += [Remark(kind="label image", what=p.name, why=why) for p in rest]
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write cases; in the end what labels are called, and what numbers objects to one class."""
        written: list[tuple[Path, Image]] = []
        kinds: dict[int, str] = {}
        channels: tuple[str, ...] = ()
        alike, train = False, 0
        for pair in pairs:
            ending = "Ts" if pair.split == "val" else "Tr"
            channels = _save(folder / f"images{ending}", pair.name, pair.image) or channels
            numbers, named = _numbers(pair)
            kinds |= named
            counted = numbers_of(numbers)
            alike = alike or bool(named) or counted.is_mask or counted.are_classes
            target = folder / f"labels{ending}" / f"{pair.name}.tif"
            save_labels(target, numbers, pair.image)
            _save_spacing(target.with_suffix(".json"), pair.image)
            written.append((target, pair.image))
            train += ending == "Tr"
            yield pair.name
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        highest = _as_classes(written, objects=not alike)
        labels = {"background": 0}
        for number in range(1, highest + 1):
            usual = OBJECT if not alike else f"class {number}"
            labels[kinds.get(number, usual)] = number
        about = {
            "channel_names": dict(enumerate(channels or ("image",))),
            "labels": labels,
            "numTraining": train,
            "file_ending": ".tif",
        }
        text = json.dumps(about, ensure_ascii=False, indent=1)
        write_whole(folder / LISTING, partial(write_text, text=text))


def _labels(listing: Path) -> tuple[tuple[str, ...], int | None]:
    """Return the names of labels, background first, and which one says that nobody decided.

    No names where labels are regions.
    """
    try:
        content = parsed_json(listing.read_bytes(), nan=True)
        rows: Mapping[Any, Any] = content["labels"]
        # Version 1 has them the other way round: number -> name.
        if all(str(key).isdigit() for key in rows):
            rows = {str(name): int(number) for number, name in rows.items()}
        rows = dict(rows)
        ignored = rows.pop(IGNORE, None)
        ignored = None if ignored is None else int(ignored)
        if any(isinstance(value, list) for value in rows.values()):
            return (), ignored
        numbers = {int(value): str(name) for name, value in rows.items()}
        if not all(0 <= number < MOST_LABELS for number in numbers):
            raise ValueError(f"labels are numbers from 0 to {MOST_LABELS - 1}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{listing} cannot be understood as that of nnU-Net ({error!r}). Correct it."
        ) from error
    names = (numbers.get(n, f"class {n}") for n in range(max(numbers, default=0) + 1))
    return tuple(names), ignored


def _cases(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each case by its name, in the order of channels."""
    found: dict[str, list[Path]] = {}
    for path in pictures(folder):
        case, _, number = stem_of(path).rpartition("_")
        if case and len(number) == 4 and number.isdigit():
            found.setdefault(case, []).append(path)
    return found


def _pair(
    case: str,
    files: list[Path],
    labels: Path,
    names: tuple[str, ...],
    ignored: int | None,
    split: Split,
) -> Pair:
    from napari_segnet.readers import open_image

    images = [open_image(file) for file in files]
    image = join_channels(images, case) if len(images) > 1 else images[0]
    numbers = read_any_labels(labels, image).astype(np.int32)
    undecided = numbers == ignored
    numbers[undecided] = 0
    own = [int(n) for n in np.unique(numbers) if n > 0]
    fits = bool(names) and all(n < len(names) for n in own)
    return Pair(
        name=case,
        image=replace(image, name=case, source=None),  # it is called by its case
        labels=numbers,
        trusted=~undecided if undecided.any() else None,
        source=str(files[0].absolute()),
        split=split,
        classes={n: n for n in own} if fits else {},
        class_names=names if fits else (),
        drawn=True,
    )


def _save(folder: Path, name: str, image: Image) -> tuple[str, ...]:
    """Write each channel as a file, colours as one; return the names of channels."""
    count = image.sizes["c"]
    size = image.pixel_size_um
    if image.rgb or count == 1:
        save_image(folder / f"{name}_0000.tif", image)
    else:
        axes = image.axes.replace("c", "")
        for channel in range(count):
            block = image.read(c=channel)
            data = block.reshape([image.sizes[a] for a in "tzyx" if a in axes])
            kept = "".join(a for a in "tzyx" if a in axes)
            one = Image(data=data, axes=kept, pixel_size_um=size, name=name)
            save_image(folder / f"{name}_{channel:04d}.tif", one)
    _save_spacing(folder / f"{name}.json", image)
    if image.rgb:
        return ("R", "G", "B")
    names = image.channel_names
    return names if len(names) == count else tuple(f"channel {n}" for n in range(count))


def _save_spacing(path: Path, image: Image) -> None:
    """Write the size of voxels of a volume, which nnU-Net looks for beside TIFF."""
    if "z" in image.axes:
        size = image.pixel_size_um
        spacing = [size.get(a, size.get("x", UM)) / UM for a in "zyx"]
        text = json.dumps({"spacing": spacing})
        write_whole(path, partial(write_text, text=text))


def _numbers(pair: Pair) -> tuple[npt.NDArray[np.int32], dict[int, str]]:
    """Return labels as classes where objects have some, and what these are called."""
    if not pair.classes:
        return pair.labels, {}
    table = np.zeros(int(pair.labels.max(initial=0)) + 1, np.int32)
    for label, kind in pair.classes.items():
        if 0 <= label < len(table):
            table[label] = kind
    lone = np.unique(pair.labels[(pair.labels > 0) & (table[pair.labels] == 0)])
    table[lone] = 1
    return table[pair.labels], dict(enumerate(pair.class_names[1:], start=1))


def _as_classes(written: list[tuple[Path, Image]], objects: bool) -> int:
    """Return the highest label; where numbers are those of objects, all become 1."""
    highest = 0
    for path, image in written:
        numbers = read_any_labels(path, image)
        if objects and numbers.max(initial=0) > 1:
            numbers = (numbers > 0).astype(np.int32)
            save_labels(path, numbers, image)
        highest = max(highest, int(numbers.max(initial=0)))
    return highest
