"""A taught network of Keras is written back as the file that it came from."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from support.keras_networks import KINDS, with_optimizer, written
from support.networks import save_as
from support.teaching import QUICK, write_dataset

import napari_segnet as sn
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import open_tree
from napari_segnet.dataset import Dataset
from napari_segnet.errors import OutputError
from napari_segnet.programs import PROGRAMS, WritingProgram, writer_of
from napari_segnet.progress import run
from napari_segnet.recognition import identify
from napari_segnet.train import train
from napari_segnet.train._learner import Learner

every = pytest.mark.parametrize("kind", KINDS)


def content(path: Path) -> dict[str, Any]:
    """Return every dataset and attribute of a file of Keras, by path."""
    found: dict[str, Any] = {}

    def walk(name: str, one: Any) -> None:
        found.update({f"{name}@{key}": str(value) for key, value in one.attrs.items()})
        if isinstance(one, h5py.Dataset):
            found[name] = (one.dtype, one.compression, one[()])

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".h5"):
                    with archive.open(info) as inside, h5py.File(inside) as file:
                        file.visititems(walk)
                else:
                    found[info.filename] = archive.read(info)
                found[f"{info.filename}@packing"] = info.compress_type
        return found
    with h5py.File(path) as file:
        walk("", file)
        file.visititems(walk)
    return found


def changed(checkpoint: Checkpoint, seed: int = 1) -> torch.nn.Module:
    """Return the network with other weights, as a training leaves it."""
    import copy

    module: Any = copy.deepcopy(sn.load(checkpoint, device="cpu").module)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            # In eighths: kinds of numbers with few digits hold them exactly.
            value.add_(torch.randint(1, 9, value.shape, generator=source) / 8)
    return module


def save(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    program = writer_of(checkpoint, path)
    assert program is not None
    return program.save(module, checkpoint, path)


def answer(checkpoint: Checkpoint, module: Any = None) -> torch.Tensor:
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(5))
    module = module or sn.load(checkpoint, device="cpu").module
    with torch.no_grad():
        made: torch.Tensor = module.eval()(x)
    return made


@pytest.mark.sample(4)
@every
def test_only_the_weights_change(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, kind)
    before, original = content(path), path.read_bytes()
    found = identify(path)
    module = changed(found)
    new = tmp_path / "out" / f"taught{''.join(path.suffixes)}"
    new.parent.mkdir()
    made = save(module, found, new)
    assert made.path == new
    assert path.read_bytes() == original
    after = content(new)
    weights = {k for k, v in before.items() if isinstance(v, tuple) and "optimizer" not in k}
    kept = {k for k in before if "optimizer" not in k}
    assert after.keys() == kept
    for key in kept - weights:
        assert after[key] == before[key], key
    for key in weights:
        assert after[key][:2] == before[key][:2], key
        assert not np.array_equal(after[key][2], before[key][2]), key
    again = identify(new)
    assert again.store.layouts == found.store.layouts
    assert torch.allclose(answer(again), answer(found, module), atol=2e-3)
    assert sorted(p.name for p in new.parent.iterdir()) == sorted(
        {new.name, *(["taught.json"] if kind.startswith("weights") else [])}
    )


@pytest.mark.parametrize("kind", ["keras 2", "weights of keras 3 and json"])
def test_the_state_of_an_optimizer_is_left_out_and_that_is_said(kind: str, tmp_path: Path) -> None:
    found = identify(written(tmp_path, kind))
    new = tmp_path / f"taught{''.join(found.path.suffixes)}"
    (note,) = save(changed(found), found, new).notes
    name = "optimizer_weights" if kind == "keras 2" else "optimizer"
    assert f"state of the optimizer ({name})" in note
    with h5py.File(new) as file:
        assert name not in file


def test_a_layer_may_be_called_optimizer(tmp_path: Path) -> None:
    path = written(tmp_path, "weights of keras 3 and json")
    with h5py.File(path, "r+") as file:
        del file["optimizer"]
    found = identify(path)
    new = tmp_path / "taught.weights.h5"
    assert save(changed(found), found, new).notes == ()


def test_numbers_that_have_no_room(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "half precision"))
    module = changed(found)
    with torch.no_grad():
        next(module.parameters()).fill_(1e6)
    with pytest.raises(OutputError, match="as float16, which has no room for what was learned"):
        save(module, found, tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()


@pytest.mark.parametrize(
    ("kind", "name", "ending"),
    [
        ("keras 2", "new.keras", r"\.h5"),
        ("keras 3", "new.h5", r"\.keras"),
        ("weights of keras 3 and json", "new.h5", r"\.weights\.h5"),
    ],
)
def test_the_name_says_the_layout(kind: str, name: str, ending: str, tmp_path: Path) -> None:
    found = identify(written(tmp_path, kind))
    with pytest.raises(OutputError, match=rf"must end in {ending}, not in.*\.safetensors"):
        writer_of(found, tmp_path / name)


def test_the_file_it_came_from_is_never_replaced(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "keras 2"))
    with pytest.raises(OutputError, match=r"net\.h5 is the file that the network came from"):
        writer_of(found, found.path)


def test_hdf5_may_be_called_both_ways(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "keras 2"))
    assert writer_of(found, tmp_path / "new.HDF5") is not None
    assert writer_of(found, tmp_path / "new.safetensors") is None


def test_a_network_that_is_none_of_keras(tmp_path: Path) -> None:
    from support.networks import Milesial

    path = save_as(Milesial(channels=1, classes=1, width=3, depth=2), tmp_path / "a.pth", "bare")
    with pytest.raises(OutputError, match=r"new\.h5 would be a file of Keras, but this network"):
        writer_of(identify(path), tmp_path / "new.h5")


def test_the_file_it_came_from_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, "keras 2")
    found = identify(path)
    module = changed(found)
    with_optimizer(path, "other")  # any change
    with pytest.raises(OutputError, match=r"net\.h5 has changed\. Put it back, or choose a name"):
        save(module, found, tmp_path / "new.h5")
    path.unlink()
    with pytest.raises(OutputError, match=r"net\.h5 cannot be read any more"):
        save(module, found, tmp_path / "new.h5")


def test_the_description_of_another_network_is_not_replaced(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "weights and json"))
    (tmp_path / "new.json").write_text('{"mine": 1}')
    with pytest.raises(OutputError, match=r"new\.json, which would say of which network, is there"):
        writer_of(found, tmp_path / "new.h5")
    (tmp_path / "new.json").write_text((tmp_path / "net.json").read_text())
    save(changed(found), found, tmp_path / "new.h5")
    assert identify(tmp_path / "new.h5").program == "keras"


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "keras 3"))
    with pytest.raises(OutputError, match=r"could not be written to .* nothing was changed there"):
        save(changed(found), found, tmp_path / "no such folder" / "new.keras")


def test_programs_that_write() -> None:
    names = [one.name for one in PROGRAMS if isinstance(one, WritingProgram)]
    assert names == ["stardist", "keras", "onnx"]


# ---- Taught ----------------------------------------------------------------------------


@pytest.mark.sample(2)
@pytest.mark.trains
@pytest.mark.parametrize("kind", ["keras 2", "keras 1, theano", "keras 3", "weights and json"])
def test_a_taught_network_answers_from_its_new_file(kind: str, tmp_path: Path) -> None:
    found = identify(written(tmp_path, kind))
    dataset = Dataset.open(write_dataset(tmp_path / "data"))
    new = tmp_path / f"taught{''.join(found.path.suffixes)}"
    made = run(train(found, dataset, new, QUICK, device="cpu"))
    assert (made.program, made.family, made.store.container) == (
        "keras",
        "graph",
        found.store.container,
    )
    assert made.outputs == found.outputs
    old, fresh = open_tree(found.path).root, open_tree(new).root
    assert sum(not torch.equal(old[key].load(), fresh[key].load()) for key in old) > 2
    assert (answer(made) - answer(found)).abs().max() > 1e-4
    assert made.card["training"]["samples"] == 2


@pytest.mark.trains
def test_frozen_norms_keep_their_statistics(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "keras 2"))
    dataset = Dataset.open(write_dataset(tmp_path / "data"))
    settings = type(QUICK)(epochs=1, steps_per_epoch=2, batch_size=1, crop_px=16, freeze_norm=True)
    made = run(train(found, dataset, tmp_path / "new.h5", settings, device="cpu"))
    old, new = open_tree(found.path).root, open_tree(made.path).root
    for key in old:
        same = torch.equal(old[key].load(), new[key].load())
        assert same == ("moving" in key), key


@pytest.mark.trains
@pytest.mark.parametrize("kind", ["keras 2", "half precision"])
def test_what_norms_remember_changes_no_answer(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = identify(written(tmp_path, kind))
    dataset = Dataset.open(write_dataset(tmp_path / "data"))
    settings = type(QUICK)(epochs=1, steps_per_epoch=2, batch_size=4, crop_px=16)
    ending = found.path.suffix
    one = run(train(found, dataset, tmp_path / f"a{ending}", settings, device="cpu"))
    monkeypatch.setattr(Learner, "restate", lambda *_: ())
    two = run(train(found, dataset, tmp_path / f"b{ending}", settings, device="cpu"))
    moved, still = open_tree(one.path).root, open_tree(two.path).root
    assert any(not torch.equal(moved[k].load(), still[k].load()) for k in moved if "moving" in k)
    most = 1e-4 if kind == "keras 2" else 2e-2
    torch.testing.assert_close(answer(one), answer(two), atol=most, rtol=most)


@pytest.mark.trains
def test_what_it_is_surely_wrong_about_can_be_taught(tmp_path: Path) -> None:
    """A sigmoid inside rounds sure answers to 0 or 1, where it has no gradient."""
    path = written(tmp_path, "keras 2")
    with h5py.File(path, "r+") as file:
        file["model_weights/out/out/bias:0"][...] = 400.0
    found = identify(path)
    assert found.outputs[0].activation == "none"
    assert torch.equal(answer(found), torch.ones(1, 1, 32, 32))
    dataset = Dataset.open(write_dataset(tmp_path / "data"))
    settings = type(QUICK)(
        epochs=1, steps_per_epoch=2, batch_size=1, crop_px=16, average=0.0, weight_decay=0.0
    )
    made = run(train(found, dataset, tmp_path / "new.h5", settings, device="cpu"))
    assert made.outputs == found.outputs
    with h5py.File(made.path) as file:
        assert file["model_weights/out/out/bias:0"][0] < 400


@pytest.mark.trains
def test_as_a_file_of_our_own_with_a_new_last_layer(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "keras 3"))
    dataset = Dataset.open(write_dataset(tmp_path / "data"))
    settings = type(QUICK)(epochs=1, steps_per_epoch=1, batch_size=1, crop_px=16, head="objects")
    steps = train(found, dataset, tmp_path / "new.safetensors", settings, device="cpu")
    said = []
    try:
        while True:
            said.append(next(steps))
    except StopIteration as stop:
        made = stop.value
    notes = [report.text for report in said if report.what == "note"]
    assert any("new.safetensors will be a file of napari-segnet" in n for n in notes)
    assert (made.family, made.program) == ("graph", "")
    assert [output.role for output in made.outputs] == ["foreground", "boundary", "distance"]
    with pytest.raises(OutputError, match=r"did not come from one as it is now"):
        run(train(found, dataset, tmp_path / "new.keras", settings, device="cpu"))


@pytest.mark.trains
@pytest.mark.subprocess
def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from napari_segnet.__main__ import main

    path = written(tmp_path, "keras 2")
    data = write_dataset(tmp_path / "data", count=3)
    new = tmp_path / "taught.h5"
    settings = ["epochs=1", "steps_per_epoch=2", "batch_size=1", "crop_px=16"]
    options = [part for one in settings for part in ("--set", one)]
    main(["train", str(data), "-c", str(path), "-o", str(new), "--device", "cpu", "--json",
          *options])  # fmt: skip
    said = capsys.readouterr()
    assert said.out, said.err
    done = json.loads(said.out.splitlines()[-1])
    assert done["done"]
    assert "does not hold the state of the optimizer" in said.err
    assert main(["segment", str(data / "images" / "0.tif"), "-c", str(new), "-o",
                 str(tmp_path / "answer"), "--set", "device=cpu"]) == 0  # fmt: skip
    assert list((tmp_path / "answer").glob("*.tif*"))


@pytest.mark.trains
@pytest.mark.parametrize("name", ["taught.h5", "taught.safetensors"])
def test_what_was_told_stays_with_the_new_network(name: str, tmp_path: Path) -> None:
    from support.keras_files import functional, h5, image, layer

    from napari_segnet.__main__ import main

    layers = [
        image(None, None, 1),
        layer("Lambda", "scale", "input", function=["", None, None]),
        layer("Conv2D", "conv", "scale", filters=1, kernel_size=[3, 3], padding="same",
              activation="sigmoid"),
    ]  # fmt: skip
    held = [("conv/kernel:0", np.ones((3, 3, 1, 1), "f4")), ("conv/bias:0", np.zeros(1, "f4"))]
    path = h5(tmp_path / "net.h5", {"conv": held}, functional(layers))
    data, out = write_dataset(tmp_path / "data", count=2), tmp_path / name
    settings = ["epochs=1", "steps_per_epoch=1", "batch_size=1", "crop_px=16"]
    options = [part for one in settings for part in ("--set", one)]
    command = ["train", str(data), "-c", str(path), "-o", str(out), "--device", "cpu", *options]
    assert main(command) != 0  # it is asked first
    assert not out.exists()
    option = "--told" if name.endswith(".h5") else "--override"  # the former name works as well
    main([*command, option, "lambda=divide-255"])
    found = identify(out)
    assert found.program == ("keras" if name.endswith(".h5") else "")
    scales = [n for n in found.hparams["graph"]["nodes"] if n["operation"] == "rescale"]
    assert len(scales) == 1
