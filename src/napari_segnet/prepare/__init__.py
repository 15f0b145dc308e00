"""From an image to a network's input, and back; every step is data.

A :class:`Normalizer` turns the statistics of one channel into an affine map; its name is
a value of the setting ``normalize``. To add one, write a file with such a class and name
it in ``NORMALIZERS``. One that takes numbers after its name and a colon
(``percentile:1,99.8``) also has the two methods of :class:`Adjustable`.
"""

from __future__ import annotations

import math

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.errors import SettingsError
from napari_segnet.prepare._affine import Adjustable, Affine, Normalizer, Statistics
from napari_segnet.prepare.channels import ChannelMap, map_channels
from napari_segnet.prepare.fixed import Divide, ImageNet, MeanStd, Unchanged, Window
from napari_segnet.prepare.measured import (
    DivideIfOverOne,
    MinMax,
    Percentile,
    PercentileZScore,
    ZScore,
)
from napari_segnet.prepare.normalization import OVER, Normalization, fit
from napari_segnet.prepare.statistics import ArrayStatistics

__all__ = [
    "NORMALIZERS",
    "OVER",
    "Adjustable",
    "Affine",
    "ArrayStatistics",
    "ChannelMap",
    "Normalization",
    "Normalizer",
    "Statistics",
    "checked",
    "fit",
    "map_channels",
    "normalizer_text",
    "parse_normalizer",
]

NORMALIZERS: tuple[Normalizer, ...] = (
    Unchanged(),
    Divide(divisor=255),
    Divide(divisor=65535),
    DivideIfOverOne(),
    MinMax(),
    Percentile(),
    ZScore(),
    PercentileZScore(),
    ImageNet(),
    Window(),
    MeanStd(),
)
"""Every way to normalise; those with numbers stand here with their defaults."""


def parse_normalizer(text: str) -> Normalizer:
    """Return the normalizer that a value of the setting ``normalize`` names.

    Parameters
    ----------
    text : str
        A name of ``NORMALIZERS``, where it takes numbers followed by a colon and these:
        ``percentile:1,99.8``.

    Raises
    ------
    SettingsError
        If the name is unknown or the numbers make no sense.
    """
    name, colon, numbers = text.strip().partition(":")
    for known in NORMALIZERS:
        if known.name != name:
            continue
        if isinstance(known, Adjustable):
            # Without a colon: the defaults, or a refusal that says which numbers it needs.
            return known.with_numbers(_numbers(text, numbers) if colon else ())
        if colon:
            raise SettingsError(f"normalize={text} has numbers, but {name} takes none.")
        return known
    raise SettingsError(
        f"normalize={text} is not known. Use auto or one of: "
        f"{', '.join(n.name for n in NORMALIZERS)}; with numbers for example percentile:1,99.8."
    )


def normalizer_text(normalizer: Normalizer) -> str:
    """Return the text that :func:`parse_normalizer` reads back as the same normalizer."""
    numbers = normalizer.numbers() if isinstance(normalizer, Adjustable) else ()
    if not numbers:
        return normalizer.name
    return f"{normalizer.name}:{','.join(repr(float(n)).removesuffix('.0') for n in numbers)}"


def _numbers(text: str, numbers: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in numbers.split(","))
    except ValueError as error:
        raise SettingsError(
            f"normalize={text} is not understood: after the colon come numbers with commas "
            "between them, for example percentile:1,99.8."
        ) from error
    if not all(math.isfinite(v) for v in values):
        raise SettingsError(f"normalize={text} is not understood: its numbers must be finite.")
    return values


def checked(step: PrepareStep) -> PrepareStep:
    """Return a step that a file names, if it can be done; with all its options.

    Raises
    ------
    ValueError, KeyError
        If it is not known.
    """
    how, over = step.options["how"], step.options.get("over", "volume")
    if step.name != "normalize" or over not in OVER or not isinstance(how, str):
        raise ValueError(f"the preparation {step.name} {dict(step.options)} is not known")
    try:
        parse_normalizer(how)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return PrepareStep(name="normalize", options={"how": how, "over": over})
