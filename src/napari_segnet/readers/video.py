"""Videos, through PyAV: a time series whose frames are decoded when they are asked for."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.extras import video_package
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._file_pixels import require_same
from napari_segnet.readers._lazy import Box, LazyPixels
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["VideoReader"]

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"crx ")
"""Brands of pictures in the container of MP4, ISO/IEC 23008-12; https://mp4ra.org."""
MATROSKA = b"\x1a\x45\xdf\xa3"


class VideoReader:
    """The first video stream of a file, ``tyxc`` in colours or ``tyx`` in grey.

    Which moment a frame is shown at is read once, without decoding; frames are numbered in that
    order. A frame is found from the key frame before it, and neighbours are decoded one after
    the other. Colours are 8 bit.
    """

    name = "video"
    suffixes: tuple[str, ...] = SUFFIXES

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the first bytes."""
        if head[4:8] == b"ftyp":
            return head[8:12] not in STILL
        return (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head.startswith(MATROSKA)

    def read(self, path: Path, axes: str | None) -> Image:
        """Read when frames are shown; they stay on the disk."""
        stamp = stamp_of(path.stat())
        pixels = FramePixels(path, stamp)
        named = axes or pixels.axes
        rgb = named == "tyxc"
        return Image(
            data=pixels,
            axes=named,
            channel_names=("red", "green", "blue") if rgb else (),
            rgb=rgb,
            name=path.stem,
            source=str(path),
        )


class FramePixels(LazyPixels):
    """The frames of a video as an array ``(t, y, x[, c])`` of uint8.

    Parameters
    ----------
    path : Path
        The file.
    stamp : Stamp
        Of the file when it was opened.

    Attributes
    ----------
    axes : str
        One letter per dimension.
    """

    def __init__(self, path: Path, stamp: Stamp) -> None:
        self._package = video_package(path.name)
        self._path, self._stamp, self._lock = path, stamp, threading.Lock()
        self._frames: Iterator[Any] = iter(())
        self._next = -1
        with decoding(path, "video"):
            self._open: Any = self._package.open(str(path))
            if not self._open.streams.video:
                raise ImageError(f"{path.name} holds no pictures, only sound. Choose the video.")
            self._stream = self._open.streams.video[0]
            # Frames are told apart by when they are shown, so one after the other is enough.
            self._stream.thread_type = "AUTO"
            self._times, self._keys = _times(self._open, self._stream)
            first = self._decoded(0)
        grey = first.format.name.startswith("gray")
        self._format = "gray" if grey else "rgb24"
        self.axes = "tyx" if grey else "tyxc"
        colours = () if grey else (3,)
        super().__init__((len(self._times), first.height, first.width, *colours), np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return FramePixels, (self._path, self._stamp)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        frames = range(box[0].start, box[0].stop)
        lengths = [part.stop - part.start for part in box]
        found: npt.NDArray[Any] = np.empty(lengths, np.uint8)
        if not found.size:
            return found
        with self._lock, decoding(self._path, "video"):
            require_same(self._path, stamp_of(self._path.stat()), self._stamp)
            for place, index in enumerate(frames):
                picture = self._decoded(index).to_ndarray(format=self._format)
                if picture.shape != self.shape[1:]:
                    raise ImageError(
                        f"{self._path.name} changes its size at frame {index}: {picture.shape[:2]} "
                        f"instead of {self.shape[1:3]} pixels. Cut the video there."
                    )
                found[place] = picture[box[1:]]
        return found

    def _decoded(self, index: int) -> Any:
        """Return a frame; goes on where the last one was, or from the key frame before."""
        key = self._keys[bisect_right(self._keys, index) - 1] if self._keys else 0
        if not 0 <= self._next <= index or key > self._next:
            self._open.seek(self._times[key], stream=self._stream, backward=True)
            self._frames = self._open.decode(self._stream)
        self._next = -1  # unless the frame is found
        want = self._times[index]
        for frame in self._frames:
            if _shown(frame) >= want:
                self._next = index + 1
                return frame
        raise ImageError(
            f"{self._path.name} ends before frame {index} of {len(self._times)}: it was cut off. "
            "Copy it again, or convert it: ffmpeg -i video -c:v libx264 whole.mp4"
        )


def _shown(timed: Any) -> int:
    """Return when a packet or frame is shown; files without such times have that of decoding."""
    return int(timed.pts if timed.pts is not None else timed.dts)


def _times(container: Any, stream: Any) -> tuple[list[int], list[int]]:
    """Return when each frame is shown, and the numbers of key frames, without decoding any."""
    found = [
        (_shown(packet), bool(packet.is_keyframe))
        for packet in container.demux(stream)
        if packet.size and (packet.pts is not None or packet.dts is not None)
    ]
    found.sort()
    if not found:
        raise ValueError("it has no frames")
    return [time for time, _ in found], [n for n, (_, key) in enumerate(found) if key]
