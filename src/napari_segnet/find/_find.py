"""Find how an image is shown to a network: by its statistics, else by code, else nobody knows."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace

import numpy as np

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.find._network import Witness, witness_of
from napari_segnet.find._search import Hypotheses, search
from napari_segnet.find._shown import Way, part_of
from napari_segnet.find._suggested import Suggestion, suggestions_of
from napari_segnet.find._types import Found, Ranked
from napari_segnet.image import Image
from napari_segnet.progress import Progress, job

__all__ = ["alike", "find_settings"]

USUAL = ("divide-255", "z-score", "min-max", "half", "none")
"""Of public networks, the most frequent first; see ``evidence``."""
CT_WINDOW = "window:-200,300"
"""Of the soft tissue of a CT, in Hounsfield units."""
AIR_HU = -500
"""Below this is air, which lies around and inside of every body."""
STEPS = tuple(2 ** (k / 2) for k in range(-4, 5))
"""From a quarter to four times as large, by half octaves."""
CLEAR = 0.3
"""Margin from which a choice is called clear, see docs/find-settings.md."""


@job
def find_settings(
    checkpoint: Checkpoint,
    image: Image,
    given: Way,
    names: Collection[str],
    others: Sequence[Image] = (),
) -> Generator[Progress, None, Found]:
    """Find how an image is best shown to a network.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    image : Image
        Such as is to be segmented; of a series or stack the middle is looked at.
    given : Way
        What the settings come to without a search. The scale is looked for around its own.
    names : collection of str
        Which are to be found, of ``normalize``, ``channels``, ``invert`` and ``scale``; the others
        stay as they are given.
    others : sequence of Image, optional
        More images of the same kind. Objects differ in size from image to image, so the scale is
        found better on several; those of another type, pixel size or number of channels do not
        count.

    Yields
    ------
    Progress
        ``settings``: how many ways were tried.

    Returns
    -------
    Found
        Settings, margin and runner-up.

    Raises
    ------
    MismatchError
        If the image does not fit the network.
    WeightsError
        If the file cannot be read any more.
    """
    yield Progress(what="settings")
    ordered = tuple(n for n in ("normalize", "channels", "invert", "scale") if n in names)
    witness = witness_of(checkpoint)
    said = suggestions_of(checkpoint, image)
    tried = _hypotheses(checkpoint, image, given, ordered, said)
    if witness is None:
        return _by_code(given, ordered, said) or _by_nothing(given, ordered, tried)
    beside = [one for one in others if alike(one, image)] if "scale" in ordered else []
    return (yield from _by_statistics(checkpoint, (image, *beside), witness, tried, ordered))


def alike(one: Image, image: Image) -> bool:
    """Tell if two images are of one type, pixel size and number of channels."""

    def kind(of: Image) -> tuple[object, ...]:
        return of.dtype, of.sizes["c"], of.rgb, dict(of.pixel_size_um)

    return kind(one) == kind(image)


def _hypotheses(
    checkpoint: Checkpoint,
    image: Image,
    given: Way,
    names: tuple[str, ...],
    said: tuple[Suggestion, ...],
) -> Hypotheses:
    hows = [str(s.value) for s in said if s.setting == "normalize"]
    fact = checkpoint.known.get("prepare")
    if checkpoint.prepare and fact is not None and fact.source != "assumed":
        hows.append(given.normalize)
    usual = _normalizations(image, checkpoint.channels)
    scales = tuple(float(f"{given.scale * step:.3g}") for step in STEPS)
    return Hypotheses(
        normalize=_open("normalize", names, (*hows, *usual), given.normalize),
        channels=_open("channels", names, _orders(checkpoint, image, said), given.channels),
        invert=_open("invert", names, ("no", "yes"), given.invert),
        scale=scales if "scale" in names else (given.scale,),
        over=given.over,
        usual_scale=given.scale,
        named=frozenset(hows),
    )


def _open(
    name: str, names: tuple[str, ...], values: Collection[str | float], given: str
) -> tuple[str, ...]:
    found = dict.fromkeys(str(value) for value in values)
    return tuple(found) if name in names and found else (given,)


def _normalizations(image: Image, channels: int) -> tuple[str, ...]:
    """Return the named normalisations that make sense for a type, the most frequent first."""
    full = ["divide-65535"] if image.dtype == np.uint16 else []
    full.append("divide-255")
    signed = image.dtype.kind == "i"
    found = [*full, "z-score", "none", "min-max", *(() if signed else ("half",)), "percentile"]
    if _has_hounsfield(image):
        found.insert(0, CT_WINDOW)
    if channels == 3 and not signed:
        found.append("imagenet")
    if channels > 1:
        found += ["pooled-zero-mean-unit-variance", "pooled-scale-range"]
    return tuple(found)


def _has_hounsfield(image: Image) -> bool:
    """Tell if the numbers of a medical image may be Hounsfield units: air has -1000."""
    if image.grid is None or image.dtype.kind not in "if":
        return False
    middle = image.read(t=0, z=image.sizes["z"] // 2)
    return bool((middle <= AIR_HU).any())


def _orders(checkpoint: Checkpoint, image: Image, said: tuple[Suggestion, ...]) -> tuple[str, ...]:
    """Return the orders of channels that are tried; none where there is one only."""
    have = image.sizes["c"]
    if have != checkpoint.channels or have not in (2, 3):
        return ()
    usual = ",".join(str(i) for i in range(have))
    first = [str(s.value) for s in said if s.setting == "channels"]
    return tuple(dict.fromkeys((*first, usual, usual[::-1])))


def _by_statistics(
    checkpoint: Checkpoint,
    images: Sequence[Image],
    witness: Witness,
    tried: Hypotheses,
    names: tuple[str, ...],
) -> Generator[Progress, None, Found]:
    parts = [part_of(one, checkpoint.channels, checkpoint.ndim, witness.depth) for one in images]
    ranked = yield from search(parts, witness, tried)
    best, *others = ranked
    margin = others[0].misfit - best.misfit if others else math.nan
    count = len(witness.norms)
    says = (
        f"{_words(best.way, names)} fits best the statistics of the training in {count} "
        f"normalisation layer{'s' * (count != 1)}"
    )
    if others:
        how = "by far" if margin >= CLEAR else "narrowly"
        apart = tuple(n for n in names if getattr(best.way, n) != getattr(others[0].way, n))
        says += f", {how} before {_words(others[0].way, apart)}"
    if len(images) > 1:
        count = len(images) - 1
        says += f"; for the scale {count} more image{'s' * (count != 1)} of its kind were looked at"
    return Found(
        way=best.way,
        names=names,
        by="statistics",
        ranked=ranked,
        margin=margin,
        says=f"{says}.",
    )


def _by_code(given: Way, names: tuple[str, ...], said: tuple[Suggestion, ...]) -> Found | None:
    """Take what code suggests, the first of each setting; None where it says nothing."""
    way, suggestions = given, list[Suggestion]()
    for name in names:
        one = next((s for s in said if s.setting == name), None)
        if one is not None:
            way = replace(way, **{name: one.value})  # type: ignore[arg-type]
            suggestions.append(one)
    if not suggestions:
        return None
    where = "; ".join(f"{_words(way, (one.setting,))} ({one.where})" for one in suggestions)
    return Found(
        way=way,
        names=names,
        by="code",
        ranked=(Ranked(way=way, misfit=math.nan),),
        margin=math.nan,
        says=f"The file holds no statistics of its training; the code beside it says {where}.",
    )


def _by_nothing(given: Way, names: tuple[str, ...], tried: Hypotheses) -> Found:
    """Leave everything as it is, and offer the most frequent ways to the user's eye."""
    ways = [given]
    if "normalize" in names:
        usual = [how for how in (CT_WINDOW, *USUAL, *tried.normalize) if how in tried.normalize]
        ways += [replace(given, normalize=how) for how in dict.fromkeys(usual)]
    if "invert" in names:
        ways.append(replace(given, invert="no" if given.invert == "yes" else "yes"))
    if "channels" in names:
        ways += [replace(given, channels=one) for one in tried.channels[1:]]
    kept = list(dict.fromkeys(ways))[:6]
    return Found(
        way=given,
        names=names,
        by="nothing",
        ranked=tuple(Ranked(way=way, misfit=math.nan) for way in kept),
        margin=math.nan,
        says="Neither the file nor code beside it says how images were prepared, so no settings "
        "were found. Compare the labels of several settings.",
    )


def _words(way: Way, names: Collection[str]) -> str:
    """Return settings as a user would say them."""
    said = {
        "normalize": f"normalise {way.normalize}",
        "channels": "blue, green, red" if way.channels == "2,1,0" else f"channels {way.channels}",
        "invert": "inverted" if way.invert == "yes" else "not inverted",
        "scale": f"scale {way.scale:.3g}",
    }
    if way.channels == "auto":
        del said["channels"]  # there was no order to choose
    return ", ".join(said[name] for name in said if name in names)
