"""What a checkpoint of nnU-Net says beside its tensors: plans, configuration and labels.

``init_args`` of the trainer hold all three, see ``save_checkpoint`` in
https://github.com/MIC-DKFZ/nnUNet/blob/master/nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_segnet.checkpoint import Known, PrepareStep

__all__ = ["Plans", "plans_of"]

UM = 1000.0
"""Micrometres in a millimetre: nnU-Net's spacings are those of medical images."""
MOST_PARENTS = 8
"""No configuration inherits from more than two."""
READ = Known(source="read", why="from the plans in the file")
CUT = (
    "from the plans in the file; nnU-Net first cuts off a border of zeros, and where the plans say "
    "so measures the rest only, which is not done here"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the plans say.

    Attributes
    ----------
    prepare : tuple of PrepareStep
        Empty where they say nothing that can be done here.
    pixel_size_um : mapping of str to float
        Per axis.
    class_names : tuple of str
        Background first; empty where the channels are regions.
    known : mapping of str to Known
        Of the three.
    notes : tuple of str
        What differs here.
    """

    prepare: tuple[PrepareStep, ...]
    pixel_size_um: Mapping[str, float]
    class_names: tuple[str, ...]
    known: Mapping[str, Known]
    notes: tuple[str, ...]


def plans_of(metadata: Mapping[str, Any], channels: int, ndim: int, outputs: int) -> Plans | None:
    """Return what stands beside the tensors; None where there are no plans.

    Whatever in them is of another form than nnU-Net writes is left out.
    """
    arguments = _mapping(metadata.get("init_args"))
    plans = _mapping(arguments.get("plans"))
    configuration = _configuration(plans, str(arguments.get("configuration", "")))
    if not configuration:
        return None
    known: dict[str, Known] = {}
    notes: list[str] = []
    how, sure = _how(plans, configuration, channels)
    prepare = (
        (PrepareStep(name="normalize", options={"how": how, "over": "volume"}),) if how else ()
    )
    if how:
        known["prepare"] = READ if sure else Known(source="assumed", why=CUT)
    sizes = _sizes(configuration, ndim)
    if sizes:
        known["pixel_size_um"] = READ
    names, regions = _names(_mapping(arguments.get("dataset_json")), outputs)
    if names:
        known["class_names"] = Known(source="read", why="from the labels in the file")
    if regions:
        why = "its channels are regions that may overlap, and none of them is the background"
        known["outputs"] = Known(source="assumed", why=why)
        notes.append(f"{why[0].upper()}{why[1:]}: {', '.join(regions)}.")
    order = plans.get("transpose_forward")
    if isinstance(order, list | tuple) and list(order) != sorted(order):
        notes.append(f"nnU-Net turns the axes of an image ({order}) before this network sees it.")
    return Plans(
        prepare=prepare,
        pixel_size_um=sizes,
        class_names=names,
        known=known,
        notes=tuple(notes),
    )


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a configuration with what it inherits."""
    every, found = _mapping(plans.get("configurations")), dict[str, Any]()
    for _ in range(MOST_PARENTS):
        own = _mapping(every.get(name))
        found = {**own, **found}
        name = str(own.get("inherits_from", ""))
        if not name:
            break
    return found


def _how(
    plans: Mapping[str, Any], configuration: Mapping[str, Any], channels: int
) -> tuple[str, bool]:
    """Return the normalisation of all channels, and whether it is the very same."""
    schemes = configuration.get("normalization_schemes")
    kinds = set(schemes) if isinstance(schemes, list | tuple) else set()
    if len(kinds) != 1:
        return "", False  # each channel has its own: that cannot be said here
    kind = kinds.pop()
    fixed = {
        "NoNormalization": "none",
        "RescaleTo01Normalization": "min-max",
        "RGBTo01Normalization": "divide-255",
    }
    if kind == "ZScoreNormalization":
        return "z-score", False
    if kind == "CTNormalization" and channels == 1:
        return _of_ct(plans), True
    return fixed.get(str(kind), ""), True


def _of_ct(plans: Mapping[str, Any]) -> str:
    """Return the window and the figures of the foreground of all training images."""
    rows = _mapping(
        plans.get("foreground_intensity_properties_per_channel")
        or plans.get("foreground_intensity_properties_by_modality")
    )
    own = _mapping(rows.get("0", rows.get(0)))
    names = ("percentile_00_5", "percentile_99_5", "mean", "std")
    numbers = [own.get(name) for name in names]
    if not all(isinstance(one, int | float) for one in numbers):
        return ""
    low, high, mean, std = (float(one) for one in numbers if one is not None)
    return f"clip:{low!r},{high!r} then mean-std:{mean!r},{max(std, 1e-8)!r}" if low < high else ""


def _sizes(configuration: Mapping[str, Any], ndim: int) -> dict[str, float]:
    spacing = configuration.get("spacing")
    if not isinstance(spacing, list | tuple) or len(spacing) != ndim:
        return {}
    if not all(isinstance(one, int | float) and 0 < one < 1e6 for one in spacing):
        return {}
    return {a: float(one) * UM for a, one in zip("zyx"[-ndim:], spacing, strict=True)}


def _names(dataset: Mapping[str, Any], outputs: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names of classes, or those of regions."""
    labels = _mapping(dataset.get("labels"))
    if any(isinstance(value, list | tuple) for value in labels.values()):
        return (), tuple(str(name) for name in labels if name != "background")
    rows = sorted(
        (int(value), str(name))
        for name, value in labels.items()
        if isinstance(value, int | str) and str(value).isdigit() and name != "ignore"
    )
    if [number for number, _ in rows] != list(range(outputs)):
        return (), ()
    return tuple(name for _, name in rows), ()
