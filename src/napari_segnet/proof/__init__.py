"""What is this weights file, and what of it is proven? All of recognition as one job.

``identify`` reads names and shapes and is cheap. What they leave open is asked of the statistics
in the file here: of a bare file by trying all networks that its tensors can be, of a network known
by its names by judging if it is the published one. A file that holds its graph has nothing to
prove.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet import cache
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.families import GraphFamily
from napari_segnet.image import Image
from napari_segnet.judge import judge, leaves_open
from napari_segnet.programs import assumed_facts, is_bare
from napari_segnet.progress import Progress, job
from napari_segnet.proof._bare import MOST_SHOWN, has_statistics, of_space
from napari_segnet.proof._judged import of_judgement
from napari_segnet.proof._types import Possible, Recognised
from napari_segnet.proof._words import fact_in_words
from napari_segnet.recognition import family_of, identify
from napari_segnet.torch_import import load_libraries

__all__ = [
    "MOST_SHOWN",
    "Possible",
    "Recognised",
    "fact_in_words",
    "is_bare",
    "is_open",
    "prove",
    "recognise",
]


@job
def recognise(
    path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    image: Image | None = None,
    *,
    told: Mapping[str, Any] | None = None,
) -> Generator[Progress, None, Recognised]:
    """Tell what a weights file is, and prove what its names and shapes leave open.

    Takes seconds where ``identify`` takes none: parts of the network are run. Files that hold
    their network whole, and facts that are told, cost nothing.

    Parameters
    ----------
    path : str or Path
        A weights file, or the name of a built-in network.
    overrides : mapping, optional
        What you know of the network that its file does not say.
    image : Image, optional
        Such as the network is meant for: better evidence than the pictures of this package.

    Yields
    ------
    Progress
        ``network``: how many were tried.

    Returns
    -------
    Recognised
        The network, and those that it may be as well.

    Raises
    ------
    WeightsError, SettingsError
        As ``identify`` does.
    """
    yield Progress(what="network")
    return (yield from prove(identify(path, overrides, told=told), image))


@job
def prove(
    checkpoint: Checkpoint, image: Image | None = None
) -> Generator[Progress, None, Recognised]:
    """Ask the statistics in a file what its names and shapes leave open.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned. Facts that were read, decided or told are not questioned.
    image : Image, optional
        See :func:`recognise`.

    Yields
    ------
    Progress
        ``network``: how many were tried.

    Returns
    -------
    Recognised
        See :func:`recognise`.

    Raises
    ------
    WeightsError
        If the file cannot be read any more.
    """
    yield Progress(what="network")
    if not is_open(checkpoint):
        return Recognised(checkpoint=checkpoint)
    # The libraries of torch are loaded while its file is hashed and its topologies are searched.
    # The process waits for it: one that ends meanwhile ends by a segmentation fault.
    threading.Thread(target=load_libraries, name="napari-segnet loads torch").start()
    key = _key(checkpoint, image)
    known = cache.recognised.get(key) if key else None
    if isinstance(known, Recognised):
        return known
    if is_bare(checkpoint):
        found = yield from of_space(checkpoint, image)
    else:
        judged = yield from judge(checkpoint, image)
        found = of_judgement(checkpoint, judged)
    if key:
        cache.recognised.put(key, found, 1)
    return found


def is_open(checkpoint: Checkpoint) -> bool:
    """Tell if a file leaves open what its statistics, or its user, may decide."""
    if is_bare(checkpoint):
        return bool(assumed_facts(checkpoint))
    family = family_of(checkpoint)
    if not isinstance(family, GraphFamily) or not leaves_open(checkpoint):
        return False
    return has_statistics(family.graph(checkpoint))


def _key(checkpoint: Checkpoint, image: Image | None) -> tuple[Any, ...] | None:
    """Return by what a result is known again; None for an image that is in no file."""
    facts = tuple(sorted((n, fact.source, fact.why) for n, fact in checkpoint.known.items()))
    shown: tuple[Any, ...] = ()
    if image is not None:
        if not image.source:
            return None
        shown = (image.source, image.name, image.axes, tuple(image.data.shape))
    return checkpoint.sha256, str(checkpoint.path), repr(checkpoint.hparams), facts, shown
