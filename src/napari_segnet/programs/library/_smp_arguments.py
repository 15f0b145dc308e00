"""Arguments of segmentation-models-pytorch that were written beside weights, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.families.kit.hparams import DEEPEST

__all__ = ["arguments"]

RESIZING = ("decoder_interpolation", "decoder_interpolation_mode", "interpolation_mode")
KINDS = {"nearest": "nearest", "bilinear": "linear"}
MOST_NAMES = 200


def arguments(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the arguments of a network say that its tensors do not show.

    They are found by the name ``encoder_name``, wherever a training program put them.
    """
    own = _with_encoder(metadata, DEEPEST)
    found: dict[str, Any] = {}
    for name in RESIZING:
        if (kind := KINDS.get(str(own.get(name)))) is not None:
            found["upsampling"] = kind
    rates = own.get("decoder_atrous_rates")
    if isinstance(rates, list | tuple) and all(type(rate) is int for rate in rates):
        found["rates"] = ",".join(map(str, rates))
    encoder = str(own.get("encoder_name", ""))
    if encoder:
        tensorflow = encoder.startswith(("tu-tf_", "timm-mobilenetv3"))
        found["padding"] = "tensorflow" if tensorflow else "torch"
    stride = own.get("encoder_output_stride")
    return found | ({"output_stride": stride} if type(stride) is int else {})


def _with_encoder(record: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """Return the first mapping in it that names an encoder; an empty one where none does."""
    if isinstance(record.get("encoder_name"), str):
        return record
    for inner in list(record.values())[:MOST_NAMES] if depth else ():
        if isinstance(inner, Mapping) and (found := _with_encoder(inner, depth - 1)):
            return found
    return {}
