"""What a run is asked for, as one frozen value, and what its result says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.plan import Settled
from napari_segnet.readers import channel_sets
from napari_segnet.repeat import command_line

if TYPE_CHECKING:
    from napari_segnet.find import Found
    from napari_segnet.widgets.layers.convert import Source
    from napari_segnet.widgets.segment.batch import Segmented
    from napari_segnet.widgets.segment.jobs import Answer

__all__ = ["RunRequest", "network_name", "request_of_picture", "subject_of_run", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunRequest:
    """A network, an image and how it is run; the layer may be gone when the run ends.

    Attributes
    ----------
    source : Source
        The image, and where its result lies.
    checkpoint : Checkpoint
        The network.
    predict, labels : PredictSettings, LabelSettings
        How it is run, and how labels are made.
    axes : str or None
        What the user said of the dimensions; None where the file says it.
    overrides : mapping of str to str
        Facts of the network that the user said.
    subject : tuple
        What the result is of: a second run of the same may replace it.
    found : Found or None
        What speaks for its settings, where they were found on the image.
    view : tuple of slice or None
        What of the image is looked at, a plane: one slice for each of its axes without channels.
    """

    source: Source
    checkpoint: Checkpoint
    predict: PredictSettings
    labels: LabelSettings
    axes: str | None
    overrides: Mapping[str, str]
    subject: tuple[Any, ...]
    found: Found | None = None
    view: tuple[slice, ...] | None = None

    @property
    def settled(self) -> PredictSettings | Settled:
        """How it is run, with what speaks for settings that were found before."""
        if self.found is None:
            return self.predict
        return Settled(settings=self.predict, found=self.found)

    @property
    def name(self) -> str:
        """Name of the result layer."""
        return f"{self.source.layer_name} · {network_name(self.checkpoint)}"

    def command(self, labels: LabelSettings) -> str:
        """Return the command line that repeats the run, with what it cannot repeat above it."""
        path = self.source.image.source
        image = path or f"{self.source.layer_name}.tif"
        parts = self.source.image.channel_sources
        line = command_line(
            parts or (image,),
            self.checkpoint.path,
            self.predict,
            labels,
            axes=self.axes,
            overrides=self.overrides,
        )
        remarks = []
        if parts and not _is_set(parts):
            remarks.append(
                "# The channels are several layers: save them as NAME_0000.tif, NAME_0001.tif, "
                "... first, and name these files."
            )
        elif path is None:
            remarks.append(f"# The layer is not saved: save it as {image} first.")
        if self.source.region.kind != "layer":
            remarks.append(
                "# The result covers a part of the layer; the command segments the whole image."
            )
        return "\n".join([*remarks, line])

    def record(self, made: Answer, labels: LabelSettings) -> dict[str, Any]:
        """Return what the result layer says of how it was made."""
        return {
            "key": made.key,
            "wishes": dataclasses.asdict(labels),
            "command": self.command(labels),
            "summary": summary(made),
        }


def _is_set(names: Sequence[str]) -> bool:
    """Tell if files are named so that the command takes them as the channels of one image."""
    paths = [Path(name) for name in names]
    return tuple(paths) in channel_sets(paths).values()


def subject_of_run(
    layer_id: object,
    box: tuple[tuple[int, int], ...],
    checkpoint: Checkpoint,
    overrides: Mapping[str, str],
) -> tuple[Any, ...]:
    """Return what a result is of: image layer, region, then network."""
    return (layer_id, box, str(checkpoint.path), tuple(sorted(overrides.items())))


def request_of_picture(one: Segmented, overrides: Mapping[str, str]) -> RunRequest:
    """Return what a picture that was dropped has been segmented with."""
    box = tuple((part.start, part.stop) for part in one.source.region.box)
    return RunRequest(
        source=one.source,
        checkpoint=one.checkpoint,
        predict=one.predict,
        labels=one.labels,
        axes=None,
        overrides=dict(overrides),
        subject=subject_of_run(one.image.unique_id, box, one.checkpoint, overrides),
    )


def network_name(checkpoint: Checkpoint) -> str:
    """Return the name of a built-in network, or of the file without its ending."""
    names = {path: name for name, path in builtin_models().items()}
    return names.get(checkpoint.path, checkpoint.path.stem)


def summary(made: Answer) -> str:
    """Return what came out, for the user."""
    segmentation = made.segmentation
    origin = segmentation.origin
    count = len(segmentation.label_score)
    noun = "object" if segmentation.kind == "instance" else "class"
    plural = {"object": "objects", "class": "classes"}[noun]
    where = f"{origin.device}, {origin.rung}" if origin.rung != "as planned" else origin.device
    lines = [f"{count} {noun if count == 1 else plural}, on {where}"]
    lines += [f"Note: {note}" for note in origin.notes]
    return "\n".join(lines)
