"""What the tensors of a Mask R-CNN with a feature pyramid say, and what they do not.

Families give the names that tensors have in their files, their defaults, and what a
configuration beside the file records; the rest is the same for all of them. The
hyper-parameters:

read from shapes
    ``body`` (``resnet``, ``mobilenet_v3_large``, ``mobilenet_v3_small``), ``levels`` (what
    goes into the pyramid: stages of a ResNet from 1, layers of a MobileNet from 0), for a
    ResNet ``block``, ``layers``, ``groups``, ``width_per_group``, ``stem_channels``,
    ``body_channels`` (of the first stage), then ``norm``, ``fpn_norm``, ``box_norm``,
    ``mask_norm`` (``batch``, ``frozen``, ``group``, ``none``), ``fpn_channels``,
    ``rpn_layers``, ``anchors_per_pixel``, ``box_head`` (``mlp``, ``sequence`` or ``conv``),
    ``box_convs``, ``box_fcs``, ``box_pool_px``, ``box_agnostic``, ``mask_layers``,
    ``mask_hidden``, ``mask_agnostic``
of the program that trained it
    ``arithmetic`` (``torchvision``, ``detectron2``, ``mmdetection``, ``matterport``),
    ``background`` (``first`` or ``last`` of the classes)
recorded, told or assumed
    all others, see ``CHOICES`` and ``NUMBERS``
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_segnet.checkpoint import Known, PrepareStep
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.hparams import Choice, numbers_of, settle
from napari_segnet.families.maskrcnn.anchors import settle_anchors
from napari_segnet.families.maskrcnn.coco_names import BY_NUMBER, CLASSES
from napari_segnet.families.maskrcnn.shapes import Reading

__all__ = ["Recorded", "class_names", "fields_known", "prepare", "settle_maskrcnn"]

STRIDE = 64
"""Of the coarsest pyramid level, which only proposes."""

_COLOURS = Choice(name="colours", values=("rgb", "bgr"), default="rgb", why="")
_STRIDE_IN = Choice(name="stride_in", values=("3x3", "1x1"), default="3x3", why="")
_ALIGNED = Choice(name="roi_aligned", values=(True, False), default=True, why="")
_ORDER = Choice(name="anchor_order", values=("ratio", "size"), default="ratio", why="")
_ROUNDING = Choice(name="anchor_rounding", values=(True, False), default=False, why="")
CHOICES = (_COLOURS, _STRIDE_IN, _ALIGNED, _ORDER, _ROUNDING)

NUMBERS = (
    Choice(name="norm_eps", between=(0.0, 0.1), default=1e-5, why="the default of torch"),
    Choice(name="roi_sampling", between=(0, 16), default=0, why=""),
    Choice(
        name="mask_pool_px",
        between=(1, 112),
        default=14,
        why="the default; masks have twice as many pixels along each side",
    ),
    Choice(
        name="least_score",
        between=(0.0, 1.0),
        default=0.05,
        why="the default; weaker detections are not kept, so the setting score can not go below it",
    ),
    Choice(
        name="box_nms",
        between=(0.0, 1.0),
        default=0.5,
        why="the default; the setting nms can only be stricter",
    ),
    Choice(name="proposal_nms", between=(0.0, 1.0), default=0.7, why="the default"),
    Choice(name="proposal_score", between=(0.0, 1.0), default=0.0, why="the default: none"),
    Choice(
        name="most_proposals",
        between=(1, 1_000_000),
        default=None,
        why="one per 256 pixels and at least 1000, since the usual 1000 would also limit the "
        "number of objects",
    ),
    Choice(
        name="most_detections",
        between=(1, 1_000_000),
        default=10_000,
        why="the usual 100 per image are too few for a field of cells",
    ),
)

_LISTS = ("box_weights", "proposal_weights", "pixel_mean", "pixel_std")
_SCALE_WHY = (
    "the file does not record it; the image is not resized by itself, the setting scale "
    "(image pixels per network pixel) decides"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a configuration says of a network, and where it was found.

    Attributes
    ----------
    where : str
        Such as ``"config.yaml beside the file"``; empty if there is none.
    values : mapping
        Hyper-parameters by name, plain JSON values.
    class_names : tuple of str
        Without background; empty where unknown.
    scale_why : str
        What it says of the size that pictures had; empty if nothing.
    """

    where: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    scale_why: str = ""


def settle_maskrcnn(
    read: Mapping[str, Any],
    reading: Reading,
    overrides: Mapping[str, Any],
    defaults: Mapping[str, tuple[Any, str]],
    fixed: Mapping[str, Any],
    recorded: Recorded,
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Join what was read, told, recorded and assumed; refuse what cannot be told.

    Parameters
    ----------
    read : mapping
        From shapes.
    reading : Reading
        They were read with it.
    overrides : mapping
        From the user.
    defaults : mapping of str to (value, why)
        What the program that trained it does if nobody says otherwise, for all of
        ``CHOICES`` and ``_LISTS`` but anchors, and where it differs for ``NUMBERS``.
    fixed : mapping
        What every network of that program has.
    recorded : Recorded
        From a configuration.
    """
    title, weights = reading.shapes.title, reading.shapes.weights
    _refuse_fixed(title, overrides, read, defaults)
    same = {name: value for name, value in overrides.items() if name in read}
    hparams, known = settle((), read, weights, same, title)
    for name, value in fixed.items():
        hparams[name] = value
        known[name] = Known(source="read", why=f"every network of this kind: {title}")
    choices = tuple(_as_trained(c, defaults) for c in CHOICES if c.name in defaults)
    choices += tuple(_as_trained(number, defaults) for number in NUMBERS)
    own = {c.name: overrides[c.name] for c in choices if c.name in overrides}
    steps = [settle(choices, {}, _without_metadata(weights), own, title)]
    steps.append(_lists(overrides, defaults, reading.channels()))
    ratios = (defaults["anchor_ratios"][0],) if "anchor_ratios" in defaults else ()
    steps.append(settle_anchors(read, overrides, recorded.values, recorded.where, *ratios))
    for values, how in steps:
        hparams |= values
        known |= how
    for name, value in recorded.values.items():
        open_yet = name in known and known[name].source == "assumed"
        if open_yet and _sound(name, value, hparams):
            hparams[name] = value
            known[name] = Known(source="read", why=f"recorded in {recorded.where}")
    for name in ("min_size", "max_size"):
        hparams[name] = None
        known[name] = Known(source="assumed", why=recorded.scale_why or _SCALE_WHY)
    return hparams, known


def _sound(name: str, value: Any, hparams: Mapping[str, Any]) -> bool:
    """Tell if a recorded value is one that could also be told."""
    for choice in (*CHOICES, *NUMBERS):
        if choice.name == name:
            return choice.parsed(value) is not None
    # Ratios go with sizes (settle_anchors); other lists are as long as their defaults.
    lists = isinstance(value, list)
    return not lists or (name in _LISTS and len(value) == len(hparams[name]))


def _without_metadata(weights: Weights) -> Weights:
    """Hide what lies beside the tensors: here only a family's own record counts."""
    return Weights(
        path=weights.path,
        container=weights.container,
        wrapper=weights.wrapper,
        prefix=weights.prefix,
        tensors=weights.tensors,
        metadata={},
    )


def _refuse_fixed(
    title: str, overrides: Mapping[str, Any], read: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    for name in ("min_size", "max_size"):
        if overrides.get(name) is not None:
            raise SettingsError(
                f"{title} is not resized by {name} here, since a tile of a large image must be "
                "resized like the whole. Use the setting scale: image pixels per network pixel."
            )
    own = {number.name for number in NUMBERS} | {"anchor_sizes_px", "anchor_ratios", "class_names"}
    own |= defaults.keys()
    if unknown := sorted(overrides.keys() - own - read.keys() - {"min_size", "max_size"}):
        raise SettingsError(
            f"{title} has no hyper-parameter {unknown[0]!r}. What can be told of it: "
            f"{', '.join(sorted(own))}; the rest is read from the file."
        )


def _as_trained(choice: Choice, defaults: Mapping[str, tuple[Any, str]]) -> Choice:
    """Return a hyper-parameter with the default of the program that trained the network."""
    if choice.name not in defaults:
        return choice
    default, why = defaults[choice.name]
    return replace(choice, default=default, why=why)


def _lists(
    overrides: Mapping[str, Any], defaults: Mapping[str, tuple[Any, str]], channels: int
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Return the lists of numbers other than anchors."""
    hparams: dict[str, Any] = {"pixel_mean": None, "pixel_std": None}
    known = dict.fromkeys(hparams, Known(source="read", why="the step prepare does it"))
    counts = dict.fromkeys(("box_weights", "proposal_weights"), 4)
    counts |= dict.fromkeys(("pixel_mean", "pixel_std"), channels)
    for name, count in counts.items():
        if name not in defaults:
            continue
        hparams[name], why = defaults[name]
        known[name] = Known(source="assumed", why=why)
        if name in overrides:
            hparams[name] = _list_of(name, overrides[name], count)
            known[name] = Known(source="told", why="by the user")
    return hparams, known


def _list_of(name: str, given: Any, count: int) -> list[float]:
    """Return ``count`` finite numbers; only a mean may be zero or less."""
    values = numbers_of(given)
    least = -math.inf if name == "pixel_mean" else 0
    sound = (
        isinstance(values, list)
        and len(values) == count
        and all(not isinstance(v, list) and least < v < math.inf for v in values)
    )
    if not sound:
        above = "" if name == "pixel_mean" else " above 0"
        raise SettingsError(
            f"{name} must be {count} numbers{above} with commas between them, not {given!r}. "
            "Correct the setting."
        )
    return [float(v) for v in values]


def class_names(
    classes: int, overrides: Mapping[str, Any], recorded: Recorded
) -> tuple[tuple[str, ...], dict[str, Known]]:
    """Return names, background first, and how they are known; nothing if they are not.

    COCO's own are assumed for as many classes as COCO has (80, or 90 in torchvision).
    """
    if overrides.get("class_names"):
        given = overrides["class_names"]
        names = [n.strip() for n in (given.split(",") if isinstance(given, str) else given)]
        if len(names) == classes:  # with a name for the background
            names = names[1:]
        if len(names) != classes - 1 or not all(names):
            raise SettingsError(
                f"class_names has {len(names)} names, but the network has {classes - 1} classes "
                "beside the background. Name each, with commas between them."
            )
        return ("background", *names), {"class_names": Known(source="told", why="by the user")}
    if len(recorded.class_names) == classes - 1:
        why = Known(source="read", why=f"recorded in {recorded.where}")
        return ("background", *recorded.class_names), {"class_names": why}
    if classes in {81, 91}:
        coco = BY_NUMBER if classes == 91 else CLASSES
        why = Known(source="assumed", why=f"as many classes as COCO has ({classes - 1})")
        return ("background", *coco), {"class_names": why}
    return (), {}


def prepare(channels: int) -> tuple[PrepareStep, ...]:
    """Return the steps from an image to what the graph takes."""
    how = "imagenet" if channels == 3 else "divide-255"
    return (PrepareStep(name="normalize", options={"how": how, "over": "volume"}),)


def fields_known(channels: int, program: str) -> dict[str, Known]:
    """Return how the fields of a checkpoint are known."""
    shapes = Known(source="read", why="from the shapes of the tensors")
    why = (
        f"networks of {program} see RGB; it is normalised by ImageNet's mean and deviation"
        if channels == 3
        else f"networks of {program} with {channels} input channels take values from 0 to 1"
    )
    return {
        "task": Known(source="read", why="it has a mask head for each box"),
        "ndim": shapes,
        "channels": shapes,
        "classes": Known(source="read", why="from the shapes of the tensors, with background"),
        "outputs": Known(source="read", why="it answers with detections, not with maps"),
        "size": Known(source="read", why="it pads any image to a multiple of 32 by itself"),
        "prepare": Known(source="assumed", why=why),
        "halo_px": Known(
            source="read",
            why="it has no bounded one: boxes compete over the whole image, so detections of "
            "overlapping tiles are merged instead",
        ),
        "exact": Known(source="read", why="boxes compete over the whole image"),
    }
