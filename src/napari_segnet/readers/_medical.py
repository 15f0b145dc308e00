"""What NIfTI and DICOM share: their packages, and the NIfTI header that labels take over."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

from napari_segnet.errors import MissingExtraError

__all__ = ["SILENT", "ZOOMS_DIFFER", "needed", "obliquity_note", "rounded_um"]

SILENT = logging.getLogger("napari_segnet.nibabel")
"""Where nibabel reports what it mends of a header; nobody listens, since we look ourselves."""
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

ZOOMS_DIFFER = 1e-3
"""Two spacings that differ by a larger part are two: rounding to float32 or to the digits of a
DICOM decimal string stays far below."""

OBLIQUE_DEG = 1.0
"""A tilt that is said; scanners round the direction of an upright volume to some 0.1°."""


def needed(package: str, path: Path, kind: str) -> ModuleType:
    """Import a package that only medical images need.

    Raises
    ------
    MissingExtraError
        If it is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{path.name} is a {kind} image, and the package {package}, which reads it, is not "
            "installed. Install the extra [medical]: pip install 'napari-segnet[medical]'"
        ) from error


def rounded_um(length: float, unit_um: float) -> float:
    """Return a length in micrometres with the seven digits that float32 holds."""
    return float(f"{length * unit_um:.7g}")


def obliquity_note(affine: Any) -> tuple[str, ...]:
    """Say how far the axes of an affine lie from those of the body, or from right angles."""
    import numpy as np

    linear = np.asarray(affine, float)[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    if not (lengths > 0).all():
        return ()
    unit = linear / lengths
    cosines = np.abs(unit.T @ unit - np.eye(3)).max()
    skew = float(np.degrees(np.arcsin(min(cosines, 1.0))))
    tilt = float(np.degrees(np.arccos(np.clip(np.abs(unit).max(axis=0).min(), 0.0, 1.0))))
    kept = "Pixels stay as they are stored, and labels get the same affine."
    if skew > OBLIQUE_DEG:
        return (f"The voxels are sheared: their axes are {skew:.1f}° off right angles. {kept}",)
    if tilt > OBLIQUE_DEG:
        return (f"The volume lies oblique in the body, by up to {tilt:.1f}°. {kept}",)
    return ()
