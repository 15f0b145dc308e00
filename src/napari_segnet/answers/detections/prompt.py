"""A network that detects objects answers: what it sees of a part is computed once and kept.

A Mask R-CNN keeps feature maps and asks its heads. Of a network that has no such thing, the
objects that it detects around the place are looked at: the one that fits best is taken.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.detections.look import DetectedLook
from napari_segnet.answers.prompts import BoxPrompt, Found, PointPrompt, Prompt
from napari_segnet.boxes import pairwise_iou
from napari_segnet.cache import Bounded
from napari_segnet.engines import Engine
from napari_segnet.errors import MemoryExhaustedError, MismatchError, NothingFoundError
from napari_segnet.families import Look
from napari_segnet.plan.input import NetworkInput
from napari_segnet.progress import Progress, job
from napari_segnet.segmentation import Instances
from napari_segnet.steps import LabelSettings, resolve_classes
from napari_segnet.steps.paint import stretch
from napari_segnet.tiles import Tile, frame_of, plan_blended, tile_at

__all__ = ["DetectionResponder"]

EDGE_PX = {"cpu": 512, "gpu": 1536}
"""Edge of what is looked at together, in network pixels: less to wait for on a CPU."""
MOST_EDGE_PX = 4096
"""Larger boxes are refused: their feature maps alone would take 1.5 GB."""
CONTEXT_PX = 32
"""A tile answers about a box only if it shows so much around it, or the image ends there."""
KEPT_BYTES = 1024**3
"""Feature maps that are kept: a dozen tiles of 1024 x 1024 pixels and 256 channels."""
MOST_AT_POINT = 200
"""Proposals around a point that are looked at: the box head takes 0.1 s for them on a CPU."""

Box = tuple[float, float, float, float]


class DetectionResponder:
    """Answers from feature maps; see :class:`napari_segnet.prompts.PromptSession`.

    The plane is cut into the same overlapping tiles whatever part of it is visible, so that
    moving the view by a little needs nothing anew.

    Parameters
    ----------
    network : Engine
        Of task ``instance``.
    given : NetworkInput
        The image in its eyes.
    precision : str
        Of ``PredictSettings``.
    kept_bytes : int
        How much of feature maps is kept.
    """

    def __init__(
        self, network: Engine, given: NetworkInput, precision: str, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._network, self._given = network, given
        self._precision = "fp32" if precision == "auto" else precision
        self._looks: Bounded[tuple[Tile, Look]] = Bounded(kept_bytes)
        self._frame = frame_of(given.seen, network.checkpoint.size)
        edge = EDGE_PX["cpu" if network.device == "cpu" else "gpu"]
        self._edge = edge
        self._tiles = plan_blended(self._frame, network.checkpoint.size, (edge, edge)).tiles
        self._zoom = tuple(n / m for n, m in zip(given.shape, given.seen, strict=True))

    @job
    def ask(
        self, question: Prompt, settings: LabelSettings | None = None
    ) -> Generator[Progress, None, Found]:
        """Answer a question; see :class:`napari_segnet.prompts.PromptSession`."""
        settings = settings or LabelSettings()
        wanted = resolve_classes(settings.classes, self._network.checkpoint.class_names)
        box = self._scaled(_box_of(question))
        self._require_inside(box)
        tile, look = yield from self._look(self._tile_for(box), question.t, question.z)
        corner = np.array([part.start for part in tile.frame] * 2, np.float32)
        own = (np.asarray(box, np.float32) - corner).astype(np.float32)
        if isinstance(question, PointPrompt):
            return self._at(look, corner, own, question, settings.mask_threshold, wanted)
        if isinstance(question, BoxPrompt):
            one = self._as_drawn(look, own, wanted)
        else:
            one = self._refined(look, own, wanted)
        found = self._found(one, 0, corner, question, settings.mask_threshold)
        if found is None:
            raise NothingFoundError(
                "The network sees nothing in this box that is surer than "
                f"{settings.mask_threshold:g}. Draw it closer around the object, or lower the "
                "setting mask_threshold (“mask threshold”)."
            )
        return found

    @job
    def look_around(self, box: Box, t: int, z: int) -> Generator[Progress, None, None]:
        """Look at the tiles of a part of a plane that can be kept together."""
        low_y, low_x, high_y, high_x = self._scaled(box)
        middle = (low_y + high_y) / 2, (low_x + high_x) / 2
        near = [
            tile
            for tile in self._tiles
            if tile.frame[0].start < high_y
            and tile.frame[0].stop > low_y
            and tile.frame[1].start < high_x
            and tile.frame[1].stop > low_x
        ]
        near.sort(key=lambda tile: _distance(tile, middle))
        for done, tile in enumerate(near):
            if self._looks.get((t, z, *_key(tile))) is None:
                yield Progress(what="running the network on the image", done=done, total=len(near))
                _, look = yield from self._look(tile, t, z)
                if self._looks.bytes + look.nbytes > self._looks.limit_bytes:
                    return  # one more would push out the first

    # ---- Where to look ----

    def _scaled(self, box: Box) -> Box:
        """Return a box of the image in network pixels."""
        (y, x), (y0, x0, y1, x1) = self._zoom, box
        return (y0 / y, x0 / x, y1 / y, x1 / x)

    def _require_inside(self, box: Box) -> None:
        height, width = self._given.seen
        y0, x0, y1, x1 = box
        if y1 <= 0 or x1 <= 0 or y0 >= height or x0 >= width:
            raise MismatchError(
                f"This place is outside of the image {self._given.image.name}. Point at the image."
            )
        if max(y1 - y0, x1 - x0) > MOST_EDGE_PX / 2:
            raise MismatchError(
                f"This box is {max(y1 - y0, x1 - x0):.0f} pixels long in the eyes of the network, "
                f"which are more than {MOST_EDGE_PX // 2}. Draw a smaller one, or show the network "
                "a smaller image with the setting scale."
            )

    def _tile_for(self, box: Box) -> Tile:
        """Return the tile that shows most around a box; one of its own where none shows enough."""
        margins = [_margin(tile, box, self._frame.size) for tile in self._tiles]
        best = int(np.argmax(margins))
        if margins[best] >= CONTEXT_PX:
            return self._tiles[best]
        parts = []
        for low, high, whole in zip(box[:2], box[2:], self._frame.size, strict=True):
            stride = self._network.checkpoint.size.stride[0]
            length = max(self._edge, 2 * (high - low))
            first = (low + high - length) / 2
            start = max(0, int(first // stride) * stride)
            parts.append(slice(start, min(whole, math.ceil((first + length) / stride) * stride)))
        return tile_at(self._frame, parts)

    def _look(self, tile: Tile, t: int, z: int) -> Generator[Progress, None, tuple[Tile, Look]]:
        """Return what the network sees in a tile, from what is kept if it is there."""
        key = (t, z, *_key(tile))
        kept = self._looks.get(key)
        if kept is not None:
            return kept
        yield Progress(what="running the network on the image")
        block = tile.fill(self._given.reader(t, z)(tile), self._frame)
        try:
            look: Look | None = self._seen(block)
        except Exception as error:
            if not self._network.is_out_of_memory(error):
                raise
            look = None
        if look is None:  # outside of the except block: the error holds tensors
            look = self._look_once_more(block)
        self._looks.put(key, (tile, look), look.nbytes)
        return tile, look

    def _look_once_more(self, block: npt.NDArray[np.float32]) -> Look:
        """Look again with all that was kept thrown away."""
        self._looks.clear()
        self._network.release()
        try:
            return self._seen(block)
        except Exception as error:
            if not self._network.is_out_of_memory(error):
                raise
        raise MemoryExhaustedError(
            f"There is not enough memory on {self._network.device} to look at {block.shape[-2]} x "
            f"{block.shape[-1]} pixels. Close other programs, or show the network a smaller image "
            "with the setting scale."
        )

    def _seen(self, block: npt.NDArray[np.float32]) -> Look:
        look = self._network.look(block, precision=self._precision)
        if look is not None:
            return look
        (found,) = self._network.detect(block[None], precision=self._precision)
        return DetectedLook(found.instances, self._network.checkpoint.classes)

    # ---- What is there ----

    def _as_drawn(
        self, look: Look, box: npt.NDArray[np.float32], wanted: Collection[int] | None
    ) -> Instances:
        """Return the object that fills a box: no pixel of it is outside, as the user sees."""
        boxes = _clipped(box, look.shape)[None]
        classes, scores = _best_class(look.scores_in(boxes), wanted)
        return _instances(look, boxes, classes, scores, look.masks_in(boxes, classes))

    def _refined(
        self, look: Look, box: npt.NDArray[np.float32], wanted: Collection[int] | None
    ) -> Instances:
        """Return the object that the box head makes of a box; that in the box if it makes none."""
        found = look.detect(_clipped(box, look.shape)[None])
        there = _of_classes(found, wanted)
        if not len(there):
            return self._as_drawn(look, box, wanted)
        both = np.concatenate((box[None], found.boxes[there]))
        pairs = np.stack((np.zeros(len(there), np.int64), np.arange(1, len(there) + 1)), axis=1)
        # A class that is unlikely moves the box to wherever it likes.
        best = there[np.argmax(found.scores[there] * pairwise_iou(both, pairs))]
        return found.chosen(np.array([best]))

    def _at(
        self,
        look: Look,
        corner: npt.NDArray[np.float32],
        point: npt.NDArray[np.float32],
        question: PointPrompt,
        threshold: float,
        wanted: Collection[int] | None,
    ) -> Found:
        """Return the surest object one of whose pixels is at a point."""
        boxes = look.proposals
        around = (boxes[:, :2] <= point[:2]).all(axis=1) & (boxes[:, 2:] >= point[2:]).all(axis=1)
        found = look.detect(boxes[np.flatnonzero(around)[:MOST_AT_POINT]])
        there = _of_classes(found, wanted)
        for k in there[np.argsort(-found.scores[there], kind="stable")].tolist():
            one = self._found(found, k, corner, question, threshold)
            if one is not None and _covers(one, question):
                return one
        raise NothingFoundError(
            "The network finds no object at this point. Draw a box around the object instead."
        )

    def _found(
        self,
        instances: Instances,
        k: int,
        corner: npt.NDArray[np.float32],
        question: Prompt,
        threshold: float,
    ) -> Found | None:
        """Return a detection at the image's pixels; None if no pixel is sure enough."""
        zoom = np.tile(np.asarray(self._zoom, np.float32), 2)
        height, width = self._given.shape
        box = np.clip((instances.boxes[k] + corner) * zoom, 0, [height, width] * 2)
        where, values = stretch(box.astype(np.float32), instances.masks[k], (height, width))
        mask = values >= threshold
        if not mask.any():
            return None
        return Found(
            where=(*_planes(self._given, question), *where),
            mask=mask.reshape((1,) * (len(_planes(self._given, question))) + mask.shape),
            score=float(instances.scores[k]),
            class_index=int(instances.classes[k]),
        )


def _box_of(question: Prompt) -> Box:
    if isinstance(question, PointPrompt):
        return (question.y, question.x, question.y, question.x)
    return question.box


def _key(tile: Tile) -> tuple[int, ...]:
    return tuple(n for part in tile.frame for n in (part.start, part.stop))


def _distance(tile: Tile, point: tuple[float, float]) -> float:
    centre = [(part.start + part.stop) / 2 for part in tile.frame]
    return float(max(abs(c - p) for c, p in zip(centre, point, strict=True)))


def _margin(tile: Tile, box: Box, whole: tuple[int, ...]) -> float:
    """Return how much of the frame a tile shows on each side of a box; the least of them."""
    margins = []
    for part, low, high, end in zip(tile.frame, box[:2], box[2:], whole, strict=True):
        margins.append(np.inf if part.start == 0 else low - part.start)
        margins.append(np.inf if part.stop == end else part.stop - high)
    return float(min(margins))


def _clipped(box: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.clip(box, 0, [*shape, *shape]).astype(np.float32)


def _best_class(
    scores: npt.NDArray[np.float32], wanted: Collection[int] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the likeliest class but background ``(n,)``, and its probability."""
    allowed = scores.copy()
    allowed[:, 0] = -1
    if wanted is not None:
        allowed[:, [k for k in range(allowed.shape[1]) if k not in wanted]] = -1
    classes = allowed.argmax(axis=1).astype(np.int64)
    if (classes == 0).any():
        raise NothingFoundError("The setting classes names no class of this network. Change it.")
    return classes, scores[np.arange(len(scores)), classes]


def _of_classes(found: Instances, wanted: Collection[int] | None) -> npt.NDArray[np.int64]:
    if wanted is None:
        return np.arange(len(found.scores))
    return np.flatnonzero(np.isin(found.classes, list(wanted)))


def _instances(
    look: Look,
    boxes: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    masks: npt.NDArray[np.float32],
) -> Instances:
    plane = np.zeros(len(boxes), np.int64)
    return Instances(
        boxes=boxes,
        plane=plane,
        scores=scores,
        classes=classes,
        masks=masks,
        shape=look.shape,
        axes="yx",
    )


def _planes(given: NetworkInput, question: Prompt) -> tuple[slice, ...]:
    at = {"t": question.t, "z": question.z}
    return tuple(slice(at[a], at[a] + 1) for a in "tz" if a in given.image.axes)


def _covers(found: Found, point: PointPrompt) -> bool:
    rows, columns = found.where[-2:]
    y, x = int(point.y) - rows.start, int(point.x) - columns.start
    height, width = found.mask.shape[-2:]
    return 0 <= y < height and 0 <= x < width and bool(found.mask[..., y, x].any())
