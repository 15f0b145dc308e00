"""ONNX by its bytes: every way in which numbers lie, and what hostile files try."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from support.onnx_files import (
    graph,
    model,
    network,
    node,
    outside,
    part,
    tensor,
    tensor_of,
    value,
    varint,
    whole,
)

from napari_segnet.containers import open_tree, rewrite_onnx
from napari_segnet.errors import BrokenWeightsError, UnsafeWeightsError, UnsupportedWeightsError

NUMBERS = np.array([[0.5, -2.0, 3.25], [1e-3, 7.0, -0.0]])


def only(path: Path, *tensors: bytes) -> Path:
    path.write_bytes(model(graph([], tensors, [], [])))
    return path


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize(
    "kind", ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool", "uint64"]
)
def test_numbers_of_every_kind_are_read(kind: str, typed: bool, tmp_path: Path) -> None:
    array = (NUMBERS * 10 if "int" in kind else NUMBERS).astype(kind)
    root = open_tree(only(tmp_path / "a.onnx", tensor("w", array, typed=typed))).root
    assert root["w"].shape == (2, 3)
    assert root["w"].dtype == kind
    assert np.array_equal(root["w"].load().numpy(), array)


def test_bfloat16_is_read_as_such(tmp_path: Path) -> None:
    bits = (NUMBERS.astype("float32").view("uint32") >> 16).astype("uint16")
    path = only(tmp_path / "a.onnx", tensor_of("w", (2, 3), 16, part(9, bits.tobytes())))
    loaded = open_tree(path).root["w"].load()
    assert loaded.dtype == torch.bfloat16
    assert torch.allclose(loaded.float(), torch.from_numpy(NUMBERS).float(), rtol=1e-2)


def test_floats_that_are_fields_of_their_own_are_read(tmp_path: Path) -> None:
    content = b"".join(varint(4 << 3 | 5) + np.float32(n).tobytes() for n in NUMBERS.reshape(-1))
    path = only(tmp_path / "a.onnx", tensor_of("w", (2, 3), 1, content))
    assert np.array_equal(open_tree(path).root["w"].load().numpy(), NUMBERS.astype("float32"))


def test_numbers_beside_the_file_are_read(tmp_path: Path) -> None:
    array = NUMBERS.astype("float32")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.data").write_bytes(b"12345678" + array.tobytes())
    path = only(tmp_path / "a.onnx", outside("w", array, "sub/a.data", 8))
    assert np.array_equal(open_tree(path).root["w"].load().numpy(), array)


@pytest.mark.parametrize(
    "location",
    ["../a.data", "/etc/hosts", "sub/../../a.data", r"..\a.data", r"C:\a.data", "a\0.data"],
)
def test_numbers_outside_of_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    array = NUMBERS.astype("float32")
    (tmp_path / "a.data").write_bytes(array.tobytes())
    path = only(folder / "a.onnx", outside("w", array, location))
    with pytest.raises(UnsafeWeightsError, match=r"a\.onnx would read .* out of its folder"):
        open_tree(path)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    array = NUMBERS.astype("float32")
    (tmp_path / "a.data").write_bytes(array.tobytes())
    try:
        os.symlink(tmp_path / "a.data", folder / "a.data")
    except OSError:
        pytest.skip("no links can be made here")
    path = only(folder / "a.onnx", outside("w", array, "a.data"))
    with pytest.raises(UnsafeWeightsError, match="out of its folder"):
        open_tree(path)


def test_a_missing_second_file_is_named(tmp_path: Path) -> None:
    path = only(tmp_path / "a.onnx", outside("w", NUMBERS.astype("float32"), "a.data"))
    with pytest.raises(BrokenWeightsError, match=r"lies in a\.data, which is not beside it"):
        open_tree(path)


@pytest.mark.parametrize(
    "tensor",
    [
        outside("w", NUMBERS.astype("float32"), "a.data") + part(9, b"1234"),
        outside("w", NUMBERS.astype("float32"), ""),
    ],
    ids=["both", "neither"],
)
def test_numbers_in_two_files_or_in_none_are_refused(tensor: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(NUMBERS.astype("float32").tobytes())
    path = only(tmp_path / "a.onnx", tensor)
    with pytest.raises(BrokenWeightsError, match="no other file, or in this one, too"):
        open_tree(path)


def test_a_second_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(b"1234")
    path = only(tmp_path / "a.onnx", outside("w", NUMBERS.astype("float32"), "a.data"))
    with pytest.raises(BrokenWeightsError, match=r"reaches beyond the end of a\.data"):
        open_tree(path)


LIES = {
    "a huge shape": (tensor_of("w", (2**40, 2**20), 1, part(9, b"1234")), "has 4 bytes"),
    "a negative length": (tensor_of("w", (-5,), 1, part(9, b"")), "has no shape"),
    "too few numbers": (tensor_of("w", (4,), 7, part(7, b"\1\2")), "has 2 of 4 numbers"),
    "no numbers": (tensor_of("w", (4,), 1, b""), "has 0 of 4 numbers"),
    "many axes": (tensor_of("w", (1,) * 70, 1, part(9, b"1234")), "has no shape"),
    "text": (tensor_of("w", (1,), 1, whole(9, 3)), "another kind"),
}


@pytest.mark.parametrize("what", LIES)
def test_lies_about_a_tensor_are_refused(what: str, tmp_path: Path) -> None:
    content, message = LIES[what]
    with pytest.raises(BrokenWeightsError, match=f"damaged ONNX file.*{message}"):
        open_tree(only(tmp_path / "a.onnx", content))


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    one = tensor("w", NUMBERS)
    with pytest.raises(BrokenWeightsError, match="two tensors are called 'w'"):
        open_tree(only(tmp_path / "a.onnx", one, one))


def test_kinds_that_are_not_read_are_listed_and_refused_when_loaded(tmp_path: Path) -> None:
    path = only(tmp_path / "a.onnx", tensor_of("w", (2,), 8, part(6, "a") + part(6, "b")))
    with pytest.raises(UnsupportedWeightsError, match="kind 8 of ONNX"):
        open_tree(path).root["w"].load()


def test_graphs_inside_of_graphs_end(tmp_path: Path) -> None:
    inner = graph([], [], [], [])
    for _ in range(20):
        inner = graph([node("If", ["c"], "a", then_branch=inner)], [], [], [])
    (tmp_path / "a.onnx").write_bytes(model(inner))
    with pytest.raises(BrokenWeightsError, match="more than 8 deep"):
        open_tree(tmp_path / "a.onnx")


def test_more_fields_than_any_network_has_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("napari_segnet.containers._protobuf.MOST_FIELDS", 1000)
    path = only(tmp_path / "a.onnx", tensor_of("w", (600,), 7, part(7, b"\1" * 600)))
    assert open_tree(path).root["w"].shape == (600,)
    path = only(tmp_path / "a.onnx", tensor_of("w", (1600,), 7, part(7, b"\1" * 1600)))
    with pytest.raises(BrokenWeightsError, match="takes more steps than"):
        open_tree(path)


def test_a_saved_model_of_tensorflow_is_none(tmp_path: Path) -> None:
    path = tmp_path / "saved_model.pb"
    path.write_bytes(b"\x08\x01\x12\x80\x01\n\x7e" + b"\x12\x05serve" * 18)
    with pytest.raises(UnsupportedWeightsError, match="TensorFlow"):
        open_tree(path)


def test_a_copy_has_other_numbers_and_nothing_else(tmp_path: Path) -> None:
    old, new = NUMBERS.astype("float32"), (NUMBERS * 3).astype("float32")
    (tmp_path / "a.data").write_bytes(old.tobytes())
    nodes = [
        node("Constant", [], "c", value=old),
        node("Conv", ["image", "a"], "out", kernel_shape=[3, 3]),
    ]
    tensors = [tensor("a", old), tensor("b", old, typed=True), outside("d", old, "a.data")]
    content = graph(nodes, tensors, [value("image", ("n", 2, "y", "x"))], [value("out", None)])
    path, copy = tmp_path / "a.onnx", tmp_path / "b.onnx"
    path.write_bytes(model(content, doc="what it is"))
    before = path.read_bytes()
    rewrite_onnx(path, {name: new.tobytes() for name in "abcd"}, copy)
    assert path.read_bytes() == before
    (tmp_path / "a.data").unlink()  # its numbers are in the copy
    tree = open_tree(copy)
    for name in "abcd":
        assert np.array_equal(tree.root[name].load().numpy(), new)
    said = tree.metadata["model"]
    assert said.doc == "what it is"
    assert [one.operation for one in said.graph.nodes] == ["Constant", "Conv"]
    assert said.graph.nodes[1].attributes == {"kernel_shape": (3, 3)}


def test_a_copy_with_a_tensor_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = network(tmp_path / "a.onnx", [node("Relu", ["image"], "out")])
    with pytest.raises(ValueError, match="has no tensor 'w'"):
        rewrite_onnx(path, {"w": b"1234"}, tmp_path / "b.onnx")


def test_versions_of_operations_are_none_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    rest = model(graph([], [tensor("w", NUMBERS)], [], []))[2:]
    custom = part(8, part(1, "com.example") + whole(2, 2024))
    path.write_bytes(whole(1, 8) + custom + rest)
    assert set(open_tree(path).root) == {"w"}


def test_an_attribute_says_its_kind_whatever_versions_stand_between(tmp_path: Path) -> None:
    untyped = part(5, part(1, "axis") + whole(3, 1))
    first = model(graph([], [], [], []))
    path = tmp_path / "a.onnx"
    # The version of another domain, 1, is that before the graph.
    head = first[: first.index(part(8, part(1, "") + whole(2, 17)))]
    custom = part(8, part(1, "com.example") + whole(2, 1))
    content = graph([node("Relu", ["x"], "y") + untyped], [], [], [])
    path.write_bytes(head + custom + part(7, content))
    with pytest.raises(BrokenWeightsError, match="not of the kind that it says"):
        open_tree(path)
