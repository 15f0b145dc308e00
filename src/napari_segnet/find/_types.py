"""What was found: the ways to show an image, in order, and how like the training it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.find._shown import Way

__all__ = ["Found", "Heat", "Likeness", "Ranked"]

By = Literal["statistics", "code", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A way that was tried.

    Attributes
    ----------
    way : Way
        How the image is shown.
    misfit : float
        Mean logarithm of how far what comes to the norms is from what the file says, in nats;
        the least fits best. NaN where nothing was measured.
    """

    way: Way
    misfit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How an image is best shown to a network, and what speaks for it.

    Attributes
    ----------
    way : Way
        The settings that were found, and those that were given.
    names : tuple of str
        Which settings were to be found.
    by : str
        ``statistics`` of the file; ``code`` beside it; ``nothing``: then ``way`` is what the
        settings come to by themselves, and the others wait for the user's eye.
    ranked : tuple of Ranked
        Ways that differ in effect, the best first, up to six.
    margin : float
        By how much the best fits better than the second, in ``misfit``; NaN where nothing was
        measured.
    says : str
        Why, one sentence.
    """

    way: Way
    names: tuple[str, ...]
    by: By
    ranked: tuple[Ranked, ...]
    margin: float
    says: str

    @property
    def runner_up(self) -> Way | None:
        """The second best way that differs in effect."""
        return self.ranked[1].way if len(self.ranked) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as the origin of a result holds them."""
        second = self.runner_up
        return {
            "settings": {name: getattr(self.way, name) for name in self.names},
            "by": self.by,
            "margin": None if np.isnan(self.margin) else round(self.margin, 4),
            "runner_up": None if second is None else asdict(second),
            "says": self.says,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heat:
    """Where an image is unlike the training images of a network.

    Attributes
    ----------
    scores : ndarray
        ``(rows, columns)`` float32: of each tile, in units in which the limit is that of the image.
    corner_px, step_px : tuple of float
        Centre of the first place in the plane and distance of neighbours, ``(y, x)`` in image
        pixels: together they cover exactly what was looked at.
    """

    scores: npt.NDArray[np.float32]
    corner_px: tuple[float, float]
    step_px: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likeness:
    """How unlike the training images of a network an image is.

    Attributes
    ----------
    score, limit : float
        Of what was looked at, in nats; above the limit the image is unlike them.
    says : str
        One sentence; empty where the image is like them.
    heat : Heat or None
        Where; None if it was not asked for.
    """

    score: float
    limit: float
    says: str
    heat: Heat | None = None

    @property
    def unlike(self) -> bool:
        """True if the image is unlike anything that the network was trained on."""
        return self.score > self.limit

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; ``share`` of tiles above the limit where there is a heat."""
        found = {"unlike": self.unlike, "score": round(self.score, 4), "limit": self.limit}
        if self.heat is not None:
            found["share"] = round(float((self.heat.scores > self.limit).mean()), 4)
        return found
