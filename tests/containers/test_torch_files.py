"""The two kinds of files of torch.save: what else may lie in them."""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_segnet.containers import open_tree, open_weights
from napari_segnet.containers._inert import Inert, plain
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError

both = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(value: Any, path: Path, zipped: bool = True, **options: Any) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def rewrite(path: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> None:
    """Write a zip again; ``change(name, data)`` returns new data or None to drop it."""
    with zipfile.ZipFile(path) as old:
        entries = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in entries:
            changed = change(name, data)
            if changed is not None:
                new.writestr(name, changed)


@both
def test_plain_values_are_read(zipped: bool, tmp_path: Path) -> None:
    values = {
        "epoch": 3,
        "big": 2**70,
        "loss": np.float64(0.25),
        "count": np.int64(7),
        "name": np.str_("x"),
        "args": argparse.Namespace(lr=0.1, layers=[1, 2], where=pathlib.PurePosixPath("/a/b")),
        "simple": types.SimpleNamespace(a=1),
        "array": np.arange(6, dtype=">i4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "set": {1, 2},
        "frozen": frozenset({"a"}),
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"ab"),
        "complex": 1 + 2j,
        "slice": slice(1, 2, 3),
        "range": range(3),
        "date": datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.UTC),
        "delta": datetime.timedelta(hours=1),
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2]),
        "size": torch.Size([1, 2]),
        "device": torch.device("cuda", 1),
        "dtype": torch.float16,
        "none": None,
        "truth": True,
        "text": "µm ü",
    }
    root = open_tree(save(values, tmp_path / "w.pth", zipped)).root
    for key in "epoch big loss count name set frozen bytes bytearray complex slice range".split():
        assert root[key] == values[key]
    for key in "date delta ordered default counter none truth text".split():
        assert root[key] == values[key]
    assert type(root["loss"]) is float
    assert root["args"] == {"lr": 0.1, "layers": [1, 2], "where": "/a/b"}
    assert root["simple"] == {"a": 1}
    assert root["deque"] == [1, 2]
    assert root["size"] == (1, 2)
    assert root["device"] == "cuda:1"
    assert str(root["dtype"]) == "torch.float16"
    np.testing.assert_array_equal(root["array"], values["array"])
    np.testing.assert_array_equal(root["fortran"], values["fortran"])
    copied = plain(root)
    assert copied["array"] == [[0, 1, 2], [3, 4, 5]]
    assert copied["date"] == "2024-05-06T07:08:00+00:00"
    assert copied["dtype"] == "torch.float16"
    assert copied["set"] == [1, 2]
    assert copied["bytes"] == "<2 bytes>"


@both
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_torch(zipped: bool, protocol: int, tmp_path: Path) -> None:
    value = {"a.w": torch.ones(2), "x": np.arange(3), "s": {1}, "n": np.float32(2)}
    root = open_tree(save(value, tmp_path / "w", zipped, pickle_protocol=protocol)).root
    assert root["a.w"].load().tolist() == [1, 1]
    assert root["x"].tolist() == [0, 1, 2]
    assert root["s"] == {1}
    assert root["n"] == 2


class Config:
    def __init__(self) -> None:
        self.width = 3


class Table(dict):  # type: ignore[type-arg]
    pass


class Words(list):  # type: ignore[type-arg]
    pass


@both
def test_unknown_classes_stay_inert(zipped: bool, tmp_path: Path) -> None:
    table, words = Table(a=1), Words([1, 2])
    table.note = "n"
    root = open_tree(save([Config(), table, words], tmp_path / "w", zipped)).root
    config, table, words = root
    assert isinstance(config, Inert)
    assert config.name.endswith("test_torch_files.Config")
    assert config.fields() == {"width": 3}
    assert table.fields() == {"note": "n", "a": 1}
    assert words.items == [1, 2]
    assert plain(config) == {"__class__": config.name, "width": 3}
    assert "Config" in repr(config)


@both
def test_a_whole_network_gives_its_state_dict(zipped: bool, tmp_path: Path) -> None:
    class_name = "Sequential"
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Sequential(torch.nn.PReLU())
    )
    network.n_classes = 4
    network.register_buffer("kept", torch.ones(1))
    network.register_buffer("dropped", torch.ones(1), persistent=False)
    save({"model": network, "epoch": 1}, tmp_path / "w", zipped)
    (first, *_) = open_weights(tmp_path / "w")
    expected = network.state_dict()
    assert first.wrapper == ("model",)
    assert list(first.tensors) == list(expected)
    for key, tensor in first.tensors.items():
        assert torch.equal(tensor.load(), expected[key])
    assert first.metadata["n_classes"] == 4
    assert first.metadata["epoch"] == 1
    assert first.metadata["__class__"].endswith(class_name)


@both
def test_files_of_a_gpu_need_none(zipped: bool, tmp_path: Path) -> None:
    path = save(
        {"a": torch.ones(2), "b": torch.nn.Parameter(torch.zeros(1))}, tmp_path / "w", zipped
    )
    data = path.read_bytes()
    if zipped:
        rewrite(
            path,
            lambda name, data: data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"),
        )
    else:
        path.write_bytes(data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    assert b"cuda:0" in path.read_bytes()
    root = open_tree(path).root
    assert root["a"].load().tolist() == [1, 1]
    assert root["b"].load().tolist() == [0]


def test_a_repacked_and_compressed_zip(tmp_path: Path) -> None:
    path = save({"a": torch.arange(1000.0)[3:], "b": torch.ones(0, 2)}, tmp_path / "w")
    rewrite(path, lambda name, data: data, zipfile.ZIP_DEFLATED)
    root = open_tree(path).root
    assert torch.equal(root["a"].load(), torch.arange(1000.0)[3:])
    assert root["b"].load().shape == (0, 2)


def test_a_file_of_a_big_endian_machine(tmp_path: Path) -> None:
    values = {
        "f": torch.arange(4.0),
        "i": torch.arange(3),
        "b": torch.tensor([True, False]),
        "c": torch.tensor([1 + 2j]),
    }
    path = save(values, tmp_path / "w")
    widths = {key: tensor.element_size() for key, tensor in values.items()}
    widths["c"] //= 2

    def swap(name: str, data: bytes) -> bytes:
        if name.endswith("byteorder"):
            return {"little": b"big", "big": b"little"}[sys.byteorder]
        folder, _, key = name.rpartition("/")
        if folder.endswith("/data"):
            return np.frombuffer(data, f"u{list(widths.values())[int(key)]}").byteswap().tobytes()
        return data

    rewrite(path, swap)
    for key, tensor in open_tree(path).root.items():
        assert torch.equal(tensor.load(), values[key])


def test_no_checksums(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = save({"a": torch.ones(3)}, tmp_path / "w")
    finally:
        torch.serialization.set_crc32_options(before)
    assert open_tree(path).root["a"].load().tolist() == [1, 1, 1]


def test_float8_in_a_legacy_file_is_refused_as_by_torch(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3).to(torch.float8_e4m3fn)
    path = save({"a": tensor.t()}, tmp_path / "w", False)
    with pytest.raises(UnsupportedWeightsError, match="Save the network again without"):
        open_tree(path)


def test_strides_are_kept(tmp_path: Path) -> None:
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    loaded = open_tree(save({"a": tensor}, tmp_path / "w")).root["a"].load()
    assert loaded.stride() == tensor.stride()
    assert torch.equal(loaded, tensor)


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (torch.eye(3).to_sparse(), r"sparse.*to_dense\(\)"),
        (torch.eye(3, device="meta"), "'meta' device"),
        (torch.tensor([1 + 1j]).conj(), r"conjugate.*resolve_conj\(\)"),
    ],
    ids=["sparse", "meta", "conjugate"],
)
def test_tensors_that_are_listed_but_not_loaded(
    tensor: torch.Tensor, match: str, tmp_path: Path
) -> None:
    reference = open_tree(save({"a": tensor}, tmp_path / "w")).root["a"]
    assert reference.shape == tuple(tensor.shape)
    with pytest.raises(UnsupportedWeightsError, match=match):
        reference.load()


class Numbers:
    """As ``pickle.dumps`` writes the numbers of a tensor: a pickle in the pickle."""

    def __reduce__(self) -> tuple[object, ...]:
        return torch.storage._load_from_bytes, (b"numbers",)


class Pickled:
    """As ``pickle.dumps`` writes a tensor."""

    def __reduce__(self) -> tuple[object, ...]:
        return torch._utils._rebuild_tensor_v2, (Numbers(), 0, (2, 3), (3, 1), True, {})


def test_a_pickle_inside_the_pickle_is_not_followed(tmp_path: Path) -> None:
    reference = open_tree(save({"a": Pickled()}, tmp_path / "w")).root["a"]
    assert reference.shape == (2, 3)
    with pytest.raises(UnsupportedWeightsError, match=r"second pickle; .*torch\.save"):
        reference.load()


def test_quantised_tensors(tmp_path: Path) -> None:
    """Written by hand: torch is about to drop quantised tensors."""
    pickled = torch_pickle(
        "ctorch._utils\n_rebuild_qtensor\n",
        storage="QInt8Storage",
        extra=b"((ctorch\nper_tensor_affine\nG\x3f\xf0\0\0\0\0\0\0K\0t\x89}t",
    )
    reference = open_tree(torch_file(tmp_path, pickled, bytes(6))).root["a"]
    assert (reference.shape, reference.dtype) == ((2, 3), "qint8")
    with pytest.raises(UnsupportedWeightsError, match=r"quantised \(qint8\).*float32"):
        reference.load()


def torch_pickle(
    call: str = "ctorch._utils\n_rebuild_tensor_v2\n",
    storage: str = "FloatStorage",
    numel: int = 6,
    offset: int = 0,
    shape: tuple[int, ...] = (2, 3),
    stride: tuple[int, ...] = (3, 1),
    key: str = "0",
    extra: bytes = b"\x89}t",
) -> bytes:
    """A pickle of ``{"a": tensor}`` with claims of one's own choice."""

    def number(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    identifier = (
        b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text(key) + text("cpu")
        + number(numel) + b"tQ"
    )  # fmt: skip
    if extra.startswith(b"(("):
        extra = extra[1:]
    arguments = b"(" + identifier + number(offset) + numbers(shape) + numbers(stride) + extra
    return b"\x80\x02}" + text("a") + call.encode() + arguments + b"Rs."


def torch_file(folder: Path, pickled: bytes, numbers: bytes, key: str = "0") -> Path:
    path = folder / "made.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr(f"archive/data/{key}", numbers)
        archive.writestr("archive/version", "3\n")
    return path


def test_the_made_file_is_one_that_torch_reads(tmp_path: Path) -> None:
    path = torch_file(tmp_path, torch_pickle(), np.arange(6, dtype="f4").tobytes())
    expected = torch.load(path, weights_only=True)["a"]
    assert torch.equal(open_tree(path).root["a"].load(), expected)


@pytest.mark.parametrize(
    ("claims", "match"),
    [
        ({"shape": (2, 4)}, "reaches to byte 28 of a block that has 24"),
        ({"offset": 1}, "reaches to byte 28"),
        ({"stride": (2**40, 1)}, "reaches to byte"),
        ({"stride": (-3, 1)}, "not a positive number"),
        ({"offset": -1}, "not a positive number"),
        ({"shape": (2**40, 2**40), "stride": (0, 0)}, "more numbers than any computer"),
        ({"stride": (1,)}, r"stride \(1,\)"),
        ({"numel": 7}, "should have 28 bytes but has 24"),
        ({"numel": -7}, "no name"),
        ({"key": "../../etc/passwd"}, "part archive/data/../../etc/passwd is missing"),
        ({"storage": "GhostStorage"}, "torch.GhostStorage is unknown"),
        ({"call": "ctorch._utils\n_rebuild_parameter\n"}, "do not fit together"),
    ],
)
def test_false_claims_are_refused(claims: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = torch_file(tmp_path, torch_pickle(**claims), bytes(24))
    with pytest.raises(BrokenWeightsError, match=rf"made\.pth is damaged or cut off.*{match}"):
        open_tree(path)


def test_a_part_of_the_zip_is_missing(tmp_path: Path) -> None:
    path = save({"a": torch.ones(2)}, tmp_path / "w.pth")
    rewrite(path, lambda name, data: None if name.endswith("data/0") else data)
    with pytest.raises(BrokenWeightsError, match=r"part w/data/0 is missing"):
        open_tree(path)


def test_a_compressed_part_is_damaged(tmp_path: Path) -> None:
    path = save({"a": torch.randn(1000)}, tmp_path / "w.pth")
    rewrite(path, lambda name, data: data, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("w/data/0")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 200 : info.header_offset + 400] = bytes(200)
    path.write_bytes(data)
    reference = open_tree(path).root["a"]
    with pytest.raises(BrokenWeightsError, match=r"part w/data/0 cannot be unpacked"):
        reference.load()


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_segnet.containers._zip._MAX_INDEX_BYTES", 1000)
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(3000))
    with pytest.raises(BrokenWeightsError, match=r"3,000 bytes, more than the 1,000"):
        open_tree(path)


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    path = save({"a": torch.ones(2)}, tmp_path / "w.pth")
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02")
    while start >= 0:
        data[start + 8] |= 1
        start = data.find(b"PK\x01\x02", start + 4)
    path.write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="zip file with a password"):
        open_tree(path)


def test_views_of_very_old_files(tmp_path: Path) -> None:
    """Until torch 0.4 a part of a storage was written as (key, first, length)."""

    class Old(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return value.identifier if isinstance(value, Stored) else None

    class Stored:
        def __init__(self, *identifier: Any) -> None:
            self.identifier = identifier

    class Tensor:
        def __init__(self, *args: Any) -> None:
            self.args = args

        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor, self.args

    whole = ("storage", torch.FloatStorage, "5", "cpu", 6)
    tree = {
        "whole": Tensor(Stored(*whole, None), 0, (6,), (1,)),
        "part": Tensor(Stored(*whole, ("6", 2, 3)), 1, (2,), (1,)),
    }
    out = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, out, protocol=2)
    Old(out, protocol=2).dump(tree)
    pickle.dump(["5"], out, protocol=2)
    out.write(struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes())
    path = tmp_path / "old.pth"
    path.write_bytes(out.getvalue())
    root = open_tree(path).root
    assert root["whole"].load().tolist() == [0, 1, 2, 3, 4, 5]
    assert root["part"].load().tolist() == [3, 4]
    data = out.getvalue()
    path.write_bytes(data.replace(struct.pack("<q", 6), struct.pack("<q", 5)))
    with pytest.raises(BrokenWeightsError, match="another length than listed"):
        open_tree(path)
    path.write_bytes(data[:-1])
    with pytest.raises(BrokenWeightsError, match="at least 1 bytes are missing at its end"):
        open_tree(path)


def test_real_files_are_what_torch_loads(data: Path) -> None:
    folder = data / "checkpoints"
    zipped = folder / "pytorch3dunet" / "best_checkpoint.pytorch"
    em = folder / "bioimageio_unet2d_fixed_shape" / "weights.pt"
    legacy = folder / "lwnet_wnet" / "wnet_drive.pth"
    for path, wrapper in ((zipped, ()), (em, ()), (legacy, ("model_state_dict",))):
        # the legacy one holds numpy scalars, hence not weights_only; it is a known file
        expected = torch.load(path, map_location="cpu", weights_only=path != legacy)
        for key in wrapper:
            expected = expected[key]
        (first, *_rest) = open_weights(path)
        assert first.wrapper == wrapper
        assert list(first.tensors) == list(expected)
        for key, reference in first.tensors.items():
            assert torch.equal(reference.load(), expected[key])


def test_the_retinal_network_tells_its_scores_but_not_its_optimiser(data: Path) -> None:
    readings = open_weights(data / "checkpoints" / "lwnet_wnet" / "wnet_drive.pth")
    assert all("optimizer_state_dict" not in reading.wrapper for reading in readings)
    assert "stats" in readings[0].metadata
    assert os.path.basename(readings[0].path) == "wnet_drive.pth"


@both
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
def test_a_network_of_a_package_that_is_named_as_one_of_python(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, unet = types.ModuleType("code"), types.ModuleType("code.unet")

    class UNet(torch.nn.Sequential):
        pass

    UNet.__module__, UNet.__qualname__ = "code.unet", "UNet"
    vars(unet)["UNet"] = UNet
    for module in (code, unet):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    path = save(UNet(torch.nn.Conv2d(1, 2, 3)), tmp_path / "whole.pth", zipped)
    monkeypatch.undo()  # who opens the file has no such package
    (first, *_) = open_weights(path)
    assert set(first.tensors) == {"0.weight", "0.bias"}


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
def test_a_module_of_a_legacy_file_is_no_class_of_python(tmp_path: Path) -> None:
    path = save(torch.nn.Conv2d(1, 2, 3), tmp_path / "whole.pth", zipped=False)
    data = path.read_bytes()
    named = b"ctorch.nn.modules.conv\nConv2d\n"
    assert named in data
    path.write_bytes(data.replace(named, b"ccollections\nOrderedDict\n", 1))
    with pytest.raises(BrokenWeightsError, match="class that Python itself has"):
        open_tree(path)
