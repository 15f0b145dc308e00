"""The jobs of the Evaluate dock; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.error_map import KINDS, Difference, Kind, differences, draw
from napari_segnet.errors import MismatchError, SegnetError
from napari_segnet.evaluate import (
    Classes,
    Scores,
    evaluate,
    pairing,
    pool,
    read_label_file,
    whole_numbers,
)
from napari_segnet.progress import Progress, check_cancelled, job

__all__ = ["Compared", "compare", "compare_folders"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """What a comparison of two arrays gave."""

    scores: Scores
    found: tuple[Difference, ...]
    drawn: Mapping[Kind, npt.NDArray[np.int32]] = field(default_factory=dict)


@job
def compare(
    labels: Any,
    truth: Any,
    *,
    by_plane: bool,
    classes: Classes = "auto",
    axes: str | None = None,
    pixel_size_um: Mapping[str, float] | None = None,
) -> Generator[Progress, None, Compared]:
    """Score labels against truth and find the mistakes.

    Parameters
    ----------
    labels, truth : array-like
        Whole numbers of the same shape; read here.
    by_plane : bool
        Ids begin anew in each plane: planes are compared one by one, and the scores pooled.
    classes, axes, pixel_size_um
        As :func:`napari_segnet.evaluate.evaluate` takes them.
    """
    yield Progress(what="reading")
    predicted = np.asarray(labels)
    true = whole_numbers(np.asarray(truth), "The truth")
    if not by_plane:
        yield Progress(what="comparing")
        scores = evaluate(predicted, true, classes=classes, axes=axes, pixel_size_um=pixel_size_um)
        check_cancelled()
        found = differences(predicted, true)
    else:
        each, found = [], ()
        places = list(np.ndindex(predicted.shape[:-2]))
        for done, place in enumerate(places):
            yield Progress(what="plane", done=done, total=len(places))
            each.append(
                evaluate(
                    predicted[place],
                    true[place],
                    classes=classes,
                    axes=None if axes is None else axes[-2:],
                    pixel_size_um=pixel_size_um,
                )
            )
            found += _in_stack(differences(predicted[place], true[place]), place)
        scores = pool(each)
        found = tuple(sorted(found, key=lambda one: KINDS.index(one.kind)))
    yield Progress(what="drawing")
    drawn = {kind: draw(found, predicted, true, kind) for kind in KINDS}
    return Compared(scores=scores, found=found, drawn=drawn)


def _in_stack(found: tuple[Difference, ...], place: tuple[int, ...]) -> tuple[Difference, ...]:
    before = tuple(slice(i, i + 1) for i in place)
    return tuple(replace(one, box=before + one.box) for one in found)


@job
def compare_folders(predicted: Path, truth: Path) -> Generator[Progress, None, Scores]:
    """Score two folders of label files, paired by name; what cannot be compared is named."""
    scores: list[Scores] = []
    found = pairing(predicted, truth)
    failed = list(found.failed)
    for done, (stem, ours, theirs) in enumerate(found.pairs):
        check_cancelled()
        yield Progress(what="image", done=done, total=len(found.pairs))
        try:
            mine, its = read_label_file(ours), read_label_file(theirs)
            sizes = {**mine.pixel_size_um, **its.pixel_size_um}
            scores.append(
                evaluate(mine.pixels, its.pixels, name=stem, axes=its.axes, pixel_size_um=sizes)
            )
        except SegnetError as error:
            failed.append((stem, f"{stem}: {error}"))
    if failed and not scores:
        raise MismatchError(failed[0][1])
    pooled = pool(scores)
    left_out = (f"Left out: {reason}" for _, reason in failed)
    return replace(pooled, notes=(*found.notes, *left_out, *pooled.notes))
