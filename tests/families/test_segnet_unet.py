"""Our own U-Net family: its file says everything, and is believed only where it makes sense."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from support.small_disk import files_of_at_most
from support.teaching import CLASSES, FOREGROUND, NUCLEI, fresh

from napari_segnet.checkpoint import Output, PrepareStep
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import (
    BrokenWeightsError,
    OutputError,
    SettingsError,
    UnknownNetworkError,
    UnsupportedWeightsError,
)
from napari_segnet.families.kit.own_header import HEADER
from napari_segnet.families.segnet_unet import SegnetUNet

FAMILY = SegnetUNet()


def module_of(checkpoint, seed=0):
    torch.manual_seed(seed)
    module = FAMILY.build(checkpoint)
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if "running_var" in key else -0.5))
    return module.eval()


def saved(path, **how):
    checkpoint = fresh(path, **how)
    module = module_of(checkpoint)
    FAMILY.save(module, checkpoint, path)
    return module


def with_header(path, change):
    """Write the file again with another text in its header."""
    with safe_open(path, "pt") as file:
        text = file.metadata()[HEADER]
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"][HEADER] = change if isinstance(change, str) else change(text)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])


CASES = {
    "nuclei": {"outputs": NUCLEI},
    "classes": {"outputs": CLASSES, "class_names": ("background", "a", "b"), "channels": 3},
    "one level": {"widths": (5,)},
    "thick sections": {
        "ndim": 3,
        "widths": (3, 4, 6),
        "strides": [[1, 2, 2], [1, 2, 2]],
        "pixel_size_um": {"z": 2.0, "y": 0.5, "x": 0.5},
    },
    "half precision": {"dtype": "float16"},
    "brain floats": {"dtype": "bfloat16"},
}


@pytest.mark.parametrize("name", ["a.pth", "a.PT", "a.ckpt"])
def test_a_file_with_a_name_of_torch_opens_with_torch_too(name, tmp_path):
    path = tmp_path / name
    module = saved(path, outputs=NUCLEI)
    content = torch.load(path, weights_only=True)
    module.load_state_dict(content["state_dict"])
    plain = tmp_path / "a.safetensors"
    saved(plain, outputs=NUCLEI)
    found, same = identify(path), identify(plain)
    assert ("torch-zip", ("state_dict",)) == (found.store.container, found.store.wrapper)
    for fact in ("hparams", "outputs", "size", "prepare", "parameters", "halo_px"):
        assert getattr(same, fact) == getattr(found, fact)
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(load(found, "cpu").module(image), module(image))
    written = FAMILY.save(module, same, tmp_path / f"again_{name}")
    assert identify(written.path).store == written.store


def test_what_follows_from_the_header_is_not_said_to_stand_in_it(tmp_path):
    path = tmp_path / "a.safetensors"
    saved(path)
    known = identify(path).known
    header = {name for name, fact in known.items() if "header" in fact.why}
    assert header == {"family", "outputs", "prepare", "ndim", "channels", "widths", "strides"}
    assert "counted" in known["parameters"].why


@pytest.mark.parametrize("case", CASES)
def test_a_saved_file_is_recognised_with_every_fact_that_it_states_read(case, tmp_path):
    path = tmp_path / "a.safetensors"
    how = CASES[case]
    card = {"title": "a", "label": {"threshold": 0.4}}
    prepare = (PrepareStep(name="normalize", options={"how": "z-score", "over": "plane"}),)
    saved(path, **{"card": card, "prepare": prepare, **how})
    found = identify(path)
    expected = fresh(path, **{"card": card, "prepare": prepare, **how})
    same = ("family", "hparams", "ndim", "channels", "classes", "outputs", "size", "prepare")
    for name in (*same, "class_names", "pixel_size_um", "card", "parameters", "store"):
        assert getattr(expected, name) == getattr(found, name), name
    unstated = {name for name in ("class_names", "pixel_size_um") if not how.get(name)}
    assumed = {name for name, known in found.known.items() if known.source == "assumed"}
    assert assumed - {"members"} == unstated
    assert {known.source for known in found.known.values()} == {"read", "assumed"}
    assert found.halo_px is not None


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_file_answers_as_what_was_saved(case, tmp_path):
    path = tmp_path / "a.safetensors"
    how = CASES[case]
    module = saved(path, **how)
    ours = load(identify(path), "cpu").module
    shape = (1, how.get("channels", 1), *((4, 16, 16)[-how.get("ndim", 2) :]))
    batch = torch.rand(shape)
    with torch.inference_mode():
        expected, answer = module(batch), ours(batch)
    # Weights are rounded to 11 or 8 bits; otherwise only sums may be in another order.
    least = {"float16": 2**-9, "bfloat16": 2**-5}.get(how.get("dtype", ""), 2**-20)
    assert (expected - answer).abs().max() <= least * expected.abs().max()
    assert expected.std() > 0


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [
        (FOREGROUND, 1),
        (NUCLEI, 1),
        (CLASSES, 3),
        ((Output(role="class", channels=2, activation="sigmoid"),), 2),
        ((*NUCLEI[1:], *CLASSES), 3),
        (NUCLEI[2:], 1),
    ],
)
def test_classes_count_the_background_only_where_it_has_a_channel(outputs, classes, tmp_path):
    assert fresh(tmp_path / "a.safetensors", outputs=outputs).classes == classes


def test_half_precision_keeps_what_it_cannot_hold_in_full(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint = fresh(path, dtype="float16")
    module = module_of(checkpoint)
    state = module.state_dict()
    state["encoder.0.1.running_var"].fill_(3e-8)  # below the smallest half
    state["encoder.0.0.weight"][0, 0, 0, 0] = 1e5  # above the largest
    FAMILY.save(module, checkpoint, path)
    with safe_open(path, "pt") as file:
        dtypes = {key: file.get_tensor(key).dtype for key in file.keys()}
    wide = {key for key, dtype in dtypes.items() if dtype == torch.float32}
    assert wide == {"encoder.0.1.running_var", "encoder.0.0.weight"}
    loaded = load(identify(path), "cpu").module.state_dict()
    for key in wide:
        assert torch.equal(loaded[key], state[key])


def test_the_same_network_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        saved(path, dtype="float16")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_others_may_read_the_file_as_any_other_of_the_user(tmp_path):
    saved(tmp_path / "a.safetensors")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    saved(path)
    with_header(path, lambda text: json.dumps({**json.loads(text), "format": 2}))
    with pytest.raises(UnsupportedWeightsError, match=r"newer napari-segnet \(format 2.*Update"):
        identify(path)


def altered(*keys, to):
    def change(text):
        said = json.loads(text)
        place = said
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to
        return json.dumps(said)

    return change


STRANGE = {
    "no JSON": "{",
    "a list": "[]",
    "nested": "[" * 100_000,
    "no format": "{}",
    "format 0": altered("format", to=0),
    "format text": altered("format", to="1"),
    "four dimensions": altered("hparams", "ndim", to=4),
    "no widths": altered("hparams", "widths", to=[]),
    "width true": altered("hparams", "widths", to=[True, 6]),
    "widths number": altered("hparams", "widths", to=4),
    "width huge": altered("hparams", "widths", to=[4, 10**12]),
    "stride lost": altered("hparams", "strides", to=[]),
    "stride 0": altered("hparams", "strides", to=[[0, 2]]),
    "role": altered("outputs", to=[{"role": "magic", "channels": 1, "activation": "none"}]),
    "activation": altered("outputs", to=[{"role": "class", "channels": 1, "activation": "cube"}]),
    "outputs text": altered("outputs", to="class"),
    "prepare": altered("prepare", to=[{"name": "sharpen", "options": {}}]),
    "normalize": altered("prepare", to=[{"name": "normalize", "options": {"how": "magic"}}]),
    "over": altered("prepare", 0, "options", to={"how": "none", "over": "tile"}),
    "pixel size": altered("pixel_size_um", to={"x": -1}),
    "pixel axis": altered("pixel_size_um", to={"t": 1}),
    "names": altered("class_names", to=[1, 2]),
    "card": altered("card", to=[]),
    "advice": altered("card", to={"label": 3}),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_header_that_makes_no_sense_is_refused_in_a_sentence(case, tmp_path):
    path = tmp_path / "a.safetensors"
    saved(path)
    with_header(path, STRANGE[case])
    with pytest.raises(BrokenWeightsError, match=r"description inside a.safetensors cannot be"):
        identify(path)


def test_a_header_that_tells_of_another_network_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    saved(path)
    with_header(path, altered("hparams", "widths", to=[4, 8]))
    with pytest.raises(UnknownNetworkError, match="another shape"):
        identify(path)


def test_nothing_can_be_told_of_a_file_that_says_all(tmp_path):
    path = tmp_path / "a.safetensors"
    saved(path)
    with pytest.raises(SettingsError, match="describes itself completely, so channels cannot"):
        identify(path, {"channels": 3})


def test_a_value_that_json_does_not_have_is_not_written(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint = fresh(path, card={"score": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        FAMILY.save(module_of(checkpoint), checkpoint, path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    path = tmp_path / "no" / "a.safetensors"
    with pytest.raises(OutputError, match=r"could not be written to .*a\.safetensors"):
        saved(path)


@pytest.fixture
def small_disk():
    """No file may grow beyond 4 KiB."""
    with files_of_at_most(4096):
        yield


def test_a_full_disk_leaves_the_old_file_and_no_new_one(tmp_path, small_disk):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"could not be written to .*larger than that disk"):
        saved(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == b"old"


def test_targets_know_how_thick_the_sections_are(tmp_path):
    labels = np.zeros((5, 30, 30), np.int32)
    labels[1:4, 5:25, 5:25] = 1
    network = fresh(tmp_path / "a.safetensors", outputs=NUCLEI, ndim=3)
    thick = replace(network, pixel_size_um={"z": 2.0, "y": 0.5, "x": 0.5})
    assert FAMILY.targets(labels, network)[1, 1, 15, 15] == 1
    assert FAMILY.targets(labels, thick)[1, 1, 15, 15] == 0
