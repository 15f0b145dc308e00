"""What was found in a tile, as arrays for the disk and back: a run that was cut off goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Detected, Instances

__all__ = ["arrays_of", "detected_of"]

COLUMNS = ("boxes", "plane", "scores", "classes", "masks")


def arrays_of(found: Detected) -> dict[str, npt.NDArray[Any]]:
    """Return what was found as arrays, to the last digit."""
    objects = found.instances
    return {
        **{name: getattr(objects, name) for name in COLUMNS},
        "shape": np.asarray(objects.shape, np.int64),
        "axes": np.asarray(objects.axes),
        "limits": np.asarray(found.limits, np.str_),
    }


def detected_of(arrays: Mapping[str, npt.NDArray[Any]]) -> Detected:
    """Return what :func:`arrays_of` made arrays of."""
    columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
    return Detected(
        instances=Instances(
            **columns,
            shape=tuple(int(n) for n in arrays["shape"]),
            axes=str(arrays["axes"]),
        ),
        limits=tuple(str(limit) for limit in arrays["limits"]),
    )
