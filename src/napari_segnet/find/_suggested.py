"""What the code beside a network suggests, in the words of the settings of a run.

``programs.source`` finds lines that prepare images; each stands in ``card["suggested"]`` with its
file and line. Here they become values of settings. Whoever knows decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.prepare.fixed import ImageNet

__all__ = ["Suggestion", "suggestions_of"]

NORMALIZE = {
    "divide by 255": "divide-255",
    "divide by 65535": "divide-65535",
    "divide by 127.5": "half",
    "divide by 256": "mean-std:0,256",
    "mean and standard deviation of each image": "z-score",
    "smallest and largest value of each image": "min-max",
}
"""Beginning of what the source reader says -> value of the setting ``normalize``."""
NEAR = 5e-4
"""Means and standard deviations are written with three digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """One value that code beside the weights suggests.

    Attributes
    ----------
    setting : str
        ``normalize``, ``channels``, ``scale`` (of a run), ``threshold`` (of labels) or
        ``activation`` (a fact of the network).
    value : str or float
        As the setting takes it.
    where, code : str
        File and line, and what stands there.
    """

    setting: str
    value: str | float
    where: str
    code: str


def suggestions_of(checkpoint: Checkpoint, image: Image | None = None) -> tuple[Suggestion, ...]:
    """Return what code suggests, the first of each setting first.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    image : Image, optional
        A size to which code resizes every image is a scale only beside one.
    """
    rows = [row for row in checkpoint.card.get("suggested", ()) if _whole(row)]
    found = [*_normalized(rows)]
    for row in rows:
        found += _other(row, checkpoint, image)
    unlike: dict[tuple[str, str | float], Suggestion] = {}
    for one in found:
        unlike.setdefault((one.setting, one.value), one)
    return tuple(unlike.values())


def _whole(row: Any) -> bool:
    """Tell if a row is one that the source reader writes: a card may come from a file."""
    named = isinstance(row, Mapping) and all(
        isinstance(row.get(name), str) for name in ("name", "where", "code")
    )
    return named and "value" in row


def _suggestion(setting: str, value: str | float, row: Mapping[str, Any]) -> Suggestion:
    return Suggestion(setting=setting, value=value, where=row["where"], code=row["code"])


def _normalized(rows: Sequence[Mapping[str, Any]]) -> list[Suggestion]:
    """Return normalisations; means with deviations stand for more than the division before."""
    found = []
    for mean, std in zip(_named(rows, "mean"), _named(rows, "std"), strict=False):
        how = _mean_std(mean["value"], std["value"])
        if how is not None:
            found.append(_suggestion("normalize", how, mean))
    for row in _named(rows, "normalize"):
        said = str(row["value"])
        value = next((v for words, v in NORMALIZE.items() if said.startswith(words)), None)
        if value is not None:
            found.append(_suggestion("normalize", value, row))
    return found


def _named(rows: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["name"] == name]


def _mean_std(means: Any, stds: Any) -> str | None:
    """Return a normalisation by numbers for values from 0 to 1; None if they are none."""
    pairs = [means, stds]
    if not all(isinstance(row, list) and row for row in pairs) or len(means) != len(stds):
        return None
    numbers = [*means, *stds]
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers) or min(stds) <= 0:
        return None
    if all(abs(n - 0.5) < NEAR for n in numbers):
        return "half"
    known = [*ImageNet.MEAN, *ImageNet.STD]
    if len(numbers) == len(known) and all(
        abs(a - b) < NEAR for a, b in zip(numbers, known, strict=True)
    ):
        return ImageNet().name
    if all(n == 0 for n in means) and all(n == 1 for n in stds):
        return None  # it changes nothing
    return f"divide-255 then mean-std:{','.join(f'{n:g}' for n in numbers)}"


def _other(
    row: Mapping[str, Any], checkpoint: Checkpoint, image: Image | None
) -> tuple[Suggestion, ...]:
    name, value = row["name"], row["value"]
    if name == "colour_order" and checkpoint.channels == 3:
        words = str(value)
        if words.startswith("BGR ("):
            return (_suggestion("channels", "2,1,0", row),)
        return (_suggestion("channels", "0,1,2", row),) if words.startswith("RGB") else ()
    if name == "threshold" and isinstance(value, int | float) and 0 < value < 1:
        return (_suggestion("threshold", float(value), row),)
    if name == "activation":
        word = str(value).split()[0].strip(",")
        return (_suggestion("activation", word, row),)
    if name == "size_px" and image is not None and isinstance(value, list) and value:
        height, width = image.sizes["y"], image.sizes["x"]
        edges = [n for n in value if isinstance(n, int) and n > 0]
        if len(edges) == len(value):
            asked = edges[0] * edges[-1]
            return (_suggestion("scale", float(f"{(height * width / asked) ** 0.5:.3g}"), row),)
    return ()
