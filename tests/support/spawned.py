"""What a process does that was spawned: it imports this file, and inherits nothing."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PRELOADED = ["numpy", "tifffile", "napari_segnet.writers", "napari_segnet.dataset._store"]


def exit_code(function: Callable[..., None], *given: Any) -> int | None:
    """Return how a process ends that does this alone; where it is forked, it imports little."""
    forked = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=function, args=given)  # type: ignore[attr-defined]
    process.start()
    process.join()
    code: int | None = process.exitcode
    return code


def segment_there(checkpoint: Any, image: Any, *settings: Any) -> np.ndarray:
    """Return the labels of an image, made with what came through a pipe."""
    import napari_segnet as sn

    return np.asarray(sn.run(sn.segment(checkpoint, image, *settings)).labels)


def refuse_there(path: Any) -> None:
    """Fail as the package fails."""
    import napari_segnet as sn

    sn.identify(path)


def die_writing(name: str, folder: Path, made: Any, more: dict[str, Any]) -> None:
    """Write a result over another one, and end in the middle of what a writer writes."""
    from napari_segnet.writers import WRITERS, write_segmentation

    def die(self: Any, path: Path, result: Any) -> None:
        path.write_bytes(b"half")
        os._exit(9)

    (writer,) = (writer for writer in WRITERS if writer.name == name)
    type(writer).write = die  # type: ignore[method-assign]
    write_segmentation(made, folder, "cells", overwrite=True, **more)


def die_naming(number: int, folder: Path, shape: tuple[int, int]) -> None:
    """Add a sample anew, and end when a file is to get its name for the n-th time."""
    from napari_segnet import atomic
    from napari_segnet.dataset import add
    from napari_segnet.image import Image

    replace, calls = os.replace, []

    def dying(*paths: Any) -> None:
        calls.append(paths)
        if len(calls) == number:
            os._exit(9)
        replace(*paths)

    atomic.os.replace = dying  # type: ignore[attr-defined]
    pixels = np.full(shape, 7, np.uint8)
    image = Image(data=pixels, axes="yx", name="cells", source="/there/cells.tif")
    add(folder, image, np.full(shape, 3), np.ones(shape, bool))


def die_writing_first(name: str, folder: Path, shape: tuple[int, int]) -> None:
    """Add a first sample, and end before its first file, or behind the one of a folder."""
    from napari_segnet.dataset import _store
    from napari_segnet.image import Image

    write = _store.write_whole

    def dying(path: Path, content: Any) -> None:
        if name == "before":
            os._exit(9)
        write(path, content)
        if path.parent.name == name:
            os._exit(9)

    _store.write_whole = dying  # type: ignore[attr-defined]
    image = Image(data=np.full(shape, 7, np.uint8), axes="yx", name="c", source="/there/c.tif")
    mask = np.zeros(shape, bool)
    mask[:3] = True
    _store.add(folder, image, np.full(shape, 3), mask, classes={3: 1}, source="slide 7")
