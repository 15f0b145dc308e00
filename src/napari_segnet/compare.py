"""What several networks make of the same part of an image, side by side."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers import maps_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict, with_one_engine
from napari_segnet.progress import Progress, check_cancelled, job
from napari_segnet.segmentation import Maps

__all__ = ["Compared", "compare", "compare_settings"]

EDGE_PX = 256
"""Of the middle of the image: enough to see what a network finds, and quick on a CPU."""
SAME = 0.02
"""Maps that nowhere differ by more, of 0 to 1, look alike and make the same labels."""
FAINT = 0.5
"""Where every map stays below it, no map makes an object at the usual threshold."""
LEAST = 0.01
"""Where every map stays below it, there is nothing to see."""
COLOURS = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178))
"""Of classes, background first: the palette of Okabe and Ito (https://jfly.uni-koeln.de/color/),
which is told apart by people who see few colours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """What networks make of one part of an image.

    Attributes
    ----------
    image : ndarray
        ``(y, x)`` or ``(y, x, 3)`` uint8: the part, from its darkest to its brightest pixel.
    answers : tuple of ndarray
        ``(y, x, 3)`` uint8: the map of each network, or its classes in colours.
    same : tuple of bool
        Whether each answers as the first one does.
    faint : bool
        No answer reaches 0.5 anywhere, so their pictures are brightened, all by the same factor.
    """

    image: npt.NDArray[np.uint8]
    answers: tuple[npt.NDArray[np.uint8], ...]
    same: tuple[bool, ...]
    faint: bool = False


@job
def compare(
    networks: Sequence[Checkpoint], image: Image, settings: PredictSettings | None = None
) -> Generator[Progress, None, Compared]:
    """Run networks on the middle of an image.

    Parameters
    ----------
    networks : sequence of Checkpoint
        They answer with maps.
    image : Image
        Such as what is visible; of a series or stack the middle plane is shown.
    settings : PredictSettings, optional
        As for ``predict``.

    Yields
    ------
    Progress
        ``comparing``: how many have answered.

    Returns
    -------
    Compared
        Pictures.
    """
    return (yield from _compared([(network, settings) for network in networks], image))


@job
def compare_settings(
    network: Checkpoint, image: Image, ways: Sequence[PredictSettings]
) -> Generator[Progress, None, Compared]:
    """Run a network on the middle of an image that it is shown in several ways.

    Parameters and result are as of :func:`compare`, with one answer for each of ``ways``.
    """
    return (yield from _compared([(network, settings) for settings in ways], image))


def _compared(
    runs: Sequence[tuple[Checkpoint, PredictSettings | None]], image: Image
) -> Generator[Progress, None, Compared]:
    part = _middle(image, runs[0][0].ndim)
    fixed = with_one_engine([(network, how or PredictSettings()) for network, how in runs])
    found: list[npt.NDArray[np.float32]] = []
    shown: list[npt.NDArray[Any]] = []
    for done, (network, settings) in enumerate(fixed):
        check_cancelled()
        yield Progress(what="comparing", done=done, total=len(runs))
        steps: Any = predict(network, part, settings)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                maps = maps_of(stop.value)
                break
            yield Progress(what="comparing", done=done, total=len(runs))
        assert maps is not None
        plane = _plane(maps)
        found.append(plane)
        shown.append(_picture(plane, maps))
    same = tuple(
        one.shape == found[0].shape and float(np.abs(one - found[0]).max()) <= SAME for one in found
    )
    gain = _gain(shown)
    answers = tuple(_pixels(one, gain) for one in shown)
    return Compared(image=_of_image(part), answers=answers, same=same, faint=gain != 1)


def _gain(shown: Sequence[npt.NDArray[Any]]) -> float:
    """Return by what all maps are brightened: 1 unless none of them reaches a half."""
    if any(one.ndim == 3 for one in shown):
        return 1.0  # classes in colours
    highest = max(float(one.max(initial=0)) for one in shown)
    return 1 / highest if LEAST < highest < FAINT else 1.0


def _pixels(shown: npt.NDArray[Any], gain: float) -> npt.NDArray[np.uint8]:
    """Return a map in grey, or the colours that it is."""
    if shown.ndim == 3:
        coloured: npt.NDArray[np.uint8] = shown
        return coloured
    grey = (255 * np.clip(gain * shown, 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _middle(image: Image, ndim: int) -> Image:
    """Return the middle of the middle plane; for a network of volumes, of all planes."""
    where = [slice(0, int(n)) for n in image.data.shape]
    for place, axis in enumerate(image.axes):
        length = where[place].stop
        if axis in "yx":
            first = max(0, (length - EDGE_PX) // 2)
            where[place] = slice(first, min(length, first + EDGE_PX))
        elif axis == "t" or (axis == "z" and ndim == 2):
            where[place] = slice(length // 2, length // 2 + 1)
    return replace(image, data=image.data[tuple(where)], levels=())


def _plane(maps: Maps) -> npt.NDArray[np.float32]:
    """Return the middle plane ``(channel, y, x)``."""
    data = maps.data
    while data.ndim > 3:
        data = data[:, data.shape[1] // 2]
    return np.nan_to_num(np.asarray(data, np.float32))


def _picture(plane: npt.NDArray[np.float32], maps: Maps) -> npt.NDArray[Any]:
    """Return one map ``(y, x)`` of 0 to 1, or classes in colours ``(y, x, 3)`` uint8."""
    first = maps.outputs[0]
    if first.role == "class" and first.channels > 2:
        palette = np.array(COLOURS, np.uint8)
        classes = plane[: first.channels].argmax(0)
        coloured: npt.NDArray[np.uint8] = palette[classes % len(palette)]
        return coloured
    if first.role == "class" and first.channels == 2:
        one = plane[1]
    else:
        one = plane[0]
    if first.activation == "none" and (one.min() < 0 or one.max() > 1):
        one = _stretched(one)
    single: npt.NDArray[np.float32] = one
    return single


def _of_image(image: Image) -> npt.NDArray[np.uint8]:
    values = image.read(t=0, z=image.sizes["z"] // 2, y=slice(None), x=slice(None))[0, :, 0]
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    if image.rgb and len(values) >= 3:
        return (255 * _stretched(values[:3])).astype(np.uint8).transpose(1, 2, 0).copy()
    return (255 * _stretched(values[0])).astype(np.uint8)


def _stretched(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(values)
    found: npt.NDArray[np.float32] = (values - low) / (high - low)
    return found
