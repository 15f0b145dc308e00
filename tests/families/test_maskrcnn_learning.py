"""Teaching a Mask R-CNN: torchvision's own losses, and nothing learned where nobody looked."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.maskrcnns import calibrated, detect, normalised, small_maskrcnn
from support.networks import assemble, pictures, save_as, weights_of
from support.teaching import QUICK, objects, write
from torch import nn

import napari_segnet.families.maskrcnn.detection_loss as learning
from napari_segnet.crops import Augmentation, Crops
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import SettingsError
from napari_segnet.families.maskrcnn.detection_loss import objects_of
from napari_segnet.families.maskrcnn.rules import decode
from napari_segnet.families.maskrcnn.torchvision import TorchvisionMaskRCNN
from napari_segnet.progress import run
from napari_segnet.train import Look, fine_tune, score_held_out, train

FAMILY = TorchvisionMaskRCNN()
SIZE = (96, 128)
MANY = 1_000_000


@pytest.fixture(scope="module")
def reference():
    return calibrated(classes=3)


@pytest.fixture(scope="module")
def module(reference):
    weights = weights_of(reference.state_dict())
    return assemble(FAMILY, FAMILY.describe(weights, {}), weights).requires_grad_(True)


def labelled(seed=0, count=7):
    labels = objects(SIZE, count=count, seed=seed)
    return labels, {int(i): 1 + int(i) % 2 for i in np.unique(labels)[1:]}


def loss_of(module, batch, labels, trusted=None, kinds=None, seed=0):
    full = [np.ones(SIZE, np.float32)] * len(labels)
    return FAMILY.detection_loss(
        module,
        batch,
        labels,
        full if trusted is None else trusted,
        [{}] * len(labels) if kinds is None else kinds,
        torch.Generator().manual_seed(seed),
    )


def gradients(module, *given, **how):
    module.zero_grad(set_to_none=True)
    loss_of(module, *given, **how).backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def test_the_losses_are_those_of_torchvision(reference, module, monkeypatch):
    """With every box compared, nothing is left to chance."""
    monkeypatch.setattr(learning, "ANCHORS", MANY)
    monkeypatch.setattr(learning, "_most_compared", lambda pixels: MANY)
    theirs = copy.deepcopy(reference).train()
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()  # its statistics must not move between the two
    theirs.transform.min_size, theirs.transform.max_size = (min(SIZE),), 10_000
    theirs.rpn.fg_bg_sampler.batch_size_per_image = MANY
    theirs.roi_heads.fg_bg_sampler.batch_size_per_image = MANY
    theirs.rpn._pre_nms_top_n = {"training": learning.MOST_PROPOSALS}
    theirs.rpn._post_nms_top_n = {"training": learning.MOST_PROPOSALS}
    for seed in range(2):
        images = pictures(1, 3, SIZE, seed)
        labels, kinds = labelled(seed)
        there = learning.objects_of(labels, np.ones(SIZE, np.float32), kinds, torch.device("cpu"))
        assert len(there) >= 4
        target = {
            "boxes": there.boxes,
            "labels": there.classes,
            "masks": there.masks.to(torch.uint8),
        }
        expected = theirs(list(images), [target])
        found = loss_of(module, normalised(images), [labels], kinds=[kinds])
        wanted = float(sum(expected.values()).detach())
        assert float(found.detach()) == pytest.approx(wanted, rel=1e-4)


def test_deltas_move_boxes_to_where_they_should_be():
    rng = np.random.default_rng(0)
    boxes, goals = (
        torch.from_numpy(np.concatenate([low, low + rng.uniform(2, 30, (9, 2))], 1)).float()
        for low in (rng.uniform(0, 50, (9, 2)), rng.uniform(0, 50, (9, 2)))
    )
    weights = (10.0, 10.0, 5.0, 5.0)
    moved = decode(learning._encode(goals, boxes, weights), boxes, weights)
    torch.testing.assert_close(moved, goals, atol=1e-3, rtol=1e-4)


# ---- Nothing untrusted teaches ----


def half_trusted():
    trusted = np.zeros(SIZE, np.float32)
    trusted[:, :70] = 1
    return trusted


@pytest.mark.parametrize("seed", range(3))
def test_labels_that_are_not_trusted_have_exactly_no_part_in_the_gradient(module, seed):
    """Invented, deleted, merged or split where nobody looked: the same to the last bit."""
    labels, _ = labelled(seed, count=12)
    batch = normalised(pictures(1, 3, SIZE, seed))
    trusted = half_trusted()
    seen = trusted > 0
    crossing = np.intersect1d(labels[seen], labels[~seen])
    crossing = crossing[crossing > 0]
    unseen = np.where(seen, labels, 0)
    invented = unseen.copy()
    invented[10:30, 80:100], invented[50:60, 90:125] = 77, 78
    merged = np.where(~seen & (labels > 0), 99, labels)
    first = gradients(module, batch, [labels], [trusted], seed=seed)
    assert any(float(g.abs().max()) > 0 for g in first.values())
    for other in (invented, merged, np.where(seen, labels, labels + 1000 * (labels > 0))):
        # Which objects reach across the border must be the same: they are not trusted at all.
        other = np.where(np.isin(labels, crossing), labels, other).astype(np.int32)
        second = gradients(module, batch, [other], [trusted], seed=seed)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_trusted_labels_do_have_a_part(module):
    labels, _ = labelled(0)
    batch, trusted = normalised(pictures(1, 3, SIZE, 0)), half_trusted()
    first = gradients(module, batch, [labels], [trusted])
    other = labels.copy()
    other[40:60, 20:40] = 55
    second = gradients(module, batch, [other], [trusted])
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_where_nothing_is_trusted_nothing_is_learned(module):
    labels, _ = labelled(0)
    batch = normalised(pictures(1, 3, SIZE, 0))
    found = gradients(module, batch, [labels], [np.zeros(SIZE, np.float32)])
    assert all((g == 0).all() for g in found.values())


def test_no_box_that_is_compared_as_background_reaches_into_what_is_not_trusted(
    module, monkeypatch
):
    drawn = []
    some = learning._some

    def watched(chosen, most, generator):
        drawn.append((chosen.clone(), most))
        return some(chosen, most, generator)

    monkeypatch.setattr(learning, "_some", watched)
    seen = {}
    matches, sampled = learning._anchor_matches, learning._sampled

    def anchors_watched(anchors, there, shape):
        seen["anchors"] = anchors
        return matches(anchors, there, shape)

    def boxes_watched(boxes, there, generator):
        seen["boxes"] = boxes
        return sampled(boxes, there, generator)

    monkeypatch.setattr(learning, "_anchor_matches", anchors_watched)
    monkeypatch.setattr(learning, "_sampled", boxes_watched)
    labels, _ = labelled(1)
    loss_of(module, normalised(pictures(1, 3, SIZE, 1)), [labels], [half_trusted()])
    for boxes, chosen in ((seen["anchors"], drawn[1][0]), (seen["boxes"], drawn[3][0])):
        negative = boxes[chosen].detach().numpy()
        assert len(negative) > 0
        inside = negative.clip(0, [SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
        assert inside[:, 2].max() <= 70


def test_an_object_is_trusted_as_a_whole_or_not_at_all():
    labels = np.zeros((20, 20), np.int32)
    labels[2:8, 2:8], labels[10:16, 2:8] = 3, 5
    trusted = np.ones((20, 20), np.float32)
    trusted[10, 2] = 0
    there = learning.objects_of(labels, trusted, {3: 2, 5: 1}, torch.device("cpu"))
    assert there.boxes.tolist() == [[2, 2, 8, 8]]
    assert there.classes.tolist() == [2]
    assert there.masks.sum() == 36
    assert (there.trusted.numpy()[labels == 5] == 0).all()
    assert there.trusted.sum() == 400 - 36


def test_a_picture_without_objects_teaches_background(module):
    batch = normalised(pictures(1, 3, SIZE, 0))
    found = gradients(module, batch, [np.zeros(SIZE, np.int32)])
    assert float(found["rpn.head.cls_logits.weight"].abs().max()) > 0
    assert "roi_heads.mask_predictor.mask_fcn_logits.weight" not in found


def test_the_same_seed_draws_the_same_boxes(module):
    labels, _ = labelled(0)
    batch = normalised(pictures(1, 3, SIZE, 0))
    one, same, other = (loss_of(module, batch, [labels], seed=s).item() for s in (1, 1, 2))
    assert one == same != other


# ---- Through train() ----


def dataset_of(root, size=(64, 64)):
    labels = objects(size, count=6, seed=1)
    light = np.where(labels > 0, 200, 30).astype(np.uint8)
    pixels = np.stack([light] * 3)
    samples = []
    for i, split in enumerate(("train", "val")):
        samples.append(
            Sample(
                image=write(root / "images" / f"{i}.tif", pixels, "cyx"),
                labels=write(root / "labels" / f"{i}.tif", labels),
                source=f"{i}",
                split=split,
            )
        )
    return Dataset(root=root, samples=tuple(samples))


SMALL = {
    "classes": 2,
    "fpn": 16,
    "hidden": 16,
    "mask_layers": (8, 8),
    "mask_hidden": 8,
    "sizes": ((8,), (16,), (32,), (64,), (128,)),
}
TOLD = {"anchor_sizes_px": [[8], [16], [32], [64], [128]], "norm_eps": 1e-5}
TEACH = replace(QUICK, crop_px=64, batch_size=1, steps_per_epoch=1)


def tiny(root, wrapper="bare"):
    torch.manual_seed(0)
    return save_as(small_maskrcnn(**SMALL), root / "old.pth", wrapper)


def test_an_object_that_the_edge_cuts_ends_there(tmp_path):
    labels = np.zeros((24, 30), np.int32)
    labels[:6, 10:20] = 7
    given = Sample(
        image=write(tmp_path / "a.tif", np.stack([labels.astype(np.uint8)] * 3), "cyx"),
        labels=write(tmp_path / "b.tif", labels),
    )
    crops = Crops((given,), identify(tiny(tmp_path), TOLD), (64, 64), Augmentation())
    assert list(crops.check()) == [""]
    crop = crops.draw(np.random.default_rng(0))
    there = objects_of(crop.labels, crop.trusted[0], {}, torch.device("cpu"))
    ((x0, y0, x1, y1),) = there.boxes.tolist()
    assert (x1 - x0, y1 - y0) == (10, 6)
    assert crop.trusted.sum() == 24 * 30


@pytest.mark.parametrize("wrapper", [pytest.param("bare", marks=pytest.mark.long), "training"])
@pytest.mark.trains
def test_torchvision_loads_what_was_taught_here(wrapper, tmp_path):
    old = tiny(tmp_path, wrapper)
    reports = []
    steps = train(identify(old, TOLD), dataset_of(tmp_path / "d"), tmp_path / "new.pth", TEACH)
    while True:
        try:
            reports.append(next(steps))
        except StopIteration:
            break
    last = [r for r in reports if r.what == "epoch"][-1]
    assert {"train_loss", "val_loss", "val_ap50"} == set(dict(last.values))
    assert isinstance(last.shown, Look)
    before, after = (torch.load(p, weights_only=True) for p in (old, tmp_path / "new.pth"))
    if wrapper == "training":
        before, after = before["model_state_dict"], after["model_state_dict"]
    assert identify(tmp_path / "new.pth").card["label"] == {"mask_overlap": 0.5}
    assert list(before) == list(after)
    assert not all(torch.equal(before[k], after[k]) for k in before)
    small_maskrcnn(**SMALL).load_state_dict(after, strict=True)


@pytest.mark.long
@pytest.mark.trains
def test_what_was_taught_here_answers_alike_in_torchvision(tmp_path):
    """A network that finds things, taught a little; our answer is that of its own program."""
    old = save_as(calibrated(classes=2), tmp_path / "old.pth", "bare")
    network = identify(old, {"most_detections": 60})  # as many as the reference keeps
    gently = replace(TEACH, learning_rate=1e-6, freeze_norm=True)
    taught = run(train(network, dataset_of(tmp_path / "d"), tmp_path / "new.pth", gently))
    before, after = (torch.load(p, weights_only=True) for p in (old, tmp_path / "new.pth"))
    assert not all(torch.equal(before[k], after[k]) for k in before)
    original = small_maskrcnn(classes=2).eval()
    original.load_state_dict(after, strict=True)
    picture = pictures(1, 3, SIZE, 0)
    (expected,) = detect(original, picture)
    found = FAMILY.detections(load(taught, "cpu").module, normalised(picture))[0].instances
    assert len(expected["boxes"]) == len(found.boxes) >= 8
    boxes = expected["boxes"].numpy()[:, [1, 0, 3, 2]]
    same = np.abs(found.boxes[:, None] - boxes[None]).max(axis=2) < 1e-2
    same &= np.abs(found.scores[:, None] - expected["scores"].numpy()[None]) < 1e-3
    same &= found.classes[:, None] == expected["labels"].numpy()[None]
    for i, j in np.argwhere(same):
        same[i, j] = np.abs(found.masks[i] - expected["masks"][j, 0].numpy()).max() < 1e-3
    # Equal scores may change places, but each has its equal.
    assert same.any(0).all() and same.any(1).all()


@pytest.mark.long
def test_who_learned_nothing_is_not_better_for_the_advice_on_its_labels(tmp_path):
    network = identify(save_as(calibrated(classes=2), tmp_path / "old.pth", "bare"))
    data = dataset_of(tmp_path / "d")
    still = replace(TEACH, epochs=1, learning_rate=1e-15, weight_decay=0, freeze_norm=True)
    judged = run(fine_tune(network, data, tmp_path / "new.pth", still))
    assert judged.checkpoint.card["label"] == {"mask_overlap": 0.5}
    plain = run(score_held_out(network, data))
    assert plain.scores.n_pred > judged.before.scores.n_pred  # else this would show nothing
    assert judged.before.scores == judged.after.scores
    assert not judged.promoted


@pytest.mark.long
@pytest.mark.trains
def test_killed_and_resumed_is_never_killed(tmp_path):
    data = dataset_of(tmp_path / "d")
    network = identify(tiny(tmp_path), TOLD)
    whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    run(train(network, data, whole, TEACH))
    for report in train(network, data, cut, TEACH):
        if report.what == "epoch":
            break
    run(train(network, data, cut, TEACH, resume=True))
    one, other = (torch.load(p, weights_only=True) for p in (whole, cut))
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.long
@pytest.mark.trains
def test_another_number_of_classes_has_new_last_layers(tmp_path):
    data, network = dataset_of(tmp_path / "d"), identify(tiny(tmp_path), TOLD)
    taught = run(train(network, data, tmp_path / "new.pth", replace(TEACH, head="4")))
    assert taught.classes == 4
    state = torch.load(tmp_path / "new.pth", weights_only=True)
    small_maskrcnn(**{**SMALL, "classes": 4}).load_state_dict(state, strict=True)


@pytest.mark.trains
def test_frozen_stages(tmp_path):
    data, old = dataset_of(tmp_path / "d"), tiny(tmp_path)
    settings = replace(TEACH, epochs=1, freeze_stages=3)
    run(train(identify(old, TOLD), data, tmp_path / "new.pth", settings))
    before, after = (torch.load(p, weights_only=True) for p in (old, tmp_path / "new.pth"))
    still = ("conv1", "bn1", "layer1", "layer2")
    for key, value in before.items():
        if key.startswith(tuple(f"backbone.body.{name}." for name in still)):
            assert torch.equal(value, after[key]), key
    key = "backbone.body.layer3.0.conv1.weight"
    assert not torch.equal(before[key], after[key])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"loss": "dice"},
            "loss is 'dice', but a network that detects objects has losses of its own",
        ),
        ({"replay": 1.0}, "replay is 1.0, but only networks that answer with maps can replay"),
    ],
)
def test_settings_for_maps_are_refused(how, said, tmp_path):
    with pytest.raises(SettingsError, match=said):
        run(
            train(
                identify(tiny(tmp_path), TOLD),
                dataset_of(tmp_path / "d"),
                tmp_path / "new.pth",
                replace(TEACH, **how),
            )
        )
