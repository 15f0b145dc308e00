"""Which files of a folder are the channels of one image, for a network that takes several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_segnet.errors import ImageError
from napari_segnet.prepare.channels import parse_channels
from napari_segnet.readers import channel_sets, open_image

__all__ = ["joined_files"]

NOT_NAMED = ("auto", "find")
"""Values of the setting ``channels`` that name no channel."""


def joined_files(
    paths: Sequence[Path], channels: str, want: int = 0
) -> dict[Path, tuple[Path, ...]]:
    """Return the sets of files that are one image each, by the file of channel 0.

    Parameters
    ----------
    paths : sequence of Path
        Picture files, such as ``case_0000.tif`` and ``case_0001.tif``.
    channels : str
        The setting. Files are joined where it names a channel that no single file has: one of
        several, in files of one.
    want : int
        How many channels the network takes, if sets of so many files are to be joined where the
        setting names none; 0: they are not.
    """
    named = channels.strip() not in NOT_NAMED
    if named:
        numbers = [str(one).rpartition("-")[2] for one in parse_channels(channels)]
        named = any(number.isdigit() and int(number) > 0 for number in numbers)
        want = 0
    if not named and want < 2:
        return {}
    sets = channel_sets(paths)
    return {
        first: files
        for first, files in sets.items()
        if (named or len(files) == want) and _has_one_channel(first)
    }


def _has_one_channel(path: Path) -> bool:
    try:
        return open_image(path).sizes["c"] == 1
    except ImageError:  # said in words when it is its turn
        return True
