"""Results on disk: ``<stem>.labels.tif``, ``<stem>.json``, ``<stem>.maps.tif``.

All or nothing: each file is written under a temporary name in the same folder and given
its own name only when all are complete. What fails leaves no file behind.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import put_in_place
from napari_segnet.errors import OutputError
from napari_segnet.segmentation import Instances, Maps, Segmentation

__all__ = ["check_output", "result_paths", "write_segmentation"]

BIG_BYTES = 2_000_000_000
"""Beyond it a BigTIFF: classic offsets end at 4 GiB, and some programs read them signed."""

TILE = (512, 512)
"""Labels lie in tiles, so that a part of a large picture can be looked at."""

OME = uuid.UUID("7d3fbf5c-3e8c-5d1b-9a53-5a1f3c0c8a11")
"""Namespace of the UUIDs that OME-TIFF files carry; any constant will do."""

REASONS = {
    errno.EBUSY: "another program has that file open. Close it there, or choose another folder",
    errno.EFBIG: "the file would be larger than that disk takes. Choose another folder with -o",
    errno.ENOSPC: "the disk is full. Free some space, or choose another folder with -o",
    errno.EDQUOT: "your share of the disk is used up. Free some space, or choose another folder",
    errno.ENOENT: "no folder can be made there. Choose another folder with -o",
    errno.EACCES: "you are not allowed to write there. Choose another folder with -o",
    errno.EPERM: "you are not allowed to write there. Choose another folder with -o",
    errno.EROFS: "that disk is read-only. Choose another folder with -o",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Choose another folder with -o",
    errno.EEXIST: "a file has the name of the folder. Choose another folder with -o",
    errno.ENAMETOOLONG: "the name is too long. Rename the image, or choose another folder",
}


def result_paths(folder: Path, stem: str, *, maps: bool = False) -> list[Path]:
    """Return the files that a result has, in the order they are written."""
    names = [f"{stem}.labels.tif", *([f"{stem}.maps.tif"] if maps else []), f"{stem}.json"]
    return [folder / name for name in names]


def check_output(folder: Path, stem: str, overwrite: bool = False, save_maps: bool = False) -> None:
    """Find out before a long run if its result can be written; leaves nothing behind.

    Raises
    ------
    OutputError
        If a result is there already and ``overwrite`` is false, or if nothing can be
        written to the folder (which need not exist yet).
    """
    created: list[Path] = []
    # As long as the longest temporary name, so that the disk can refuse its length now.
    probe = _temporary(result_paths(folder, stem)[0])
    try:
        _refuse_existing(folder, stem, overwrite, save_maps)
        created = _make_folder(folder)
        try:
            probe.write_bytes(b"\0")
        finally:
            if os.path.exists(probe):  # unlike Path.exists, it never raises
                probe.unlink()
    except OSError as error:
        raise _output_error(folder, stem, error) from error
    finally:
        for path in created:
            path.rmdir()


def write_segmentation(
    segmentation: Segmentation,
    folder: Path,
    stem: str,
    overwrite: bool = False,
    maps: Maps | None = None,
    instances: Instances | None = None,
) -> list[Path]:
    """Write labels and their origin, with ``maps`` or ``instances`` also the raw answer.

    Parameters
    ----------
    segmentation : Segmentation
        Labels (OME-TIFF: int32, axes, pixel size) and origin (JSON).
    folder : Path
        Created if it does not exist.
    stem : str
        The files' names before their endings.
    overwrite : bool
        Replace results of that name.
    maps : Maps, optional
        Written as float32 OME-TIFF ``<stem>.maps.tif``, plane by plane.
    instances : Instances, optional
        Boxes, scores and classes go into the JSON.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputError
        If a file exists already, or cannot be written.
    """
    run = _run_digest(segmentation)
    writers: list[Callable[[Path], None]] = [lambda path: _write_labels(path, segmentation, run)]
    if maps is not None:
        writers.append(lambda path: _write_maps(path, maps, segmentation.pixel_size_um, run))
    writers.append(lambda path: _write_json(path, segmentation, instances))
    paths = result_paths(folder, stem, maps=maps is not None)
    temporary = [_temporary(path) for path in paths]
    made: list[Path] = []
    try:
        _refuse_existing(folder, stem, overwrite, maps is not None)
        made = _make_folder(folder)
        for write, path in zip(writers, temporary, strict=True):
            write(path)
            _flush_to_disk(path)
        made = []
        _put_in_place(temporary, paths)
    except OSError as error:
        raise _output_error(folder, stem, error) from error
    finally:
        for path in temporary:
            if os.path.exists(path):  # unlike Path.exists, it never raises
                path.unlink()
        for path in made:
            path.rmdir()
    return paths


# ---- The files ----


def _run_digest(segmentation: Segmentation) -> str:
    """Return what is the same for a repeated run, and for no other."""
    digest = hashlib.blake2b(np.ascontiguousarray(segmentation.labels).data, digest_size=16)
    origin = segmentation.origin
    names = [origin.image.get("name"), origin.checkpoint.get("sha256")]
    digest.update(json.dumps([*names, segmentation.axes]).encode())
    return digest.hexdigest()


def _write_labels(path: Path, segmentation: Segmentation, run: str) -> None:
    labels, axes = _rows_last(segmentation.labels, segmentation.axes)
    _write_ome(
        path,
        labels.astype(np.int32, copy=False),
        axes,
        segmentation.pixel_size_um,
        f"labels of {run}",
        # Level 1: labels shrink by 20 and more in any case, and 6 takes four times as long.
        {"compression": "zlib", "compressionargs": {"level": 1}, "tile": TILE},
    )


def _write_maps(path: Path, maps: Maps, pixel_size_um: Mapping[str, float], run: str) -> None:
    data, axes = _rows_last(maps.data, maps.axes)

    def planes() -> Iterator[npt.NDArray[np.float32]]:
        for index in np.ndindex(data.shape[:-2]):
            yield np.ascontiguousarray(data[index], np.float32)

    # A generator: float16 maps on disk never stand in memory as a whole.
    name, channels = f"maps of {run}", _channel_names(maps)
    _write_ome(path, planes(), axes, pixel_size_um, name, {}, data.shape, channels)


def _write_ome(
    path: Path,
    data: Any,
    axes: str,
    pixel_size_um: Mapping[str, float],
    name: str,
    options: dict[str, Any],
    shape: tuple[int, ...] | None = None,
    channel_names: tuple[str, ...] = (),
) -> None:
    import tifffile

    # Of the content, not of the clock: a repeated run writes the same bytes.
    metadata: dict[str, Any] = {"axes": axes.upper(), "UUID": str(uuid.uuid5(OME, name))}
    for axis in "zyx":
        if axis in pixel_size_um and axis in axes:
            metadata[f"PhysicalSize{axis.upper()}"] = float(pixel_size_um[axis])
            metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if channel_names:
        metadata["Channel"] = {"Name": list(channel_names)}
    if shape is not None:
        options = {**options, "shape": shape, "dtype": np.float32}
    nbytes = math.prod(data.shape if shape is None else shape) * 4
    with tifffile.TiffWriter(path, bigtiff=nbytes > BIG_BYTES, ome=True) as tif:
        tif.write(data, photometric="minisblack", metadata=metadata, **options)


def _write_json(path: Path, segmentation: Segmentation, instances: Instances | None) -> None:
    content = {
        **segmentation.origin.to_json(),
        "kind": segmentation.kind,
        "axes": segmentation.axes,
        "shape": list(segmentation.labels.shape),
        "pixel_size_um": dict(segmentation.pixel_size_um),
        "class_names": list(segmentation.class_names),
        "labels": [
            {
                "label": label,
                "class": segmentation.label_class.get(label),
                "score": segmentation.label_score.get(label),
            }
            for label in sorted({*segmentation.label_class, *segmentation.label_score})
        ],
    }
    if instances is not None:
        content["detections"] = {
            "plane": instances.plane.tolist(),
            "boxes": instances.boxes.tolist(),
            "scores": instances.scores.tolist(),
            "classes": instances.classes.tolist(),
        }
    text = json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False)
    # A file name that is no UTF-8 has bytes that no text may hold: escaped, as JSON does.
    path.write_bytes((text + "\n").encode("utf-8", "backslashreplace"))


def _rows_last(data: npt.NDArray[Any], axes: str) -> tuple[npt.NDArray[Any], str]:
    """Move rows and columns to the end, where TIFF has them; a view."""
    if axes.endswith("yx"):
        return data, axes
    order = [i for i, a in enumerate(axes) if a not in "yx"] + [axes.index("y"), axes.index("x")]
    return data.transpose(order), "".join(axes[i] for i in order)


def _channel_names(maps: Maps) -> tuple[str, ...]:
    names = []
    for output in maps.outputs:
        several = output.channels > 1
        names += [f"{output.role} {i}" if several else output.role for i in range(output.channels)]
    return tuple(names) if len(names) == maps.data.shape[0] else ()


def _plain(value: Any) -> Any:
    """Return strict JSON values; what is not a finite number becomes null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


# ---- Folders and failures ----


def _refuse_existing(folder: Path, stem: str, overwrite: bool, maps: bool) -> None:
    paths = result_paths(folder, stem, maps=maps)
    existing = [p.name for p in paths if p.exists()]
    folders = [p.name for p in paths if p.is_dir()]
    if folders:
        raise OutputError(
            f"{' and '.join(folders)} in {folder} is a folder, where a file is to be written. "
            "Rename it, or choose another folder with -o."
        )
    if existing and not overwrite:
        raise OutputError(
            f"{' and '.join(existing)} in {folder} would be replaced. Add --overwrite to allow "
            "that, or choose another folder with -o."
        )


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def _make_folder(folder: Path) -> list[Path]:
    """Create a folder and its parents; return what was created, the deepest first."""
    made: list[Path] = []
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        for path in reversed(missing):
            path.mkdir()
            made.insert(0, path)
        if not folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file has this name")
    except OSError:
        for path in made:
            path.rmdir()
        raise
    return made


def _put_in_place(temporary: list[Path], paths: list[Path]) -> None:
    """Give files their names; whoever interrupts now waits until all of them have it."""
    waiting = list(zip(temporary, paths, strict=True))
    interrupted: KeyboardInterrupt | None = None
    while waiting:
        try:
            put_in_place(*waiting[0])
            del waiting[0]
        except KeyboardInterrupt as error:
            interrupted = error
            # It may have come after the file had moved.
            waiting = [(path, final) for path, final in waiting if os.path.exists(path)]
    if interrupted is not None:
        raise interrupted


def _flush_to_disk(path: Path) -> None:
    """Wait until the disk has it: some report that they are full only then."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _output_error(folder: Path, stem: str, error: OSError) -> OutputError:
    # numpy reports a write that was cut short ("40000 requested and 5064 written") without a
    # number; only a full disk does that.
    number = error.errno or errno.ENOSPC
    reason = REASONS.get(number, f"{error.strerror or error}. Choose another folder with -o")
    return OutputError(f"The labels of {stem} cannot be written to {folder}: {reason}.")
