"""Dataset: a folder of approved pairs, with ``dataset.json`` or without."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.dataset._label_picture import LABEL_ENDINGS
from napari_segnet.dataset._sample import Sample, Split, held_out, sides
from napari_segnet.errors import DatasetError
from napari_segnet.settings import type_name

__all__ = ["FOLDERS", "FORMAT", "LISTING", "Dataset", "Listing", "read_folder", "read_listing"]

LISTING = "dataset.json"
FORMAT = 1
"""Version of the listing; a newer one is refused."""
FOLDERS = ("images", "labels", "trusted", "objects")
"""Keys of a row that name a file, except that the first is called ``image``."""
EXAMPLE = (
    '{"samples": [{"image": "images/a.tif", "labels": "labels/a.tif", "source": "a", "split": '
    '"train"}]}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Approved pairs; those of one source are all on one side of the split.

    Attributes
    ----------
    root : Path
        The folder.
    samples : tuple of Sample
        What can be used.
    problems : tuple of str
        A sentence for each file or line that cannot, naming it.
    class_names : tuple of str
        Background first; empty where the objects have no classes.
    """

    root: Path
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        splits: dict[str, Split] = {}
        for sample in self.samples:
            if sample.box is not None:
                continue  # two regions of one image that do not overlap
            if splits.setdefault(sample.source, sample.split) != sample.split:
                raise DatasetError(
                    f"The source image {sample.source!r} stands on both sides of the split in "
                    f"{self.root}, so its score would be too good. Give all its samples the "
                    "same split."
                )

    @classmethod
    def open(cls, root: Path) -> Dataset:
        """Open a folder; what is damaged in it is named in ``problems``.

        Raises
        ------
        DatasetError
            If there is no usable pair in it, or ``dataset.json`` cannot be understood.
        """
        if not isinstance(root, str | os.PathLike):
            raise DatasetError(
                f"A dataset is a folder, not {type_name(root)}. Give the path of one with the "
                "folders images and labels."
            )
        return read_folder(Path(root))

    def of(self, split: Split) -> tuple[Sample, ...]:
        """Return the samples on one side of the split."""
        return tuple(s for s in self.samples if s.split == split)


@dataclass(slots=True, kw_only=True)
class Listing:
    """The content of ``dataset.json``, to be read, changed and written under a lock."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    class_names: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the text of the file, one sample a line."""
        lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in self.rows)
        names = json.dumps(list(self.class_names), ensure_ascii=False)
        return f'{{"format": {FORMAT},\n "class_names": {names},\n "samples": [\n{lines}\n ]}}\n'


def read_folder(root: Path) -> Dataset:
    """Open a folder with or without a listing; see ``Dataset.open``."""
    if not root.is_dir():
        raise DatasetError(
            f"{root} is not a folder. A dataset is a folder with the folders images and labels."
        )
    listing = root / LISTING
    problems: list[str] = []
    names: tuple[str, ...] = ()
    if listing.is_file():
        read = read_listing(root)
        names = read.class_names
        samples = _listed(root, read.rows, problems)
    else:
        samples = _paired(root, problems)
    if not samples and problems:
        more = f" And {len(problems) - 1} more." if len(problems) > 1 else ""
        raise DatasetError(f"Nothing in {root} can be used. {problems[0]}{more}")
    if not samples:
        raise DatasetError(
            f"{root} holds no pair of files. Put images into {root / 'images'} and label "
            f"images with the same names into {root / 'labels'}."
        )
    return Dataset(root=root, samples=samples, problems=tuple(problems), class_names=names)


def read_listing(root: Path) -> Listing:
    """Read ``dataset.json``; without one, list the pairs that lie in the folder.

    Raises
    ------
    DatasetError
        If it cannot be understood as a whole.
    """
    path = root / LISTING
    if not path.is_file():
        return Listing(rows=[_as_row(root, s) for s in _all_paired(root)])
    try:
        content = parsed_json(path.read_text(encoding="utf8"), file_names=True)
        rows, names = content["samples"], content.get("class_names", [])
        if not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("samples must be a list of objects, class_names one of texts")
        version = content.get("format", FORMAT)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path} cannot be understood ({error!r}). It should look like {EXAMPLE}. Mend it, "
            "or remove it to pair files by name."
        ) from error
    if not isinstance(version, int) or version > FORMAT:
        raise DatasetError(
            f"{path} was written by a newer napari-segnet (format {version}, this one knows "
            f"{FORMAT}). Update napari-segnet."
        )
    return Listing(rows=rows, class_names=tuple(names))


def _listed(root: Path, rows: list[Any], problems: list[str]) -> tuple[Sample, ...]:
    good = [row for number, row in enumerate(rows) if _is_row(root, number, row, problems)]
    fixed = {source_of(row): row["split"] for row in good if row.get("split")}
    split = sides(source_of(row) for row in good)
    if fixed:  # whoever decides for some has a split in mind
        split = {source: fixed.get(source) or held_out(source) for source in split}
    found = (_sample(root, row, split) for row in good)
    return tuple(sample for sample in found if _is_there(sample, problems))


def _is_row(root: Path, number: int, row: Any, problems: list[str]) -> bool:
    """Tell if a line of the listing can be understood."""
    fault = None
    if not isinstance(row, dict):
        fault = f"it is {type(row).__name__}, not an object"
    elif not all(isinstance(row.get(key), str) and row[key] for key in ("image", "labels")):
        fault = "it does not name an image and labels"
    elif row.get("split") not in (None, "", "train", "val"):
        fault = f"split {row['split']!r} is neither 'train' nor 'val'"
    elif not all(isinstance(row.get(key) or "", str) for key in ("trusted", "objects", "plane")):
        fault = "trusted, objects and plane must be texts"
    if fault:
        problems.append(
            f"Sample {number + 1} in {root / LISTING} cannot be understood ({fault}). It should "
            f"look like {EXAMPLE}."
        )
    return fault is None


def source_of(row: Mapping[str, Any]) -> str:
    """Return the source that a row names, or else the stem of its image."""
    return str(row.get("source") or Path(row["image"]).stem)


def _sample(root: Path, row: Mapping[str, Any], split: Mapping[str, Split]) -> Sample:
    def file(key: str) -> Path | None:
        return root / row[key] if row.get(key) else None

    source = source_of(row)
    return Sample(
        image=root / row["image"],
        labels=root / row["labels"],
        trusted=file("trusted"),
        source=source,
        split=row.get("split") or split[source],
        plane=row.get("plane") or "",
        objects=file("objects"),
        added=bool(row.get("digest")),
        untouched=row.get("untouched") is True,
    )


def _is_there(sample: Sample, problems: list[str]) -> bool:
    """Tell if the files of a sample are there; the rest of a damaged dataset goes on without."""
    for what, path in (
        ("image", sample.image),
        ("labels", sample.labels),
        # Without this mask everything would count as reviewed.
        ("reviewed part", sample.trusted),
    ):
        if path is None:
            continue
        try:
            gone = not path.is_file()
            empty = not gone and path.stat().st_size == 0
        except (OSError, ValueError):  # an impossible name
            gone, empty = True, False
        if gone or empty:
            problems.append(
                f"{path} {'is empty' if empty else 'is missing'} ({what} of {sample.name}). Put "
                "it back, or remove the sample from the dataset."
            )
            return False
    return True


def _as_row(root: Path, sample: Sample) -> dict[str, Any]:
    """Return the line of a sample of a folder without a listing."""
    row = {
        "image": sample.image.relative_to(root).as_posix(),
        "labels": sample.labels.relative_to(root).as_posix(),
        "source": sample.source,
        "split": sample.split,
    }
    if sample.trusted is not None:
        row["trusted"] = sample.trusted.relative_to(root).as_posix()
    return row


def _all_paired(root: Path) -> tuple[Sample, ...]:
    """Pair files for a first listing; what is doubled would never be spoken of again."""
    doubled: list[str] = []
    for folder in ("images", "labels", "trusted"):
        _by_stem(root / folder, doubled)
    if doubled:
        raise DatasetError(f"{doubled[0]} Then add to this dataset again.")
    return _paired(root, [])


def _paired(root: Path, problems: list[str]) -> tuple[Sample, ...]:
    doubled: list[str] = []
    names = ("images", "labels", "trusted")
    every = [_by_stem(root / name, doubled) for name in names]
    images, labels, trusted = ({s: p for s, p in found.items() if p} for found in every)
    unclear = {stem for found in every for stem, path in found.items() if path is None}
    problems += doubled
    problems += [
        f"{path} has no label image of the same name. Add one to {root / 'labels'}, or take "
        "the image out."
        for stem, path in sorted(images.items())
        if stem not in labels and stem not in unclear
    ]
    problems += [
        f"{path} has no image of the same name. Add one to {root / 'images'}, or take the label "
        "image out."
        for stem, path in sorted(labels.items())
        if stem not in images and stem not in unclear
    ]
    good = (stem for stem in sorted(images) if stem in labels and stem not in unclear)
    both = {stem: images[stem] for stem in good}
    split = sides(both)
    found = (
        Sample(
            image=path,
            labels=labels[stem],
            trusted=trusted.get(stem),
            source=stem,
            split=split[stem],
        )
        for stem, path in both.items()
    )
    return tuple(sample for sample in found if _is_there(sample, problems))


def _by_stem(folder: Path, doubled: list[str]) -> dict[str, Path | None]:
    """Return the pictures in a folder by stem; None where there are several, which is said."""
    from napari_segnet.readers import ends_as_image, image_stem, one_spelling

    if not folder.is_dir():
        return {}
    others = LABEL_ENDINGS if folder.name != "images" else ()
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        known = ends_as_image(path) or path.suffix.lower() in others
        if not path.name.startswith(".") and known and path.is_file():
            stem = one_spelling(image_stem(path)).removesuffix(".labels").removesuffix(".ome")
            found.setdefault(stem, []).append(path)
    doubled += [
        f"{folder} holds two files for {stem!r}: {paths[0].name} and {paths[1].name}. "
        "Remove one of them."
        for stem, paths in found.items()
        if len(paths) > 1
    ]
    return {stem: paths[0] if len(paths) == 1 else None for stem, paths in found.items()}
