"""Files that are not opened: each is named, and told what to do with it."""

from __future__ import annotations

import io
import os
import pickle
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_segnet.containers import open_tree, open_weights
from napari_segnet.errors import (
    BrokenWeightsError,
    UnknownNetworkError,
    UnsupportedWeightsError,
    WeightsError,
)


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.ones(2))
    return out.getvalue()


def hdf5(version: int, length: int) -> bytes:
    head = {
        0: bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8),
        1: bytes([1, 0, 0, 0, 0, 8, 8, 0]) + bytes(12),
        2: bytes([2, 8, 8, 0]),
        3: bytes([3, 8, 8, 0]),
    }[version]
    superblock = b"\x89HDF\r\n\x1a\n" + head + bytes(16) + length.to_bytes(8, "little")
    return superblock + bytes(1000 - len(superblock))


UNSUPPORTED = {
    "export": (zipped("m/archive_version", "m/models/model.json"), r"torch\.export"),
    "bioimageio": (zipped("rdf.yaml", "weights.pt"), r"bioimage\.io.*rdf\.yaml"),
    "monai": (zipped("b/configs/metadata.json", "b/models/model.pt"), r"MONAI.*models/model\.pt"),
    "npz": (npz(), r"numpy arrays \(\.npz\).*torch\.save"),
    "core ml": (zipped("Data/model.mlmodel"), "Core ML"),
    "zip": (zipped("readme.txt"), "a zip archive that torch did not write.*Unpack it"),
    "pickle": (pickle.dumps({"a": 1}), r"plain Python pickle with the entries a,.*torch\.save"),
    "pickle 0": (pickle.dumps({"a": 1}, 0), "plain Python pickle with the entries a"),
    "pickled tensors": (
        pickle.dumps({"a": torch.ones(2)}),
        r"plain Python pickle with the entries a,.*torch\.save",
    ),
    "tensorflow": (b"\x08\x01\x12\x04\n\x05serve" + bytes(50), r"a TensorFlow model.*\.keras"),
    "tensorflow with many operations": (
        b"\x08\x01\x12\xa9\xb4\x05\n\x95\xd2\x03\x12" + b"\n\x06Conv2D" * 600,
        "a TensorFlow model.*tf2onnx",
    ),
    "tensorflow's list": (b'model_checkpoint_path: "m-1"\n', "TensorFlow checkpoint.*load_weights"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="u" version="11">', "OpenVINO.*ONNX"),
    "tar": (tar(), r"tar archive \(torch itself"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "compressed archive.*Unpack"),
    "npy": (b"\x93NUMPY" + bytes(50), r"numpy array \(\.npy\)"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture.*Drop it as an image"),
    "pdf": (b"%PDF-1.4", "PDF"),
    "gguf": (b"GGUF" + bytes(50), "language-model"),
    "matlab": (b"MATLAB 5.0 MAT-file, Platform" + bytes(50), "MATLAB"),
    "tflite": (bytes([28, 0, 0, 0]) + b"TFL3" + bytes(50), "TensorFlow Lite"),
}

BROKEN = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 14664\n",
        r"only a Git-LFS pointer of \d+ bytes.*14,664 bytes.*git lfs pull",
    ),
    "web page": (b"\n<!DOCTYPE html><html>", "a web page that was saved.*Download it again"),
    "zip as text": (
        zipped("a/data.pkl").decode("utf-8", "replace").encode() + b"\xef\xbf\xbd" * 9,
        "text conversion",
    ),
    "legacy as text": (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2).decode("utf-8", "replace").encode(),
        r"text conversion.*binary mode",
    ),
    "long as text": (("\0\ufffd" * 5000).encode(), "text conversion"),
    "cut zip": (zipped("a/data.pkl")[:60], "cut off or damaged: it begins like a file of torch"),
    "empty zip": (zipped(), "cut off or damaged"),
    "cut safetensors": (bytes([40, 0, 0, 0, 0, 0, 0, 0]), "begins like a safetensors file"),
    "zeros": (bytes(500), "only zeros"),
    "text": ("Grüße an alle\nund".encode(), "text file .it begins with 'Grüße an alle'"),
    "long text": (("ü" * 5000).encode(), "text file"),
    "hdf5 0": (
        hdf5(0, 2000),
        "HDF5 file that is cut off: it should have 2,000 bytes but has 1,000",
    ),
    "hdf5 1": (hdf5(1, 2000), "should have 2,000 bytes"),
    "hdf5 2": (hdf5(2, 2000), "should have 2,000 bytes"),
    "hdf5 3": (hdf5(3, 2000), "should have 2,000 bytes"),
    "short hdf5": (hdf5(0, 2000)[:20], "should have 48 bytes but has 20"),
    "other": (b"\xfe\xdc\xba\x98" * 9, "no kind of weights file that we know.*fe dc ba 98"),
    "cut pickle": (pickle.dumps({"a": [1] * 50}, 2)[:-9], "damaged or cut off"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_known_kinds_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    content, match = UNSUPPORTED[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UnsupportedWeightsError, match=rf"weights\.pth is {'.*'}{match}"):
        open_tree(path)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("model.ckpt-100.data-00000-of-00001", "TensorFlow checkpoint.*load_weights"),
        ("frozen_graph.pb", "a graph of TensorFlow.*tf2onnx"),
        ("unet.mlmodel", "Core ML.*PyTorch"),
        ("unet.engine", "TensorRT.*ONNX"),
        ("vgg.caffemodel", "Caffe"),
        ("yolov3.weights", "Darknet"),
    ],
)
def test_files_that_only_their_name_tells(name: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xfe\xdc\xba\x98" * 9)
    with pytest.raises(UnsupportedWeightsError, match=f"{name} is .*{match}"):
        open_tree(path)
    path.write_bytes(b"")
    with pytest.raises(BrokenWeightsError, match="is empty"):
        open_tree(path)


@pytest.mark.parametrize("version", [1, 4, 7])
def test_core_ml_is_neither_onnx_nor_tensorflow(version: int, tmp_path: Path) -> None:
    path = tmp_path / "unet.mlmodel"
    path.write_bytes(bytes([8, version]) + b"\x12\x1f\n\x0b\n\x05image\x1a\x02\x22\0" + bytes(40))
    with pytest.raises(UnsupportedWeightsError, match=r"mlmodel is a Core ML model.*PyTorch"):
        open_tree(path)


@pytest.mark.parametrize("kind", BROKEN)
def test_damage_is_told(kind: str, tmp_path: Path) -> None:
    content, match = BROKEN[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(BrokenWeightsError, match=rf"weights\.pth.*{match}"):
        open_tree(path)


def test_torchscript_without_its_modules_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(zipped("m/constants.pkl", "m/code/__torch__/net.py"))
    with pytest.raises(BrokenWeightsError, match=r"m\.pt is a TorchScript program whose list"):
        open_tree(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"There is no file .*gone\.pth; check its name"):
        open_tree(tmp_path / "gone.pth")


@pytest.mark.parametrize(
    ("inside", "match"),
    [
        ("net.pth", r"choose the weights inside it, such as net\.pth"),
        ("data.pkl", "a .pth file that was unpacked"),
        ("saved_model.pb", "a TensorFlow model.*save.*network.keras"),
        ("unet.h5", "such as unet.h5"),
        ("notes.txt", "choose a file of PyTorch .*Keras .*ONNX"),
    ],
)
def test_a_folder(inside: str, match: str, tmp_path: Path) -> None:
    (tmp_path / inside).touch()
    with pytest.raises(WeightsError, match=rf"is a folder, not a weights file; .*{match}"):
        open_tree(tmp_path)


def test_a_device() -> None:
    with pytest.raises(WeightsError, match="/dev/null is a device"):
        open_tree("/dev/null")


def test_no_right_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"x")
    if os.geteuid() == 0:  # root may read everything, so the refusal is played

        def refuse(*_args: object, **_options: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    else:
        path.chmod(stat.S_IWUSR)
    with pytest.raises(WeightsError, match=r"weights\.pth may not be read by you; ask its owner"):
        open_tree(path)


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"x")

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(WeightsError, match=r"cannot be read \(Input/output error\); see that its"):
        open_tree(path)


REAL = {
    "broken/git_lfs_pointer_unet.pth": (BrokenWeightsError, "146,646,570 bytes.*git lfs pull"),
    "broken/truncated_unet_membrane.hdf5": (BrokenWeightsError, "22,455,672 .* has 1,835,008"),
    "broken/utf8_mangled_zip_weights.pt": (BrokenWeightsError, "text conversion.*binary mode"),
    "checkpoints/bioimageio_unet2d_nuclei_broad/bioimageio.yaml": (BrokenWeightsError, "text file"),
    "samples/img2d.tif": (UnsupportedWeightsError, "a picture"),
    "samples/histo.jpg": (UnsupportedWeightsError, "a picture"),
    "ct/example_ct_sm.nii.gz": (UnsupportedWeightsError, "compressed archive"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str, data: Path) -> None:
    kind, match = REAL[name]
    with pytest.raises(kind, match=match):
        open_tree(data / name)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"epoch": 3, "note": "x"}, "it has only epoch, note"),
        ({}, "nothing with a name"),
        ([], "nothing with a name"),
        (torch.ones(2, 3), r"a single tensor of shape \[2, 3\] without a name"),
        ({"optimizer": {"state": {"a.b": torch.ones(1)}}}, "only an optimiser's state"),
        ({f"k{n}": n for n in range(20)}, r"k0, k1, .*k7, \.\.\.\."),
    ],
)
def test_files_without_a_network(value: object, match: str, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(UnknownNetworkError, match=rf"w\.pth holds no network.*{match}"):
        open_weights(tmp_path / "w.pth")
