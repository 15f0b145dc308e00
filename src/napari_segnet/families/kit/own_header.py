"""The text in the header of our own files: what the network is, in JSON."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.checkpoint import MOST, Checkpoint, Output, PrepareStep, fields_from_json
from napari_segnet.containers import Weights
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError
from napari_segnet.prepare import checked

__all__ = ["FORMAT", "HEADER", "Description", "header_text", "read_header", "said_family"]

HEADER = "napari_segnet"
"""Key of our JSON text in the safetensors header."""
FORMAT = 1
"""Version of that text; a newer one is refused."""
LONGEST_TEXT = 16_000_000
"""Of that text; a graph of 2,000 operations has half a million letters."""
NEEDED = ("outputs", "prepare")
OPTIONAL = ("pixel_size_um", "class_names", "card")
"""Fields of a checkpoint that stand in a header; the second may lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a header says; the fields are those of ``describe_new``."""

    hparams: Mapping[str, Any]
    outputs: tuple[Output, ...]
    prepare: tuple[PrepareStep, ...]
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)


def header_text(checkpoint: Checkpoint) -> str:
    """Return the JSON text for the header of a file with this network."""
    form = checkpoint.to_json()
    said = {name: form[name] for name in ("family", "hparams", *NEEDED, *OPTIONAL)}
    return json.dumps({"format": FORMAT, **said}, allow_nan=False)


def said_family(weights: Weights) -> str:
    """Return the family that a file says it is of; empty where it says none that can be read."""
    text = weights.metadata.get(HEADER)
    return _said_family(text) if isinstance(text, str) else ""


@functools.lru_cache(maxsize=4)
def _said_family(text: str) -> str:
    try:
        family = parsed_json(text)["family"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return family if isinstance(family, str) else ""


def read_header(
    weights: Weights, hparams: Callable[[Any], dict[str, Any]] | None = None
) -> Description:
    """Read what a file says of itself; every value is checked, since anybody can write one.

    Parameters
    ----------
    weights : Weights
        The file.
    hparams : callable, optional
        Checks the hyper-parameters and returns them; by default those of our U-Net.

    Raises
    ------
    UnsupportedWeightsError
        If a newer version wrote it.
    BrokenWeightsError
        If it cannot be understood.
    """
    try:
        said = weights.metadata[HEADER]
        if len(said) > LONGEST_TEXT:
            raise ValueError(f"it has {len(said):,} letters, where {LONGEST_TEXT:,} are read")
        text = parsed_json(said)
        version = _count(text["format"], "format")
        if version > FORMAT:
            raise UnsupportedWeightsError(
                f"{weights.path.name} was written by a newer napari-segnet (format {version}, "
                f"this one knows {FORMAT}). Update napari-segnet."
            )
        found = fields_from_json(text, (*NEEDED, *(name for name in OPTIONAL if name in text)))
        found["prepare"] = tuple(checked(step) for step in found["prepare"])
        return Description(hparams=(hparams or _hparams)(text["hparams"]), **found)
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


def _count(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise ValueError(f"{name}: {value!r} is no whole number from 1 on")
    return value
