"""How a network's images were prepared, found on the user's own; and whether that is like them.

The batch normalisations of a network remember mean and variance of what came to them in the
training. An image is shown to the network in many ways (normalised, scaled, with light and dark or
the colours exchanged); the way in which the same comes to the norms is the one of the training.
Where a file has no such norms, code beside it may say it; else nothing does.
"""

from __future__ import annotations

from napari_segnet.find._find import alike, find_settings
from napari_segnet.find._like import LIMIT, likeness
from napari_segnet.find._network import remembers
from napari_segnet.find._shown import Way
from napari_segnet.find._suggested import Suggestion, suggestions_of
from napari_segnet.find._types import Found, Likeness, Ranked

__all__ = [
    "LIMIT",
    "Found",
    "Likeness",
    "Ranked",
    "Suggestion",
    "Way",
    "alike",
    "find_settings",
    "likeness",
    "remembers",
    "suggestions_of",
]
