"""Settings that say ``find`` or ``source`` become concrete ones, once, before anything runs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MismatchError, Remedy
from napari_segnet.image import Image
from napari_segnet.plan.recipe import channels_of, inverted, recipe, scale_of
from napari_segnet.plan.settings import SOURCE, PredictSettings
from napari_segnet.progress import Progress, job

if TYPE_CHECKING:
    from napari_segnet.find import Found, Way

__all__ = ["Settled", "normalize_by_source", "settle", "way_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Settings of which none is left to be found.

    Attributes
    ----------
    settings : PredictSettings
        With the values that were found.
    found : Found or None
        What speaks for them; None where nothing was to be found.
    """

    settings: PredictSettings
    found: Found | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of it."""
        return () if self.found is None else (self.found.says,)


@job
def settle(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | Settled,
    others: Sequence[Image] = (),
) -> Generator[Progress, None, Settled]:
    """Find what settings leave to be found.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    image : Image
        The image that it is to be run on.
    settings : PredictSettings or Settled
        Those that say ``find`` are found on the image; ``normalize=source`` takes what the code
        beside the weights says.
    others : sequence of Image, optional
        More images of its kind, on which the scale is looked for as well.

    Yields
    ------
    Progress
        ``settings``: how many ways were tried.

    Raises
    ------
    MismatchError
        If the image does not fit the network, or no code says how images were normalised.
    WeightsError
        If the file cannot be read any more.
    """
    if isinstance(settings, Settled):
        return settings
    if settings.normalize == SOURCE:
        settings = replace(settings, normalize=normalize_by_source(checkpoint))
    names = settings.to_find
    if not names:
        return Settled(settings=settings)
    from napari_segnet.find import find_settings  # here, as below: a window opens without it

    plain: dict[str, Any] = {name: None if name == "scale" else "auto" for name in names}
    open_ = replace(settings, **plain)
    way = way_of(checkpoint, image, open_)
    found = yield from find_settings(checkpoint, image, way, names, others)
    values = {name: getattr(found.way, name) for name in names}
    return Settled(settings=replace(settings, **values), found=found)


def way_of(checkpoint: Checkpoint, image: Image, settings: PredictSettings) -> Way:
    """Return how an image is shown to a network with settings of which none is left to be found.

    No pixel is read.

    Raises
    ------
    MismatchError
        If the pixel sizes can hardly be true, or the size of objects says nothing here.
    """
    from napari_segnet.find import Way

    how, over = recipe(checkpoint, settings)
    scale, _ = scale_of(checkpoint, image, settings)
    return Way(
        normalize=how,
        over=over,
        channels=channels_of(checkpoint, image, settings),
        invert="yes" if inverted(checkpoint, settings) else "no",
        scale=scale,
    )


def normalize_by_source(checkpoint: Checkpoint) -> str:
    """Return the normalisation that the code beside a network says.

    Raises
    ------
    MismatchError
        If no code says one.
    """
    from napari_segnet.find import suggestions_of

    for one in suggestions_of(checkpoint):
        if one.setting == "normalize":
            return str(one.value)
    find = Remedy("normalize", "find")
    raise MismatchError(
        f"No code beside {checkpoint.path.name} says how its images were normalised. Put the code "
        f"beside it, or let it be found: {find}.",
        remedies=(find,),
    )
