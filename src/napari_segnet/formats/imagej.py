"""ImageJ: a set of regions beside each picture, as the ROI Manager saves them.

``x.tif`` with ``x.zip``, ``x.rois.zip`` or ``x.roi``; ``RoiSet.zip`` belongs to the only picture
beside it. The name of a region is its class where several share it.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.atomic import write_whole
from napari_segnet.errors import DatasetError
from napari_segnet.formats._beside import beside, roots
from napari_segnet.formats._drawn import OBJECT, Drawing, circle, rectangle
from napari_segnet.formats._pair import Found, Pair
from napari_segnet.formats._pictures import save_image
from napari_segnet.writers._objects import Planar, objects_in
from napari_segnet.writers.imagej_rois import roi_of

if TYPE_CHECKING:
    from roifile import ImagejRoi

__all__ = ["ImageJ"]

LARGEST_ROI = 2**24
"""Bytes of a region: one with a million corners has some eight million."""
MOST_ROIS = 200_000
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time of a zip: the same labels make the same bytes."""


class ImageJ:
    """The format; see the module's docstring."""

    name = "imagej-roi"
    title = "ImageJ: a set of ROIs beside each image"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by the endings, of a zip by what is in it."""
        return any(_files(root) for root in roots(path))

    def find(self, path: Path) -> Found:
        """List the sets, each with its picture."""
        return beside(path, _files, _drawings, "set of ROIs")

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures with their sets, each side of the split as a folder."""
        for pair in pairs:
            root = folder / (pair.split or "train")
            save_image(root / f"{pair.name}.tif", pair.image)
            write_whole(root / f"{pair.name}.rois.zip", partial(_write, pair))
            yield pair.name


def _files(root: Path) -> list[Path]:
    every = [root] if root.is_file() else sorted(root.iterdir())
    return [p for p in every if p.is_file() and (p.suffix.lower() == ".roi" or _is_set(p))]


def _is_set(path: Path) -> bool:
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except zipfile.BadZipFile:  # cut off: only its end is that of a zip
        return False
    return bool(names) and all(name.lower().endswith(".roi") for name in names)


def _write(pair: Pair, part: Path) -> None:
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for label, box, mask in objects_in(pair.labels[0, 0]):
            roi = roi_of(Planar(label=label, t=0, z=0, box=box, mask=mask))
            kind = pair.classes.get(label, 0)
            named = f"{label} {pair.class_names[kind]}" if 0 < kind < len(pair.class_names) else ""
            roi.name = named or roi.name
            roi.group = min(255, kind)  # groups are one byte
            entry = zipfile.ZipInfo(f"{label}.roi", LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, roi.tobytes())


def _drawings(file: Path) -> list[Drawing]:
    rois = [(name, _roi(file, name, data)) for name, data in _contents(file)]
    groups = {roi.group for _, roi in rois if roi is not None and roi.group}
    named = Counter(_word(roi.name or "") for _, roi in rois if roi is not None)
    found = []
    for name, roi in rois:
        if roi is None:
            found.append(Drawing(name=f"{name} in {file.name}", kind=OBJECT, fault="is damaged"))
            continue
        word = _word(roi.name or "")
        kind = f"class {roi.group}" if groups and roi.group else OBJECT
        if word and (groups or named[word] > 1):
            kind = word
        found.append(_drawing(f"{roi.name or name} in {file.name}", kind, roi))
    return found


def _word(name: str) -> str:
    """Return what of a name is a class: ImageJ itself gives numbers, ``0012-0034``."""
    return name.lstrip("0123456789-_ .")


def _contents(file: Path) -> Iterator[tuple[str, bytes]]:
    if file.suffix.lower() == ".roi":
        yield file.name, file.read_bytes()[:LARGEST_ROI]
        return
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ROIS:
            raise DatasetError(f"{file} holds more than {MOST_ROIS:,} ROIs. Split the set.")
        for entry in entries:
            yield entry.filename, _bytes(archive, entry)


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return what an entry holds; nothing, which is no region, where it is damaged or encrypted."""
    try:
        with archive.open(entry) as one:
            return one.read(LARGEST_ROI)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError):
        return b""
    except OSError as error:
        if error.errno is None:  # bzip2 says so of damage
            return b""
        raise


def _roi(file: Path, name: str, data: bytes) -> ImagejRoi | None:
    from roifile import ImagejRoi

    try:
        return ImagejRoi.frombytes(data)
    except Exception:  # it parses bytes of anybody, and raises whatever comes
        return None


def _drawing(name: str, kind: str, roi: ImagejRoi) -> Drawing:
    from roifile import ROI_TYPE

    how = ROI_TYPE(roi.roitype)
    box = (roi.left, roi.top, roi.right, roi.bottom)
    try:
        if roi.composite:
            return _composite(name, kind, roi)
        if how == ROI_TYPE.RECT:
            return Drawing(name=name, kind=kind, loops=(rectangle(*map(float, box)),))
        if how == ROI_TYPE.OVAL:
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            loop = circle(x, y, (box[2] - box[0]) / 2, (box[3] - box[1]) / 2)
            return Drawing(name=name, kind=kind, loops=(loop,))
        if how in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
            corners: Any = roi.coordinates()
            return Drawing(
                name=name, kind=kind, loops=(np.asarray(corners, float).ravel().tolist(),)
            )
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        return Drawing(name=name, kind=kind, fault=f"has no usable outline ({error})")
    return Drawing(name=name, kind=kind, fault=f"is a {how.name.lower()}, which covers no area")


def _composite(name: str, kind: str, roi: ImagejRoi) -> Drawing:
    """Return the parts of a composite; those that run the other way round are holes."""
    parts: Any = roi.coordinates(multi=True)
    loops = [np.asarray(one, float) for one in parts]
    turned = [_area(loop) for loop in loops]
    outer = np.sign(turned[int(np.argmax(np.abs(turned)))]) if turned else 0
    return Drawing(
        name=name,
        kind=kind,
        loops=tuple(
            p.ravel().tolist() for p, a in zip(loops, turned, strict=True) if a * outer > 0
        ),
        holes=tuple(
            p.ravel().tolist() for p, a in zip(loops, turned, strict=True) if a * outer < 0
        ),
    )


def _area(loop: Any) -> float:
    x, y = loop.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
