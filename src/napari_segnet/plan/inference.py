"""InferencePlan: everything that a run needs, as one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import Remedy, SettingsError
from napari_segnet.image import Image
from napari_segnet.plan.found import Settled, settle
from napari_segnet.plan.input import NetworkInput, prepare_input, stands_mirrors, stands_scales
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.progress import run
from napari_segnet.segmentation import NetworkAnswer
from napari_segnet.sinks import Keep, KeptPlace, choose_keep

if TYPE_CHECKING:
    from napari_segnet.find import Found

__all__ = ["InferencePlan", "RunResult", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InferencePlan:
    """A run of a network on an image, resolved; it may travel to another process.

    It pickles where the image's data does: numpy and dask arrays, memory maps.

    Attributes
    ----------
    checkpoint : Checkpoint
        The network.
    input : NetworkInput
        The image in its eyes: channels, fitted normalisation, scale, and notes on them.
    settings : PredictSettings
        What was asked for: wishes of tiles, batch, precision, seams, device and where maps are
        kept; what they come to depends on the engine and its memory. All that concerns the
        input is resolved in ``input``.
    keep : Keep or None
        Where its maps are kept; None for a network that answers with objects.
    found : Found or None
        What speaks for settings that were found; None where none was to be found.
    kept : KeptPlace or None
        Where tiles that are answered are kept on the disk, so that a run that was cut off goes on;
        None if they are not.
    first : tuple of slice or None
        What is looked at: one for each of ``axes``, in image pixels. It is answered first; the
        answer does not depend on it.
    """

    checkpoint: Checkpoint
    input: NetworkInput
    settings: PredictSettings
    keep: Keep | None
    found: Found | None = None
    kept: KeptPlace | None = None
    first: tuple[slice, ...] | None = None

    @property
    def image(self) -> Image:
        """Return the image."""
        return self.input.image

    @property
    def axes(self) -> str:
        """Return the axes of the image without its channels: ``[t] [z] y x``."""
        return self.image.label_axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the length of each of ``axes``, in image pixels."""
        return _lengths(self.image)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the user should know before anything runs, one sentence each."""
        return (*self.input.notes, *(() if self.found is None else (self.found.says,)))

    def origin_settings(self) -> dict[str, Any]:
        """Return the settings as the origin records them, plain JSON values."""
        return asdict(self.settings)

    def input_facts(self) -> dict[str, Any]:
        """Return how the image was shown to the network, plain JSON values for the origin."""
        return {
            **({} if self.found is None else {"found": self.found.to_json()}),
            "normalize": self.input.how,
            "normalize_over": self.input.over,
            "channels": self.input.channels.to_json(),
            "normalization": self.input.normalization.to_json(),
            "scale": self.input.scale,
        }


def resolve(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings | Settled | None = None
) -> InferencePlan:
    """Decide once how a network is run on an image.

    A function of its arguments alone. Pixels are read where a normalisation measures them, so
    call it in a worker; what a window shows at once is in :mod:`napari_segnet.plan.input`.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    image : Image
        What ``open_image`` returned, or your own.
    settings : PredictSettings or Settled, optional
        What is asked for. Of plain settings, those that are to be found are found here.

    Raises
    ------
    SettingsError
        If mirror images are asked for and the network's answer cannot be turned back, or several
        scales and it cannot be averaged.
    MismatchError
        If the image does not fit the network; the message says what to set.
    ImageError
        If the image has no finite pixel.
    """
    if not isinstance(settings, Settled):
        settings = run(settle(checkpoint, image, settings or PredictSettings()))
    asked, found = settings.settings, settings.found
    if asked.mirror == "yes" and not stands_mirrors(checkpoint):
        no = Remedy("mirror", "auto")
        raise SettingsError(
            f"{checkpoint.path.name} cannot run on mirrored images: its output is objects, or has "
            f"a direction. Set {no}.",
            remedies=(no,),
        )
    if asked.multiscale == "yes" and not stands_scales(checkpoint):
        no = Remedy("multiscale", "auto")
        raise SettingsError(
            f"{checkpoint.path.name} cannot be shown images at several scales: only maps of planes "
            f"are averaged, and not those that have a direction. Set {no}.",
            remedies=(no,),
        )
    given = prepare_input(checkpoint, image, asked)
    channels = sum(output.channels for output in checkpoint.outputs)
    keep = choose_keep((channels, *_lengths(image)), asked.maps) if channels else None
    return InferencePlan(checkpoint=checkpoint, input=given, settings=asked, keep=keep, found=found)


def _lengths(image: Image) -> tuple[int, ...]:
    return tuple(image.sizes[a] for a in image.label_axes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunResult:
    """What a run came to.

    Attributes
    ----------
    answer : NetworkAnswer
        At the image's pixels.
    device, rung : str
        Where it ran in the end, and what was given up for lack of memory.
    notes : tuple of str
        What the user should know of the run, one sentence each.
    engine : dict
        What the engine chose, plain JSON values.
    """

    answer: NetworkAnswer
    device: str
    rung: str
    notes: tuple[str, ...]
    engine: dict[str, Any]
