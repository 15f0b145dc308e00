"""At which scale, and in which light, does a network see these objects? It is tried out.

Networks find objects of about the size that they were trained on, and as bright or dark on their
ground. Where neither image nor file say how that is, a few ways are tried on a part of the image,
and what each of them finds is put side by side: the user sees which is right.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import Cancelled, MismatchError
from napari_segnet.find import Likeness, likeness
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict, with_one_engine
from napari_segnet.overlay import overlay
from napari_segnet.plan import way_of
from napari_segnet.plan.input import inverted, scale_of
from napari_segnet.progress import Progress, check_cancelled, job
from napari_segnet.recognition import identify
from napari_segnet.segmentation import Segmentation
from napari_segnet.steps.components import connected
from napari_segnet.steps.ids import count_pixels

__all__ = ["FACTORS", "Tried", "TriedInput", "light_dark_suggestion", "try_inputs", "try_scales"]

FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)
"""Steps of a half octave: networks stand a change of size by a fifth or so."""
TRIED_STAINS = ("hematoxylin", "eosin")
EMPTY_POWER = 3
"""Chosen out of 1, 2 and 3 on 75 images of the training part of BBBC038v1 (22 of histology, 13 of
bright field, 40 of fluorescence). On others, of its validation part, the way that fits best gives
the network ``nuclei`` an AP50 of 0.58 on the 9 images of histology (0.00 as they are, 0.58
inverted) and leaves 14 images of fluorescence as they are (0.83)."""
MOST_COVERED = 0.6
"""Share of an image that objects rarely cover: only where they touch each other everywhere."""
FAR_LESS = 0.6
"""The most that the likeness score with light and dark exchanged may be of the score without, for
the exchange to be suggested; likewise the score of another built-in network. Chosen on 93 images of
the training part of BBBC038v1. Of others (its validation part and first test stage), the exchange
is suggested with the network ``nuclei`` for 21 of 24 images of dark nuclei and the network
``nuclei-dark`` for all 24, and neither for any of 93 of fluorescence."""
PERHAPS = "Perhaps the objects are {} where the network looks for {} ones."
DRAWN_PX = 128
"""Of the middle, which is shown: some ten cells, each large enough to be judged."""
MOST_EDGE_PX = 768
"""Of the middle of an image, which is enough to see some dozens of cells; on a CPU each scale
takes a few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a network finds at one scale.

    Attributes
    ----------
    scale : float
        Image pixels per network pixel.
    count : int
        Objects.
    score : float
        Their mean score, 0 to 1; NaN without any.
    size_px : float
        Their median diameter (of a disc, or ball, as large) in image pixels; NaN without any.
    seconds : float
        How long it took.
    """

    scale: float
    count: int
    score: float
    size_px: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedInput:
    """What a network finds where it is shown an image in one way.

    Attributes
    ----------
    channels, invert : str
        The settings.
    found : Tried
        What it finds so.
    covered : float
        Share of the pixels that lie in objects, 0 to 1.
    fit : float
        How much speaks for this way, see :func:`try_inputs`; the highest fits best.
    picture : ndarray
        uint8 ``(y, x, 3)``: the middle of what was tried, with the outlines of what is found.
    """

    channels: str
    invert: str
    found: Tried
    covered: float
    fit: float
    picture: npt.NDArray[np.uint8] = field(compare=False, repr=False)


@job
def try_inputs(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | None = None,
    label_settings: LabelSettings | None = None,
) -> Generator[Progress, None, tuple[TriedInput, ...]]:
    """Show a network of one channel the middle of an image as it is, inverted, and by its stains.

    What fits is the way in which it is sure of many objects: the sum over objects of what their
    score exceeds 0.5 by, times the share of pixels outside of all objects to the power of
    ``EMPTY_POWER``. A network of bright objects that sees dark ones takes the ground between them
    for objects, and covers most of the image.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned; it takes one channel.
    image : Image
        Such as what is visible.
    settings, label_settings : optional
        As for ``predict`` and ``label``; ``invert`` of them does not count, nor do
        ``channels``, unless they name one by its number.

    Yields
    ------
    Progress
        ``input``, one after the other.

    Returns
    -------
    tuple of TriedInput
        The way that the settings would take by themselves first, then the others.

    Raises
    ------
    MismatchError
        If the network takes several channels, of which none stands for brightness.
    """
    settings, label_settings = settings or PredictSettings(), label_settings or LabelSettings()
    if checkpoint.channels != 1:
        raise MismatchError(
            f"{checkpoint.path.name} takes {checkpoint.channels} channels, so light and dark "
            "cannot be tried for it. Set channels and invert yourself."
        )
    yield Progress(what="input")
    ((_, settings),) = with_one_engine([(checkpoint, settings)])
    part, plain = _middle(image), _plain_channel(settings)
    ways = [(plain, "no"), (plain, "yes")]
    if image.rgb and image.sizes["c"] == 3:
        ways += [(stain, "no") for stain in TRIED_STAINS]
    found = []
    for done, (channels, invert) in enumerate(ways):
        check_cancelled()
        yield Progress(what="input", done=done, total=len(ways))
        own = replace(settings, channels=channels, invert=invert)
        begun = time.perf_counter()
        prediction = yield from _quietly(predict(checkpoint, part, own), "input", done, len(ways))
        made = yield from _quietly(label(prediction, label_settings), "input", done, len(ways))
        found.append(_tried_input(part, own, made, time.perf_counter() - begun))
    return tuple(found)


@job
def light_dark_suggestion(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings,
    made: Segmentation,
    like: Likeness | None = None,
) -> Generator[Progress, None, str]:
    """Return why light and dark of an image may be the wrong way round, a sentence or two.

    What was found says it, else what came to the network's layers: where that differs from the
    training (``likeness``), and far less with light and dark exchanged.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network; only one of one channel can be tried.
    image : Image
        What it was run on.
    settings : PredictSettings
        How it was run; where they say what is light and dark, nothing is suggested.
    made : Segmentation
        What came of it.
    like : Likeness, optional
        How like the training the image is, as it was run; found out if it is not given.

    Yields
    ------
    Progress
        ``image``.

    Returns
    -------
    str
        Empty where nothing is odd: objects were found, cover no more than ``MOST_COVERED`` of the
        pixels, and the statistics of the layers say nothing else, or cannot be read any more.
    """
    left_open = (settings.invert, settings.channels) == ("auto", "auto")
    if checkpoint.channels != 1 or made.kind != "instance" or not left_open:
        return ""
    words = ("bright", "dark") if inverted(checkpoint, settings) else ("dark", "bright")
    perhaps = PERHAPS.format(*words)
    covered = float(np.count_nonzero(made.labels)) / max(made.labels.size, 1)
    if not covered:
        return f"Nothing was found. {perhaps}"
    if covered > MOST_COVERED:
        return f"Objects cover {covered:.0%} of the image. {perhaps}"
    try:
        return (yield from _by_likeness(checkpoint, image, settings, perhaps, like))
    except Cancelled:
        raise
    except Exception:
        return ""  # what was made is worth more than a hint, whatever an image source raises


def _by_likeness(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings,
    perhaps: str,
    as_run: Likeness | None,
) -> Generator[Progress, None, str]:
    """Say if an image is unlike the training, and far less so with light and dark exchanged."""
    way = way_of(checkpoint, image, settings)
    as_run = as_run or (yield from likeness(checkpoint, image, way))
    if as_run is None or not as_run.unlike:
        return ""
    turned = replace(way, invert="no" if way.invert == "yes" else "yes")
    exchanged = yield from likeness(checkpoint, image, turned)
    name, of_other = yield from _other_network(checkpoint, image, settings)
    most, was = FAR_LESS * as_run.score, f"instead of {as_run.score:.2g}"
    if exchanged is not None and exchanged.score <= most:
        more = f" The built-in network {name} is made for such images." if of_other <= most else ""
        return (
            "With light and dark exchanged, this image is far more like the training images of the "
            f"network (a difference of {exchanged.score:.2g} {was}). {perhaps}{more}"
        )
    if of_other <= most:
        return (
            "This image is far more like the training images of the built-in network "
            f"{name} (a difference of {of_other:.2g} {was}). {perhaps}"
        )
    return ""


def _other_network(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings
) -> Generator[Progress, None, tuple[str, float]]:
    """Return the built-in network of the other light that the image is most like, and how unlike.

    Only beside a built-in network; else there is none, and the image is endlessly unlike.
    """
    shipped, found = builtin_models(), ("", math.inf)
    for name, path in shipped.items() if checkpoint.path in shipped.values() else ():
        other = _identified(path)
        if inverted(other, settings) != inverted(checkpoint, settings):
            like = yield from likeness(other, image, way_of(other, image, settings))
            if like is not None and like.score < found[1]:
                found = name, like.score
    return found


@functools.cache
def _identified(path: Path) -> Checkpoint:
    """Identify a built-in network once for all images of a folder."""
    return identify(path)


@job
def try_scales(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | None = None,
    label_settings: LabelSettings | None = None,
    scales: Sequence[float] | None = None,
) -> Generator[Progress, None, tuple[Tried, ...]]:
    """Run a network at several scales on the middle of an image.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned; of any family.
    image : Image
        Such as what is visible.
    settings, label_settings : optional
        As for ``predict`` and ``label``.
    scales : sequence of float, optional
        Image pixels per network pixel; by default ``FACTORS`` times the scale that would be
        used.

    Yields
    ------
    Progress
        ``scale``, one after the other.

    Returns
    -------
    tuple of Tried
        One for each scale, in their order.
    """
    settings, label_settings = settings or PredictSettings(), label_settings or LabelSettings()
    yield Progress(what="scale")
    ((_, settings),) = with_one_engine([(checkpoint, settings)])
    part = _middle(image)
    if scales is None:
        usual, _ = scale_of(checkpoint, part, settings)
        scales = [float(f"{usual * factor:.3g}") for factor in FACTORS]
    found = []
    for done, scale in enumerate(scales):
        check_cancelled()
        yield Progress(what="scale", done=done, total=len(scales))
        own = replace(settings, scale=scale, object_px=None)
        begun = time.perf_counter()
        prediction = yield from _quietly(predict(checkpoint, part, own), "scale", done, len(scales))
        made = yield from _quietly(label(prediction, label_settings), "scale", done, len(scales))
        found.append(_tried(made, scale, time.perf_counter() - begun))
    return tuple(found)


def _quietly(steps: Any, what: str, done: int, total: int) -> Generator[Progress, None, Any]:
    """Do a job whose own progress is only a part of ours."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        yield Progress(what=what, done=done, total=total)


def _middle(image: Image) -> Image:
    """Return the middle of each plane, if that is large."""
    where = [slice(0, int(n)) for n in image.data.shape]
    for axis in "yx":
        index = image.axes.index(axis)
        length = where[index].stop
        first = max(0, (length - MOST_EDGE_PX) // 2)
        where[index] = slice(first, min(length, first + MOST_EDGE_PX))
    return replace(image, data=image.data[tuple(where)], levels=())


def _tried(made: Segmentation, scale: float, seconds: float) -> Tried:
    labels, scores = made.labels, [*made.label_score.values()]
    if made.kind == "semantic":  # count pieces, not classes
        labels = connected((labels > 0).reshape(-1, *labels.shape[-2:]))
    sizes = count_pixels(labels)[1:]
    sizes = sizes[sizes > 0]
    solid = made.kind == "instance" and "z" in made.axes
    return Tried(
        scale=scale,
        count=int(sizes.size),
        score=float(np.mean(scores)) if scores else math.nan,
        size_px=_diameter(float(np.median(sizes)), solid) if sizes.size else math.nan,
        seconds=round(seconds, 2),
    )


def _plain_channel(settings: PredictSettings) -> str:
    """Return the channel that is chosen by its number; without one the usual."""
    chosen = settings.channels.strip()
    return chosen if chosen.isdecimal() else "auto"


def _tried_input(
    part: Image, own: PredictSettings, made: Segmentation, seconds: float
) -> TriedInput:
    covered = float(np.mean(made.labels > 0))
    sure = sum(max(0.0, score - 0.5) for score in made.label_score.values())
    return TriedInput(
        channels=own.channels,
        invert=own.invert,
        found=_tried(made, 1.0, seconds),
        covered=covered,
        fit=sure * (1 - covered) ** EMPTY_POWER,
        picture=_drawn(part, made),
    )


def _drawn(part: Image, made: Segmentation) -> npt.NDArray[np.uint8]:
    """Return the middle of the middle plane with outlines over it."""
    sizes = part.sizes
    t, z = sizes["t"] // 2, sizes["z"] // 2
    first = {a: max(0, (sizes[a] - DRAWN_PX) // 2) for a in "yx"}
    y, x = (slice(first[a], min(sizes[a], first[a] + DRAWN_PX)) for a in "yx")
    pixels = part.read(t=t, z=slice(z, z + 1), y=y, x=x)[0, :, 0]  # (c, y, x)
    colours = part.rgb and sizes["c"] == 3 and pixels.dtype == np.uint8
    where: dict[str, slice | int] = {"t": t, "z": z, "y": y, "x": x}
    labels = made.labels[tuple(where[a] for a in made.axes)]
    labels = labels if made.axes.index("y") < made.axes.index("x") else labels.T
    return overlay(np.moveaxis(pixels, 0, -1) if colours else pixels.mean(axis=0), labels)


def _diameter(pixels: float, solid: bool) -> float:
    return (6 * pixels / math.pi) ** (1 / 3) if solid else 2 * math.sqrt(pixels / math.pi)
