"""From what the user left open to settings with no gaps, or a refusal in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.checkpoint import Output
from napari_segnet.errors import SettingsError
from napari_segnet.segmentation import Kind
from napari_segnet.settings import suggestion
from napari_segnet.steps._channels import channel_of, classes_of
from napari_segnet.steps._types import NMS, LabelSettings
from napari_segnet.steps.link import LINKS
from napari_segnet.steps.members import LABELERS, REFINERS

__all__ = ["check", "resolve", "resolve_classes", "resolve_instances"]

THRESHOLD = 0.5
"""More likely foreground than not."""

DISTANCE_THRESHOLD = 0.1
"""Where a distance to the border (0 to 1) is all that a network says, 0.5 would take half
of each object's radius away; 0.1 takes a tenth and stays clear of the noise at zero."""

SEED_THRESHOLD = 0.1
"""As ``LabelSettings`` promises. Of full distance or probability: a valley less deep is
within what neighbouring pixels of one object differ by."""

FLOW_THRESHOLD = 0.4
"""As Cellpose has it; of the largest error that there is, 4 for flows the wrong way round."""

_FRACTIONS = ("threshold", "seed_threshold", "score", "nms", "mask_threshold", "mask_overlap")
_COUNTS = ("min_size_px", "max_objects", "flow_steps")

CUTS = ("auto", "distance")
"""The values of the setting ``cut_by``."""

OVERLAPS = ("score", "probability")
"""The values of the setting ``overlap``."""


def resolve_instances(outputs: Sequence[Output], setting: str) -> str:
    """Return the name of the labeler that a value of ``instances`` means.

    ``auto`` is ``flows`` where an output is a flow, ``offsets`` where one is, ``watershed`` where
    one is a boundary or a distance, ``components`` for one foreground, ``none`` for more than two
    classes (background included); any other name is returned as it is.

    Raises
    ------
    SettingsError
        If no labeler has that name; the known ones are listed.
    """
    names = [labeler.name for labeler in LABELERS]
    if setting != "auto":
        if setting not in names:
            raise SettingsError(
                f"instances={setting!r} is not known{suggestion(setting, names)}. Choose one of: "
                f"{', '.join(['auto', *names])}."
            )
        return setting
    if channel_of(outputs, "flow") is not None:
        return "flows"
    if channel_of(outputs, "offset") is not None:
        return "offsets"
    if any(channel_of(outputs, role) is not None for role in ("boundary", "distance")):
        return "watershed"
    classes = classes_of(outputs)
    return "none" if classes is not None and len(classes.foreground) > 1 else "components"


def resolve(
    settings: LabelSettings, outputs: Sequence[Output], advice: Mapping[str, Any], kind: Kind
) -> LabelSettings:
    """Fill in what is None or ``auto``, from the card's advice first, and check all.

    Parameters
    ----------
    settings : LabelSettings
        What the user says; it wins over everything else.
    outputs : sequence of Output
        Of the network; empty for instance networks.
    advice : mapping
        What the network's card says, by the names of ``LabelSettings``; ``threshold``,
        ``seed_threshold``, ``flow_threshold``, ``min_size_px``, ``fill_holes``, ``nms``,
        ``mask_overlap`` and ``instances`` are looked at.
    kind : Kind
        The network's task: ``semantic`` if it answers with maps, ``instance`` if with
        detections (then ``instances`` stays as it is, since no labeler is needed).

    Returns
    -------
    LabelSettings
        With no None; ``instances`` names a labeler where ``kind`` is ``semantic``.

    Raises
    ------
    SettingsError
        For an unknown name or a value out of range.
    """
    instances = settings.instances
    if instances == "auto" and kind == "semantic":
        instances = str(advice.get("instances", "auto"))
    name = resolve_instances(outputs, instances)
    defaults = {
        "threshold": DISTANCE_THRESHOLD if _only_distance(outputs) else THRESHOLD,
        "seed_threshold": SEED_THRESHOLD,
        "flow_threshold": FLOW_THRESHOLD,
        "min_size_px": 0,
        "fill_holes": kind == "semantic" and _makes_instances(name),
        "mask_overlap": 1.0,
        "nms": NMS,
    }
    filled: dict[str, Any] = {
        key: advice.get(key, default)
        for key, default in defaults.items()
        if getattr(settings, key) is None
    }
    filled["instances"] = name if kind == "semantic" else instances
    resolved = dataclasses.replace(settings, **filled)
    check(resolved)
    return resolved


def resolve_classes(wanted: Sequence[str], names: Sequence[str]) -> frozenset[int] | None:
    """Return the classes that the setting ``classes`` means; None for all.

    Parameters
    ----------
    wanted : sequence of str
        Names, in whatever case, or numbers (1 is the first class).
    names : sequence of str
        Of all classes, background first; empty where unknown.

    Raises
    ------
    SettingsError
        For a name that no class has; the known ones are listed.
    """
    if not wanted:
        return None
    known = {name.casefold(): index for index, name in enumerate(names)}
    chosen = set()
    for word in wanted:
        index = known.get(word.strip().casefold())
        if index is None and not word.strip().isdecimal():
            there = f"its classes: {', '.join(names[1:])}" if names else "a number, such as 1"
            raise SettingsError(
                f"classes={word!r} is no class of this network{suggestion(word, names[1:])}. "
                f"Choose of {there}."
            )
        chosen.add(int(word) if index is None else index)
    return frozenset(chosen)


def _only_distance(outputs: Sequence[Output]) -> bool:
    return classes_of(outputs) is None and channel_of(outputs, "distance") is not None


def _makes_instances(name: str) -> bool:
    return next(labeler.kind for labeler in LABELERS if labeler.name == name) == "instance"


def check(settings: LabelSettings) -> None:
    """Raise ``SettingsError`` for an unknown name or a value out of range; None is allowed."""
    resolve_instances((), settings.instances)
    for name in _FRACTIONS:
        value = getattr(settings, name)
        if value is not None and not (_is_number(value) and 0 <= value <= 1):
            raise SettingsError(f"{name}={value!r} is out of range. Give a number from 0 to 1.")
    for name in _COUNTS:
        value = getattr(settings, name)
        if value is not None and not (_is_number(value) and value >= 0 and value == int(value)):
            raise SettingsError(
                f"{name}={value!r} is out of range. Give a whole number, 0 or more."
            )
    worst = settings.flow_threshold
    if worst is not None and not (_is_number(worst) and worst >= 0):
        raise SettingsError(
            f"flow_threshold={worst!r} is out of range. Give a number from 0 (keep all) on, such "
            "as 0.4."
        )
    if settings.link not in LINKS:
        raise SettingsError(
            f"link={settings.link!r} is not known{suggestion(settings.link, LINKS)}. Choose "
            f"one of: {', '.join(LINKS)}."
        )
    if settings.overlap not in OVERLAPS:
        raise SettingsError(
            f"overlap={settings.overlap!r} is not known{suggestion(settings.overlap, OVERLAPS)}. "
            f"Choose one of: {', '.join(OVERLAPS)}."
        )
    if settings.cut_by not in CUTS:
        raise SettingsError(
            f"cut_by={settings.cut_by!r} is not known{suggestion(settings.cut_by, CUTS)}. Choose "
            f"one of: {', '.join(CUTS)}."
        )
    for word in settings.classes:
        if word.strip().isdecimal() and int(word) == 0:
            raise SettingsError(
                f"classes={word!r} is the background; 1 is the first class. Choose of the others."
            )
    known = [refiner.name for refiner in REFINERS]
    for step in settings.steps:
        if step not in known:
            raise SettingsError(
                f"The step {step!r} is not known{suggestion(step, known)}. Choose of: "
                f"{', '.join(known)}."
            )


def _is_number(value: object) -> bool:
    finite = isinstance(value, int | float) and not isinstance(value, bool)
    return finite and abs(float(value)) < float("inf")  # type: ignore[arg-type]
