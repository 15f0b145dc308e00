"""Whatever writes a file meets a full disk: a sentence, no half file, the next try right."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.examples import EXAMPLES
from support.files import identified
from support.hostile.disk import Disk, calls_of
from support.keras_networks import written
from support.onnx_taught import taught_onnx
from support.teaching import QUICK, write_dataset

import napari_segnet as sn
from napari_segnet.atomic import ENDING
from napari_segnet.dataset import Dataset
from napari_segnet.diagram import write_diagram
from napari_segnet.errors import SegnetError
from napari_segnet.export import HALF, export
from napari_segnet.formats import FORMATS
from napari_segnet.image import Image
from napari_segnet.measure import measure
from napari_segnet.own_file import save_own
from napari_segnet.publish import write_package
from napari_segnet.recognition import family_of, identify
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.sidecar import read_sidecar, sidecar_path, write_sidecar
from napari_segnet.sinks import Blocks, KeptPlace
from napari_segnet.sinks.file import file_array
from napari_segnet.train import train
from napari_segnet.writers import exporters, write_segmentation

TIFFFILE = r"ignore:Exception ignored in.*<_io\.BytesIO:pytest.PytestUnraisableExceptionWarning"
"""What it had in memory of a file that could not be written, told from Python 3.13 on."""
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", TIFFFILE)

Work = Callable[[Path], Any]
Check = Callable[[Path], None]


SAID: dict[str, Any] = {"authors": ["A"], "license": "MIT", "cite": "10.1007/978-3-319-24574-4_28"}


def _milesial(folder: Path) -> Any:
    return identified(folder, "milesial-unet", EXAMPLES["milesial-unet"][0])


def _of_our_own(folder: Path) -> tuple[str, Work, Check]:
    network = _milesial(folder)
    return "net.safetensors", lambda path: save_own(network, path), _opens


def _in_its_own_layout(folder: Path) -> tuple[str, Work, Check]:
    network = _milesial(folder)
    family = family_of(network)
    module = family.build(network)
    return "taught.pth", lambda path: family.save(module, network, path), _opens


def _of_keras(folder: Path) -> tuple[str, Work, Check]:
    network = identify(written(folder, "keras 2"))
    family = family_of(network)
    module = family.build(network)
    return "taught.h5", lambda path: family.save(module, network, path), _opens


def _of_onnx(folder: Path) -> tuple[str, Work, Check]:
    network = taught_onnx(folder).taught
    family = family_of(network)
    module = family.build(network)
    return "again.onnx", lambda path: family.save(module, network, path), _opens


def _opens(path: Path) -> None:
    assert identify(path).path == path


def _drawn(kind: str) -> Callable[[Path], tuple[str, Work, Check]]:
    def prepared(folder: Path) -> tuple[str, Work, Check]:
        network = _milesial(folder)
        first = {".svg": b"<", ".png": b"\x89"}[kind]

        def check(path: Path) -> None:
            assert path.read_bytes().startswith(first)

        return f"net{kind}", lambda path: write_diagram(network, path), check

    return prepared


def _packed(folder: Path) -> tuple[str, Work, Check]:
    network = _milesial(folder)
    return "net.zip", lambda path: write_package(network, path, **SAID), _opens


def _card(folder: Path) -> tuple[str, Work, Check]:
    network = _milesial(folder)

    def work(path: Path) -> None:
        beside = path.with_name("net.pth")
        if not beside.exists():
            os.symlink(network.path, beside)
        write_sidecar(replace(network, path=beside))

    def check(path: Path) -> None:
        assert read_sidecar(path.with_name("net.pth")) is not None

    return sidecar_path(Path("net.pth")).name, work, check


def _table(folder: Path) -> tuple[str, Work, Check]:
    labels = np.kron(np.arange(4, dtype=np.int32).reshape(2, 2), np.ones((5, 5), np.int32))
    image = Image(data=labels.astype(np.uint8), axes="yx", name="a")
    table = sn.run(measure(labels, "yx", image))

    def check(path: Path) -> None:
        assert path.read_text().count("\n") == len(table) + 1

    return "table.csv", table.save, check


def _results(folder: Path) -> tuple[str, Work, Check]:
    """All that a run can write of one image."""
    labels = np.kron(np.arange(4, dtype=np.int32).reshape(2, 2), np.ones((9, 9), np.int32))
    image = Image(data=labels.astype(np.uint8), axes="yx", name="a")
    made = Segmentation(
        labels=labels,
        axes="yx",
        pixel_size_um={},
        origin=Origin(checkpoint={}, image={"name": "a"}, predict={}),
        kind="instance",
        label_class={},
        label_score={},
        class_names=(),
    )
    table = sn.run(measure(labels, "yx", image))
    asked = [writer.asked for writer in exporters() if writer.asked != "nifti"]
    count: list[int] = []

    def work(path: Path) -> None:
        named = {"table": table, "exports": asked, "image": image}
        write_segmentation(made, path.parent, "a", overwrite=True, **named)

    def check(path: Path) -> None:
        assert json.loads(path.read_text())["image"]["name"] == "a"
        files = sum(one.is_file() and not one.name.startswith(".") for one in path.parent.iterdir())
        count.append(files)
        assert files == count[0] > 5

    return "out/a.json", work, check


def _on_a_grid(folder: Path) -> tuple[str, Work, Check]:
    """Labels of a medical image, as NIfTI beside their record."""
    nibabel = pytest.importorskip("nibabel")
    labels = np.arange(60, dtype=np.int32).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(labels.T.astype("f4"), np.eye(4)), folder / "a.nii")
    grid = sn.open_image(folder / "a.nii").grid
    assert grid is not None
    made = Segmentation(
        labels=labels,
        axes="zyx",
        pixel_size_um={},
        origin=Origin(checkpoint={}, image={"name": "a", "grid": grid.to_json()}, predict={}),
        kind="instance",
        label_class={},
        label_score={},
        class_names=(),
    )

    def check(path: Path) -> None:
        found = nibabel.load(path.with_name("a.labels.nii.gz"))
        assert np.array_equal(np.asarray(found.dataobj).T, labels)

    return "out/a.json", lambda path: write_segmentation(made, path.parent, "a"), check


def _in_a_file(folder: Path) -> tuple[str, Work, Check]:
    """An answer that is too large for memory, in a nameless file of the scratch folder."""

    def work(path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tempfile.tempdir", str(path.parent))
            array = file_array((3, 40, 50), np.dtype(np.float16))
            array[...] = 2
            assert array.sum() == 12_000

    def check(path: Path) -> None:
        assert not list(path.parent.iterdir())

    return "nameless", work, check


def _answered(folder: Path) -> tuple[str, Work, Check]:
    """What a network said of each tile, until the labels are written."""

    def work(path: Path) -> None:
        with Blocks(KeptPlace(folder=path, overwrite=True), {"image": "a"}) as blocks:
            blocks.choose(scale=2)
            for number in range(4):
                blocks.put(f"tile-{number}", maps=np.full((2, 8, 8), number, np.float32))

    def check(path: Path) -> None:
        with Blocks(KeptPlace(folder=path, overwrite=False), {"image": "a"}) as blocks:
            for name in blocks.names():
                found = blocks.get(name)
                assert found is not None and (found["maps"] == int(name[-1])).all()

    return ".a.unfinished", work, check


def _exported(name: str) -> Callable[[Path], tuple[str, Work, Check]]:
    def prepared(folder: Path) -> tuple[str, Work, Check]:
        root = write_dataset(folder / "data", count=2)
        dataset = Dataset.open(root)
        count: list[int] = []

        def check(path: Path) -> None:
            files = sum(one.is_file() for one in path.rglob("*"))
            count.append(files)
            assert HALF not in {one.name for one in path.iterdir()}
            assert files == count[0] > 0

        return "out", lambda path: sn.run(export(dataset, name, path)), check

    return prepared


def _taught(folder: Path) -> tuple[str, Work, Check]:
    root = write_dataset(folder / "data", count=2)
    network = _milesial(folder)

    def work(path: Path) -> None:
        dataset = Dataset.open(root)
        sn.run(train(network, dataset, path, QUICK, device="cpu", resume=True))

    return "taught.pth", work, _opens


WORKS = {
    "a file of our own": _of_our_own,
    "a checkpoint": _in_its_own_layout,
    "Keras": _of_keras,
    "ONNX": pytest.param(_of_onnx, marks=pytest.mark.trains),
    "a drawing": _drawn(".svg"),
    "a picture of it": _drawn(".png"),
    "a package": pytest.param(_packed, marks=pytest.mark.long),
    "a card": _card,
    "a table": _table,
    "results": _results,
    "results on a grid": _on_a_grid,
    "an answer in a file": pytest.param(
        _in_a_file, marks=pytest.mark.skipif(sys.platform == "win32", reason="files have names")
    ),
    "answers of tiles": _answered,
    **{f"export {one.name}": _exported(one.name) for one in FORMATS},
    "a training": pytest.param(_taught, marks=[pytest.mark.trains, pytest.mark.long]),
}


@pytest.mark.sample(8)
@pytest.mark.parametrize("prepared", WORKS.values(), ids=WORKS.keys())
def test_a_full_disk_at_each_call(prepared: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    name, work, check = prepared(tmp_path / "made")
    whole = tmp_path / "whole"
    whole.mkdir()
    count = calls_of(lambda: work(whole / name))
    check(whole / name)
    step = max(1, count // 12)  # each call of the short ones, one of each kind of the long ones
    refused = 0
    for place in range(0, count, step):
        folder = tmp_path / str(place)
        folder.mkdir()
        with Disk(fail_at=place, error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) as disk:
            try:
                work(folder / name)
            except SegnetError as error:
                refused += 1
                assert len(str(error)) > 30 and "Errno" not in str(error), str(error)
        assert not list(folder.rglob(f"*{ENDING}")), disk.failed
        if (folder / name).exists():
            check(folder / name)
        else:
            work(folder / name)
            check(folder / name)
    assert refused > 0
