"""DICOM: a series in a folder, sorted by where its slices lie, or a single file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError
from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.readers._dicom_frames import Frame, Scan, Series, is_dicom, scan_files
from napari_segnet.readers._listing import names_in
from napari_segnet.readers._medical import needed, rounded_um
from napari_segnet.readers._names import image_stem

if TYPE_CHECKING:
    from napari_segnet.readers._dicom_order import Stack

__all__ = ["DicomReader", "dicom_files", "read_folder", "read_series"]

HEAD_BYTES = 4096
MM_UM = 1e3
SAME_DIRECTION = 2e-3
"""Direction cosines that differ by less are rounded versions of one direction."""
LONGEST_NIFTI_1 = 32767
"""Voxels along a dimension that a NIfTI-1 header can say."""
SHOWN = 5


class DicomReader:
    """Frames are decoded when they are asked for.

    Numbers are rescaled (to Hounsfield units where the files say so), and inverted where zero
    stands for white. Rows and columns stay as they are stored; slices follow the direction of
    the normal.
    """

    name = "DICOM"
    suffixes: tuple[str, ...] = (".dcm", ".dicom", ".ima")
    has_grid = True

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the letters DICM behind the preamble."""
        return is_dicom(head, path)

    def axes(self, path: Path) -> str | None:
        """Return what the header says of the dimensions."""
        return self.read(path, None).axes

    def read(self, path: Path, axes: str | None) -> Image:
        """Read a single file; nothing in it is executed."""
        _packages(path)
        scan = scan_files([path])
        if scan.broken:
            raise ImageError(scan.broken[0])
        if not scan.series:
            raise ImageError(
                f"{path.name} holds no image, but {_others(scan) or 'a list of files'}. Name "
                "the images that it belongs to."
            )
        (series,) = scan.series.values()
        return _image(series.frames, path, image_stem(path), (), axes)


def dicom_files(folder: Path, known: Sequence[str]) -> list[Path]:
    """Return the DICOM files in a folder, told by their content, sorted by name.

    Parameters
    ----------
    folder : Path
        Folders inside it are not entered.
    known : sequence of str
        Endings of other kinds of files, which are not looked into.
    """
    ours = tuple(known)
    names = sorted(n for n in names_in(folder)[0] if not n.lower().endswith(ours) and n[0] != ".")
    paths = [folder / name for name in names]
    return [path for path in paths if is_dicom(_head(path), path)]


def read_folder(folder: Path, files: Sequence[Path], axes: str | None) -> Image:
    """Open the one series that a folder holds.

    Raises
    ------
    ImageError
        If there is none, or more than one: all are named.
    """
    _packages(folder)
    scan = scan_files(files)
    every = _images(scan)
    if len(every) > 1:
        rows = "; ".join(
            f"{s.title}, {len(s.frames)} of {s.frames[0].columns} x {s.frames[0].rows}"
            for s in every
        )
        raise ImageError(
            f"The folder {folder.name} holds {len(every)} DICOM series: {rows}. Put the files of "
            "each into a folder of its own."
        )
    if not every:
        raise ImageError(_no_image(folder, scan))
    return _image(every[0].frames, folder, image_stem(folder), _about(scan, every), axes)


def read_series(folder: Path, files: Sequence[Path]) -> list[Image]:
    """Open every series that a folder holds, each with the series' title in its name."""
    _packages(folder)
    scan = scan_files(files)
    every = _images(scan)
    if not every:
        raise ImageError(_no_image(folder, scan))
    stem, about = image_stem(folder), _about(scan, every)
    names = [stem if len(every) == 1 else f"{stem} {series.title}" for series in every]
    return [
        _image(series.frames, folder, name, about, None)
        for series, name in zip(every, names, strict=True)
    ]


# ---- What a folder holds ----


def _packages(path: Path) -> None:
    for package in ("pydicom", "nibabel"):  # labels of it are NIfTI: known before a long run
        needed(package, path, "DICOM")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""  # not to be read, so it is not known to be DICOM


def _images(scan: Scan) -> list[Series]:
    """Return the series; what is made of an image counts only where there is no other."""
    every = list(scan.series.values())
    return [series for series in every if not series.beside] or every


def _no_image(folder: Path, scan: Scan) -> str:
    if scan.broken:
        return f"No file of the folder {folder.name} can be read. The first: {scan.broken[0]}"
    below = sorted(p.name for p in folder.iterdir() if p.is_dir())
    hint = f" Name one of the folders inside it: {', '.join(below[:SHOWN])}." if below else ""
    others = _others(scan)
    what = f"holds no DICOM image, but {others}" if others else "holds only a list of DICOM files"
    return f"The folder {folder.name} {what}.{hint or ' Name the folder of the images.'}"


def _about(scan: Scan, taken: Sequence[Series]) -> tuple[str, ...]:
    """Say what of a folder is not in the image."""
    notes = []
    beside = [series for series in scan.series.values() if series not in taken]
    others = _others(scan)
    if others:
        notes.append(f"Left out of the folder, since they are no images: {others}.")
    if beside:
        titles = "; ".join(series.title for series in beside)
        notes.append(f"Left out of the folder, since they are made of an image: {titles}.")
    if scan.copies:
        what = "1 file holds" if len(scan.copies) == 1 else f"{len(scan.copies)} files hold"
        notes.append(f"{what} an object twice, which was read once: {_names(scan.copies)}.")
    notes += [f"Left out: {sentence}" for sentence in scan.broken[:SHOWN]]
    if len(scan.broken) > SHOWN:
        notes.append(f"{len(scan.broken) - SHOWN} more files cannot be read.")
    return tuple(notes)


def _others(scan: Scan) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(scan.others.items()))


def _names(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(path.name for path in paths[:SHOWN]) + more


# ---- A series ----


def _image(
    frames: Sequence[Frame], path: Path, name: str, about: tuple[str, ...], axes: str | None
) -> Image:
    from napari_segnet.readers._dicom_order import ordered
    from napari_segnet.readers._dicom_pixels import DicomPixels, require_decoder

    alike, about_sizes = _alike(frames, path)
    first = alike[0]
    if first.photometric.startswith("PALETTE"):
        raise ImageError(
            f"{first.path.name} shows its numbers as colours of a palette, which does not open "
            "here. Convert it to grey values or RGB."
        )
    require_decoder(alike)
    stack = ordered(alike)
    count = len(stack.frames) // stack.times
    lead = {"t": stack.times} if stack.times > 1 else {}
    if stack.axis == "z" and count > 1:
        lead["z"] = count
    elif stack.axis == "t":
        lead = {"t": len(stack.frames)}
    dims = "".join(lead) + "yx"
    own = dims + ("c" if first.samples > 1 else "")
    wanted = axes or own
    kept = {a for a, b in zip(own, wanted, strict=False) if a == b}
    rgb = first.samples > 1 and wanted == own
    sizes = {
        a: rounded_um(n, MM_UM) for a, n in stack.spacing_mm.items() if a in wanted and a in kept
    }
    notes = (*about, *about_sizes, *stack.notes, *_about_pixels(stack.frames))
    return Image(
        data=DicomPixels(stack.frames, tuple(lead.values())),
        axes=wanted,
        pixel_size_um=sizes,
        channel_names=("red", "green", "blue") if rgb else (),
        rgb=rgb,
        name=name,
        source=str(path),
        notes=notes,
        grid=_grid(stack, wanted[: len(dims)], (*lead.values(), first.rows, first.columns)),
    )


def _alike(frames: Sequence[Frame], path: Path) -> tuple[list[Frame], tuple[str, ...]]:
    """Return the frames that most share size and direction with, and say which are left out.

    Raises
    ------
    ImageError
        If there is no such majority.
    """
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _fit(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    groups.sort(key=len, reverse=True)
    if len(groups) == 1:
        return groups[0], ()
    sizes = "; ".join(f"{len(g)} of {_shape(g[0])}" for g in groups[:SHOWN])
    if len(groups[0]) <= len(frames) / 2:
        raise ImageError(
            f"The slices of {path.name} do not make one image, since they differ in size or "
            f"direction: {sizes}. Put those that belong together into a folder of their own."
        )
    rest = [frame.path for group in groups[1:] for frame in group]
    noun = "slice" if len(rest) == 1 else "slices"
    return groups[0], (
        f"{len(rest)} {noun} of another size or direction left out ({sizes}): {_names(rest)}.",
    )


def _fit(one: Frame, other: Frame) -> bool:
    alike = ("rows", "columns", "samples", "photometric")
    if any(getattr(one, name) != getattr(other, name) for name in alike):
        return False
    if one.directions is None or other.directions is None:
        return one.directions == other.directions
    pairs = zip(one.directions, other.directions, strict=True)
    if any(abs(a - b) > SAME_DIRECTION for a, b in pairs):
        return False
    sizes = zip(one.spacing_mm or (), other.spacing_mm or (), strict=False)
    return all(abs(a - b) <= 1e-3 * max(a, b) for a, b in sizes)


def _shape(frame: Frame) -> str:
    place = ""
    if frame.directions is not None:
        place = " along " + " ".join(f"{v:.2g}" for v in frame.directions)
    return f"{frame.columns} x {frame.rows}{place}"


def _about_pixels(frames: Sequence[Frame]) -> tuple[str, ...]:
    notes = []
    if frames[0].photometric == "MONOCHROME1":
        notes.append("Zero stands for white in these files; the image was inverted.")
    if frames[0].detector:
        notes.append("The pixel size is that at the detector; in the body it is smaller.")
    units = sorted({frame.unit for frame in frames if frame.unit})
    if units:
        notes.append(f"Its numbers are rescaled, as the file says, to: {', '.join(units)}.")
    if any(frame.table for frame in frames):
        notes.append(
            "A table in the file (Modality LUT) says what its numbers mean. It is not applied: the "
            "numbers are as they are stored."
        )
    return tuple(notes)


def _grid(stack: Stack, dims: str, shape: tuple[int, ...]) -> Grid:
    """Return the grid with a NIfTI header of its own, which labels take over."""
    if len(shape) == 2 or (stack.axis == "t" and len(shape) == 3):
        # A slice is a volume of one: NIfTI's third dimension lies in space.
        dims, shape = (dims[:-2] + "z" + dims[-2:]), (*shape[:-2], 1, *shape[-2:])
    header = _header(stack, shape)
    return Grid(
        affine=tuple(tuple(float(v) for v in row) for row in header.get_best_affine()),
        dims=dims,
        shape=shape,
        header=bytes(header.binaryblock),
    )


def _header(stack: Stack, shape: tuple[int, ...]) -> Any:
    import numpy as np

    nibabel: Any = needed("nibabel", stack.frames[0].path, "DICOM")
    large = max(shape) > LONGEST_NIFTI_1
    kind = nibabel.Nifti2Header if large else nibabel.Nifti1Header
    header = kind(endianness="<")
    header.set_data_shape(shape[::-1])
    sizes = [stack.spacing_mm.get(axis, 1.0) for axis in "xyz"]
    header.set_zooms((*sizes, *(1.0,) * (len(shape) - 3)))
    header.set_xyzt_units("mm")
    if stack.affine is None:
        return header
    linear = stack.affine[:3, :3] / np.linalg.norm(stack.affine[:3, :3], axis=0)
    square = np.allclose(linear.T @ linear, np.eye(3), atol=1e-3)
    # A quaternion cannot say that slices are sheared; then only the matrix says how they lie.
    header.set_qform(stack.affine, code="scanner" if square else 0)
    header.set_sform(stack.affine, code="scanner")
    return header
