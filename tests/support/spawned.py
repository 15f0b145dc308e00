"""What a process does that was spawned: it imports this file, and inherits nothing."""

from __future__ import annotations

from typing import Any

import numpy as np


def segment_there(checkpoint: Any, image: Any, *settings: Any) -> np.ndarray:
    """Return the labels of an image, made with what came through a pipe."""
    import napari_segnet as sn

    return np.asarray(sn.run(sn.segment(checkpoint, image, *settings)).labels)


def refuse_there(path: Any) -> None:
    """Fail as the package fails."""
    import napari_segnet as sn

    sn.identify(path)
