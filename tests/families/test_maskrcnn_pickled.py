"""A Mask R-CNN pickled whole says its anchors, sizes, mean and thresholds itself."""

from __future__ import annotations

import pytest
import torch
from support.maskrcnns import Bottleneck, small_maskrcnn
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families.maskrcnn.torchvision import TorchvisionMaskRCNN
from napari_segnet.recognition import identify

SMALL = ((8,), (16,), (32,), (64,), (128,))


def saved(module, tmp_path):
    torch.save(module, tmp_path / "whole.pt")
    return tmp_path / "whole.pt"


def test_what_no_tensor_shows_is_read(tmp_path):
    module = small_maskrcnn(
        sizes=SMALL,
        ratios=(0.4, 1.0, 3.0),
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.2, 0.1],
        min_size=300,
        max_size=700,
        rpn_nms_thresh=0.6,
        box_nms_thresh=0.4,
        box_score_thresh=0.2,
    )
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.0
    found = identify(saved(module, tmp_path))
    read = {
        "anchor_sizes_px": [list(level) for level in SMALL],
        "anchor_ratios": [0.4, 1.0, 3.0],
        "norm_eps": 0.0,
        "pixel_mean": pytest.approx([127.5, 102.0, 76.5]),
        "pixel_std": pytest.approx([51.0, 51.0, 25.5]),
        "proposal_nms": 0.6,
        "box_nms": 0.4,
        "least_score": 0.2,
        "roi_sampling": 2,
        "roi_aligned": False,
    }
    assert {name: found.hparams[name] for name in read} == read
    assert {found.known[name].source for name in read} == {"read"}
    assert "300 pixels" in found.known["min_size"].why


def test_of_a_state_dict_the_same_is_assumed(tmp_path):
    torch.save(small_maskrcnn(sizes=SMALL).state_dict(), tmp_path / "state.pt")
    found = identify(tmp_path / "state.pt")
    names = ("anchor_sizes_px", "norm_eps", "box_nms", "roi_sampling")
    assert {found.known[name].source for name in names} == {"assumed"}


def test_the_stride_of_bottlenecks_is_read(tmp_path):
    module = small_maskrcnn(block=Bottleneck)
    path = saved(module, tmp_path)
    assert identify(path).known["stride_in"].source == "read"
    for stage in (2, 3, 4):
        block = getattr(module.backbone.body, f"layer{stage}")[0]
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    assert identify(saved(module, tmp_path)).hparams["stride_in"] == "1x1"


def _dilate(module):
    module.backbone.body.layer4[0].conv2.dilation = (2, 2)


def _leaky(module):
    module.backbone.body.relu = nn.LeakyReLU()


def _pool(module):
    module.backbone.body.maxpool = nn.MaxPool2d(2, 2)


def _eps(module):
    module.backbone.body.bn1.eps = 0.0


def _generator(module):
    module.rpn.anchor_generator = nn.Identity()


def _stride(module):
    module.backbone.body.layer1[0].conv1.stride = (2, 2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_dilate, r"layer4\.0\.conv2 is a Conv2d, with dilation \[2, 2\]"),
        (_leaky, r"backbone\.body\.relu is a LeakyReLU"),
        (_pool, r"backbone\.body\.maxpool is a MaxPool2d, of \[2, 2, 0\]"),
        (_eps, r"with one epsilon of \[0\.0, 1e-05\]"),
        (_generator, r"rpn\.anchor_generator is a Identity, where .*AnchorGenerator is expected"),
        (_stride, r"layer1\.0\.conv1 is a Conv2d, with stride 2"),
    ],
)
def test_another_layer_is_refused_by_name(change, named, tmp_path):
    module = small_maskrcnn()
    change(module)
    (weights,) = open_weights(saved(module, tmp_path))
    with pytest.raises(UnknownNetworkError, match=named):
        TorchvisionMaskRCNN().describe(weights, {})
