"""One image of a run: read, answered, labelled, written."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.commands._going_on import leave_done
from napari_segnet.commands._kept import kept_place, said_if_kept
from napari_segnet.commands._plan import MOST_SAMPLES, Plan
from napari_segnet.commands._words import unlike_in_words
from napari_segnet.errors import OutputError, SegnetError
from napari_segnet.progress import Progress, job, run

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.find import Likeness
    from napari_segnet.image import Image
    from napari_segnet.inference import PredictSettings
    from napari_segnet.measure import Table
    from napari_segnet.progress import Job
    from napari_segnet.segmentation import Prediction, Segmentation

__all__ = ["Answered", "Done", "answered", "finished", "opened", "segmented"]


@dataclass(slots=True, kw_only=True, eq=False)
class Answered:
    """An image that the network has answered.

    Attributes
    ----------
    image : Image
        The image.
    prediction : Prediction or None
        What the network says of it, until it is taken: nobody else holds it then.
    settings : PredictSettings
        How the network was run; none is left to be found.
    like : Likeness or None
        How like those of the training it is.
    begun : float
        When work on it began, by ``time.perf_counter``.
    stamps : list
        Of its files, when they were opened; see ``stamps_kept``.
    """

    image: Image
    prediction: Prediction | None
    settings: PredictSettings
    like: Likeness | None
    begun: float
    stamps: list[list[int] | None]

    def take(self) -> Prediction:
        """Return the prediction and let go of it."""
        taken, self.prediction = self.prediction, None
        assert taken is not None, "taken once"
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What is said of an image that is done.

    Attributes
    ----------
    line : dict
        For ``--json``.
    words : str
        At the end of its line of progress.
    notes : tuple of str
        What the user should know, one sentence each.
    """

    line: dict[str, Any]
    words: str
    notes: tuple[str, ...]


@job
def segmented(plan: Plan, stem: str, path: Path) -> Generator[Progress, None, Done]:
    """Segment one image and write its files."""
    begun = time.perf_counter()
    yield Progress(what="reading")
    image = opened(plan, stem, path)
    made = yield from answered(plan, stem, image, begun)
    return (yield from finished(plan, stem, path, made))


def opened(plan: Plan, stem: str, path: Path) -> Image:
    """Open an image, whose channels may lie in files of their own.

    Raises
    ------
    DoneMeanwhile
        If another run was faster.
    """
    leave_done(plan, stem, path)
    return _joined(plan, plan.channel_files.get(stem, (path,)), stem)


@job
def answered(
    plan: Plan, stem: str, image: Image, begun: float
) -> Generator[Progress, None, Answered]:
    """Run the network; what speaks against the image is said before, as a text of progress."""
    from napari_segnet.inference import predict
    from napari_segnet.plan import settle
    from napari_segnet.stamp import stamps_kept

    stamps = stamps_kept(plan.channel_files.get(stem, (plan.images[stem],)))
    settings = plan.earlier.pinned(plan.predict, image) if plan.earlier else plan.predict
    if large := _forecast(plan, image):
        yield Progress(what="reading", text=f"note: {large}")
    others = _others(plan, stem) if "scale" in settings.to_find else ()
    settled = yield from settle(plan.checkpoint, image, settings, others)
    like = _likeness(plan.checkpoint, image, settled.settings, plan.as_json)
    if like is not None and like.says:
        yield Progress(what="reading", text=f"warning: {unlike_in_words(like, settings)}")
    kept = kept_place(plan, stem)
    with said_if_kept(kept):
        prediction = yield from predict(plan.checkpoint, image, settled, kept)
    return Answered(
        image=image,
        prediction=prediction,
        settings=settled.settings,
        like=like,
        begun=begun,
        stamps=stamps,
    )


def _others(plan: Plan, stem: str) -> list[Image]:
    """Return the samples of a run beside an image; few of their pixels are read."""
    own = plan.channel_files.get(stem, (plan.images[stem],))
    found: list[Image] = []
    for files in [files for files in plan.samples if files != own][: MOST_SAMPLES - 1]:
        try:
            found.append(_joined(plan, files, files[0].stem))
        except SegnetError:
            continue  # it is said when its own turn comes
    return found


def _joined(plan: Plan, files: tuple[Path, ...], name: str) -> Image:
    from napari_segnet.joined import join_channels
    from napari_segnet.readers import open_image

    images = [open_image(file, plan.axes) for file in files]
    return images[0] if len(images) == 1 else join_channels(images, name)


@job
def finished(
    plan: Plan, stem: str, path: Path, made_of: Answered
) -> Generator[Progress, None, Done]:
    """Make labels of an answer, measure them, and write all files."""
    kept = kept_place(plan, stem)
    with said_if_kept(kept):
        done = yield from _finished(plan, stem, path, made_of)
    kept.remove()
    return done


def _finished(
    plan: Plan, stem: str, path: Path, made_of: Answered
) -> Generator[Progress, None, Done]:
    from napari_segnet.answers import instances_of, maps_of
    from napari_segnet.inference import label
    from napari_segnet.writers import write_segmentation

    image, prediction = made_of.image, made_of.take()
    made = yield from label(prediction, plan.label)
    facts_of_run = {"axes_told": plan.axes, "stamps": made_of.stamps}
    origin = replace(made.origin, image={**made.origin.image, **facts_of_run})
    maps = maps_of(prediction) if plan.save_maps else None
    instances = instances_of(prediction) if plan.save_maps else None
    del prediction  # maps of a large image need room that writing may need
    table = (yield from _measured(made, image)) if plan.table else None
    yield Progress(what="writing")
    try:
        files = write_segmentation(
            replace(made, origin=origin),
            plan.folder,
            stem,
            overwrite=plan.overwrite,
            maps=maps,
            instances=instances,
            table=table,
            exports=plan.exports,
            image=image,
            zarr=plan.zarr,
        )
    except OutputError:
        leave_done(plan, stem, path)
        raise
    return (yield from _done(plan, path, made, files, made_of))


def _done(
    plan: Plan, path: Path, made: Segmentation, files: list[Path], made_of: Answered
) -> Generator[Progress, None, Done]:
    from napari_segnet.detective import light_dark_suggestion
    from napari_segnet.plan.input import inverted
    from napari_segnet.readers import named

    seconds, like = time.perf_counter() - made_of.begun, made_of.like
    count = len(made.label_score)
    what = {("instance", 1): "object", ("instance", 0): "objects", ("semantic", 1): "class"}
    noun = what.get((made.kind, int(count == 1)), "classes")
    notes = made.origin.notes
    steps = light_dark_suggestion(plan.checkpoint, made_of.image, made_of.settings, made, like)
    if suggestion := (yield from steps):
        other = "no" if inverted(plan.checkpoint, made_of.settings) else "yes"
        notes = (*notes, f"{suggestion} For those, add --set invert={other}.")
    line = {
        "image": named(path),
        "files": [str(file) for file in files],
        "kind": made.kind,
        "n_labels": count,
        "device": made.origin.device,
        "rung": made.origin.rung,
        "notes": list(made.origin.notes),
        "seconds": round(seconds, 3),
        "unlike": None if like is None else like.to_json(),
    }
    return Done(
        line=line,
        words=f"{count} {noun}, {seconds:.1f} s on {made.origin.device}",
        notes=notes,
    )


def _likeness(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, where: bool
) -> Likeness | None:
    """Return how like the images of the training an image is."""
    from napari_segnet.find import likeness
    from napari_segnet.plan import way_of

    return run(likeness(checkpoint, image, way_of(checkpoint, image, settings), where))


def _forecast(plan: Plan, image: Image) -> str:
    """Refuse labels that there is no room for before the network runs; tell if they are large."""
    from napari_segnet.answers import answer_of
    from napari_segnet.steps import require_label_room

    advice = plan.checkpoint.card.get("label", {})
    label = answer_of(plan.checkpoint).settings(plan.label, plan.checkpoint.outputs, advice)
    shape = [image.sizes[axis] for axis in image.label_axes]
    return require_label_room(shape, plan.checkpoint.ndim, label.instances, image.name)


def _measured(made: Segmentation, image: Image) -> Job[Table]:
    from napari_segnet.measure import measure

    return measure(
        made.labels,
        made.axes,
        image,
        label_class=made.label_class,
        label_score=made.label_score,
        class_names=made.class_names,
    )
