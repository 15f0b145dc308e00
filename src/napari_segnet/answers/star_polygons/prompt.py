"""A network that answers with star-convex objects: which of those that it suspects is meant."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.prompts import BoxPrompt, Found, MaskPrompt, PointPrompt, Prompt
from napari_segnet.answers.star_polygons.label import drawn, rays_of
from napari_segnet.errors import MismatchError, NothingFoundError
from napari_segnet.progress import Progress, job
from napari_segnet.segmentation import Prediction, StarPolygons
from napari_segnet.star import boxes_of, contains
from napari_segnet.steps import LabelSettings, resolve_classes

__all__ = ["StarResponder"]

Box = tuple[float, float, float, float]
Rows = npt.NDArray[np.int64]
FIT = 0.25
"""Least overlap (IoU) of a box or an object with what is found for it."""
MOST_DRAWN = 40
"""Objects that are compared pixel by pixel with one that is wrong."""


class StarResponder:
    """See :class:`napari_segnet.prompts.PromptSession`.

    All that the network suspects is there, whatever the threshold and whichever of those that
    overlap are kept: whoever points at an object says that it is there.

    Parameters
    ----------
    prediction : Prediction
        What the network said of the whole image.
    answer : StarPolygons
        Its answer.
    """

    def __init__(self, prediction: Prediction, answer: StarPolygons) -> None:
        self._names, self._answer = prediction.class_names, answer
        self._axes = answer.maps.axes[1:]
        self._zoom = np.array(answer.zoom)
        self._boxes = boxes_of(answer.points, answer.distances, rays_of(answer))

    @job
    def ask(
        self, question: Prompt, settings: LabelSettings | None = None
    ) -> Generator[Progress, None, Found]:
        """Answer a question; see :class:`napari_segnet.prompts.PromptSession`."""
        yield Progress(what="labels")
        rows = self._rows(question, settings or LabelSettings())
        if isinstance(question, PointPrompt):
            row = self._at(question, rows)
        elif isinstance(question, BoxPrompt):
            row = self._in_box(question.box, rows, question)
        else:
            row = self._again(question, rows)
        found = None if row is None else self._found(row, question)
        if found is None:
            raise NothingFoundError(
                "The network finds no object here. Paint it by hand, or correct an object beside "
                "it."
            )
        return found

    @job
    def look_around(self, box: Box, t: int, z: int) -> Generator[Progress, None, None]:
        """Do nothing: the network has said all."""
        yield Progress(what="labels")

    # ---- Which one ----

    def _rows(self, question: Prompt, settings: LabelSettings) -> Rows:
        """Return what is suspected in the plane or volume of a question."""
        answer, lengths = self._answer, dict(zip(self._axes, self._answer.shape, strict=True))
        planes, times = lengths.get("z", 1), lengths.get("t", 1)
        if not (0 <= question.z < planes and 0 <= question.t < times):
            raise MismatchError("This plane is not part of the image. Move to one that is.")
        self._require_inside(question, lengths["y"], lengths["x"])
        unit = question.t if answer.ndim == 3 else question.t * planes + question.z
        here = answer.unit == unit
        wanted = resolve_classes(settings.classes, self._names)
        if wanted is not None:
            here &= np.isin(answer.classes, list(wanted))
        if answer.ndim == 3:
            z = self._seen(question.z, 0)
            here &= (self._boxes[:, 0, 0] <= z) & (self._boxes[:, 1, 0] >= z)
        return np.flatnonzero(here)

    def _require_inside(self, question: Prompt, height: int, width: int) -> None:
        if isinstance(question, PointPrompt):
            inside = 0 <= question.y < height and 0 <= question.x < width
        else:
            y0, x0, y1, x1 = question.box
            inside = y1 > 0 and x1 > 0 and y0 < height and x0 < width
        if not inside:
            raise MismatchError("This place is outside of the image. Point at the image.")

    def _seen(self, pixel: float, axis: int) -> float:
        """Return where the middle of an image pixel lies among network pixels."""
        return float((pixel + 0.5) / self._zoom[axis] - 0.5)

    def _at(self, question: PointPrompt, rows: Rows) -> int | None:
        """Return the surest object that a point is in."""
        answer = self._answer
        # Edges of pixels are whole numbers in a question, middles among the points.
        place = [self._seen(question.y - 0.5, -2), self._seen(question.x - 0.5, -1)]
        if answer.ndim == 3:
            place.insert(0, self._seen(question.z, 0))
        near = (self._boxes[rows, 0] <= place).all(1) & (self._boxes[rows, 1] >= place).all(1)
        rows = rows[near]
        inside = contains(
            answer.points[rows], answer.distances[rows], rays_of(answer), np.array(place)
        )
        rows = rows[inside]
        return int(rows[np.argmax(answer.scores[rows])]) if rows.size else None

    def _in_box(self, box: Box, rows: Rows, question: Prompt) -> int | None:
        """Return the object whose box fits best; of those that fit as well the surest."""
        fits = self._fits(box, rows)
        if not rows.size or fits.max() < FIT:
            return None
        near = fits > fits.max() - 0.05
        return int(rows[near][np.argmax(self._answer.scores[rows[near]])])

    def _fits(self, box: Box, rows: Rows) -> npt.NDArray[np.float64]:
        """Return the overlap (IoU) of a box with those of objects, in y and x."""
        low = np.array([self._seen(box[0] - 0.5, -2), self._seen(box[1] - 0.5, -1)])
        high = np.array([self._seen(box[2] - 0.5, -2), self._seen(box[3] - 0.5, -1)])
        theirs = self._boxes[rows][..., -2:].astype(np.float64)
        both = np.minimum(theirs[:, 1], high) - np.maximum(theirs[:, 0], low)
        shared = np.prod(np.maximum(both, 0), axis=1)
        either = np.prod(theirs[:, 1] - theirs[:, 0], axis=1) + np.prod(high - low) - shared
        overlap: npt.NDArray[np.float64] = shared / np.maximum(either, 1e-9)
        return overlap

    def _again(self, question: MaskPrompt, rows: Rows) -> int | None:
        """Return the object that has most pixels in common with one that is wrong."""
        fits = self._fits(question.box, rows)
        near = np.argsort(-(fits + 0.1 * self._answer.scores[rows]), kind="stable")[:MOST_DRAWN]
        best, highest = None, FIT
        for row in rows[near[fits[near] > 0]].tolist():
            found = self._found(row, question)
            if found is None:
                continue
            fit = _overlap(found, question)
            if fit > highest:
                best, highest = row, fit
        return best

    # ---- What it is ----

    def _found(self, row: int, question: Prompt) -> Found | None:
        """Return an object at the image's pixels; None if it has none in the plane asked for."""
        answer = self._answer
        shape = answer.shape[-answer.ndim :]
        where, mask = drawn(answer, row, shape)
        if not mask.any():
            return None
        if answer.ndim == 3:
            z = question.z - where[0].start
            if not (0 <= z < len(mask) and mask[z].any()):
                return None
        spans = dict(zip("zyx"[-answer.ndim :], where, strict=True))
        spans.setdefault("z", slice(question.z, question.z + 1))
        spans["t"] = slice(question.t, question.t + 1)
        lengths = tuple(spans[a].stop - spans[a].start for a in self._axes)
        return Found(
            where=tuple(spans[a] for a in self._axes),
            mask=mask.reshape(lengths),
            score=float(answer.scores[row]),
            class_index=int(answer.classes[row]),
        )


def _overlap(found: Found, question: MaskPrompt) -> float:
    """Return the overlap (IoU) of an object with a mask in the plane of the question."""
    rows, columns = found.where[-2:]
    plane = found.mask.reshape(-1, *found.mask.shape[-2:])
    one = plane[question.z - found.where[-3].start] if len(plane) > 1 else plane[0]
    height, width = question.mask.shape
    y, x = question.corner
    low_y, low_x = min(y, rows.start), min(x, columns.start)
    size = (max(y + height, rows.stop) - low_y, max(x + width, columns.stop) - low_x)
    both = np.zeros((2, *size), bool)
    both[0, y - low_y : y - low_y + height, x - low_x : x - low_x + width] = question.mask
    top, left = rows.start - low_y, columns.start - low_x
    both[1, top : top + one.shape[0], left : left + one.shape[1]] = one
    return float(both.all(0).sum() / max(1, both.any(0).sum()))
