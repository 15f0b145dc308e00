"""Networks in files of torch.export answer as torch; none of them is run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import napari_segnet as sn
from napari_segnet.errors import (
    BrokenWeightsError,
    SettingsError,
    UnsupportedWeightsError,
    WeightsError,
)
from napari_segnet.recognition import identify

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class UNet(nn.Module):
    """Everything that exports write in several ways: norms, a gate, a skip brought to size."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU())
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Linear(4, 4)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.drop = nn.Dropout2d(0.5)
        self.last = nn.Conv2d(8, 3, 1)
        self.register_buffer("mean", torch.tensor([3.0, 5.0])[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.first((x - self.mean) / 10)
        low = self.second(self.pool(skip))
        low = low * torch.sigmoid(self.gate(self.squeeze(low).flatten(1)))[:, :, None, None]
        high = F.interpolate(self.up(low), size=skip.shape[2:], mode="bilinear")
        return self.last(self.drop(torch.cat([skip, high], dim=1)))


def made(network: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for one in network.parameters():
        nn.init.normal_(one, 0, 0.5)
    for name, one in network.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(one, 0.5, 2)
    return network.eval()


def exported(network: nn.Module, path: Path, *, free: bool = True, core: bool = False) -> Path:
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 2: auto, 3: auto},) if free else None
    program = torch.export.export(network, (torch.rand(2, 2, 16, 20),), dynamic_shapes=shapes)
    program = program.run_decompositions() if core else program
    torch.export.save(program, str(path))
    return path


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return made(UNet())


@pytest.fixture(scope="module")
def written(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(network, tmp_path_factory.mktemp("pt2") / "a.pt2")


def changed(path: Path, new: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Write a copy in which parts are changed, or left out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                archive.writestr(name, data)
    return new


def edited(path: Path, new: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Write a copy with another program."""

    def change(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        said = json.loads(data)
        edit(said)
        return json.dumps(said).encode()

    return changed(path, new, change)


def require_equal(path: Path, network: nn.Module, *sizes: tuple[int, int]) -> None:
    module = sn.load(identify(path), device="cpu").module
    for size in sizes:
        image = torch.rand(2, 2, *size)
        with torch.no_grad():
            assert torch.allclose(module(image), network(image), atol=1e-5)


def test_answers_as_torch_does(written: Path, network: nn.Module) -> None:
    checkpoint = identify(written)
    assert (checkpoint.program, checkpoint.channels) == ("torch-export", 2)
    assert checkpoint.size.multiple == (1, 1)
    assert checkpoint.prepare == ()
    assert "written by torch 2" in checkpoint.known["graph"].why
    require_equal(written, network, (16, 20), (13, 19))


@pytest.mark.sample(1)
@pytest.mark.parametrize(("free", "core"), [(False, False), (True, True)])
def test_fixed_sizes_and_core_operations(
    free: bool, core: bool, network: nn.Module, tmp_path: Path
) -> None:
    path = exported(network, tmp_path / "a.pt2", free=free, core=core)
    require_equal(path, network, (16, 20), (24, 32))
    said = identify(path).known["size"].why
    assert ("16 x 20 pixels" in said) == (not free)


def test_programs_of_older_torch_answer_alike(
    written: Path, network: nn.Module, tmp_path: Path
) -> None:
    """Weights in a zip of their own (to 2.8), everything in one folder (to 2.6), no kinds."""
    state = io.BytesIO()
    torch.save(network.state_dict(), state)

    def newer(name: str, data: bytes) -> bytes | None:
        return None if "/data/weights/" in name else data

    path = changed(written, tmp_path / "b.pt2", newer)
    with zipfile.ZipFile(path, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{folder}/data/weights/model.pt", state.getvalue())
    require_equal(path, network, (16, 20))

    with zipfile.ZipFile(written) as archive:
        said = json.loads(archive.read(f"{folder}/models/model.json"))
    said["schema_version"], said["torch_version"] = {"major": 6, "minor": 1}, "2.4.0"
    for node in said["graph_module"]["graph"]["nodes"]:
        for one in node["inputs"]:
            del one["kind"]
    with zipfile.ZipFile(tmp_path / "c.pt2", "w") as archive:
        archive.writestr("version", "6.1")
        archive.writestr("serialized_exported_program.json", json.dumps(said))
        archive.writestr("serialized_state_dict.pt", state.getvalue())
        archive.writestr("serialized_constants.pt", b"")
        archive.writestr("serialized_example_inputs.pt", b"a pickle that nobody opens")
    require_equal(tmp_path / "c.pt2", network, (16, 20))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        both = self.conv(torch.cat([a, b], 1))
        return {"mask": both[:, :1], "edges": both[:, 1:], "deep": F.max_pool2d(both, 2)}


def test_inputs_and_outputs_by_their_names(tmp_path: Path) -> None:
    network, path = made(Named()), tmp_path / "a.pt2"
    auto = torch.export.Dim.AUTO
    shape = {2: auto, 3: auto}
    images = (torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))
    program = torch.export.export(network, images, dynamic_shapes=(shape, shape))
    torch.export.save(program, str(path))
    checkpoint = identify(path)
    assert [output.role for output in checkpoint.outputs] == ["foreground", "boundary"]
    assert any("2 inputs are the channels of one image: a, b" in n for n in checkpoint.notes)
    assert any("left out: deep" in note for note in checkpoint.notes)
    module = sn.load(checkpoint, device="cpu").module
    with torch.no_grad():
        found, expected = module(torch.cat(images, 1)), network(*images)
    assert torch.allclose(found, torch.cat([expected["mask"], expected["edges"]], 1), atol=1e-6)


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(self.conv(x), 1)


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).to(torch.int64).float()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Sorted, r"does torch\.ops\.aten\.cumsum\.default, which is not read"),
        (Rounded, "rounds values of the image to whole numbers"),
    ],
)
def test_what_is_not_read_is_named(kind: type, message: str, tmp_path: Path) -> None:
    path = exported(made(kind()), tmp_path / "a.pt2", free=False)
    with pytest.raises(UnsupportedWeightsError, match=f"a.pt2 is a program of torch.*{message}"):
        identify(path)


def test_another_version_of_the_schema_is_refused(written: Path, tmp_path: Path) -> None:
    new = edited(written, tmp_path / "b.pt2", lambda said: said["schema_version"].update(major=9))
    with pytest.raises(UnsupportedWeightsError, match="schema is of version 9, where 5 to 8"):
        identify(new)


def test_inputs_that_are_no_images_are_refused(written: Path, tmp_path: Path) -> None:
    def flat(said: dict[str, Any]) -> None:
        for row in ("sizes", "strides"):
            said["graph_module"]["graph"]["tensor_values"]["x"][row].pop()

    with pytest.raises(UnsupportedWeightsError, match="input x has 3 axes, so it is no image"):
        identify(edited(written, tmp_path / "b.pt2", flat))

    def unknown(said: dict[str, Any]) -> None:
        shape = said["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        shape[1] = shape[2]

    with pytest.raises(UnsupportedWeightsError, match="not say how many channels"):
        identify(edited(written, tmp_path / "b.pt2", unknown))


def test_a_program_without_its_graph_is_damaged(written: Path, tmp_path: Path) -> None:
    new = edited(written, tmp_path / "b.pt2", lambda said: said["graph_module"].pop("signature"))
    with pytest.raises(BrokenWeightsError, match=r"b\.pt2 is a damaged program of torch.export"):
        identify(new)


def test_nothing_can_be_told(written: Path) -> None:
    with pytest.raises(SettingsError, match="says itself what it is, so join cannot be told"):
        identify(written, {"join": "add"})


def test_ranges_stand_on_the_card(network: nn.Module, tmp_path: Path) -> None:
    dim = torch.export.Dim
    shapes = ({0: dim("n"), 2: dim("h", min=8, max=640), 3: dim("w", min=8)},)
    program = torch.export.export(network, (torch.rand(2, 2, 16, 20),), dynamic_shapes=shapes)
    torch.export.save(program, str(tmp_path / "a.pt2"))
    assert "8 to 640 x 8 or more pixels" in identify(tmp_path / "a.pt2").known["size"].why


TRAPS = ("data/sample_inputs/model.pt", "extra/trap.pkl")


@pytest.mark.parametrize("where", TRAPS)
def test_pickles_inside_are_not_opened(
    where: str, written: Path, network: nn.Module, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    code = f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()
    path = changed(written, tmp_path / "b.pt2", lambda n, data: code if n.endswith(where) else data)
    if not where.startswith("data"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(archive.namelist()[0].partition("/")[0] + f"/{where}", code)
        require_equal(path, network, (16, 20))
    else:  # its list is read, since PyTorch reads it, too
        with pytest.raises(BrokenWeightsError, match="is no zip file"):
            identify(path)
    assert not trap.exists()


def test_pickled_weights_are_not_opened(written: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    def change(name: str, data: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            said = json.loads(data)
            said["config"]["last.bias"].update(use_pickle=True, tensor_meta=None)
            return json.dumps(said).encode()
        return data

    with pytest.raises(WeightsError, match=r"b\.pt2"):
        identify(changed(written, tmp_path / "b.pt2", change))
    assert not trap.exists()


HOSTILE = (
    "torch.ops.aten.__import__.default",
    "os.system",
    "torch.ops.prim.load_library.default",
    "builtins.eval",
    "_operator.methodcaller",
    "torch.load",
)


@pytest.mark.parametrize("target", HOSTILE)
def test_names_are_looked_up_in_a_list_only(target: str, written: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    def edit(said: dict[str, Any]) -> None:
        node = said["graph_module"]["graph"]["nodes"][3]
        node["target"] = target
        node["inputs"] = [{"name": "a", "arg": {"as_string": f"touch {trap}"}, "kind": 1}]

    with pytest.raises(UnsupportedWeightsError, match=r"which is not read|there is no operation"):
        identify(edited(written, tmp_path / "b.pt2", edit))
    assert not trap.exists()


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(4))
def test_changed_programs_give_no_other_error(seed: int, written: Path, tmp_path: Path) -> None:
    source = np.random.default_rng(seed)

    def spots(value: Any) -> list[tuple[Any, Any]]:
        """Return every place in the JSON."""
        found = []
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in items:
            found.append((value, key))
            if isinstance(one, dict | list):
                found += spots(one)
        return found

    def edit(said: dict[str, Any]) -> None:
        for _ in range(int(source.integers(1, 4))):
            every = spots(said["graph_module"])
            holder, key = every[int(source.integers(len(every)))]
            other, there = every[int(source.integers(len(every)))]
            way = source.integers(5)
            if way == 0:
                holder[key] = other[there]
            elif way == 1:
                holder[key] = [None, 2**70, -1, "", [], {}, 1e300, True][int(source.integers(8))]
            elif way == 2 and isinstance(holder, dict):
                del holder[key]
            elif way == 3 and isinstance(holder, list):
                holder.insert(int(source.integers(len(holder) + 1)), holder[key])
            elif isinstance(holder[key], int):
                holder[key] = int(source.integers(-3, 2**20))

    for number in range(20):
        try:
            identify(edited(written, tmp_path / f"b{number}.pt2", edit))
        except WeightsError as error:
            assert f"b{number}.pt2" in str(error)
