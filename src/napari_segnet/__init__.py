"""napari-segnet: your own network, on your own image.

The public names below are imported on first use, so that ``import napari_segnet`` costs
nothing: no torch, no scikit-image, no Qt.

>>> import napari_segnet as sn
>>> cells = sn.segment_image("unet.pth", "cells.tif")
>>> cells.save("results", table=True)

The same step by step, each of which can report progress and be cancelled:

>>> checkpoint = sn.identify("unet.pth")
>>> image = sn.open_image("cells.tif")
>>> segmentation = sn.run(sn.segment(checkpoint, image))
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from napari_segnet import openmp

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint as Checkpoint
    from napari_segnet.dataset import Dataset as Dataset
    from napari_segnet.engines.torch import Network as Network
    from napari_segnet.engines.torch import load as load
    from napari_segnet.errors import Cancelled as Cancelled
    from napari_segnet.errors import SegnetError as SegnetError
    from napari_segnet.evaluate import Scores as Scores
    from napari_segnet.evaluate import evaluate as evaluate
    from napari_segnet.image import Image as Image
    from napari_segnet.inference import PredictSettings as PredictSettings
    from napari_segnet.inference import label as label
    from napari_segnet.inference import predict as predict
    from napari_segnet.inference import segment as segment
    from napari_segnet.progress import Job as Job
    from napari_segnet.progress import Progress as Progress
    from napari_segnet.progress import run as run
    from napari_segnet.proof import recognise as recognise
    from napari_segnet.readers import open_image as open_image
    from napari_segnet.recognition import identify as identify
    from napari_segnet.segmentation import Instances as Instances
    from napari_segnet.segmentation import Maps as Maps
    from napari_segnet.segmentation import Origin as Origin
    from napari_segnet.segmentation import Prediction as Prediction
    from napari_segnet.segmentation import Segmentation as Segmentation
    from napari_segnet.simple import segment_image as segment_image
    from napari_segnet.steps import LabelSettings as LabelSettings
    from napari_segnet.train import TrainSettings as TrainSettings
    from napari_segnet.train import train as train

    __version__: str

# Here, since whoever of the package imports torch first has come by here. It costs nothing.
openmp.bound_waiting()

# Public name -> the module it lives in; a test holds it against the imports above.
_HOMES = {
    "Cancelled": "errors",
    "Checkpoint": "checkpoint",
    "Dataset": "dataset",
    "Image": "image",
    "Instances": "segmentation",
    "Job": "progress",
    "LabelSettings": "steps",
    "Maps": "segmentation",
    "Network": "engines.torch",
    "Origin": "segmentation",
    "PredictSettings": "inference",
    "Prediction": "segmentation",
    "Progress": "progress",
    "Scores": "evaluate",
    "SegnetError": "errors",
    "Segmentation": "segmentation",
    "TrainSettings": "train",
    "evaluate": "evaluate",
    "identify": "recognition",
    "label": "inference",
    "load": "engines.torch",
    "open_image": "readers",
    "predict": "inference",
    "recognise": "proof",
    "run": "progress",
    "segment": "inference",
    "segment_image": "simple",
    "train": "train",
}

__all__ = sorted(["__version__", *_HOMES])


class _Package(types.ModuleType):
    """The package's own module type: a function keeps its name.

    ``evaluate`` is a function of this package and also the module that it lives in. After
    importing a submodule, Python's import system sets the parent's attribute of that name
    to the module: ``sn.evaluate(...)`` would work or fail depending on who imported what
    first. Refusing that one assignment settles it for every order and every thread. The
    module itself stays in reach: ``from napari_segnet.evaluate import ...`` looks in
    ``sys.modules``, not here.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("napari-segnet")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
