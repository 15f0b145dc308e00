"""How much better a choice must fit before it counts as decided."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AGAINST",
    "FAIR",
    "LIKELIER",
    "MARGINS",
    "ODD",
    "OF_ALL",
    "PAIRS",
    "SPEAKS",
    "UNCERTAIN",
    "UNPROVEN",
    "is_provable",
    "margin_of",
]

MARGINS: Mapping[str, float] = {
    "layout": 0.4,
    "join": 0.2,
    "skip": 0.3,
    "up_activation": 0.2,
    "norm_place": 0.3,
    "activation": 0.45,
    "pooling": 0.5,
    "resize": 0.2,
    "padding": 0.2,
    "dilation": 0.5,
    "epsilon": 0.2,
    "residual": 0.4,
}
"""Logarithm of the ratio of divergences, see ``margin``, by name of the choice.

Set on every second of 60 random networks with batch norms (``tests/support/unets``, seeds 20000
to 20099), held-out kinds among them, with all else as in the truth, on pictures that count by
shares (``_matched.py``). There the largest lead of a wrong value was: join, norm_place and residual
none (the truth leads by 0.33, 1.6 and 0.33 at least), up_activation 0.07, pooling 0.15, activation
0.18 (a slope of 0.01 aside), resize 0.01, padding 0.09, dilation 0.24. Beside a wrong topology they
may lead by more, see UNCERTAIN. Of a copy with one dilated layer no dilation led by 0.36, so 0.5 is
asked. A wrong topology led by 0.38 at most in 75 others (seeds 8000 to
8139), shown pictures that count alike. ``skip`` was not measured: it is set beside join.
"""
USUAL = 0.5
"""For a choice that is not named: the largest of those that are."""
PAIRS = (("join", "up_activation"), ("join", "resize"), ("skip", "pooling"))
"""Choices that may make up for one another: each is judged beside the best of the other."""
FAIR = 0.2
"""Nats. Where even the better value is so far from the file's numbers at the norms that tell it
from the other, something else is wrong there, and twice the margin is asked: of seven real
networks one was told a wrong join by 0.27 against 0.33."""
LIKELIER = 5.0
"""Logarithm, of ``gain``. Where something is otherwise that is on no list, one value makes up for
it better than the other in a few channels by chance. Of networks with a step that no tensor shows
(see *Edits that leave no trace* in ``docs/bare-files.md``) a wrong join led by 0.59 with a gain of
1.4, a wrong ReLU behind the step up by 0.46 with -0.1; true ones that lead by the margin gain 5.9
or more (twelve networks of the seeds 248100 to 248154)."""
AGAINST = -2.0
"""The same, of the norm that speaks least for a value: where one speaks against it, something is
otherwise there. In true networks the least is -0.9 (the same twelve); where a join is exchanged at
one level alone it is -4 to -23 (eleven networks)."""
SPEAKS = 0.25
"""The same, where a value is said of all layers alike: each norm has to tell. Of a network that
reflects in its first layer alone, zeros led by 0.25 with a gain of 7, and its first norm is silent;
true ones have 0 to 0.7."""
UNCERTAIN = 0.07
"""Nats, of ``Fit.late``. Where even the best network is so far from the file's numbers, the true
one is not among those that were tried, and nothing is decided. Of 76 random networks the true one
was 0.05 away at most, 99 of 100 below 0.03; of six real ones four below 0.06 and two, one with
shortcuts, at 0.25 and 0.40: of these nothing is decided. Wrong topologies that had led to wrong
decisions: 0.08 to 0.27."""
POOR = 0.035
"""Nats, of ``Fit.late``. Where the best network fits no better, some weak choice of it may be
wrong, and one may make up for another. Twice the margin is asked there, except of STRONG choices,
whose wrong values led by 0.07 at most where all else is true."""
STRONG = ("layout", "join", "norm_place", "up_activation")
ODD = 0.15
"""Nats, of ``Fit.worst``: a single layer is made otherwise than the others. What is said of all
layers alike is then not decided. Of 76 random networks no true one is beyond 0.141."""
UNPROVEN = (
    *(("padding", value) for value in ("reflect", "reflect-down", "replicate", "valid")),
    *(("epsilon", value) for value in ("0.001", "0.0001")),
)
"""Values that fit better than all others in the list where something that is not in it is true:
a copy that pads in a circle was told to reflect by 0.43, and a network with a large first kernel to
have no paddings (seed 120148). Channels that were silent in training, and are not on other
pictures, are divided by the root of epsilon alone: a larger one quiets them (seed 220103)."""
PLAIN: Mapping[str, tuple[str, ...]] = {
    "activation": (),
    "encoder_activation": (),
    "residual": ("none",),
}
"""Choices with more values than any list -> those of them that may be decided. A CELU fits as an
ELU does, a sine as no activation at all, Hardswishes on the way down as SiLUs on both, and a sum
that is taken elsewhere as one of those that were tried: the nearest value proves nothing. A ReLU6
cuts what other pictures make larger than those of the training did: a public network with a ReLU
before each norm was told one."""
OF_ALL = ("activation", "pooling", "padding", "dilation", "resize", "epsilon")
"""Choices that are said of all layers alike."""


def is_provable(name: str, value: str) -> bool:
    """Tell if statistics may decide a value: not where what is on no list may be like it."""
    return (name, value) not in UNPROVEN and value in PLAIN.get(name, (value,))


def margin_of(name: str, late: float = 0.0) -> float:
    """Return the margin by which a value of a choice must fit better than another.

    ``late``: that of the better network, in nats, see ``Fit``.
    """
    least = MARGINS.get(name, USUAL)
    return least if late < POOR or name in STRONG else 2 * least
