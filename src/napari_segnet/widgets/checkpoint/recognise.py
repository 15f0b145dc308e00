"""What a weights file is: the job behind every choice of a network."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.torch_loading import load_torch

__all__ = ["Gone", "recognise", "recognise_with_proof"]


class Gone(SegnetError):
    """The network's answer is no longer kept."""


@job
def recognise(choice: str, overrides: Mapping[str, Any]) -> Generator[Progress, None, Checkpoint]:
    """Tell what a weights file is; ``choice`` is a path or the name of a built-in network."""
    yield Progress(what="reading the file")
    import napari_segnet.find  # noqa: F401  # docks ask it next, in the thread of the window
    from napari_segnet.builtin import weights_path
    from napari_segnet.recognition import identify

    return identify(Path(weights_path(choice)).absolute(), overrides)


@job
def recognise_with_proof(
    choice: str, overrides: Mapping[str, Any]
) -> Generator[Progress, None, Checkpoint]:
    """Tell what a weights file is, as :func:`recognise`, and prove what its names leave open."""
    checkpoint = yield from recognise(choice, overrides)
    from napari_segnet.proof import is_open

    if not is_open(checkpoint):
        return checkpoint
    load_torch()
    from napari_segnet.proof import prove

    found = yield from prove(checkpoint)
    return found.checkpoint
