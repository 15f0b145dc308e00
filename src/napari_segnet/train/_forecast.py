"""What one more corrected image is going to bring: a learning curve with its uncertainty.

The score of a network rises with the number of corrected images like ``a - b / n`` or slower
(Hestness et al. 2017, arXiv 1712.00409), and each new image may be a lucky or a useless one. How
much it rises, and how much that varies, was measured with small trainings
(``benchmarks/forecast.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from napari_segnet.dataset import Dataset
from napari_segnet.train._gate import HeldOut

__all__ = ["Forecast", "forecast"]

RISE = 0.07
"""One more image brings this share, over the number of images, of what is missing to a score
of 1."""
SPREAD = 0.05
"""Standard deviation of what one more image brings, over the root of the number of images."""
SIDES = 1.645
"""Standard deviations on each side: 90 % of a normal distribution, since the trainings that the
figures were taken from are few."""
SOON = (1, 4)
"""More images for which it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What more corrected images of the same kind are going to bring.

    Attributes
    ----------
    images : int
        Original images that were learned from.
    score : float
        AP at an IoU of 0.5 on what was held out.
    """

    images: int
    score: float

    def gain(self, more: int) -> tuple[float, float, float]:
        """Return by how much the score rises with so many more images: low, likely, high."""
        steps = range(self.images + 1, self.images + 1 + more)
        missing = 1 - self.score
        likely = missing * (1 - math.prod(1 - RISE / n for n in steps))
        far = SIDES * SPREAD / math.sqrt(self.images + 1)
        return max(likely - far, -self.score), likely, min(likely + far, missing)

    def sentence(self) -> str:
        """Say it for a biologist."""
        said = []
        for more in SOON:
            low, likely, high = self.gain(more)
            name = "One more corrected image of this kind" if more == 1 else f"{_word(more)} more"
            said.append(f"{name}: score {likely:+.2f} (between {low:+.2f} and {high:+.2f})")
        return "; ".join(said).replace("; Four", "; four") + "."

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        curve = [[more, *(round(g, 4) for g in self.gain(more))] for more in range(1, 9)]
        return {
            "images": self.images,
            "score": round(self.score, 6),
            "more_images_low_likely_high": curve,
            "says": self.sentence(),
        }


def _word(count: int) -> str:
    return {4: "Four"}.get(count, str(count))


def forecast(after: HeldOut, dataset: Dataset) -> Forecast | None:
    """Forecast what more images bring to a network that was trained.

    Parameters
    ----------
    after : HeldOut
        Its scores on what was held out.
    dataset : Dataset
        What it learned from.

    Returns
    -------
    Forecast or None
        None where no objects were held out: nothing was measured for classes.
    """
    images = len({sample.source or str(sample.image) for sample in dataset.of("train")})
    score = after.scores.ap50
    if not images or after.kind != "instance" or not after.scores.n_true or math.isnan(score):
        return None
    return Forecast(images=images, score=score)
