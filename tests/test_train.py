"""Training: it learns, repeats, resumes, stops, and leaves nothing half done."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.owners import kill, owner
from support.small_disk import files_of_at_most
from support.teaching import (
    CLASSES,
    FOREGROUND,
    NUCLEI,
    QUICK,
    UNCHANGED,
    fresh,
    objects,
    photograph,
    write,
)
from support.teaching import write_dataset as write_samples

import napari_segnet.crops as crops_module
from napari_segnet.crops import Crop
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import (
    BrokenWeightsError,
    Cancelled,
    DatasetError,
    MemoryExhaustedError,
    OutputError,
    SettingsError,
)
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.find import likeness
from napari_segnet.plan import PredictSettings, way_of
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.train import (
    TrainSettings,
    _learner,
    is_running,
    score_held_out,
    state_path,
    train,
)
from napari_segnet.train._begin import start
from napari_segnet.train._learner import Learner

STILL = replace(QUICK, **UNCHANGED, on_objects=1.0)


def dataset_of(root, count=2, held_out=1, **how):
    """Return a dataset whose last samples are held out."""
    write_samples(root, count=count, **how)
    return Dataset(
        root=root,
        samples=tuple(
            Sample(
                image=root / "images" / f"{i}.tif",
                labels=root / "labels" / f"{i}.tif",
                source=str(i),
                split="val" if i >= count - held_out else "train",
            )
            for i in range(count)
        ),
    )


def follow(steps):
    """Return all reports and the result."""
    reports = []
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as stop:
            return reports, stop.value


def epochs(reports):
    return [dict(r.values) for r in reports if r.what == "epoch"]


def same_tensors(one, other):
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---- It learns ----


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("outputs", "how"),
    [
        (FOREGROUND, {}),
        (NUCLEI, {}),
        (CLASSES, {"classes": 2}),
        (FOREGROUND, {"channels": 2}),
        (FOREGROUND, {"shape": (3, 32, 32), "axes": "tyx"}),
        (FOREGROUND, {"shape": (6, 32, 32), "axes": "zyx", "ndim": 3}),
    ],
    ids=["foreground", "nuclei", "classes", "two channels", "time series", "volume"],
)
@pytest.mark.trains
def test_one_picture_is_learnt_by_heart(outputs, how, tmp_path):
    ndim = how.pop("ndim", 2)
    data = dataset_of(tmp_path / "d", count=1, held_out=0, **{"shape": (32, 32), **how})
    # Scored on what it learns from: another source for the same files.
    data = replace(data, samples=(*data.samples, replace(data.samples[0], source="b", split="val")))
    strides = [[1, 2, 2]] if ndim == 3 else None
    network = fresh(
        tmp_path / "n.safetensors",
        outputs=outputs,
        widths=(8, 12),
        channels=how.get("channels", 1),
        ndim=ndim,
        strides=strides,
    )
    settings = replace(
        STILL,
        epochs=2,
        steps_per_epoch=40,
        crop_px=32,
        crop_z_px=6,
        learning_rate=0.02,
        average=0.8,
    )
    reports, result = follow(train(network, data, tmp_path / "n.safetensors", settings))
    losses = [dict(r.values)["train_loss"] for r in reports if r.what == "step"]
    assert len(losses) == 80
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert epochs(reports)[-1]["val_dice"] > 0.95
    assert result.ndim == ndim


@pytest.mark.trains
def test_what_is_learnt_is_used_by_segment(tmp_path):
    data = dataset_of(tmp_path / "d", count=1, held_out=0, shape=(32, 32))
    data = replace(data, samples=(*data.samples, replace(data.samples[0], source="b", split="val")))
    out = tmp_path / "n.safetensors"
    settings = replace(STILL, steps_per_epoch=40, crop_px=32, learning_rate=0.02, average=0.8)
    network = run(train(fresh(out, widths=(8, 12)), data, out, settings))
    scores = run(score_held_out(network, data))
    assert (scores.kind, scores.images) == ("instance", 1)
    assert scores.figures()["dice"] > 0.95


@pytest.mark.trains
def test_untrusted_pixels_teach_nothing(tmp_path):
    """Whatever the labels say where they are not trusted, the same weights come out."""
    labels = objects((32, 32), seed=1)
    trusted = np.zeros((32, 32), np.uint8)
    trusted[:16] = 1
    wrong = np.where(trusted > 0, labels, 1 - (labels > 0))
    for name, given in (("a", labels), ("b", wrong)):
        root = tmp_path / name
        image = write(root / "images" / "0.tif", photograph(labels))
        sample = Sample(
            image=image,
            labels=write(root / "labels" / "0.tif", given.astype(np.int32)),
            trusted=write(root / "trusted" / "0.tif", trusted),
        )
        out = tmp_path / f"{name}.safetensors"
        run(train(fresh(out), Dataset(root=root, samples=(sample,)), out, QUICK))
    assert same_tensors(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


@pytest.mark.trains
def test_trusted_pixels_do_teach(tmp_path):
    """The counterpart: the test above would pass for a training that learns nothing."""
    labels = objects((32, 32), seed=1)
    for name, given in (("a", labels), ("b", 1 - (labels > 0))):
        root = tmp_path / name
        image = write(root / "images" / "0.tif", photograph(labels))
        sample = Sample(
            image=image, labels=write(root / "labels" / "0.tif", given.astype(np.int32))
        )
        out = tmp_path / f"{name}.safetensors"
        run(train(fresh(out), Dataset(root=root, samples=(sample,)), out, QUICK))
    assert not same_tensors(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


@pytest.mark.trains
def test_norms_remember_the_images_and_not_how_they_were_changed(tmp_path):
    """Images of the training count as like it, though no crop looked like them."""
    data, out = (
        dataset_of(tmp_path / "d", count=2, held_out=0, shape=(64, 64)),
        tmp_path / "n.safetensors",
    )
    settings = replace(STILL, crop_px=64, gain=4.0, noise=3.0, batch_size=4)
    network = run(train(fresh(out), data, out, settings))
    image = open_image(data.samples[0].image)
    way = way_of(network, image, PredictSettings())
    assert run(likeness(network, image, way)).score < 0.05
    assert run(likeness(network, image, replace(way, invert="yes"))).score > 0.05


@pytest.mark.trains
def test_a_training_ends_well_without_memory_for_statistics(tmp_path, monkeypatch):
    def full(self, crop):
        raise MemoryError

    data, out = dataset_of(tmp_path / "d", held_out=0), tmp_path / "n.safetensors"
    monkeypatch.setattr(Learner, "predict", full)
    reports, made = follow(train(fresh(out), data, out, QUICK))
    assert [r.text for r in reports if r.what == "note"] == [_learner.UNMEASURED]
    assert made == identify(out)


# ---- What is reported and written ----


@pytest.mark.trains
def test_reports_and_the_card(tmp_path):
    data, out = dataset_of(tmp_path / "d", count=3), tmp_path / "n.safetensors"
    network = fresh(out, card={"title": "mine"})
    reports, result = follow(train(network, data, str(out), asdict(QUICK)))
    assert [(r.what, r.done, r.total) for r in reports] == [
        *(("sample", 1, 2), ("sample", 2, 2), ("sample", 1, 1)),
        *(("step", 1, 4), ("step", 2, 4), ("epoch", 1, 2)),
        *(("step", 3, 4), ("step", 4, 4), ("epoch", 2, 2)),
        *(("statistics of the layers", n, 32) for n in range(1, 33)),
    ]
    assert set(epochs(reports)[0]) == {"train_loss", "val_loss", "val_dice", "val_ap50"}
    assert result == identify(out)
    assert result.halo_px is not None
    training = result.card["training"]
    assert result.card["title"] == "mine"
    assert 6 < result.card["object_px"] < 15  # diameters of the objects that it learned from
    assert (training["samples"], training["held_out"]) == (2, 1)
    assert training["settings"] == json.loads(json.dumps(asdict(QUICK)))
    assert training["scores"]["val_dice"] == epochs(reports)[-1]["val_dice"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "n.safetensors"]


@pytest.mark.trains
def test_scores_of_the_card_are_of_the_weights_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_learner, "WORSE", 9.0)
    data, parent = dataset_of(tmp_path / "d"), tmp_path / "p.safetensors"
    network = run(train(fresh(parent), data, parent, QUICK))
    how = replace(QUICK, anchor=1e6)  # the new weights count for next to nothing
    reports, child = follow(train(network, data, tmp_path / "c.safetensors", how))
    known, kept = (one.card["training"]["scores"] for one in (network, child))
    assert set(kept) == set(known)
    assert kept["val_loss"] == pytest.approx(known["val_loss"], rel=1e-4)
    assert epochs(reports)[-1]["val_loss"] != pytest.approx(known["val_loss"], rel=1e-3)


@pytest.mark.trains
def test_the_file_answers_as_the_module_that_was_trained(tmp_path, monkeypatch):
    kept = {}
    result = Learner.result
    monkeypatch.setattr(Learner, "result", lambda *of: kept.setdefault("module", result(*of)))
    out = tmp_path / "n.safetensors"
    network = fresh(out, outputs=NUCLEI, dtype="float16")
    trained = run(train(network, dataset_of(tmp_path / "d"), out, QUICK))
    batch = torch.rand(1, 1, 24, 32)
    with torch.inference_mode():
        expected = kept["module"](batch)
        found = load(trained, "cpu").module(batch)
    assert expected.std() > 0
    assert (expected - found).abs().max() < 2**-8 * expected.abs().max()


@pytest.mark.trains
def test_nothing_held_out(tmp_path):
    data, out = dataset_of(tmp_path / "d", held_out=0), tmp_path / "n.safetensors"
    reports, result = follow(train(fresh(out), data, out, QUICK))
    assert set(epochs(reports)[0]) == {"train_loss"}
    assert result.card["training"]["held_out"] == 0
    scores = run(score_held_out(result, data))
    assert scores.figures() == {}
    assert not scores.better_than(scores)


@pytest.mark.trains
def test_held_out_crops_are_the_same_after_every_epoch(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    still = replace(QUICK, learning_rate=1e-12, weight_decay=0)
    reports, _ = follow(train(fresh(out), data, out, still))
    # Only the statistics of batch normalisation still move a little.
    first, second = (e["val_loss"] for e in epochs(reports))
    assert first == pytest.approx(second, rel=0.2)


@pytest.mark.trains
def test_fine_tuning_begins_at_the_weights_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "restate", lambda *_: ())  # it writes the same in other numbers
    data = dataset_of(tmp_path / "d")
    parent = tmp_path / "parent.safetensors"
    card = {"title": "Nuclei", "scores": {"ap50": 0.8}, "label": {"threshold": 0.4}}
    network = run(train(fresh(parent, card=card), data, parent, QUICK))
    child = tmp_path / "child.safetensors"
    hardly = replace(QUICK, learning_rate=1e-12, weight_decay=0, average=0, freeze_norm=False)
    tuned = run(train(str(parent), data, child, hardly))
    old, new = load_file(parent), load_file(child)
    learnt = [key for key in old if "running" not in key and "num_batches" not in key]
    assert max(float((old[k] - new[k]).abs().max()) for k in learnt) < 1e-9
    assert not same_tensors(parent, child)  # batch statistics follow the new data
    # Scores and data of the parent are not those of the child.
    assert tuned.card["parent"] == {
        "name": "parent.safetensors",
        "sha256": network.sha256,
        "title": "Nuclei",
    }
    assert tuned.card["label"] == {"threshold": 0.4}
    assert "scores" not in tuned.card


# ---- It repeats, stops and goes on ----


@pytest.mark.trains
def test_a_seed_makes_a_run_repeatable(tmp_path):
    data = dataset_of(tmp_path / "d")
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        out = tmp_path / f"{name}.safetensors"
        torch.rand(7)  # what happened before makes no difference
        run(train(fresh(out), data, out, replace(QUICK, seed=seed)))
    assert same_tensors(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert not same_tensors(tmp_path / "a.safetensors", tmp_path / "c.safetensors")


@pytest.mark.sample(2)
@pytest.mark.parametrize("after", [0, 1, 3, 4])
@pytest.mark.trains
def test_resumed_equals_uninterrupted(after, tmp_path):
    """Killed after any step, it goes on from its last epoch to the same weights."""
    data = dataset_of(tmp_path / "d")
    settings = replace(QUICK, epochs=3)
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    expected, _ = follow(train(fresh(whole), data, whole, settings))
    steps = train(fresh(cut), data, cut, settings)
    # As a kill does it: the job is dropped where it stands, nothing tidies up.
    seen = [next(steps) for _ in range(2)]
    while sum(r.what == "step" for r in seen) < after:
        seen.append(next(steps))
    assert not cut.exists()
    assert state_path(cut).exists() == (after >= 3)
    found, _ = follow(train(fresh(cut), data, cut, settings, resume=True))
    assert same_tensors(whole, cut)
    assert epochs(found) == epochs(expected)[-len(epochs(found)) :]
    assert len(epochs(found)) == (2 if after >= 3 else 3)
    assert not state_path(cut).exists()


@pytest.mark.trains
def test_resuming_what_only_lacks_its_file(tmp_path):
    """All epochs done, but the disk was full when the network was to be written."""
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, QUICK)
    for report in steps:
        if (report.what, report.done) == ("epoch", 2):
            break
    assert not out.exists()
    run(train(fresh(out), data, out, QUICK, resume=True))
    again = tmp_path / "again.safetensors"
    run(train(fresh(again), data, again, QUICK))
    assert same_tensors(again, out)


@pytest.mark.trains
def test_cancelling_leaves_the_last_epoch_and_no_file(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, replace(QUICK, epochs=10**6))
    with pytest.raises(Cancelled):
        for report in steps:
            if (report.what, report.done) == ("epoch", 1):
                threading.Timer(0.05, steps.cancel).start()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "n.safetensors.state"]
    assert torch.load(state_path(out), weights_only=True)["epochs"] >= 1


def test_cancelling_stops_within_a_step(tmp_path):
    """In the middle of a forward, not only between two of them."""
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, QUICK)
    passed = []
    for report in steps:
        if report.what == "step":
            break

    def look(module, inputs):
        passed.append(module)
        steps.cancel()

    frame = steps._steps.gi_frame.f_locals["steps"].gi_frame
    hook = frame.f_locals["learner"]._module.encoder[0].register_forward_pre_hook(look)
    with pytest.raises(Cancelled):
        next(steps)
    hook.remove()
    assert len(passed) == 1
    assert not out.exists()


@pytest.mark.trains
def test_an_older_state_without_outputs_is_understood(tmp_path):
    """As long trainings of the built-in network have it."""
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, QUICK)
    for report in steps:
        if report.what == "epoch":
            break
    state = torch.load(state_path(out), weights_only=True)
    del state["outputs"], state["settings"]
    torch.save(state, state_path(out))
    reports, _ = follow(train(fresh(out), data, out, QUICK, resume=True))
    assert len(epochs(reports)) == 1


def stopped(tmp_path):
    """Return dataset and path of a training that was stopped after its first epoch."""
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    for report in train(fresh(out), data, out, QUICK):
        if report.what == "epoch":
            return data, out
    raise AssertionError


@pytest.mark.parametrize("other", [{"widths": (4, 8)}, {"outputs": NUCLEI}])
def test_a_state_of_another_network_is_refused(other, tmp_path):
    data, out = stopped(tmp_path)
    with pytest.raises(SettingsError, match=r"n.safetensors.state belongs to the training of anot"):
        run(train(fresh(out, **other), data, out, QUICK, resume=True))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no module"])
def test_a_damaged_state_is_refused_in_a_sentence(damage, tmp_path):
    data, out = stopped(tmp_path)
    state = state_path(out)
    content = torch.load(state, weights_only=True)
    if damage == "no module":
        del content["module"]
        torch.save(content, state)
    else:
        whole = state.read_bytes()
        state.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hi"}[damage])
    with pytest.raises(BrokenWeightsError, match=r"saved state .*n\.safetensors\.state cannot be"):
        run(train(fresh(out), data, out, QUICK, resume=True))


def test_a_state_runs_no_code(tmp_path):
    data, out = stopped(tmp_path)
    victim = tmp_path / "victim"
    torch.save({"network": Bomb(victim)}, state_path(out))
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        run(train(fresh(out), data, out, QUICK, resume=True))
    assert not victim.exists()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# ---- Two at once ----


@pytest.mark.trains
def test_a_second_training_into_the_same_file_is_refused(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, QUICK)
    for report in steps:
        if report.what == "epoch":
            break
    assert is_running(out)
    before, said = state_path(out).read_bytes(), []

    def second(resume):
        try:
            run(train(fresh(out), data, out, QUICK, resume=resume))
        except OutputError as error:
            said.append(str(error))

    for resume in (False, True):
        thread = threading.Thread(target=second, args=(resume,))
        thread.start()
        thread.join()
    refused = f"Another training is writing {out}. Wait until it has ended, stop it, or "
    assert [f"{refused}choose another file to write."] * 2 == said
    assert state_path(out).read_bytes() == before
    run(train(fresh(out), data, tmp_path / "other.safetensors", replace(QUICK, epochs=1)))
    follow(steps)
    assert not is_running(out)
    names = ["d", "n.safetensors", "other.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


@pytest.mark.trains
def test_a_training_that_stands_still_makes_way_for_the_next_of_its_thread(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    first, second = (train(fresh(out), data, out, QUICK) for _ in range(2))
    next(first)
    next(second)
    with pytest.raises(OutputError, match=r"later training is writing .*this one ends"):
        next(first)
    assert is_running(out)
    follow(second)
    assert not is_running(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "n.safetensors"]


@pytest.mark.trains
def test_a_training_that_ends_early_lets_go_of_its_file(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, QUICK)
    next(steps)
    assert is_running(out)
    steps.close()
    assert not is_running(out)
    with pytest.raises(DatasetError):
        run(train(fresh(out), Dataset(root=tmp_path, samples=()), out, QUICK))
    assert not is_running(out)


@pytest.mark.trains
@pytest.mark.subprocess
def test_the_file_of_another_process_is_free_when_that_is_killed(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    with owner(out) as (process, _):
        with pytest.raises(OutputError, match="Another training is writing"):
            next(train(fresh(out), data, out, QUICK))
        kill(process)
        run(train(fresh(out), data, out, replace(QUICK, epochs=1)))
    assert identify(out).family == "segnet-unet"


@pytest.mark.skipif(os.name == "nt", reason="modes of files are POSIX")
@pytest.mark.trains
def test_the_state_is_its_owners_and_the_network_is_as_any_file(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    before = os.umask(0o022)
    try:
        modes = set()
        for report in train(fresh(out), data, out, QUICK):
            if report.what == "epoch":
                modes.add(stat.S_IMODE(state_path(out).stat().st_mode))
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o644


# ---- Where the result cannot be written ----


@pytest.mark.trains
def test_a_full_disk_leaves_the_last_state_whole(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    steps = train(fresh(out), data, out, QUICK)
    for report in steps:
        if report.what == "epoch":
            break
    before = state_path(out).read_bytes()
    with (
        files_of_at_most(4096),
        pytest.raises(OutputError, match=r"state of the training .*disk is full; free"),
    ):
        follow(steps)
    assert state_path(out).read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "n.safetensors.state"]


@pytest.mark.trains
def test_a_disk_that_fills_up_at_the_end_loses_nothing(tmp_path, monkeypatch):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    save = SegnetUNet.save

    def crowded(*args):
        with files_of_at_most(1024):
            return save(*args)

    with monkeypatch.context() as full:
        full.setattr(SegnetUNet, "save", crowded)
        with pytest.raises(OutputError, match="The network could not be written"):
            run(train(fresh(out), data, out, QUICK))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "n.safetensors.state"]
    run(train(fresh(out), data, out, QUICK, resume=True))
    assert identify(out).family == "segnet-unet"


@pytest.mark.parametrize("where", ["nowhere/n.safetensors", "file/n.safetensors"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(where, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    out = tmp_path / where
    missing = Dataset(root=tmp_path, samples=(Sample(image=tmp_path, labels=tmp_path),))
    with pytest.raises(OutputError, match=r"Nothing can be written to .* Choose a folder"):
        run(train(fresh(out), missing, out, QUICK))


# ---- What is refused ----


def test_everything_held_out(tmp_path):
    data, out = dataset_of(tmp_path / "d", held_out=2), tmp_path / "n.safetensors"
    with pytest.raises(DatasetError, match=r"All 2 samples of .* are held out, so there is"):
        run(train(fresh(out), data, out, QUICK))


def test_nothing_trusted(tmp_path):
    data, out = dataset_of(tmp_path / "d", held_out=0), tmp_path / "n.safetensors"
    none = write(tmp_path / "none.tif", np.zeros((40, 48), np.uint8))
    data = replace(data, samples=tuple(replace(s, trusted=none) for s in data.samples))
    with pytest.raises(DatasetError, match=r"No pixel of the 2 training samples .* is trusted"):
        run(train(fresh(out), data, out, QUICK))


@pytest.mark.trains
def test_empty_labels_teach_nothing(tmp_path):
    data, out = dataset_of(tmp_path / "d", count=3, held_out=1), tmp_path / "n.safetensors"
    for sample in data.of("train")[:-1]:
        write(sample.labels, np.zeros((40, 48), np.uint8))
    run(train(fresh(out), data, out, QUICK))  # one picture without objects is a lesson too
    write(data.of("train")[-1].labels, np.zeros((40, 48), np.uint8))
    with pytest.raises(DatasetError, match=r"The labels of all 2 training samples .* are empty"):
        run(train(fresh(tmp_path / "m"), data, tmp_path / "m", QUICK))


@pytest.mark.trains
def test_a_damaged_sample_is_named_and_the_rest_goes_on(tmp_path):
    data, out = dataset_of(tmp_path / "d", count=3), tmp_path / "n.safetensors"
    (tmp_path / "d" / "images" / "0.tif").write_bytes(b"II*\0 nothing")
    reports, result = follow(train(fresh(out), data, out, QUICK))
    (said,) = [r.text for r in reports if r.text]
    assert "0.tif cannot be learned from" in said and said.endswith("It is left out.")
    assert result.card["training"]["samples"] == 2


@pytest.mark.trains
def test_a_damaged_held_out_sample_is_left_out_of_the_scores(tmp_path):
    data, out = dataset_of(tmp_path / "d", count=4, held_out=2), tmp_path / "n.safetensors"
    (tmp_path / "d" / "labels" / "3.tif").write_bytes(b"II*\0 nothing")
    network = run(train(fresh(out), data, out, QUICK))
    reports, scores = follow(score_held_out(network, data))
    assert scores.images == 1
    assert [s.name for s in scores.scores.images] == ["2"]
    assert "3.tif" in next(r.text for r in reports if r.text)


def test_nothing_but_damaged_samples(tmp_path):
    data, out = dataset_of(tmp_path / "d", count=3), tmp_path / "n.safetensors"
    for i in range(2):
        (tmp_path / "d" / "images" / f"{i}.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(DatasetError, match=r"0\.tif cannot be learned from.* And 1 more like it"):
        run(train(fresh(out), data, out, QUICK))


def test_a_dataset_that_changes_meanwhile(tmp_path, monkeypatch):
    """Samples that are read at each use, and one of them is taken away: a sentence, no loss."""
    monkeypatch.setattr(crops_module, "KEEP_BYTES", 0)
    data, out = dataset_of(tmp_path / "d", count=2), tmp_path / "n.safetensors"
    with pytest.raises(DatasetError, match=r"0\.tif cannot be learned from: There is no file"):
        for report in train(fresh(out), data, out, QUICK):
            if report.what == "epoch":
                (tmp_path / "d" / "images" / "0.tif").unlink()
    assert state_path(out).exists()


def test_a_family_that_cannot_be_taught(tmp_path):
    network = replace(fresh(tmp_path / "n.safetensors"), family="other")
    with pytest.raises(SettingsError, match=r"'other' cannot be trained here yet. Can be trained"):
        run(train(network, dataset_of(tmp_path / "d"), tmp_path / "n.safetensors", QUICK))


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        *((name, 0, f"{name} is 0, but must be from 1") for name in ("epochs", "batch_size")),
        ("crop_px", 7, "crop_px is 7, but must be from 8"),
        ("learning_rate", -1.0, "learning_rate is -1.0, but must be from 0 to 10"),
        ("weight_decay", -1.0, "weight_decay is -1.0, but must be from 0"),
        ("average", 1.0, "average is 1.0, but must be from 0 to below 1"),
        ("on_objects", 1.5, "on_objects is 1.5, but must be from 0 to 1"),
        ("gamma", 0.5, "gamma is 0.5, but must be from 1"),
        ("noise", -0.1, "noise is -0.1, but must be from 0"),
        ("scale_range", (1.5, 0.5), "scale_range is 1.5,0.5, but needs two factors"),
        ("precision", "int8", "precision is 'int8', but training knows auto, fp32"),
        ("loss", "l1", "loss is 'l1', but training knows both, cross-entropy, dice, focal"),
        ("optimizer", "lion", "optimizer is 'lion', but training knows adamw, adam, sgd"),
        ("head", "1", "head is '1', but can be keep, foreground, objects, or a number of cl"),
        ("head", "new", "head is 'new', but can be keep, foreground, objects, or a number"),
        ("momentum", 1.0, "momentum is 1.0, but must be from 0 to 0.9999"),
        ("warm_up", 0.6, "warm_up is 0.6, but must be from 0 to 0.5"),
        ("freeze_stages", -1, "freeze_stages is -1, but must be from 0"),
        ("patience", -1, "patience is -1, but must be from 0"),
        ("replay", -1.0, "replay is -1.0, but must be from 0"),
        ("seed", -1, "seed is -1, but must be from 0"),
    ],
)
def test_a_setting_out_of_range(setting, value, said):
    with pytest.raises(SettingsError, match=said):
        TrainSettings(**{setting: value})


# ---- Optimisers, losses, early stopping, replay ----


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "how",
    [
        {"optimizer": "sgd", "learning_rate": 0.05},
        {"optimizer": "adam", "momentum": 0.0},
        {"loss": "focal"},
        {"loss": "dice"},
        {"loss": "cross-entropy", "warm_up": 0.0},
    ],
    ids=lambda how: "-".join(str(v) for v in how.values()),
)
@pytest.mark.trains
def test_every_way_learns_repeats_and_resumes(how, tmp_path):
    data = dataset_of(tmp_path / "d", shape=(32, 32))
    settings = replace(STILL, **{"learning_rate": 0.02, **how}, steps_per_epoch=15, epochs=2)
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    reports, result = follow(train(fresh(whole, widths=(6, 8)), data, whole, settings))
    losses = [dict(r.values)["train_loss"] for r in reports if r.what == "step"]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert result.card["training"]["settings"]["loss"] == settings.loss
    steps = train(fresh(cut, widths=(6, 8)), data, cut, settings)
    for report in steps:
        if report.what == "epoch":
            break
    run(train(fresh(cut, widths=(6, 8)), data, cut, settings, resume=True))
    assert same_tensors(whole, cut)


@pytest.mark.trains
def test_early_stopping_keeps_the_best_and_resumes(tmp_path, monkeypatch):
    """The scores are given: best in round 2, then worse; patience ends it after round 4."""
    monkeypatch.setattr(Learner, "restate", lambda *_: ())  # it writes the same in other numbers
    given = iter([0.5, 0.9, 0.7, 0.6, 0.9])  # the last is of what is kept
    monkeypatch.setattr(Learner, "score", lambda self, held: (("val_dice", next(given)),))
    monkeypatch.setattr(sys.modules["napari_segnet.train._train"], "look", lambda *_: ((), None))
    data, settings = dataset_of(tmp_path / "d"), replace(QUICK, epochs=6, patience=2, average=0.0)
    out = tmp_path / "n.safetensors"
    kept = []
    monkeypatch.setattr(
        Learner,
        "save_state",
        lambda self, path, epochs, save=Learner.save_state: (
            kept.append({k: v.clone() for k, v in self._average.state_dict().items()}),
            save(self, path, epochs),
        ),
    )
    reports, made = follow(train(fresh(out), data, out, settings))
    assert len(epochs(reports)) == 4
    assert made.card["training"]["scores"] == {"val_dice": 0.9}
    found = load_file(out)
    assert all(torch.equal(found[k], kept[1][k]) for k in found)
    assert not all(torch.equal(found[k], kept[3][k]) for k in found)
    # The same with a stop in between: the best is in the state.
    given = iter([0.5, 0.9, 0.7, 0.6, 0.9])
    again = tmp_path / "again.safetensors"
    for report in train(fresh(again), data, again, settings):
        if report.what == "epoch" and report.done == 3:
            break
    reports, _ = follow(train(fresh(again), data, again, settings, resume=True))
    assert len(epochs(reports)) == 1
    assert same_tensors(out, again)


@pytest.mark.trains
def test_replay_holds_on_to_the_old_network_where_nobody_looked(tmp_path):
    """Taught that half of the picture is empty, it forgets the other half, unless it replays."""
    labels = objects((32, 64), count=8, seed=1)
    root = tmp_path / "d"
    sample = Sample(
        image=write(root / "images" / "0.tif", photograph(labels)),
        labels=write(root / "labels" / "0.tif", labels),
    )
    parent = tmp_path / "parent.safetensors"
    learn = replace(
        STILL, epochs=1, steps_per_epoch=60, crop_px=32, learning_rate=0.02, average=0.0
    )
    network = run(
        train(fresh(parent, widths=(6, 8)), Dataset(root=root, samples=(sample,)), parent, learn)
    )
    wrong = np.where(np.arange(64) < 32, 0, labels).astype(np.int32)
    wrong[0, 0] = 1  # a picture without any object is refused
    trusted = np.zeros((32, 64), np.uint8)
    trusted[:, :32] = 1
    taught = Sample(
        image=sample.image,
        labels=write(root / "labels" / "1.tif", wrong),
        trusted=write(root / "trusted" / "1.tif", trusted),
    )
    found = {}
    for replay in (0.0, 5.0):
        out = tmp_path / f"{replay}.safetensors"
        how = replace(learn, replay=replay, steps_per_epoch=25, on_objects=0.0)
        new = run(train(network, Dataset(root=root, samples=(taught,)), out, how))
        x = torch.from_numpy(photograph(labels) / 200.0 - 0.2).float()[None, None]
        with torch.inference_mode():
            old, now = (load(n, "cpu").module(x).sigmoid() for n in (network, new))
        found[replay] = float((old - now)[..., 40:].abs().mean())
    assert found[5.0] < 0.8 * found[0.0]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_on_a_cpu_is_refused(precision, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    with pytest.raises(SettingsError, match=f"precision '{precision}' needs a GPU"):
        run(train(fresh(out), data, out, replace(QUICK, precision=precision), device="cpu"))


@pytest.mark.trains
def test_a_learning_rate_that_is_too_high(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    settings = replace(QUICK, learning_rate=10.0, steps_per_epoch=60, epochs=3, weight_decay=900.0)
    with pytest.raises(SettingsError, match=r"loss is no longer a number: the learning rate 10.0"):
        run(train(fresh(out), data, out, settings))
    assert not out.exists()


def test_a_batch_that_does_not_fit_into_memory(tmp_path):
    network = fresh(tmp_path / "n.safetensors")
    learner = Learner(start(network, QUICK), QUICK, "cpu")

    def full(*args):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    learner._module.encoder[1].register_forward_pre_hook(full)
    flat = np.zeros((1, 16, 16), np.float32)
    with pytest.raises(MemoryExhaustedError, match=r"train on 2 crops of 16 x 16 .* batch_size"):
        learner.step([Crop(pixels=flat, targets=flat, trusted=flat, labels=flat[0])] * 2, 0.5)


@pytest.mark.trains
def test_the_smallest_crop_of_a_deep_network(tmp_path):
    """One pixel at the bottom would be too little for batch normalisation."""
    data, out = dataset_of(tmp_path / "d"), tmp_path / "n.safetensors"
    network = fresh(out, widths=(2, 2, 2, 2, 2, 2))
    reports, _ = follow(train(network, data, out, replace(QUICK, crop_px=8, batch_size=1)))
    assert len(epochs(reports)) == 2


# ---- Is it better? ----


def test_the_gate_asks_for_objects_and_counts_trusted_pixels_only(tmp_path):
    labels = np.zeros((40, 40), np.int32)
    labels[2:12, 2:12], labels[2:12, 20:30] = 1, 2
    pixels = np.where(labels > 0, 250, 5).astype(np.uint8)
    pixels[25:35, 5:15] = 250  # bright, but no object: where nobody looked
    trusted = np.zeros((40, 40), np.uint8)
    trusted[:20] = 1
    out = tmp_path / "n.safetensors"
    network = fresh(out, widths=(1,))
    module = SegnetUNet().build(network)
    state = module.state_dict()
    for key, value in state.items():
        value.fill_(1.0 if key.endswith("running_var") else 0.0)
        if key.endswith("0.weight") or key.endswith("3.weight"):
            value[..., 1, 1] = 1.0
        elif key.endswith("weight"):
            value.fill_(1.0)
    state["head.weight"].fill_(10.0)
    state["head.bias"].fill_(-5.0)
    SegnetUNet().save(module.eval(), network, out)
    sample = Sample(
        image=write(tmp_path / "images" / "a.tif", pixels),
        labels=write(tmp_path / "labels" / "a.tif", labels),
        split="val",
    )
    looked = replace(sample, trusted=write(tmp_path / "t" / "a.tif", trusted))
    everywhere, trusting = (
        run(score_held_out(identify(out), Dataset(root=tmp_path, samples=(s,))))
        for s in (sample, looked)
    )
    assert (everywhere.scores.n_pred, everywhere.scores.n_true) == (3, 2)
    assert everywhere.figures()["ap50"] == pytest.approx(2 / 3)
    assert trusting.figures()["ap50"] == 1
    assert trusting.better_than(everywhere)
    assert not everywhere.better_than(trusting)
    assert not trusting.better_than(trusting)


@pytest.mark.trains
def test_classes_are_judged_by_their_foreground(tmp_path):
    data = dataset_of(tmp_path / "d", classes=2)
    out = tmp_path / "n.safetensors"
    network = run(train(fresh(out, outputs=CLASSES), data, out, QUICK))
    scores = run(score_held_out(network, data))
    assert scores.kind == "semantic"
    assert set(scores.figures()) == {"dice"}


@pytest.mark.trains
def test_a_stack_is_scored_plane_by_plane_for_a_2d_network(tmp_path):
    data = dataset_of(tmp_path / "d", shape=(4, 24, 24), axes="zyx")
    out = tmp_path / "n.safetensors"
    network = run(train(fresh(out), data, out, QUICK))
    scores = run(score_held_out(network, data))
    assert scores.images == 1
    assert len(scores.scores.images) == 4
