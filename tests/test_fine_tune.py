"""The gate: scored before and after on what was held out, and only what is better is promoted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.networks import Milesial, calibrate, save_as
from support.teaching import QUICK, fresh, objects, photograph, write

from napari_segnet.crops import Crops
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify
from napari_segnet.errors import DatasetError
from napari_segnet.evaluate import evaluate, pool
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.inference import segment
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.train import (
    HeldOut,
    Look,
    _fine_tune,
    changes,
    fine_tune,
    preview,
    score_held_out,
    train,
)
from napari_segnet.train._gate import no_judges
from napari_segnet.train._learner import Learner


def dataset_of(root, count=2):
    samples = []
    for i in range(count):
        labels = objects((48, 48), count=8, seed=i)
        samples.append(
            Sample(
                image=write(root / "images" / f"{i}.tif", photograph(labels, seed=i)),
                labels=write(root / "labels" / f"{i}.tif", labels),
                source=str(i),
                split="val" if i == count - 1 and count > 1 else "train",
            )
        )
    return Dataset(root=root, samples=tuple(samples))


def untaught(path, **how):
    torch.manual_seed(0)
    network = fresh(path, widths=(6, 8), **how)
    module = SegnetUNet().build(network).eval()
    return SegnetUNet().save(module, network, path)


LEARN = replace(
    QUICK,
    epochs=2,
    steps_per_epoch=40,
    crop_px=32,
    learning_rate=0.02,
    average=0.8,
    scale_range=(1.0, 1.0),
    gamma=1.0,
    rotate=False,
)


@pytest.mark.trains
def test_what_has_learned_is_promoted_with_scores_and_pictures(tmp_path):
    network = untaught(tmp_path / "old.safetensors")
    data = dataset_of(tmp_path / "d", count=4)
    how = replace(LEARN, promote_at=0.8)  # eight objects of two images are not sure to 0.9
    trained = run(fine_tune(network, data, tmp_path / "new.safetensors", how))
    assert trained.promoted
    assert trained.after.scores.ap50 > trained.before.scores.ap50
    assert {"ap50", "ap75", "pq", "dice"} <= set(trained.after.figures())
    assert trained.comparison.verdict == "better"
    assert trained.comparison.objects == trained.after.scores.n_true
    # Eight objects are few: regions of the others join them.
    *strips, change = trained.changes()
    assert strips
    assert change.name == "3"
    assert change.picture.shape == (48, 48, 3)
    total = len(np.unique(objects((48, 48), count=8, seed=3))) - 1
    assert sum(change.counts[k] for k in ("right", "gained", "lost", "missed")) == total
    assert change.counts["gained"] > 0
    assert (change.picture == (0, 200, 120)).all(-1).any()


@pytest.mark.trains
def test_what_is_worse_is_not_promoted(tmp_path):
    data = dataset_of(tmp_path / "d")
    good = run(train(untaught(tmp_path / "0.safetensors"), data, tmp_path / "1.safetensors", LEARN))
    spoil = replace(LEARN, epochs=1, steps_per_epoch=3, learning_rate=5.0, average=0.0, seed=9)
    trained = run(fine_tune(good, data, tmp_path / "2.safetensors", spoil))
    assert trained.after.scores.ap50 < trained.before.scores.ap50
    assert not trained.promoted
    assert (tmp_path / "2.safetensors").exists(), "the user decides"
    assert next(trained.changes()).counts["lost"] > 0


@pytest.mark.trains
@pytest.mark.parametrize("old", [None, "yes"])
def test_mirror_images_and_scales_alone_make_no_network_better(tmp_path, monkeypatch, old):
    """Both are shown them, or neither: what is compared is what was learned."""
    asked = []

    def scored(network, *others):
        asked.append((network.card.get("mirror"), network.card.get("multiscale")))
        return score_held_out(network, *others)

    monkeypatch.setattr(_fine_tune, "score_held_out", scored)
    card = {} if old is None else {"mirror": old, "multiscale": old}
    network, out = untaught(tmp_path / "old.safetensors", card=card), tmp_path / "n.safetensors"
    data, earlier = dataset_of(tmp_path / "d"), dataset_of(tmp_path / "e", count=1)
    how = replace(QUICK, epochs=1, steps_per_epoch=1, rehearsal=0.0 if old else 0.5)
    notes, trained = told(fine_tune(network, data, out, how, earlier=earlier))
    assert trained.checkpoint.card["mirror"] == trained.checkpoint.card["multiscale"] == "yes"
    (note,) = [n for n in identify(trained.checkpoint.path).notes if "also runs" in n]
    assert "on mirrored images and at half the size" in note and "5 times the time" in note
    assert asked == [(old, old)] * 4
    assert [note for note in notes if "no earlier images to learn from" in note] == []


@pytest.mark.trains
def test_rehearsal_without_earlier_images_is_said(tmp_path):
    network, out = untaught(tmp_path / "old.safetensors"), tmp_path / "n.safetensors"
    how = replace(QUICK, epochs=1, steps_per_epoch=1, rehearsal=0.5)
    notes, _ = told(fine_tune(network, dataset_of(tmp_path / "d"), out, how))
    assert [note.split(",")[0] for note in notes] == ["rehearsal is 0.5"]


@pytest.mark.trains
def test_with_one_image_a_region_is_held_out_and_never_learned_from(tmp_path):
    """Whatever the labels say in the held-out region, the same weights come out."""
    states = []
    for name in ("a", "b"):
        data = dataset_of(tmp_path / name, count=1)
        network = untaught(tmp_path / f"{name}.old.safetensors")
        out = tmp_path / f"{name}.safetensors"
        trained = run(fine_tune(network, data, out, QUICK))
        (val,) = trained.dataset.of("val")
        assert val.box is not None
        states.append(torch.cat([p.flatten() for p in _parameters(out)]))
        if name == "a":
            box = val.box
    assert torch.equal(*states)
    # Labels in the box are changed (not those that cross its border): nothing else comes out.
    data = dataset_of(tmp_path / "c", count=1)
    labels = objects((48, 48), count=8, seed=0)
    inside = np.zeros((48, 48), bool)
    inside[box[0] : box[2], box[1] : box[3]] = True
    whole = [i for i in np.unique(labels)[1:] if inside[labels == i].all()]
    assert whole
    moved = np.where(np.isin(labels, whole), 0, labels)
    y, x = np.argwhere(np.isin(labels, whole))[0]
    moved[y, x] = whole[0]
    write(tmp_path / "c" / "labels" / "0.tif", moved.astype(np.int32))
    held = Dataset(
        root=data.root,
        samples=tuple(replace(data.samples[0], box=box, split=side) for side in ("train", "val")),
    )
    out = tmp_path / "c.safetensors"
    run(fine_tune(untaught(tmp_path / "c.old.safetensors"), held, out, QUICK))
    found = torch.cat([p.flatten() for p in _parameters(out)])
    assert torch.equal(states[0], found)


def _parameters(path):
    from safetensors.torch import load_file

    state = load_file(path)
    return [state[key].float() for key in sorted(state)]


@pytest.mark.trains
def test_a_network_that_begins_from_nothing_has_no_before(tmp_path):
    out = tmp_path / "new.safetensors"
    trained = run(fine_tune(fresh(out), dataset_of(tmp_path / "d"), out, QUICK))
    assert trained.before is None
    assert trained.promoted
    assert next(trained.changes()).counts["lost"] == 0


@pytest.mark.trains
def test_other_classes_cannot_be_compared(tmp_path):
    network = untaught(tmp_path / "old.safetensors")
    how = replace(QUICK, head="9")
    trained = run(fine_tune(network, dataset_of(tmp_path / "d"), tmp_path / "n.safetensors", how))
    assert (trained.before.kind, trained.after.kind) == ("instance", "semantic")
    assert not trained.promoted


@pytest.mark.trains
def test_after_every_round_it_shows_what_it_makes_of_the_held_out_part(tmp_path):
    network = untaught(tmp_path / "old.safetensors")
    steps = fine_tune(network, dataset_of(tmp_path / "d"), tmp_path / "new.safetensors", LEARN)
    reports = list(steps)
    rounds = [r for r in reports if r.what == "epoch"]
    for report in rounds:
        assert {"train_loss", "val_loss", "val_dice", "val_ap50"} == set(dict(report.values))
        seen = report.shown
        assert isinstance(seen, Look)
        assert seen.labels.shape == seen.truth.shape == seen.trusted.shape
        assert seen.pixels.shape == (1, *seen.labels.shape)
        assert max(seen.labels.shape) <= 32  # of the crop what is no mirrored margin
    last = rounds[-1].shown
    assert evaluate(last.labels > 0, last.truth > 0).dice > 0.7
    whats = [r.what for r in reports]
    assert whats.index("held-out image before") < whats.index("step")
    assert whats.index("held-out image after") > len(whats) - whats[::-1].index("epoch") - 1


@pytest.mark.trains
def test_the_labels_of_a_valid_network_lie_on_the_middle_of_what_it_sees(tmp_path):
    from support.networks import Jvanvugt

    old = save_as(
        calibrate(Jvanvugt(channels=1, classes=2, depth=2, width=4)), tmp_path / "a.pth", "bare"
    )
    data = dataset_of(tmp_path / "d")
    for sample in data.samples:
        labels = (objects((48, 48), count=8, seed=int(sample.source)) > 0).astype(np.int32)
        write(sample.labels, labels)
    steps = fine_tune(identify(old), data, tmp_path / "b.pth", QUICK)
    (seen, *_) = [r.shown for r in steps if r.what == "epoch"]
    assert seen.pixels.shape[1:] == seen.labels.shape == seen.truth.shape


@pytest.mark.trains
def test_every_family_passes_the_gate(tmp_path):
    old = save_as(
        calibrate(Milesial(channels=1, classes=1, width=3, depth=2)), tmp_path / "a.pth", "training"
    )
    trained = run(fine_tune(identify(old), dataset_of(tmp_path / "d"), tmp_path / "b.pth", QUICK))
    assert trained.after.images == 2
    assert trained.checkpoint.family == "milesial-unet"


def test_a_preview_shows_what_the_first_step_sees(tmp_path):
    network, data = untaught(tmp_path / "old.safetensors"), dataset_of(tmp_path / "d")
    shown = run(preview(network, data, QUICK, count=3))
    again = run(preview(network, data, QUICK, count=3))
    assert len(shown) == 3
    for one, other in zip(shown, again, strict=True):
        assert one.pixels.shape == one.targets.shape == one.trusted.shape == (1, 16, 16)
        assert (one.targets[0] == (one.labels > 0)).all()
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert not np.array_equal(shown[0].pixels, shown[1].pixels)


def test_the_picture_of_a_stack_is_the_plane_with_most_changes(tmp_path):
    truth = np.zeros((2, 20, 20), np.int32)
    truth[:, 2:8, 2:8], truth[1, 12:18, 12:18] = 1, 2
    data = Dataset(
        root=tmp_path,
        samples=(
            Sample(
                image=write(tmp_path / "i.tif", np.zeros(truth.shape, np.uint8), "zyx"),
                labels=write(tmp_path / "l.tif", truth, "zyx"),
                split="val",
            ),
        ),
    )
    old = np.where(truth == 1, truth, 0)
    new = truth.copy()
    new[1, 12:18, 2:5] = 9

    def held(labels):
        key = str(data.samples[0].image)
        return HeldOut(
            scores=pool([]), kind="instance", images=1, labels={key: labels[None].astype(np.int32)}
        )

    (change,) = changes(data, held(old), held(new))
    assert change.counts == {"right": 2, "gained": 1, "lost": 0, "missed": 0, "false": 1}
    assert tuple(change.picture[2, 4]) == (255, 255, 255)
    assert tuple(change.picture[12, 14]) == (0, 200, 120)
    assert tuple(change.picture[12, 3]) == (60, 120, 255)


# ---- Who may not judge ----


def judged_by_itself(root, network):
    """Return a dataset that holds out a network's own answer, and another image."""
    data = dataset_of(root, count=3)
    own = replace(data.samples[1], split="val")
    labels = run(segment(network, open_image(own.image))).labels
    write(own.labels, (labels * 3).astype(np.int32))  # other numbers, the same objects
    return replace(data, samples=(data.samples[0], own, data.samples[2]))


@pytest.fixture(scope="module")
def taught_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    data = dataset_of(folder / "d")
    return run(train(untaught(folder / "0.safetensors"), data, folder / "1.safetensors", LEARN))


@pytest.mark.trains
def test_its_own_answer_is_no_judge_of_a_network(tmp_path, taught_once):
    data = judged_by_itself(tmp_path / "d", taught_once)
    scored = run(score_held_out(taught_once, data))
    assert scored.own == (str(data.samples[1].image),)
    assert scored.images == 2
    rest = scored.without(scored.own)
    assert (rest.images, rest.own) == (1, ())
    assert rest.scores.n_true == len(np.unique(objects((48, 48), count=8, seed=2))) - 1
    notes, trained = told(fine_tune(taught_once, data, tmp_path / "2.safetensors", QUICK))
    assert notes == [
        "1 is left out of the score: its labels are the network's own output, unchanged, so the "
        "old network would have a perfect score on it. Correct it, or hold another image out."
    ]
    assert (trained.before.images, trained.after.images) == (2, 2)
    own, other = (str(sample.image) for sample in data.samples[1:])
    assert own not in trained.before.each
    assert trained.before.each[other] == rest.each[other]
    assert [change.name for change in trained.changes()] == ["0", "1", "2"], "to be looked at"


def test_images_that_are_no_judges_share_a_note():
    assert no_judges(["a", "b"]).text == (
        "2 images (a, b) are left out of the score: their labels are the network's own output, "
        "unchanged, so the old network would have a perfect score on them. Correct them, or hold "
        "others out."
    )
    assert "9 images (1, 1, 1, 1, 1, others) are" in no_judges(["1"] * 9).text


@pytest.mark.trains
def test_where_nothing_else_is_held_out_nobody_knows(tmp_path, taught_once):
    data = judged_by_itself(tmp_path / "d", taught_once)
    data = replace(data, samples=data.samples[:2])
    one = np.zeros((48, 48), np.int32)
    one[20:30, 20:30] = 1  # one object cannot be divided
    write(data.samples[0].labels, one)
    _, trained = told(fine_tune(taught_once, data, tmp_path / "2.safetensors", QUICK))
    assert (trained.before.images, trained.after.images) == (0, 0)
    assert not trained.promoted


def test_labels_that_nobody_has_looked_at_judge_nobody(tmp_path):
    network = untaught(tmp_path / "0.safetensors")
    data = dataset_of(tmp_path / "d", count=3)
    first, own, last = data.samples
    own = replace(own, split="val", untouched=True)
    notes, scored = told(score_held_out(network, replace(data, samples=(first, own, last))))
    assert [note.split(" is ")[0] for note in notes] == ["1"]
    assert scored.images == 1
    assert list(scored.each) == [str(last.image)]


def told(steps):
    """Return the notes of a job, and what came of it."""
    notes = []
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return notes, stop.value
        if report.what == "note" and report.text:
            notes.append(report.text)


@pytest.mark.trains
def test_earlier_images_are_rehearsed_as_the_old_network_was_shown_them(tmp_path, monkeypatch):
    """Bright ones, while dark ones are learned; what is held out of them is only scored."""
    drawn = []
    real = Crops.draw

    def draw(self, rng, sample=None):
        crop = real(self, rng, sample)
        if sample is None:
            drawn.append((self._settings.invert, float(crop.pixels[0][crop.labels > 0].mean())))
        return crop

    monkeypatch.setattr(Crops, "draw", draw)
    monkeypatch.setattr(Learner, "restate", lambda *_: ())  # it draws more
    network = untaught(tmp_path / "old.safetensors")
    dark, bright = dataset_of(tmp_path / "d"), dataset_of(tmp_path / "e")
    for sample in dark.samples:
        write(sample.image, 255 - open_image(sample.image).read()[0, 0, 0])
    how = replace(LEARN, epochs=1, steps_per_epoch=2, invert="yes", batch_size=4, rehearsal=0.25)
    out = tmp_path / "new.safetensors"
    trained = run(fine_tune(network, dark, out, how, earlier=bright, device="cpu"))
    assert [one for one, _ in drawn].count("auto") == 2
    assert [one for one, _ in drawn].count("yes") == 8
    assert min(light for _, light in drawn) > 0.3, "objects are bright in either"
    assert trained.checkpoint.card["invert"] == "yes"
    assert trained.earlier.objects > 0
    assert trained.forecast.images == 2 - 1


@pytest.mark.trains
def test_earlier_images_of_which_nothing_is_trusted_cannot_be_rehearsed(tmp_path):
    network = untaught(tmp_path / "old.safetensors")
    earlier = dataset_of(tmp_path / "e", count=1)
    mask = write(tmp_path / "e" / "trusted" / "0.tif", np.zeros((48, 48), np.uint8))
    earlier = replace(earlier, samples=(replace(earlier.samples[0], trusted=mask),))
    how = replace(LEARN, epochs=1, steps_per_epoch=1, rehearsal=0.5)
    steps = train(network, dataset_of(tmp_path / "d"), tmp_path / "new.safetensors", how,
                  device="cpu", earlier=earlier)  # fmt: skip
    with pytest.raises(DatasetError, match="none of them can be rehearsed"):
        run(steps)
