"""The step ``normalize`` as the preprocessing of a bioimage.io model."""

from __future__ import annotations

from typing import Any

from napari_segnet.errors import OutputError
from napari_segnet.packages.bioimageio._prepare import LARGE
from napari_segnet.prepare import (
    Adjustable,
    Chain,
    Divide,
    DivideIfOverOne,
    ImageNet,
    MeanStd,
    Normalizer,
    parse_normalizer,
)

__all__ = ["preprocessing"]

LEAST_EPS = 1e-12
"""The specification wants more than 0."""
Steps = list[dict[str, Any]]


def preprocessing(how: str, over: str, ndim: int, channels: int) -> tuple[Steps, tuple[str, ...]]:
    """Return preprocessing in version 0.5, and notes on what is otherwise there.

    Parameters
    ----------
    how, over : str
        The normalisation and what is measured, see the setting ``normalize``.
    ndim, channels : int
        Of the network.

    Raises
    ------
    OutputError
        If the specification has no such step.
    """
    normalizer = parse_normalizer(how)
    steps: Steps = [_step("ensure_dtype", dtype="float32")]
    axes = ["y", "x"] if ndim == 2 or over == "plane" else ["z", "y", "x"]
    notes = list[str]()
    for one in normalizer.steps if isinstance(normalizer, Chain) else (normalizer,):
        steps += _steps(one, axes, channels, notes)
    if over == "series" and any("axes" in step.get("kwargs", {}) for step in steps):
        notes.append(
            "Images are measured one by one in the package; here a whole series is measured "
            "together."
        )
    return steps, tuple(notes)


def _step(name: str, **values: Any) -> dict[str, Any]:
    return {"id": name, "kwargs": values}


def _steps(one: Normalizer, axes: list[str], channels: int, notes: list[str]) -> Steps:
    numbers = one.numbers() if isinstance(one, Adjustable) else ()
    name = one.name.removeprefix("pooled-")
    axes = ["channel", *axes] if name != one.name and channels > 1 else axes
    if name == "none":
        return []
    if isinstance(one, Divide):
        return [_linear(1 / one.divisor, 0.0)]
    if isinstance(one, DivideIfOverOne):
        notes.append(
            "Values are always divided by 255 in the package; here only where one is over 1."
        )
        return [_linear(1 / 255, 0.0)]
    if isinstance(one, ImageNet):
        notes.append("Images have values from 0 to 255 in the package.")
        return [_linear(1 / 255, 0.0), _fixed(one.MEAN, one.STD)]
    if isinstance(one, MeanStd):
        return [_fixed(one.means, one.stds)]
    if name == "window":
        low, high = numbers
        return [_step("clip", min=low, max=high), _linear(1 / (high - low), -low / (high - low))]
    if name == "clip":
        limits = {"min": numbers[0], "max": numbers[1]}
        return [_step("clip", **{k: v for k, v in limits.items() if abs(v) < LARGE})]
    if name in ("z-score", "zero-mean-unit-variance"):
        eps = getattr(one, "eps", LEAST_EPS)
        return [_step("zero_mean_unit_variance", axes=axes, eps=max(eps, LEAST_EPS))]
    if name in ("min-max", "percentile", "scale-range"):
        low, high = getattr(one, "low", 0.0), getattr(one, "high", 100.0)
        eps = getattr(one, "eps", LEAST_EPS)
        step = _step(
            "scale_range",
            axes=axes,
            min_percentile=low,
            max_percentile=high,
            eps=max(eps, LEAST_EPS),
        )
        return [step, _step("clip", min=0.0, max=1.0)] if name == "percentile" else [step]
    raise OutputError(
        f"bioimage.io has no preprocessing like normalize={one.name}, so the network cannot be "
        "written as a package. Use its own file."
    )


def _linear(gain: float, offset: float) -> dict[str, Any]:
    return _step("scale_linear", gain=gain, offset=offset)


def _fixed(means: tuple[float, ...], stds: tuple[float, ...]) -> dict[str, Any]:
    name = "fixed_zero_mean_unit_variance"
    if len(means) == 1:
        return _step(name, mean=means[0], std=stds[0])
    return _step(name, axis="channel", mean=list(means), std=list(stds))
