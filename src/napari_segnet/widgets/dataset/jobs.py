"""The jobs of the training set; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import Dataset, Sample, add, read_labels
from napari_segnet.errors import SegnetError
from napari_segnet.export import Report, export, import_
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.dataset.pair import TrainingPair

__all__ = [
    "THUMB_PX",
    "Listed",
    "Row",
    "change_samples",
    "export_set",
    "import_into",
    "list_samples",
    "report_lines",
    "write_pair",
]

THUMB_PX = 56
"""Edge of a picture in the list."""


MOST_LINES = 12
"""Of a report are shown; of more, the number is said."""


MOST_PICTURES = 200
"""Further samples are listed without one."""


COLOURS = np.array([[0, 0, 0], [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66]])
"""Of objects in the small pictures, in turn; Okabe and Ito's, told apart by everybody."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A sample as the list shows it."""

    sample: Sample
    objects: int
    reviewed: float
    picture: npt.NDArray[np.uint8] | None
    problem: str = ""


Listed = tuple[Sample | list[str] | None, Dataset | None, tuple[Row, ...]]
"""What was added, or the lines of a report; the training set, and a row for each sample."""


@job
def write_pair(folder: Path, pair: TrainingPair) -> Generator[Progress, None, Listed]:
    """Write labels with their image into a training set, and list it."""
    yield Progress(what="writing")
    added = add(
        folder,
        pair.image,
        pair.labels,
        pair.trusted,
        source=pair.source,
        plane=pair.plane,
        classes=pair.classes,
        class_names=pair.class_names,
        review=pair.review,
        untouched=pair.untouched,
    )
    _, dataset, rows = yield from list_samples(folder)
    return added, dataset, rows


@job
def import_into(folder: Path, path: Path) -> Generator[Progress, None, Listed]:
    """Add images with labels of another program to a training set, and list it."""
    report = yield from import_(path, folder)
    _, dataset, rows = yield from list_samples(folder)
    return report_lines(report, f"added from {path.name}"), dataset, rows


@job
def export_set(folder: Path, format: str, target: Path) -> Generator[Progress, None, Listed]:
    """Write a training set in the format of another program."""
    report = yield from export(Dataset.open(folder), format, target)
    _, dataset, rows = yield from list_samples(folder)
    return report_lines(report, f"written to {target}"), dataset, rows


@job
def change_samples(folder: Path, acts: list[Any]) -> Generator[Progress, None, Listed]:
    """Do acts, each called with the folder of a training set, and list it."""
    for act in acts:
        yield Progress(what="writing")
        act(folder)
    found: Listed = yield from list_samples(folder)
    return found


@job
def list_samples(folder: Path) -> Generator[Progress, None, Listed]:
    """Return what was added, the training set, and a row for each of its samples."""
    listing = folder / "dataset.json"
    if not folder.is_dir() or not (listing.is_file() or (folder / "images").is_dir()):
        return None, None, ()
    if listing.is_file() and '"image"' not in listing.read_text(encoding="utf8"):
        return None, None, ()  # everything was taken out
    dataset = Dataset.open(folder)
    rows = []
    for number, sample in enumerate(dataset.samples):
        yield Progress(what="sample", done=number, total=len(dataset.samples))
        rows.append(_row(sample, with_picture=number < MOST_PICTURES))
    return None, dataset, tuple(rows)


def report_lines(report: Report, where: str) -> list[str]:
    """Return what is said of an import or export: the count, then all that was left out."""
    count = len(report.done)
    lines = report.text.splitlines()
    shown = lines if len(lines) <= MOST_LINES else lines[: MOST_LINES - 1]
    rest = len(lines) - len(shown)
    more = [f"And {rest} more lines; the command line shows them all."] if rest else []
    return [f"{count} image{'' if count == 1 else 's'} {where}.", *shown, *more]


def _row(sample: Sample, with_picture: bool) -> Row:
    from napari_segnet.readers import open_image

    try:
        image = open_image(sample.image)
        labels = read_labels(sample.labels, image)
        seen = 1.0
        if sample.trusted is not None:
            seen = float((read_labels(sample.trusted, image) > 0).mean())
        picture = _thumbnail(image, labels) if with_picture else None
    except SegnetError as error:
        return Row(sample=sample, objects=0, reviewed=0, picture=None, problem=str(error))
    objects = int(np.unique(labels[labels > 0]).size)
    return Row(sample=sample, objects=objects, reviewed=seen, picture=picture)


def _thumbnail(image: Any, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Return a small picture of the middle plane with its objects, uint8 ``(y, x, 3)``."""
    t, z = (int(n) for n in np.argwhere(labels.any((2, 3)))[0]) if labels.any() else (0, 0)
    step = max(1, max(labels.shape[-2:]) // THUMB_PX)
    few = slice(None, None, step)
    pixels = image.read(t=t, z=z, y=few, x=few)[0, :, 0].astype(np.float32)
    low, high = np.percentile(pixels, (1, 99.5))
    grey = np.clip((pixels - low) / max(float(high - low), 1e-9), 0, 1)
    grey = grey[:3] if image.rgb else grey[:1].repeat(3, axis=0)
    shown = (np.moveaxis(grey, 0, -1) * 255).astype(np.uint8)
    numbers = labels[t, z, few, few]
    colour = COLOURS[np.where(numbers > 0, 1 + numbers % (len(COLOURS) - 1), 0)]
    mixed = np.where((numbers > 0)[..., None], (0.6 * shown + 0.4 * colour).astype(np.uint8), shown)
    return np.ascontiguousarray(mixed)
