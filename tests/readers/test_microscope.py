"""Files of microscopes: what bioio says of them becomes an image, plane by plane."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import dask.array as da
import numpy as np
import pytest

from napari_segnet import open_image
from napari_segnet.errors import ImageError, MissingExtraError

CZI, ND2 = b"ZISRAWFILE" + bytes(90), b"\xda\xce\xbe\x0a" + bytes(90)
LIF = b"\x70\x00\x00\x00\x10\x00\x00\x00\x2a" + bytes(90)


@pytest.fixture
def bioio(monkeypatch):
    """Let every package of bioio read what a test puts into it."""
    said = SimpleNamespace(scenes=("Scene:0",), order="TCZYX", data=None, names=None, um=())

    class Reader:
        def __init__(self, path: str) -> None:
            if not Path(path).read_bytes()[50:].startswith(bytes(8)):
                raise KeyError("offset")
            self.scenes, self.channel_names = said.scenes, said.names
            self.dims = SimpleNamespace(order=said.order)
            self.dask_data = da.from_array(said.data, chunks=16)
            size = dict(zip("ZYX", said.um, strict=False))
            self.physical_pixel_sizes = SimpleNamespace(**{a: size.get(a) for a in "ZYX"})

    for name in ("bioio_czi", "bioio_nd2", "bioio_lif"):
        module = ModuleType(name)
        module.Reader = Reader
        monkeypatch.setitem(sys.modules, name, module)
    return said


@pytest.mark.parametrize(("ending", "head"), [("czi", CZI), ("nd2", ND2), ("lif", LIF)])
def test_a_stack_of_channels(bioio, tmp_path, ending, head):
    path = tmp_path / f"cells.{ending}"
    path.write_bytes(head)
    bioio.data = np.random.default_rng(0).integers(0, 999, (1, 2, 5, 40, 30), np.uint16)
    bioio.names, bioio.um = ["DAPI", "GFP"], (2.0, 0.5, None)
    image = open_image(path)
    assert (image.axes, image.rgb, image.name) == ("czyx", False, "cells")
    assert (image.channel_names, image.pixel_size_um) == (("DAPI", "GFP"), {"z": 2.0, "y": 0.5})
    for one in (image, pickle.loads(pickle.dumps(image))):
        found = one.read(c=1, z=3, y=slice(7, 20))
        np.testing.assert_array_equal(found[0, 0, 0], bioio.data[0, 1, 3, 7:20])
    path.write_bytes(head + b"more")
    with pytest.raises(ImageError, match="changed"):
        image.read()


def test_colours_and_scenes(bioio, tmp_path):
    path = tmp_path / "a.czi"
    path.write_bytes(CZI)
    bioio.order, bioio.scenes = "TCZYXS", ("one", "two")
    bioio.data = np.random.default_rng(0).integers(0, 255, (1, 1, 1, 20, 30, 3), np.uint8)
    image = open_image(path)
    assert (image.axes, image.rgb, image.sizes["c"]) == ("yxc", True, 3)
    assert "holds 2 pictures; only the first (one) was read" in image.notes[0]
    bioio.data = np.zeros((1, 2, 1, 20, 30, 3), np.uint8)
    with pytest.raises(ImageError, match="both channels and red-green-blue"):
        open_image(path)
    bioio.order, bioio.data = "HTCZYX", np.zeros((4, 1, 1, 1, 20, 30), np.uint8)
    with pytest.raises(ImageError, match="4 entries along H"):
        open_image(path)


def test_what_is_damaged_or_not_installed_is_said(bioio, tmp_path, monkeypatch):
    path = tmp_path / "a.nd2"
    path.write_bytes(ND2[:50] + b"damage" * 9)
    with pytest.raises(ImageError, match=r"a\.nd2 is damaged or not complete"):
        open_image(path)
    monkeypatch.setitem(sys.modules, "bioio_nd2", None)
    with pytest.raises(MissingExtraError, match=r"bioio-nd2.*Install the extra \[images\]"):
        open_image(path)


def test_a_real_czi(tmp_path):
    pytest.importorskip("bioio_czi", reason="needs the extra [images]")
    czi = pytest.importorskip("pylibCZIrw.czi")
    planes = np.random.default_rng(0).integers(0, 999, (2, 3, 48, 64), np.uint16)
    path = tmp_path / "real.czi"
    with czi.create_czi(str(path)) as file:
        for c in range(2):
            for z in range(3):
                file.write(planes[c, z][..., None], plane={"C": c, "Z": z, "T": 0})
        file.write_metadata(
            document_name="real", channel_names={0: "DAPI", 1: "GFP"}, scale_x=5e-7, scale_y=5e-7,
            scale_z=2e-6,
        )  # fmt: skip
    image = open_image(path)
    assert (image.axes, image.channel_names) == ("czyx", ("DAPI", "GFP"))
    assert image.pixel_size_um == pytest.approx({"z": 2, "y": 0.5, "x": 0.5})
    np.testing.assert_array_equal(image.read()[0], planes)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image)).read()[0], planes)
