"""The description of a bioimage.io model, versions 0.4 and 0.5, in one form.

https://github.com/bioimage-io/spec-bioimage-io/tree/main/src/bioimageio/spec/model
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError
from napari_segnet.packages._types import listed, mapping_of, text_of

__all__ = ["Axis", "Description", "Step", "Tensor", "read_description"]

LETTERS = {"b": "batch", "c": "channel", "t": "time", "i": "index", "z": "z", "y": "y", "x": "x"}
"""Axes of version 0.4, and their names here."""
SPACE = ("z", "y", "x")
MOST_TENSORS = 64
MOST_STEPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis of a tensor.

    Attributes
    ----------
    name : str
        ``batch``, ``channel``, ``time``, ``index``, ``z``, ``y`` or ``x``.
    size : int or None
        Where it is fixed, or its least where it grows by ``step``; None where it follows
        another tensor.
    step : int
        What it grows by; 0 where it is fixed.
    halo : int
        Pixels at each edge that are thrown away.
    scale_um : float or None
        Pixel size, where it is known.
    channels : tuple of str
        Names of channels.
    """

    name: str
    size: int | None = None
    step: int = 0
    halo: int = 0
    scale_um: float | None = None
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step before or behind the network."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or an output."""

    name: str
    axes: tuple[Axis, ...]
    steps: tuple[Step, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    test: str = ""

    def axis(self, name: str) -> Axis | None:
        """Return an axis by its name."""
        return next((axis for axis in self.axes if axis.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the description says.

    Attributes
    ----------
    version : str
        Of the specification.
    inputs, outputs : tuple of Tensor
        What goes in and comes out.
    weights : mapping of str to mapping
        By their kind.
    about : mapping
        All else.
    """

    version: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]


def read_description(content: Mapping[str, Any], name: str, package: str) -> Description:
    """Return a description in one form.

    Raises
    ------
    UnsupportedWeightsError
        If it is of another version, or describes no model.
    BrokenWeightsError
        If it contradicts itself or lacks what its version needs.
    """
    where = f"{name} in {package}"
    version, kind = text_of(content.get("format_version"), 40), text_of(content.get("type"), 40)
    if kind != "model":
        raise UnsupportedWeightsError(
            f"{where} describes {kind or 'nothing'} for bioimage.io, not a model. Choose the "
            "package of a model."
        )
    if version.split(".")[:2] not in (["0", "4"], ["0", "5"]):
        raise UnsupportedWeightsError(
            f"{where} is written in version {version or 'unknown'} of bioimage.io's "
            "specification; 0.4 and 0.5 are read. Get a newer version of the package, or update "
            "napari-segnet."
        )
    read = _tensors_0_4 if version.startswith("0.4") else _tensors_0_5
    try:
        inputs = tuple(read(content, "input"))
        outputs = tuple(read(content, "output"))
        weights = {str(k): mapping_of(v) for k, v in content["weights"].items()}
        _check(inputs, outputs)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise BrokenWeightsError(
            f"{where} is not valid: {reason[:200]}. Ask its author to correct it, or open the "
            "weights file alone."
        ) from error
    return Description(
        version=version, inputs=inputs, outputs=outputs, weights=weights, about=content
    )


def _check(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
    names = [tensor.name for tensor in (*inputs, *outputs)]
    if not inputs or not outputs:
        raise ValueError("it has no inputs or no outputs")
    if len(names) > MOST_TENSORS:
        raise ValueError(f"it has {len(names)} tensors")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two of its tensors have the name {twice[:60]!r}")
    for tensor in (*inputs, *outputs):
        own = [axis.name for axis in tensor.axes]
        if len(set(own)) != len(own):
            raise ValueError(f"the tensor {tensor.name[:60]!r} has an axis twice ({own})")
        if len(tensor.steps) > MOST_STEPS:
            raise ValueError(f"the tensor {tensor.name[:60]!r} has {len(tensor.steps)} steps")


# ---- Version 0.4 -----------------------------------------------------------------------


def _tensors_0_4(content: Mapping[str, Any], side: str) -> Iterator[Tensor]:
    tests = listed(content.get(f"test_{side}s"))
    for place, row in enumerate(content[f"{side}s"]):
        letters = str(row["axes"])
        shape, halo = row["shape"], listed(row.get("halo")) or [0] * len(letters)
        if len(halo) != len(letters):
            raise ValueError(f"the halo of {row['name']} has not one number for each axis")
        axes = []
        for number, letter in enumerate(letters):
            if letter not in LETTERS:
                raise ValueError(f"the axis {letter!r} of {row['name']} is not known")
            size, step = _size_0_4(shape, number, len(letters))
            axes.append(Axis(name=LETTERS[letter], size=size, step=step, halo=_count(halo[number])))
        low, high = _range(row.get("data_range"))
        yield Tensor(
            name=str(row["name"]),
            axes=tuple(axes),
            steps=tuple(_steps(row, side, "name")),
            low=low,
            high=high,
            test=text_of(tests[place], 300) if place < len(tests) else "",
        )


def _size_0_4(shape: Any, number: int, count: int) -> tuple[int | None, int]:
    if isinstance(shape, Mapping):
        if "min" not in shape:
            return None, 0
        parts = shape["min"], shape["step"]
        if any(len(part) != count for part in parts):
            raise ValueError("a shape has not one number for each axis")
        return _count(parts[0][number]), _count(parts[1][number])
    if len(shape) != count:
        raise ValueError("a shape has not one number for each axis")
    return _count(shape[number]), 0


# ---- Version 0.5 -----------------------------------------------------------------------


def _tensors_0_5(content: Mapping[str, Any], side: str) -> Iterator[Tensor]:
    for row in content[f"{side}s"]:
        data = row.get("data")
        low, high = _range(mapping_of(data).get("range"))
        test = row.get("test_tensor")
        yield Tensor(
            name=str(row.get("id", side)),
            axes=tuple(_axis(axis) for axis in row["axes"]),
            steps=tuple(_steps(row, side, "id")),
            low=low,
            high=high,
            test=text_of(test["source"] if isinstance(test, Mapping) else test, 300),
        )


def _axis(row: Mapping[str, Any]) -> Axis:
    kind = str(row["type"])
    name = str(row.get("id", "x")) if kind == "space" else kind
    if kind not in ("batch", "channel", "time", "index", "space") or (
        kind == "space" and name not in SPACE
    ):
        raise ValueError(f"the axis {name!r} of the type {kind!r} is not known")
    size, step, given = None, 0, row.get("size")
    if isinstance(given, Mapping):
        if "min" in given and "step" in given:
            size, step = _count(given["min"]), _count(given["step"])
    elif given is not None:
        size = _count(given)
    names = tuple(text_of(one, 80) for one in listed(row.get("channel_names")))
    if kind == "channel":
        size = size if size is not None else len(names) or None
    scale = row.get("scale")
    known = row.get("unit") in UNITS and isinstance(scale, int | float) and 0 < scale < math.inf
    return Axis(
        name=name,
        size=size,
        step=step,
        halo=_count(row.get("halo") or 0),
        scale_um=float(scale) * UNITS[row["unit"]] if known and scale is not None else None,
        channels=names,
    )


UNITS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "angstrom": 1e-4}
"""Micrometres in what an axis may be measured in."""


# ---- Both ------------------------------------------------------------------------------


def _steps(row: Mapping[str, Any], side: str, key: str) -> Iterator[Step]:
    for step in listed(row.get("preprocessing" if side == "input" else "postprocessing")):
        yield Step(name=str(step[key]), values=mapping_of(step.get("kwargs")))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**6:
        raise ValueError(f"{value!r} is no size of an image")
    return value


def _range(value: Any) -> tuple[float, float]:
    ends = listed(value)
    if len(ends) != 2:
        return -math.inf, math.inf
    low, high = (
        float(end) if isinstance(end, int | float | str) and end is not None else side
        for end, side in zip(ends, (-math.inf, math.inf), strict=True)
    )
    return low, high
