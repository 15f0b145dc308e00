"""What is said of each image of a run, on whatever ways it is worked on."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.commands._failure import added, in_words
from napari_segnet.commands._going_on import DoneMeanwhile
from napari_segnet.writers.full_disk import FullDisk

if TYPE_CHECKING:
    from napari_segnet.commands._bar import Bar
    from napari_segnet.commands._image_run import Done

__all__ = ["Show"]


class Show:
    """Prints what came of each image, from any thread; remembers what failed.

    Parameters
    ----------
    as_json : bool
        Print a JSON object per image on standard output.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._lock = threading.Lock()
        self._notes: Counter[str] = Counter()
        self.disk = FullDisk()
        self.failed: list[tuple[Path, str]] = []
        self.untried: list[Path] = []

    def leave(self, paths: list[Path]) -> None:
        """Say that images were not tried, since the disk is full."""
        from napari_segnet.readers import named

        with self._lock:
            self.untried += paths
            for path in paths:
                self._line({"image": named(path), "error": "not tried, since the disk is full"})

    def done(self, bar: Bar, done: Done) -> None:
        """Say what was made of an image; a note that was said of another one is counted."""
        with self._lock:
            self.disk.written()
            bar.end(done.words)
            for note in done.notes:
                self._notes[note] += 1
                if self._notes[note] == 1:
                    print(f"  note: {note}", file=sys.stderr)
            self._line(done.line)

    def failure(self, bar: Bar, path: Path, error: Exception) -> None:
        """Say that an image failed; the others go on, and the end says why."""
        from napari_segnet.readers import named

        with self._lock:
            if isinstance(error, DoneMeanwhile):
                bar.end("done by another run")
                self._kept(path, error.files)
                return
            bar.end("failed")
            self.disk.failed(error)
            self.failed.append((path, in_words(error) + added(error)))
            self._line({"image": named(path), "error": self.failed[-1][1]})

    def kept(self, images: Mapping[str, Path], files: Mapping[str, list[Path]]) -> None:
        """Say which results were there already, by stem."""
        if files:
            print(f"{len(files)} of {len(images)} images are done already.", file=sys.stderr)
        for stem, mine in files.items():
            self._kept(images[stem], mine)

    def _kept(self, path: Path, files: list[Path]) -> None:
        from napari_segnet.readers import named

        self._line({"image": named(path), "files": [str(f) for f in files], "kept": True})

    def ended(self) -> None:
        """Say of how many images a note holds, if it was said of one and holds for more."""
        for note, count in self._notes.items():
            if count > 1:
                print(f"note of {count} images: {note}", file=sys.stderr)

    def _line(self, values: dict[str, Any]) -> None:
        if self._json:
            print(json.dumps(values, allow_nan=False), flush=True)
