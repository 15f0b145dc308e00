"""Which complete networks are some for images, and what is unusual about them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile

from napari_segnet.programs.structure._blocks import unlike
from napari_segnet.programs.structure._foreign import is_foreign
from napari_segnet.programs.structure._names import DECODER, OUTPUT
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import RESIZINGS, State

__all__ = ["MOST_CHANNELS", "end_cost"]

MOST_CHANNELS = 32
"""No image has more channels."""
MOST_OUTPUTS = 256
"""No segmentation has more classes (ADE20K has 150)."""
WIDENED = 3.0
"""Of two blocks of several convolutions before the first pooling, the second of which makes more
channels: of 68 definitions of public repositories (November 2026) none has them."""


def end_cost(parts: Sequence[Part], state: State, flat: bool, says_out: bool) -> float | None:
    """Return what is unusual about a complete network; None: it is none for images.

    Parameters
    ----------
    parts : sequence of Part
        All of it.
    state : State
        In which every part has run.
    flat : bool
        Whether nothing is pooled, by the strides.
    says_out : bool
        Whether a part has the name of an output.
    """
    last = parts[state.steps[-1].part]
    if state.level > (2 if state.ups else 1) or state.channels > MOST_OUTPUTS:
        return None
    if state.gated >= 0 or (state.taken and not state.poolings and not flat):
        return None  # a skip connection joins levels
    risen = pairwise(state.steps)
    if any(one.shuffled and two.join != "concat" for one, two in risen):
        return None  # networks that enlarge images shuffle pixels, too
    if state.steps[-1].shuffled or is_foreign(parts, state):
        return None
    bare = not state.taken and not any(one.transposed for one in state.steps)
    # In a decoder that begins with its resizing, one pixel of a last convolution gives classes.
    pixel = bool(last.units) and max(last.units[-1].kernel) == 1
    classes = last.role == DECODER and bool(state.ups) and pixel
    classes &= any(parts[one.part].lead > 0 and one.before in RESIZINGS for one in state.steps)
    says = last.role == OUTPUT or classes
    if bare and state.channels > MOST_CHANNELS and not says:
        return None  # a backbone alone
    wider = state.channels > max(MOST_CHANNELS, last.first.inputs(False))
    if wider and not says:
        return None  # as many as stand before a rearrangement to more pixels
    if not state.ups and any((part.gap or 0) > 1 for part in parts):
        return None  # poolings without a way back: a classifier of convolutions
    cost = (2.5 if state.ups else 1.2) * state.level + 2.0 * max(
        0, state.taken - state.ups - state.level
    )
    naturals = sum(one.natural for one in state.answers[1:])
    naturals -= bool(state.after_pooling and naturals)  # the last pooled one is the bottom
    if naturals and not state.taken:
        cost += 1.4
    elif naturals > state.taken:
        cost += 2.0 * (naturals - state.taken)
    if not state.poolings and not flat:
        cost += 2.0
    if last.role != OUTPUT and says_out:
        cost += 2.0
    cost += WIDENED * _widens_unpooled(parts, state)
    return cost + unlike(parts, state.steps)


def _widens_unpooled(parts: Sequence[Part], state: State) -> bool:
    """Tell if blocks of several convolutions make more and more channels before anything pools."""
    whole = takewhile(lambda step: step.before == "none", state.steps)
    blocks = [parts[step.part] for step in whole if not step.transposed]
    wide = [part.outputs(False) for part in blocks if len(part.units) > 1]
    return bool(state.poolings) and any(one < two for one, two in pairwise(wide))
