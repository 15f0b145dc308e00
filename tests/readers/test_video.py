"""Videos: frames are found wherever one looks, in colours or grey, one by one."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_segnet import open_image
from napari_segnet.errors import ImageError, MissingExtraError
from napari_segnet.readers.video import VideoReader

MP4, AVI = b"\0\0\0\x20ftypisom" + bytes(90), b"RIFF\0\0\0\0AVI LIST" + bytes(90)
FRAMES = 9


@pytest.fixture
def av():
    return pytest.importorskip("av", reason="the extra [video] is not installed")


def written(av, path, codec, layout="yuv420p", **options):
    """Write frames whose brightness is 20 times their number, a dark square aside."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=5, options={k: str(v) for k, v in options.items()})
        stream.width, stream.height, stream.pix_fmt = 48, 32, layout
        stream.gop_size = 4
        for n in range(FRAMES):
            grey = np.full((32, 48), 20 * n + 40, np.uint8)
            grey[:8, :8] = 20
            frame = av.VideoFrame.from_ndarray(np.stack([grey] * 3, -1), "rgb24")
            for packet in stream.encode(frame.reformat(format=layout)):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("film.mp4", "mpeg4", "yuv420p"),
        ("film.avi", "mjpeg", "yuvj420p"),
        ("film.avi", "mpeg4", "yuv420p"),
        ("grey.avi", "ffv1", "gray"),
        ("film.mkv", "ffv1", "yuv420p"),
    ],
)
def test_any_frame_is_found_in_any_order(av, tmp_path, name, codec, layout):
    image = open_image(written(av, tmp_path / name, codec, layout))
    axes = "tyx" if layout == "gray" else "tyxc"
    assert (image.axes, image.rgb, image.name) == (axes, layout != "gray", name[:4])
    assert image.data.shape[:3] == (FRAMES, 32, 48)
    for one in (image, pickle.loads(pickle.dumps(image))):
        for t in (7, 8, 0, 3, 4, 2, 6):
            value = one.data[t, 20:28, 20:30].mean()
            assert abs(value - (20 * t + 40)) < 5, t
    np.testing.assert_array_equal(image.data[...][5], image.data[5])
    assert image.data[2, 1:5, 1:5].mean() < 40


def test_a_video_that_was_cut_off_names_the_frame(av, tmp_path):
    path = written(av, tmp_path / "film.avi", "mjpeg", "yuvj420p")
    whole = path.read_bytes()
    path.write_bytes(whole[:900])
    with pytest.raises(ImageError, match=r"film\.avi"):
        open_image(path).data[...]
    path.write_bytes(AVI)
    with pytest.raises(ImageError, match="damaged"):
        open_image(path)


@pytest.mark.parametrize(("name", "head"), [("film.mp4", MP4), ("film.avi", AVI)])
def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch, name, head):
    (tmp_path / name).write_bytes(head)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-segnet\[video\]'"):
        open_image(tmp_path / name)


def test_a_picture_in_the_same_container_is_no_video():
    reader = VideoReader()
    assert reader.detect(MP4, Path("film.mp4"))
    assert not reader.detect(MP4.replace(b"isom", b"heic"), Path("photo.heic"))
    assert not reader.detect(AVI.replace(b"AVI ", b"WAVE"), Path("sound.avi"))
