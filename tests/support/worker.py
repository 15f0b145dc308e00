"""What a worker process does with pickled tasks; its module is imported there anew."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from napari_segnet.answers.detections.run import run_task as detect_task
from napari_segnet.engines import engine_for
from napari_segnet.engines.fake import FakeKind
from napari_segnet.segmentation import Detected
from napari_segnet.stitch.maps import run_task
from support.blobseer import blobs_in


def answer(pickled: bytes) -> list[Any]:
    """Return the maps of each of ``(plan, tasks)``, by the engine that runs the network."""
    plan, tasks = pickle.loads(pickled)
    engine = engine_for(plan.checkpoint, "cpu")
    return [run_task(engine, task, plan.image) for task in tasks]


def fake_answer(pickled: bytes) -> list[Any]:
    """Return the maps of each of ``(kind, plan, tasks)``, by an engine for tests."""
    kind, plan, tasks = pickle.loads(pickled)
    engine = kind.load(plan.checkpoint)
    return [run_task(engine, task, plan.image) for task in tasks]


def fake_detect(pickled: bytes) -> list[Any]:
    """Return what is found in each of ``(kind, plan, tasks)``."""
    kind, plan, tasks = pickle.loads(pickled)
    engine = kind.load(plan.checkpoint)
    return [detect_task(engine, task, plan.image) for task in tasks]


def sines(batch: Any, **_: Any) -> Any:
    """Answer one channel that depends on every channel of a pixel and on nothing else."""
    return np.sin(batch.sum(axis=1, keepdims=True))


def blobs(batch: Any, **_: Any) -> list[Detected]:
    """See bright blobs."""
    return [
        Detected(instances=blobs_in(np.stack([each[0], np.ones_like(each[0])]))) for each in batch
    ]


SINES, BLOBS = FakeKind(maps=sines), FakeKind(detect=blobs)
