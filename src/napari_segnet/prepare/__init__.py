"""From an image to a network's input, and back; every step is data.

A :class:`Normalizer` turns the statistics of one channel into an affine map; its name is
a value of the setting ``normalize``. To add one, write a file with such a class and name
it in ``NORMALIZERS``. One that takes numbers after its name and a colon
(``percentile:1,99.8``) also has the two methods of :class:`Adjustable`. Several in a row are
written with "then" between them: ``divide-255 then mean-std:0.5,0.25``.
"""

from __future__ import annotations

import math

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.errors import SettingsError
from napari_segnet.prepare._affine import Adjustable, Affine, Normalizer, Statistics
from napari_segnet.prepare.chain import THEN, Chain
from napari_segnet.prepare.channels import ChannelMap, map_channels
from napari_segnet.prepare.exchanged import (
    Clip,
    PooledScaleRange,
    PooledZeroMeanUnitVariance,
    ScaleRange,
    ZeroMeanUnitVariance,
)
from napari_segnet.prepare.fixed import Divide, Half, ImageNet, MeanStd, Unchanged, Window
from napari_segnet.prepare.measured import (
    DivideIfOverOne,
    MinMax,
    Percentile,
    PercentileZScore,
    ZScore,
)
from napari_segnet.prepare.normalization import OVER, Normalization, fit
from napari_segnet.prepare.statistics import ArrayStatistics
from napari_segnet.prepare.volumes import VOLUME, VolumeRecipe
from napari_segnet.settings import suggestion

__all__ = [
    "NORMALIZERS",
    "OVER",
    "Adjustable",
    "Affine",
    "ArrayStatistics",
    "Chain",
    "ChannelMap",
    "Divide",
    "DivideIfOverOne",
    "Half",
    "ImageNet",
    "MeanStd",
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
    Half(),
    Window(),
    MeanStd(),
    Clip(),
    ZeroMeanUnitVariance(),
    PooledZeroMeanUnitVariance(),
    ScaleRange(),
    PooledScaleRange(),
)
"""Every way to normalise; those with numbers stand here with their defaults."""
MOST_STEPS = 16
TOGETHER = (DivideIfOverOne, PercentileZScore, PooledZeroMeanUnitVariance, PooledScaleRange)
"""Normalisations that measure all channels together."""
ALIKE = (Unchanged, Divide, Half, Clip, Window, DivideIfOverOne, PooledZeroMeanUnitVariance,
         PooledScaleRange)  # fmt: skip
"""Those that do the same to each channel."""


def parse_normalizer(text: str) -> Normalizer:
    """Return the normalizer that a value of the setting ``normalize`` names.

    Parameters
    ----------
    text : str
        A name of ``NORMALIZERS``, where it takes numbers followed by a colon and these:
        ``percentile:1,99.8``. Several with " then " between them are done one after the other.

    Raises
    ------
    SettingsError
        If the name is unknown or the numbers make no sense.
    """
    if THEN in text:
        return _chain(text)
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
        f"normalize={text} is not known{_similar(text)}. Use auto or one of: "
        f"{', '.join(n.name for n in NORMALIZERS)}; with numbers for example percentile:1,99.8."
    )


def _similar(text: str) -> str:
    return suggestion(text.partition(":")[0], [n.name for n in NORMALIZERS])


def _chain(text: str) -> Chain:
    parts = text.split(THEN)
    if len(parts) > MOST_STEPS:
        raise SettingsError(
            f"normalize={text[:60]}... has {len(parts)} steps, and no more than {MOST_STEPS} are "
            "done one after the other. Leave some out."
        )
    steps = tuple(map(parse_normalizer, parts))
    own = next((step for step in steps if not isinstance(step, ALIKE)), None)
    together = [step for step in steps if isinstance(step, TOGETHER)]
    if own is not None and any(steps.index(own) < steps.index(step) for step in together):
        raise SettingsError(
            f"normalize={text}: {together[-1].name} takes all channels together, but {own.name} "
            "before it treats each on its own. Put it first, or choose another."
        )
    return Chain(steps=steps, name=THEN.join(map(normalizer_text, steps)))


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
    if step.name == VOLUME:
        return VolumeRecipe.from_options(step.options).to_step()
    if step.name == "scale":
        factor = float(step.options["factor"])
        if not 0.01 <= factor <= 100:
            raise ValueError(f"the scale {factor} is none between 0.01 and 100")
        return PrepareStep(name="scale", options={"factor": factor})
    how, over = step.options["how"], step.options.get("over", "volume")
    if step.name != "normalize" or over not in OVER or not isinstance(how, str):
        raise ValueError(f"the preparation {step.name} {dict(step.options)} is not known")
    try:
        parse_normalizer(how)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return PrepareStep(name="normalize", options={"how": how, "over": over})
