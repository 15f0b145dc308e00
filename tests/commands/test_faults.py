"""Disk and device fail within a run: a sentence, what is done is whole, the next run is right."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest
import tifffile
from support.engines import put_first
from support.hostile.disk import Refusing

import napari_segnet as sn
from napari_segnet import cache
from napari_segnet.engines.fake import FakeKind, FakeOutOfMemoryError
from napari_segnet.engines.torch import load
from napari_segnet.errors import OutputError, SegnetError
from napari_segnet.journal import Journal
from napari_segnet.recognition import identify
from napari_segnet.sidecar import write_sidecar


@pytest.fixture(autouse=True)
def nothing_kept():
    cache.networks.clear()
    cache.rungs.clear()
    yield
    cache.networks.clear()
    cache.rungs.clear()


@pytest.fixture
def three(shop, tmp_path):
    cells = tifffile.imread(shop / "cells.tif")
    for number in range(3):
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", np.roll(cells, 5 * number))
    return tmp_path / "images"


def results(folder):
    """Return the labels of a folder of results that are whole."""
    found = {path.stem for path in folder.glob("*.json")}
    assert found == {path.name.split(".")[0] for path in folder.glob("*.labels.tif")}
    assert not list(folder.rglob("*.part"))
    return {name: tifffile.imread(folder / f"{name}.labels.tif") for name in found}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, expected[name])


LOSSES = {
    "The GPU failed": RuntimeError("CUDA error: unspecified launch failure"),
    "not enough memory on cuda:0 even": FakeOutOfMemoryError(),
}


@pytest.mark.parametrize("said", LOSSES)
def test_a_device_that_is_lost_in_the_middle(run, shop, three, tmp_path, monkeypatch, said):
    words = ("segment", three, "-c", shop / "unet.pth", "--set", "normalize=none")
    assert run(*words, "-o", tmp_path / "whole").code == 0
    whole = results(tmp_path / "whole")
    cache.networks.clear()
    network = load(identify(shop / "unet.pth"), "cpu")

    def maps(batch, **how):
        if len(kind.tried) > 1:
            raise LOSSES[said]
        return network.maps(batch, **how)

    kind = put_first(monkeypatch, FakeKind(maps=maps, device_precisions={"cuda:0": ("fp32",)}))
    done = run(*words, "-o", tmp_path / "out", "--device", "cuda:0")
    assert done.code == 1 and "Traceback" not in done.err
    assert said in done.err
    made = results(tmp_path / "out")
    assert 0 < len(made) < 3
    assert_same(made, {name: whole[name] for name in made})
    monkeypatch.undo()
    cache.networks.clear()
    assert run(*words, "-o", tmp_path / "out", "--overwrite").code == 0
    assert_same(results(tmp_path / "out"), whole)


def _card(home, shop):
    network = shutil.copy(shop / "unet.pth", home / "unet.pth")
    return lambda: write_sidecar(identify(network))


def _journal(home, shop):
    def work():
        journal = Journal(home / "journals" / "a.journal")
        journal.begin_snapshot((2, 2), np.dtype(np.int32))
        journal.close()
        if journal.error is not None:
            raise journal.error

    return work


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("prepared", [_card, _journal])
def test_a_home_that_cannot_be_written(run, shop, tmp_path, monkeypatch, number, prepared):
    home = tmp_path / "unwritable"
    home.mkdir()
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(home / "data"))
    work = prepared(home, shop)
    with Refusing("unwritable", OSError(number, os.strerror(number))) as disk:
        with pytest.raises(OutputError, match=r"(?i)read-only|full|no space") as raised:
            work()
        done = run("segment", shop / "cells.tif", "-c", shop / "unet.pth", "-o", tmp_path / "out")
    assert disk.failed is not None and "Errno" not in str(raised.value)
    assert done.code == 0 and len(results(tmp_path / "out")) == 1
    work()


def whole_or_sentence(work, expected):
    try:
        found = work()
    except SegnetError as error:
        assert len(str(error)) > 30 and "Errno" not in str(error), error
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["cells.tif", "stack.npy", "unet.pth"])
@pytest.mark.parametrize("how", ["gone", "short", "another"])
def test_a_file_that_goes_in_the_middle(shop, tmp_path, name, how):
    for one in ("cells.tif", "stack.npy", "unet.pth"):
        shutil.copy(shop / one, tmp_path / one)
    axes = {"axes": "zyx"} if name == "stack.npy" else {}
    picture = "stack.npy" if name == "stack.npy" else "cells.tif"

    def segmented(harm):
        image = sn.open_image(tmp_path / picture, **axes)
        checkpoint = identify(tmp_path / "unet.pth")
        harm()
        return sn.run(sn.segment(checkpoint, image)).labels

    expected = segmented(lambda: None)
    cache.networks.clear()
    path = tmp_path / name
    data = path.read_bytes()

    def harm():
        path.unlink()
        if how == "short":
            path.write_bytes(data[: len(data) // 2])
        elif how == "another":
            path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))

    whole_or_sentence(lambda: segmented(harm), expected)


def test_a_folder_of_results_that_goes_in_the_middle(run, shop, three, tmp_path, monkeypatch):
    from napari_segnet import writers

    real, out = writers.write_segmentation, tmp_path / "out"

    def write(*args, **named):
        if not gone:
            gone.append(True)
            shutil.rmtree(out, ignore_errors=True)
        return real(*args, **named)

    gone = []
    monkeypatch.setattr(writers, "write_segmentation", write)
    done = run("segment", three, "-c", shop / "unet.pth", "-o", out)
    assert done.code == 0 and gone
    assert len(results(out)) == 3
