"""Networks of parts, complete or begun: steps, what may be a skip connection, where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["LEVELS", "POOLS", "RESIZINGS", "Answer", "Before", "Join", "State", "Step", "Topology"]

Before = Literal["none", "pool", "resize", "resize-twice", "pool-resize"]
Join = Literal["none", "concat", "add", "gate", "bridge"]


POOLS = ("pool", "pool-resize")
"""What begins with a pooling."""
RESIZINGS: Mapping[str, int] = {"resize": 1, "resize-twice": 2, "pool-resize": 1}
"""How many resizings there are; behind a pooling, an encoder ends and its decoder begins."""
LEVELS: Mapping[str, int] = {
    "none": 0, "pool": 1, "resize": -1, "resize-twice": -2, "pool-resize": 0,
}  # fmt: skip
"""By how many levels the answer goes down before a part runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One part runs.

    Attributes
    ----------
    part : int
        Its place.
    transposed : bool
        Whether it is a transposed convolution.
    before : str
        What happens to the answer so far: ``pool``, ``resize``, ``resize-twice``,
        ``pool-resize`` or ``none``.
    join : str
        How a skip connection comes in.
    skip : int
        Place in the answers of the encoder, 0 is the image; -1: none.
    groups : int
        Of its first convolution.
    stride_one : bool
        Of a transposed convolution: it keeps the size.
    shuffled : bool
        Whether the channels of its answer become pixels of the next finer level.
    keeps, keeps_pooled : bool
        Whether its answer, and what was pooled before it, may be skip connections: they are
        the next of the encoder's answers.
    begins, level : int
        Of a nested network: place of the answer that is taken instead of the last one, and the
        level of that; -1: the last one is taken.
    below : bool
        Whether a gate sees the level below that of its skip connection, where the answer stays.
    row : tuple of int
        Places of more answers that are joined behind the skip connection.
    sees : str
        Of the first step of a second network: what it is shown, the ``answer`` of the one
        before or ``both`` that and the image. Answers are counted anew.
    """

    part: int
    transposed: bool = False
    before: Before = "none"
    join: Join = "none"
    skip: int = -1
    groups: int = 1
    stride_one: bool = False
    shuffled: bool = False
    keeps: bool = False
    keeps_pooled: bool = False
    begins: int = -1
    level: int = -1
    below: bool = False
    row: tuple[int, ...] = ()
    sees: Literal["", "answer", "both"] = ""

    @property
    def rises(self) -> bool:
        """Whether its answer stands at the next finer level than its input."""
        return self.shuffled or (self.transposed and not self.stride_one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an encoder has answered.

    Attributes
    ----------
    channels, level : int
        Its channels, and how often it was halved.
    natural : bool
        Whether a pooling follows it: networks take their skip connections there.
    pooled : bool
        Whether it is the pooled one before it.
    part : int
        What gave it; -1: it is the image.
    """

    channels: int
    level: int
    natural: bool = False
    pooled: bool = False
    part: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A network that is begun; see the module."""

    used: int
    channels: int
    level: int
    answers: tuple[Answer, ...]
    steps: tuple[Step, ...] = ()
    up: bool = False
    limit: int = 10_000
    taken: int = 0
    after_pooling: bool | None = None
    gated: int = -1
    poolings: int = 0
    ups: int = 0
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A complete network.

    Attributes
    ----------
    steps : tuple of Step
        In running order.
    level : int
        Of its last answer: so often is the image still halved.
    cost : float
        As above.
    poolings, skips : int
        How many it has.
    """

    steps: tuple[Step, ...]
    level: int
    cost: float
    poolings: int
    skips: int
