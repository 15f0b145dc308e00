"""What a ``Config`` of matterport says of a network: a class of code, read as constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.families.kit.constants import ClassConstants
from napari_segnet.families.maskrcnn.facts import Recorded

__all__ = ["CONSTANTS", "RATIOS", "SIZES_PX", "Configured", "Tensors", "configured_by"]

SIZES_PX = (32, 64, 128, 256, 512)
RATIOS = (2.0, 1.0, 0.5)
"""As height / width; ``RPN_ANCHOR_RATIOS`` are width / height."""
LIFTED = {"DETECTION_MAX_INSTANCES": 100, "POST_NMS_ROIS_INFERENCE": 1000}
"""Defaults of the program that are too few for a field of cells: they count only where changed."""
BACKBONES = {"resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3]}
RESIZES = {"square": "square", "none": "none", "pad64": "none"}
FOR_PREDICTION = ("infer", "predict", "test", "eval", "detect")
LARGEST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What the tensors say, to hold a configuration against.

    Attributes
    ----------
    file : str
        Its name.
    classes, channels : int
        With background; of the input.
    hparams : mapping
        All that shapes say.
    """

    file: str
    classes: int
    channels: int
    hparams: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What is used of a configuration, and sentences on what is not.

    Attributes
    ----------
    recorded : Recorded
        Hyper-parameters of the graph and of the resizing, by name.
    assumed : frozenset of str
        Those that the class does not say itself: its base in the program does.
    notes : tuple of str
        Sentences.
    """

    recorded: Recorded = field(default_factory=Recorded)
    assumed: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def configured_by(classes: Sequence[ClassConstants], tensors: Tensors) -> Configured:
    """Return what the class that is that of the tensors says.

    Of several the one for prediction, else the one that is derived most, else the last.

    Raises
    ------
    UnsupportedWeightsError
        If it asks for a step that the graph does not have.
    """
    notes = []
    fitting: list[ClassConstants] = []
    for one in classes:
        own = one.values.get("NUM_CLASSES")
        # The base of all has 1, which is to be overridden.
        if isinstance(own, int) and own not in (1, tensors.classes):
            notes.append(
                f"{one.name} ({one.where}) was not used: it has {own} classes with background, "
                f"the tensors of {tensors.file} {tensors.classes}."
            )
        else:
            fitting.append(one)
    if not fitting:
        return Configured(notes=tuple(notes))
    chosen = max(enumerate(fitting), key=lambda row: _rank(row[1], row[0], tensors))[1]
    _refuse_unsupported(chosen, tensors)
    values, odd = _values(chosen, tensors)
    notes += [f"{said} of {chosen.name} ({chosen.where}) was not used: {why}." for said, why in odd]
    if chosen.unread:
        lines = "; ".join(chosen.unread[:4])
        notes.append(f"What {chosen.name} has there was not followed, so it is not used: {lines}.")
    notes += _others(fitting, chosen, values, tensors)
    anchors = {"anchor_sizes_px", "anchor_ratios"}
    assumed = anchors - values.keys() if anchors & values.keys() else frozenset[str]()
    defaults = {"anchor_sizes_px": [[float(n)] for n in SIZES_PX], "anchor_ratios": list(RATIOS)}
    values |= {name: defaults[name] for name in assumed}
    where = f"{chosen.name} ({chosen.where}), which was read and not run"
    recorded = Recorded(where=where, values=values)
    return Configured(recorded=recorded, assumed=frozenset(assumed), notes=tuple(notes))


def _rank(one: ClassConstants, place: int, tensors: Tensors) -> tuple[bool, bool, int, int]:
    own = one.values.get("NUM_CLASSES") == tensors.classes
    called = any(word in one.name.lower() for word in FOR_PREDICTION)
    return own, called, len(one.bases), place


def _others(
    fitting: Sequence[ClassConstants],
    chosen: ClassConstants,
    values: Mapping[str, Any],
    tensors: Tensors,
) -> list[str]:
    """Return a sentence on each class that could be the one as well and says otherwise."""
    notes = []
    for one in fitting:
        if one is chosen or one.name in chosen.bases:
            continue
        theirs, _ = _values(one, tensors)
        apart = sorted(n for n, value in theirs.items() if values.get(n, value) != value)
        if apart:
            notes.append(
                f"{one.name} ({one.where}) says otherwise than {chosen.name}, which was taken: "
                f"{', '.join(f'{name} {theirs[name]}' for name in apart[:3])}."
            )
    return notes


def _refuse_unsupported(one: ClassConstants, tensors: Tensors) -> None:
    """Refuse what the tensors alone would not show to be different."""
    wanted = {"RPN_ANCHOR_STRIDE": 1, "BACKBONE_STRIDES": [4, 8, 16, 32, 64]}
    faults = [
        f"{name} = {one.values[name]}"
        for name, usual in wanted.items()
        if one.values.get(name, usual) != usual
    ]
    if faults:
        raise UnsupportedWeightsError(
            f"{tensors.file} is matterport's Mask R-CNN with a step that this version does not "
            f"have: {one.name} ({one.where}) says {' and '.join(faults)}. If that is not so, "
            "correct it there."
        )


def _values(one: ClassConstants, tensors: Tensors) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return hyper-parameters by name; and each constant that cannot be, with why."""
    found: dict[str, Any] = {}
    odd: list[tuple[str, str]] = []
    for constant, (name, understood) in _KNOWN.items():
        if constant not in one.values or one.values[constant] == LIFTED.get(constant, ...):
            continue
        fits = understood(one.values[constant], tensors)
        if fits is None:
            odd.append((f"{constant} = {_shown(one.values[constant])}", "it cannot be"))
        else:
            found[name] = fits
    for constant, own, there in _read_of_tensors(tensors):
        said = one.values.get(constant, there)
        if said not in (there, own):
            odd.append((f"{constant} = {_shown(said)}", f"the tensors say {_shown(there)}"))
    if one.values.get("IMAGE_MIN_SCALE"):
        why = "only IMAGE_MIN_DIM and IMAGE_MAX_DIM decide how an image is resized here"
        odd.append((f"IMAGE_MIN_SCALE = {_shown(one.values['IMAGE_MIN_SCALE'])}", why))
    return found, odd


def _read_of_tensors(tensors: Tensors) -> list[tuple[str, Any, Any]]:
    """Return constants that the tensors say, another way to say it, and what they say."""
    read = tensors.hparams
    layers = read.get("layers")
    named = next((name for name, rows in BACKBONES.items() if rows == layers), layers)
    return [
        ("BACKBONE", layers, named),
        ("IMAGE_CHANNEL_COUNT", None, tensors.channels),
        ("POOL_SIZE", None, read.get("box_pool_px")),
        ("TOP_DOWN_PYRAMID_SIZE", None, read.get("fpn_channels")),
    ]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


# ---- What each constant may be -----------------------------------------------------------


def _number(value: Any, least: float, most: float) -> Any:
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    return value if fine and least <= value <= most else None


def _share(value: Any, tensors: Tensors) -> float | None:
    found = _number(0 if value is None else value, 0.0, 1.0)
    return None if found is None else float(found)


def _count(least: int, step: int = 1) -> Callable[[Any, Tensors], int | None]:
    def read(value: Any, tensors: Tensors) -> int | None:
        found = _number(value, least, LARGEST)
        return int(found) if isinstance(found, int) and found % step == 0 else None

    return read


def _row(value: Any, length: int) -> list[float] | None:
    if not isinstance(value, list) or len(value) != length:
        return None
    fine = [_number(one, -LARGEST, LARGEST) for one in value]
    return None if None in fine else [float(one) for one in fine]


def _mean(value: Any, tensors: Tensors) -> list[float] | None:
    if _number(value, -LARGEST, LARGEST) is not None:
        return [float(value)] * tensors.channels
    return _row(value, tensors.channels)


def _weights(value: Any, tensors: Tensors) -> list[float] | None:
    """Return 1 / deviation of x, y, width, height; they stand as y, x, height, width there."""
    row = _row(value, 4)
    if row is None or min(row) <= 0:
        return None
    y, x, height, width = (round(1 / one, 6) for one in row)
    return [x, y, width, height]


def _sizes(value: Any, tensors: Tensors) -> list[list[float]] | None:
    row = _row(value, len(tensors.hparams["levels"]) + 1)
    return [[size] for size in row] if row is not None and min(row) > 0 else None


def _ratios(value: Any, tensors: Tensors) -> list[float] | None:
    row = _row(value, int(tensors.hparams["anchors_per_pixel"]))
    return [1 / ratio for ratio in row] if row is not None and min(row) > 0 else None


def _resize(value: Any, tensors: Tensors) -> str | None:
    return RESIZES.get(value) if isinstance(value, str) else None


def _least_edge(value: Any, tensors: Tensors) -> int | None:
    return _count(0)(value or 0, tensors)  # None there: not enlarged


_KNOWN: Mapping[str, tuple[str, Callable[[Any, Tensors], Any]]] = {
    "RPN_ANCHOR_SCALES": ("anchor_sizes_px", _sizes),
    "RPN_ANCHOR_RATIOS": ("anchor_ratios", _ratios),
    "MEAN_PIXEL": ("pixel_mean", _mean),
    "BBOX_STD_DEV": ("box_weights", _weights),
    "RPN_BBOX_STD_DEV": ("proposal_weights", _weights),
    "IMAGE_RESIZE_MODE": ("resize", _resize),
    "IMAGE_MIN_DIM": ("min_size", _least_edge),
    "IMAGE_MAX_DIM": ("max_size", _count(64, step=64)),
    "DETECTION_MIN_CONFIDENCE": ("least_score", _share),
    "DETECTION_NMS_THRESHOLD": ("box_nms", _share),
    "DETECTION_MAX_INSTANCES": ("most_detections", _count(1)),
    "RPN_NMS_THRESHOLD": ("proposal_nms", _share),
    "PRE_NMS_LIMIT": ("proposals_compared", _count(1)),
    "POST_NMS_ROIS_INFERENCE": ("most_proposals", _count(1)),
    "MASK_POOL_SIZE": ("mask_pool_px", _count(1)),
}
"""A constant, the hyper-parameter, and what returns it, or None for what it cannot be."""
CONSTANTS = (
    *("NUM_CLASSES", *_KNOWN),
    *("BACKBONE", "IMAGE_CHANNEL_COUNT", "POOL_SIZE", "TOP_DOWN_PYRAMID_SIZE"),
    *("IMAGE_MIN_SCALE", "RPN_ANCHOR_STRIDE", "BACKBONE_STRIDES"),
)
"""All that are read."""
