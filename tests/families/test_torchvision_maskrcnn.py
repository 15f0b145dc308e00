"""Our answers of Mask R-CNN against torchvision's own model, on calibrated networks."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from support.maskrcnns import (
    Bottleneck,
    calibrate_maskrcnn,
    calibrated,
    detect,
    normalised,
    small_maskrcnn,
)
from support.networks import assemble, pictures, save_as, weights_of
from torch import nn
from torch.nn import BatchNorm2d
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FrozenBatchNorm2d, batched_nms

from napari_segnet.engines.torch import identify, load
from napari_segnet.engines.torch.fast import fast_copy
from napari_segnet.errors import (
    OutputError,
    SettingsError,
    UnknownNetworkError,
    UnsupportedWeightsError,
)
from napari_segnet.families.maskrcnn.module import suppressed
from napari_segnet.families.maskrcnn.torchvision import TorchvisionMaskRCNN
from napari_segnet.segmentation import Instances

FAMILY = TorchvisionMaskRCNN()


MOST = {"most_detections": 60}  # as many as the references keep: this spares time


def ours(state: Any, told: dict[str, Any] | None = None) -> nn.Module:
    weights = weights_of(state)
    return assemble(FAMILY, FAMILY.describe(weights, {**MOST, **(told or {})}), weights)


def differing(found: Instances, expected: dict[str, torch.Tensor]) -> int:
    """Number of detections that have no equal in the other answer; ties may change places."""
    boxes = expected["boxes"].numpy()[:, [1, 0, 3, 2]]
    same = np.abs(found.boxes[:, None] - boxes[None]).max(axis=2, initial=0) < 1e-2
    same &= np.abs(found.scores[:, None] - expected["scores"].numpy()[None]) < 1e-3
    same &= found.classes[:, None] == expected["labels"].numpy()[None]
    for i, j in np.argwhere(same):
        same[i, j] = np.abs(found.masks[i] - expected["masks"][j, 0].numpy()).max() < 1e-3
    return int((~same.any(axis=0)).sum() + (~same.any(axis=1)).sum())


def assert_same(module: nn.Module, reference: Any, images: torch.Tensor, least: int = 8) -> None:
    answers = [each.instances for each in FAMILY.detections(module, normalised(images))]
    assert len(answers) == len(images)
    for found, image in zip(answers, images.split(1), strict=True):
        # One by one: a batch rounds differently, which decides between equal scores.
        (expected,) = detect(reference, image)
        assert len(expected["boxes"]) >= least, "the reference finds next to nothing"
        assert differing(found, expected) == 0
        assert found.boxes.dtype == found.scores.dtype == found.masks.dtype == np.float32
        assert found.plane.dtype == found.classes.dtype == np.int64
        assert found.shape == tuple(images.shape[-2:])


@pytest.fixture(scope="module")
def network() -> Any:
    return calibrated(classes=3)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"classes": 2, "norm": FrozenBatchNorm2d}, id="frozen, two classes"),
        pytest.param(
            {"classes": 91, "hidden": 30, "mask_hidden": 8, "mask_layers": (16,) * 4},
            id="91 classes, small heads",
        ),
        pytest.param(
            {"classes": 4, "block": Bottleneck, "layers": (1, 2, 1, 1), "fpn": 24},
            id="bottlenecks",
        ),
        pytest.param(
            {"block": Bottleneck, "groups": 8, "width_per_group": 4, "mask_layers": (8, 8, 8)},
            id="ResNeXt",
        ),
        pytest.param(
            {"sizes": ((32, 64, 128, 256, 512),) * 5, "rpn_post_nms_top_n_test": 1000},
            id="fifteen anchors",
        ),
        pytest.param(
            {"rpn_layers": 2, "box_convs": (40, 24), "box_fcs": (36,), "head_norm": BatchNorm2d},
            id="version 2",
        ),
        pytest.param(
            {"box_convs": (24,), "box_fcs": (20, 16), "classes": 2}, id="small head without norms"
        ),
        pytest.param(
            {
                "mobilenet": "mobilenet_v3_large",
                "sizes": ((32, 64, 128, 256, 512),) * 3,
                "norm": FrozenBatchNorm2d,
            },
            id="MobileNet",
        ),
        pytest.param(
            {
                "mobilenet": "mobilenet_v3_small",
                "sizes": ((32, 64, 128, 256, 512),) * 3,
                "head_norm": BatchNorm2d,
            },
            id="small MobileNet, pyramid with norms",
        ),
        pytest.param(
            {"stages": (2, 3), "layers": (1, 1, 1, 1), "sizes": ((64,), (128,), (256,))},
            id="two stages in the pyramid",
        ),
    ],
)
def test_detections_are_those_of_torchvision(how: dict[str, Any]) -> None:
    reference = calibrated(seed=1, **how)
    # The pictures that it was calibrated on: on others a random MobileNet grows beyond measure.
    assert_same(ours(reference), reference, pictures(2, 3, (96, 128), seed=1))


VERSIONS = {
    "maskrcnn_resnet50_fpn_v2": {
        "fpn_norm": "batch",
        "rpn_layers": [256, 256],
        "box_head": "sequence",
        "box_convs": [256] * 4,
        "box_fcs": [1024],
        "box_norm": "batch",
        "mask_norm": "batch",
        "mask_layers": [256] * 4,
    },
    "maskrcnn_resnet50_fpn": {"fpn_norm": "none", "rpn_layers": [256], "box_fcs": [1024, 1024]},
}


@pytest.mark.parametrize("name", VERSIONS)
def test_both_published_versions_are_read(name: str) -> None:
    with torch.device("meta"):
        published = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None)
    checkpoint = FAMILY.describe(weights_of(published, closed=True), {})
    assert {key: checkpoint.hparams[key] for key in VERSIONS[name]} == VERSIONS[name]
    assert checkpoint.parameters == sum(p.numel() for p in published.parameters())
    assert checkpoint.hparams["anchor_sizes_px"] == [[32], [64], [128], [256], [512]]
    assert checkpoint.class_names[:2] == ("background", "person")
    assert len(checkpoint.class_names) == checkpoint.classes == 91


@pytest.mark.parametrize(
    "body", ["resnet18", "resnet101", "resnext50_32x4d", "wide_resnet50_2", "mobilenet_v3_large"]
)
def test_every_body_of_torchvision_is_read(body: str) -> None:
    from torchvision.models.detection import MaskRCNN, backbone_utils

    mobile = body.startswith("mobile")
    with torch.device("meta"):
        make = backbone_utils.mobilenet_backbone if mobile else backbone_utils.resnet_fpn_backbone
        backbone = make(backbone_name=body, weights=None, **({"fpn": True} if mobile else {}))
        sizes = ((32, 64, 128, 256, 512),) * 3 if mobile else ((32,), (64,), (128,), (256,), (512,))
        anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
        network = MaskRCNN(backbone, 7, rpn_anchor_generator=anchors)
    checkpoint = FAMILY.describe(weights_of(network, closed=True), {})
    assert checkpoint.classes == 7
    assert checkpoint.hparams["norm"] == "frozen"
    assert checkpoint.hparams["anchor_sizes_px"] == [list(level) for level in sizes]
    assert checkpoint.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("stages", [(0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5), (4, 5), (3, 5)])
@pytest.mark.parametrize("size", ["large", "small"])
def test_any_stages_of_a_mobilenet_are_told_apart(size: str, stages: tuple[int, ...]) -> None:
    """Two of the small one's stages are equally wide."""
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import mobilenet_backbone

    backbone = mobilenet_backbone(
        backbone_name=f"mobilenet_v3_{size}", weights=None, fpn=True, returned_layers=list(stages)
    )
    taken = [int(layer) for layer in backbone.body.return_layers]
    anchors = AnchorGenerator(((32,),) * (len(stages) + 1), ((1.0,),) * (len(stages) + 1))
    network = MaskRCNN(backbone, 2, rpn_anchor_generator=anchors)
    assert FAMILY.describe(weights_of(network, closed=True), {}).hparams["levels"] == taken


def test_an_odd_number_of_anchors_is_said_to_be_a_guess() -> None:
    network = small_maskrcnn(ratios=(0.25, 0.5, 1.0, 2.0, 4.0))
    checkpoint = FAMILY.describe(weights_of(network, closed=True), {})
    assert checkpoint.hparams["anchors_per_pixel"] == 5
    assert "a guess: 5 boxes per place" in checkpoint.known["anchor_ratios"].why
    assert "a guess" in checkpoint.known["anchor_sizes_px"].why


def test_a_network_without_a_pyramid_is_refused_as_such() -> None:
    from torchvision.models.detection import MaskRCNN

    with torch.device("meta"):
        body = torchvision.models.mobilenet_v2(weights=None).features
        body.out_channels = 1280
        anchors = AnchorGenerator(((32, 64),), ((0.5, 1.0, 2.0),))
        network = MaskRCNN(body, 2, rpn_anchor_generator=anchors)
    with pytest.raises(UnknownNetworkError, match="has no feature pyramid"):
        FAMILY.describe(weights_of(network, closed=True), {})


def test_one_box_for_all_classes_is_taken(network: Any) -> None:
    """A box head without classes answers as one that says the same of each class."""
    state = dict(network.state_dict())
    for kind in ("weight", "bias"):
        key = f"roi_heads.box_predictor.bbox_pred.{kind}"
        state[key] = state[key][4:8]
    same = {**state}
    for kind in ("weight", "bias"):
        key = f"roi_heads.box_predictor.bbox_pred.{kind}"
        same[key] = torch.cat([state[key]] * 3)
    reference = small_maskrcnn(classes=3).eval()
    reference.load_state_dict(same)
    assert_same(ours(state), reference, pictures(1, 3, (96, 128), seed=7))


@pytest.mark.parametrize("size", [(70, 93), (64, 64), (96, 160)])
def test_any_size_is_padded_as_torchvision_does(network: Any, size: tuple[int, int]) -> None:
    assert_same(ours(network), network, pictures(1, 3, size, seed=6), least=4)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 103)])
def test_tiny_pictures_are_taken(network: Any, size: tuple[int, int]) -> None:
    found = FAMILY.detections(ours(network), normalised(pictures(1, 3, size)))[0].instances
    assert found.shape == size
    assert len(found.boxes) == len(found.masks)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= np.array([*size, *size])).all()


def test_a_small_first_picture_does_not_spoil_the_next(network: Any) -> None:
    module = ours(network)
    FAMILY.detections(module, normalised(pictures(1, 3, (33, 33))))
    assert_same(module, network, pictures(1, 3, (96, 128), seed=7))


def test_a_picture_without_objects_gives_an_empty_answer(network: Any) -> None:
    module = ours(network, {"least_score": 1.0})
    found = FAMILY.detections(module, torch.zeros(1, 3, 40, 50))[0].instances
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 28, 28)


@pytest.mark.long
def test_the_resnet_50_of_torchvision_itself() -> None:
    images = pictures(1, 3, (64, 96), seed=2)
    limits = {"rpn_post_nms_top_n_test": 60, "box_detections_per_img": 12}
    reference = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=5, **limits
    ).eval()
    calibrate_maskrcnn(reference, images)
    reference.rpn._pre_nms_top_n["testing"] = 60
    state = reference.state_dict()
    assert len(state) == 360
    checkpoint = FAMILY.describe(weights_of(state), {})
    assert checkpoint.hparams["layers"] == [3, 4, 6, 3]
    assert checkpoint.classes == 5
    assert checkpoint.parameters == sum(p.numel() for p in reference.parameters())
    module = ours(state, {"most_proposals": 60, "most_detections": 12})
    assert_same(module, reference, images)
    frozen = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(frozen) == 307
    assert FAMILY.describe(weights_of(frozen), {}).hparams["norm"] == "frozen"


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename as torchvision did before version 2 of its modules."""
    renamed = {}
    for key, value in state.items():
        key = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", key)
        key = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        key = re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", key)
        renamed[key] = value
    return renamed


def test_old_names_mean_the_same_network(network: Any) -> None:
    state = network.state_dict()
    old = old_names(state)
    assert len(set(old) - set(state)) == 22
    # torchvision itself takes them as well, so these are the true old names.
    assert small_maskrcnn(classes=3).load_state_dict(dict(old), strict=True)
    new, same = FAMILY.describe(weights_of(state), {}), FAMILY.describe(weights_of(old), {})
    assert new.hparams == same.hparams
    for one, two in zip(
        ours(state).state_dict().values(), ours(old).state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)


def test_the_epsilon_of_coco_weights_can_be_told() -> None:
    norm = functools.partial(FrozenBatchNorm2d, eps=0.0)
    reference = calibrated(norm=norm)
    # Small variances, as some channels of trained networks have: here the epsilon counts.
    state = reference.state_dict()
    state["backbone.body.conv1.weight"] *= 0.005
    state["backbone.body.bn1.running_mean"] *= 0.005
    state["backbone.body.bn1.running_var"] *= 0.005**2
    images = pictures(1, 3, (96, 96), seed=3)
    assert_same(ours(state, {"norm_eps": "0"}), reference, images)
    wrong = FAMILY.detections(ours(state), normalised(images))[0].instances
    assert differing(wrong, detect(reference, images)[0]) > 5
    known = FAMILY.describe(weights_of(state), {}).known["norm_eps"]
    assert known.source == "assumed"
    assert "COCO" in known.why


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("how", "told"),
    [
        pytest.param(
            {"sizes": ((8,), (16,), (32,), (64,), (128,))},
            {"anchor_sizes_px": "8,16,32,64,128"},
            id="smaller sizes",
        ),
        pytest.param(
            {"sizes": ((8, 12),) * 5, "ratios": (1.0, 1.5)},
            {"anchor_sizes_px": [8, 12], "anchor_ratios": "1,1.5"},
            id="two sizes on every level, other ratios",
        ),
    ],
)
def test_anchors_can_be_told(how: dict[str, Any], told: dict[str, Any]) -> None:
    reference = calibrated(**how)
    images = pictures(1, 3, (96, 96), seed=3)
    assert_same(ours(reference, told), reference, images)
    wrong = FAMILY.detections(ours(reference), normalised(images))[0].instances
    assert differing(wrong, detect(reference, images)[0]) > 5
    checkpoint = FAMILY.describe(weights_of(reference), told)
    assert checkpoint.known["anchor_sizes_px"].source == "told"


def test_other_thresholds_can_be_told() -> None:
    how = {
        "box_score_thresh": 0.3,
        "box_nms_thresh": 0.3,
        "rpn_nms_thresh": 0.5,
        "box_detections_per_img": 9,
        "rpn_post_nms_top_n_test": 300,
        "rpn_pre_nms_top_n_test": 300,
    }
    told = {
        "least_score": 0.3,
        "box_nms": 0.3,
        "proposal_nms": 0.5,
        "most_detections": 9,
        "most_proposals": 300,
    }
    reference = calibrated(**how)
    assert_same(ours(reference, told), reference, pictures(1, 3, (96, 96), seed=3))


def test_more_than_torchvisions_hundred_objects_are_kept(network: Any) -> None:
    weights = weights_of(network)
    module = assemble(FAMILY, FAMILY.describe(weights, {}), weights)
    found = FAMILY.detections(module, normalised(pictures(1, 3, (160, 160), seed=4)))[0].instances
    assert len(found.boxes) > 150


def test_the_fast_copy_of_the_engine_detects_the_same(network: Any) -> None:
    assert_same(fast_copy(ours(network), "cpu"), network, pictures(1, 3, (96, 128), seed=5))


def test_half_precision_keeps_boxes_in_single(network: Any) -> None:
    module = ours(network).to(torch.bfloat16)
    batch = normalised(pictures(1, 3, (96, 128), seed=5)).to(torch.bfloat16)
    found = FAMILY.detections(module, batch)[0].instances
    assert found.boxes.dtype == found.masks.dtype == np.float32
    rounded = torch.from_numpy(found.boxes).to(torch.bfloat16).float().numpy()
    assert (rounded != found.boxes).mean() > 0.5


def test_one_input_channel_is_taken() -> None:
    network = small_maskrcnn()
    network.backbone.body.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    checkpoint = FAMILY.describe(weights_of(network), {})
    assert checkpoint.channels == 1
    assert checkpoint.prepare[0].options["how"] == "divide-255"
    found = FAMILY.detections(ours(network), pictures(1, 1, (40, 40)))[0].instances
    assert found.shape == (40, 40)


def test_what_the_file_does_not_say_is_marked_assumed(network: Any) -> None:
    checkpoint = FAMILY.describe(weights_of(network, closed=True), {})
    assert checkpoint.task == "instance"
    assert checkpoint.outputs == ()
    assert checkpoint.halo_px is None
    assert not checkpoint.exact
    assert checkpoint.prepare[0].options == {"how": "imagenet", "over": "volume"}
    assumed = {name for name, known in checkpoint.known.items() if known.source == "assumed"}
    assert {"anchor_sizes_px", "anchor_ratios", "norm_eps", "min_size", "prepare"} <= assumed
    assert checkpoint.hparams["min_size"] is None
    assert "scale" in checkpoint.known["min_size"].why
    assert checkpoint.known["classes"].source == "read"


@pytest.mark.sample(2)
@pytest.mark.parametrize("wrapper", ["bare", "training", "ddp", "safetensors", "legacy"])
def test_what_is_written_back_is_opened_by_torchvision(
    network: Any, wrapper: str, tmp_path: Path
) -> None:
    path = save_as(network, tmp_path / "network.pth", wrapper)
    checkpoint = identify(path)
    module = load(checkpoint, "cpu").module
    written = FAMILY.save(module, checkpoint, tmp_path / "again.pth")
    content = torch.load(written.path, weights_only=True)
    for key in checkpoint.store.wrapper:
        content = content[key]
    state = {key.removeprefix(checkpoint.store.prefix): value for key, value in content.items()}
    assert small_maskrcnn(classes=3).load_state_dict(state, strict=True)
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    again = identify(written.path)
    assert (again.store, again.hparams) == (written.store, checkpoint.hparams)


def test_old_names_are_kept_when_written_back(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(old_names(network.state_dict()), path)
    checkpoint = identify(path)
    written = FAMILY.save(load(checkpoint, "cpu").module, checkpoint, tmp_path / "again.pth")
    assert (
        torch.load(written.path, weights_only=True).keys() == old_names(network.state_dict()).keys()
    )


def test_nothing_is_left_where_it_cannot_be_written(network: Any, tmp_path: Path) -> None:
    weights = weights_of(network)
    checkpoint = FAMILY.describe(weights, {})
    with pytest.raises(OutputError, match="could not be written"):
        FAMILY.save(network, checkpoint, tmp_path / "gone" / "again.pth")
    (tmp_path / "taken.pth").mkdir()
    with pytest.raises(OutputError, match="nothing was changed"):
        FAMILY.save(network, checkpoint, tmp_path / "taken.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.pth"]


def test_heads_that_differ_in_classes_are_refused(network: Any) -> None:
    state = dict(network.state_dict())
    state["roi_heads.mask_predictor.mask_fcn_logits.weight"] = torch.zeros(5, 20, 1, 1)
    with pytest.raises(UnknownNetworkError, match=r"3 classes .* 3 have boxes and 5 have masks"):
        FAMILY.describe(weights_of(state), {})


def test_boxes_that_do_not_fit_the_anchors_are_refused(network: Any) -> None:
    state = dict(network.state_dict())
    state["rpn.head.bbox_pred.weight"] = torch.zeros(13, 32, 1, 1)
    with pytest.raises(UnknownNetworkError, match=r"proposes 3 boxes .* 13 box numbers .* 12 were"):
        FAMILY.describe(weights_of(state), {})


RELATIVES = {
    "fasterrcnn_resnet50_fpn": "is a Faster R-CNN of torchvision.*draws no masks",
    "keypointrcnn_resnet50_fpn": "is a Keypoint R-CNN of torchvision",
    "retinanet_resnet50_fpn": "is a RetinaNet of torchvision",
    "fcos_resnet50_fpn": "is a FCOS of torchvision",
}


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_are_refused_by_name(name: str) -> None:
    with torch.device("meta"):
        relative = getattr(torchvision.models.detection, name)(
            weights=None, weights_backbone=None, num_classes=2
        )
    weights = weights_of(relative, closed=True)
    assert FAMILY.detect(weights)
    with pytest.raises(UnsupportedWeightsError, match=RELATIVES[name]):
        FAMILY.describe(weights, {})


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"min_size": 800}, "not resized by min_size.*Use the setting scale"),
        ({"colour": 1}, "has no hyper-parameter 'colour'.*anchor_sizes_px"),
        ({"norm_eps": "tiny"}, "norm_eps must be a number from 0 to 0.1, not 'tiny'"),
        ({"norm_eps": True}, "norm_eps must be a number"),
        ({"most_proposals": 2.5}, "most_proposals must be a whole number from 1"),
        ({"anchor_sizes_px": "8,16"}, "must have 1 for each of the five levels"),
        ({"anchor_sizes_px": "[[8],[16],[32],[64],[-2]]"}, "a list of positive numbers"),
        ({"anchor_sizes_px": "[8,"}, "a list of positive numbers"),
        ({"anchor_ratios": [1.0, 2.0]}, "proposes 3 boxes per place, which 2 anchor_ratios"),
        ({"mask_hidden": 12}, "say mask_hidden = 20, but 12 was told"),
        ({"pixel_mean": "1,2,3"}, "has no hyper-parameter 'pixel_mean'"),
        ({"box_weights": "10,10"}, "box_weights must be 4 numbers"),
        ({"class_names": "cell"}, "class_names has 1 names, but the network has 2 classes"),
    ],
)
def test_what_cannot_be_told_is_refused(network: Any, told: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        FAMILY.describe(weights_of(network, closed=True), told)


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_many_boxes_are_swept_and_the_same_stay(iou, monkeypatch):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 300, (3000, 2)).astype(np.float32)
    boxes = torch.from_numpy(np.hstack([low, low + rng.uniform(5, 40, (3000, 2))]))
    boxes = boxes.float().mul(2).round().div(2)  # overlaps of just that much are among them
    scores = torch.from_numpy(rng.permutation(3000) / 3000).float()
    groups = torch.from_numpy(rng.integers(0, 3, 3000))
    expected = batched_nms(boxes, scores, groups, iou)
    monkeypatch.setattr("napari_segnet.families.maskrcnn.module.batched_nms", None)
    assert suppressed(boxes, scores, groups, iou).tolist() == expected.tolist()
    assert 100 < len(expected) < 3000
