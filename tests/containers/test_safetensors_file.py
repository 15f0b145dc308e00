"""Safetensors: what its header may claim."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from napari_segnet.containers import open_tree, open_weights
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError


def write(folder: Path, header: Any, numbers: bytes = bytes(24)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "made.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}


def test_its_metadata_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata={"card": "{}"})
    assert open_tree(path).metadata == {"card": "{}"}
    assert open_weights(path)[0].metadata == {"card": "{}"}


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"a": entry(data_offsets=[0, 28])}, "'a' is cut off: 4 bytes are missing"),
        ({"a": entry(data_offsets=[-4, 20])}, "'a' has no place"),
        ({"a": entry(data_offsets=[24, 0])}, "'a' has no place"),
        ({"a": entry(shape=[2, 2])}, r"'a' of shape \[2, 2\] has 24 bytes"),
        ({"a": entry(shape=[2, 4])}, "'a' a tensor of shape .* reaches to byte 32"),
        ({"a": entry(shape=[2.5])}, "'a' a tensor's shape"),
        ({"a": entry(shape="23")}, "'a' a tensor's shape"),
        ({"a": 3}, "'a' 'int' object"),
        ({"a": {"dtype": "F32"}}, "'a' 'shape'"),
        (b'{"a": {}, "a": {}}', "header is not readable"),
        (b"{" * 5000, "header is not readable"),
        (b'{"\xff": 1}', "header is not readable"),
    ],
)
def test_false_claims_are_refused(header: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenWeightsError, match=rf"made\.safetensors is damaged: .*{match}"):
        open_tree(write(tmp_path, header))


def test_a_header_that_is_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": entry()})
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BrokenWeightsError, match=r"bytes of its header are missing"):
        open_tree(path)


def test_numbers_that_torch_lacks(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": entry(dtype="F4", shape=[48])})
    reference = open_tree(path).root["a"]
    assert reference.shape == (48,)
    with pytest.raises(UnsupportedWeightsError, match="numbers of kind F4, which are not read"):
        reference.load()


# ---- Places ----


def with_header(path: Path, header: object, numbers: bytes) -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(len(text.encode()).to_bytes(8, "little") + text.encode() + numbers)
    return path


def floats(begin: int, end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "size", "words"),
    [
        ({"a": floats(0, 8), "b": floats(4, 12)}, 12, "'a' and the tensor 'b' share bytes"),
        ({"a": floats(0, 8), "b": floats(0, 8)}, 8, "share bytes"),
        ({"a": floats(0, 8), "b": floats(12, 16)}, 16, "leave 4 bytes between them"),
        ({"a": floats(4, 8)}, 8, "the header and the tensor 'a' leave 4 bytes"),
        ({"a": floats(0, 8)}, 12, "4 bytes at its end belong to no tensor"),
        ({"a": floats(0, 8), "__metadata__": {"x": 1}}, 8, "metadata are no texts"),
        ({"a": floats(0, 8), "__metadata__": ["x"]}, 8, "metadata are no texts"),
        ('{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}', 8, "not readable"),
        ('{"\\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', 8, "not readable"),
    ],
)
def test_what_the_own_reader_of_the_format_refuses(
    tmp_path: Path, header: object, size: int, words: str
) -> None:
    path = with_header(tmp_path / "bad.safetensors", header, bytes(size))
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(path)
    with pytest.raises(BrokenWeightsError, match=rf"bad\.safetensors is damaged.*{words}"):
        open_tree(path)


def test_empty_tensors_lie_anywhere(tmp_path: Path) -> None:
    header = {"b": floats(0, 8), "empty": floats(8, 8), "first": floats(0, 0)}
    path = with_header(tmp_path / "good.safetensors", header, bytes(8))
    assert set(safetensors.torch.load_file(path)) == set(open_tree(path).root)
