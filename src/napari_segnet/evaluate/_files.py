"""Label files: which belong together, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import LABEL_ENDINGS, open_labels
from napari_segnet.errors import DatasetError, ImageError, MismatchError
from napari_segnet.image import AXES

__all__ = [
    "LabelFile",
    "Pairing",
    "pair_folders",
    "pairing",
    "read_label_file",
    "read_labels",
    "whole_numbers",
]

LABELS = ".labels"
"""What ``segment`` puts between the stem of an image and the ending of its labels."""


def pair_folders(predicted: Path, truth: Path) -> list[tuple[str, Path, Path]]:
    """Pair label files by stem, sorted: ``cells.labels.tif`` belongs to ``cells.png``.

    Where a stem is on one side only, the words that programs add are left out, as in ``import``:
    ``a_mask.png``, ``a_cp_masks.tif`` and ``a.ome.tif`` belong to ``a.labels.tif``.

    Parameters
    ----------
    predicted, truth : Path
        Two files, which make one pair whatever they are called, or two folders. Of a
        folder, files that begin with a dot, what ``segment`` writes beside labels, and what is
        no picture are left out, and if two files share a stem, the one with ``.labels`` counts.

    Returns
    -------
    list of (str, Path, Path)
        Stem, predicted file, true file.

    Raises
    ------
    MismatchError
        If a path does not exist, one is a file and one a folder, a folder is empty or
        has two files for one stem, or a truth has no prediction (all are named).
    """
    found = pairing(predicted, truth)
    if found.failed:
        raise MismatchError(found.failed[0][1])
    return list(found.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Files of two folders.

    Attributes
    ----------
    pairs : tuple of (str, Path, Path)
        Stem, predicted file, true file.
    failed : tuple of (str, str)
        Stem and reason of each that has several files.
    without_truth : tuple of str
        Stems of predictions that have no truth: they are not judged.
    """

    pairs: tuple[tuple[str, Path, Path], ...]
    failed: tuple[tuple[str, str], ...] = ()
    without_truth: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What its user should know, one sentence each."""
        if not self.without_truth:
            return ()
        return (f"Not judged, since they have no truth: {_listed(self.without_truth)}.",)


def pairing(predicted: Path, truth: Path) -> Pairing:
    """Pair label files as :func:`pair_folders` does; a stem with several files fails alone.

    Raises
    ------
    MismatchError
        As :func:`pair_folders`, but for a stem with several files.
    """
    for path in (predicted, truth):
        if not path.exists():
            raise MismatchError(f"There is no file or folder {path}. Check its name.")
    if predicted.is_dir() != truth.is_dir():
        folder, file = (predicted, truth) if predicted.is_dir() else (truth, predicted)
        raise MismatchError(
            f"Give two files or two folders: {folder} is a folder, {file} is a file."
        )
    if predicted.is_file():
        return Pairing(pairs=((_stem(predicted), predicted, truth),))
    failed: dict[str, str] = {}
    ours, theirs = _by_stem(predicted, failed), _by_stem(truth, failed)
    theirs = _named_alike(ours, theirs, failed)
    if theirs.keys() - ours.keys():  # a prediction that is missing must not better the scores
        raise MismatchError(
            "Every truth needs its prediction, a file of the same stem."
            + _unpaired(ours.keys() - theirs.keys(), predicted, truth)
            + _unpaired(theirs.keys() - ours.keys(), truth, predicted)
            + " Add what is missing or move the others out of the folder."
        )
    good = [stem for stem in sorted(theirs) if stem not in failed]
    return Pairing(
        pairs=tuple((stem, ours[stem], theirs[stem]) for stem in good),
        failed=tuple(sorted(failed.items())),
        without_truth=tuple(sorted(ours.keys() - theirs.keys())),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelFile:
    """The numbers of a label file.

    Attributes
    ----------
    pixels : ndarray
        Whole numbers, without axes of length one.
    axes : str
        A letter for each dimension.
    pixel_size_um : mapping of str to float
        Micrometres per pixel by letter; what is not known is absent.
    """

    pixels: npt.NDArray[np.integer[Any]]
    axes: str
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)


def read_labels(path: Path) -> npt.NDArray[np.integer[Any]]:
    """Read the numbers of a label file, without axes of length one.

    Raises
    ------
    ImageError
        If it cannot be read, or is coloured, or has broken numbers.
    """
    return read_label_file(path).pixels


def read_label_file(path: Path) -> LabelFile:
    """Read a label file.

    Raises
    ------
    ImageError
        If it cannot be read, or is coloured, or has broken numbers.
    """
    try:
        image = open_labels(path)
    except DatasetError as error:
        raise ImageError(str(error)) from error
    # Channels without colours are planes: ImageJ calls those of a label stack so.
    if image.rgb:
        raise ImageError(
            f"{path.name} has {image.sizes['c']} channels (colours); labels need one number per "
            "pixel: 0 for background, then one per object. Export the label image itself, not a "
            "coloured image of it."
        )
    block = image.read()
    axes = "".join(axis for axis, n in zip(AXES, block.shape, strict=True) if n > 1)
    return LabelFile(
        pixels=whole_numbers(np.squeeze(block), path.name),
        axes=axes.replace("c", "t" if "z" in axes else "z"),
        pixel_size_um=image.pixel_size_um,
    )


def whole_numbers(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return numbers as integers where they are whole, or raise ``ImageError`` for ``name``."""
    if pixels.dtype.kind == "f":
        whole = np.rint(pixels)
        if not np.isfinite(pixels).all() or not np.array_equal(whole, pixels):
            raise ImageError(
                f"{name} has broken numbers ({pixels.dtype}); labels are whole numbers: 0 for "
                "background, then one per object. Is it an image or a probability map?"
            )
        pixels = whole.astype(np.int64)
    return pixels


def _stem(path: Path) -> str:
    from napari_segnet.readers import image_stem, one_spelling

    return one_spelling(image_stem(path)).removesuffix(LABELS)


def _by_stem(folder: Path, failed: dict[str, str]) -> dict[str, Path]:
    """Return the file of each stem; a stem with several is put among what failed."""
    files: dict[str, list[Path]] = {}
    for path in _pictures(folder):
        files.setdefault(_stem(path), []).append(path)
    if not files:
        raise MismatchError(f"There are no label files in the folder {folder}.")
    chosen = {stem: _chosen(paths) for stem, paths in files.items()}
    for stem, paths in chosen.items():
        if len(paths) > 1:
            failed[stem] = (
                f"Several files could be the labels of {stem}: "
                f"{', '.join(path.name for path in paths)}. Leave one of them in {folder}."
            )
    return {stem: paths[0] for stem, paths in chosen.items()}


def _named_alike(
    ours: dict[str, Path], theirs: dict[str, Path], failed: dict[str, str]
) -> dict[str, Path]:
    """Give a truth the stem of its prediction where programs add words: ``a_mask`` to ``a``.

    Equal names come first; of the rest a name counts if it is one file's on either side.
    """
    from napari_segnet.formats._match import match

    left = {path: stem for stem, path in ours.items() if stem not in theirs}
    rest = {path: stem for stem, path in theirs.items() if stem not in ours and stem not in failed}
    new = dict(theirs)
    for one, other in ((left, rest), (rest, left)):  # the words may stand on either side
        for found in match(tuple(one), tuple(other)).found:
            if len(found.labels) != 1 or found.image not in one or found.labels[0] not in other:
                continue
            mine, its = (found.image, found.labels[0])
            our, their = (mine, its) if one is left else (its, mine)
            new[left[our]] = new.pop(rest[their])
            del left[our], rest[their]
    return new


def _pictures(folder: Path) -> list[Path]:
    """Return what may be labels, sorted: pictures that ``segment`` has not written beside some."""
    from napari_segnet.readers import ends_as_image, image_stem, one_spelling
    from napari_segnet.writers import WRITERS

    shown = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    beside = tuple(each.ending for each in WRITERS if not each.ending.startswith(LABELS))
    stems = {_stem(path) for path in shown if image_stem(path).endswith(LABELS)}
    exported = {f"{stem}{ending}" for stem in stems for ending in beside}
    return [
        path
        for path in shown
        if (ends_as_image(path) or path.suffix.lower() in LABEL_ENDINGS)
        and not path.name.lower().endswith(".maps.tif")
        and one_spelling(path.name) not in exported
        and path.is_file()
    ]


def _chosen(paths: list[Path]) -> list[Path]:
    """Return those that are named as labels, or all where none is."""
    from napari_segnet.readers import image_stem

    return [path for path in paths if image_stem(path).endswith(LABELS)] or paths


def _unpaired(stems: Iterable[str], here: Path, there: Path) -> str:
    names = sorted(stems)
    return f" In {here} but not in {there}: {_listed(names)}." if names else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
