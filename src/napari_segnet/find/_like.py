"""Is an image like those of the training? What comes to the norms says it, place by place."""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.find._network import witness_of
from napari_segnet.find._shown import Tile, Way, part_of
from napari_segnet.find._types import Likeness
from napari_segnet.image import Image
from napari_segnet.progress import Progress, job

__all__ = ["LIMIT", "likeness"]

LIMIT = 0.08
"""Nats. Of 15 small networks with known recipes, 6 % of the images of their own kind are above it
and 72 % of those of other kinds (see docs/find-settings.md for networks that it was not set on)."""
TILE_LIMIT = 0.8
"""Nats, of a single tile, run by the stored numbers: it varies more than all together."""
SOFT = 0.3
"""Nats, added before the logarithm is taken: differences far below it are of the one image."""
TIMES = 6
"""So many times the tiles that show a network an image in no time."""


@job
def likeness(
    checkpoint: Checkpoint, image: Image, way: Way
) -> Generator[Progress, None, Likeness | None]:
    """Compare an image with what a file remembers of its training.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    image : Image
        Of a series or stack the middle is looked at.
    way : Way
        How it is shown to the network.

    Yields
    ------
    Progress
        ``image``.

    Returns
    -------
    Likeness or None
        None where the file holds no statistics.

    Raises
    ------
    MismatchError
        If the image does not fit the network.
    WeightsError
        If the file cannot be read any more.
    """
    yield Progress(what="image")
    witness = witness_of(checkpoint)
    if witness is None:
        return None
    part = part_of(image, checkpoint.channels, checkpoint.ndim, witness.depth)
    rows = part.grid(witness.edge, way.scale, witness.count * TIMES)
    tiles = [tile for row in rows for tile in row]
    shown = part.read(way, tiles, witness.edge)
    score = math.exp(witness.norms.misfit(witness.norms.show(shown, own=True), SOFT)) - SOFT
    # Of a single tile its own mean and variance say little: it is run as the network answers.
    each = np.exp(witness.norms.misfits(witness.norms.show(shown), SOFT)) - SOFT
    heat = (each * (LIMIT / TILE_LIMIT)).reshape(len(rows), -1).astype(np.float32)
    return Likeness(
        score=score,
        limit=LIMIT,
        heat=heat,
        corner_px=_corner(rows[0][0], part.corner),
        step_px=_step(rows),
        says=_sentence(score) if score > LIMIT else "",
    )


def _corner(tile: Tile, corner: tuple[int, int]) -> tuple[float, float]:
    """Return the middle of a tile, in pixels of the plane."""
    return (
        corner[0] + tile.top + (tile.height - 1) / 2,
        corner[1] + tile.left + (tile.width - 1) / 2,
    )


def _step(rows: tuple[tuple[Tile, ...], ...]) -> tuple[float, float]:
    """Return how far neighbours are apart; of a single one its edge."""
    first = rows[0][0]
    down = (rows[-1][0].top - first.top) / (len(rows) - 1) if len(rows) > 1 else first.height
    across = rows[0][-1].left - first.left
    return float(down), across / (len(rows[0]) - 1) if len(rows[0]) > 1 else float(first.width)


def _sentence(score: float) -> str:
    return (
        "This image is unlike those that the network was trained on: the statistics of its layers "
        f"differ by {score:.2g} from those that the file remembers; for images like the training "
        f"it is mostly below {LIMIT:g}. Expect mistakes, or find the settings first."
    )
