"""What a file turns out to be, and what it may be as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.checkpoint import Checkpoint

__all__ = ["Possible", "Recognised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """One network that a file may be.

    Attributes
    ----------
    checkpoint : Checkpoint
        It.
    choices : mapping of str to str
        What is told to ``identify`` to have it: each open fact and its value. Empty where it is
        what is found without being told anything.
    differs : str
        What sets it apart from the others, in words.
    score : float
        Natural logarithm of how often networks are made so; 0 where that was not counted.
    """

    checkpoint: Checkpoint
    choices: Mapping[str, Any]
    differs: str
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a file is, as far as it can be known.

    Attributes
    ----------
    checkpoint : Checkpoint
        The first of all networks that it may be. Its notes say what was decided, and what is
        assumed.
    candidates : tuple of Possible
        The networks between which nothing in the file decides, up to three, in their joint
        order; the first is ``checkpoint``. Empty where there is no other.
    says : str
        What was found, in a sentence or two.
    inputs : mapping of str to float
        Value of the setting ``normalize`` -> divergence in nats, best first; empty where the file
        holds no statistics.
    """

    checkpoint: Checkpoint
    candidates: tuple[Possible, ...] = ()
    says: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)
