"""Zip files that say that they are damaged are not believed; what was read has one hash."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_segnet as sn
from napari_segnet.card import card_of
from napari_segnet.containers import open_tree
from napari_segnet.errors import BrokenWeightsError, WeightsError

NUMBERS = torch.arange(64, dtype=torch.float32)


def saved(path: Path, tensors: Any, *, checksums: bool = True) -> Path:
    torch.serialization.set_crc32_options(checksums)
    try:
        torch.save(tensors, path)
    finally:
        torch.serialization.set_crc32_options(True)
    return path


def flip(path: Path, old: bytes, new: bytes, count: int = 1) -> None:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, count))


def test_one_bit_of_the_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"a.weight": NUMBERS})
    flip(path, np.float32(17).tobytes(), np.float32(-17).tobytes())
    reference = open_tree(path).root["a.weight"]
    with pytest.raises(BrokenWeightsError, match=r"a\.pth is damaged: the numbers .* checksum"):
        reference.load()


def test_one_bit_outside_of_the_part_that_is_read(tmp_path: Path) -> None:
    """A view is not whole where its block is not: the block is checked, once."""
    path = saved(tmp_path / "a.pth", {"a.weight": NUMBERS[:5]})
    assert torch.equal(open_tree(path).root["a.weight"].load(), NUMBERS[:5])
    flip(path, np.float32(60).tobytes(), np.float32(61).tobytes())
    with pytest.raises(BrokenWeightsError, match="checksum"):
        open_tree(path).root["a.weight"].load()


@pytest.mark.parametrize("part", ["data.pkl", "version", "byteorder"])
def test_one_bit_of_the_list(tmp_path: Path, part: str) -> None:
    path = saved(tmp_path / "a.pth", {"a.weight": NUMBERS})
    with zipfile.ZipFile(path) as archive:
        content = archive.read(f"a/{part}")
    if part == "data.pkl":
        flip(path, b"a.weight", b"b.weight")
    else:
        flip(path, content, bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BrokenWeightsError, match=rf"part a/{part} cannot be read .*checksum"):
        open_tree(path)


@pytest.mark.parametrize(
    ("field", "words"), [("CRC", "checksum"), ("file_size", "has not the .* bytes that are said")]
)
def test_a_packed_part_that_is_not_what_is_said_of_it(
    tmp_path: Path, field: str, words: str
) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(saved(tmp_path / "b.pth", {"a.weight": NUMBERS})) as old:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
            listed = new.getinfo("b/data.pkl")
            setattr(listed, field, getattr(listed, field) - 1)
    with pytest.raises(BrokenWeightsError, match=rf"part b/data\.pkl cannot be read .*{words}"):
        open_tree(path)


def test_no_checksums_is_said(tmp_path: Path) -> None:
    """All zero means that torch was told to store none; the numbers are read as they are."""
    tree = open_tree(saved(tmp_path / "a.pth", {"a.weight": NUMBERS}, checksums=False))
    assert torch.equal(tree.root["a.weight"].load(), NUMBERS)
    (note,) = tree.notes
    assert note.startswith("a.pth stores no checksums (they are all zero)")
    assert open_tree(saved(tmp_path / "b.pth", {"a.weight": NUMBERS})).notes == ()


def test_a_single_zero_is_a_wrong_checksum(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"a.weight": NUMBERS})
    with zipfile.ZipFile(path) as archive:
        (crc,) = [i.CRC for i in archive.infolist() if i.filename == "a/data/0"]
    flip(path, crc.to_bytes(4, "little"), bytes(4), count=9)
    with pytest.raises(BrokenWeightsError, match="checksum"):
        open_tree(path).root["a.weight"].load()


def test_two_parts_of_one_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"a.weight": NUMBERS})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/data/0", bytes(256))
    with pytest.raises(BrokenWeightsError, match=r"lists its part 0 twice"):
        open_tree(path)


@pytest.mark.parametrize("order", [b"mittle", b"little\n", b"Little", b"\xff\xfe"])
def test_unknown_byte_orders(tmp_path: Path, order: bytes) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(saved(tmp_path / "b.pth", {"a.weight": NUMBERS})) as old:
        with zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, order if name.endswith("byteorder") else old.read(name))
    with pytest.raises(BrokenWeightsError, match=r"byte order .* neither little nor big"):
        open_tree(path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_part_with_two_names(tmp_path: Path, packed: int) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(saved(tmp_path / "b.pth", {"a.weight": NUMBERS})) as old:
        with zipfile.ZipFile(path, "w", packed) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
    flip(path, b"b/data/0", b"b/d\xd5ta/0")
    with pytest.raises(BrokenWeightsError, match=r"a\.pth is damaged"):
        open_tree(path).root["a.weight"].load()


# ---- Pickles ----


def test_text_that_is_none(tmp_path: Path) -> None:
    array = np.array([0x41, 0x7FFFFFFF], np.uint32).view("<U2")
    path = saved(tmp_path / "a.pth", {"a.weight": NUMBERS, "names": array})
    with pytest.raises(BrokenWeightsError, match="numbers that are no letters"):
        open_tree(path)
    names = np.array(["cell", "Kern ü"])
    root = open_tree(saved(tmp_path / "b.pth", {"a.weight": NUMBERS, "names": names})).root
    assert root["names"].tolist() == names.tolist()


def test_a_protocol_that_is_an_array(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save({"a.weight": NUMBERS}, file, _use_new_zipfile_serialization=False)
    data = file.getvalue()
    number = pickle.dumps(1001, protocol=2)
    assert number in data
    path = tmp_path / "a.pth"
    path.write_bytes(data.replace(number, pickle.dumps(np.arange(3), protocol=2), 1))
    with pytest.raises(BrokenWeightsError, match="unknown protocol number"):
        open_tree(path)


# ---- The hash is that of what was read ----


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    shutil.copy(sn.identify("nuclei").path, path)
    return path


def other(path: Path) -> bytes:
    """Replace a file by one of the same size and time; return what was there."""
    data, state = path.read_bytes(), path.stat()
    new = bytearray(data)
    new[-3] ^= 64
    part = path.with_name("part")
    part.write_bytes(new)
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    part.replace(path)
    return data


def test_a_file_replaced_before_it_is_loaded(network: Path) -> None:
    checkpoint = sn.identify(network)
    other(network)
    with pytest.raises(WeightsError, match=r"net\.safetensors has changed since it was recognised"):
        sn.load(checkpoint, "cpu")
    with pytest.raises(WeightsError, match="Open it again to use what is there now"):
        _ = checkpoint.sha256


def test_a_file_replaced_after_it_was_loaded(network: Path) -> None:
    """What ran is what the origin says, whatever lies there by now."""
    checkpoint = sn.identify(network)
    sn.load(checkpoint, "cpu")
    old = other(network)
    image = sn.Image(data=np.zeros((64, 64), np.uint8), axes="yx")
    made = sn.run(sn.segment(checkpoint, image, sn.PredictSettings(device="cpu")))
    assert made.origin.checkpoint["sha256"] == hashlib.sha256(old).hexdigest()
    assert sn.identify(network).sha256 == hashlib.sha256(network.read_bytes()).hexdigest()


def test_the_card_and_the_origin_say_that_there_are_no_checksums(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    from napari_segnet.__main__ import main

    path = tmp_path / "net.pth"
    metadata = json.loads(
        network.read_bytes()[8 : 8 + int.from_bytes(network.read_bytes()[:8], "little")]
    )
    saved(path, {"state_dict": load_file(network), **metadata["__metadata__"]}, checksums=False)
    checkpoint = sn.identify(path, {})
    assert "stores no checksums" in card_of(checkpoint)["notes"][0]
    image = sn.Image(data=np.zeros((64, 64), np.uint8), axes="yx")
    made = sn.run(sn.segment(checkpoint, image, sn.PredictSettings(device="cpu")))
    assert any("stores no checksums" in note for note in made.origin.notes)
    assert main(["inspect", str(path)]) == 0
    assert "note: net.pth stores no checksums" in capsys.readouterr().out
