"""Each setting of a training does what it says: none of these tests passes if it does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.teaching import FOREGROUND, QUICK, fresh, objects, photograph, write, write_dataset

from napari_segnet.crops import Crop
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify
from napari_segnet.errors import BrokenWeightsError, SettingsError
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.plan import PredictSettings
from napari_segnet.progress import run
from napari_segnet.train import read_unfinished, state_path, train
from napari_segnet.train._begin import start
from napari_segnet.train._learner import COST, UNPROVEN, Learner
from napari_segnet.train._optimise import autocast_dtype


def crop_of(seed=0):
    labels = objects((16, 16), count=3, seed=seed)
    return Crop(
        pixels=(photograph(labels)[None] / 255).astype(np.float32),
        targets=(labels[None] > 0).astype(np.float32),
        trusted=np.ones((1, 16, 16), np.float32),
        labels=labels,
    )


def learner_of(tmp_path, **settings):
    how = replace(QUICK, **settings)
    torch.manual_seed(0)
    return Learner(start(fresh(tmp_path / "n.safetensors"), how), how, "cpu")


def weights(learner):
    return torch.cat([p.detach().flatten().clone() for p in learner._module.parameters()])


def after_steps(tmp_path, fractions=(0.5,), **settings):
    """Return how far the weights have moved, and what they are."""
    learner = learner_of(tmp_path, **settings)
    before = weights(learner)
    for fraction in fractions:
        learner.step([crop_of(), crop_of(1)], fraction)
    now = weights(learner)
    return float((now - before).norm()), now


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.trains
def test_weight_decay_draws_weights_to_zero(optimizer, tmp_path):
    how = {"optimizer": optimizer, "learning_rate": 1e-3, "momentum": 0.0}
    steps = (0.1,) * 20
    none, some = (
        after_steps(tmp_path, steps, weight_decay=decay, **how)[1].norm() for decay in (0.0, 20.0)
    )
    assert some < 0.97 * none


@pytest.mark.trains
def test_the_optimisers_are_three(tmp_path):
    one, two, three = (
        after_steps(tmp_path, (0.1, 0.1), optimizer=name, weight_decay=0.1)[1]
        for name in ("adamw", "adam", "sgd")
    )
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


@pytest.mark.trains
def test_momentum_goes_on_in_the_same_direction(tmp_path):
    moved = [
        after_steps(tmp_path, (0.1,) * 10, optimizer="sgd", momentum=m, learning_rate=1e-3)[0]
        for m in (0.0, 0.9)
    ]
    assert moved[1] > 2 * moved[0]


def test_a_warm_up_begins_with_small_steps(tmp_path):
    cold, warm = (after_steps(tmp_path, (0.0,), warm_up=share)[0] for share in (0.5, 0.0))
    assert cold < 0.05 * warm


def test_the_learning_rate_falls_to_zero(tmp_path):
    first, half, last = (after_steps(tmp_path, (f,), warm_up=0.0)[0] for f in (0.0, 0.5, 0.9999))
    assert last < 0.001 * first
    assert half == pytest.approx(first / 2, rel=0.1)


@pytest.mark.trains
def test_averaging_stays_behind_the_last_weights(tmp_path):
    for average, same in ((0.0, True), (0.9, False)):
        learner = learner_of(tmp_path, average=average)
        for _ in range(5):
            learner.step([crop_of()], 0.3)
        last = weights(learner)
        kept = torch.cat([p.detach().flatten() for p in learner.result().parameters()])
        assert torch.equal(last, kept) == same


@pytest.mark.trains
def test_of_few_objects_the_old_weights_stay_in_what_is_kept(tmp_path, monkeypatch):
    network = learned(tmp_path / "n.safetensors")
    module = start(network, QUICK).module
    before = torch.cat([p.detach().flatten() for p in module.parameters()])

    def kept(objects, anchor, held=True, dice=(0.8, 0.76), note=""):
        found = iter(dice)
        monkeypatch.setattr(Learner, "score", lambda *_: (("val_dice", next(found)),))
        torch.manual_seed(0)
        how = replace(QUICK, average=0.0, anchor=anchor)
        learner = Learner(start(network, how), how, "cpu", objects)
        for _ in range(5):
            learner.step([crop_of()], 0.3)
        others, said = learner.settle([[crop_of()]] if held else [])
        assert said == note
        kept = torch.cat([p.detach().flatten() for p in learner.result().parameters()])
        assert others == (not torch.equal(kept, weights(learner)))
        return kept

    new = kept(10, anchor=0.0)
    assert torch.equal(kept(0, anchor=30.0), new)  # nobody has counted them
    torch.testing.assert_close(kept(10, anchor=30.0), 0.9 * before + 0.1 * new)
    # Something else is taught than what it knew, or nothing can tell.
    assert torch.equal(kept(10, anchor=30.0, dice=(0.8, 0.7), note=COST), new)
    assert torch.equal(kept(10, anchor=30.0, held=False, note=UNPROVEN), new)


@pytest.mark.parametrize(("knows", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_half_precision_of_a_graphics_card(knows, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: knows)
    card, cpu = torch.device("cuda"), torch.device("cpu")
    assert autocast_dtype("auto", card) is dtype
    assert autocast_dtype("fp32", card) is None
    assert autocast_dtype("fp16", card) is torch.float16
    assert autocast_dtype("auto", cpu) is None


@pytest.mark.parametrize(("cpu", "dtype"), [("avx512_bf16", torch.bfloat16), ("avx2", None)])
def test_half_precision_of_a_cpu_that_has_it(cpu, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {cpu: True}, raising=False)
    device = torch.device("cpu")
    assert autocast_dtype("auto", device, convolutions=True) is dtype
    # Of dilated ones, oneDNN's gradient in bfloat16 writes behind the end of its memory.
    assert autocast_dtype("auto", device, convolutions=True, dilated=True) is None
    with pytest.raises(SettingsError, match="precision at auto"):
        autocast_dtype("bf16", device, convolutions=True, dilated=True)
    assert autocast_dtype("auto", device) is None  # of other layers it was not measured
    assert autocast_dtype("fp32", device, convolutions=True) is None


def test_half_precision_is_used_for_the_network_and_not_for_the_loss(tmp_path):
    """As on a graphics card, but on the CPU, which is slow at it and is refused."""
    learner = learner_of(tmp_path)
    learner._dtype = torch.bfloat16
    seen = []
    last = list(learner._module.modules())[-1]
    last.register_forward_hook(lambda module, given, answer: seen.append(answer.dtype))
    answer, loss = learner._answered(learner._module, learner._batch([crop_of()]))
    assert seen == [torch.bfloat16]
    assert (answer.dtype, loss.dtype) == (torch.float32, torch.float32)


# ---- Stopped, killed, gone on with ----


def learned(path):
    network = fresh(path, FOREGROUND)
    torch.manual_seed(1)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, path)
    return identify(path)


def dataset_of(root):
    """Return two samples, one held out; of the first, half is trusted."""
    write_dataset(root, count=2)
    trusted = np.zeros((40, 48), np.uint8)
    trusted[:, :30] = 1
    pairs = [
        Sample(
            image=root / "images" / f"{i}.tif",
            labels=root / "labels" / f"{i}.tif",
            trusted=None if i else write(root / "trusted.tif", trusted),
            source=str(i),
            split="val" if i else "train",
        )
        for i in range(2)
    ]
    return Dataset(root=root, samples=tuple(pairs))


def stopped(network, data, out, settings, after=1):
    for report in train(network, data, out, settings):
        if (report.what, report.done) == ("epoch", after):
            break
    return state_path(out)


ALL = replace(
    QUICK, epochs=8, steps_per_epoch=3, average=0.9, replay=0.5, patience=50, warm_up=0.2, seed=5
)
"""What depends on the past: running average, schedule, best round, old network, optimiser."""

CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import test_train_settings as t
root = Path({root!r})
print("begun", flush=True)
old, data = t.identify(root / "old.safetensors"), t.dataset_of(root / "d")
for report in t.train(old, data, root / "cut.safetensors", t.ALL):
    print(report.what, flush=True)
"""


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.trains
def test_killed_at_any_moment_and_resumed_equals_never_killed(tmp_path):
    network, data = learned(tmp_path / "old.safetensors"), dataset_of(tmp_path / "d")
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    begun = time.monotonic()
    run(train(network, data, whole, ALL))
    took = time.monotonic() - begun
    code = CHILD.format(paths=sys.path, root=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if line.strip() == "step":
            break
    wait = np.random.default_rng().uniform(0, took)
    time.sleep(wait)
    child.kill()  # SIGKILL: nothing tidies up
    child.communicate()
    if not cut.exists():
        run(train(network, data, cut, ALL, resume=True))
    one, other = load_file(whole), load_file(cut)
    assert all(torch.equal(one[key], other[key]) for key in one), f"killed after {wait} s"
    assert not [p.name for p in tmp_path.iterdir() if "cut" in p.name and p != cut]


@pytest.mark.trains
def test_a_state_tells_what_was_stopped(tmp_path):
    network, data = learned(tmp_path / "old.safetensors"), dataset_of(tmp_path / "d")
    out = tmp_path / "new.safetensors"
    found = read_unfinished(stopped(network, data, out, ALL, after=2))
    assert (found.epochs, found.settings, found.out) == (2, ALL, out)
    assert found.parent == network.path
    (tmp_path / "bad.state").write_bytes(b"nothing")
    with pytest.raises(BrokenWeightsError, match=r"bad.state cannot be read .* Remove it and"):
        read_unfinished(tmp_path / "bad.state")


def test_the_state_of_a_network_that_began_otherwise_is_refused(tmp_path):
    data, out = dataset_of(tmp_path / "d"), tmp_path / "new.safetensors"
    stopped(learned(tmp_path / "old.safetensors"), data, out, ALL)
    other = fresh(tmp_path / "other.safetensors", FOREGROUND)
    torch.manual_seed(9)
    SegnetUNet().save(SegnetUNet().build(other).eval(), other, other.path)
    with pytest.raises(SettingsError, match="belongs to the training of another network"):
        run(train(identify(other.path), data, out, ALL, resume=True))


@pytest.mark.parametrize(("name", "value"), [("optimizer", "sgd"), ("freeze_stages", 1)])
def test_what_cannot_change_while_a_training_goes_on(name, value, tmp_path):
    network, data = learned(tmp_path / "old.safetensors"), dataset_of(tmp_path / "d")
    out = tmp_path / "new.safetensors"
    before = stopped(network, data, out, ALL).read_bytes()
    said = rf"with {name} \w+, which cannot go on with {value}. Set {name} to"
    with pytest.raises(SettingsError, match=said):
        run(train(network, data, out, replace(ALL, **{name: value}), resume=True))
    assert state_path(out).read_bytes() == before


@pytest.mark.trains
def test_smaller_batches_and_another_decay_from_a_stop_on(tmp_path):
    network, data = learned(tmp_path / "old.safetensors"), dataset_of(tmp_path / "d")
    sizes = {}
    for decay in (0.0, 50.0):
        out = tmp_path / f"{decay}.safetensors"
        stopped(network, data, out, ALL)
        how = replace(ALL, batch_size=1, weight_decay=decay, average=0.0, patience=0)
        run(train(network, data, out, how, resume=True))
        sizes[decay] = sum(float(v.float().norm()) for v in load_file(out).values())
    assert sizes[50.0] < sizes[0.0]


@pytest.mark.trains
def test_a_training_takes_its_threads_and_gives_them_back(tmp_path, monkeypatch):
    before, taken = torch.get_num_threads(), {"step": set(), "score": set()}
    learn, score = Learner._step, Learner._answered

    def step(self, *args):
        taken["step"].add(torch.get_num_threads())
        return learn(self, *args)

    def answered(self, module, *args, **how):
        if module is self._average:
            taken["score"].add(torch.get_num_threads())
        return score(self, module, *args, **how)

    monkeypatch.setattr(Learner, "_step", step)
    monkeypatch.setattr(Learner, "_answered", answered)
    learner = learner_of(tmp_path, threads=before + 1)
    learner.step([crop_of()], 0.5)
    learner.score([[crop_of(1)]])
    assert taken == {"step": {before + 1}, "score": {before + 1}}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", [-1, 1025])
def test_threads_that_cannot_be_are_refused(threads):
    with pytest.raises(SettingsError, match=rf"threads is {threads}, but must be from 0"):
        replace(QUICK, threads=threads)
    with pytest.raises(SettingsError, match=rf"threads is {threads}, but must be from 0 \(all\)"):
        PredictSettings(threads=threads)


@pytest.mark.parametrize(
    ("parent", "rate", "means"),
    [({"path": "n.safetensors", "sha256": "0"}, 0.0, 3e-4), ({}, 0.0, 0.0), ({}, 0.01, 0.01)],
)
def test_a_training_begun_before_there_was_an_anchor_keeps_its_meaning(
    tmp_path, parent, rate, means
):
    values = asdict(replace(QUICK, learning_rate=rate, batch_size=8, crop_px=192))
    assert values.pop("anchor") is not None
    assert values.pop("mirror")
    assert values.pop("multiscale")
    state = tmp_path / "n.safetensors.state"
    torch.save({"settings": values, "epochs": 3, "parent": parent}, state)
    unfinished = read_unfinished(state)
    assert unfinished.epochs == 3
    assert unfinished.settings == replace(
        QUICK,
        learning_rate=means,
        batch_size=8,
        crop_px=192,
        anchor=0.0,
        mirror=False,
        multiscale=False,
    )


def test_a_training_begun_before_there_were_two_scales_keeps_its_meaning(tmp_path):
    values = asdict(replace(QUICK, anchor=5.0))
    assert values.pop("multiscale")
    state = tmp_path / "n.safetensors.state"
    torch.save({"settings": values, "epochs": 1, "parent": {}}, state)
    assert read_unfinished(state).settings == replace(QUICK, anchor=5.0, multiscale=False)
