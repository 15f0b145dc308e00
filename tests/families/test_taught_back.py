"""What was taught here is loaded, strictly, by the code that the file came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.networks import Jvanvugt, Mateuszbuda, Milesial, calibrate, pictures, save_as
from support.teaching import QUICK, objects, photograph, write

from napari_segnet.checkpoint import Output
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import SettingsError
from napari_segnet.families import FAMILIES
from napari_segnet.progress import run
from napari_segnet.train import train
from napari_segnet.train._learner import Learner

NETWORKS = {
    "milesial": (lambda: Milesial(channels=1, classes=1, width=3, depth=2), {}),
    "milesial-bilinear": (
        lambda: Milesial(channels=1, classes=1, width=4, depth=2, bilinear=True),
        {},
    ),
    "milesial-old": (lambda: Milesial(channels=1, classes=1, width=3, depth=2, old=True), {}),
    "mateuszbuda": (lambda: Mateuszbuda(channels=1, width=3), {}),
    "jvanvugt": (
        lambda: Jvanvugt(channels=1, classes=2, depth=2, width=4, padding=True),
        {"padding": True},
    ),
    "jvanvugt-valid": (lambda: Jvanvugt(channels=1, classes=2, depth=2, width=4), {}),
}
every = pytest.mark.parametrize("name", NETWORKS)


def dataset_of(root, classes=None):
    labels = objects((48, 48), seed=1, classes=classes)
    image = write(root / "images" / "0.tif", photograph(labels))
    return Dataset(
        root=root,
        samples=(Sample(image=image, labels=write(root / "labels" / "0.tif", labels)),),
    )


def taught(root, name, wrapper="bare", ending=".pth", **how):
    """Return the old file, the new checkpoint and a fresh network of the original definition."""
    make, told = NETWORKS[name]
    torch.manual_seed(0)
    module = calibrate(make())
    root.mkdir(exist_ok=True)
    old = save_as(module, root / f"old{ending}", wrapper)
    settings = type(QUICK)(**{**{f: getattr(QUICK, f) for f in QUICK.__slots__}, **how})
    classes = 1 if name.startswith("jvanvugt") else None
    out = root / f"new{ending}"
    run(train(identify(old, told), dataset_of(root / "d", classes), out, settings))
    return old, identify(out, told), make()


def content(path):
    return torch.load(path, weights_only=False)


def answers_alike(module, checkpoint):
    module.eval()
    x = pictures(2, 1, (48, 48))
    with torch.inference_mode():
        expected = module(x)
        found = load(checkpoint, "cpu").module(x)
        if checkpoint.outputs[0].activation == "sigmoid" and expected.min() >= 0:
            found = found.sigmoid()  # the old milesial has it inside
    assert expected.std() > 1e-3
    # Folded batch normalisation rounds otherwise, by a share of the largest values.
    most = 1e-5 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(expected, found, atol=most, rtol=1e-4)


@pytest.mark.sample(3)
@every
@pytest.mark.trains
def test_the_original_definition_loads_it_strictly_and_answers_alike(name, tmp_path):
    old, checkpoint, original = taught(tmp_path, name)
    state = content(checkpoint.path)
    assert list(state) == list(content(old))
    changed = [k for k, v in content(old).items() if not torch.equal(v, state[k])]
    assert any("weight" in key for key in changed), "it has learned nothing"
    original.load_state_dict(state, strict=True)
    answers_alike(original, checkpoint)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "jvanvugt-valid"])
@pytest.mark.trains
def test_what_norms_remember_changes_no_answer(name, tmp_path, monkeypatch):
    _, restated, _ = taught(tmp_path / "a", name, batch_size=4)
    monkeypatch.setattr(Learner, "restate", lambda *_: ())
    _, plain, _ = taught(tmp_path / "b", name, batch_size=4)
    one, two = content(restated.path), content(plain.path)
    moved = [key for key in one if not torch.equal(one[key], two[key])]
    assert any("running_var" in key for key in moved) == any("running_var" in key for key in one)
    x = pictures(2, 1, (48, 48))
    with torch.inference_mode():
        found, expected = (load(made, "cpu").module(x) for made in (restated, plain))
    most = 1e-4 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, atol=most, rtol=1e-3)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("wrapper", "way", "prefix"),
    [
        ("lightning", ["state_dict"], "model."),
        ("training", ["model_state_dict"], ""),
        ("ddp", [], "module."),
        ("compiled", ["net"], "_orig_mod."),
        ("legacy", [], ""),
        ("ema", ["model"], ""),
        ("averaged", [], "module."),
    ],
)
@pytest.mark.trains
def test_wrapper_and_prefix_stay(wrapper, way, prefix, tmp_path):
    old, checkpoint, original = taught(tmp_path, "milesial", wrapper)
    before, state = content(old), content(checkpoint.path)
    assert set(state) <= set(before)
    for key in way:
        before, state = before[key], state[key]
    assert list(before) == list(state)
    if wrapper == "averaged":
        swa = torch.optim.swa_utils.AveragedModel(original)
        swa.load_state_dict(state, strict=True)
        original = swa.module
    else:
        bare = {key.removeprefix(prefix): value for key, value in state.items()}
        original.load_state_dict(bare, strict=True)
    answers_alike(original, checkpoint)


@pytest.mark.trains
def test_what_belongs_to_the_old_network_alone_is_left_out(tmp_path):
    _, checkpoint, _ = taught(tmp_path, "milesial", "lightning")
    state = content(checkpoint.path)
    assert state["hyper_parameters"] == {"learning_rate": 1e-3, "encoder": "none"}
    assert state["pytorch-lightning_version"] == "2.4.0"
    assert "optimizer_states" not in state
    _, checkpoint, _ = taught(tmp_path, "milesial", "ema")
    assert "model_ema" not in content(checkpoint.path)


@pytest.mark.trains
def test_the_legacy_container_stays(tmp_path):
    old, checkpoint, _ = taught(tmp_path, "milesial", "legacy")
    assert old.read_bytes()[:2] == checkpoint.path.read_bytes()[:2] == b"\x80\x02"


@pytest.mark.trains
def test_mask_values_stay_where_milesial_looks_for_them(tmp_path):
    module = calibrate(NETWORKS["milesial"][0]())
    old = tmp_path / "old.pth"
    torch.save({**module.state_dict(), "mask_values": [0, 255]}, old)
    run(train(identify(old), dataset_of(tmp_path / "d"), tmp_path / "new.pth", QUICK))
    state = content(tmp_path / "new.pth")
    assert state.pop("mask_values") == [0, 255]
    NETWORKS["milesial"][0]().load_state_dict(state, strict=True)


@pytest.mark.trains
def test_safetensors_stay_safetensors(tmp_path):
    _, checkpoint, original = taught(tmp_path, "milesial", "safetensors", ".safetensors")
    original.load_state_dict(load_file(checkpoint.path), strict=True)
    answers_alike(original, checkpoint)


@pytest.mark.trains
def test_half_precision_stays_half(tmp_path):
    module = calibrate(NETWORKS["milesial"][0]()).half()
    old = save_as(module, tmp_path / "old.pth", "bare")
    run(train(identify(old), dataset_of(tmp_path / "d"), tmp_path / "new.pth", QUICK))
    kinds = {v.dtype for v in content(tmp_path / "new.pth").values()}
    assert kinds == {torch.float16, torch.int64}


# ---- Another last layer, frozen parts ----


@pytest.mark.parametrize("name", ["milesial", "mateuszbuda", "jvanvugt"])
@pytest.mark.trains
def test_a_new_last_layer_for_other_classes(name, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "restate", lambda *_: ())  # it writes the same in other numbers
    make, told = NETWORKS[name]
    old = save_as(calibrate(make()), tmp_path / "old.pth", "bare")
    network = identify(old, told)
    out = tmp_path / "new.pth"
    settings = type(QUICK)(
        **{
            **{f: getattr(QUICK, f) for f in QUICK.__slots__},
            "head": "3",
            "learning_rate": 1e-9,
            "average": 0.0,
        }
    )
    taught = run(train(network, dataset_of(tmp_path / "d", classes=2), out, settings))
    assert (taught.classes, taught.outputs[0].role) == (3, "class")
    before, after = content(old), content(out)
    assert before.keys() == after.keys()
    moved = {k for k in before if before[k].shape != after[k].shape}
    assert moved == {k for k in moved if k.split(".")[0] in ("outc", "conv", "last")} != set()
    for key in before.keys() - moved:
        if "running" not in key and "num_b" not in key:
            torch.testing.assert_close(before[key], after[key], atol=1e-6, rtol=1e-4)


def test_a_family_with_one_output_cannot_answer_three(tmp_path):
    with pytest.raises(SettingsError, match=r"'milesial-unet' answers with a foreground or with c"):
        taught(tmp_path, "milesial", head="objects")


@every
@pytest.mark.trains
def test_frozen_stages_stay_as_they_are(name, tmp_path):
    old, checkpoint, _ = taught(tmp_path, name, freeze_stages=2)
    before, after = content(old), content(checkpoint.path)
    first = ("inc.", "down1.", "encoder1.", "encoder2.", "down_path.0.", "down_path.1.")
    for key, value in before.items():
        same = torch.equal(value, after[key])
        if key.startswith(first):
            assert same, key
    last = [k for k in before if k.split(".")[0] in ("outc", "conv", "last")]
    assert any(not torch.equal(before[k], after[k]) for k in last)


@pytest.mark.trains
def test_frozen_statistics_stay_and_the_weights_of_the_norm_learn(tmp_path):
    old, checkpoint, _ = taught(tmp_path, "milesial", freeze_norm=True)
    before, after = content(old), content(checkpoint.path)
    stats = [k for k in before if "running" in k or "num_batches" in k]
    assert all(torch.equal(before[k], after[k]) for k in stats)
    norms = [k.replace("running_mean", "weight") for k in stats if "running_mean" in k]
    assert any(not torch.equal(before[k], after[k]) for k in norms)


@pytest.mark.trains
def test_small_batches_freeze_the_statistics_of_a_network_that_has_learned(tmp_path):
    for size, frozen in ((2, True), (4, False)):
        old, checkpoint, _ = taught(tmp_path, "milesial", batch_size=size)
        before, after = content(old), content(checkpoint.path)
        key = "inc.double_conv.1.running_mean"
        assert torch.equal(before[key], after[key]) == frozen


def test_more_stages_than_there_are(tmp_path):
    with pytest.raises(SettingsError, match=r"freeze_stages is 9, but the encoder .* has 3 levels"):
        taught(tmp_path, "milesial", freeze_stages=9)


# ---- Nothing untrusted teaches ----


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["both", "cross-entropy", "dice", "focal"])
def test_untrusted_pixels_have_exactly_no_gradient(name, kind, tmp_path):
    make, told = NETWORKS[name]
    old = save_as(calibrate(make()), tmp_path / "old.pth", "bare")
    checkpoint = identify(old, told)
    family = FAMILIES.named(checkpoint.family)
    channels = sum(o.channels for o in checkpoint.outputs)
    rng = torch.Generator().manual_seed(0)
    answer = torch.rand(2, channels, 8, 8, generator=rng, requires_grad=True)
    targets = torch.from_numpy(
        np.stack([family.targets(objects((8, 8), seed=i, classes=1), checkpoint) for i in (1, 2)])
    )
    trusted = (torch.rand(2, 1, 8, 8, generator=rng) < 0.4).float()
    family.loss(answer, targets, trusted, checkpoint, kind).backward()
    unseen = (trusted == 0).expand_as(answer)
    assert (answer.grad[unseen] == 0).all()
    assert (answer.grad[~unseen] != 0).any()


def test_the_outputs_of_every_family_have_a_loss_of_every_kind():
    from napari_segnet.families.kit.map_loss import map_loss

    for role, channels, activation in (
        ("foreground", 1, "sigmoid"),
        ("class", 3, "softmax"),
        ("class", 3, "sigmoid"),
        ("class", 2, "none"),
        ("distance", 1, "none"),
    ):
        out = (Output(role=role, channels=channels, activation=activation),)
        right = torch.zeros(1, channels, 4, 4)
        right[:, 0] = 1
        answer = right * 8 - 4 if activation != "none" else right * 0.9 + 0.05
        wrong = answer.flip(1) if channels > 1 else 1 - answer if activation == "none" else -answer
        trusted = torch.ones(1, 1, 4, 4)
        for kind in ("both", "cross-entropy", "dice", "focal"):
            good = map_loss(answer, right, trusted, out, kind)
            assert 0 <= float(good) < float(map_loss(wrong, right, trusted, out, kind))
