"""A network that answers with maps: which of its basins is meant.

Nothing is asked of the network: a part of its maps is labelled as the whole would be, and the
piece that is meant is taken. Where the setting ``threshold`` leaves nothing, lower ones are
tried: whoever points at a faint object says that there is one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.prompts import BoxPrompt, Found, MaskPrompt, PointPrompt, Prompt
from napari_segnet.errors import MismatchError, NothingFoundError
from napari_segnet.half import halved
from napari_segnet.progress import Progress, check_cancelled, job
from napari_segnet.segmentation import Maps, Prediction
from napari_segnet.steps import LabelSettings, Unit, label_unit, labeler_of, resolve, score_labels
from napari_segnet.steps._types import filled_in

__all__ = ["MapResponder"]

REACH_PX = 96
"""How far around a point is looked at first; twice as far while the object goes on beyond."""
MARGIN_PX = 16
"""Looked at around a box in any case: a basin must not end where the crop does."""
FAINTER = (1.0, 0.5, 0.25)
"""Shares of the threshold that are tried."""
MOSTLY = 0.5
"""A basin is meant by a box (an old object) that holds more than this part of it."""
SPECK = 0.02
"""A basin that fills a smaller part of a box is none of the object's."""

Box = tuple[float, float, float, float]


class MapResponder:
    """Answers from maps; see :class:`napari_segnet.prompts.PromptSession`.

    Parameters
    ----------
    prediction : Prediction
        What the network said of the whole image.
    maps : Maps
        Its answer.
    """

    def __init__(self, prediction: Prediction, maps: Maps) -> None:
        self._prediction, self._maps = prediction, maps
        missing = tuple(i for i, a in enumerate("ctzyx") if a not in self._maps.axes)
        self._full = np.expand_dims(self._maps.data, missing)  # (c, t, z, y, x), a view

    @job
    def ask(
        self, question: Prompt, settings: LabelSettings | None = None
    ) -> Generator[Progress, None, Found]:
        """Answer a question; see :class:`napari_segnet.prompts.PromptSession`."""
        how = self._settings(settings or LabelSettings())
        yield Progress(what="labels")
        for share in FAINTER:
            fainter = replace(how, threshold=share * filled_in(how.threshold, "threshold"))
            if isinstance(question, PointPrompt):
                found = self._at(question, fainter)
            elif isinstance(question, BoxPrompt):
                found = self._in_box(question, fainter)
            else:
                found = self._again(question, fainter)
            if found is not None:
                return found
        raise NothingFoundError(
            "The network finds no object here, not even with a quarter of the threshold. Paint "
            "it by hand, or correct an object beside it."
        )

    @job
    def look_around(self, box: Box, t: int, z: int) -> Generator[Progress, None, None]:
        """Do nothing: the network has said all."""
        yield Progress(what="labels")

    def _settings(self, settings: LabelSettings) -> LabelSettings:
        """Return settings that make objects and drop none."""
        made = resolve(settings, self._maps.outputs, self._prediction.advice, "semantic")
        if labeler_of(made.instances).kind == "semantic":
            made = replace(made, instances="components", fill_holes=True)
        return replace(made, min_size_px=0, clear_border=False)

    # ---- The three questions ----

    def _at(self, point: PointPrompt, settings: LabelSettings) -> Found | None:
        """Return the basin under a point."""
        y, x = int(np.floor(point.y)), int(np.floor(point.x))
        for crop in self._growing((y, x)):
            check_cancelled()
            labels = self._label(crop, point, settings)
            here = self._plane(labels, point)[y - crop[0].start, x - crop[1].start]
            if not here:
                return None
            mask = labels == here
            if not self._goes_on(mask, crop):
                return self._found(mask, crop, point)
        raise AssertionError("the last crop is the whole plane, beyond which nothing goes on")

    def _in_box(self, question: BoxPrompt, settings: LabelSettings) -> Found | None:
        """Return what most of lies in a box; nothing of it outside."""
        inside = self._pixels(question.box)
        crop = self._around(question.box)
        labels = self._label(crop, question, settings)
        within = tuple(
            slice(part.start - out.start, part.stop - out.start)
            for part, out in zip(inside, crop, strict=True)
        )
        wanted = np.zeros(labels.shape[-2:], bool)
        wanted[within] = True
        chosen = _meant(self._plane(labels, question), wanted, whole=False)
        return self._found(np.isin(labels, chosen) & wanted, crop, question)

    def _again(self, question: MaskPrompt, settings: LabelSettings) -> Found | None:
        """Return the basins that an object should have consisted of."""
        crop = self._around(question.box)
        labels = self._label(crop, question, settings)
        wanted = np.zeros(labels.shape[-2:], bool)
        height, width = question.mask.shape
        y, x = question.corner[0] - crop[0].start, question.corner[1] - crop[1].start
        low_y, low_x = max(y, 0), max(x, 0)
        part = wanted[low_y : y + height, low_x : x + width]
        part[...] = question.mask[low_y - y :, low_x - x :][: part.shape[0], : part.shape[1]]
        chosen = _meant(self._plane(labels, question), wanted, whole=True)
        return self._found(np.isin(labels, chosen), crop, question)

    # ---- Parts of the maps ----

    @property
    def _lengths(self) -> tuple[int, int]:
        return int(self._full.shape[-2]), int(self._full.shape[-1])

    def _pixels(self, box: Box) -> tuple[slice, slice]:
        """Return the pixels of a box inside the image: those that it covers by half."""
        parts = []
        for low, high, length in zip(box[:2], box[2:], self._lengths, strict=True):
            start, stop = max(0, round(low)), min(length, max(round(high), round(low) + 1))
            if start >= stop:
                raise MismatchError("This place is outside of the image. Point at the image.")
            parts.append(slice(start, stop))
        return parts[0], parts[1]

    def _around(self, box: Box) -> tuple[slice, slice]:
        """Return a box and as much again around it, inside the image."""
        parts = []
        for part, length in zip(self._pixels(box), self._lengths, strict=True):
            more = MARGIN_PX + (part.stop - part.start) // 2
            parts.append(slice(max(0, part.start - more), min(length, part.stop + more)))
        return parts[0], parts[1]

    def _growing(self, point: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
        """Yield ever larger crops around a pixel; the last is the whole plane."""
        self._pixels((point[0], point[1], point[0] + 1, point[1] + 1))
        reach, lengths = REACH_PX, self._lengths
        while True:
            y, x = (
                slice(max(0, p - reach), min(n, p + reach + 1))
                for p, n in zip(point, lengths, strict=True)
            )
            yield y, x
            if (y, x) == (slice(0, lengths[0]), slice(0, lengths[1])):
                return
            reach *= 2

    def _label(
        self, crop: tuple[slice, slice], question: Prompt, settings: LabelSettings
    ) -> npt.NDArray[np.int32]:
        """Return labels ``([z,] y, x)`` of a crop of the plane, or of all planes of a volume."""
        return label_unit(self._unit(crop, question), settings)

    def _unit(self, crop: tuple[slice, slice], question: Prompt) -> Unit:
        planes, times = self._full.shape[2], self._full.shape[1]
        if not (0 <= question.z < planes and 0 <= question.t < times):
            raise MismatchError("This plane is not part of the image. Move to one that is.")
        volume = self._maps.ndim == 3
        z = slice(0, planes) if volume else question.z
        # Of half precision, as labels always are: the same maps give the same objects.
        maps = halved(np.asarray(self._full[(slice(None), question.t, z, *crop)]))
        size = self._prediction.pixel_size_um
        axes = "zyx"[-self._maps.ndim :]
        known = [float(size[a]) for a in axes if a in size]
        relative = tuple(k / min(known) for k in known) if len(known) == len(axes) else ()
        return Unit(
            maps=maps, outputs=self._maps.outputs, pixel_size=relative or (1.0,) * len(axes)
        )

    def _plane(self, labels: npt.NDArray[np.int32], question: Prompt) -> npt.NDArray[np.int32]:
        return labels[question.z] if self._maps.ndim == 3 else labels

    def _goes_on(self, mask: npt.NDArray[np.bool_], crop: tuple[slice, slice]) -> bool:
        """Tell if an object touches the edge of its crop where the image goes on."""
        height, width = self._lengths
        rows, columns = crop
        touched = (
            (rows.start > 0, mask[..., 0, :]),
            (rows.stop < height, mask[..., -1, :]),
            (columns.start > 0, mask[..., :, 0]),
            (columns.stop < width, mask[..., :, -1]),
        )
        return any(more and edge.any() for more, edge in touched)

    def _found(
        self, mask: npt.NDArray[np.bool_], crop: tuple[slice, slice], question: Prompt
    ) -> Found | None:
        """Return an object with score and class; None if it has no pixel."""
        if not mask.any():
            return None
        _, scores, classes = score_labels(mask.astype(np.int32), self._unit(crop, question))
        first = question.z if self._maps.ndim == 2 else 0
        full = mask if mask.ndim == 3 else mask[np.newaxis]  # (z, y, x)
        box = tuple(slice(int(n.min()), int(n.max()) + 1) for n in np.nonzero(full))
        start = (first, crop[0].start, crop[1].start)
        spans = {
            a: slice(part.start + s, part.stop + s)
            for a, part, s in zip("zyx", box, start, strict=True)
        }
        spans["t"] = slice(question.t, question.t + 1)
        axes = self._maps.axes[1:]
        shape = tuple(spans[a].stop - spans[a].start for a in axes)
        return Found(
            where=tuple(spans[a] for a in axes),
            mask=full[box].reshape(shape),
            score=float(scores[0]),
            class_index=int(classes[0]),
        )


def _meant(
    labels: npt.NDArray[np.int32], wanted: npt.NDArray[np.bool_], *, whole: bool
) -> npt.NDArray[np.int64]:
    """Return the ids whose pixels are mostly among the wanted ones.

    Parameters
    ----------
    labels : ndarray
        int32 ``(y, x)``.
    wanted : ndarray
        bool ``(y, x)``.
    whole : bool
        Where there is none: the id that has most of the wanted pixels is taken if they are
        much of it; otherwise in any case (only its wanted pixels are used).
    """
    # Of the ids that lie there: a table up to the highest would cost as much as that is high.
    ids, inverse = np.unique(labels[wanted], return_inverse=True)
    shared = np.bincount(inverse.reshape(-1), minlength=ids.size)
    every, all_px = np.unique(labels, return_counts=True)
    counts = all_px[np.searchsorted(every, ids)]
    shared[ids == 0] = 0
    large = shared >= max(1.0, SPECK * np.count_nonzero(wanted))
    mostly = ids[large & (shared > MOSTLY * counts)].astype(np.int64)
    if mostly.size or not shared.any():
        return mostly
    best = int(shared.argmax())
    enough = 2 * shared[best] > np.count_nonzero(wanted) if whole else True
    return np.array([ids[best]] if enough else [], np.int64)
