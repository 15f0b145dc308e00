"""OME-Zarr behind addresses: a memory file system for all of them, and a web server."""

from __future__ import annotations

import contextlib
import http.server
import json
import pickle
import threading
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

import fsspec
import numpy as np
import pytest

from napari_segnet import resume
from napari_segnet.errors import ImageError, MissingExtraError
from napari_segnet.plan.kept import _pixels
from napari_segnet.readers import address_of, image_paths, image_stem, layout_of, open_image

zarr = pytest.importorskip("zarr")

PIXELS = np.random.default_rng(0).integers(1, 4000, (2, 60, 50), np.uint16)


def write(folder: Path, zarr_format: int = 3) -> Path:
    """Write an image with two levels, of which the last rows of chunks were never written."""
    steps = ((1.0, 0.5, 0.5), (1.0, 1.0, 1.0))
    sets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [*step]}]}
        for k, step in enumerate(steps)
    ]
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    ome = {"multiscales": [{"axes": axes, "datasets": sets, "version": "0.4"}]}
    attributes = {"ome": {"version": "0.5", **ome}} if zarr_format == 3 else ome
    zarr.open_group(str(folder), mode="w", zarr_format=zarr_format, attributes=attributes)
    for name, data in (("0", PIXELS), ("1", PIXELS[:, ::2, ::2])):
        made = zarr.create_array(
            str(folder / name), shape=data.shape, dtype=data.dtype, zarr_format=zarr_format,
            chunks=(1, 16, 20), fill_value=0,
        )  # fmt: skip
        made[:, :48] = data[:, :48]
    return folder


EXPECTED = np.where(np.arange(60)[:, None] < 48, PIXELS, 0)


@pytest.fixture
def memory():
    """A file system in memory, to which folders are copied."""
    files = fsspec.filesystem("memory")
    files.store.clear()

    def put(folder: Path) -> str:
        for path in folder.rglob("*"):
            if path.is_file():
                files.pipe_file(f"/{folder.name}/{path.relative_to(folder)}", path.read_bytes())
        return f"memory://{folder.name}"

    yield put
    files.store.clear()


@contextlib.contextmanager
def served(folder: Path):
    """Serve a folder on this machine."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def is_whole(address):
    for path in (address, Path(address)):  # which leaves one slash of two
        image = open_image(path)
        assert (image.axes, image.name, image.source) == ("cyx", "cells", address)
        assert image.pixel_size_um == {"y": 0.5, "x": 0.5}
        np.testing.assert_array_equal(np.asarray(image.data), EXPECTED)
        half = np.asarray(image.levels[0])
        np.testing.assert_array_equal(half[:, :20], PIXELS[:, ::2, ::2][:, :20])
    again = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(again.data[1, 5:9], PIXELS[1, 5:9])
    assert layout_of(Path(address)).axes == "cyx"
    [stamp] = _pixels(image)
    assert stamp[0] == address and len(stamp) > 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_any_file_system(memory, tmp_path, zarr_format):
    is_whole(memory(write(tmp_path / "cells.ome.zarr", zarr_format)))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_web_server(tmp_path, zarr_format):
    pytest.importorskip("aiohttp")
    write(tmp_path / "cells.ome.zarr", zarr_format)
    with served(tmp_path) as address:
        is_whole(f"{address}/cells.ome.zarr")
        image = open_image(f"{address}/cells.ome.zarr/")
        with pytest.raises(ImageError, match=r"no OME-Zarr image at http://.*/other.zarr, "):
            open_image(f"{address}/other.zarr")
    with pytest.raises(ImageError, match=r"cannot be read \(.*Check the address and the"):
        np.asarray(image.data)
    with pytest.raises(ImageError, match="Check the address and the connection"):
        open_image(f"{address}/cells.ome.zarr")


def test_a_disk_by_its_address(tmp_path):
    folder = write(tmp_path / "my cells.zarr")
    for address in (folder.as_uri(), f"file:{folder}", Path(folder.as_uri())):
        np.testing.assert_array_equal(np.asarray(open_image(address).data), EXPECTED)
    assert image_paths([Path(folder.as_uri())]) == [folder]


def test_what_is_an_address():
    assert address_of("s3://bucket/a.zarr/") == "s3://bucket/a.zarr"
    assert address_of(PurePosixPath("HTTPS://host/a.zarr")) == "https://host/a.zarr"
    assert address_of(PureWindowsPath("https://host/a.zarr")) == "https://host/a.zarr"
    for path in ("C:/a.zarr", r"C:\a.zarr", "a.zarr", "/b:/a", "file:///a.zarr", "x:y", "s3:"):
        assert address_of(path) is None, path
    assert image_stem(Path("https://host/plate.ome.zarr/A/1/0?key=a/b")) == "plate_A_1_0"
    assert image_stem(Path("s3://bucket/cells.zarr")) == "cells"
    assert image_paths([Path("https://host/a.zarr?x=*")]) == [Path("https://host/a.zarr?x=*")]


def test_what_is_missing_is_named(monkeypatch):
    def lacking(kind):
        raise ImportError("Install s3fs to access S3", name="s3fs")

    monkeypatch.setattr(fsspec, "get_filesystem_class", lacking)
    with pytest.raises(MissingExtraError, match=r"from s3: is not .*\(s3fs is .*segnet\[remote\]'"):
        open_image("s3://bucket/cells.zarr")


def test_what_is_no_kind_of_address():
    with pytest.raises(ImageError, match="begins with htp:, which is no kind of address"):
        open_image("htp://host/cells.zarr")


def test_nothing_outside_is_read(memory, tmp_path):
    folder = write(tmp_path / "cells.zarr")
    for name in ("../secret", "/etc", "0?x", "", ".", "a/../../b", "https://other/0", "%2e%2e/b"):
        about = json.loads((folder / "zarr.json").read_text())
        about["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = name
        (folder / "zarr.json").write_text(json.dumps(about))
        with pytest.raises(ImageError, match="does not lie inside of it"):
            open_image(memory(folder))


def test_another_address_is_another_picture():
    other = resume._is_other_picture
    one, two = Path("https://a/x.zarr"), Path("https://b/x.zarr")
    assert other(one, two) and not other(one, one)
    assert not other(Path("x.zarr"), one), "it was on a disk before"
