"""torch.export by its bytes: parts that lie about themselves."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import exports

from napari_segnet.containers import open_tree
from napari_segnet.containers._export_nodes import require_node
from napari_segnet.containers._export_texts import require_trees
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError

NUMBERS = np.arange(6, dtype="float32").reshape(2, 3)


def meta(shape: tuple[int, ...] = (2, 3), kind: int = 7, offset: int = 0) -> dict[str, Any]:
    strides = [int(np.prod(shape[place + 1 :])) for place in range(len(shape))]
    whole = lambda row: [{"as_int": n} for n in row]  # noqa: E731
    said = {"sizes": whole(shape), "strides": whole(strides), "storage_offset": {"as_int": offset}}
    device = {"type": "cpu", "index": None}
    return {"dtype": kind, "requires_grad": False, "device": device, "layout": 7, **said}


PROGRAM = json.dumps(exports.program()).encode()


def written(path: Path, entry: dict[str, Any], **parts: bytes) -> Path:
    config = {"path_name": "weight_0", "is_param": True, "use_pickle": False, **entry}
    content = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        ".data/version": b"3\n",
        "data/sample_inputs/model.pt": b"",
        "data/constants/model_constants_config.json": b'{"config": {}}',
        "byteorder": b"little",
        "models/model.json": PROGRAM,
        "data/weights/model_weights_config.json": json.dumps({"config": {"w": config}}).encode(),
        "data/weights/weight_0": NUMBERS.tobytes(),
        **parts,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"m/{name}", data)
    return path


def test_numbers_are_read(tmp_path: Path) -> None:
    root = open_tree(written(tmp_path / "a.pt2", {"tensor_meta": meta()})).root
    assert np.array_equal(root["w"].load().numpy(), NUMBERS)
    root = open_tree(written(tmp_path / "a.pt2", {"tensor_meta": meta((2,), offset=4)})).root
    assert np.array_equal(root["w"].load().numpy(), [4, 5])


@pytest.mark.parametrize(
    ("number", "opens"),
    [(-(2**63), True), (2**63 - 1, True), (2**63, False), (-(2**63) - 1, False)],
)
def test_whole_numbers_have_64_bits(number: int, opens: bool, tmp_path: Path) -> None:
    program = json.loads(PROGRAM) | {
        "range_constraints": {"s0": {"min_val": number, "max_val": None}}
    }
    parts = {"models/model.json": json.dumps(program).encode()}
    path = written(tmp_path / "a.pt2", {"tensor_meta": meta()}, **parts)
    if opens:
        assert "w" in open_tree(path).root
    else:
        with pytest.raises(BrokenWeightsError, match="cannot be read"):
            open_tree(path)


def test_numbers_of_the_other_byte_order_are_refused(tmp_path: Path) -> None:
    """PyTorch takes them as they are, whatever the file says."""
    other = b"big" if sys.byteorder == "little" else b"little"
    path = written(tmp_path / "a.pt2", {"tensor_meta": meta()}, byteorder=other)
    with pytest.raises(UnsupportedWeightsError, match="of another byte order"):
        open_tree(path)


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "a huge shape": ({"tensor_meta": meta((2**30, 2**30))}, "reaches to byte"),
    "a negative length": ({"tensor_meta": meta((-2, 3))}, "is not a whole number, or is negative"),
    "beyond the end": ({"tensor_meta": meta(offset=1)}, "reaches to byte 28"),
    "no part": ({"tensor_meta": meta(), "path_name": "../../../etc/hosts"}, "is missing"),
    "no length": ({"tensor_meta": {**meta(), "sizes": [{"as_int": "2"}]}}, "is no int"),
    "nothing": ({"tensor_meta": {}}, "dtype|sizes"),
}


@pytest.mark.parametrize("what", LIES)
def test_lies_about_a_tensor_are_refused(what: str, tmp_path: Path) -> None:
    entry, message = LIES[what]
    with pytest.raises(BrokenWeightsError, match=rf"a\.pt2 is a damaged program.*({message})"):
        open_tree(written(tmp_path / "a.pt2", entry))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"byteorder": b"middle"}, "byte order 'middle'"),
        ({"models/model.json": b"{"}, r"models/model\.json cannot be read"),
        ({"models/model.json": b"[" * 100_000}, r"models/model\.json cannot be read"),
        ({"models/model.json": b"[]"}, "is no program"),
        ({"data/weights/model_weights_config.json": b'{"config": 3}'}, "damaged"),
    ],
)
def test_damaged_parts_are_named(parts: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenWeightsError, match=message):
        open_tree(written(tmp_path / "a.pt2", {"tensor_meta": meta()}, **parts))


def test_kinds_and_objects_that_are_not_read_are_refused_when_loaded(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt2", {"tensor_meta": meta(kind=29)})
    with pytest.raises(UnsupportedWeightsError, match="numbers of the kind 29"):
        open_tree(path).root["w"].load()
    made = io.BytesIO()
    torch.save(torch.ones(3), made)
    pickled = {"data/weights/weight_0": made.getvalue()}
    path = written(tmp_path / "a.pt2", {"tensor_meta": None, "use_pickle": True}, **pickled)
    with pytest.raises(UnsupportedWeightsError, match="as a pickle, which is not opened"):
        open_tree(path).root["w"].load()


def test_several_programs_are_listed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt2", {"tensor_meta": meta()}, **{"models/b.json": b"{}"})
    with pytest.raises(UnsupportedWeightsError, match=r"2 programs of torch.export \(model, b\)"):
        open_tree(path)


def test_compiled_code_alone_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/data/aotinductor/model/a.so", b"\x7fELF")
    with pytest.raises(UnsupportedWeightsError, match="without a program that could be read"):
        open_tree(tmp_path / "a.pt2")


def test_a_long_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_segnet.containers.torch_export.LARGEST_PROGRAM", 100)
    parts = {"models/model.json": b" " * 200}
    with pytest.raises(BrokenWeightsError, match="a program of more than 100 bytes"):
        open_tree(written(tmp_path / "a.pt2", {"tensor_meta": meta()}, **parts))


def inside(compressed: bool = False) -> bytes:
    data, packed = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.from_numpy(NUMBERS)}, data)
    if not compressed:
        return data.getvalue()
    kind = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(data) as old, zipfile.ZipFile(packed, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return packed.getvalue()


def old(path: Path, state: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("serialized_exported_program.json", PROGRAM)
        archive.writestr("serialized_state_dict.pt", state)
    return path


def test_weights_in_a_zip_inside_are_read(tmp_path: Path) -> None:
    root = open_tree(old(tmp_path / "a.pt2", inside())).root
    assert np.array_equal(root["w"].load().numpy(), NUMBERS)


@pytest.mark.parametrize(
    ("state", "compression", "message"),
    [
        (inside(), zipfile.ZIP_DEFLATED, "packed twice"),
        (inside(True), zipfile.ZIP_STORED, "packed in a zip inside of a zip"),
        (b"nothing", zipfile.ZIP_STORED, "is no zip file"),
        (inside()[:-200], zipfile.ZIP_STORED, "is no zip file"),
    ],
)
def test_zips_inside_that_cannot_be_read_are_named(
    state: bytes, compression: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BrokenWeightsError, match=message):
        open_tree(old(tmp_path / "a.pt2", state, compression))


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        ("collections.namedtuple", "Result"),
        ("collections.defaultdict", {"default_factory_name": "list", "dict_context": []}),
    ],
)
def test_trees_that_are_described_by_no_json_are_taken(kind: str, context: Any) -> None:
    tree = json.dumps([1, {"type": kind, "context": context, "children_spec": []}])
    require_trees([{"signature": {"in_spec": tree, "out_spec": tree}}])


@pytest.mark.parametrize("target", ["_operator.pos", "torch._sym_sqrt", "torch.sym_max"])
def test_operations_on_lengths_are_known(target: str) -> None:
    node = {"target": target, "inputs": [], "outputs": [{"as_sym_int": {"as_name": "n"}}]}
    require_node(node, functional=True)
    with pytest.raises(ValueError, match="does not give one"):
        require_node({**node, "outputs": [{"as_tensor": {"name": "x"}}]}, functional=True)
