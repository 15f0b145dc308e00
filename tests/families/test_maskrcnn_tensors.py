"""The list of a Mask R-CNN's tensors is what its layers have, for every part that may differ."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from napari_segnet.families.maskrcnn import coco_names
from napari_segnet.families.maskrcnn.layers import Layers
from napari_segnet.families.maskrcnn.shapes import MOBILENETS
from napari_segnet.families.maskrcnn.tensors import maskrcnn_tensors

PLAIN = {
    "body": "resnet",
    "levels": [1, 2, 3, 4],
    "block": "basic",
    "layers": [1, 2, 1, 1],
    "groups": 1,
    "width_per_group": 64,
    "stem_channels": 32,
    "body_channels": 32,
    "stride_in": "3x3",
    "norm": "batch",
    "fpn_norm": "none",
    "box_norm": "none",
    "mask_norm": "none",
    "norm_eps": 1e-5,
    "fpn_channels": 32,
    "rpn_layers": [32],
    "anchors_per_pixel": 3,
    "box_head": "mlp",
    "box_convs": [],
    "box_fcs": [20, 20],
    "box_pool_px": 7,
    "box_agnostic": False,
    "mask_layers": [32, 32],
    "mask_hidden": 8,
    "mask_agnostic": False,
    "background": "first",
}
GROUPED = dict.fromkeys(("norm", "fpn_norm", "box_norm", "mask_norm"), "group")
SEQUENCE = {"box_head": "sequence", "box_convs": [32, 64], "box_fcs": [20]}
VARIANTS = {
    "plain": {},
    "levels left out": {"levels": [2, 3]},
    "bottlenecks": {"block": "bottleneck", "groups": 4, "width_per_group": 8, "norm": "frozen"},
    "first stage as wide as the stem": {"body_channels": 32, "stem_channels": 32},
    "wider than its stem": {"body_channels": 64},
    "groups everywhere": {**GROUPED, **SEQUENCE},
    "batch norms in the heads": {**SEQUENCE, "box_norm": "batch", "mask_norm": "batch"},
    "convolutions alone": {**SEQUENCE, "box_fcs": []},
    "linear layers in a row": {"box_head": "sequence", "box_fcs": [12, 9, 7]},
    "several proposal layers": {"rpn_layers": [16, 8, 12]},
    "one box and one mask for all": {"box_agnostic": True, "mask_agnostic": True},
    "background last": {"background": "last"},
    **{
        f"{body} to {level}": {"body": body, "levels": [0, level], "norm": "batch"}
        for body, levels in MOBILENETS.items()
        for level in list(levels)[1:]
    },
}


@pytest.mark.sample(12)
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("channels", [3, 1])
def test_the_list_is_what_is_built(name, channels):
    hparams = {**PLAIN, **VARIANTS[name]}
    with torch.device("meta"):
        module = Layers(hparams, channels, 4)
    listed = maskrcnn_tensors(hparams, channels, 4)
    state = module.state_dict()
    assert [(key, t.shape) for key, t in listed.items()] == [
        (key, tuple(value.shape)) for key, value in state.items()
    ]
    trained = {key for key, _ in module.named_parameters()}
    assert {key for key, t in listed.items() if t.trained} == trained


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="24 channels cannot be cut into 32 groups"):
        maskrcnn_tensors({**PLAIN, "fpn_norm": "group", "fpn_channels": 24}, 3, 2)
    with pytest.raises(ValueError, match="a body without normalisation is not known"):
        maskrcnn_tensors({**PLAIN, "norm": "none"}, 3, 2)


def test_names_of_coco_are_those_of_torchvision():
    theirs = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert ["__background__", *coco_names.BY_NUMBER] == theirs
    assert len(coco_names.CLASSES) == 80
    assert [name for name in theirs[1:] if name != "N/A"] == list(coco_names.CLASSES)
