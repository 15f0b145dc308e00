"""What an attack found that is nobody's fault but ours: each gets a sentence, never values."""

from __future__ import annotations

import ast
import gzip
import io
import json
import math
import pickle
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from support import exports, onnx_files
from support.hostile.kinds import TENSORS
from support.onnx_files import node, tensor, value

from napari_segnet.budget import DEEPEST_TEXT, parsed_json
from napari_segnet.containers import open_tree
from napari_segnet.errors import (
    BrokenWeightsError,
    ImageError,
    SegnetError,
    UnsupportedWeightsError,
    WeightsError,
)
from napari_segnet.formats import format_of
from napari_segnet.readers import open_image
from napari_segnet.readers._zarr_pixels import ZarrPixels
from napari_segnet.recognition import identify

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")

Parts = list[tuple[str, bytes]]


def torch_file(path: Path, change: Callable[[Parts], Parts], method: int = 0) -> Path:
    """Save tensors with torch, and pack them again with other parts."""
    made = io.BytesIO()
    torch.save(TENSORS, made)
    with zipfile.ZipFile(made) as old:
        parts = [(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(path, "w", method) as new:
        for name, data in change(parts):
            new.writestr(name, data)
    return path


def longer(parts: Parts) -> Parts:
    return [(name, data + b"\0" * 40 if name.endswith("data/0") else data) for name, data in parts]


def no_version(parts: Parts) -> Parts:
    return [(name, data) for name, data in parts if not name.endswith("/version")]


def odd_version(parts: Parts) -> Parts:
    return [(name, b"x" if name.endswith("/version") else data) for name, data in parts]


def beside(parts: Parts) -> Parts:
    return [*parts, ("ELSEWHERE/x", b"")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (longer, "should have .* bytes but has"),
        (no_version, "the number of its version is missing"),
        (odd_version, "the number of its version is missing"),
        (beside, "lies outside of its folder"),
    ],
)
def test_parts_that_torch_refuses(change: Any, why: str, tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", change)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match=why):
        open_tree(path)


def test_packings_that_torch_refuses(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list, zipfile.ZIP_BZIP2)
    with pytest.raises(BrokenWeightsError, match="packed by method 12"):
        open_tree(path)


@pytest.mark.parametrize("place", [4, 6])
def test_one_of_several_disks(place: int, tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, len(data) - 22 + place, 1)
    path.write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="one of several files"):
        open_tree(path)


def test_another_number_of_parts_than_are_listed(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, len(data) - 14, 900, 900)
    path.write_bytes(data)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="another number of parts"):
        open_tree(path)


def test_strong_encryption(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    struct.pack_into("<H", data, at + 8, 0x40)
    path.write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="with a password"):
        open_tree(path)


def test_blocks_of_an_old_file_without_a_view(tmp_path: Path) -> None:
    """``torch.load`` wants all six parts of a name."""
    path, made = tmp_path / "a.pth", io.BytesIO()
    torch.save({"a": torch.ones(2)}, made, _use_new_zipfile_serialization=False)
    old = made.getvalue()
    end = old.index(b"tq", old.index(b"cpu"))
    path.write_bytes(old[: end - 1] + old[end:])  # the N before the end of the tuple
    with pytest.raises(ValueError, match="unpack"):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="a storage has no name"):
        open_tree(path)


def test_numbers_of_four_bits_in_too_few_bytes(tmp_path: Path) -> None:
    import safetensors.torch

    head = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F4", "shape": [3], "data_offsets": [4, 5]},
    }
    text = json.dumps(head).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 5)
    with pytest.raises(Exception, match="byte"):
        safetensors.torch.load(path.read_bytes())
    with pytest.raises(BrokenWeightsError, match="of shape"):
        open_tree(path)


@pytest.mark.parametrize(
    ("protocol", "old", "new"),
    [
        (5, b"K\x02K\x03\x86", b"K\x02K\x09\x86"),  # its shape
        (5, b"(K\x03", b"(K\x18"),  # the version of its kind
        (2, b"(K\x01", b"(K\xa9"),  # its own version
        (5, b"\x96\x18\0\0\0\0\0\0\0", b"X\x18\0\0\0"),  # its bytes are a text that is none
    ],
)
def test_arrays_that_numpy_refuses(protocol: int, old: bytes, new: bytes, tmp_path: Path) -> None:
    numbers = np.arange(6, dtype="f4").reshape(2, 3)
    whole_one = pickle.dumps({"a": numbers, "b": numbers.astype("f8")[:1]}, protocol)
    data = whole_one.replace(old, new, 1)
    assert data != whole_one
    with pytest.raises(Exception):  # noqa: B017
        pickle.loads(data)
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "a.pkl")


def onnx(path: Path, name: bytes = b"w", **model: Any) -> Path:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32")).replace(b"B\x01w", b"B\x01" + name)
    nodes = [node("Conv", ["image", "w"], ["out"])]
    content = onnx_files.graph(
        nodes, [kernel], [value("image", onnx_files.IMAGE)], [value("out", None)]
    )
    path.write_bytes(onnx_files.model(content, **model))
    return path


def test_a_version_of_onnx_that_there_is_not(tmp_path: Path) -> None:
    path = onnx(tmp_path / "a.onnx")
    open_tree(path)
    path.write_bytes(path.read_bytes() + bytes([8, 90]))  # said again: the last one counts
    with pytest.raises(WeightsError, match="version"):
        open_tree(path)


def test_names_in_onnx_that_are_no_text(tmp_path: Path) -> None:
    """Two names must not become one."""
    with pytest.raises(BrokenWeightsError, match="ONNX"):
        open_tree(onnx(tmp_path / "a.onnx", b"\xff"))


@pytest.mark.parametrize(
    "make",
    [
        lambda depth: "[" * depth + "]" * depth,
        lambda depth: '{"a":' * depth + "1" + "}" * depth,
        lambda depth: '["]]]",' * depth + "1" + "]" * depth,
    ],
)
def test_json_is_never_deeper_than_whoever_walks_through_it(make: Any) -> None:
    parsed_json(make(DEEPEST_TEXT))
    with pytest.raises(ValueError, match="more than 64 deep"):
        parsed_json(make(DEEPEST_TEXT + 5))
    assert len(parsed_json(json.dumps(["[" * 1000]))[0]) == 1000


def test_messages_command_no_terminal() -> None:
    said = str(WeightsError("a\x1b[31mb\x00c\u202ed is ä and\nmore"))
    assert said == "a?[31mb?c?d is ä and\nmore"


def test_a_crowd_that_is_a_polygon(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50), np.uint8))
    row = {
        **{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1, "area": 9},
        **{"bbox": [5, 5, 9, 9], "segmentation": [[5, 5, 20, 5, 20, 20]]},
    }
    content = {
        "images": [{"id": 1, "file_name": "a.tif", "height": 40, "width": 50}],
        "annotations": [row],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    (entry,) = format_of(tmp_path).find(tmp_path).entries
    assert np.asarray(entry.read().labels).max() == 1


def test_regions_that_are_packed_and_damaged(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.roi", b"no stream of it")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    for method in (12, 14):  # bzip2, LZMA
        struct.pack_into("<H", data, 8, method)
        struct.pack_into("<H", data, data.index(b"PK\1\2") + 10, method)
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(SegnetError):
            [entry.read() for entry in format_of(tmp_path).find(tmp_path).entries]


def test_an_array_with_a_negative_length(tmp_path: Path) -> None:
    head = b"{'descr': '<u2', 'fortran_order': False, 'shape': (-1, 45), }\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(90)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ImageError, match="is damaged: its shape is"):
        open_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("file", "key", "odd"),
    [(".zarray", "zarr_format", "2"), (".zarray", "zarr_format", 3), (".zgroup", "zarr_format", 0)],
)
def test_zarr_of_no_format(file: str, key: str, odd: Any, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    folder = tmp_path / "a.zarr"
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((4, 5), "u2"))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scales = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["multiscales"] = scales
    open_image(folder)
    place = folder / "0" / file if file == ".zarray" else folder / file
    place.write_text(json.dumps({**json.loads(place.read_text()), key: odd}))
    with pytest.raises(ImageError, match="should be of Zarr format 2"):
        open_image(folder)
    group.attrs["multiscales"] = [{**scales[0], "datasets": [{"path": "0/../0"}]}]
    with pytest.raises(ImageError):
        open_image(folder)


def test_keys_of_a_zarr_group_that_must_be_understood(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    group.create_array("0", data=np.zeros((4, 5), "u2"))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}],
    }
    place = tmp_path / "a.zarr" / "zarr.json"
    said = json.loads(place.read_text())
    place.write_text(json.dumps({**said, "more": {"must_understand": False}}))
    assert open_image(tmp_path / "a.zarr").data.shape == (4, 5)
    place.write_text(json.dumps({**said, "more": {}}))
    with pytest.raises(ImageError, match="has the keys 'more'"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_of_blosc_that_is_cut_off(version: int, tmp_path: Path) -> None:
    """Its decoder would return what lies in memory behind the chunk."""
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    packing = numcodecs.Blosc() if version == 2 else zarr.codecs.BloscCodec()
    noise = np.random.default_rng(0).integers(0, 60000, (16, 16), "u2")
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=noise.shape,
        chunks=noise.shape,
        dtype="u2",
        compressors=packing,
        zarr_format=version,
    )
    array[:] = noise
    pixels = ZarrPixels(tmp_path / "a.zarr", version)
    assert np.array_equal(pixels[:], noise)
    chunk = tmp_path / "a.zarr" / ("0.0" if version == 2 else "c/0/0")
    chunk.write_bytes(chunk.read_bytes()[:157])
    with pytest.raises(ImageError, match="is cut off"):
        ZarrPixels(tmp_path / "a.zarr", version)[:]


@pytest.mark.parametrize(
    ("rows", "bits", "frames", "why"),
    [
        (1, 16, None, "one frame of"),
        (6, 16, 2, "2 frames of"),
        (40, 16, None, "or more, and"),
        (20, 65000, None, "OverflowError"),
    ],
)
def test_pixels_of_dicom_of_another_length(
    rows: int, bits: int, frames: int | None, why: str, tmp_path: Path
) -> None:
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    one = pydicom.dataset.FileDataset("a", {}, file_meta=meta, preamble=bytes(128))
    one.Rows, one.Columns, one.SamplesPerPixel = rows, 30, 1
    if frames:
        one.NumberOfFrames = frames
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, bits, 15, 0
    one.RescaleSlope, one.RescaleIntercept = 2, 1
    one.PhotometricInterpretation, one.Modality = "MONOCHROME2", "CT"
    one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    one.PixelData = np.arange(600, dtype="u2").tobytes()
    # What lies behind the pixels is none of them.
    one.add_new(0xFFFCFFFC, "OB", bytes(2000))
    pydicom.dcmwrite(tmp_path / "a.dcm", one, enforce_file_format=True)
    with pytest.raises(ImageError, match=why):
        open_image(tmp_path / "a.dcm")


def test_pixels_of_dicom_of_no_kind(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = Path(pydicom.data.get_testdata_file("CT_small.dcm"))
    data = path.read_bytes()
    kind = b"\xe0\x7f\x10\x00OW"
    assert kind in data
    (tmp_path / "a.dcm").write_bytes(data.replace(kind, kind[:4] + b"XX"))
    with pytest.raises(ImageError, match="no pixels are of kind 'XX'"):
        open_image(tmp_path / "a.dcm")


def test_a_parameter_of_an_old_file_without_its_hooks(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    hooks = b"h\x0b)Rq\x0f\x87"  # an empty OrderedDict, and a tuple of three
    assert hooks in data
    path.write_bytes(data.replace(hooks, b"\x86"))  # a tuple of two
    with pytest.raises(Exception, match="_rebuild_parameter"):
        torch.load(path)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(path)


def test_a_tiff_of_no_samples(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8))
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[277].offset
    struct.pack_into("<H", data, place + 8, 0)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="277"):
        open_image(path)


def test_layers_that_lie_inside_of_tensors(tmp_path: Path) -> None:
    """A name that is doubled: no module has such an attribute."""
    from support.examples import EXAMPLES

    state = EXAMPLES["milesial-unet"][0].make().state_dict()
    name = next(name for name in state if name.endswith("double_conv.4.weight"))
    state[name + name.removesuffix(".weight") + ".weight"] = state[name]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError):
        identify(tmp_path / "a.pth")


CONV: dict[str, Any] = {"kernel_shape": [1, 1]}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([node("Conv", ["image", "w"], "out", **CONV, dilat=[2, 2])], "does not know"),
        ([node("Conv", ["image", "w"], "out", **CONV, group=1.0)], "is of another kind"),
        (
            [node("Conv", ["image", "w"], "out"), node("Relu", ["out"], "out")],
            "two nodes make 'out'",
        ),
        ([node("Relu", ["image", "w"], "out")], "has 2 inputs, where ONNX allows 1-1"),
    ],
)
def test_nodes_that_onnx_refuses(made: list[bytes], why: str, tmp_path: Path) -> None:
    kernel = np.ones((3, 2, 1, 1), "float32")
    path = onnx_files.network(tmp_path / "a.onnx", made, {"w": kernel})
    with pytest.raises(WeightsError, match=why):
        identify(path)


RELU = node("Relu", ["image"], ["out"])


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([node("Relu", ["x"], ["out"]), node("Relu", ["image"], ["x"])], "nothing before it makes"),
        ([RELU, RELU], "two nodes make"),
        ([node("Relu", ["image"], ["x"])], "nothing makes its output"),
        ([node("Reluu", ["image"], ["out"])], "knows no operation"),
        ([node("Relu", ["image"], ["out"], slope=1.0)], "does not know"),
        ([node("Relu", ["image", "image"], ["out"])], "has 2 inputs"),
    ],
)
def test_graphs_that_onnx_refuses(nodes: list[bytes], why: str, tmp_path: Path) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    content = onnx_files.graph(
        nodes, [kernel], [value("image", onnx_files.IMAGE)], [value("out", None)]
    )
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match=why):
        open_tree(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("operation", "opset", "says"),
    [
        ("Gelu", 13, "knows no operation Gelu .* in version 13"),
        ("Gelu", 20, None),
        ("Upsample", 10, "knows no operation Upsample .* in version 10"),
        ("Upsample", 7, None),
        ("Scale", 7, None),
        ("Relu", 99, None),
        ("Relux", 99, "of a later version of ONNX .99. than 26"),
    ],
)
def test_operations_of_onnx_as_of_their_version(
    operation: str, opset: int, says: str | None, tmp_path: Path
) -> None:
    """As the format's own checker, which lets experimental operations pass."""
    how = {"scales": [1.0, 1.0, 2.0, 2.0]} if operation == "Upsample" else {}
    path = onnx_file(tmp_path / "a.onnx", [node(operation, ["image"], "out", **how)], [], opset)
    if says is None:
        assert open_tree(path).container == "onnx"
        return
    with pytest.raises(WeightsError, match=says):
        open_tree(path)


@pytest.mark.parametrize(("inputs", "how"), [(["image"], {"slope": 1.0}), (["image", "image"], {})])
def test_operations_of_onnx_that_later_versions_may_have(
    inputs: list[str], how: dict[str, Any], tmp_path: Path
) -> None:
    path = onnx_file(tmp_path / "a.onnx", [node("Relu", inputs, "out", **how)], [], 27)
    with pytest.raises(UnsupportedWeightsError, match="opset_version=26 or less"):
        open_tree(path)
    path = onnx_file(tmp_path / "b.onnx", [node("Relu", inputs, "out", **how)], [], 26)
    with pytest.raises(BrokenWeightsError, match="Relu"):
        open_tree(path)


@pytest.mark.parametrize("name", ["Own", ""])
def test_a_function_of_onnx_without_a_name(name: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "a.onnx", [node("Relu", ["image"], "out")], [])
    function = onnx_files.part(1, name) + onnx_files.part(10, "mine")
    path.write_bytes(path.read_bytes() + onnx_files.part(25, function))
    if name:
        assert open_tree(path).container == "onnx"
        return
    with pytest.raises(BrokenWeightsError, match="one of its functions has no name"):
        open_tree(path)


def test_types_in_attributes_of_onnx_that_are_no_messages(tmp_path: Path) -> None:
    for content, says in ((b"", "not of the kind"), (b"\x6e\x01", "which nobody writes")):
        made = node("Conv", ["image", "w"], "out", **CONV)  # field 13 of the kind 6
        made += onnx_files.part(5, onnx_files.attribute("group", 1) + onnx_files.part(14, content))
        path = onnx_files.network(tmp_path / "a.onnx", [made], {"w": np.ones((3, 2, 1, 1), "f4")})
        with pytest.raises(BrokenWeightsError, match=says):
            open_tree(path)


def test_attributes_in_onnx_that_are_not_of_their_kind(tmp_path: Path) -> None:
    attribute = onnx_files.attribute("group", 1)
    data = onnx(tmp_path / "a.onnx").read_bytes()
    made = [node("Conv", ["image", "w"], "out", group=1)]
    path = onnx_files.network(tmp_path / "b.onnx", made, {"w": np.ones((3, 2, 1, 1), "float32")})
    assert attribute in path.read_bytes() and data
    path.write_bytes(path.read_bytes().replace(attribute, attribute[:-1] + b"\x07"))
    with pytest.raises(BrokenWeightsError, match="not of the kind that it says"):
        open_tree(path)


# ---- What Python, numpy and torch refuse, or read in another way -------------------------


def array_pickle(*changes: tuple[bytes, bytes]) -> bytes:
    data = pickle.dumps({"w": np.arange(6, dtype="f4").reshape(2, 3), "n": np.float64(2)}, 2)
    for old, new in changes:
        assert old in data
        data = data.replace(old, new, 1)
    return data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x02K\x03\x86", b"J\xfe\xff\xff\xffJ\xfd\xff\xff\xff\x86"),  # a negative shape
        (b"X\x02\x00\x00\x00f4", b"X\x02\x00\x00\x00q9"),  # no kind of numbers
    ],
)
def test_states_of_arrays_that_numpy_refuses(old: bytes, new: bytes, tmp_path: Path) -> None:
    data = array_pickle((old, new))
    with pytest.raises(Exception):  # noqa: B017
        pickle.loads(data)
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "odd",
    [
        b"K\x01}b",  # a number gets a state
        b"\x8fK\x01a",  # a set gets an item
        b"]K\x01(K\x02\x90",  # a list gets members
        b"c_codecs\nencode\nX\x01\0\0\0aX\x06\0\0\0latin1\x86\x81",  # no class, but made anew
        b"cbuiltins\nlist\n]K\x01a\x85\x81",  # a new list is empty, whatever it is given
        b"K\x01\x98",  # a number is no buffer
        b"I010\n",  # eight to Python, ten to others
        b"F1e999\n",
        b"\x95\x02\0\0\0\0\0\0\0M\x01\x00",  # a frame that ends inside of a number
        b"ctypes\nSimpleNamespace\nK\x01\x85R",
        b"ccollections\ndefaultdict\nK\x01\x85R",  # a number cannot be called
        b"Np-5\n",  # kept at a place below 0
    ],
)
def test_operations_that_python_refuses(odd: bytes, tmp_path: Path) -> None:
    whole_one = pickle.dumps({"w": np.ones(3, "f4")}, 2)
    data = b"\x80\x05" + odd + b"0" + whole_one[2:]
    # The first two are read as another value, the third only where it lies in memory.
    if not odd.startswith((b"I010", b"cbuiltins\nlist", b"\x95")):
        with pytest.raises(Exception):  # noqa: B017
            pickle.loads(data)
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05\x80\x06" + whole_one[2:])
    with pytest.raises(BrokenWeightsError, match="protocol 6"):
        open_tree(tmp_path / "a.pkl")


def test_bytes_of_an_array_that_python_2_wrote(tmp_path: Path) -> None:
    """Text there was bytes, in UTF-8 or not; what Python 3 wrote as text is Latin-1."""
    numbers = np.frombuffer("äö".encode() * 6, "<f4")
    data = array_pickle()
    at = data.index(b"\x89h\x05X") + 1
    data = data[:at] + b"U\x18" + numbers.tobytes() + data[data.index(b"tq", at) :]
    (tmp_path / "a.pkl").write_bytes(data)
    found: Any = open_tree(tmp_path / "a.pkl").root
    assert np.array_equal(found["w"].reshape(-1).view("u4"), numbers.view("u4"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x00", b"K\x01"),  # an offset beyond its end
        (b"\x89ccollections", b"K\x00ccollections"),  # whether it is trained: no yes or no
    ],
)
def test_tensors_that_torch_refuses(old: bytes, new: bytes, tmp_path: Path) -> None:
    def changed(parts: Parts) -> Parts:
        return [
            (name, data.replace(old, new, 1) if name.endswith("data.pkl") else data)
            for name, data in parts
        ]

    path = torch_file(tmp_path / "a.pth", changed)
    with pytest.raises(Exception):  # noqa: B017
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(path)


def test_one_block_of_two_kinds(tmp_path: Path) -> None:
    """``torch.load`` takes the kind that is named first for both."""
    path, made = tmp_path / "a.pth", io.BytesIO()
    base = torch.arange(4, dtype=torch.float64)
    torch.save({"a": base, "b": base[:2]}, made)
    text = b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x08t"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("data.pkl"):
                first, second, rest = data.split(b"Q")
                data = b"Q".join((first, second[: second.rindex(b"(") + 1] + text, rest))
            new.writestr(name, data)
    with pytest.raises(BrokenWeightsError, match="two sizes"):
        open_tree(path)


def test_a_part_whose_name_is_no_text(tmp_path: Path) -> None:
    made = torch_file(tmp_path / "a.pth", list)
    data = made.read_bytes().replace(b"serialization_id", b"serialization_\x98d")
    assert b"\x98d" in data
    made.write_bytes(data)
    with pytest.raises(UnicodeDecodeError):
        torch.load(made, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="no text in UTF-8"):
        open_tree(made)


def test_a_part_that_no_tensor_lies_in_is_damaged(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        content = file.read(next(n for n in file.namelist() if n.endswith("serialization_id")))
    path.write_bytes(data.replace(content, b"0" * len(content)))
    with pytest.raises(BrokenWeightsError, match="serialization_id cannot be read"):
        open_tree(path)


def test_an_alignment_that_is_no_number(tmp_path: Path) -> None:
    def changed(parts: Parts) -> Parts:
        return [
            (name, b"64xy" if name.endswith("/.storage_alignment") else data)
            for name, data in parts
        ]

    path = torch_file(tmp_path / "a.pth", changed)
    with pytest.raises(BrokenWeightsError, match="no multiples of '64xy'"):
        open_tree(path)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"\x10\x01", b"\x10\x81\x80\x80\x80\x80\x80\x80\x01", ""),  # of 64 bits, 1 in 32
        (b"\x10\x01", b"\x10\x63", "of no kind"),
        (b"\x10\x01", b"\x12\x01\x01", "another kind"),
        (b"\x10\x01", b"\x10\x01\x2a\x01\x00", "two places"),
        (b"\x10\x01", b"\x10\x01\x1a\x01\xff", ""),
        (b"\x10\x01", b"\x10\x01\x82\x01\x01\x0d", "damaged ONNX"),  # properties that end early
    ],
)
def test_fields_of_onnx_that_protobuf_reads_otherwise(
    old: bytes, new: bytes, why: str, tmp_path: Path
) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    assert old in kernel
    nodes = [node("Conv", ["image", "w"], ["out"])]
    content = onnx_files.graph(
        nodes,
        [kernel.replace(old, new, 1)],
        [value("image", onnx_files.IMAGE)],
        [value("out", None)],
    )
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_files.model(content))
    if not why and b"\x1a" not in new:
        assert open_tree(path).root["w"].dtype == "float32"
        return
    with pytest.raises(BrokenWeightsError, match=why or "damaged ONNX"):
        open_tree(path)


def test_an_attribute_that_a_node_has_twice(tmp_path: Path) -> None:
    again = onnx_files.part(5, onnx_files.attribute("group", 1))
    one = node("Conv", ["image", "w"], ["out"], group=1)
    nodes = [one + again]
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    content = onnx_files.graph(
        nodes, [kernel], [value("image", onnx_files.IMAGE)], [value("out", None)]
    )
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match="two attributes 'group'"):
        open_tree(tmp_path / "a.onnx")


def test_a_palette_that_is_no_list_of_colours(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "a.tif"
    colours = np.arange(768, dtype="u2").reshape(3, 256)
    tifffile.imwrite(path, np.zeros((40, 50), "u1"), photometric="palette", colormap=colours)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[320].offset
    struct.pack_into("<I", data, place + 4, 5)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="tag 320"):
        open_image(path)


def test_pages_that_lead_back_to_the_first(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 40, 50), "u1"), imagej=True)
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="is not complete"):
        open_image(path)


def test_numbers_of_nifti_of_no_kind(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 3), "i2"), np.eye(4)), path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<h", data, 70, 0)
    path.write_bytes(data)
    with pytest.raises(ImageError):
        open_image(path)


@pytest.mark.parametrize("version", [b"0\n", b"11\n", b"9" * 30])
def test_versions_of_torch_that_there_are_not(version: bytes, tmp_path: Path) -> None:
    def change(parts: Parts) -> Parts:
        return [(name, version if name.endswith("/version") else data) for name, data in parts]

    path = torch_file(tmp_path / "a.pth", change)
    with pytest.raises((RuntimeError, IndexError)):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="newer than this program"):
        open_tree(path)


@pytest.mark.parametrize("odd", [("gpu",), ("cuda:01",), ("cuda", -1), ("cuda:0", 1)])
def test_devices_that_there_are_not(odd: tuple[Any, ...], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        torch.device(*odd)
    good, path = tmp_path / "good.pth", tmp_path / "a.pth"

    class Device:
        def __reduce__(self) -> Any:
            return torch.device, odd

    torch.save({"a": torch.ones(2), "on": torch.device("cuda", 3)}, good)
    torch.save({"a": torch.ones(2), "on": Device()}, path)
    assert open_tree(good).root["on"] in ("cuda:3", ("cuda", 3))
    with pytest.raises(BrokenWeightsError, match="a device"):
        open_tree(path)


def test_a_slope_of_dicom_without_an_intercept(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from support import dicoms

    pixels = np.arange(600, dtype="i2").reshape(20, 30)
    for name, tags in (("one", {"RescaleSlope": "2"}), ("two", {"RescaleSlope": ["2", "3"]})):
        if name == "two":
            tags["RescaleIntercept"] = "1"
        dicoms.save(dicoms.slice_of(pixels, **tags), tmp_path / f"{name}.dcm")
        with pytest.raises(ImageError, match="the slope and intercept"):
            open_image(tmp_path / f"{name}.dcm")


def test_dicom_that_does_not_say_how_it_is_written(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = Path(pydicom.data.get_testdata_file("CT_small.dcm"))
    data = path.read_bytes()
    syntax = b"\x02\x00\x10\x00UI"
    assert syntax in data
    (tmp_path / "a.dcm").write_bytes(data.replace(syntax, b"\x02\x00\x11\x00UI"))
    with pytest.raises(AttributeError):
        _ = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
    with pytest.raises(ImageError, match="TransferSyntaxUID"):
        open_image(tmp_path / "a.dcm")


def test_a_part_of_png_that_is_too_short(tmp_path: Path) -> None:
    import imagecodecs
    from PIL import Image

    data = imagecodecs.png_encode(np.arange(600, dtype="u2").reshape(20, 30))
    end = data.index(b"IDAT") - 4
    for length in (31, 32):
        part = b"cHRM" + b"\0\0\x10\0" * (length // 4) + bytes(length % 4)
        chunk = struct.pack(">I", length) + part + struct.pack(">I", zlib.crc32(part))
        (tmp_path / f"{length}.png").write_bytes(data[:end] + chunk + data[end:])
    assert open_image(tmp_path / "32.png").data[1, 0] == 30
    with pytest.raises((ValueError, OSError)), Image.open(tmp_path / "31.png") as file:
        file.load()
    with pytest.raises(ImageError, match="its part cHRM"):
        open_image(tmp_path / "31.png")


def test_a_png_with_transparency_of_no_bytes(tmp_path: Path) -> None:
    import imagecodecs
    from PIL import Image

    data = imagecodecs.png_encode(np.arange(600, dtype="u2").reshape(20, 30))
    end, part = data.index(b"IEND") - 4, b"tRNS"
    chunk = struct.pack(">I", 0) + part + struct.pack(">I", zlib.crc32(part))
    path = tmp_path / "a.png"
    path.write_bytes(data[:end] + chunk + data[end:])
    with pytest.raises((ValueError, OSError)), Image.open(path) as file:
        file.load()
    with pytest.raises(ImageError, match="its part tRNS"):
        open_image(path)


def test_frames_of_a_moving_png_that_are_out_of_order(tmp_path: Path) -> None:
    import imagecodecs
    from PIL import Image, UnidentifiedImageError

    path = tmp_path / "a.png"
    data = imagecodecs.png_encode(np.arange(600, dtype="u2").reshape(20, 30))
    end, part = data.index(b"IDAT") - 4, b"fdAT" + bytes(16)
    chunk = struct.pack(">I", 16) + part + struct.pack(">I", zlib.crc32(part))
    path.write_bytes(data[:end] + chunk + data[end:])
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)
    with pytest.raises(ImageError):
        open_image(path)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("odd", [-5, 7, 10**6])
def test_extensions_of_nifti_that_are_cut_off(odd: int, packed: str, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / f"a.nii{packed}"
    image = nibabel.Nifti1Image(np.zeros((4, 5, 3), "i2"), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a" * 30))
    nibabel.save(image, path)
    assert open_image(path).axes == "zyx"
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    struct.pack_into("<i", data, 352, odd)
    path.write_bytes(gzip.compress(data) if packed else data)
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises((nibabel.spatialimages.HeaderDataError, ValueError)),
    ):
        nibabel.load(path)
    with pytest.raises(ImageError, match="an extension of its header"):
        open_image(path)


def test_a_part_that_is_said_to_be_a_folder(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for info in old.infolist():
            info.external_attr = 0x10 if info.filename.endswith("data/0") else 0
            new.writestr(info, old.read(info))
    with pytest.raises(BrokenWeightsError, match="said to be a folder"):
        open_tree(tmp_path / "b.pth")


def opens_alike(path: Path) -> bool:
    """Tell if PyTorch reads what was saved; it raises many kinds of errors."""
    try:
        found = torch.load(path, weights_only=True)
    except Exception:
        return False
    return all(torch.equal(found[name], own) for name, own in TENSORS.items())


def capitals(parts: Parts) -> Parts:
    twice = [(name.replace("data/0", "DATA/0"), b"1") for name, _ in parts if "data/0" in name]
    return [*twice, *parts]


def no_text(parts: Parts) -> Parts:
    return [(name, b"\xff" if name.endswith("serialization_id") else data) for name, data in parts]


def another_version(parts: Parts) -> Parts:
    folder = parts[0][0].partition("/")[0]
    return [(f"{folder}/.data/version", b"x"), *parts]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (capitals, "differ only in capitals"),
        (no_text, "is no text"),
        (another_version, "the number of its version"),
    ],
)
def test_more_parts_that_torch_refuses(change: Any, why: str, tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", change)
    assert change is capitals or not opens_alike(path)  # PyTorch takes one or the other
    with pytest.raises(BrokenWeightsError, match=why):
        open_tree(path)


@pytest.mark.parametrize(
    ("place", "why"),
    [(16, "several files"), (24, "number of parts"), (48, "does not end")],
)
def test_ends_of_zip64_that_are_wrong(place: int, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(2)}, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\6\6") + place] += 1
    path.write_bytes(data)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match=why):
        open_tree(path)


def test_an_archive_of_no_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(2)}, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\6\7") + 16] -= 1  # it says how many disks there are: 1
    path.write_bytes(data)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="several files"):
        open_tree(path)


@pytest.mark.parametrize(("flag", "name"), [(0x20, b""), (0, b"\0")])
def test_parts_that_programs_list_differently(flag: int, name: bytes, tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 8] |= flag
    if name:
        data = data.replace(b"archive/version", b"archive/versio\0")
    path.write_bytes(data)
    with pytest.raises(BrokenWeightsError, match="programs read differently"):
        open_tree(path)


def test_dates_of_a_unit_that_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    made = pickle.dumps({"a": np.ones(2), "b": np.zeros(2, "M8[D]")}, 3)
    unit = b"C\x01Dq"
    place = made.index(unit) + 5
    assert made[place : place + 2] == b"K\x01"
    path.write_bytes(made[:place] + b"K\x00" + made[place + 2 :])
    with pytest.raises(TypeError):
        pickle.loads(path.read_bytes())
    with pytest.raises(BrokenWeightsError):
        open_tree(path)


def test_dicom_that_changes_the_way_it_is_written(tmp_path: Path) -> None:
    """Said to be without kinds of values, and its first element has one: so the rest has, too."""
    pydicom = pytest.importorskip("pydicom")
    from support import dicoms

    slice_ = dicoms.slice_of(np.arange(1320, dtype="i2").reshape(33, 40))
    slice_.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    dicoms.save(slice_, tmp_path / "a.dcm")
    assert open_image(tmp_path / "a.dcm").data.shape == (33, 40)
    data = (tmp_path / "a.dcm").read_bytes()
    first = data.index(b"\x08\0\x16\0")
    more = b"\x08\0\x05\0CS\2\0  "
    (tmp_path / "b.dcm").write_bytes(data[:first] + more + data[first:])
    with warnings.catch_warnings(action="ignore"), pytest.raises(NotImplementedError):
        _ = pydicom.dcmread(tmp_path / "b.dcm").pixel_array
    with pytest.raises(ImageError):
        open_image(tmp_path / "b.dcm")


@pytest.mark.parametrize("kind", [b"FloatStorage", b"float32"])
def test_kinds_of_numbers_that_are_called(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    called = b"ctorch._utils\n_rebuild_tensor_v2\n"
    assert called in data
    path.write_bytes(data.replace(called, b"ctorch\n" + kind + b"\n"))
    with pytest.raises(Exception, match=r"callable|Unsupported|weights_only"):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="a data type is called as if it were a function"):
        open_tree(path)


def test_a_kind_of_numbers_that_is_called_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    start = b"\x80\x02}q\x00(X\x10\0\0\0protocol_version"
    data = path.read_bytes()
    assert start in data
    path.write_bytes(data.replace(start, start.replace(b"}", b"ctorch\nFloatStorage\n}\x85R")))
    with pytest.raises(TypeError, match="callable"):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="a data type is called as if it were a function"):
        open_tree(path)


@pytest.mark.parametrize("axis", [2, -3, 255])
def test_axes_that_there_are_not(axis: int, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["image", "w"], "x", kernel_shape=[1, 1]),
        node("Softmax", ["x"], "out", axis=axis + 2 * (axis > 0) - 2 * (axis < 0)),
    ]
    path = onnx_files.network(tmp_path / "a.onnx", nodes, {"w": np.ones((3, 2, 1, 1), "float32")})
    with pytest.raises(WeightsError, match="of 4"):
        identify(path)


def test_a_type_in_onnx_of_no_kind(tmp_path: Path) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    image = onnx_files.part(1, "image") + onnx_files.part(2, onnx_files.part(1, b""))
    content = onnx_files.graph([RELU], [kernel], [image], [value("out", None)])
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match="is unknown"):
        open_tree(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"K\x00\x85", b"\x89\x85"), (b"h\x07\x86", b"h\x07h\x03\x87")],
)
def test_arrays_that_begin_oddly(old: bytes, new: bytes, tmp_path: Path) -> None:
    data = pickle.dumps({"a": np.arange(6.0)}, 2)
    assert data.count(old) == 1
    path = tmp_path / "a.pkl"
    path.write_bytes(data.replace(old, new))
    with pytest.raises((TypeError, pickle.UnpicklingError)):
        pickle.loads(path.read_bytes())
    with pytest.raises(BrokenWeightsError):
        open_tree(path)


def test_an_array_of_dates_that_gets_keys(tmp_path: Path) -> None:
    data = pickle.dumps({"a": np.ones(2), "b": np.zeros(2, "M8[D]")}, 2)
    assert data.endswith(b"bu.")
    path = tmp_path / "a.pkl"
    path.write_bytes(data[:-2] + b"U\x01xK\x01su.")
    with pytest.raises(IndexError):
        pickle.loads(path.read_bytes())
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(path)


def test_a_row_that_is_made_of_two(tmp_path: Path) -> None:
    class Row:
        def __reduce__(self) -> Any:
            return tuple, ([1], [2])

    torch.save({"a": torch.ones(2), "b": Row()}, tmp_path / "a.pth")
    with pytest.raises(BrokenWeightsError, match="is made of 2 values"):
        open_tree(tmp_path / "a.pth")


@pytest.mark.parametrize("odd", ["missing", "double", "large"])
def test_programs_that_torch_export_refuses(odd: str, tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.export.save(torch.export.export(Halved().eval(), (torch.zeros(1, 1, 8, 8),)), made)
    path = tmp_path / "a.pt2"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("models/model.json"):
                program = json.loads(data)
                graph = program["graph_module"]["graph"]
                if odd == "missing":
                    del graph["nodes"][0]["inputs"][0]["arg"]
                elif odd == "double":
                    next(iter(graph["tensor_values"].values()))["sizes"][0]["as_float"] = 1.0
                else:
                    next(iter(graph["tensor_values"].values()))["sizes"][0]["as_int"] = 2**64
                data = json.dumps(program).encode()
            new.writestr(name, data)
    with pytest.raises(BrokenWeightsError):
        open_tree(path)


# ---- TorchScript -------------------------------------------------------------------------


class Halved(torch.nn.Module):
    """Calls a module, a function with a type of its own, and holds a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.rate = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(self.first(x), self.rate, self.training)


def script(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Halved().eval()), made)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
    return path


def test_a_script_that_is_whole(tmp_path: Path) -> None:
    tree = open_tree(script(tmp_path / "a.pt", lambda _, data: data))
    assert tree.root["first.weight"].shape == (2, 1, 3, 3)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"def dropout", b"def dropped"),  # a function that is called and not there
        (b"return _0", b"return _9"),  # a value that is not there
        (b"Tensor) -> Tensor", b"Tensors) -> Tensor"),
        (b"training : bool", b"training : List[bool, int]"),
        (b"padding : Final[Tuple[int, int]] = (1, 1)", b"padding : Final[int] = (1, 1)"),
        (b"in_channels : Final[int] = 1", b"groups : Final[int] = 1"),  # there twice
        (b"(first).forward(x, )", b"(first).backward(x, )"),
        (b"(first).forward(x, )", b"(first).forward(x, x, )"),
        (b"(first).forward(x, )", b"(first).forward(True, )"),
        (b"first = self.first", b"first = self.second"),
        (b"    return _", b"  return _"),
        (b"bias : Optional[Tensor]", b"bias : Optional[Tensor]\n  further : Tensor"),
        (b"class Conv2d", b"class Conv3d"),
        (b"Conv2d(Module)", b"Conv2d(bool)"),
        (b"padding_mode : Final[str]", b"NoneType : Final[str]"),
        (b"padding_mode : Final[str]", b"padding_mode : Optional[str]"),
        (b"Tensor:\n", b"Tensor:\n\xff"),
        (b"[1, 1], [1, 1], [1, 1]", b"[1, 1], [1, torch.relu], [1, 1]"),
        (b"[1, 1], [1, 1], [1, 1]", b"[1, 1], [True, 1], [1, 1]"),
        (
            b"torch.dropout(input, p, training)",
            b"torch.cat([input, annotate(Optional[Tensor], None)])",
        ),
        (b"torch.dropout(input, p, training)", b"torch.dropout(input, p)"),
        (b"torch.dropout(input, p, training)", b"torch.dropout(input, p, 1)"),
        (b"torch.dropout(input, p, training)", b"torch.dropout([1], p, training)"),
        (b"torch.dropout(input, p, training)", b"torch.dropout(input, p, drop=training)"),
        (b"torch.dropout(input, p, training)", b"torch.dropout(input, p, input)"),
        (b"torch.dropout(input, p, training)", b"torch.dropout(input, p, bool)"),
        (b"training : bool", b"training , bool"),
        (b"training : bool\n", b"training : bool\nclass Conv2d(Module):\n"),
        (b"__parameters__ = [", b"__parameters__  ["),
        (b"(first).forward(x, )", b"(x, x).forward(x, )"),
        (b"first = self.first", b"first = getattr(self, x)"),
    ],
)
def test_code_that_torch_does_not_compile(old: bytes, new: bytes, tmp_path: Path) -> None:
    changed = []

    def change(name: str, data: bytes) -> bytes:
        if name.endswith(".py") and old in data:
            changed.append(name)
            return data.replace(old, new)
        return data

    path = script(tmp_path / "a.pt", change)
    assert changed
    with pytest.raises((RuntimeError, UnicodeDecodeError, IndexError)):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError):
        open_tree(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\x80\x02", b"\x80\x04"), (b"\x80\x02", b"\x80\x02\x80\x02"), (b"K\x01", b"I1\n")],
)
def test_pickles_that_no_script_has(old: bytes, new: bytes, tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return data.replace(old, new, 1) if name == "data.pkl" else data

    path = script(tmp_path / "a.pt", change)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError):
        open_tree(path)


def test_more_code_than_a_file_has(tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        # In a process that has written others, the name is conv/___torch_mangle_1.py.
        wanted = name.endswith(".py") and "/conv" in name
        return data + b"\n" + b"a," * 10**6 if wanted else data

    path = script(tmp_path / "a.pt", change)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(BrokenWeightsError, match="bytes of code"):
        open_tree(packed)


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            y = x + 1
        else:
            y = x
        return torch.relu(y)


def test_a_value_of_two_types(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Branching()), made)
    assert open_tree(write(tmp_path / "a.pt", made, b"", b"")).container == "torchscript"
    path = write(tmp_path / "b.pt", made, b"torch.add(x, 1)", b"[1, 2]")
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="has no value"):
        open_tree(path)


class Asking(torch.nn.Module):
    """Asks for a number of axes and for a mode, as torchvision's networks do before they scale."""

    def forward(self, x: torch.Tensor, mode: str = "a") -> torch.Tensor:
        if x.dim() == 3 and mode == "linear":
            x = x[None]
        places: list[int] = []
        for place in range(x.dim() - 2):
            places.append(int(x.size(place) * 0.5) // 2)
        biggest, _ = torch.max(x, 1)
        parts = torch.chunk(x, 2)
        if len(parts) > 1 and math.floor(float(x.size(0)) / 2) >= 1:
            biggest = biggest + parts[1].sum() + len(places) % 2
        return biggest


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"_0 = False", b"_0 = 1", "_0 has no value"),
        (b"biggest, _3 = torch.max", b"biggest, _3, a = torch.max", "2 values for 3"),
    ],
)
def test_results_of_operations_have_types(
    old: bytes, new: bytes, says: str, tmp_path: Path
) -> None:
    refuse_alike(Asking(), old, new, says, tmp_path)


def test_the_value_without_another_is_none_of_an_operation(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Asking()), made)
    path = write(tmp_path / "a.pt", made, b'mode: str="a"', b"mode: str=torch.len")
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="len is used as a value"):
        open_tree(path)


class Pairs(torch.nn.Module):
    """Has a value that is a tuple with None in one branch."""

    def forward(self, x: torch.Tensor, both: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        if both:
            pair = (x, torch.neg(x))
            return pair
        return x, None


def test_tuples_of_two_types(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Pairs()), tmp_path / "a.pt")
    assert open_tree(tmp_path / "a.pt").container == "torchscript"


def test_tuples_that_double_with_each_line(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Branching()), made)
    lines = [f"    a{n} = (a{n - 1}, a{n - 1})\n" for n in range(1, 60)]
    new = "".join(["    a0 = (x, x)\n", *lines, "    _9 = torch.relu(a59)\n    return x\n"])
    path = write(tmp_path / "a.pt", made, b"    return torch.relu(y)\n", new.encode())
    with zipfile.ZipFile(path) as archive:
        assert any(b"a59" in archive.read(name) for name in archive.namelist())
    assert open_tree(path).container == "torchscript"  # what so large a value is, is not known


def test_types_of_results() -> None:
    from napari_segnet.containers._script_operators import called
    from napari_segnet.containers._script_types import ANY, NONE, Type

    def result(name: str, given: list[Type], **named: Type) -> Type:
        return called(name, given, named)

    tensor, whole, number, text = (Type(name) for name in ("Tensor", "int", "float", "str"))
    assert result("torch.eq", [tensor, whole]) == tensor
    assert result("torch.eq", [text, text]) == Type("bool")
    assert result("torch.eq", [ANY, ANY]) == ANY
    assert result("torch.add", [whole, whole]) == whole
    assert result("torch.add", [number, tensor]) == tensor
    assert result("ops.aten.mul", [whole, number]) == number
    assert result("torch.div", [whole, whole]) == number
    assert result("torch.neg", [whole]) == whole
    assert result("torch.__and__", [Type("bool"), Type("bool")]) == Type("bool")
    assert result("torch.sqrt", [whole]) == number
    assert result("torch.floor", [number]) == whole
    assert result("torch.size", [tensor, whole]) == whole
    assert result("torch.max", [tensor]) == tensor
    assert str(result("torch.min", [tensor, whole, Type("bool")])) == "Tuple[Tensor, Tensor]"
    assert result("torch.__getitem__", [Type("List", (text,)), whole]) == text
    assert result("torch.append", [Type("List", (tensor,)), tensor]) == Type("List", (tensor,))
    assert result("torch.items", [Type("Dict", (text, tensor))]) == Type(
        "List", (Type("Tuple", (text, tensor)),)
    )
    assert result("torch.relu_", [tensor]) == tensor
    assert result("torch.max_pool2d", [tensor, whole, whole], ceil_mode=Type("bool")) == tensor
    assert result("torch.permute", [tensor, whole, whole, tensor]) == tensor
    assert result("torch.format", [text, number, NONE]) == text
    assert result("ops.prim.RaiseException", [text]) == NONE
    assert result("ops.prim.of_a_later_pytorch", [tensor]) == ANY


@pytest.mark.parametrize(
    ("name", "given", "named"),
    [
        ("torch.add_", ["Tensor", "List[int]"], {}),
        ("torch.conv2d", ["Tensor", "Optional[Tensor]", "Tensor"], {}),
        ("torch.conv2d", ["Tensor", "Tensor", "Tensor", "List[float]"], {}),
        ("torch.conv2d", ["Tensor"], {}),
        ("torch.relu", ["Tensor", "Tensor"], {}),
        ("torch.relu", ["Tensor"], {"inplace": "bool"}),
        ("torch.relu", ["Tensor"], {"self": "Tensor"}),
        ("torch.add", ["Tensor", "Tensor", "int", "int"], {}),
        ("torch.gt", ["int", "NoneType"], {}),
        ("torch.append", ["List[Tensor]", "int"], {}),
        ("torch.batch_norm", ["Tensor"] * 5 + ["bool", "int", "float", "bool"], {}),
        ("ops.prim.RaiseException", ["str", "List[int]"], {}),
    ],
)
def test_values_that_no_operation_takes(name: str, given: list[str], named: dict[str, str]) -> None:
    from napari_segnet.containers._script_operators import called
    from napari_segnet.containers._script_types import Type, type_of

    def made(said: str) -> Type:
        return type_of(ast.parse(said, mode="eval").body, {})

    with pytest.raises(ValueError, match="takes no"):
        called(name, list(map(made, given)), {key: made(one) for key, one in named.items()})


def refuse_alike(module: torch.nn.Module, old: bytes, new: bytes, says: str, folder: Path) -> None:
    """Open a scripted module, and refuse it as PyTorch does once its code is changed."""
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(module), made)
    assert open_tree(write(folder / "a.pt", made, b"", b"")).container == "torchscript"
    path = write(folder / "b.pt", made, old, new)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


def write(path: Path, made: io.BytesIO, old: bytes, new: bytes) -> Path:
    with zipfile.ZipFile(made) as archive, zipfile.ZipFile(path, "w") as again:
        for name in archive.namelist():
            data = archive.read(name)
            again.writestr(name, data.replace(old, new) if name.endswith(".py") else data)
    return path


class Both(NamedTuple):
    """What a method gives."""

    mean: torch.Tensor
    spread: torch.Tensor


class Standardised(torch.nn.Module):
    """Takes a named tuple apart."""

    def both(self, x: torch.Tensor) -> Both:
        return Both(x.mean(), x.std())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, spread = self.both(x)
        return (x - mean) / spread


@pytest.mark.parametrize("names", [b"mean, = ", b"mean, spread, more, = "])
def test_a_named_tuple_has_a_value_for_each_name(names: bytes, tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Standardised()), made)
    whole = write(tmp_path / "a.pt", made, b"", b"")
    assert open_tree(whole).container == "torchscript"
    path = write(tmp_path / "b.pt", made, b"mean, spread, = ", names)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="named tuple of 2 values for"):
        open_tree(path)


def test_operators_between_values_are_operations(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Branching()), made)
    old = b"    return torch.relu(y)\n"
    for number, line in enumerate((b"y @ y", b"y + 1", b"y % 2", b"y * (3 // 2 ** 2)", b"-y / y")):
        path = write(tmp_path / f"a{number}.pt", made, old, b"    return " + line + b"\n")
        torch.jit.load(path)
        assert open_tree(path).container == "torchscript"
    path = write(tmp_path / "b.pt", made, old, b"    return True @ y\n")
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError):
        open_tree(path)


class Forked(torch.nn.Module):
    """What TorchScript writes with a function in a function, and asks for the kind of a value."""

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        beside = torch.jit.fork(torch.neg, x)
        if isinstance(y, torch.Tensor):
            x = x + y
        return x + torch.jit.wait(beside)


def test_a_script_with_a_function_in_a_function(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.script(Forked()), path)
    assert open_tree(path).container == "torchscript"


KERNEL = torch.ones(1, 1, 3, 3)


class Fixed(torch.nn.Module):
    """Has a constant when it is traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, KERNEL, padding=[1, 1])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"[1, 1]", b"[1, [1, 1]]", "takes no .*List"),
        (b"CONSTANTS.c0", b"CONSTANTS.c" + b"9" * 5000, "no constant"),
        (
            b"  def forward",
            b"  a : Final[int] = uninitialized(Tensor)\n  def forward",
            "is not made",
        ),
        (b"  def forward", b"  a : Final[int] = annotate(str, b)\n  def forward", "has no value"),
    ],
)
def test_lists_and_constants_of_a_script(old: bytes, new: bytes, says: str, tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.trace(Fixed(), torch.ones(1, 1, 8, 8)), made)
    assert open_tree(write(tmp_path / "a.pt", made, b"", b"")).container == "torchscript"
    path = write(tmp_path / "b.pt", made, old, new)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


@pytest.mark.parametrize(
    ("value", "says"), [(b"K\x01", "takes no .*int"), (b"ctorch\ndevice\n", "class")]
)
def test_constants_of_a_script_have_types(value: bytes, says: str, tmp_path: Path) -> None:
    path = constants(b"\x80\x02" + value + b"\x85.", b"", b"", tmp_path / "a.pt")
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


def test_the_metadata_of_a_tensor_of_a_script(tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return data.replace(b")R", b")R\x89", 1) if name == "data.pkl" else data

    def metadata(name: str, data: bytes) -> bytes:
        at = data.index(b")R") + 2 if name == "data.pkl" else 0
        return data[:at] + b"}" + data[at:] if at else data

    assert open_tree(script(tmp_path / "a.pt", metadata)).container == "torchscript"
    torch.jit.load(tmp_path / "a.pt")
    path = script(tmp_path / "b.pt", change)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="metadata of a tensor"):
        open_tree(path)


def test_a_class_of_a_script_that_holds_itself(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.trace(Fixed(), torch.ones(1, 1, 8, 8)), made)
    with zipfile.ZipFile(made) as file:
        code = next(file.read(name) for name in file.namelist() if name.endswith(".py"))
    own = code.partition(b"self: ")[2].partition(b",")[0]
    old = b"  training : bool\n"
    path = write(tmp_path / "a.pt", made, old, old + b"  inner : " + own + b"\n")
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="a class holds itself"):
        open_tree(path)


def constants(data: bytes | None, old: bytes, new: bytes, path: Path) -> Path:
    """Write a script whose constants are others, or of whose bytes some are."""
    made = io.BytesIO()
    torch.jit.save(torch.jit.trace(Fixed(), torch.ones(1, 1, 8, 8)), made)
    with zipfile.ZipFile(made) as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    at = next(place for place, (name, _) in enumerate(parts) if name.endswith("constants.pkl"))
    name, own = parts[at]
    assert old in own
    parts[at] = (name, own.replace(old, new) if data is None else data)
    return packed(path, parts)


def test_whole_numbers_of_a_script_have_8_bytes(tmp_path: Path) -> None:
    old, three = b"K\x03t(", (3).to_bytes(8, "little")
    whole = constants(None, old, b"\x8a\x08" + three + b"t(", tmp_path / "a.pt")
    assert open_tree(whole).container == "torchscript"
    path = constants(None, old, b"\x8a\x01\x03t(", tmp_path / "b.pt")
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="has not 8 bytes"):
        open_tree(path)


@pytest.mark.parametrize(
    ("names", "fields", "opens"),
    [
        (("x", "y"), {"x": (np.dtype("f4"), 0), "y": (np.dtype("f4"), 4, "title")}, True),
        (("x", "y"), None, False),
        (None, {"x": (np.dtype("f4"), 0)}, False),
        (["x"], {"x": (np.dtype("f4"), 0)}, False),
    ],
)
def test_names_and_fields_of_a_table(names: Any, fields: Any, opens: bool, tmp_path: Path) -> None:
    class Table:
        def __reduce__(self) -> Any:
            return np.dtype, ("V8", False, True), (3, "|", None, names, fields, 8, 1, 16)

    torch.save({"a": torch.ones(2), "b": Table()}, tmp_path / "a.pth")
    if opens:
        assert "a" in open_tree(tmp_path / "a.pth").root
        return
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        np.dtype("V8", False, True).__setstate__(Table().__reduce__()[2])  # type: ignore[operator]
    with pytest.raises(BrokenWeightsError, match="of a table"):
        open_tree(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("count", "names", "opens"),
    [(1, None, True), (2**31 - 1, None, True), (2**31, None, False), (1, "f", False)],
)
def test_units_of_a_date(count: int, names: Any, opens: bool, tmp_path: Path) -> None:
    class Day:
        def __reduce__(self) -> Any:
            unit = ({}, (b"D", count, 1, 1))
            return np.dtype, ("M8", False, True), (4, "<", None, names, None, -1, -1, 0, unit)

    torch.save({"a": torch.ones(2), "b": Day()}, tmp_path / "a.pth")
    if opens:
        assert "a" in open_tree(tmp_path / "a.pth").root
        return
    with pytest.raises(BrokenWeightsError):
        open_tree(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nTensor\n"),
        (b"ctorch\nFloatStorage\n", b"cnumpy\nndarray\n"),
    ],
)
def test_names_that_no_script_has(old: bytes, new: bytes, tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return data.replace(old, new) if name == "data.pkl" else data

    path = script(tmp_path / "a.pt", change)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="which is not written there"):
        open_tree(path)


def test_a_list_of_parts_that_is_too_short(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = bytearray(path.read_bytes())
    last = data.rindex(b"PK\1\2")
    struct.pack_into("<H", data, last + 28, 300)  # the length of its name
    path.write_bytes(data)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="another length than it says"):
        open_tree(path)


def test_colours_of_nifti_that_are_scaled(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    colours = np.zeros((4, 5, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), path)
    assert open_image(path).rgb
    data = bytearray(path.read_bytes())
    struct.pack_into("<ff", data, 112, 2.0, 1.0)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="it scales colours"):
        open_image(path)


def test_a_group_of_zarr_of_no_kind(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=np.zeros((20, 30), "u2"), chunks=(10, 10))
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"datasets": [{"path": "0"}]}]}
    head = tmp_path / "a.zarr" / "zarr.json"
    head.write_text(head.read_text().replace('"group"', '"groups"'))
    with pytest.raises(ImageError, match="no array and no group"):
        open_image(tmp_path / "a.zarr")


def test_two_inputs_in_onnx_of_one_name(tmp_path: Path) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    image = value("image", onnx_files.IMAGE)
    content = onnx_files.graph([RELU], [kernel], [image, image], [value("out", None)])
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match="two of its inputs have one name"):
        open_tree(tmp_path / "a.onnx")


def test_a_node_of_onnx_without_what_it_must_have(tmp_path: Path) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    joined = node("Concat", ["image", "image"], ["out"])
    image = value("image", onnx_files.IMAGE)
    content = onnx_files.graph([joined], [kernel], [image], [value("out", None)])
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match="no attribute 'axis'"):
        open_tree(tmp_path / "a.onnx")


@pytest.fixture(scope="module")
def exported() -> Parts:
    """The parts of a file of torch.export."""
    made = io.BytesIO()
    torch.export.save(torch.export.export(Halved().eval(), (torch.zeros(1, 1, 8, 8),)), made)
    with zipfile.ZipFile(made) as old:
        return [(name, old.read(name)) for name in old.namelist()]


def packed(path: Path, parts: Parts) -> Path:
    with zipfile.ZipFile(path, "w") as new:
        for name, data in parts:
            new.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("part", "data", "says"),
    [
        ("archive_version", b"1", "later version"),
        ("archive_version", None, "archive_version is missing"),
        (".data/version", None, "version is missing"),
        ("sample_inputs/model.pt", None, "model.pt is missing"),
        ("constants_config.json", None, r"constants_config\.json is missing"),
        ("sample_inputs/model.pt", b'{"config": {}}', "is no zip file"),
    ],
)
def test_parts_of_a_package(
    part: str, data: bytes | None, says: str, exported: Parts, tmp_path: Path
) -> None:
    assert "first.weight" in open_tree(packed(tmp_path / "a.pt2", exported)).root
    changed = [(name, data if name.endswith(part) else own) for name, own in exported]
    path = packed(tmp_path / "b.pt2", [(name, own) for name, own in changed if own is not None])
    with pytest.raises(Exception):  # noqa: B017
        torch.export.load(path)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"use_pickle": false', b'"use_pickle": "true"'),
        (b'"type": "cpu"', b'"type": null'),
        (b'"strides": [{"as_int": 1}]', b'"strides": []'),
    ],
)
def test_what_a_package_says_of_its_weights(
    old: bytes, new: bytes, exported: Parts, tmp_path: Path
) -> None:
    def change(name: str, data: bytes) -> bytes:
        wanted = name.endswith("weights_config.json")
        assert not wanted or old in data
        return data.replace(old, new) if wanted else data

    path = packed(tmp_path / "a.pt2", [(name, change(name, data)) for name, data in exported])
    with pytest.raises(Exception):  # noqa: B017
        torch.export.load(path)
    with pytest.raises(BrokenWeightsError, match="damaged program"):
        open_tree(path)


def test_a_program_with_a_negative_length() -> None:
    from napari_segnet.containers._export_sound import require_program

    meta: dict[str, Any] = {"dtype": 7, "layout": 7, "requires_grad": False}
    meta |= {"sizes": [{"as_int": 1}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}}
    meta |= {"device": {"type": "cpu", "index": None}}
    program = exports.program()
    graph, signature = (program["graph_module"][name] for name in ("graph", "signature"))
    graph["tensor_values"]["x"] = meta
    require_program(program)
    meta["sizes"] = [{"as_int": -1}]
    with pytest.raises(ValueError, match="is not a whole number, or is negative"):
        require_program(program)
    meta |= {"sizes": [{"as_int": 1}], "device": {"type": None, "index": None}}
    with pytest.raises(ValueError, match="is no str"):
        require_program(program)
    meta |= {"strides": [], "device": {"type": "cpu", "index": None}}
    with pytest.raises(ValueError, match="1 lengths, 0 steps"):
        require_program(program)
    odd = {"as_expr": {"expr_str": "Max(Integer(1L), s0)", "hint": None}}
    meta |= {"sizes": [odd], "strides": [{"as_int": 1}]}
    with pytest.raises(ValueError, match="is no expression"):
        require_program(program)
    hint = {"as_expr": {"expr_str": "s0", "hint": {"as_int": {}}}}
    meta |= {"sizes": [hint], "strides": [{"as_int": 1}]}
    with pytest.raises(ValueError, match="is no int"):
        require_program(program)
    meta["sizes"] = [{"as_int": 1}]
    graph["inputs"] = [{"as_tensor": {"name": "x"}}]
    signature["input_specs"] = [{"user_input": {"arg": {"as_tensor": {"name": "x"}}}}]
    require_program(program)
    signature["input_specs"] = [{"parameter": {"arg": {"name": "y"}, "parameter_name": "a"}}]
    with pytest.raises(ValueError, match="names another value than its graph"):
        require_program(program)
    signature["input_specs"] = []
    with pytest.raises(ValueError, match="takes 1 values, its signature 0"):
        require_program(program)
    graph["inputs"], signature["output_specs"] = [], [{}]
    with pytest.raises(ValueError, match="of no kind, or of several"):
        require_program(program)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"as_tensors": [{"nmae": "x"}]}, "TensorArgument has no field 'name'"),
        ({"as_device": 3}, "Device has no fields"),
        ({"as_optional_tensors": [{"as_tensor": 1}]}, "TensorArgument has no fields"),
        ({"as_sym_ints": [{"as_int": 1, "as_name": "x"}]}, "of no kind, or of several"),
        ({"tensor": {"name": "x"}}, "of the kind 'tensor'"),
        ({"as_ints": 3}, "a list or table of it is a int"),
        ({"as_sym_ints": [{"as_tensor": {"name": "x"}}]}, "of the kind 'as_tensor'"),
        ({"as_string_to_argument": {"a": {"as_device": {"type": 1}}}}, "no str"),
    ],
)
def test_a_program_with_a_value_that_pytorch_refuses(value: Any, says: str) -> None:
    from napari_segnet.containers._export_sound import require_program

    program = exports.program()
    node = {"target": "torch.ops.aten.relu.default", "metadata": {}}
    node["outputs"] = [{"as_none": True}]
    node["inputs"] = [{"name": "self", "arg": {"as_ints": [3]}, "kind": 1}]
    program["graph_module"]["graph"]["nodes"] = [node]
    require_program(program)
    node["inputs"] = [{"name": "self", "arg": value, "kind": 1}]
    with pytest.raises(ValueError, match=says):
        require_program(program)
    node["inputs"] = [{"name": "selfself", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}]
    with pytest.raises(ValueError, match="no operation takes a value 'selfself'"):
        require_program(program)


def test_a_png_that_says_in_packed_text_how_it_is_turned(tmp_path: Path) -> None:
    import imagecodecs

    data = imagecodecs.png_encode(np.arange(600, dtype="u2").reshape(20, 30))
    text = zlib.compress(b'<x tiff:Orientation="6"/>')
    part = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + text
    chunk = struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
    end = data.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(data[:end] + chunk + data[end:])
    assert open_image(tmp_path / "a.png").data.shape == (30, 20)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x02\x85", b"J\xfe\xff\xff\xff\x85"),  # -2 objects
        (b"K\x01K\x01K\x01t", b"K\x01K\x01t"),  # the unit of dates in three parts
    ],
)
def test_states_of_arrays_that_are_not_read(old: bytes, new: bytes, tmp_path: Path) -> None:
    made = {"w": np.ones(3), "o": np.array([None, 1], object), "d": np.zeros(2, "M8[D]")}
    data = pickle.dumps(made, 2)
    (tmp_path / "a.pkl").write_bytes(data)
    assert open_tree(tmp_path / "a.pkl").container == "pickle"
    assert old in data
    (tmp_path / "a.pkl").write_bytes(data := data.replace(old, new, 1))
    with pytest.raises((ValueError, TypeError)):
        pickle.loads(data)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "a.pkl")


@pytest.mark.parametrize("outside", [b"K\x01Q", b"Pa\n"])
def test_arrays_beside_what_is_outside(outside: bytes, tmp_path: Path) -> None:
    data = b"\x80\x02" + outside + b"0" + pickle.dumps({"w": np.ones(3)}, 2)[2:]
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)
    with pytest.raises(BrokenWeightsError, match="outside of it"):
        open_tree(tmp_path / "a.pkl")


def test_an_array_that_gets_a_second_state(tmp_path: Path) -> None:
    data = pickle.dumps({"w": np.ones(3), "o": np.array([None], object)}, 2)
    (tmp_path / "a.pkl").write_bytes(data := data[:-2] + b"u.")
    (tmp_path / "b.pkl").write_bytes(twice := data[:-2] + b"K\x01\x85bu.")
    assert open_tree(tmp_path / "a.pkl").container == "pickle"
    with pytest.raises(TypeError):
        pickle.loads(twice)
    with pytest.raises(BrokenWeightsError, match="a second state"):
        open_tree(tmp_path / "b.pkl")


@pytest.mark.parametrize(
    "odd",
    [
        b"ctorch.serialization\n_get_layout\nX\x04\0\0\0pool\x85R",
        b"ctorch.storage\nUntypedStorage\nX\x04\0\0\0pool\x85R",
        b"ctorch\nTensor\n]\x89}\x87R",
        b"ctorch\nTensor\nX\x01\0\0\0a\x85R",
    ],
)
def test_calls_that_torch_refuses(odd: bytes, tmp_path: Path) -> None:
    def change(parts: Parts) -> Parts:
        return [
            (name, data[:2] + odd + b"0" + data[2:] if name.endswith("data.pkl") else data)
            for name, data in parts
        ]

    path = torch_file(tmp_path / "a.pth", change)
    with pytest.raises((KeyError, RuntimeError, TypeError)):
        torch.load(path, weights_only=False)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(path)


def test_a_part_that_is_in_another_file(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "a.pth", list)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.rindex(b"PK\1\2") + 34, 7)
    path.write_bytes(data)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(BrokenWeightsError, match="in another file"):
        open_tree(path)


def test_a_keras_file_that_is_being_written(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(tmp_path / "b.h5", "w", libver="latest") as file:
        file["model_weights/a/w"] = np.ones(3, "f4")
        file.flush()
        path.write_bytes((tmp_path / "b.h5").read_bytes())
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(path, "r")
    with pytest.raises(BrokenWeightsError, match="has not closed"):
        open_tree(path)


def test_extensions_of_nifti_that_reach_into_the_pixels(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(np.full((4, 5), 7, "u1"), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a" * 24))
    nibabel.save(image, path)
    assert open_image(path).data.shape == (5, 4)
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 108, 0.0)  # where the pixels begin
    path.write_bytes(data)
    with pytest.raises(Exception):  # noqa: B017
        nibabel.load(path)
    with pytest.raises(ImageError, match="extension of its header"):
        open_image(path)


def test_a_png_whose_last_part_is_cut_off(tmp_path: Path) -> None:
    import imagecodecs
    import PIL.Image

    data = imagecodecs.png_encode(np.arange(600, dtype="u2").reshape(20, 30))
    end = data.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(data[:end] + struct.pack(">I4s", 40, b"tEXt") + b"ab")
    with pytest.raises(OSError), PIL.Image.open(tmp_path / "a.png") as image:
        image.load()
    with pytest.raises(ImageError, match="its last part is cut off"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_thousands_of_chunks_that_are_not_there(zarr_format: Any, tmp_path: Path) -> None:
    """Zarr decodes one of them; the others are as that one."""
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    made = zarr.create_array(
        path, shape=(199, 40), chunks=(2, 5), dtype="u2", fill_value=9, zarr_format=zarr_format
    )
    made[4:7, 10:12] = 3
    pixels = ZarrPixels(path, zarr_format)
    asked: list[Any] = []

    class Counted:
        def __getitem__(self, box: Any) -> Any:
            asked.append(box)
            return made[box]

    pixels._array = Counted()
    assert np.array_equal(np.asarray(pixels[...]), made[...])
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("made", "opset", "says"),
    [
        (node("Relu", ["image"], "out"), -17, "version of its operations that there is not"),
        (node("Relu", ["image"], "out", "image"), 17, "version of operations of 'image'"),
        (node("", ["image"], "out"), 17, "a node has no operation|has not: ''|no operation"),
    ],
)
def test_nodes_of_onnx_that_are_of_nothing(
    made: bytes, opset: int, says: str, tmp_path: Path
) -> None:
    path = onnx_files.network(tmp_path / "a.onnx", [made], opset=opset)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


@pytest.mark.parametrize(("kind", "field"), [(8, 5), (8, 9), (23, 7)])
def test_numbers_of_onnx_in_a_field_of_others(kind: int, field: int, tmp_path: Path) -> None:
    odd = onnx_files.tensor_of("odd", [1], kind, onnx_files.part(field, b"\1"))
    content = onnx_files.graph(
        [RELU], [odd], [value("image", onnx_files.IMAGE)], [value("out", None)]
    )
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match="those of another kind"):
        open_tree(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "odd",
    [
        b"cdatetime\ndatetime\ncdatetime\ndate\n\x85R",  # a date made of a class
        b"cbuiltins\nobject\nX\x01\0\0\0a\x85R",
        b"cbuiltins\nslice\n(K\x01K\x02K\x03K\x04tR",
        b"ccollections\nCounter\n\x88\x85R",
        b"ctypes\nSimpleNamespace\nK\x01\x85R",
        b"ccollections\nCounter\n}\x85\x85R",
        b"}cbuiltins\nset\nX\x02\0\0\0ab\x85RK\x01s",
        b"cbuiltins\nbytearray\n}X\x01\0\0\0aK\x01s\x85R",
        b"ccollections\ndefaultdict\ncbuiltins\nint\nK\x05\x86R",
        b"ccollections\ndefaultdict\nctorch\nFloatStorage\n\x85RK\x01K\x02scbuiltins\nint\n)R"
        b"ctorch\nfloat32\n)R",
        b"cnumpy._core.mtltiarray\nscalar\n",
        b"cnumpy._core.multiarray\nsclar\n",
        b"cnumpy\ndtpye\n",
        b"cnumpy\ndtype\ncnumpy\ndtype\n\x85R(K\x01K\x08\x85NNNNNtb",
        b"cnumpy\ndtype\nX\x01\0\0\0n\x89\x88\x87R(K\x03X\x01\0\0\0<NNNK\x02K\x01K\x00tb",
        b"cnumpy\ndtype\nX\x02\0\0\0U2\x89\x88\x87R(K\x00X\x01\0\0\0<NNNK\x08K\x04K\x08tb",
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy's
def test_values_that_python_cannot_make(odd: bytes, tmp_path: Path) -> None:
    data = pickle.dumps({"w": np.ones(3)}, 2)
    array = (
        b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01K\x02\x85"
    )
    inside = array + odd + b"\x89C\x04\0\0\0\0tb" if b"dtype" in odd else odd
    (tmp_path / "a.pkl").write_bytes(odd := data[:2] + inside + b"0" + data[2:])
    (tmp_path / "b.pkl").write_bytes(data)
    assert open_tree(tmp_path / "b.pkl").container == "pickle"
    with pytest.raises(
        (TypeError, ValueError, SystemError, RuntimeError, ImportError, AttributeError)
    ):
        pickle.loads(odd)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "a.pkl")


def test_values_of_a_class_that_python_makes(tmp_path: Path) -> None:
    """A name of a kind that its own pickle never writes, and what takes a class."""
    kind = b"cnumpy\ndtype\nX\x01\0\0\0n\x89\x88\x87R(K\x03X\x01\0\0\0<NNN"
    kind += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    array = (
        b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01K\x01\x85"
    )
    whole = array + kind + b"\x89C\x08\7\0\0\0\0\0\0\0tb"
    texts = b"cbuiltins\nbool\ncbuiltins\nint\n\x85R"
    data = pickle.dumps({"w": np.ones(3)}, 3)[:-1]
    data += b"X\x01\0\0\0n" + whole + b"sX\x01\0\0\0b" + texts + b"s."
    (tmp_path / "a.pkl").write_bytes(data)
    assert pickle.loads(data)["n"].tolist() == [7]
    found = open_tree(tmp_path / "a.pkl").root["n"]
    assert np.asarray(found).tolist() == [7]
    assert np.asarray(found).dtype == np.dtype("n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('__parameters__ = ["weight"', "__parameters__ = [0", "no list of names"),
        ("__buffers__ = []", "__buffers__ = 3", "no list of names"),
        ("self.weight\n", "(self.weight)._conv_forward(input, )\n", "has no function"),
        ("self.weight\n", "(__torch__.Small).forward(input, )\n", "there is no __torch__"),
        ("self.weight\n", "CONSTANTS.c0(input, )\n", "a constant is called"),
        ("self.weight\n", "torch.eq(None, self.weight)\n", "takes no None"),
        ("self.weight\n", "torch.linear(input, input, 3)\n", "takes no Tensor, Tensor, int"),
        ("self.weight\n", "torch.relu(self)\n", "takes no __torch__"),
        ("(Module)", "()", "empty brackets"),
        ("self.weight\n", "torch.relu(input, input)\n", "takes no Tensor, Tensor"),
        (
            "self.weight\n",
            "self.weight\n    for i in range(0.5):\n      pass\n",
            "range of a float",
        ),
        ("self.weight\n", "self.weight\n    for i in 3:\n      pass\n", "goes through a int"),
        (
            "self.weight\n",
            "self.weight\n    b = torch.size(input)[0.5]\n",
            "takes no List.int., float",
        ),
        (
            "self.weight\n",
            "self.weight\n    b = torch.size(input)[0, 1]\n",
            "takes no List.int., Tuple",
        ),
        ("self.weight\n", "self.weight\n    b = torch.size(input)[:0.5]\n", "a place is a float"),
        (
            "self.weight\n",
            "self.weight\n    if (1, 2):\n      pass\n    else:\n      pass\n",
            "a condition is a Tuple",
        ),
    ],
)
def test_code_that_no_pytorch_compiles(old: str, new: str, says: str, tmp_path: Path) -> None:
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return input * self.weight

    torch.jit.trace(Small(), torch.ones(3)).save(str(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    assert open_tree(tmp_path / "a.pt").container == "torchscript"
    assert any(old.encode() in data for _, data in parts)
    parts = [(n, d.replace(old.encode(), new.encode(), 1)) for n, d in parts]
    path = packed(tmp_path / "b.pt", parts)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


@pytest.mark.parametrize("bound", [float("-inf"), "-Infinity", 2, None])
def test_bounds_of_a_length_may_be_infinite(bound: Any) -> None:
    from napari_segnet.containers._export_sound import require_program

    program = exports.program()
    program["range_constraints"]["s0"] = {"min_val": bound, "max_val": 9}
    require_program(json.loads(json.dumps(program)))
    program["range_constraints"]["s0"]["min_val"] = [1]
    with pytest.raises(ValueError, match="no bound"):
        require_program(program)


def test_a_module_whose_call_is_half_described() -> None:
    from napari_segnet.containers._export_sound import require_program

    call: dict[str, Any] = {"fqn": "", "signature": None}
    program = exports.program(module_call_graph=[call])
    require_program(program)
    leaf = '[1, {"type": null, "context": null, "children_spec": []}]'
    call["signature"] = {"inputs": [], "outputs": [], "in_spec": leaf, "out_spec": leaf}
    require_program(program)
    del call["signature"]["out_spec"]
    with pytest.raises(ValueError, match="ModuleCallSignature has no field 'out_spec'"):
        require_program(program)


@pytest.mark.parametrize(
    ("inputs", "kind", "says"),
    [
        ([value("image", onnx_files.IMAGE), b""], 1, "has no name"),
        ([value("image", onnx_files.IMAGE), onnx_files.part(1, "x")], 1, "has no type"),
        ([value("image", onnx_files.IMAGE)], 29, "of no kind"),
    ],
)
def test_values_of_onnx_without_a_name_or_a_type(
    inputs: list[bytes], kind: int, says: str, tmp_path: Path
) -> None:
    extra = onnx_files.tensor_of("odd", [1], kind, onnx_files.part(9, b"\1\0\0\0"))
    content = onnx_files.graph([RELU], [extra], inputs, [value("out", None)])
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(tmp_path / "a.onnx")


def test_a_version_of_onnx_that_is_to_come(tmp_path: Path) -> None:
    path = onnx_files.network(tmp_path / "a.onnx", [RELU])
    data = path.read_bytes()
    assert data[0] == 8
    path.write_bytes(b"\x08\x0f" + data[2:])
    with pytest.raises(UnsupportedWeightsError, match="version 15 of the format"):
        open_tree(path)


def test_a_colour_of_png_that_is_cut_off(tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.new("RGB", (3, 4)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    data = (tmp_path / "a.png").read_bytes()
    at = data.index(b"tRNS") - 4
    part = b"tRNS\0\1"
    part = struct.pack(">I", 2) + part + struct.pack(">I", zlib.crc32(part))
    assert open_image(tmp_path / "a.png").data.shape == (4, 3, 3)
    (tmp_path / "b.png").write_bytes(data[:at] + part + data[at + 18 :])
    with pytest.raises(ValueError, match="Truncated"), PIL.Image.open(tmp_path / "b.png") as image:
        image.load()
    with pytest.raises(ImageError, match="and must have 6"):
        open_image(tmp_path / "b.png")


@pytest.mark.parametrize("separator", [".", "/"])
def test_a_million_chunks_that_are_not_there(separator: Any, tmp_path: Path) -> None:
    """A header of 200 bytes says them: they are filled at once, and none is looked for."""
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    made = zarr.create_array(
        path,
        shape=(1_000_000, 2),
        chunks=(1, 2),
        dtype="u2",
        fill_value=9,
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": separator},
    )
    made[70_000:70_003] = 3
    pixels = ZarrPixels(path, 2)
    asked: list[Any] = []
    pixels._is_absent = lambda where: bool(asked.append(where)) or not 70_000 <= where[0] < 70_003
    found = np.asarray(pixels[...])
    assert (found[70_000:70_003] == 3).all() and (found == 3).sum() == 6
    assert (found == 9).sum() == found.size - 6
    assert len(asked) < 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x02\x85q\x1b", b"K\x03\x85q\x1b"),  # two objects for three
        (b"K\x00N(", b"K\x08N("),  # flags of dates
        (b"bu.", b"b)Ru."),  # an array is called
    ],
)
def test_arrays_of_objects_and_dates(old: bytes, new: bytes, tmp_path: Path) -> None:
    made = {"w": np.ones(1), "o": np.array([None, 1], object), "d": np.zeros(1, "M8[D]")}
    data = pickle.dumps(made, 2)
    (tmp_path / "a.pkl").write_bytes(data)
    assert open_tree(tmp_path / "a.pkl").container == "pickle"
    assert data.count(old) == 1
    (tmp_path / "a.pkl").write_bytes(data.replace(old, new))
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "a.pkl")


def test_whole_numbers_that_are_predicted_as_floats(tmp_path: Path) -> None:
    import tifffile

    data = np.arange(600, dtype="f4").reshape(20, 30)
    tifffile.imwrite(tmp_path / "a.tif", data, compression="zlib", predictor=3)
    assert np.array_equal(np.asarray(open_image(tmp_path / "a.tif").data), data)
    tifffile.imwrite(tmp_path / "b.tif", data.astype("i4"), compression="zlib", predictor=2)
    with tifffile.TiffFile(tmp_path / "b.tif", mode="r+") as file:
        file.pages[0].tags[317].overwrite(3)
    with pytest.raises(ImageError, match="tag 317"):
        open_image(tmp_path / "b.tif")


def test_a_program_that_leaves_more_than_its_modules(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    assert open_tree(tmp_path / "a.pt").container == "torchscript"
    more = [(n, d[:2] + b"N" + d[2:] if n.endswith("/data.pkl") else d) for n, d in parts]
    with pytest.raises(RuntimeError, match="expected 1 element"):
        torch.jit.load(packed(tmp_path / "b.pt", more))
    with pytest.raises(BrokenWeightsError, match="more than one value"):
        open_tree(tmp_path / "b.pt")
    body = b"  training : bool\n"
    assert any(body in d for _, d in parts)
    odd = [(n, d.replace(body, body + b"  other = Optional[bool]\n")) for n, d in parts]
    with pytest.raises(RuntimeError, match="Expected a type"):
        torch.jit.load(packed(tmp_path / "c.pt", odd))
    with pytest.raises(BrokenWeightsError, match="other has no type"):
        open_tree(tmp_path / "c.pt")


@pytest.mark.parametrize(
    "odd",
    [
        b"ctorch\nfloat64\nX\x01\0\0\0a\x85R",
        b"ccollections\nOrderedDict\nX\x04\0\0\0word\x85R",
        b"ccollections\nOrderedDict\n](K\x01K\x02e\x85R",
        b"cbuiltins\ndict\n]((K\x01K\x02K\x03te\x85R",
    ],
)
def test_calls_in_the_head_of_an_old_file(odd: bytes, tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.save(TENSORS, made, _use_new_zipfile_serialization=False)
    data, word = made.getvalue(), b"q\x01M\xe9\x03"
    (tmp_path / "a.pth").write_bytes(data)
    assert open_tree(tmp_path / "a.pth").container == "torch-legacy"
    assert data.count(word) == 1
    (tmp_path / "b.pth").write_bytes(data.replace(word, word + odd + b"0"))
    with pytest.raises((TypeError, ValueError)):
        torch.load(tmp_path / "b.pth", weights_only=False)
    with pytest.raises(BrokenWeightsError, match="cannot be read"):
        open_tree(tmp_path / "b.pth")


def test_pairs_that_make_a_dict(tmp_path: Path) -> None:
    texts = b"ccollections\nOrderedDict\n](X\x02\0\0\0ab]X\x01\0\0\0ca]K\x01ae\x85R"
    data = pickle.dumps({"w": np.ones(3)}, 2)[:-1] + b"X\x01\0\0\0o" + texts + b"s."
    with pytest.raises(ValueError, match="1"):
        pickle.loads(data)
    data = data.replace(b"]X\x01\0\0\0ca]K\x01a", b"]X\x01\0\0\0caK\x01\x85").replace(
        b"]X\x01\0\0\0caK\x01\x85", b"X\x01\0\0\0cK\x01\x86"
    )
    (tmp_path / "a.pkl").write_bytes(data)
    assert list(pickle.loads(data)["o"].items()) == [("a", "b"), ("c", 1)]
    assert open_tree(tmp_path / "a.pkl").root["o"] == {"a": "b", "c": 1}


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (onnx_files.part(9, b""), "type of a value is unknown"),
        (onnx_files.part(4, onnx_files.part(1, b"")), "type of a value is unknown"),
    ],
)
def test_types_of_onnx_that_are_of_nothing(typed: bytes, says: str, tmp_path: Path) -> None:
    listed = [
        onnx_files.part(4, onnx_files.part(1, onnx_files.part(1, onnx_files.whole(1, n))))
        for n in (1, 0)  # of a kind that is left open, as ONNX Runtime accepts it in a sequence
    ]
    image = value("image", onnx_files.IMAGE)
    for name, kind in (("a", listed[0]), ("open", listed[1]), ("b", typed)):
        other = onnx_files.part(1, "other") + onnx_files.part(2, kind)
        content = onnx_files.graph([RELU], [], [image, other], [value("out", None)])
        (tmp_path / f"{name}.onnx").write_bytes(onnx_files.model(content))
    assert open_tree(tmp_path / "a.onnx").container == "onnx"
    assert open_tree(tmp_path / "open.onnx").container == "onnx"
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(tmp_path / "b.onnx")


def test_a_convolution_of_onnx_without_weights(tmp_path: Path) -> None:
    path = onnx_files.network(tmp_path / "a.onnx", [node("Conv", ["image", ""], ["out"])])
    with pytest.raises(BrokenWeightsError, match="lacks an input"):
        open_tree(path)


def test_a_package_with_a_second_program(exported: Parts, tmp_path: Path) -> None:
    model = next(name for name, _ in exported if name.endswith("models/model.json"))
    path = packed(tmp_path / "a.pt2", [*exported, (f"{model}x", b"{}")])
    with pytest.raises(Exception):  # noqa: B017
        torch.export.load(path)
    with pytest.raises(BrokenWeightsError, match="is no program"):
        open_tree(path)


def test_code_that_makes_an_object(tmp_path: Path) -> None:
    from torchvision.models.detection.image_list import ImageList

    class Made(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return ImageList(image, [(1, 2)]).tensors

    torch.jit.script(Made()).save(str(tmp_path / "a.pt"))
    code = open_tree(tmp_path / "a.pt").metadata["code"]
    assert any("ImageList" in name or "image_list" in name for name in code)


def test_code_that_ends_without_a_value(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    for says, old, new in (
        ("may end without a value", b"    return ", b"    a = "),
        (
            "an odd value of a class",
            b"  training : bool\n",
            b'  training : bool\n  eval["2"] = int\n',
        ),
    ):
        assert any(old in data for _, data in parts)
        odd = [(n, d.replace(old, new)) for n, d in parts]
        with pytest.raises(RuntimeError):
            torch.jit.load(packed(tmp_path / "b.pt", odd))
        with pytest.raises(BrokenWeightsError, match=says):
            open_tree(tmp_path / "b.pt")


@pytest.mark.parametrize("width", [20, 21])
def test_the_first_frame_of_a_png_is_the_picture(width: int, tmp_path: Path) -> None:
    import imagecodecs

    pixels = np.arange(600, dtype="u2").reshape(30, 20)
    data = imagecodecs.png_encode(pixels)
    part = b"fcTL" + struct.pack(">5I2H2B", 0, width, 30, 0, 0, 1, 1, 0, 0)
    chunk = struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
    at, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    path = tmp_path / "a.png"
    path.write_bytes(data[:end] + chunk + data[end:])
    if width > pixels.shape[1]:
        with pytest.raises(ImageError, match="a frame of its moving picture"):
            open_image(path)
    path.write_bytes(data[:at] + chunk + data[at:])
    if width == pixels.shape[1]:
        assert np.array_equal(np.asarray(open_image(path).data), pixels)
    else:
        with pytest.raises(ImageError, match="the first frame"):
            open_image(path)


def test_a_long_text_of_a_png_with_a_wrong_checksum(tmp_path: Path) -> None:
    import imagecodecs

    data = imagecodecs.png_encode(np.arange(600, dtype="u2").reshape(30, 20))
    part = b"zTXta\0\0" + zlib.compress(bytes(2**22))
    at, path = data.index(b"IDAT") - 4, tmp_path / "a.png"
    for checksum, opens in ((zlib.crc32(part), True), (1, False)):
        chunk = struct.pack(">I", len(part) - 4) + part + struct.pack(">I", checksum)
        path.write_bytes(data[:at] + chunk + data[at:])
        if opens:
            assert open_image(path).data.shape == (30, 20)
        else:
            with pytest.raises(ImageError, match="checksum of a text"):
                open_image(path)


def test_a_tiff_whose_page_is_below_itself(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "a.tif"
    pixels = np.zeros((8, 8), "uint8")
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1)
        file.write(pixels[::2, ::2])
    assert open_image(path).data.shape == (8, 8)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        at, first = page.tags["SubIFDs"].valueoffset, page.offset
    data = bytearray(path.read_bytes())
    data[at : at + 4] = first.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ImageError, match="names itself"):
        open_image(path)


def test_any_number_but_0_is_true_in_onnx(tmp_path: Path) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    mask = b"".join(
        onnx_files.whole(field, number)
        for field, number in ((1, 3), (2, 9), (5, 117), (5, 0), (5, 1))
    ) + onnx_files.part(8, "m")
    nodes = [node("Conv", ["image", "w"], ["out"])]
    image = value("image", onnx_files.IMAGE)
    content = onnx_files.graph(nodes, [kernel, mask], [image], [value("out", None)])
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    tree = open_tree(tmp_path / "a.onnx")
    assert tree.root["m"].load().tolist() == [True, False, True]


def test_a_type_of_onnx_that_is_no_message(tmp_path: Path) -> None:
    kernel = tensor("w", np.ones((3, 2, 1, 1), "float32"))
    image = onnx_files.part(1, "image") + onnx_files.part(2, onnx_files.part(8, "i4"))
    nodes = [node("Conv", ["image", "w"], ["out"])]
    content = onnx_files.graph(nodes, [kernel], [image], [value("out", None)])
    (tmp_path / "a.onnx").write_bytes(onnx_files.model(content))
    with pytest.raises(BrokenWeightsError, match="beyond its end"):
        open_tree(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("other", "says"), [(b"K\x01", "device of a storage"), (b"X\x03\0\0\0cpx", "a device that")]
)
def test_the_device_of_a_storage(other: bytes, says: str, tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Conv2d(1, 2, 3), torch.ones(1, 1, 8, 8)).save(str(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    device = b"X\x03\0\0\0cpu"
    assert any(device in data for name, data in parts if name.endswith("data.pkl"))
    changed = [(n, d.replace(device, other) if n.endswith(".pkl") else d) for n, d in parts]
    path = packed(tmp_path / "b.pt", changed)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


def test_strips_that_share_bytes(tmp_path: Path) -> None:
    """A strip may be there once for all that are alike, and not be far larger than its pixels."""
    import tifffile

    path, data = tmp_path / "a.tif", np.full((200, 8), 7, "u1")
    kept = {"rowsperstrip": 1, "compression": "zlib"}
    tifffile.imwrite(path, data, **kept, extratags=[(65000, 1, 100_000, bytes(100_000), False)])
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        offset, count = tags["StripOffsets"].value[0], tags["StripByteCounts"].value[0]
        tags["StripOffsets"].overwrite((offset,) * 200)
        tags["StripByteCounts"].overwrite((count,) * 200)
    assert np.array_equal(np.asarray(open_image(path).data), data)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        tags["StripOffsets"].overwrite((8,) * 200)
        tags["StripByteCounts"].overwrite((50_000,) * 200)
    with pytest.raises(ImageError, match="strips or tiles say that they have 10,000,000 bytes"):
        open_image(path)


def test_a_strip_with_a_place_and_no_bytes(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.arange(64, dtype="u1").reshape(8, 8), rowsperstrip=4, compression="zlib"
    )
    with tifffile.TiffFile(path, mode="r+b") as file:
        counts = file.pages.first.tags["StripByteCounts"]
        counts.overwrite((counts.value[0], 0))
    with pytest.raises(ImageError, match="a place and no bytes"):
        open_image(path)


def test_a_storage_by_another_module_is_called(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    old, new = b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\nFloatStorage\n"
    assert any(old in data for _, data in parts)
    path = packed(tmp_path / "b.pth", [(name, data.replace(old, new)) for name, data in parts])
    with pytest.raises(BrokenWeightsError, match="is called as if"):
        open_tree(path)


def test_weights_without_their_list(exported: Parts, tmp_path: Path) -> None:
    kept = [(name, data) for name, data in exported if "weights_config" not in name]
    assert len(kept) < len(exported)
    with pytest.raises(BrokenWeightsError, match=r"weights_config\.json is missing"):
        open_tree(packed(tmp_path / "a.pt2", kept))


def rewritten(parts: Parts, end: str, change: Callable[[Any], None]) -> Parts:
    """Return the parts with one of JSON that is changed."""
    made = []
    for name, data in parts:
        if name.endswith(end):
            said = json.loads(data)
            change(said)
            data = json.dumps(said).encode()
        made.append((name, data))
    return made


def renamed(program: Any, old: str, new: str) -> None:
    graph = program["graph_module"]["graph"]
    graph["nodes"] = json.loads(json.dumps(graph["nodes"]).replace(f'"{old}"', f'"{new}"'))


def origin(program: Any, **said: Any) -> None:
    program["graph_module"]["graph"]["nodes"][0]["metadata"].update(said)


def tree(program: Any, old: str, new: str) -> None:
    for call in program["graph_module"]["module_call_graph"]:
        if call["signature"]:
            assert old in call["signature"]["in_spec"]
            call["signature"]["in_spec"] = call["signature"]["in_spec"].replace(old, new)


def mutating(program: Any, name: str) -> None:
    """Let a program say that it changes a buffer to ``conv2d``, and give another value for it."""
    module = program["graph_module"]
    said = {"arg": {"name": "conv2d"}, "buffer_name": "calls"}
    module["signature"]["output_specs"].insert(0, {"buffer_mutation": said})
    module["graph"]["outputs"].insert(0, {"as_tensor": {"name": name}})


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("weights_config.json", lambda said: said["config"].pop("first.bias"), "not among its"),
        (
            "weights_config.json",
            lambda said: said["config"]["first.bias"].update(is_param=False),
            "not among its weights",
        ),
        (
            "weights_config.json",
            lambda said: said["config"]["first.bias"].update(use_pickle=True),
            "is no zip file",
        ),
        ("constants_config.json", lambda said: said["config"].clear(), "has no values"),
        ("model.json", lambda said: renamed(said, "x", "y"), "'y', which is not there"),
        ("model.json", lambda said: renamed(said, "conv2d", "x"), "'x' is there twice"),
        (
            "model.json",
            lambda said: said["graph_module"]["graph"]["tensor_values"].pop("conv2d"),
            "'conv2d' is not described",
        ),
        ("model.json", lambda said: mutating(said, "mul"), "that is changed than its graph"),
        ("model.json", lambda said: origin(said, torch_fn=1), "a value of it is no str"),
        ("model.json", lambda said: origin(said, torch_fn=""), ""),
        ("model.json", lambda said: origin(said, nn_module_stack="a,b"), "taken apart"),
        ("model.json", lambda said: origin(said, stack_trace={"a": 1}), "a value of it is no str"),
        ("model.json", lambda said: origin(said, nn_module_stack="a,b,C[d, e];f,,G"), ""),
        ("model.json", lambda said: origin(said, source_fn_stack="a,b,c"), "taken apart"),
        ("model.json", lambda said: origin(said, custom="{"), "custom of a node cannot"),
        ("model.json", lambda said: tree(said, "builtins.tuple", "builtins.tupl"), "the type"),
        ("model.json", lambda said: tree(said, '"null"', "null"), "no text that describes it"),
        ("model.json", lambda said: tree(said, "[1, ", "[2, "), "in_spec of a module is no tree"),
        (
            "model.json",
            lambda said: said["graph_module"]["graph"]["outputs"].pop(),
            "gives 0 values, its signature 1",
        ),
    ],
)
def test_names_of_a_program_that_do_not_fit(
    part: str, change: Callable[[Any], None], says: str, counted: Parts, tmp_path: Path
) -> None:
    path = packed(tmp_path / "a.pt2", rewritten(counted, part, change))
    if not says:
        assert "calls" in open_tree(path).root
        return
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


class Counting(torch.nn.Module):
    """Changes a buffer, has one that is not kept, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1), persistent=False)
        self.shift = torch.ones(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return self.first(x) * self.scale + self.shift


@pytest.fixture(scope="module")
def counted() -> Parts:
    made = io.BytesIO()
    torch.export.save(torch.export.export(Counting().eval(), (torch.zeros(1, 1, 8, 8),)), made)
    with zipfile.ZipFile(made) as old:
        return [(name, old.read(name)) for name in old.namelist()]


def first(program: Any) -> Any:
    return program["graph_module"]["graph"]["nodes"][0]


def argument(program: Any, name: str, **said: Any) -> None:
    """Change what the convolution is given; without a change, take it away."""
    node = next(n for n in program["graph_module"]["graph"]["nodes"] if "conv2d" in n["target"])
    own = next(one for one in node["inputs"] if one["name"] == name)
    own.update(said)
    if not said:
        node["inputs"].remove(own)


def described(program: Any, **said: Any) -> None:
    program["graph_module"]["graph"]["tensor_values"]["conv2d"].update(said)


def called_twice(program: Any) -> None:
    node = next(n for n in program["graph_module"]["graph"]["nodes"] if "conv2d" in n["target"])
    node["inputs"].append(node["inputs"][0])


def in_place(program: Any) -> None:
    program["verifiers"] = ["ATEN"]
    first(program)["target"] = "torch.ops.aten.add_.Tensor"


def without_dialect(program: Any) -> None:
    in_place(program)
    program["verifiers"] = []


def on_device(program: Any) -> None:
    first(program)["inputs"].append(
        {"name": "device", "arg": {"as_device": {"type": "cpv", "index": None}}, "kind": 2}
    )


def lasting(program: Any, text: str, number: int) -> None:
    """Give a tensor a length by an expression; ``s0`` is 2 to 8."""
    program["range_constraints"]["s0"] = {"min_val": 2, "max_val": 8}
    length = {"as_expr": {"expr_str": text, "hint": {"as_int": number}}}
    described(program, sizes=[length], strides=[{"as_int": 1}])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda said: argument(said, "weight"), "conv2d.default lacks weight"),
        (lambda said: argument(said, "bias"), "given padding at another's place|"),
        (lambda said: argument(said, "stride"), "given padding at another's place"),
        (lambda said: argument(said, "input", kind=2), "given weight at another's place"),
        (called_twice, "is given a value twice"),
        (lambda said: first(said).update(outputs=[]), "has no results|on lengths"),
        (lambda said: first(said).update(outputs=[{"as_int": 3}]), "cannot give int"),
        (lambda said: first(said).update(outputs=[{"as_tensors": []}]), "cannot give tensors"),
        (lambda said: first(said).update(target="torch.ops.aten.ad.Tensor"), "no operation"),
        (lambda said: first(said).update(target="torch.ops.aten.add.Tenso"), "no operation"),
        (lambda said: first(said).update(target="operator.add"), "no operation"),
        (lambda said: first(said).update(target="_operator.add"), "on lengths does not give one"),
        (in_place, "changes what it is given"),
        (without_dialect, "changes what it is given"),
        (lambda said: said.update(verifiers=["ATE"]), "in the dialect 'ATE'"),
        (lambda said: said["schema_version"].update(major=0), "of version 0"),
        (lambda said: said["graph_module"].pop("module_call_graph"), "no field 'module_call"),
        (
            lambda said: said["graph_module"]["graph"].update(is_single_tensor_return=True),
            "gives a tensor alone",
        ),
        (lambda said: described(said, storage_offset=None), "a SymInt has no fields"),
        (lambda said: first(said)["metadata"].update(stack_trace={}), "a value of it is no str"),
        (
            lambda said: said["graph_module"]["metadata"].update(a={}),
            "a single value of it has parts",
        ),
        (
            lambda said: said["graph_module"]["metadata"].update(a=["b"]),
            "a single value of it has parts",
        ),
        (on_device, "a device that does not exist"),
        (lambda said: lasting(said, "s1", 3), "'s1' has no range"),
        (lambda said: lasting(said, "Symbol('s0', integer=True)", 9), "'s0' stands for 9"),
        (lambda said: lasting(said, "Integer(7)", 2), "a length of 7 stands for 2"),
        (lambda said: said["schema_version"].update(major=7), "its PyTorch did not write"),
        (lambda said: described(said, dtype=99), "a dtype is of the kind 99"),
        (lambda said: described(said, dtype=5, requires_grad=True), "to have gradients"),
        (lambda said: described(said, device={"type": "cpv", "index": None}), "does not exist"),
        (lambda said: described(said, device={"type": "cpu", "index": -1}), "is impossible"),
        (
            lambda said: described(
                said, sizes=[{"as_int": 2**40}] * 2, strides=[{"as_int": 1}] * 2
            ),
            "more numbers than any computer",
        ),
        (
            lambda said: said["range_constraints"].update(s0={"min_val": 4, "max_val": 3}),
            "at least 4 and at most 3",
        ),
        (
            lambda said: said["graph_module"]["graph"].update(
                inputs=[{"as_tensors": []}] * len(said["graph_module"]["graph"]["inputs"])
            ),
            "cannot have tensors among its inputs",
        ),
        (
            lambda said: said["graph_module"]["module_call_graph"][0]["signature"].update(
                inputs=[{"as_tensor": {"name": "y"}}]
            ),
            "names inputs that its graph has not",
        ),
    ],
)
def test_operations_that_pytorch_cannot_make(
    change: Callable[[Any], None], says: str, counted: Parts, tmp_path: Path
) -> None:
    path = packed(tmp_path / "a.pt2", rewritten(counted, "model.json", change))
    with pytest.raises(WeightsError, match=says):
        open_tree(path)


@pytest.mark.parametrize(
    "text", ["s0", "Symbol('s0', integer=True)", "2*s0 + 1", "Integer(8)", "8"]
)
def test_lengths_of_a_program_that_are_expressions(
    text: str, counted: Parts, tmp_path: Path
) -> None:
    def change(said: Any) -> None:
        lasting(said, text, 8)

    path = packed(tmp_path / "a.pt2", rewritten(counted, "model.json", change))
    assert open_tree(path).container == "torch-export"


def test_a_part_of_a_program_with_numbers_of_two_kinds(counted: Parts, tmp_path: Path) -> None:
    def change(said: Any) -> None:
        own = said["config"]
        own["calls"]["path_name"] = own["first.bias"]["path_name"]
        own["calls"]["tensor_meta"]["dtype"] = 4

    path = packed(tmp_path / "a.pt2", rewritten(counted, "weights_config.json", change))
    with pytest.raises(BrokenWeightsError, match="holds numbers of two kinds"):
        open_tree(path)


@pytest.mark.parametrize(("place", "number"), [(4, 1), (6, 0xFFFF), (8, 7), (12, 3), (16, 9)])
def test_the_end_of_a_zip(place: int, number: int, counted: Parts, tmp_path: Path) -> None:
    """Disks, the number of parts, and the length and place of their list."""
    path = packed(tmp_path / "a.pt2", counted)
    data = path.read_bytes()
    at = data.rindex(b"PK\5\6") + place
    path.write_bytes(data[:at] + struct.pack("<H", number) + data[at + 2 :])
    with pytest.raises(BrokenWeightsError, match=r"a\.pt2 is (a|cut off or) damaged"):
        open_tree(path)


@pytest.mark.parametrize("place", [16, 20, 24, 32, 40, 48])
def test_the_end_of_a_zip_inside(place: int, counted: Parts, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        at = data.rindex(b"PK\6\6") + place
        return data[:at] + struct.pack("<H", 1) + data[at + 2 :]

    part = "sample_inputs/model.pt"
    changed = [(name, change(d) if name.endswith(part) else d) for name, d in counted]
    with pytest.raises(BrokenWeightsError, match="is no zip file"):
        open_tree(packed(tmp_path / "a.pt2", changed))


def test_a_program_that_changes_a_buffer(counted: Parts, tmp_path: Path) -> None:
    parts = rewritten(counted, "model.json", lambda said: mutating(said, "conv2d"))
    tree = open_tree(packed(tmp_path / "a.pt2", parts))
    assert {"first.weight", "first.bias", "calls", "scale"} <= tree.root.keys()


def test_kinds_of_inputs_of_a_later_pytorch(exported: Parts, tmp_path: Path) -> None:
    changed = [(name, data.replace(b'"user_input"', b'"newer_input"')) for name, data in exported]
    with pytest.raises(UnsupportedWeightsError, match="of a later PyTorch"):
        open_tree(packed(tmp_path / "a.pt2", changed))


@pytest.mark.parametrize("minor", [20, 21])
def test_kinds_of_arguments_that_are_not_known(minor: int, exported: Parts, tmp_path: Path) -> None:
    """One of a later schema is left alone: weights are read, whatever they are used for."""

    def change(said: dict[str, Any]) -> None:
        said["schema_version"] = {"major": 8, "minor": minor}
        first(said)["inputs"][0]["arg"] = {"as_iats": [1]}

    path = packed(tmp_path / "a.pt2", rewritten(exported, "model.json", change))
    if minor > 20:
        assert open_tree(path).root
    else:
        with pytest.raises(UnsupportedWeightsError, match="of the kind 'as_iats'"):
            open_tree(path)


def test_infinite_numbers_of_a_program_before_pytorch_2_6(exported: Parts, tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        said = json.loads(data)
        inputs = said["graph_module"]["graph"]["nodes"][0]["inputs"]
        inputs.append({"name": "value", "arg": {"as_float": float("-inf")}, "kind": 1})
        return json.dumps(said).encode()

    changed = [(name, change(name, data)) for name, data in exported]
    assert any(b"-Infinity" in data for _, data in changed)
    assert open_tree(packed(tmp_path / "a.pt2", changed)).container == "torch-export"


def test_dates_and_data_types_may_be_keys(tmp_path: Path) -> None:
    made = {"w": torch.ones(2), "d": {np.datetime64("2020"): 1}, "k": {np.dtype("f4"): 2}}
    torch.save(made, tmp_path / "a.pth")
    assert open_tree(tmp_path / "a.pth").container == "torch-zip"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_claims_more_than_its_bytes_can_hold(progressive: bool, tmp_path: Path) -> None:
    from PIL import Image as Pillow

    path = tmp_path / "a.jpg"
    flat = Pillow.fromarray(np.zeros((640, 512, 3), "u1"))
    flat.save(path, optimize=True, quality=1, progressive=progressive)
    assert open_image(path).data.shape == (640, 512, 3)  # nothing is smaller
    data = path.read_bytes()
    size = (640).to_bytes(2, "big") + (512).to_bytes(2, "big")
    assert data.count(size) == 1
    path.write_bytes(data.replace(size, b"\xff\x00" + size[2:]))
    if not progressive:
        with pytest.raises(ImageError, match="512 x 65280 pixels cannot be in"):
            open_image(path)


def test_a_palette_of_more_colours_than_numbers() -> None:
    from napari_segnet.readers._views import PalettePixels

    colours = np.arange(341 * 3).astype("u1").reshape(341, 3)
    numbers, one = np.array([[0, 255]], "u1"), np.zeros((), np.intp)
    assert np.array_equal(PalettePixels(numbers, colours[None], one)[...], colours[numbers])
    bits = PalettePixels(numbers > 0, colours[None], one)[...]
    assert np.array_equal(bits, colours[[[0, 1]]])
    few = PalettePixels(numbers, colours[None, :4], one)[...]  # others take the last one
    assert np.array_equal(few, colours[[[0, 3]]])


def test_much_code_in_a_small_file(tmp_path: Path) -> None:
    """Its syntax tree would take 700 MB, and be understood for seconds."""
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Branching()), made)
    lines = "    y = torch.relu(y)\n" * 30_000
    old = b"    return torch.relu(y)\n"
    path = write(tmp_path / "a.pt", made, old, lines.encode() + old)
    assert path.stat().st_size < 2**20
    with pytest.raises(BrokenWeightsError, match="bytes of code, which no network of its size has"):
        open_tree(path)


@pytest.mark.parametrize("held", ["UntypedStorage", "uint16"])
def test_an_old_file_of_numbers_without_their_kind(held: str, tmp_path: Path) -> None:
    """``torch.save`` writes it, and ``torch.load`` does not open it; since 1.6 both do."""
    value = torch.ones(3).untyped_storage() if held == "UntypedStorage" else torch.ones(3).short()
    value = value.view(torch.uint16) if isinstance(value, torch.Tensor) else value
    old = tmp_path / "a.pth"
    torch.save({"a": value}, old, _use_new_zipfile_serialization=False)
    with pytest.raises(AttributeError, match="dtype"):
        torch.load(old)
    with pytest.raises(UnsupportedWeightsError, match="without their kind"):
        open_tree(old)
    torch.save({"a": value}, tmp_path / "b.pth")
    open_tree(tmp_path / "b.pth")


@pytest.mark.parametrize("new", [b"torch\nFloat", b"torch.nn\nUntypedStorage"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_storage_of_what_is_none(new: bytes, zipped: bool, tmp_path: Path) -> None:
    path, old = tmp_path / "a.pth", b"torch\nFloatStorage"
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    open_tree(path)
    if zipped:
        with zipfile.ZipFile(path) as file:
            parts = [(name, file.read(name)) for name in file.namelist()]
        assert any(old in data for _, data in parts)
        packed(path, [(name, data.replace(old, new)) for name, data in parts])
    else:
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(AttributeError):
        torch.load(path, weights_only=False)
    with pytest.raises(BrokenWeightsError, match="kind of storage"):
        open_tree(path)


@pytest.mark.parametrize(
    "kind",
    [
        *(f"float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")),
        *("uint16", "uint32", "uint64", "complex32", "bfloat16", "complex128"),
    ],
)
def test_all_kinds_of_numbers_of_torchscript(kind: str, tmp_path: Path) -> None:
    class Holding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            raw = torch.arange(8 * 16, dtype=torch.uint8).remainder(64)
            self.register_buffer("held", raw.view(getattr(torch, kind)))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

    made = Holding()
    torch.jit.script(made).save(str(tmp_path / "a.pt"))
    torch.jit.load(tmp_path / "a.pt")
    found = open_tree(tmp_path / "a.pt").root["held"]
    assert found.dtype == kind
    assert torch.equal(found.load().view(torch.uint8), made.held.view(torch.uint8))


@pytest.mark.parametrize("part", ["constants", "data"])
@pytest.mark.parametrize(
    "odd",
    [b"\x89", b"N", b"K\x01", b"]", b"}", b"ctorch.jit._pickle\nbuild_intlist\n](K\x01e\x85R"],
)
def test_a_list_of_torchscript_that_is_something_else(
    part: str, odd: bytes, tmp_path: Path
) -> None:
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    changed = [(n, b"\x80\x02" + odd + b"." if n.endswith(f"/{part}.pkl") else d) for n, d in parts]
    path = packed(tmp_path / "b.pt", changed)
    with pytest.raises(RuntimeError, match=r"isTuple|isObject"):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match=r"no tuple|without a module"):
        open_tree(path)


@pytest.mark.parametrize("rows", [7, 33])
def test_differences_of_pixels_that_are_not_compressed(rows: int, tmp_path: Path) -> None:
    """libtiff adds none of them up, and tifffile those of all rows if they are in one piece."""
    import tifffile

    data, path = np.arange(33 * 40, dtype="u1").reshape(33, 40), tmp_path / "a.tif"
    tifffile.imwrite(path, data, rowsperstrip=rows, extratags=[(316, 3, 1, 2, True)])
    assert np.array_equal(np.asarray(open_image(path).data), data)
    with path.open("r+b") as file:
        text = file.read()
        file.seek(text.index(struct.pack("<HHI", 316, 3, 1)))
        file.write(struct.pack("<H", 317))
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].predictor == 2
        assert not np.array_equal(file.asarray(), data)
    with pytest.raises(ImageError, match="tag 317"):
        open_image(path)


def onnx_file(path: Path, nodes: list[bytes], tensors: list[bytes], opset: int = 17) -> Path:
    """Write a network of an image and these tensors; the last node makes ``out``."""
    image = value("image", onnx_files.IMAGE)
    content = onnx_files.graph(nodes, tensors, [image], [value("out", None)])
    path.write_bytes(onnx_files.model(content, opset))
    return path


ONES = np.ones((3, 2, 1, 1), "float32")


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        (onnx_files.part(3, onnx_files.whole(1, 1)), "part of a larger one"),
        (onnx_files.part(6, ""), "lie in two places"),
    ],
)
def test_numbers_of_onnx_that_are_not_alone(beside: bytes, says: str, tmp_path: Path) -> None:
    nodes = [node("Conv", ["image", "w"], "out")]
    assert onnx_file(tmp_path / "a.onnx", nodes, [tensor("w", ONES)]).is_file()
    assert open_tree(tmp_path / "a.onnx").root["w"].shape == ONES.shape
    path = onnx_file(tmp_path / "b.onnx", nodes, [tensor("w", ONES) + beside])
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


def test_a_tensor_of_onnx_in_two_halves(tmp_path: Path) -> None:
    """Of two messages where one belongs, protobuf makes one."""
    half = onnx_files.part(5, onnx_files.whole(1, 3))
    held = onnx_files.attribute("value", np.ones(3, "f4")) + half
    nodes = [node("Constant", [], "k") + onnx_files.part(5, held)]
    path = onnx_file(tmp_path / "a.onnx", [*nodes, node("Mul", ["image", "k"], "out")], [])
    with pytest.raises(BrokenWeightsError, match="'value' has two values"):
        open_tree(path)


@pytest.mark.parametrize("field", [14, 15, 22, 23])
def test_an_attribute_of_onnx_with_a_second_value(field: int, tmp_path: Path) -> None:
    second = onnx_files.attribute("group", 1) + onnx_files.part(field, b"")
    nodes = [node("Conv", ["image", "w"], "out") + onnx_files.part(5, second)]
    path = onnx_file(tmp_path / "a.onnx", nodes, [tensor("w", ONES)])
    with pytest.raises(BrokenWeightsError, match="'group' is not of the kind"):
        open_tree(path)


def test_an_output_of_onnx_without_a_name(tmp_path: Path) -> None:
    nodes = [node("Conv", ["image", "w"], "out"), node("Relu", ["out"], "")]
    path = onnx_file(tmp_path / "a.onnx", nodes, [tensor("w", ONES)])
    with pytest.raises(BrokenWeightsError, match="has an output without a name"):
        open_tree(path)


def test_two_properties_of_onnx_of_one_name(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "a.onnx", [node("Relu", ["image"], "out")], [])
    said = onnx_files.part(14, onnx_files.part(1, "a") + onnx_files.part(2, "b"))
    path.write_bytes(path.read_bytes() + said)
    assert open_tree(path).container == "onnx"
    path.write_bytes(path.read_bytes() + said)
    with pytest.raises(BrokenWeightsError, match="two of its properties are called 'a'"):
        open_tree(path)


@pytest.mark.parametrize(("opset", "opens"), [(1, True), (17, False)])
def test_inputs_of_onnx_as_of_its_version(opset: int, opens: bool, tmp_path: Path) -> None:
    """The lengths of ``Reshape`` are an attribute in the first version, and an input later."""
    how = {"shape": [1, 2, -1]} if opens else {}
    path = onnx_file(tmp_path / "a.onnx", [node("Reshape", ["image"], "out", **how)], [], opset)
    if opens:
        assert open_tree(path).container == "onnx"
        return
    with pytest.raises(BrokenWeightsError, match="has 1 inputs"):
        open_tree(path)


@pytest.mark.parametrize("lost", ["act", "conv/kernel:0"])
def test_a_keras_file_without_what_it_lists(lost: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from support import keras_files

    weights = {"conv": [("kernel:0", np.ones((1, 1, 1, 2), "f4"))], "act": []}
    path = keras_files.h5(tmp_path / "a.h5", weights)
    assert list(open_tree(path).root) == ["conv/kernel:0"]
    with h5py.File(path, "r+") as file:
        del file[lost]
    with pytest.raises(BrokenWeightsError, match=f"lists '{lost}', which is not in it"):
        open_tree(path)


def test_a_layer_of_keras_that_does_not_list_its_weights(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from support import keras_files

    weights = {"conv": [("kernel:0", np.ones((1, 1, 1, 2), "f4"))], "act": []}
    path = keras_files.h5(tmp_path / "a.h5", weights)
    with h5py.File(path, "r+") as file:
        del file["act"].attrs["weight_names"]  # there are none
    assert list(open_tree(path).root) == ["conv/kernel:0"]
    with h5py.File(path, "r+") as file:
        del file["conv"].attrs["weight_names"]
    with pytest.raises(BrokenWeightsError, match="layer 'conv' does not say which weights it has"):
        open_tree(path)


def test_numbers_of_hdf5_of_a_kind_of_their_own(tmp_path: Path) -> None:
    """HDF5 turns them into those of this computer, as h5py shows them."""
    h5py = pytest.importorskip("h5py")
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(126)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"kernel:0"]
        space = h5py.h5s.create_simple((3,))
        held = h5py.h5d.create(group.id, b"kernel:0", kind, space)
        held.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 3], "f4"))
    assert b"\0\0\0\x3f" in (tmp_path / "a.h5").read_bytes()  # 1 as it lies there
    assert open_tree(tmp_path / "a.h5").root["conv/kernel:0"].load().tolist() == [1, 2, 3]


class Tally:
    """Holds texts in a program of TorchScript."""

    def __init__(self, first: int) -> None:
        self.first = first

    def more(self, by: int) -> int:
        return self.first + by


class Walking(torch.nn.Module):
    """Has lists, an object, and a value that a loop goes on with."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held, count, found = [x, x], Tally(2), 1
        for place in range(3):
            found = found + count.more(place)
        return torch.cat(held, 1) + len(held) + found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"torch.cat(held, 1)", b"[x].cat(held, 1)", r"List\[Tensor\] has no function cat"),
        (b"torch.cat(held, 1)", b"held.prim", "has no prim"),
        (b"torch.len(held)", b"float.len(held)", "float has no"),
        (b"torch.len(held)", b"9223372036854775809", "more than 64 bits"),
        (b"(count).more(place, )", b"(count).less(place, )", "no function less"),
        (b"found = found0", b"found = 1.5", "found becomes a float"),
        (b"  __buffers__ = []", b"  __buffer__ = []", "__buffer__ has no type"),
        (b"  __buffers__ = []", b"  __buffers__ = [];", "semicolon"),
    ],
)
def test_what_values_of_torchscript_have(old: bytes, new: bytes, says: str, tmp_path: Path) -> None:
    refuse_alike(Walking(), old, new, says, tmp_path)


def test_code_of_torchscript_whose_last_line_does_not_end(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Walking()), made)
    with zipfile.ZipFile(made) as old:
        parts = [(name, old.read(name)) for name in old.namelist()]
    cut = [(name, data + b"  more : int" * name.endswith(".py")) for name, data in parts]
    path = packed(tmp_path / "a.pt", cut)
    with pytest.raises(RuntimeError):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="last line does not end"):
        open_tree(path)


def test_values_of_loops_that_pytorch_turns(tmp_path: Path) -> None:
    """A tensor or a truth becomes a whole number, where one was before."""
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(Walking()), made)
    for new in (b"found = x", b"found = True"):
        path = write(tmp_path / "a.pt", made, b"found = found0", new)
        torch.jit.load(path)
        assert open_tree(path).container == "torchscript"


def test_a_part_of_a_list_of_layers_that_is_there_twice(tmp_path: Path) -> None:
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.ReLU())), made)
    path = write(tmp_path / "a.pt", made, LAYER, LAYER + LAYER)
    with pytest.raises(RuntimeError, match="already exists"):
        torch.jit.load(path)
    with pytest.raises(BrokenWeightsError, match="0 is there twice"):
        open_tree(path)


LAYER = b'  __annotations__["0"] = __torch__.torch.nn.modules.activation.ReLU\n'


def test_a_list_of_two_types_is_not_compared_as_numbers() -> None:
    from napari_segnet.containers._script_operators import called
    from napari_segnet.containers._script_types import Type

    both = Type("Union", (Type("int"), Type("Tensor")))
    with pytest.raises(ValueError, match="eq takes no Union"):
        called("torch.eq", [both, Type("int")], {})


def test_sample_inputs_of_no_byte_order(counted: Parts, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
            for name in old.namelist():
                new.writestr(name, b"middle" if name.endswith("byteorder") else old.read(name))
        return made.getvalue()

    part = "sample_inputs/model.pt"
    changed = [(name, change(d) if name.endswith(part) else d) for name, d in counted]
    with pytest.raises(BrokenWeightsError, match="byte order 'middle'"):
        open_tree(packed(tmp_path / "a.pt2", changed))


def test_newer_kinds_of_numbers_are_not_turned(tmp_path: Path) -> None:
    """PyTorch turns those of kinds that have a storage of their own."""
    other = b"big" if sys.byteorder == "little" else b"little"
    for name, one in (("old", torch.ones(2)), ("new", torch.ones(2).to(torch.uint16))):
        torch.save({"w": one}, tmp_path / "a.pth")
        with zipfile.ZipFile(tmp_path / "a.pth") as file:
            parts = [(part, file.read(part)) for part in file.namelist()]
        parts = [(part, other if part.endswith("byteorder") else data) for part, data in parts]
        packed(tmp_path / f"{name}.pth", parts)
    old = torch.load(tmp_path / "old.pth", weights_only=True)["w"]
    assert torch.equal(open_tree(tmp_path / "old.pth").root["w"].load(), old)
    assert torch.load(tmp_path / "new.pth", weights_only=True)["w"].tolist() == [1, 1]
    with pytest.raises(BrokenWeightsError, match="that PyTorch does not turn"):
        open_tree(tmp_path / "new.pth")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.replace(PIXELS + struct.pack("<I", 24), PIXELS + b"\xff" * 4), "pixels end"),
        (lambda d: d + PIXELS + struct.pack("<I", 4) + bytes(4), "belongs before them"),
        (lambda d: d + b"\x28\0\x08\0IS\x02\0" + b"2 ", "belongs before them"),
        (lambda d: d + bytes(16), ""),
        (lambda d: d + b"\r\n", ""),  # too short for an element
        (lambda d: d + b"\x28\0\x08\0IS\x02", ""),
        (lambda d: d.replace(b"IS\x02\x001 ", b"IS\x02\x00-1"), "NumberOfFrames is -1"),
    ],
)
def test_the_pixels_of_dicom_are_the_last(
    change: Callable[[bytes], bytes], says: str, tmp_path: Path
) -> None:
    pytest.importorskip("pydicom")
    from support import dicoms

    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    path = dicoms.save(dicoms.slice_of(pixels, NumberOfFrames=1), tmp_path / "a.dcm")
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    if not says:
        assert np.array_equal(np.asarray(open_image(path).data), pixels)
        return
    with pytest.raises(ImageError, match=says):
        open_image(path)


PIXELS = b"\xe0\x7f\x10\0OW\0\0"
ITEM_ENDS = b"\xfe\xff\x0d\xe0" + bytes(4)
LIST = b"\x40\0\x75\2SQ\0\0"
INSIDE = b"\x10\0\x20\0LO\2\0ab"
LISTS_END = b"\xfe\xff\xdd\xe0" + bytes(4)
NO_END = b"\xff" * 4


@pytest.mark.parametrize(
    ("before", "behind", "says"),
    [
        (ITEM_ENDS, b"", "an item ends that never began"),
        (b"", ITEM_ENDS, None),
        (LIST + NO_END + b"\xfe\xff\0\xe0" + NO_END + INSIDE + ITEM_ENDS + LISTS_END, b"", None),
        (b"", b"\xfc\xff\xfc\xffOB\0\0" + NO_END + b"ab", "behind its pixels has no end"),
        (b"", b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0ab", None),
    ],
)
def test_what_stands_around_the_pixels_of_dicom(
    before: bytes, behind: bytes, says: str | None, tmp_path: Path
) -> None:
    """Of a file that pydicom reads as a whole, what it then has no pixels of."""
    pytest.importorskip("pydicom")
    from support import dicoms

    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    path = dicoms.save(dicoms.slice_of(pixels), tmp_path / "a.dcm")
    first, _, last = path.read_bytes().partition(PIXELS)
    path.write_bytes(first + before + PIXELS + last + behind)
    if says is None:
        assert np.array_equal(np.asarray(open_image(path).data), pixels)
        return
    with pytest.raises(ImageError, match=says):
        open_image(path)


def test_pixels_in_pieces_and_then_others(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from support import dicoms

    one = dicoms.slice_of(np.arange(12, dtype="u2").reshape(3, 4))
    one.compress(pydicom.uid.RLELossless)
    path = dicoms.save(one, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes() + b"\n")
    assert open_image(path).axes == "yx"
    path.write_bytes(path.read_bytes()[:-1] + PIXELS + struct.pack("<I", 4) + bytes(4))
    with pytest.raises(ImageError, match="belongs before them"):
        open_image(path)


def test_pieces_of_pixels_of_an_unknown_kind(tmp_path: Path) -> None:
    """They are a list of objects then; pixels in one part may be of an unknown kind."""
    pydicom = pytest.importorskip("pydicom")
    from support import dicoms

    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    one = dicoms.slice_of(pixels)
    path = dicoms.save(one, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(PIXELS, PIXELS.replace(b"OW", b"UN")))
    assert np.array_equal(np.asarray(open_image(path).data), pixels)
    one.compress(pydicom.uid.RLELossless)
    path = dicoms.save(one, tmp_path / "b.dcm")
    kind = PIXELS.replace(b"OW", b"OB")
    assert kind in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(kind, PIXELS.replace(b"OW", b"UN")))
    with pytest.raises(ImageError, match="no pixels are of kind 'UN'"):
        open_image(path)


def test_pieces_of_pixels_that_are_shorter_than_they_say(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from support import dicoms

    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    one = dicoms.slice_of(pixels)
    one.compress(pydicom.uid.RLELossless)
    path = dicoms.save(one, tmp_path / "a.dcm")
    data = path.read_bytes()
    assert data.endswith(b"\xfe\xff\xdd\xe0" + bytes(4))
    path.write_bytes(data[:-8])  # as some writers do
    assert np.array_equal(np.asarray(open_image(path).data), pixels)
    for lost in (4, 8, 10):
        path.write_bytes(data[: -8 - lost] + data[-8:])
        with pytest.raises(ImageError, match="do not end where they say"):
            open_image(path)


def test_a_length_of_npy_that_is_true(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 1), "f4"))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"(2, 1), }   ", b"(2, True), }"))
    with pytest.raises(ImageError, match=r"its shape is \(2, True\)"):
        open_image(tmp_path / "a.npy")


def test_a_chunk_of_hdf5_that_is_cut_off(tmp_path: Path) -> None:
    """HDF5 makes up the rest of it, and of one that is no longer said to be packed."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"kernel:0"]
        noise = np.random.default_rng(1).random(500, "f4")
        group.create_dataset("kernel:0", data=noise, chunks=(500,), compression="gzip")
    data = path.read_bytes()
    assert np.array_equal(open_tree(path).root["conv/kernel:0"].load().numpy(), noise)
    filters = struct.pack("<HH", 11, 32)  # the kind and the length of a message
    assert data.count(filters) == 1
    path.write_bytes(data.replace(filters, struct.pack("<HH", 0, 32)))
    with pytest.raises(BrokenWeightsError, match="claims 2,000 bytes that are not there"):
        open_tree(path)


def test_the_length_of_the_end_of_a_zip(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    at = data.rindex(b"PK\6\6") + 4
    assert data[at : at + 8] == struct.pack("<Q", 44)
    (tmp_path / "a.pth").write_bytes(data[:at] + struct.pack("<Q", 40) + data[at + 8 :])
    with pytest.raises(RuntimeError, match="zip archive"):
        torch.load(tmp_path / "a.pth")
    with pytest.raises(BrokenWeightsError, match="another length than it says"):
        open_tree(tmp_path / "a.pth")


def test_a_length_of_a_program_with_one_end(counted: Parts, tmp_path: Path) -> None:
    def change(said: Any) -> None:
        said["range_constraints"]["s0"] = {"min_val": 1}

    path = packed(tmp_path / "a.pt2", rewritten(counted, "model.json", change))
    with pytest.raises(BrokenWeightsError, match="has no field 'max_val'"):
        open_tree(path)


@pytest.mark.parametrize(
    ("version", "opset", "says"), [(3, 8, "none of its inputs"), (8, 2**40, "version of its")]
)
def test_versions_of_onnx(version: int, opset: int, says: str, tmp_path: Path) -> None:
    """Before version 4 all tensors were inputs as well."""
    nodes = [node("Conv", ["image", "w"], "out")]
    path = onnx_file(tmp_path / "a.onnx", nodes, [tensor("w", ONES)], opset)
    data = path.read_bytes()
    path.write_bytes(onnx_files.whole(1, version) + data[len(onnx_files.whole(1, 8)) :])
    with pytest.raises(BrokenWeightsError, match=says):
        open_tree(path)


def palettes(path: Path, pages: int, bits: int, places: list[int]) -> Path:
    """Write pages of a pixel whose palettes begin at these places behind the first one, in turn."""
    count = 3 * 2**bits
    colours = np.arange(count + max(places) // 2, dtype="<u2")
    data = bytearray(b"II*\0" + bytes(4) + b"\1\0" + colours.tobytes())
    link = 4
    for page in range(pages):
        struct.pack_into("<I", data, link, len(data))
        tags = {256: 1, 257: 1, 258: bits, 259: 1, 262: 3, 277: 1, 278: 1, 279: bits // 8}
        rows = {code: (3, 1, number) for code, number in tags.items()}
        rows |= {273: (4, 1, 8), 320: (3, count, 10 + places[page % len(places)])}
        data += struct.pack("<H", len(rows))
        for code in sorted(rows):
            data += struct.pack("<HHII", code, *rows[code])
        link = len(data)
        data += bytes(4)
    path.write_bytes(data)
    return path


def test_many_pages_with_a_large_palette(tmp_path: Path) -> None:
    """Each page has one of 200 kB, at two places of the file."""
    path = palettes(tmp_path / "a.tif", 600, 16, [0, 3 * 2**17])
    began = time.process_time()
    tracemalloc.start()
    image = open_image(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30e6
    assert time.process_time() - began < 5
    shown = np.asarray(image.data)[:, 0, 0]
    expected = [[(1 + n) >> 8, (1 + n + 2**16) >> 8 & 255, 0] for n in (0, 3 * 2**16)]
    assert shown.shape == (600, 3)
    assert np.array_equal(shown[:2, :2], np.asarray(expected)[:, :2] % 256)
    assert np.array_equal(shown[0::2], np.repeat(shown[:1], 300, 0))


def test_palettes_that_share_bytes(tmp_path: Path) -> None:
    path = palettes(tmp_path / "a.tif", 20, 16, [*range(0, 40, 2)])
    with pytest.raises(ImageError, match="of shared bytes"):
        open_image(path)


@pytest.mark.parametrize("kind", ["i8", "u8", "f4", "f8"])
def test_numbers_with_a_predictor_of_floating_point(kind: str, tmp_path: Path) -> None:
    """The format's reader writes whole numbers of 64 bits so."""
    tifffile = pytest.importorskip("tifffile")
    pixels = (np.arange(20 * 30).reshape(20, 30) * 7919).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", predictor=3)
    image = open_image(tmp_path / "a.tif")
    assert image.data.dtype == kind
    assert np.array_equal(np.asarray(image.data), pixels)


class Turned(torch.nn.Module):
    """A network with a number whose imaginary part is stored with the other sign."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)
        self.register_buffer("factor", torch.ones(3, dtype=torch.complex64).conj())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_a_conjugate_in_torchscript(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Turned().eval()), tmp_path / "a.pt")
    tree = open_tree(tmp_path / "a.pt")
    assert tree.root["layer.weight"].readable
    assert not tree.root["factor"].readable
    with pytest.raises(UnsupportedWeightsError, match=r"as a conjugate .* after resolve_conj\(\)"):
        tree.root["factor"].load()


def test_a_value_that_torchscript_keeps_far_away(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Turned().eval()), tmp_path / "a.pt")
    for number, says in ((1000, None), (2**32 - 1, "keeps a value as number 4,294,967,295")):
        with zipfile.ZipFile(tmp_path / "a.pt") as old:
            parts = [(name, old.read(name)) for name in old.namelist()]
        place = next(n for n, (name, _) in enumerate(parts) if name.endswith("data.pkl"))
        name, data = parts[place]
        assert data[-3:-2] == b"q"
        parts[place] = name, data[:-3] + b"r" + struct.pack("<I", number) + b"."
        path = packed(tmp_path / "b.pt", parts)
        if says is None:
            assert open_tree(path).root["layer.weight"].readable
            continue
        with pytest.raises(BrokenWeightsError, match=says):
            open_tree(path)
