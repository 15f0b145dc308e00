"""matterport's Mask R-CNN, held against ``tests/support/matterport_reference.py``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from support import matterport_reference as reference
from support.maskrcnns import normalised
from support.teaching import write as write_tiff

from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify
from napari_segnet.engines.torch.weights import _filled
from napari_segnet.errors import SettingsError, UnknownNetworkError, UnsupportedWeightsError
from napari_segnet.families.maskrcnn.crop import CropPool
from napari_segnet.families.maskrcnn.detection_loss import _encode, detection_loss, objects_of
from napari_segnet.families.maskrcnn.find import find_all
from napari_segnet.families.maskrcnn.rules import Pool, Rules, decode
from napari_segnet.image import Image
from napari_segnet.plan.input import scale_of
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.programs import writer_of
from napari_segnet.proof import is_open
from napari_segnet.recognition import family_of
from napari_segnet.segmentation import Instances
from napari_segnet.train import TrainSettings, fine_tune

pytestmark = pytest.mark.matterport
SEED, PROPOSALS = 7, 60
STRIDES = (4, 8, 16, 32)
TOLD = {
    "resize": "none",
    "most_proposals": PROPOSALS,
    "most_detections": 100,
    "anchor_sizes_px": "16,19,23,28,64",
    "proposal_nms": 0.5,  # or hardly any of two levels compete
}


def picture(shape: tuple[int, int] = (100, 78), seed: int = SEED) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(*shape, 3))
    smooth = gaussian_filter(noise, (1.2, 1.2, 0))
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype("u1")


@cache
def network(blocks: tuple[int, ...] = (1, 1, 1, 1), seed: int = SEED) -> reference.Network:
    weights = reference.weights_of(seed, blocks)
    config = {"POST_NMS_ROIS_INFERENCE": PROPOSALS, "RPN_NMS_THRESHOLD": 0.5}
    return reference.settled(weights, picture(), **config)


@cache
def expected(square: int = 0) -> dict[str, np.ndarray]:
    return network().detect(picture(), square)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reference.write(tmp_path_factory.mktemp("net") / "mask_rcnn.h5", network().weights)


def found_in(
    path: Path, change: Callable[[Any], None] | None = None, image: Any = None, **told: Any
) -> Instances:
    # Not from the cache of loaded networks: it is changed.
    module = _filled(identify(path, {**TOLD, **told}))
    if change is not None:
        change(module)
    rgb = torch.from_numpy(picture() if image is None else image).permute(2, 0, 1)[None] / 255
    (found,) = find_all(module, normalised(rgb))
    return found.instances


def differing(found: Instances, wanted: dict[str, np.ndarray]) -> int:
    same = np.abs(found.boxes[:, None] - wanted["boxes"][None]).max(axis=2, initial=0) < 1e-2
    same &= np.abs(found.scores[:, None] - wanted["scores"][None]) < 1e-3
    same &= found.classes[:, None] == wanted["classes"][None]
    if found.masks.shape[1:] != wanted["masks"].shape[1:]:
        return same.size
    for i, j in np.argwhere(same):
        same[i, j] = np.abs(found.masks[i] - wanted["masks"][j]).max() < 1e-3
    return int((~same.any(axis=0)).sum() + (~same.any(axis=1)).sum())


# ---- The arithmetic --------------------------------------------------------------------


def test_a_picture_answers_as_in_matterport(path: Path) -> None:
    found, wanted = found_in(path), expected()
    assert len(wanted["scores"]) > 20
    assert set(wanted["classes"]) == {1, 2, 3}
    assert differing(found, wanted) == 0
    # np.around of the original makes whole pixels of them.
    order = np.lexsort(found.boxes.T), np.lexsort(wanted["boxes"].T)
    apart = np.abs(wanted["boxes"] % 1 - 0.5)[order[1]] > 1e-2
    whole = np.around(found.boxes[order[0]]) == np.around(wanted["boxes"][order[1]])
    assert whole[apart].all()


def test_the_square_answers_as_in_matterport(path: Path) -> None:
    wanted = expected(square=192)
    assert differing(found_in(path, resize="square", max_size=192), wanted) == 0
    assert differing(found_in(path), wanted) > 4


def test_resnet_50_answers_as_in_matterport(tmp_path: Path) -> None:
    own = network((3, 4, 6, 3))
    path = reference.write(tmp_path / "whole.h5", own.weights, whole=True)
    assert differing(found_in(path), own.detect(picture())) == 0


def rules(**how: Any) -> Callable[[Any], None]:
    def change(module: Any) -> None:
        module.rules = dataclasses.replace(module.rules, **how)

    return change


def padding(**how: Any) -> Callable[[Any], None]:
    def change(module: Any) -> None:
        own = dataclasses.replace(module.rules.padding, **how)
        module.rules = dataclasses.replace(module.rules, padding=own)

    return change


def roi_align(name: str, aligned: bool) -> Callable[[Any], None]:
    def change(module: Any) -> None:
        old = getattr(module, name)
        new = Pool(
            output_px=old.output_px, strides=old.strides, sampling=1, aligned=aligned, eps=(0, 0)
        )
        setattr(module, name, new)

    return change


def pad_stem(module: Any) -> None:
    module.backbone.body.maxpool = torch.nn.MaxPool2d(3, 2, padding=1)


def order(part: str) -> Callable[[Any], None]:
    def change(module: Any) -> None:
        head = module.rpn["head"] if part == "rpn" else module.roi_heads["box_predictor"]
        head.order = (0, 1, 2, 3)

    return change


def turned(module: Any) -> None:
    head = module.rpn["head"].cls_logits
    head.weight.data, head.bias.data = -head.weight.data, -head.bias.data


WRONG_TOLD = {
    "epsilon": {"norm_eps": 1e-5},
    "stride": {"stride_in": "3x3"},
    "colours": {"colours": "bgr"},
    "mean": {"pixel_mean": "103.9,116.8,123.7"},
    "deviation": {"pixel_std": "1.1,1,1"},
    "anchor sizes": {"anchor_sizes_px": "14,19,23,28,64"},
    "anchor ratios, height and width": {"anchor_ratios": "0.5,1,2"},
    "anchors rounded": {"anchor_rounding": True},
    "deviation of proposals": {"proposal_weights": "10,10,10,10"},
    "deviation of boxes": {"box_weights": "10,10,10,10"},
    "nms of proposals": {"proposal_nms": 0.7},
    "proposals that compete": {"proposals_compared": 40},
    "score of proposals": {"proposal_score": 1.0},
    "number of proposals": {"most_proposals": 30},
    "nms of detections": {"box_nms": 0.6},
    "least score": {"least_score": 0.5},
    "number of detections": {"most_detections": 10},
    "pixels of a mask's cut-out": {"mask_pool_px": 7},
}
WRONG = {
    "last pixel": rules(inclusive=False),
    "proposals end where the picture does": rules(clip_proposals=True),
    "proposals of each level": rules(together=0),
    "every class": rules(one_class=False, least_score=0.02),
    "growth": rules(largest=0.0),
    "background": rules(background_first=False),
    "padding with the mean": padding(values=()),
    "padding at the end": padding(centred=False),
    "padding to 32": padding(divisor=32),
    "boxes by RoIAlign": roi_align("box_pool", False),
    "boxes by aligned RoIAlign": roi_align("box_pool", True),
    "masks by RoIAlign": roi_align("mask_pool", False),
    "first pooling": pad_stem,
    "x before y in proposals": order("rpn"),
    "x before y in boxes": order("box"),
    "object before background": turned,
    "small proposals": rules(least_proposal_px=16.0),
    "small boxes": rules(least_box_px=20.0),
    "masks of one class": rules(mask_agnostic=True),
}
NEVER_APART = {"size_major", "fixed_stride", "proposals_by_probability"}
"""A level has one anchor size, sides are multiples of 64, and no two scores are equal."""
WRONG_OF = {
    "scale": "deviation",
    "shift": "mean",
    "reverse": "colours",
    "anchor_sizes_px": "anchor sizes",
    "anchor_ratios": "anchor ratios, height and width",
    "rounded": "anchors rounded",
    "least_proposal_px": "small proposals",
    "least_box_px": "small boxes",
    "proposal_nms": "nms of proposals",
    "proposal_score": "score of proposals",
    "most_proposals": "number of proposals",
    "together": "proposals that compete",
    "clip_proposals": "proposals end where the picture does",
    "box_nms": "nms of detections",
    "box_weights": "deviation of boxes",
    "proposal_weights": "deviation of proposals",
    "largest": "growth",
    "least_score": "least score",
    "most_detections": "number of detections",
    "background_first": "background",
    "one_class": "every class",
    "mask_agnostic": "masks of one class",
    "inclusive": "last pixel",
    "padding": "padding to 32",
}
"""Field of ``Rules`` -> the wrong choice of it above."""


@pytest.mark.sample(4)
@pytest.mark.parametrize("what", WRONG_TOLD)
def test_every_number_that_can_be_told_counts(what: str, path: Path) -> None:
    assert differing(found_in(path, **WRONG_TOLD[what]), expected()) > 0


@pytest.mark.sample(5)
@pytest.mark.parametrize("what", WRONG)
def test_every_rule_counts(what: str, path: Path) -> None:
    assert differing(found_in(path, WRONG[what]), expected()) > 0


def test_a_picture_without_proposals_has_no_objects(path: Path) -> None:
    found = found_in(path, proposal_score=1.0)
    assert (len(found.scores), found.boxes.shape, len(found.masks)) == (0, (0, 4), 0)


def test_every_rule_has_a_wrong_choice() -> None:
    fields = {one.name for one in dataclasses.fields(Rules)}
    assert WRONG_OF.keys() | NEVER_APART == fields
    assert set(WRONG_OF.values()) <= WRONG.keys() | WRONG_TOLD.keys()


def test_boxes_of_all_sizes_are_cut_out_as_in_matterport() -> None:
    source = np.random.default_rng(0)
    maps = [torch.from_numpy(source.normal(size=(1, 3, 512 // n, 384 // n))) for n in STRIDES]
    corners = source.uniform(0, 1, size=(40, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    wanted = reference.pyramid_roi_align(boxes, maps, (512, 384), 7)
    pixels = torch.from_numpy(boxes * [511, 383, 511, 383])[:, [1, 0, 3, 2]]
    levels = {str(n): level for n, level in enumerate(maps)}
    right = CropPool(output_px=7, strides=STRIDES)
    assert np.abs(right(levels, pixels).numpy() - wanted).max() < 1e-9
    for wrong in ({"rounded": False}, {"edge_px": 200.0}, {"strides": (2, 4, 8, 16)}):
        other = dataclasses.replace(right, **wrong)(levels, pixels).numpy()
        assert np.abs(other - wanted).max() > 0.1, wrong
    # What lies outside is 0.
    outside = right(levels, torch.tensor([[-40.0, 10.0, 60.0, 50.0]], dtype=torch.float64))
    assert (outside[0, :, :, 0] == 0).all()
    assert (outside[0, :, :, -1] != 0).all()


# ---- Files -----------------------------------------------------------------------------


def test_the_card_says_what_is_read_and_what_is_assumed(path: Path) -> None:
    found = identify(path)
    assert (found.family, found.program, found.classes) == ("matterport-maskrcnn", "keras", 4)
    assert found.store.layouts["conv1/conv1/kernel:0"].order == (3, 2, 0, 1)
    assert found.hparams["layers"] == [1, 1, 1, 1]
    assert found.known["rpn_softmax"].source == "read"
    for name in ("norm_eps", "anchor_sizes_px", "resize", "min_size", "max_size", "least_score"):
        assert found.known[name].source == "assumed", name
    assert (found.hparams["min_size"], found.hparams["max_size"]) == (800, 1024)
    assert not is_open(found)


def test_resnet_101_and_the_classes_of_coco_are_read(tmp_path: Path) -> None:
    weights = reference.weights_of(0, (3, 4, 23, 3), width=2, classes=81)
    found = identify(reference.write(tmp_path / "mask_rcnn_coco.h5", weights))
    assert found.hparams["layers"] == [3, 4, 23, 3]
    assert found.class_names[:2] == ("background", "person")


def test_boxes_that_are_kept_as_weights_are_none(tmp_path: Path) -> None:
    anchors = {"anchors/Variable": np.zeros((1, 50, 4), "f4")}
    path = reference.write(tmp_path / "tf2.h5", network().weights | anchors)
    assert differing(found_in(path), expected()) == 0


def test_names_of_other_versions_of_keras_are_the_same(tmp_path: Path) -> None:
    renamed = {
        key.replace("mrcnn_mask/kernel", "mrcnn_mask/kernel_1"): value
        for key, value in network().weights.items()
    }
    path = reference.write(tmp_path / "other.h5", renamed)
    assert differing(found_in(path), expected()) == 0


def test_settings_that_cannot_be_are_refused(path: Path) -> None:
    with pytest.raises(SettingsError, match="a multiple of 64, such as 512"):
        identify(path, {"max_size": 1000})
    with pytest.raises(SettingsError, match="it looks at one point"):
        identify(path, {"roi_sampling": 2})
    with pytest.raises(SettingsError, match="resize"):
        identify(path, {"resize": "crop"})


def test_relatives_are_refused(tmp_path: Path) -> None:
    weights = network().weights
    boxes = {key: value for key, value in weights.items() if not key.startswith("mrcnn_mask")}
    with pytest.raises(UnsupportedWeightsError, match=r"without its mask head.*Use a Mask R-CNN"):
        identify(reference.write(tmp_path / "boxes.h5", boxes))
    more = weights | {"attention/kernel": np.zeros((1, 1, 4, 4), "f4")}
    named = "1 tensor is not part of it: attention/attention/kernel:0"
    with pytest.raises(UnknownNetworkError, match=named):
        identify(reference.write(tmp_path / "more.h5", more))


def test_the_whole_picture_is_resized_unless_told(path: Path) -> None:
    image = Image(data=picture((300, 600)), axes="yxc", name="cells")
    settings = PredictSettings()
    scale, (note,) = scale_of(identify(path), image, settings)
    assert scale == pytest.approx(600 / 1024)
    assert "from 600 to 1024 pixels" in note
    assert scale_of(identify(path, {"max_size": 256}), image, settings)[0] == 600 / 256
    assert scale_of(identify(path, {"min_size": 0}), image, settings) == (1.0, ())
    assert scale_of(identify(path, {"resize": "none"}), image, settings) == (1.0, ())
    assert scale_of(identify(path), image, PredictSettings(scale=2.0)) == (2.0, ())


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["taught.h5", "taught.safetensors"])
def test_a_taught_network_is_written_back(name: str, path: Path, tmp_path: Path) -> None:
    old = identify(path, TOLD)
    module, out = _filled(old), tmp_path / name
    for tensor in module.state_dict().values():
        tensor += torch.arange(tensor.numel()).view(tensor.shape) * 1e-6
    writer = writer_of(old, out)
    (writer or family_of(old)).save(module, old, out)
    new = _filled(identify(out, TOLD))
    assert all(torch.equal(one, new.state_dict()[key]) for key, one in module.state_dict().items())
    if name.endswith(".h5"):
        assert h5_facts(out) == h5_facts(path)
        with h5py.File(out) as after, h5py.File(path) as before:
            place = "mrcnn_class_logits/mrcnn_class_logits/kernel:0"
            moved = after[place][()] - before[place][()]
            turned = np.arange(moved.size).reshape(moved.shape[::-1]).T * 1e-6
            assert np.abs(moved - turned).max() < 1e-6


def h5_facts(path: Path) -> dict[str, tuple]:
    """Groups, datasets and attributes of a file, without its numbers."""
    found: dict[str, tuple] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, one: found.update(
                {name: (getattr(one, "shape", None), str(getattr(one, "dtype", "")),
                        {key: str(value) for key, value in one.attrs.items()})}
            )
        )  # fmt: skip
        found["/"] = ({key: str(value) for key, value in file.attrs.items()},)
    return found


def test_other_classes_are_written_back(path: Path, tmp_path: Path) -> None:
    old = identify(path, TOLD)
    family = family_of(old)
    two = family.with_outputs(old, ())
    assert two.classes == 2
    torch.manual_seed(0)
    module, out = family.build(two), tmp_path / "two.h5"
    writer_of(two, out).save(module, two, out)
    assert identify(out).classes == 2
    with h5py.File(out) as file:
        assert file["mrcnn_bbox_fc/mrcnn_bbox_fc/kernel:0"].shape == (64, 8)
        assert file["mrcnn_mask/mrcnn_mask/kernel:0"].shape == (1, 1, 32, 2)


def test_what_is_taught_is_what_is_decoded(path: Path) -> None:
    told = {**TOLD, "resize": "square"}
    module = _filled(identify(path, told)).requires_grad_(True)
    labels = np.zeros((100, 78), np.int32)
    labels[20:50, 10:45], labels[60:80, 30:70] = 1, 2
    objects = objects_of(labels, np.ones_like(labels, np.float32), {}, torch.device("cpu"))
    rgb = normalised(torch.from_numpy(picture()).permute(2, 0, 1)[None] / 255)
    generator = torch.Generator().manual_seed(0)
    loss = detection_loss(module, rgb, [objects], generator)
    loss.backward()
    assert torch.isfinite(loss.detach())
    for part in ("backbone.body.conv1", "rpn.head.bbox_pred", "roi_heads.box_head.0.0"):
        grad = module.get_parameter(f"{part}.weight").grad
        assert torch.isfinite(grad).all()
        assert (grad != 0).any(), part
    masks = module.get_parameter("roi_heads.mask_predictor.mask_fcn_logits.weight").grad
    assert (masks[1] != 0).any()  # the channel of the first class, behind the background's
    assert (masks[0] == 0).all()
    # A box that the labels ask for is reached by the numbers that are taught.
    box = torch.tensor([[12.0, 18.0, 40.0, 52.0]])
    wanted = torch.tensor([[10.0, 20.0, 45.0, 50.0]])
    weights = module.rules.box_weights
    rules = module.rules
    deltas = _encode(rules.inner(wanted), rules.inner(box), weights)
    moved = rules.outer(decode(deltas, rules.inner(box), weights))
    assert (moved - wanted).abs().max() < 1e-4


def discs(seed: int, size: int = 96, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture ``(c, y, x)`` of bright discs on dark ground, and their labels."""
    random, labels = np.random.default_rng(seed), np.zeros((size, size), np.int32)
    y, x = np.mgrid[:size, :size]
    while labels.max() < count:
        (row, column), radius, long = (
            random.uniform(8, size - 8, 2),
            random.uniform(6, 9),
            random.uniform(0.8, 1.25),
        )
        inside = ((y - row) * long) ** 2 + ((x - column) / long) ** 2 <= radius**2
        if not labels[gaussian_filter(inside.astype(float), 1) > 0.05].any():
            labels[inside] = labels.max() + 1
    light = gaussian_filter(np.where(labels > 0, 150.0, 40.0), 1)
    light += random.normal(0, 6, light.shape)
    return np.repeat(np.clip(light, 0, 255).astype("u1")[None], 3, 0), labels


@pytest.mark.long
@pytest.mark.trains
@pytest.mark.timeout(900)
def test_a_small_network_learns_to_find_nuclei_with_the_default_settings(tmp_path: Path) -> None:
    """Step size, optimiser and norms as they are; only how long and how large is set."""
    samples = []
    for seed in range(6):
        pixels, labels = discs(seed)
        samples.append(
            Sample(
                image=write_tiff(tmp_path / "images" / f"{seed}.tif", pixels, "cyx"),
                labels=write_tiff(tmp_path / "labels" / f"{seed}.tif", labels),
                source=str(seed),
                split="val" if seed > 3 else "train",
            )
        )
    data = Dataset(root=tmp_path, samples=tuple(samples))
    weights = reference.weights_of(0, (1, 1, 1, 1), width=8, classes=2)
    old = identify(
        reference.write(tmp_path / "old.h5", weights),
        {"resize": "none", "anchor_sizes_px": "8,16,24,32,64"},
    )
    how = TrainSettings(epochs=4, steps_per_epoch=25, batch_size=4, crop_px=96, average=0.9)
    steps, losses = fine_tune(old, data, tmp_path / "new.h5", how, device="cpu"), []
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            made = stop.value
            break
        if report.what == "step":
            losses.append(dict(report.values)["train_loss"])
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert made.before.scores.ap50 < 0.1
    assert made.after.scores.ap50 > 0.6
    assert made.promoted
