"""Sample, Dataset: approved pairs of image and labels on disk, split by source image.

A dataset is a plain folder that a person can read::

    my_dataset/
      images/cell_1.tif     any picture that we read
      labels/cell_1.tif     the same stem: 0 background, 1.. objects (or classes)
      trusted/cell_1.tif    optional: only pixels that are not 0 here are learned from
      dataset.json          optional: {"samples": [{"image": "images/cell_1.tif",
                            "labels": "labels/cell_1.tif", "source": "slide 7",
                            "split": "train"}]}

Without ``dataset.json`` files are paired by stem (``cell_1.labels.tif`` belongs to
``cell_1.tif``), each file is its own source, and every tenth source (by a hash of its name,
so that it never changes) is held out. Where that would be none of four or more, the one whose
hash is lowest is, so that there is something to judge by; of less than four none is, where
that would leave nothing to learn from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import DatasetError
from napari_segnet.image import Image

__all__ = ["Dataset", "Sample", "Split", "held_out", "read_labels"]

Split = Literal["train", "val"]

LEAST_TO_SHARE = 4
"""Of fewer sources none is held out for the sake of a score: each is a third of all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One approved pair.

    Attributes
    ----------
    image, labels : Path
        Picture files of the same size.
    trusted : Path or None
        A picture that is not 0 where the labels may be learned from; None: everywhere.
    source : str
        Which original image it comes from: planes and crops of one image share it.
    split : Split
        ``train``, or ``val`` for what is held out.
    """

    image: Path
    labels: Path
    trusted: Path | None = None
    source: str = ""
    split: Split = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Approved pairs; those of one source are all on one side of the split."""

    root: Path
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        sides: dict[str, Split] = {}
        for sample in self.samples:
            if sides.setdefault(sample.source, sample.split) != sample.split:
                raise DatasetError(
                    f"The source image {sample.source!r} stands on both sides of the split in "
                    f"{self.root}, so its score would be too good. Give all its samples the "
                    "same split."
                )

    @classmethod
    def open(cls, root: Path) -> Dataset:
        """Open a folder.

        Raises
        ------
        DatasetError
            If there is no pair in it, or ``dataset.json`` cannot be understood.
        """
        root = Path(root)
        listing = root / "dataset.json"
        if not root.is_dir():
            raise DatasetError(
                f"{root} is not a folder. A dataset is a folder with the folders images and labels."
            )
        samples = _listed(root, listing) if listing.is_file() else _paired(root)
        if not samples:
            raise DatasetError(
                f"{root} holds no pair of files. Put pictures into {root / 'images'} and label "
                f"pictures with the same names into {root / 'labels'}."
            )
        return cls(root=root, samples=samples)

    def of(self, split: Split) -> tuple[Sample, ...]:
        """Return the samples on one side of the split."""
        return tuple(s for s in self.samples if s.split == split)


def held_out(source: str, one_in: int = 10) -> Split:
    """Return the side of a source: one in ``one_in``, always the same for a name."""
    return "val" if _draw(source) % one_in == 0 else "train"


def _draw(source: str) -> int:
    digest = hashlib.sha256(source.encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _sides(sources: Iterable[str]) -> dict[str, Split]:
    """Return the side of each source: a tenth is held out, and one at least of four."""
    sides = {source: held_out(source) for source in sources}
    if set(sides.values()) == {"val"}:  # a picture whose name is held out should still teach
        sides = dict.fromkeys(sides, "train")
    if "val" not in sides.values() and len(sides) >= LEAST_TO_SHARE:
        # One more source moves it only if that one takes its place, which no network has seen.
        sides[min(sides, key=_draw)] = "val"
    return sides


def read_labels(path: Path, image: Image) -> npt.NDArray[np.int32]:
    """Read a label picture that belongs to an image.

    Returns
    -------
    ndarray
        int32 ``(t, z, y, x)``.

    Raises
    ------
    DatasetError
        If it has another size than the image, colours, or values that are not whole
        numbers from 0 on.
    ImageError
        If it cannot be read.
    """
    from napari_segnet.readers import open_image

    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DatasetError(
            f"{path} is a JPEG, which changes the numbers of labels when it is saved. Export the "
            "labels again as TIFF or PNG."
        )
    picture = open_image(path)
    if picture.rgb or picture.sizes["c"] > 1:
        raise DatasetError(
            f"{path} should hold one whole number per pixel (0 background, 1.. objects), "
            "but it is a colour or multichannel picture. Export the labels again as a label image."
        )
    block = picture.read()[:, 0]
    want = tuple(image.sizes[a] for a in "tzyx")
    # A file may call its planes t or z: where there is one such axis, that is no difference.
    same = block.shape == want or (
        1 in want[:2] and 1 in block.shape[:2] and sorted(block.shape[:2]) == sorted(want[:2])
    )
    if not same or block.shape[2:] != want[2:]:
        raise DatasetError(
            f"{path} is {_text(block.shape)}, but its image is {_text(want)}. Each pixel of the "
            "image needs one label."
        )
    return _whole_numbers(path, block.reshape(want))


def _whole_numbers(path: Path, labels: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels)):
        raise DatasetError(
            f"{path} holds fractions, but labels are whole numbers (0 background, 1.. objects). "
            "Is it a picture or a probability map?"
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.int32).max:
        raise DatasetError(
            f"{path} holds labels from {labels.min()} to {labels.max()}, but they go from 0 "
            "(background) to 2147483647. Set what should be ignored to 0."
        )
    return labels.astype(np.int32)


def _text(shape: tuple[int, ...]) -> str:
    planes = "" if shape[:2] == (1, 1) else f"{shape[0]} x {shape[1]} planes (t, z) of "
    return f"{planes}{shape[2]} x {shape[3]} pixels"


def _listed(root: Path, listing: Path) -> tuple[Sample, ...]:
    try:
        rows: list[dict[str, Any]] = json.loads(listing.read_text(encoding="utf8"))["samples"]
        told = {_source(row): row["split"] for row in rows if row.get("split")}
        sides = _sides(_source(row) for row in rows)
        if told:  # whoever decides for some has a split in mind
            sides = {source: told.get(source) or held_out(source) for source in sides}
        return tuple(_row(root, row, sides) for row in rows)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise DatasetError(
            f"{listing} cannot be understood ({error!r}). It should look like "
            '{"samples": [{"image": "images/a.tif", "labels": "labels/a.tif", "source": "a", '
            '"split": "train"}]}. Mend it, or remove it to pair files by name.'
        ) from error


def _source(row: dict[str, Any]) -> str:
    return str(row.get("source") or Path(row["image"]).stem)


def _row(root: Path, row: dict[str, Any], sides: Mapping[str, Split]) -> Sample:
    source = _source(row)
    split = row.get("split") or sides[source]
    if split not in ("train", "val"):
        raise ValueError(f"split {split!r} is neither 'train' nor 'val'")
    trusted = root / row["trusted"] if row.get("trusted") else None
    return Sample(
        image=root / row["image"],
        labels=root / row["labels"],
        trusted=trusted,
        source=source,
        split="val" if split == "val" else "train",
    )


def _paired(root: Path) -> tuple[Sample, ...]:
    images, labels, trusted = (_by_stem(root / n) for n in ("images", "labels", "trusted"))
    if set(images) - set(labels):
        missing = sorted(set(images) - set(labels))
        raise DatasetError(
            f"{len(missing)} of {len(images)} images in {root / 'images'} have no label picture of "
            f"the same name, first {missing[0]!r}. Add them to {root / 'labels'} or take the "
            "images out."
        )
    sides = _sides(images)
    return tuple(
        Sample(
            image=path,
            labels=labels[stem],
            trusted=trusted.get(stem),
            source=stem,
            split=sides[stem],
        )
        for stem, path in sorted(images.items())
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    from napari_segnet.readers import READERS

    if not folder.is_dir():
        return {}
    endings = tuple(suffix for reader in READERS for suffix in reader.suffixes)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        known = path.suffix.lower() in endings and path.is_file()
        if path.name.startswith(".") or not known:
            continue
        stem = path.stem.removesuffix(".labels").removesuffix(".ome")
        if stem in found:
            raise DatasetError(
                f"{folder} holds two files for {stem!r}: {found[stem].name} and {path.name}. "
                "Remove one of them."
            )
        found[stem] = path
    return found
