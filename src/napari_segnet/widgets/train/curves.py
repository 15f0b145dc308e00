"""The curves of a training: loss, and the score of what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_segnet.widgets.qt.plot import Line

__all__ = ["curves"]

SCORES = (("val_ap50", "AP 50"), ("val_dice", "Dice"))
"""Of the held-out part after each epoch; the first that is there is drawn."""


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
