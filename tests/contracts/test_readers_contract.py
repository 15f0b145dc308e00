"""What every reader in READERS promises; a newcomer is tested without an edit here.

To let a newcomer's decoding be tried as well, give ``SAMPLES`` a function that writes a
picture of its kind.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from support.dicoms import slice_of

from napari_segnet.errors import ImageError
from napari_segnet.image import AXES
from napari_segnet.readers import READERS, Reader, open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 33), np.uint8)


def film(path: Path) -> None:
    """Write a video of one frame; lossless."""
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=5)
        stream.height, stream.width = PIXELS.shape
        stream.pix_fmt = "gray"
        for frame in (av.VideoFrame.from_ndarray(PIXELS, "gray"), None):
            out.mux(stream.encode(frame))


SAMPLES: dict[str, Callable[[Path], None]] = {
    "TIFF": lambda path: tifffile.imwrite(path, PIXELS, compression="zlib"),
    "PNG": lambda path: Pillow.fromarray(PIXELS).save(path, "PNG"),
    "JPEG": lambda path: Pillow.fromarray(PIXELS).save(path, "JPEG"),
    "npy": lambda path: np.save(path, PIXELS),
    "NIfTI": lambda path: nibabel.save(nibabel.Nifti1Image(PIXELS.T, np.eye(4)), path),
    "DICOM": lambda path: slice_of(PIXELS).save_as(path, enforce_file_format=True),
    "video": film,
}

every_reader = pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name)


@pytest.fixture
def sample(reader: Reader, tmp_path: Path) -> Path:
    if reader.name not in SAMPLES:
        pytest.skip(f"SAMPLES has no picture for the reader {reader.name}")
    path = tmp_path / f"sample{reader.suffixes[0]}"
    SAMPLES[reader.name](path)
    return path


@every_reader
def test_names_and_endings(reader: Reader) -> None:
    assert reader.name
    assert sum(other.name == reader.name for other in READERS) == 1
    for suffix in reader.suffixes:
        assert suffix.startswith(".")
        assert suffix == suffix.lower()
        assert sum(suffix in other.suffixes for other in READERS) == 1


@every_reader
def test_foreign_bytes_are_not_claimed(reader: Reader) -> None:
    for head in (b"", b"\0" * 4096, b"PK\x03\x04", b"%PDF-1.7", b"plain text\n" * 300):
        assert not reader.detect(head, Path("picture.unknown"))


@every_reader
def test_rubbish_is_an_image_error(reader: Reader, tmp_path: Path) -> None:
    rubbish = np.random.default_rng(1).bytes(5000)
    for content in (b"", b"hello", rubbish):
        path = tmp_path / f"rubbish{reader.suffixes[0]}"
        path.write_bytes(content)
        with pytest.raises(ImageError, match="rubbish"):
            open_image(path).read()


@every_reader
def test_it_opens_its_own(reader: Reader, sample: Path) -> None:
    with sample.open("rb") as file:
        head = file.read(4096)
    assert next(r.name for r in READERS if r.detect(head, sample)) == reader.name
    image = reader.read(sample, None)
    assert set(image.axes) <= set(AXES)
    assert (image.name, image.source) == ("sample", str(sample))
    whole = image.read()
    assert whole.ndim == 5
    assert whole.dtype == image.dtype
    box = image.read(y=slice(7, 20), x=slice(30, 33))
    np.testing.assert_array_equal(box, whole[..., 7:20, 30:33])


@every_reader
def test_axes_are_checked(reader: Reader, sample: Path) -> None:
    with pytest.raises(ImageError, match="--set axes="):
        reader.read(sample, "tczyx")
    more = reader.read(sample, None).axes.removesuffix("yx")  # a video's frames are t
    swapped = reader.read(sample, f"{more}xy")
    assert swapped.sizes["x"] == reader.read(sample, f"{more}yx").sizes["y"]


@every_reader
def test_cut_off_is_an_image_error(reader: Reader, sample: Path) -> None:
    content = sample.read_bytes()
    for keep in (0.1, 0.5, 0.9):
        sample.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(ImageError, match="sample"):
            open_image(sample).read()


@pytest.mark.subprocess
def test_importing_readers_imports_no_decoder() -> None:
    code = (
        "import sys, napari_segnet.readers, napari_segnet.prepare;"
        "print([m for m in ('tifffile', 'imagecodecs', 'PIL', 'nibabel', 'pydicom', 'torch',"
        " 'zarr', 'dask', 'psutil') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
