"""When a run over many images ends: the disk takes no results any more."""

from __future__ import annotations

from napari_segnet.errors import DiskFullError

__all__ = ["FullDisk", "untried_in_words"]

MOST_REFUSED = 2
"""So many images in succession that the disk had no room for, and the run ends: what the network
says of the others would be lost as well. A single one may be larger than the others."""


class FullDisk:
    """Counts the results in succession that the disk had no room for."""

    def __init__(self) -> None:
        self._refused = 0

    @property
    def is_full(self) -> bool:
        """Whether so many were refused that the run is to end."""
        return self._refused >= MOST_REFUSED

    def written(self) -> None:
        """Count from the beginning: there was room for a result."""
        self._refused = 0

    def failed(self, error: BaseException) -> None:
        """Count an image whose result was refused; other failures do not count."""
        self._refused += isinstance(error, DiskFullError)


def untried_in_words(count: int) -> str:
    """Say how many images were not tried, and what to do first: two sentences without the end."""
    images = "1 more image was" if count == 1 else f"{count} more images were"
    return f"{images} not tried, since the disk is full. Free some space, and"
