"""The curves of a training: loss, and the score of what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_segnet.widgets.qt.plot import Line

if TYPE_CHECKING:
    from napari_segnet.train import Forecast

__all__ = ["curves", "learning_curve"]

SCORES = (("val_ap50", "AP 50"), ("val_dice", "Dice"))
"""Of the held-out part after each epoch; the first that is there is drawn."""
MORE_IMAGES = 8
"""So many are forecast: as in the JSON of the command line."""


def curves(epochs: Sequence[Mapping[str, float]]) -> list[Line]:
    """Return the lines that are drawn of some epochs."""
    x = [one["epoch"] for one in epochs]
    names = [("train_loss", "loss", False), ("val_loss", "loss, held out", False)]
    score = next((s for s in SCORES if any(s[0] in one for one in epochs)), None)
    names += [(score[0], score[1], True)] if score is not None else []
    return [
        Line(
            name=title,
            x=x,
            y=[one.get(key, float("nan")) for one in epochs],
            right=right,
            mark=True,
        )
        for key, title, right in names
        if any(key in one for one in epochs)
    ]


def learning_curve(forecast: Forecast) -> list[Line]:
    """Return what the score is likely to be with more corrected images, and between what."""
    ways = [(more, forecast.gain(more)) for more in range(MORE_IMAGES + 1)]
    low, likely, high = ([forecast.score + gain[end] for _, gain in ways] for end in range(3))
    x = [float(forecast.images + more) for more, _ in ways]
    # What was measured is known; how far it is from the truth, the table above says.
    band = ([forecast.score, *low[1:]], [forecast.score, *high[1:]])
    return [Line(name="likely score", x=x, y=likely, mark=True, band=band)]
