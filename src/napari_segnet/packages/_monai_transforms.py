"""What MONAI's transforms before and behind a network are here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.checkpoint import Activation, PrepareStep
from napari_segnet.packages._expressions import Config, NotPlain
from napari_segnet.packages._types import listed, mapping_of
from napari_segnet.prepare import checked

__all__ = ["Transforms", "read_transforms"]

NO_VALUES = (
    *("LoadImage", "EnsureChannelFirst", "AddChannel", "AsChannelFirst", "EnsureType", "ToTensor"),
    *("Orientation", "CastToType", "ToDevice", "AsDiscrete", "Invert", "SaveImage", "Identity"),
    *("EnsureTyped", "CopyItems", "DeleteItems", "DivisiblePad", "SpatialPad", "CropForeground"),
)
"""Transforms that change no value, or what is done here in its own way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transforms:
    """What was found.

    Attributes
    ----------
    prepare : PrepareStep or None
        The normalisation; None where none was understood.
    pixel_size_um : mapping of str to float
        What images are resampled to.
    activation : Activation or str
        Behind the network; empty where nothing is said.
    notes : tuple of str
        What was not understood.
    """

    prepare: PrepareStep | None = None
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    activation: Activation | None = None
    notes: tuple[str, ...] = ()


def read_transforms(config: Config, ndim: int) -> Transforms:
    """Return what a configuration does before and behind its network."""
    texts, left, size = list[str](), list[str](), dict[str, float]()
    for name, row in _steps(config, left, "preprocessing", "preprocessing_transforms"):
        if name == "Spacing":
            size = _pixel_size(row, ndim)
        elif name not in NO_VALUES:
            text = _text(name, row)
            texts += [text] if text else []
            left += [] if text else [name]
    activation: Activation | None = None
    behind = list[str]()
    for name, row in _steps(config, behind, "postprocessing", "postprocessing_transforms"):
        if name == "Activations":
            activation = "softmax" if row.get("softmax") else "sigmoid"
            if not (row.get("softmax") or row.get("sigmoid")):
                activation = None
        elif name not in NO_VALUES:
            behind.append(name)
    notes = []
    if left:
        notes.append(
            f"The bundle also prepares images by {', '.join(dict.fromkeys(left))[:200]}, which is "
            "not done here. Set normalize if the values differ."
        )
    if behind:
        notes.append(
            f"The bundle also changes its answer by {', '.join(dict.fromkeys(behind))[:200]}, "
            "which is not done here."
        )
    prepare = None
    if texts and not left:
        over = "volume" if ndim == 3 else "plane"
        options = {"how": " then ".join(texts), "over": over}
        prepare = checked(PrepareStep(name="normalize", options=options))
    return Transforms(
        prepare=prepare, pixel_size_um=size, activation=activation, notes=tuple(notes)
    )


def _steps(config: Config, left: list[str], *names: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and arguments of each transform; those that cannot be read go to ``left``."""
    raw: Any = config.first(*names)
    if isinstance(raw, Mapping):
        raw = raw.get("transforms", raw)
    try:
        rows = listed(config.value(raw) if isinstance(raw, str) else raw)
    except NotPlain as error:
        left.append(str(error))
        return
    for row in rows:
        name = str(mapping_of(row).get("_target_", row)).rpartition(".")[2]
        plain = name.removesuffix("d").removesuffix("Dict") if name.endswith("d") else name
        try:
            if mapping_of(row).get("_disabled_") not in (None, False, "false"):
                continue
            values = config.value(row)
        except NotPlain as error:
            if plain not in NO_VALUES:  # its arguments do not matter
                left.append(f"{name} ({error})")
            continue
        yield plain, mapping_of(values)


def _text(name: str, row: Mapping[str, Any]) -> str:
    """Return a transform as text of the setting ``normalize``; empty if it is none of ours."""
    number = _numbers(row)
    if name == "ScaleIntensityRange":
        low, high, least, most = (number.get(n) for n in ("a_min", "a_max", "b_min", "b_max"))
        if low is None or high is None or high <= low:
            return ""
        least, most = (0.0 if least is None else least), (1.0 if most is None else most)
        text = f"mean-std:{low!r},{high - low!r}"
        if (least, most) != (0.0, 1.0) and most > least:
            text += f" then mean-std:{-least / (most - least)!r},{1 / (most - least)!r}"
        return text + (f" then clip:{least!r},{most!r}" if row.get("clip") else "")
    if name == "ScaleIntensityRangePercentiles":
        low, high = number.get("lower"), number.get("upper")
        if low is None or high is None or (number.get("b_min"), number.get("b_max")) != (0.0, 1.0):
            return ""
        return f"scale-range:{low!r},{high!r},0" + (" then clip:0,1" if row.get("clip") else "")
    if name == "ScaleIntensity":
        plain = (number.get("minv", 0.0), number.get("maxv", 1.0)) == (0.0, 1.0)
        factor = row.get("factor")
        return "min-max" if plain and factor is None else ""
    if name == "NormalizeIntensity":
        return _normalised(row)
    return ""


def _normalised(row: Mapping[str, Any]) -> str:
    if row.get("nonzero"):
        return ""  # figures of pixels that are not 0
    means, stds = listed(row.get("subtrahend")), listed(row.get("divisor"))
    if not means and not stds:
        each = row.get("channel_wise")
        return "z-score" if each else "pooled-zero-mean-unit-variance:0.0"
    numbers = [*means, *stds]
    plain = all(isinstance(one, int | float) and math.isfinite(one) for one in numbers)
    if len(means) != len(stds) or not plain:
        return ""
    return f"mean-std:{','.join(repr(float(one)) for one in numbers)}"


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _pixel_size(row: Mapping[str, Any], ndim: int) -> dict[str, float]:
    """Return micrometres by axis of ``pixdim``, millimetres in the order x, y, z."""
    sizes = listed(row.get("pixdim"))
    plain = all(isinstance(one, int | float) and 0 < one < math.inf for one in sizes)
    if not plain or len(sizes) < ndim:
        return {}
    return {axis: 1000 * float(one) for axis, one in zip("xyz", sizes[:ndim], strict=False)}
