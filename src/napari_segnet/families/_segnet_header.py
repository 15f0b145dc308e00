"""The text in the header of our own files: what the network is, in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from napari_segnet.checkpoint import Activation, Checkpoint, Output, PrepareStep, Role
from napari_segnet.containers import Weights
from napari_segnet.errors import BrokenWeightsError, SettingsError, UnsupportedWeightsError
from napari_segnet.prepare import OVER, parse_normalizer

__all__ = ["FORMAT", "HEADER", "Description", "header_text", "read_header"]

HEADER = "napari_segnet"
"""Key of our JSON text in the safetensors header."""
FORMAT = 1
"""Version of that text; a newer one is refused."""
MOST = 100_000
"""No count in a header is larger: one that is comes from a damaged file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a header says; the fields are those of ``describe_new``."""

    hparams: Mapping[str, Any]
    outputs: tuple[Output, ...]
    prepare: tuple[PrepareStep, ...]
    pixel_size_um: Mapping[str, float]
    class_names: tuple[str, ...]
    card: Mapping[str, Any]


def header_text(checkpoint: Checkpoint) -> str:
    """Return the JSON text for the header of a file with this network."""
    return json.dumps(
        {
            "format": FORMAT,
            "family": checkpoint.family,
            "hparams": dict(checkpoint.hparams),
            "outputs": [asdict(o) for o in checkpoint.outputs],
            "prepare": [{"name": s.name, "options": dict(s.options)} for s in checkpoint.prepare],
            "pixel_size_um": dict(checkpoint.pixel_size_um),
            "class_names": list(checkpoint.class_names),
            "card": dict(checkpoint.card),
        },
        allow_nan=False,
    )


def read_header(weights: Weights) -> Description:
    """Read what a file says of itself; every value is checked, since anybody can write one.

    Raises
    ------
    UnsupportedWeightsError
        If a newer version wrote it.
    BrokenWeightsError
        If it cannot be understood.
    """
    try:
        text = json.loads(weights.metadata[HEADER])
        version = _count(text["format"], "format")
        if version > FORMAT:
            raise UnsupportedWeightsError(
                f"{weights.path.name} was written by a newer napari-segnet (format {version}, "
                f"this one knows {FORMAT}). Update napari-segnet."
            )
        return Description(
            hparams=_hparams(text["hparams"]),
            outputs=tuple(_output(row) for row in text["outputs"]),
            prepare=tuple(_step(row) for row in text["prepare"]),
            pixel_size_um=_pixel_size(text.get("pixel_size_um", {})),
            class_names=_names(text.get("class_names", [])),
            card=_card(text.get("card", {})),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenWeightsError(
            f"The description inside {weights.path.name} cannot be understood ({error}). Get the "
            "file again from where it was written."
        ) from error


def _hparams(given: Mapping[str, Any]) -> dict[str, Any]:
    ndim = _count(given["ndim"], "ndim")
    if ndim not in (2, 3):
        raise ValueError(f"ndim is {ndim}, not 2 or 3")
    widths = [_count(width, "widths") for width in given["widths"]]
    strides = [[_count(s, "strides") for s in stride] for stride in given["strides"]]
    if len(strides) != len(widths) - 1 or any(len(stride) != ndim for stride in strides):
        raise ValueError(f"strides {strides} do not fit {len(widths)} levels in {ndim} dimensions")
    channels = _count(given["channels"], "channels")
    return {"ndim": ndim, "channels": channels, "widths": widths, "strides": strides}


def _output(row: Mapping[str, Any]) -> Output:
    if row["role"] not in get_args(Role) or row["activation"] not in get_args(Activation):
        raise ValueError(f"the output {row} has an unknown role or activation")
    return Output(
        role=row["role"],
        channels=_count(row["channels"], "channels"),
        activation=row["activation"],
    )


def _step(row: Mapping[str, Any]) -> PrepareStep:
    if row["name"] != "normalize":
        raise ValueError(f"the preparation {row['name']!r} is not known")
    how, over = row["options"]["how"], row["options"].get("over", "volume")
    if not isinstance(how, str) or over not in OVER:
        raise ValueError(f"the preparation {row} is not known")
    try:
        parse_normalizer(how)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return PrepareStep(name="normalize", options={"how": how, "over": over})


def _pixel_size(sizes: Mapping[str, Any]) -> dict[str, float]:
    for axis, size in sizes.items():
        if axis not in ("z", "y", "x") or not 0 < float(size) < float("inf"):
            raise ValueError(f"{axis}: {size} is no pixel size")
    return {axis: float(size) for axis, size in sizes.items()}


def _names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names {names} are no list of names")
    return tuple(names)


def _card(card: Any) -> dict[str, Any]:
    if not isinstance(card, dict) or not isinstance(card.get("label", {}), dict):
        raise ValueError("the card is no JSON object")
    return card


def _count(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise ValueError(f"{name}: {value!r} is no whole number from 1 on")
    return value
