"""DICOM objects to write: a CT slice, and a series of them with shuffled names."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
SERIES = generate_uid(entropy_srcs=["a series"])
SPACING_MM = (2.5, 0.7, 0.8)
"""Between slices, rows and columns."""
ORIGIN_MM = (-100.0, -120.0, -50.0)


def slice_of(pixels, instance="one", **tags):
    """Return a CT slice; ``tags`` replace elements, or take them away with None."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SOPClassUID = slice_.file_meta.MediaStorageSOPClassUID = CT
    uid = generate_uid(entropy_srcs=["slice", instance])
    slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = uid
    slice_.SeriesInstanceUID = SERIES
    slice_.Modality = "CT"
    pixels = np.asarray(pixels)
    slice_.Rows, slice_.Columns = pixels.shape[-2:]
    slice_.SamplesPerPixel = 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = 8 * pixels.itemsize
    slice_.HighBit = slice_.BitsStored - 1
    slice_.PixelRepresentation = int(pixels.dtype.kind == "i")
    slice_.PixelSpacing = list(map(str, SPACING_MM[1:]))
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.ImagePositionPatient = list(ORIGIN_MM)
    content = pixels.tobytes()
    slice_.PixelData = content + b"\0" * (len(content) % 2)
    for name, value in tags.items():
        if value is None:
            delattr(slice_, name)
        else:
            setattr(slice_, name, value)
    return slice_


def save(slice_, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    slice_.save_as(path, enforce_file_format=True)
    return path


def save_series(folder: Path, pixels, missing=(), **tags):
    """Write slices ``(z, y, x)`` under names and numbers that say nothing of their order."""
    numbers = list(range(1, len(pixels) + 1))
    random.Random(1).shuffle(numbers)
    for z, number in enumerate(numbers):
        if z in missing:
            continue
        x, y, first = ORIGIN_MM
        place = {
            "ImagePositionPatient": [x, y, f"{first + SPACING_MM[0] * z:.3f}"],
            "InstanceNumber": number,
        }
        mine = {
            name: value[z] if isinstance(value, dict) else value for name, value in tags.items()
        }
        save(slice_of(pixels[z], str(z), **{**place, **mine}), folder / f"IM{number:04d}")
    return folder
