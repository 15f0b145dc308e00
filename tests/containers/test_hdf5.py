"""HDF5 reaches outside its file and allocates what it claims: here it does neither."""

from __future__ import annotations

import os
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from support.keras_files import h5, keras_zip, small

from napari_segnet.containers import TensorRef, open_tree
from napari_segnet.errors import (
    BrokenWeightsError,
    SegnetError,
    UnsafeWeightsError,
    UnsupportedWeightsError,
    WeightsError,
)

OLD = {"libver": "earliest"}
BLOSC = 32001
"""A filter that is no part of HDF5: https://github.com/HDFGroup/hdf5_plugins"""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that no network may reach."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["conv/kernel:0"] = np.full((3, 3, 1, 1), 7, "float32")
    return path


@pytest.fixture
def network(tmp_path: Path) -> Path:
    config, weights = small()
    return h5(tmp_path / "net.h5", weights, config)


def kernel(path: Path) -> TensorRef:
    reference: TensorRef = open_tree(path).root["conv/conv/kernel:0"]
    return reference


def changed(path: Path, change: Callable[[h5py.Group], None]) -> Path:
    """Let the weights of the convolution be something else."""
    with h5py.File(path, "r+") as file:
        group = file["model_weights/conv"]
        del group["conv"]
        change(group)
    return path


def test_tensors_are_those_that_h5py_reads(network: Path) -> None:
    with h5py.File(network) as file:
        expected = file["model_weights/conv/conv/kernel:0"][()]
    found = kernel(network)
    assert found.shape == (3, 3, 1, 1)
    assert found.dtype == "float32"
    assert np.array_equal(found.load().numpy(), expected)


@pytest.mark.parametrize(
    "how", [{"chunks": True}, {"compression": "gzip", "shuffle": True}, {"fletcher32": True}]
)
def test_chunks_and_built_in_filters_are_read(tmp_path: Path, how: dict[str, object]) -> None:
    config, weights = small()
    numbers = {"input": [], "conv": [weights["conv"][0], ("conv/bias:0", np.ones(1, "float32"))]}
    path = h5(tmp_path / "net.h5", numbers, config, **how)
    assert np.array_equal(kernel(path).load().numpy(), weights["conv"][0][1])


@pytest.mark.parametrize("chunk", [None, (3, 1, 1, 1), (2, 2, 1, 1)])
def test_numbers_that_are_smaller_in_the_file(network: Path, chunk: tuple[int, ...] | None) -> None:
    """bfloat16 of HDF5, which numpy has not: they come as float32."""
    numbers = np.arange(9, dtype="f4").reshape(3, 3, 1, 1)
    plist, kind = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5t.IEEE_F32LE.copy()
    if chunk:
        plist.set_chunk(chunk)
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    with h5py.File(network, "r+") as file:
        group = file["model_weights/conv/conv"]
        del group["kernel:0"]
        space = h5py.h5s.create_simple(numbers.shape)
        held = h5py.h5d.create(group.id, b"kernel:0", kind, space, plist)
        held.write(h5py.h5s.ALL, h5py.h5s.ALL, numbers)
    assert np.array_equal(kernel(network).load().numpy(), numbers)


@pytest.mark.parametrize("kind", ["<f8", ">f4", "<f2", "<i4"])
def test_kinds_of_numbers(tmp_path: Path, kind: str) -> None:
    numbers = np.arange(9).reshape(3, 3, 1, 1).astype(kind)
    config, _ = small()
    path = h5(tmp_path / "net.h5", {"conv": [("conv/kernel:0", numbers)]}, config)
    loaded = kernel(path).load()
    assert str(loaded.dtype) == f"torch.{np.dtype(kind).newbyteorder('=').name}"
    assert loaded.flatten().tolist() == list(range(9))


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_weights_inside_a_zip(tmp_path: Path, packed: int) -> None:
    config, weights = small()
    path = keras_zip(
        tmp_path / "net.keras", {"conv2d": weights["conv"]}, config, compression=packed
    )
    root = open_tree(path).root
    assert np.array_equal(root["layers/conv2d/vars/0"].load().numpy(), weights["conv"][0][1])


def test_long_lists_lie_in_chunks(tmp_path: Path) -> None:
    config, weights = small()
    path = h5(tmp_path / "net.h5", weights, config)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        del group.attrs["layer_names"]
        group.attrs["layer_names0"] = [b"input"]
        group.attrs["layer_names1"] = ["conv"]
    assert list(open_tree(path).metadata["layers"]) == ["input", "conv"]


def test_a_layer_without_weights_gets_none_of_a_layer_below_its_name(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv1", b"conv1/conv"]
        file.create_group("conv1").attrs["weight_names"] = []
        inner = file.create_group("conv1/conv")
        inner.attrs["weight_names"] = [b"kernel:0"]
        inner["kernel:0"] = np.ones((3, 3), "float32")
    layers = open_tree(path).metadata["layers"]
    assert layers == {"conv1": [], "conv1/conv": ["conv1/conv/kernel:0"]}


def test_a_bomb_in_a_zip(tmp_path: Path) -> None:
    config, _ = small()
    zeros = [("kernel", np.zeros((1, 1, 1000, 10000), "float32"))]
    path = keras_zip(
        tmp_path / "net.keras", {"conv2d": zeros}, config, compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(BrokenWeightsError, match=r"its weights claim to be .* bytes, packed into"):
        open_tree(path)


# ---- Out of the file -------------------------------------------------------------------


def external_link(group: h5py.Group, secret: Path) -> None:
    group["conv"] = h5py.ExternalLink(str(secret), "conv")


def soft_link(group: h5py.Group, secret: Path) -> None:
    group["conv"] = h5py.SoftLink("/model_weights")


def link_to_dataset(group: h5py.Group, secret: Path) -> None:
    group["conv/kernel:0"] = h5py.ExternalLink(str(secret), "conv/kernel:0")


@pytest.mark.parametrize("leave", [external_link, soft_link, link_to_dataset])
def test_links_are_not_followed(
    network: Path, secret: Path, leave: Callable[[h5py.Group, Path], None]
) -> None:
    changed(network, lambda group: leave(group, secret))
    with pytest.raises(UnsafeWeightsError, match="a link to another place or file, which is never"):
        open_tree(network)


def test_numbers_in_another_file_are_not_read(network: Path, secret: Path) -> None:
    def change(group: h5py.Group) -> None:
        group.create_dataset("conv/kernel:0", (3, 3, 1, 1), "f4", external=[(str(secret), 0, 36)])

    changed(network, change)
    with pytest.raises(UnsafeWeightsError, match="they lie in another file, which is never read"):
        open_tree(network)


def test_virtual_numbers_are_not_read(network: Path, secret: Path) -> None:
    def change(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((3, 3, 1, 1), "f4")
        layout[...] = h5py.VirtualSource(secret, "conv/kernel:0", (3, 3, 1, 1))
        group.create_virtual_dataset("conv/kernel:0", layout)

    changed(network, change)
    with pytest.raises(UnsafeWeightsError, match="they lie in another file, which is never read"):
        open_tree(network)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_nothing_outside_is_even_opened(network: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it would wait for ever

    def change(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((3, 3, 1, 1), "f4", maxshape=(None, 3, 1, 1))
        source = h5py.VirtualSource(str(pipe), "a", (3, 3, 1, 1), maxshape=(None, 3, 1, 1))
        layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
        group.create_virtual_dataset("conv/kernel:0", layout)

    changed(network, change)
    with pytest.raises(UnsafeWeightsError):
        open_tree(network)


def test_filter_plugins_are_not_loaded(network: Path) -> None:
    def change(group: h5py.Group) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((3, 3, 1, 1))
        plist.set_filter(BLOSC, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((3, 3, 1, 1))
        inner = group.create_group("conv").id
        h5py.h5d.create(inner, b"kernel:0", h5py.h5t.NATIVE_FLOAT, space, plist)

    changed(network, change)
    with pytest.raises(UnsupportedWeightsError, match="the filter 32001, a plugin of HDF5"):
        open_tree(network)


# ---- More than there is ----------------------------------------------------------------


def test_numbers_that_were_never_written(network: Path) -> None:
    def change(group: h5py.Group) -> None:
        group.create_dataset("conv/kernel:0", (3, 3, 10**6, 10**6), "f4", chunks=(3, 3, 8, 8))

    changed(network, change)
    with pytest.raises(BrokenWeightsError, match="claims 36,000,000,000,000 bytes that are not"):
        open_tree(network)


def test_numbers_that_are_packed_beyond_all_packing(network: Path) -> None:
    def change(group: h5py.Group) -> None:
        numbers = group.create_dataset(
            "conv/kernel:0", (1, 1, 10**5, 10**5), "f4", chunks=(1, 1, 10, 10), compression="gzip"
        )
        numbers[0, 0, :10, :10] = 1

    changed(network, change)
    with pytest.raises(BrokenWeightsError, match="bytes that are not there"):
        open_tree(network)


def test_a_chunk_larger_than_the_file(network: Path) -> None:
    def change(group: h5py.Group) -> None:
        numbers = group.create_dataset(
            "conv/kernel:0", (1,), "f4", chunks=(2**28,), maxshape=(None,), compression="gzip"
        )
        assert numbers.chunks == (2**28,)

    changed(network, change)
    with pytest.raises(BrokenWeightsError, match="bytes that are not there"):
        open_tree(network)


def test_groups_in_a_circle(network: Path) -> None:
    def change(group: h5py.Group) -> None:
        inner = group.create_group("conv")
        inner["kernel:0"] = np.ones((3, 3, 1, 1), "float32")
        inner["bias:0"] = np.ones(1, "float32")
        inner["again"] = group

    changed(network, change)
    assert list(open_tree(network).root) == ["conv/conv/kernel:0", "conv/conv/bias:0"]


def test_groups_too_deep(network: Path) -> None:
    changed(network, lambda group: group.create_group("/".join(["conv"] * 200)))
    with pytest.raises(BrokenWeightsError, match="groups inside of groups more than 64 deep"):
        open_tree(network)


def test_too_many_groups(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_segnet.containers import _hdf5

    monkeypatch.setattr(_hdf5, "MOST_NODES", 50)

    def change(group: h5py.Group) -> None:
        for number in range(60):
            group.create_group(f"conv/{number}")

    changed(network, change)
    with pytest.raises(BrokenWeightsError, match="more than 50 parts, which no network has"):
        open_tree(network)


def test_attributes_that_are_too_large(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_segnet.containers import _hdf5

    monkeypatch.setattr(_hdf5, "LARGEST_TEXT", 8)
    with pytest.raises(BrokenWeightsError, match="more than any network says of itself"):
        open_tree(network)


def test_a_heap_of_texts_in_which_hdf5_would_search_for_ever(network: Path) -> None:
    data = network.read_bytes()
    heap = data.index(b"GCOL")
    size = int.from_bytes(data[heap + 8 : heap + 16], "little")
    place = heap + 16
    while number := int.from_bytes(data[place : place + 2], "little"):
        held = int.from_bytes(data[place + 8 : place + 16], "little")
        place += 16 + -(-held // 8) * 8
    assert number == 0
    assert place < heap + size
    network.write_bytes(data[: place + 8] + bytes(8) + data[place + 16 :])
    with pytest.raises(BrokenWeightsError, match="claims a text that is not there"):
        open_tree(network)


def test_texts_that_claim_to_be_longer_than_the_file(network: Path) -> None:
    data = network.read_bytes()
    at = data.index(b"model_config\0")
    with h5py.File(network) as file:
        length = len(file.attrs["model_config"]).to_bytes(4, "little")
    place = data.index(length, at)
    network.write_bytes(data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BrokenWeightsError, match="claims a text that is not there"):
        open_tree(network)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_texts_whose_letters_claim_many_bytes(network: Path) -> None:
    """HDF5 takes as much memory as the letters would need all together (in files of 1.10)."""
    from napari_segnet.containers._hdf5_bytes import IMPOSSIBLE, text_lengths

    data = network.read_bytes()
    at = data.index(b"model_config\0")
    with h5py.File(network) as file:
        length = len(file.attrs["model_config"])
    place = data.index(b"\x10\0\0\0\1\0\0\0", at) + 4  # letters of one byte
    assert max(text_lengths(data, b"model_config")) == length
    large = data[:place] + b"\1\0\2\0" + data[place + 4 :]
    assert max(text_lengths(large, b"model_config")) == IMPOSSIBLE


def test_a_file_that_is_cut_off(network: Path) -> None:
    network.write_bytes(network.read_bytes()[:-100])
    with pytest.raises(BrokenWeightsError, match=r"cut off: it should have .* bytes but has"):
        open_tree(network)


def test_a_description_that_is_no_json(network: Path) -> None:
    with h5py.File(network, "r+") as file:
        file.attrs["model_config"] = "{" * 100
    with pytest.raises(BrokenWeightsError, match="the description of its layers cannot be read as"):
        open_tree(network)


def test_a_description_that_is_nested_too_deep(network: Path) -> None:
    with h5py.File(network, "r+") as file:
        file.attrs["model_config"] = "[" * 100_000
    with pytest.raises(BrokenWeightsError, match="cannot be read as JSON"):
        open_tree(network)


def test_a_file_without_a_network(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.zeros((4, 4))
        file["link"] = h5py.SoftLink("/raw")
    with pytest.raises(WeightsError):
        open_tree(path)


def test_images_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.zeros((4, 4))
    with pytest.raises(UnsupportedWeightsError, match=r"no network that Keras wrote.*save them as"):
        open_tree(path)


# ---- Damage ----------------------------------------------------------------------------


def read_all(path: Path) -> None:
    tree = open_tree(path)
    for reference in tree.root.values():
        if isinstance(reference, TensorRef):
            reference.load()


@pytest.mark.parametrize("kind", ["h5", "zip", "gzip"])
def test_any_damage_is_one_of_our_errors(tmp_path: Path, kind: str) -> None:
    mutated(tmp_path, kind, 150)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["h5", "zip", "gzip"])
def test_a_lot_of_damage_is_one_of_our_errors(tmp_path: Path, kind: str) -> None:
    mutated(tmp_path, kind, 2000)


def mutated(folder: Path, kind: str, count: int) -> None:
    config, weights = small()
    path = folder / "net"
    if kind == "zip":
        keras_zip(path, {"conv2d": weights["conv"]}, config)
    else:
        h5(path, weights, config, **({"compression": "gzip"} if kind == "gzip" else {}))
    good = path.read_bytes()
    source, opened = random.Random(kind), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        data = bytearray(good)
        for _ in range(source.choice([1, 1, 2, 8])):
            # Most of the first kilobytes is structure, most of the rest numbers.
            place = source.randrange(min(len(data), source.choice([200, 4000, len(data)])))
            data[place] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
        if source.random() < 0.1:
            del data[source.randrange(len(data)) :]
        path.write_bytes(bytes(data))
        begin = time.monotonic()
        try:
            read_all(path)
            opened += 1
        except SegnetError as error:
            assert path.name in str(error)
        assert time.monotonic() - begin < 10
    assert 0 < opened < count
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000  # kilobytes


def test_loading_imports_no_weights_at_listing(network: Path) -> None:
    assert not any(isinstance(one, torch.Tensor) for one in open_tree(network).root.values())
