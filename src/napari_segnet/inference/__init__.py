"""Run a network on an image, and make labels of its answer.

``predict`` runs the network; ``label`` makes labels of what it said and never runs it;
``segment`` does both.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines import learn
from napari_segnet.errors import MismatchError
from napari_segnet.extras import version
from napari_segnet.inference.one_engine import (
    Chosen,
    run_on_one_engine,
    same_engine,
    with_one_engine,
)
from napari_segnet.inputs import as_checkpoint, as_image
from napari_segnet.plan import InferencePlan, PredictSettings, RunResult, Settled, settle
from napari_segnet.progress import Progress, job
from napari_segnet.segmentation import Origin, Prediction, Segmentation
from napari_segnet.settings import as_settings, type_name
from napari_segnet.sinks import KeptPlace
from napari_segnet.steps import LabelSettings

__all__ = [
    "LabelSettings",
    "PredictSettings",
    "label",
    "network_record",
    "predict",
    "same_engine",
    "segment",
    "with_one_engine",
]

VERSIONS = ("napari-segnet", "torch", "torchvision", "numpy", "scikit-image", "tifffile")


@job
def predict(
    checkpoint: Checkpoint | str | Path,
    image: Any,
    settings: PredictSettings | Settled | Mapping[str, Any] | None = None,
    kept: KeptPlace | None = None,
    *,
    first: tuple[slice, ...] | None = None,
) -> Generator[Progress, None, Prediction]:
    """Run a network on an image.

    A 2D network runs over t and z plane by plane, a 3D one over t volume by volume.

    Parameters
    ----------
    checkpoint : Checkpoint, str or Path
        What ``identify`` returned, the name of a built-in network, or the path of a file.
    image : Image, str, Path or array
        What ``open_image`` returned, or your own; a path; or pixels with the axes ``yx``, ``zyx``
        or ``tzyx``, or ``yxc`` where the last axis has 3 or 4 entries of uint8.
    settings : PredictSettings, Settled or mapping, optional
        A mapping by the names of ``PredictSettings``. See ``plan.settle``.
    kept : KeptPlace, optional
        Where answered tiles are kept on the disk until its ``remove()``: the same run goes on
        with them after it was cut off.
    first : tuple of slice, optional
        What is looked at, for each of ``image.label_axes`` in pixels: it is answered first.

    Yields
    ------
    Progress
        ``tile``, from the first one on; with ``first``, ``shown`` holds ``FinishedPart``s.

    Returns
    -------
    Prediction
        At the image's pixels, and where it comes from.

    Raises
    ------
    MismatchError
        If the image does not fit the network; the message says what to set.
    MemoryExhaustedError
        If memory does not suffice even for the smallest tiles.
    Cancelled
        Within about a second, also inside a large tile.
    """
    begun, clock = datetime.now(UTC), time.perf_counter()
    wishes = _wishes(settings)  # a mistake in them is said before a file is opened
    checkpoint, image = as_checkpoint(checkpoint), as_image(image)
    given = yield from settle(checkpoint, image, wishes)
    chosen, ran = yield from run_on_one_engine(checkpoint, image, given, kept, first)
    learn(chosen.engine, given.settings.engine)
    took = {"predict": round(time.perf_counter() - clock, 3)}
    return _prediction(chosen, ran, begun.isoformat(timespec="microseconds"), took)


def _prediction(chosen: Chosen, ran: RunResult, begun: str, took: dict[str, float]) -> Prediction:
    plan, checkpoint = chosen.plan, chosen.plan.checkpoint
    return Prediction(
        answer=ran.answer,
        pixel_size_um=dict(plan.image.pixel_size_um),
        class_names=checkpoint.class_names,
        advice=dict(checkpoint.card.get("label", {})),
        origin=replace(
            _origin(plan),
            device=ran.device,
            rung=ran.rung,
            engine={**ran.engine, "name": chosen.engine.name},
            notes=(*checkpoint.notes, *plan.notes, *chosen.notes, *ran.notes),
            time=begun,
            seconds=took,
        ),
    )


@job
def label(
    prediction: Prediction, settings: LabelSettings | Mapping[str, Any] | None = None
) -> Generator[Progress, None, Segmentation]:
    """Make labels of a network's answer; the network is not run.

    Parameters
    ----------
    prediction : Prediction
        What ``predict`` returned.
    settings : LabelSettings or mapping, optional
        How to make them; a mapping by the names of ``LabelSettings``.

    Yields
    ------
    Progress
        ``labels``, plane by plane or volume by volume.

    Returns
    -------
    Segmentation
        int32 labels, with score and class of each.
    """
    clock = time.perf_counter()
    if not isinstance(prediction, Prediction):
        raise MismatchError(
            f"Labels are made of what predict() returned, not of {type_name(prediction)}. Run "
            "predict() first, or segment(), which does both."
        )
    settings = as_settings(LabelSettings, settings)
    made = yield from answer_of(prediction).label(prediction, settings)
    seconds = {**made.origin.seconds, "label": round(time.perf_counter() - clock, 3)}
    return replace(made, origin=replace(made.origin, seconds=seconds))


@job
def segment(
    checkpoint: Checkpoint | str | Path,
    image: Any,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    label_settings: LabelSettings | Mapping[str, Any] | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Run a network on an image and make labels of its answer.

    Parameters and progress are those of :func:`predict` and :func:`label`.
    """
    label_settings = as_settings(LabelSettings, label_settings)  # a mistake is said at once
    prediction = yield from predict(checkpoint, image, settings)
    return (yield from label(prediction, label_settings))


def _wishes(settings: PredictSettings | Settled | Mapping[str, Any] | None) -> Any:
    return settings if isinstance(settings, Settled) else as_settings(PredictSettings, settings)


def _source(checkpoint: Checkpoint, name: str) -> str:
    known = checkpoint.known.get(name)
    return known.source if known else "read"


def network_record(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the origin of a result says of its network: file, hash, family, facts told."""
    # Facts that follow from what was told (sizes, outputs) are marked so too, but not told.
    # What was decided counts as told: a repeated run does not ask for the statistics again. A whole
    # graph follows from the file, or is found again.
    said = ("told", "decided")
    overrides = {
        name: value
        for name, value in checkpoint.hparams.items()
        if name != "graph" and _source(checkpoint, name) in said
    }
    return {
        "path": str(checkpoint.path),
        "sha256": checkpoint.sha256,
        "family": checkpoint.family,
        "told": overrides,
    }


def _origin(plan: InferencePlan) -> Origin:
    checkpoint, image = plan.checkpoint, plan.image
    return Origin(
        checkpoint=network_record(checkpoint),
        image={
            "source": image.source,
            "name": image.name,
            "axes": image.axes,
            "shape": [int(n) for n in image.data.shape],
            "dtype": str(image.dtype),
            **({"channels_from": list(image.channel_sources)} if image.channel_sources else {}),
            **({} if image.grid is None else {"grid": image.grid.to_json()}),
        },
        predict=plan.origin_settings(),
        versions={name: version(name) for name in VERSIONS},
    )
