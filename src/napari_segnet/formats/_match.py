"""Which label picture belongs to which image, by what programs call them.

The same name counts first; then names without the words that programs put behind or before
them: ``cell_1.jpg`` with ``cell_1_mask.png``, ``003_img.png`` with ``003_masks.png``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Match", "Matches", "is_label_name", "match", "stem_of"]

LABEL_WORDS = "cp_masks|masks?|labels?|lbl|seg|segmentation|gt|ground_?truth|instances?|manual1"
"""Cellpose, Carvana, our own, ISIC, DRIVE (``21_manual1.gif``), and plain words."""
IMAGE_WORDS = "img|image|im|raw|training|test|0000"
"""``003_img.png`` of Cellpose's data, ``21_training.tif`` of DRIVE, ``a_0000.png`` of nnU-Net."""
BEHIND_LABEL = re.compile(rf"[._ -]({LABEL_WORDS})$", re.IGNORECASE)
BEFORE_LABEL = re.compile(rf"^({LABEL_WORDS})[._ -]", re.IGNORECASE)
BEHIND_IMAGE = re.compile(rf"[._ -]({IMAGE_WORDS})$", re.IGNORECASE)
BEFORE_IMAGE = re.compile(rf"^({IMAGE_WORDS})[._ -]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An image and every label picture that could be its own: one, none, or too many."""

    image: Path
    labels: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Images with their labels, and label pictures that belong to no image."""

    found: tuple[Match, ...]
    rest: tuple[Path, ...] = ()


def stem_of(path: Path) -> str:
    """Return the name without endings: that of ``a.ome.tif`` and ``a.labels.tif`` is ``a``."""
    from napari_segnet.readers import image_stem

    return image_stem(path).removesuffix(".labels")


def is_label_name(path: Path) -> bool:
    """Tell if a name says that this is a label picture."""
    from napari_segnet.readers import image_stem

    return BEHIND_LABEL.search(image_stem(path)) is not None


def match(images: Sequence[Path], labels: Sequence[Path]) -> Matches:
    """Find the label picture of each image; each of these belongs to one name only."""
    left = list(labels)
    found: dict[Path, tuple[Path, ...]] = {}
    for of_image, of_label in (
        (_whole, _whole),
        (_whole, _short_label),
        (_short_image, _whole),
        (_short_image, _short_label),
    ):
        by_key: dict[str, list[Path]] = defaultdict(list)
        for path in left:
            by_key[of_label(path)].append(path)
        waiting = [path for path in images if path not in found]
        keys = _unique(waiting, of_image) if of_image is _short_image else None
        for path in waiting:
            key = of_image(path)
            if key in by_key and (keys is None or key in keys):
                found[path] = tuple(by_key[key])
        taken = {path for some in found.values() for path in some}
        left = [path for path in left if path not in taken]
    return Matches(
        found=tuple(Match(image=path, labels=found.get(path, ())) for path in images),
        rest=tuple(left),
    )


def _unique(paths: Iterable[Path], key_of: Callable[[Path], str]) -> set[str]:
    """Return the keys that one path only has: ``a_img.png`` and ``a_raw.png`` stay apart."""
    count: dict[str, int] = defaultdict(int)
    for path in paths:
        count[key_of(path)] += 1
    return {key for key, number in count.items() if number == 1}


def _whole(path: Path) -> str:
    return stem_of(path)


def _short_label(path: Path) -> str:
    return _without(stem_of(path), BEHIND_LABEL, BEFORE_LABEL)


def _short_image(path: Path) -> str:
    return _without(stem_of(path), BEHIND_IMAGE, BEFORE_IMAGE)


def _without(stem: str, behind: re.Pattern[str], before: re.Pattern[str]) -> str:
    short = behind.sub("", stem)
    if short == stem:
        short = before.sub("", stem)
    return short.removesuffix(".ome") or stem
