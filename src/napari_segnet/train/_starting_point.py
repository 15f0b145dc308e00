"""What was tried before a training, and what is offered: each with its score, in words and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_segnet.card import AVERAGES, averaging_times
from napari_segnet.train._comparison import Comparison
from napari_segnet.train._gate import HeldOut
from napari_segnet.train.settings import TrainSettings

__all__ = ["SETTINGS", "OtherNetwork", "StartingPoint", "TriedWay"]

GOOD = 0.8
"""A score from which on a training often brings little: the built-in network has 0.8 on images of
the kind that it was trained on (docs/how-many.md)."""
BRIGHTNESS = {
    "percentile": "brightness stretched between its darkest and brightest percent (percentile)",
    "min-max": "brightness stretched between the darkest and the brightest pixel (min-max)",
    "z-score": "brightness centred on its mean (z-score)",
    "divide-255": "brightness as it is in the file (divide-255)",
    "divide-65535": "brightness as it is in the file (divide-65535)",
}
SETTINGS = ("invert", "channels", "scale", "normalize")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedWay:
    """One way to show the corrected images, and what the network makes of them.

    Attributes
    ----------
    changes : mapping of str to str or float
        The settings in which it differs from those that were given; empty for these themselves.
    held : HeldOut
        Scores of all corrected objects.
    """

    changes: Mapping[str, str | float]
    held: HeldOut

    @property
    def score(self) -> float:
        """AP at an IoU of 0.5 for objects, Dice for classes: 0 to 1."""
        scores = self.held.scores
        return scores.ap50 if self.held.kind == "instance" else scores.dice

    @property
    def title(self) -> str:
        """What is changed, for a biologist."""
        how = str(self.changes.get("normalize"))
        larger = float(self.changes.get("scale", 1.0)) < 1
        return self._named(
            "objects enlarged" if larger else "objects made smaller",
            BRIGHTNESS.get(how, f"normalised by {how}"),
        )

    @property
    def short(self) -> str:
        """The same in a few words, for a table."""
        return self._named("", str(self.changes.get("normalize")))

    def _named(self, size: str, brightness: str) -> str:
        if not self.changes:
            return "as they are now"
        words = {
            "invert": "inversion" if self.changes.get("invert") == "yes" else "no inversion",
            "channels": f"channel {self.changes.get('channels')}",
            "scale": f"scale {self.changes.get('scale')}" + (f" ({size})" if size else ""),
            "normalize": brightness,
            **{name: f"also {AVERAGES[name][0]}" for name in AVERAGES},
        }
        return ", ".join(words[name] for name in words if name in self.changes)

    @property
    def pairs(self) -> str:
        """What is to be set, as on the command line; empty where nothing is."""
        return " ".join(f"{name}={value}" for name, value in self.changes.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherNetwork:
    """Another network with a higher score on the corrected images, without a training.

    Attributes
    ----------
    name : str
        Of a built-in network, as ``identify`` takes it.
    way : TriedWay
        Its scores, with the settings of its card; it has no changes.
    comparison : Comparison
        It against the network that was chosen, with the settings that are offered.
    """

    name: str
    way: TriedWay
    comparison: Comparison

    @property
    def is_certain(self) -> bool:
        """Whether it is better by more than chance."""
        return self.comparison.verdict == "better"

    def sentence(self) -> str:
        """Say it for a biologist."""
        if not self.is_certain:
            now, other = self.comparison.before[1], self.comparison.after[1]
            return (
                f"The built-in network {self.name} has a higher score without a training, "
                f"{other:.2f} instead of {now:.2f}, but this may be chance: it is better with a "
                f"probability of {self.comparison.chance:.0%}. More corrected objects would tell."
            )
        low, _, high = self.comparison.after
        return (
            f"The built-in network {self.name} has a score of {self.way.score:.2f} (between "
            f"{low:.2f} and {high:.2f}) without a training: begin with it."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPoint:
    """What the untrained network makes of the corrected objects, shown in several ways.

    Attributes
    ----------
    ways : tuple of TriedWay
        The best first; of equal ones that with the fewest changes.
    now, chosen : TriedWay
        The settings that were given, and what is offered instead: each of its changes is better
        by more than chance, however many were tried. The same where nothing is.
    comparison : Comparison or None
        What is offered against now; None where nothing is.
    averaged : TriedWay or None
        The way that is offered, where the network also runs on mirrored images and at half the
        size and the outputs are averaged; None where that is not better by more than chance, or
        was not tried. A training needs none of it: it decides by its own settings.
    other : OtherNetwork or None
        The best of the other networks, where its score is higher than that of what is offered.
    given : mapping of str to str or float
        The settings that were given, in which all ways are shown where they do not differ.
    """

    ways: tuple[TriedWay, ...]
    now: TriedWay
    chosen: TriedWay
    comparison: Comparison | None
    averaged: TriedWay | None = None
    other: OtherNetwork | None = None
    given: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def untrained(self) -> TriedWay:
        """The best way to run the network without a training."""
        return self.averaged or self.chosen

    @property
    def best(self) -> float:
        """The score of the best that can be had without a training."""
        other = self.other.way.score if self.other is not None and self.other.is_certain else 0.0
        return max(self.untrained.score, other)

    @property
    def for_a_run(self) -> Mapping[str, str | float]:
        """All settings of that way, those that were given as well: what a run is to be told."""
        return {**self.given, **self.untrained.changes}

    @property
    def input_of_a_run(self) -> Mapping[str, str | float | None]:
        """The same with the usual values of all others, which undo what was set before."""
        usual = {"invert": "auto", "channels": "auto", "scale": None, "normalize": "auto"}
        return {**usual, **self.for_a_run}

    @property
    def offered(self) -> bool:
        """Whether another way than that of now is offered."""
        return self.chosen is not self.now

    def taken(self, settings: TrainSettings) -> TrainSettings:
        """Return the settings of a training with those of the way that is offered."""
        changes: Any = dict(self.chosen.changes)
        return replace(settings, **changes)

    @staticmethod
    def as_its_card_says(settings: TrainSettings) -> TrainSettings:
        """Return the settings of a training that begins with the other network instead."""
        usual: Any = {name: getattr(TrainSettings(), name) for name in SETTINGS}
        return replace(settings, **usual)

    def sentence(self) -> str:
        """Say it for a biologist."""
        held = self.now.held
        what = "score" if held.kind == "instance" else "Dice"
        on = f"{held.scores.n_true} corrected objects" if held.kind == "instance" else "your labels"
        said = [f"Before any training, on {on}: {what} {self.now.score:.2f} as they are shown now"]
        if self.comparison is not None:
            low, _, high = self.comparison.after
            said[0] += (
                f", {self.chosen.score:.2f} (between {low:.2f} and {high:.2f}) with "
                f"{self.chosen.title}."
            )
        else:
            said[0] += "; no other settings are significantly better."
        if self.averaged is not None:
            ways = " and ".join(AVERAGES[n][0] for n in AVERAGES if n in self.averaged.changes)
            times = averaging_times(self.averaged.changes)
            said.append(
                f"If the network also runs {ways}, and the outputs are averaged: "
                f"{self.averaged.score:.2f}, in {times:g} times the time."
            )
        if self.other is not None:
            said.append(self.other.sentence())
        if self.best >= GOOD:
            said.append("This is a good score: training is often unnecessary.")
        return " ".join(said)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "objects": self.now.held.scores.n_true,
            "offered": dict(self.chosen.changes),
            "averaged": None if self.averaged is None else dict(self.averaged.changes),
            "good": self.best >= GOOD,
            "other_network": None if self.other is None else _as_json(self.other),
            "says": self.sentence(),
            "ways": [{"set": dict(way.changes), "score": _number(way.score)} for way in self.ways],
            "comparison": None if self.comparison is None else self.comparison.to_json(),
        }


def _as_json(other: OtherNetwork) -> dict[str, Any]:
    return {
        "name": other.name,
        "score": _number(other.way.score),
        "certain": other.is_certain,
        "comparison": other.comparison.to_json(),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
