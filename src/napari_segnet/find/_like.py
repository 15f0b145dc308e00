"""Is an image like those of the training? What comes to the norms says it, place by place."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.evidence import work
from napari_segnet.families import GraphFamily
from napari_segnet.find._network import Witness, witness_of
from napari_segnet.find._shown import Part, Way, part_of
from napari_segnet.find._types import Heat, Likeness
from napari_segnet.image import Image
from napari_segnet.progress import Progress, job
from napari_segnet.recognition import family_of

__all__ = ["LIMIT", "likeness"]

LIMIT = 0.12
"""Nats, see docs/find-settings.md for how many images are above it."""
TILE_LIMIT = 0.8
"""Nats, of a single tile, run by the stored numbers: it varies more than all together."""
SOFT = 0.3
"""Nats, added before the logarithm is taken: differences far below it are of the one image."""
FIRST_NORMS = 5
"""Looked at for the score: those behind them hardly tell more (docs/find-settings.md), and most of
the work of a network lies behind them."""
EDGE = 128
"""Of a tile in network pixels: in smaller ones margins, which the training had few of, count."""
SHARE = 0.05
"""Of the network's work for the image, that the score may cost; a tile is always looked at."""
TIMES = 6
"""So many times the tiles that show a network an image in no time, for the heat."""
MOST_TILES = 24
"""More add nothing to the score: differences between images are larger."""
AT_ONCE = 4
"""Tiles of the heat that are run together."""


@job
def likeness(
    checkpoint: Checkpoint, image: Image, way: Way, where: bool = False
) -> Generator[Progress, None, Likeness | None]:
    """Compare an image with what a file remembers of its training.

    The score is cheap beside a run of the network; the heat of a small image costs more than one.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    image : Image
        Of a series or stack the middle is looked at.
    way : Way
        How it is shown to the network.
    where : bool
        Tell of each place as well: ``heat``.

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
    scout = _scout(checkpoint)
    if scout is None:
        return None
    norms = scout.witness.norms
    part = part_of(image, checkpoint.channels, checkpoint.ndim, scout.witness.depth)
    sizes = image.sizes
    pixels = math.prod(max(1.0, sizes[axis] / way.scale) for axis in "yx")
    count = max(1, min(int(scout.tiles * pixels / scout.edge**2), MOST_TILES))
    # Those most like the whole: a tile of chance, such as one without objects, misleads.
    tiles = part.tiles(scout.edge, way.scale, count)
    seen = norms.show(part.read(way, tiles, scout.edge), own=True)
    score = math.exp(norms.misfit(seen, SOFT)) - SOFT
    return Likeness(
        score=score,
        limit=LIMIT,
        says=_sentence(score) if score > LIMIT else "",
        heat=(yield from _heat(checkpoint, part, way)) if where else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scout:
    """The first norms of a network, and what they cost.

    Attributes
    ----------
    witness : Witness
        Up to the last of these norms.
    edge : int
        Of a tile in network pixels.
    tiles : float
        How many may be looked at for an image that is as large as one tile.
    """

    witness: Witness
    edge: int
    tiles: float


MOST_KEPT = 4
"""A folder is run by one network, and an unlike image is shown to others, too."""
_kept: list[tuple[Checkpoint, _Scout | None]] = []
"""Of the networks that were loaded last, the latest first."""


def _scout(checkpoint: Checkpoint) -> _Scout | None:
    """Load the first norms of a network, unless they are kept."""
    if checkpoint.stamp is not None:
        for known, kept in tuple(_kept):
            if known == checkpoint:
                return kept
    witness = witness_of(checkpoint, FIRST_NORMS)
    found = None
    if witness is not None:
        edge = max(EDGE, witness.edge) if checkpoint.ndim == 2 else witness.edge
        family = family_of(checkpoint)
        assert isinstance(family, GraphFamily)
        whole, first = (work(g, edge) for g in (family.graph(checkpoint), witness.norms.graph))
        tiles = SHARE * whole / first if 0 < first <= whole < math.inf else SHARE
        found = _Scout(witness=witness, edge=edge, tiles=tiles)
    _kept[:] = [(checkpoint, found), *_kept[: MOST_KEPT - 1]]
    return found


def _heat(checkpoint: Checkpoint, part: Part, way: Way) -> Generator[Progress, None, Heat]:
    """Look at each place by all norms."""
    witness = witness_of(checkpoint)
    assert witness is not None
    rows = part.grid(witness.edge, way.scale, witness.count * TIMES)
    tiles = [tile for row in rows for tile in row]
    scores: list[float] = []
    for first in range(0, len(tiles), AT_ONCE):
        yield Progress(what="image", done=first, total=len(tiles))
        shown = part.read(way, tiles[first : first + AT_ONCE], witness.edge)
        # Of a single tile its own mean and variance say little: it is run as the network answers.
        scores += witness.norms.misfits(witness.norms.show(shown), SOFT)
    found = (np.exp(scores) - SOFT) * (LIMIT / TILE_LIMIT)
    # Together they cover the part: at its ends tiles may lie farther apart than they are long.
    down, across = part.shape[0] / len(rows), part.shape[1] / len(rows[0])
    return Heat(
        scores=found.reshape(len(rows), -1).astype(np.float32),
        corner_px=(part.corner[0] + (down - 1) / 2, part.corner[1] + (across - 1) / 2),
        step_px=(down, across),
    )


def _sentence(score: float) -> str:
    return (
        "This image is unlike the training images of the network: the statistics of its layers "
        f"differ by {score:.2g} from those in the file; for images like the training images the "
        f"difference is mostly below {LIMIT:g}. Expect mistakes."
    )
