"""Kinds of files that are attacked: how one is made, opened, and read by another program."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from support import definitions, keras_definitions, keras_files, onnx_files, packages
from support.hostile import sources
from support.hostile.mutators import (
    BYTES,
    JSON,
    PICKLE,
    TEXT,
    ZIP,
    Mutator,
    in_chunk,
    in_header,
    in_journal,
)

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of files.

    Attributes
    ----------
    name : str
        For people.
    make : callable
        Writes whole files into a folder, and returns those that are to be damaged.
    read : callable
        Opens one with this package, all of it; values by name.
    mutators : tuple of callable
        What damages it.
    second : callable or None
        Opens one with another reader; its values by the same names.
    strict : bool
        Whether what the other reader refuses must be refused here, too.
    """

    name: str
    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Values]
    mutators: tuple[Mutator, ...]
    second: Callable[[Path], Values] | None = None
    strict: bool = False


# ---- Weights -----------------------------------------------------------------------------

TENSORS = {
    "first.weight": torch.arange(36, dtype=torch.float32).reshape(4, 1, 3, 3) / 7,
    "first.bias": torch.linspace(-1, 1, 4),
    "norm.running_var": torch.ones(4),
    "norm.num_batches_tracked": torch.tensor(7),
    "last.weight": torch.ones(2, 4, 1, 1, dtype=torch.float64),
}


def _number(value: torch.Tensor) -> int:
    """Return the checksum of kind, shape and numbers: NaN is equal to itself."""
    raw = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return zlib.crc32(f"{value.dtype} {tuple(value.shape)}".encode() + raw)


def _weights(path: Path) -> Values:
    """Identify a file, as a drop does, and read every tensor of it."""
    from napari_segnet.containers import open_tree
    from napari_segnet.containers._types import TensorRef
    from napari_segnet.errors import SettingsError, WeightsError
    from napari_segnet.recognition import identify

    try:
        identify(path)
    except (WeightsError, SettingsError):
        pass  # whatever it is, its tensors are to be right
    root = open_tree(path).root
    held = root if isinstance(root, Mapping) else {}
    return {
        str(key): _number(one.load())
        for key, one in held.items()
        if isinstance(one, TensorRef) and one.readable
    }


def _by_torch(path: Path) -> Values:
    held = torch.load(path, weights_only=True)
    return {str(k): _number(v) for k, v in held.items() if isinstance(v, torch.Tensor)}


def _by_safetensors(path: Path) -> Values:
    import safetensors.torch

    return {k: _number(v) for k, v in safetensors.torch.load(path.read_bytes()).items()}


def _saved(name: str, **options: Any) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        paths = [folder / name, folder / f"wrapped_{name}"]
        torch.save(TENSORS, paths[0], **options)
        wrapped = {"state_dict": TENSORS, "epoch": 3, "args": {"lr": 0.1, "names": ["a", "b"]}}
        torch.save(wrapped, paths[1], **options)
        return paths

    return make


def _safetensors(folder: Path) -> list[Path]:
    import safetensors.torch

    path = folder / "a.safetensors"
    safetensors.torch.save_file(TENSORS, path, {"format": "pt"})
    return [path]


def _pickled(folder: Path) -> list[Path]:
    import collections
    import pickle

    arrays = {k: v.numpy() for k, v in TENSORS.items()}
    paths = []
    for protocol in (0, 2, 4, 5):
        paths.append(folder / f"{protocol}.pkl")
        content = collections.OrderedDict(model=arrays, epoch=3, of={"a": (1, {2.5}), "b": None})
        paths[-1].write_bytes(pickle.dumps(content, protocol))
    return paths


def _keras(folder: Path) -> list[Path]:
    config, weights = keras_files.small()
    return [
        keras_files.h5(folder / "a.h5", weights, config),
        keras_files.h5(folder / "b.h5", weights, config, compression="gzip"),
        keras_files.keras_zip(folder / "c.keras", weights, config),
    ]


def _by_h5py(path: Path) -> Values:
    import h5py

    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        top = file.get("model_weights", file)

        def take(name: str, one: Any) -> None:
            if isinstance(one, h5py.Dataset) and one.dtype.kind in "fiub":
                found[name] = _number(torch.from_numpy(np.asarray(one[()])))

        top.visititems(take)
    return found


def _onnx(folder: Path) -> list[Path]:
    kernel = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype("float32")
    nodes = [
        onnx_files.node("Conv", ["image", "w"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        onnx_files.node("Relu", ["a"], ["out"]),
    ]
    return [onnx_files.network(folder / "a.onnx", nodes, {"w": kernel})]


def _torchscript(folder: Path) -> list[Path]:
    packages.script(folder / "a.pt")
    return [folder / "a.pt"]


def _exported(folder: Path) -> list[Path]:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.ReLU())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(network.eval(), (torch.rand(1, 1, 16, 16),))
        torch.export.save(program, str(folder / "a.pt2"))
    return [folder / "a.pt2"]


# ---- What lies beside weights ------------------------------------------------------------


def _source(path: Path) -> Values:
    from napari_segnet.recognition import identify

    found = identify(path.parent / "net.pth", source=path)
    return {"family": found.family}


def _definitions(folder: Path) -> list[Path]:
    definitions.saved(definitions.NAMES, "Small()", folder, (1, 16, 16))
    texts = [definitions.NAMES, *(text for text in sources.hostile(definitions.NAMES))]
    made = []
    for number, text in enumerate(texts):
        made.append(folder / f"{'net' if not number else f'other{number}'}.py")
        made[-1].write_text(text)
    made.append(folder / "net.ipynb")
    cells = [{"cell_type": "code", "source": [f"{line}\n" for line in texts[1].split("\n")]}]
    made[-1].write_text(json.dumps({"cells": cells, "nbformat": 4}))
    (folder / "trap_module.py").write_text("open('TRAP', 'w')")
    return made


def _keras_source(path: Path) -> Values:
    from napari_segnet.recognition import identify

    found = identify(path.parent / f"{path.name.split('_')[0]}.h5", source=path)
    return {"family": found.family}


def _keras_definitions(folder: Path) -> list[Path]:
    """Write code of each style with the weights of its model, which ``define_keras.py`` stored."""
    stored = json.loads((Path(__file__).parents[2] / "data" / "keras_definitions.json").read_text())
    dice, made = np.random.default_rng(0), []
    for number, (name, (code, *_)) in enumerate(keras_definitions.DEFINITIONS.items()):
        weights = {
            layer: [(key, dice.normal(size=shape).astype("f4")) for key, shape in rows]
            for layer, rows in stored[name]["layers"]
        }
        keras_files.h5(folder / f"net{number}.h5", weights)
        texts = [code, *sources.hostile_keras(code)] if number < 2 else [code]
        for place, text in enumerate(texts):
            made.append(folder / f"net{number}_{place}.py")
            made[-1].write_text(text)
        cells = [{"cell_type": "code", "source": [f"{line}\n" for line in code.split("\n")]}]
        made.append(folder / f"net{number}_book.ipynb")
        made[-1].write_text(json.dumps({"cells": cells, "nbformat": 4}))
    (folder / "trap_module.py").write_text("open('TRAP', 'w')")
    return made


def _package(path: Path) -> Values:
    from napari_segnet.recognition import identify

    return {"family": identify(path.parent).family}


def _described(folder: Path) -> list[Path]:
    import yaml

    packages.package(folder, yaml.safe_dump(packages.rdf()))
    return [folder / "rdf.yaml"]


def _sidecar(path: Path) -> Values:
    from napari_segnet.recognition import identify

    return {"family": identify(path.parent / "net.pth").family}


def _sidecars(folder: Path) -> list[Path]:
    from napari_segnet.checkpoint import file_sha256

    path = _milesial(folder)
    content = {
        "format": 1,
        "sha256": file_sha256(path),
        "family": "milesial-unet",
        "told": {},
        "known": {},
        "prepare": [{"name": "normalize", "options": {"how": "min-max"}}],
        "class_names": ["background", "cell"],
        "pixel_size_um": {"y": 0.5, "x": 0.5},
        "card": {"scores": {"f1": 0.5}},
    }
    beside = path.with_name("net.pth.card.json")
    beside.write_text(json.dumps(content))
    return [beside]


def _milesial(folder: Path) -> Path:
    from support.examples import EXAMPLES

    path = folder / "net.pth"
    torch.save(EXAMPLES["milesial-unet"][0].make().state_dict(), path)
    return path


def _settings(path: Path) -> Values:
    from napari_segnet.commands._wishes import read_wishes
    from napari_segnet.inference import LabelSettings, PredictSettings
    from napari_segnet.settings import settings_from

    wishes = read_wishes(path, "x")
    return {
        "predict": settings_from(PredictSettings, wishes.predict),
        "label": settings_from(LabelSettings, wishes.label),
    }


def _of_settings(folder: Path) -> list[Path]:
    flat = {"threshold": 0.4, "axes": "zyx", "tile_px": [256, 256], "channels": [0, 1]}
    run = {
        "predict": {"tile_px": [256, 256], "device": "cpu"},
        "label": {"threshold": 0.5},
        "checkpoint": {"told": {"bilinear": True}, "path": None},
        "image": {"axes_told": "yx"},
        "engine": {"tile_px": [64, 64]},
    }
    made = []
    for number, content in enumerate((flat, run)):
        made.append(folder / f"{number}.json")
        made[-1].write_text(json.dumps(content))
    return made


def _journal(path: Path) -> Values:
    from napari_segnet.journal import replay, summary

    summary(path)
    found = replay(path)
    return {"shape": found.labels.shape, "acts": found.acts}


def _journals(folder: Path) -> list[Path]:
    from napari_segnet.journal import Act, Change, Journal, slabs

    path, labels = folder / "a.journal", np.zeros((20, 30), np.int32)
    journal = Journal(path)
    journal.begin_snapshot(labels.shape, labels.dtype)
    for box in slabs(labels.shape):
        journal.snapshot_box([part.start or 0 for part in box], labels[box].copy())
    journal.end_snapshot()
    for number in range(1, 6):
        box = (slice(number, number + 4), slice(2, 9))
        before = labels[box].reshape(-1).copy()
        change = Change(box=box, mask=None, before=before, after=np.array([number], np.int32))
        change.apply(labels)
        act = Act(what="stroke", at=1.0 + number, changes=(change,), patch=None)
        journal.act(lambda act=act: act)
    journal.close()
    return [path]


# ---- Training data -----------------------------------------------------------------------


def _pairs(path: Path) -> Values:
    from napari_segnet.errors import SegnetError
    from napari_segnet.formats import format_of

    found = format_of(path.parent).find(path.parent)
    read = {}
    for entry in found.entries:
        try:
            read[entry.name] = int(np.asarray(entry.read().labels).max())
        except SegnetError as error:
            refusal = error
    if not read and found.entries:
        raise refusal
    return read


def _coco(folder: Path) -> list[Path]:
    import tifffile

    tifffile.imwrite(folder / "a.tif", np.zeros((40, 50), np.uint8))
    square = [[5.0, 5.0, 20.0, 5.0, 20.0, 20.0, 5.0, 20.0]]
    runs = {"size": [40, 50], "counts": [100, 20, 1880]}
    rows = [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": square, "bbox": [5, 5, 15, 15]},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": runs, "iscrowd": 1, "area": 20},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.tif", "height": 40, "width": 50}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}],
    }
    path = folder / "instances_train.json"
    path.write_text(json.dumps(content))
    return [path]


def _cellpose(folder: Path) -> list[Path]:
    import tifffile

    tifffile.imwrite(folder / "a.tif", np.zeros((20, 30), np.uint8))
    masks = np.arange(600, dtype=np.uint16).reshape(20, 30) // 100
    held = {"masks": masks, "outlines": masks * 0, "filename": "a.tif", "diameter": 30.0}
    np.save(folder / "a_seg.npy", held, allow_pickle=True)
    return [folder / "a_seg.npy"]


def _by_onnx(path: Path) -> Values:
    """Return its tensors by the format's own reader, where it is installed."""
    try:
        import onnx.numpy_helper
    except ImportError:
        return {}
    found = onnx.load_model_from_string(path.read_bytes()).graph.initializer
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in found}
    plain = {name: one for name, one in arrays.items() if one.dtype.kind in "fiub"}
    return {name: _number(torch.from_numpy(one.copy())) for name, one in plain.items()}


def _by_json_and_zip(path: Path) -> Values:
    """Return the tensors of a ``.pt2`` by its listing, with Python's own zip and numpy."""
    found = {}
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            if not name.endswith("_weights_config.json"):
                continue
            for key, entry in json.loads(file.read(name))["config"].items():
                meta = entry["tensor_meta"]
                shape = [one["as_int"] for one in meta["sizes"]]
                raw = file.read(f"{name.rpartition('/')[0]}/{entry['path_name']}")
                if meta["dtype"] == 7 and not meta["storage_offset"]["as_int"]:
                    numbers = np.frombuffer(raw, "<f4")[: int(np.prod(shape))].reshape(shape)
                    dense = [int(n) // 4 for n in numbers.strides]
                    if [one["as_int"] for one in meta["strides"]] == dense:
                        found[key] = _number(torch.from_numpy(numbers.copy()))
    return found


def _zarrs(folder: Path) -> list[Path]:
    import zarr

    made = []
    for version in (2, 3):
        top = folder / f"{version}.zarr"
        group = zarr.open_group(str(top), mode="w", zarr_format=version)
        group.create_array("0", data=PIXELS, chunks=(16, 16))
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
        scales = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
        own = {"multiscales": scales}
        group.attrs.update(own if version == 2 else {"ome": {"version": "0.5", **own}})
        marks = (
            (".zgroup", ".zattrs", "0/.zarray") if version == 2 else ("zarr.json", "0/zarr.json")
        )
        made += [top / name for name in marks]
    return made


def _zarr_of(path: Path) -> Path:
    return next(one for one in path.parents if one.suffix == ".zarr")


def _by_zarr(path: Path) -> Values:
    import zarr

    group = zarr.open_group(str(_zarr_of(path)), mode="r")
    attributes: Any = dict(group.attrs)
    first = attributes.get("ome", attributes)["multiscales"][0]["datasets"][0]["path"]
    array: Any = group[first]
    return {"pixels": _sum(array[...])} if array.nbytes < 2**26 else {}


# ---- Pictures ----------------------------------------------------------------------------

PIXELS = (np.random.default_rng(5).uniform(size=(33, 40)) * 60_000).astype(np.uint16)


def _sum(pixels: Any) -> str:
    """Return kind and count of numbers and their checksum, whatever their order is."""
    found = np.ascontiguousarray(pixels)
    row = np.sort(found.reshape(-1)) if found.dtype.kind in "iuf" else found.reshape(-1)
    native = row.astype(row.dtype.newbyteorder("="))
    return f"{native.dtype.kind} {native.size} {zlib.crc32(native.tobytes())}"


def _picture(path: Path) -> Values:
    from napari_segnet.readers import open_image

    return {"pixels": _sum(np.asarray(open_image(path).data))}


def _tiffs(folder: Path) -> list[Path]:
    import tifffile

    made = [folder / f"{number}.tif" for number in range(4)]
    tifffile.imwrite(made[0], PIXELS)
    tifffile.imwrite(made[1], np.stack([PIXELS] * 3), metadata={"axes": "ZYX"}, ome=True)
    tifffile.imwrite(made[2], PIXELS, compression="zlib", predictor=True, tile=(16, 16))
    tifffile.imwrite(made[3], np.stack([PIXELS] * 2), imagej=True, byteorder=">")
    return made


def _by_tifffile(path: Path) -> Values:
    import tifffile

    with tifffile.TiffFile(path) as file:
        colours = {int(page.photometric) for page in file.pages if hasattr(page, "photometric")}
        if not colours <= {1}:
            return {}  # shown as its colours say, which this reader does not
        return {"pixels": _sum(file.asarray())}


def _by_pillow(path: Path) -> Values:
    import PIL.Image

    with PIL.Image.open(path) as picture:
        plain = picture.mode in ("L", "I;16", "RGB")
        return {"pixels": _sum(np.asarray(picture))} if plain else {}


def _by_nibabel(path: Path) -> Values:
    import nibabel

    found = nibabel.load(path)
    header: Any = found.header
    if header.get_slope_inter() not in ((None, None), (1.0, 0.0)):
        return {}  # scaled in another precision
    return {"pixels": _sum(np.asanyarray(found.dataobj))}  # type: ignore[attr-defined]


def _pillow(ending: str, *modes: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        import PIL.Image

        made = []
        for mode in modes:
            made.append(folder / f"{mode.replace(';', '')}{ending}")
            grey = PIXELS if mode == "I;16" else (PIXELS >> 8).astype(np.uint8)
            picture = PIL.Image.fromarray(grey)
            (picture if mode in ("L", "I;16") else picture.convert(mode)).save(made[-1])
        return made

    return make


def _npys(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", PIXELS)
    np.save(folder / "b.npy", np.asfortranarray(PIXELS.astype(">f4")))
    return [folder / "a.npy", folder / "b.npy"]


def _by_numpy(path: Path) -> Values:
    return {"pixels": _sum(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))}


def _niftis(folder: Path) -> list[Path]:
    import nibabel

    volume = np.stack([PIXELS] * 3).astype(np.int32)
    made = [folder / "a.nii", folder / "b.nii.gz"]
    for path in made:
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    return made


EVERY = (
    Kind(name="torch zip", make=_saved("a.pth"), read=_weights, mutators=ZIP, second=_by_torch),
    Kind(
        name="torch legacy",
        make=_saved("a.pth", _use_new_zipfile_serialization=False),
        read=_weights,
        mutators=PICKLE,
        second=_by_torch,
    ),
    Kind(
        name="safetensors",
        make=_safetensors,
        read=_weights,
        mutators=(*BYTES, in_header, in_header, in_header),
        second=_by_safetensors,
        strict=True,
    ),
    Kind(name="pickles", make=_pickled, read=_weights, mutators=PICKLE),
    Kind(name="HDF5", make=_keras, read=_weights, mutators=(*BYTES, *TEXT), second=_by_h5py),
    Kind(name="ONNX", make=_onnx, read=_weights, mutators=BYTES, second=_by_onnx, strict=True),
    # PyTorch itself ends the process (c10::Error) on some damaged ones, so it is no second reader.
    Kind(name="TorchScript", make=_torchscript, read=_weights, mutators=ZIP),
    Kind(
        name="torch.export",
        make=_exported,
        read=_weights,
        mutators=ZIP,
        second=_by_json_and_zip,
    ),
    Kind(name="source", make=_definitions, read=_source, mutators=(*TEXT, *TEXT, *JSON)),
    Kind(
        name="Keras source",
        make=_keras_definitions,
        read=_keras_source,
        mutators=(*TEXT, *TEXT, *JSON),
    ),
    Kind(name="YAML", make=_described, read=_package, mutators=TEXT),
    Kind(name="side-cars", make=_sidecars, read=_sidecar, mutators=JSON),
    Kind(name="settings", make=_of_settings, read=_settings, mutators=JSON),
    Kind(
        name="journals",
        make=_journals,
        read=_journal,
        mutators=(*BYTES, in_journal, in_journal, in_journal, in_journal),
    ),
    Kind(name="COCO", make=_coco, read=_pairs, mutators=JSON),
    Kind(name="_seg.npy", make=_cellpose, read=_pairs, mutators=PICKLE),
    Kind(name="TIFF", make=_tiffs, read=_picture, mutators=BYTES, second=_by_tifffile),
    Kind(
        name="PNG",
        make=_pillow(".png", "L", "RGB", "I;16", "P"),
        read=_picture,
        mutators=(*BYTES, in_chunk, in_chunk, in_chunk),
        second=_by_pillow,
    ),
    Kind(
        name="JPEG",
        make=_pillow(".jpg", "L", "RGB"),
        read=_picture,
        mutators=BYTES,
        second=_by_pillow,
    ),
    Kind(name="NPY", make=_npys, read=_picture, mutators=BYTES, second=_by_numpy, strict=True),
    Kind(
        name="OME-Zarr",
        make=_zarrs,
        read=lambda path: _picture(_zarr_of(path)),
        mutators=JSON,
        second=_by_zarr,
    ),
    Kind(name="NIfTI", make=_niftis, read=_picture, mutators=BYTES, second=_by_nibabel),
)
KINDS = {kind.name: kind for kind in EVERY}
