"""The family; see the package's docstring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.families.kit.constants import ClassConstants
from napari_segnet.families.kit.facts import complete
from napari_segnet.families.kit.hparams import Choice, settle
from napari_segnet.families.maskrcnn.facts import (
    Recorded,
    class_names,
    fields_known,
    settle_maskrcnn,
)
from napari_segnet.families.maskrcnn.family import DetectionFamily
from napari_segnet.families.maskrcnn.matterport.config import (
    CONSTANTS,
    RATIOS,
    Tensors,
    configured_by,
)
from napari_segnet.families.maskrcnn.matterport.names import (
    Names,
    as_torch,
    holds_matterport,
    layouts_of,
)
from napari_segnet.families.maskrcnn.shapes import Reading

__all__ = ["MatterportMaskRCNN"]

_CONFIG = "the default of matterport's Config"
_FIXED = {
    "arithmetic": "matterport",
    "background": "first",
    "rpn_softmax": True,
    "conv_bias": True,
}
_RESIZE = Choice(
    name="resize",
    values=("square", "none"),
    default="square",
    why=f"{_CONFIG}: an image is resized as a whole, and black makes a square of it. With none, "
    "large images are seen in tiles at the setting scale, which finds more small objects",
)
_NUMBERS = (
    Choice(
        name="proposals_compared",
        between=(1, 1_000_000),
        default=6000,
        why=f"{_CONFIG}, PRE_NMS_LIMIT; where more than 1000 are kept, so many more",
    ),
    Choice(name="min_size", between=(0, 16384), default=800, why=f"{_CONFIG}, IMAGE_MIN_DIM"),
    Choice(name="max_size", between=(64, 16384), default=1024, why=f"{_CONFIG}, IMAGE_MAX_DIM"),
)
_PROGRAM = Known(source="read", why="the names of its layers are those of a Keras program")
STEP_PX = 64
"""Sides of the square are a multiple of it (``MaskRCNN.build``)."""


class MatterportMaskRCNN(DetectionFamily):
    """The family."""

    name = "matterport-maskrcnn"
    title = "the Mask R-CNN of matterport"
    constants = CONSTANTS

    def detect(self, weights: Weights) -> bool:
        """Tell from the names of its layers."""
        return holds_matterport(weights.tensors)

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read shapes, and assume the rest as matterport's ``Config`` has it."""
        return self.describe_with(weights, overrides, ())

    def describe_with(
        self, weights: Weights, overrides: Mapping[str, Any], classes: Sequence[ClassConstants]
    ) -> Checkpoint:
        """Read shapes and the ``Config`` that lies beside the file, and assume the rest."""
        _refuse_relatives(weights)
        turned = as_torch(weights)
        names = Names(turned.tensors)
        reading = Reading(turned, self.title, names.in_file, background="first", logits=2)
        read, channels, count = reading.hparams(), reading.channels(), reading.classes()
        seen = Tensors(file=weights.path.name, classes=count, channels=channels, hparams=read)
        config = configured_by(classes, seen)
        recorded = config.recorded
        shown, shown_known = _shown(overrides, recorded)
        rest = {name: value for name, value in overrides.items() if name not in shown}
        hparams, known = settle_maskrcnn(read, reading, rest, _defaults(channels), _FIXED, recorded)
        for name in config.assumed:
            if known[name].source == "read":
                known[name] = Known(source="assumed", why=_CONFIG)
        # crop_and_resize looks at one point for each pixel, always.
        del hparams["roi_sampling"], known["roi_sampling"]
        called, how = class_names(count, overrides, recorded)
        facts = {**fields_known(channels, "matterport"), **known, **shown_known, **how}
        facts["size"] = Known(
            source="read", why=f"it pads any image to a multiple of {STEP_PX} by itself"
        )
        blank = self._blank(turned, {**hparams, **shown}, channels, count, called, facts)
        full = complete(self.build, blank, turned, self.title, names.in_file, tensors=self.tensors)
        store = replace(full.store, layouts=layouts_of(weights.tensors))
        in_keras = weights.container.startswith("keras-")
        program = {"program": _PROGRAM} if in_keras else {}
        return replace(
            full,
            store=store,
            program="keras" if in_keras else "",
            known={**full.known, **program},
            notes=(*full.notes, *config.notes),
        )


def _shown(
    overrides: Mapping[str, Any], recorded: Recorded
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Return how a picture is resized before the network sees it."""
    if "roi_sampling" in overrides:
        raise SettingsError(
            "roi_sampling cannot be told of the Mask R-CNN of matterport: it looks at one point "
            "for each pixel of what it cuts out. Leave it out."
        )
    choices = (_RESIZE, *_NUMBERS)
    own = {choice.name: overrides[choice.name] for choice in choices if choice.name in overrides}
    empty = Weights(path=Path(), container="", wrapper=(), prefix="", tensors={}, metadata={})
    values, known = settle(choices, {}, empty, own, MatterportMaskRCNN.title)
    for name in values.keys() & recorded.values.keys() - own.keys():
        values[name] = recorded.values[name]
        known[name] = Known(source="read", why=f"recorded in {recorded.where}")
    if values["max_size"] % STEP_PX:
        raise SettingsError(
            f"max_size is {values['max_size']}, but matterport's networks take squares whose side "
            f"is a multiple of {STEP_PX}, such as 512 or 1024. Correct the setting."
        )
    return values, known


def _defaults(channels: int) -> dict[str, tuple[Any, str]]:
    """Return what ``mrcnn/config.py`` says."""
    rgb = channels == 3
    return {
        "colours": ("rgb", "matterport reads images as red, green, blue"),
        "pixel_mean": ([123.7, 116.8, 103.9] if rgb else [114.8] * channels, _CONFIG),
        "pixel_std": ([1.0] * channels, "matterport takes the mean off alone"),
        "stride_in": ("1x1", "matterport's conv_block has the stride in its first convolution"),
        "anchor_order": ("ratio", "matterport counts them so"),
        "anchor_rounding": (False, "matterport does not round them"),
        "anchor_ratios": (RATIOS, f"{_CONFIG}, as height / width"),
        "box_weights": ([10.0, 10.0, 5.0, 5.0], f"{_CONFIG}, 1 / BBOX_STD_DEV"),
        "proposal_weights": ([10.0, 10.0, 5.0, 5.0], f"{_CONFIG}, 1 / RPN_BBOX_STD_DEV"),
        "norm_eps": (1e-3, "the default of Keras"),
        "least_score": (
            0.7,
            f"{_CONFIG}; weaker detections are not kept, so the setting score can not go below it",
        ),
        "box_nms": (0.3, f"{_CONFIG}; the setting nms can only be stricter"),
    }


def _refuse_relatives(weights: Weights) -> None:
    groups = {key.partition("/")[0] for key in weights.tensors}
    if "mrcnn_mask_deconv" not in groups and "mrcnn_mask" not in groups:
        raise UnsupportedWeightsError(
            f"{weights.path.name} is a network of matterport without its mask head: it finds boxes "
            "but draws no masks, so it cannot make labels. Use a Mask R-CNN."
        )
