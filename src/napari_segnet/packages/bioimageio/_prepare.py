"""The preprocessing of a bioimage.io model as the step ``normalize``.

https://bioimage.io/docs/#/bioimageio_preprocessing_spec
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.packages._types import listed
from napari_segnet.packages.bioimageio._description import Tensor
from napari_segnet.prepare import checked

__all__ = ["NotDone", "prepared"]

FLOATS = ("float32", "float64", "float16")
LARGE = 3.4e38
"""Stands for no limit: about the largest float32."""


class NotDone(Exception):
    """A step that is not among ours, named in its text."""


@dataclass(frozen=True, slots=True)
class _Over:
    """What a step measures."""

    pooled: bool
    over: str


def prepared(tensor: Tensor, channels: int, ndim: int) -> tuple[PrepareStep, ...]:
    """Return the preprocessing of an input as data.

    Parameters
    ----------
    tensor : Tensor
        The input.
    channels, ndim : int
        Of the network.

    Raises
    ------
    NotDone
        If a step, or a value of it, is not among ours.
    """
    texts, overs = list[str](), list[str]()
    for step in tensor.steps:
        read = _STEPS.get(step.name)
        if read is None:
            raise NotDone(f"its step {step.name[:60]!r}")
        text, over = read(step.values, tensor, channels, ndim)
        texts += [text] if text else []
        overs += [over] if over else []
    if len(set(overs)) > 1:
        raise NotDone("that its steps measure different parts of the image")
    how = " then ".join(texts) or "none"
    over = overs[0] if overs else "plane" if ndim == 2 else "volume"
    try:
        return (checked(PrepareStep(name="normalize", options={"how": how, "over": over})),)
    except ValueError as error:
        raise NotDone(f"the values of its steps ({str(error)[:120]})") from error


def _over(values: Mapping[str, Any], tensor: Tensor, channels: int, ndim: int) -> _Over:
    """Return what figures are taken over."""
    own = {axis.name for axis in tensor.axes} - {"batch"}
    given = values.get("axes")
    if given is not None and not (
        isinstance(given, str | list | tuple) and all(isinstance(one, str) for one in given)
    ):
        raise NotDone(f"the axes {str(given)[:40]} of a step")
    letters = {"c": "channel", "b": "batch", "t": "time", "i": "index"}
    names = own if given is None else {letters.get(one, one) for one in given} - {"batch"}
    space = own & {"z", "y", "x"}
    mode = values.get("mode", "per_sample")
    if mode not in ("per_sample", "per_dataset"):
        raise NotDone(f"the mode {mode!r} of a step")
    if values.get("reference_tensor") not in (None, tensor.name):
        raise NotDone("that a step measures another tensor")
    pooled = "channel" in names and channels > 1
    if mode == "per_dataset":
        over = "series"
    elif names >= space:
        over = "plane" if ndim == 2 else "volume"
    elif ndim == 3 and names >= {"y", "x"}:
        over = "plane"
    else:
        raise NotDone(f"that a step measures along {', '.join(sorted(names)) or 'no axis'} alone")
    return _Over(pooled, over)


def _number(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name, default)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotDone(f"the value {name}={str(value)[:40]} of a step")
    return float(value)


def _numbers(values: Mapping[str, Any], name: str, default: float, channels: int) -> list[float]:
    """Return one number for each channel, or one for all."""
    given = listed(values.get(name, default))
    found = [_number({name: one}, name, default) for one in given]
    if len(found) not in (1, channels):
        raise NotDone(f"{len(found)} numbers {name} of a step for {channels} channels")
    return found


def _text(name: str, *numbers: float) -> str:
    return f"{name}:{','.join(repr(number) for number in numbers)}"


# ---- The steps -------------------------------------------------------------------------

_Read = tuple[str, str]


def _ensure_dtype(values: Mapping[str, Any], *_: Any) -> _Read:
    dtype = values.get("dtype")
    if dtype not in FLOATS:
        raise NotDone(f"its step ensure_dtype to {str(dtype)[:40]}, which cuts numbers off")
    return "", ""


def _zero_mean(values: Mapping[str, Any], tensor: Tensor, channels: int, ndim: int) -> _Read:
    if values.get("mode") == "fixed" or "mean" in values:
        return _fixed(values, tensor, channels, ndim)
    found = _over(values, tensor, channels, ndim)
    name = "pooled-" * found.pooled + "zero-mean-unit-variance"
    return _text(name, _number(values, "eps", 1e-6)), found.over


def _fixed(values: Mapping[str, Any], tensor: Tensor, channels: int, ndim: int) -> _Read:
    _require_channel(values, channels)
    means = _numbers(values, "mean", 0.0, channels)
    stds = _numbers(values, "std", 1.0, channels)
    count = max(len(means), len(stds))
    means, stds = means * (count // len(means)), stds * (count // len(stds))
    return _text("mean-std", *means, *stds), ""


def _require_channel(values: Mapping[str, Any], channels: int) -> None:
    """Refuse numbers along an axis of space. Version 0.4 lists the axes that share a number."""
    axis = values.get("axis", "channel")
    if axis not in (None, "channel", "c"):
        raise NotDone(f"that a step has numbers along the axis {str(axis)[:20]}")


def _scale_linear(values: Mapping[str, Any], tensor: Tensor, channels: int, ndim: int) -> _Read:
    _require_channel(values, channels)
    gains = _numbers(values, "gain", 1.0, channels)
    offsets = _numbers(values, "offset", 0.0, channels)
    if min(gains) <= 0:
        raise NotDone("that scale_linear turns dark and bright round (a gain of 0 or less)")
    count = max(len(gains), len(offsets))
    gains, offsets = gains * (count // len(gains)), offsets * (count // len(offsets))
    means = [-offset / gain for offset, gain in zip(offsets, gains, strict=True)]
    return _text("mean-std", *means, *(1 / gain for gain in gains)), ""


def _scale_range(values: Mapping[str, Any], tensor: Tensor, channels: int, ndim: int) -> _Read:
    found = _over(values, tensor, channels, ndim)
    low = _number(values, "min_percentile", 0.0)
    high = _number(values, "max_percentile", 100.0)
    name = "pooled-" * found.pooled + "scale-range"
    return _text(name, low, high, _number(values, "eps", 1e-6)), found.over


def _clip(values: Mapping[str, Any], *_: Any) -> _Read:
    if values.get("min_percentile") is not None or values.get("max_percentile") is not None:
        raise NotDone("that clip takes percentiles")
    low, high = _number(values, "min", -LARGE), _number(values, "max", LARGE)
    return _text("clip", low, high), ""


_STEPS: dict[str, Callable[[Mapping[str, Any], Tensor, int, int], _Read]] = {
    "ensure_dtype": _ensure_dtype,
    "zero_mean_unit_variance": _zero_mean,
    "fixed_zero_mean_unit_variance": _fixed,
    "scale_linear": _scale_linear,
    "scale_range": _scale_range,
    "clip": _clip,
}
