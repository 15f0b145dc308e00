"""What no network for images does, though its channels close.

Classifiers of convolutions, detectors and networks for two images hold nothing but convolutions.
Some graph of an encoder and a decoder may close over them; it then does what those never do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import RESIZINGS, State, Step

__all__ = ["is_foreign"]

TWO = 2
"""So many skip connections show that all of them come from two towers."""


def is_foreign(parts: Sequence[Part], state: State) -> bool:
    """Tell if a complete network does what no network for images does.

    Parameters
    ----------
    parts : sequence of Part
        Of the file.
    state : State
        Complete.
    """
    return _widens(parts, state) or _sees_again(state) or _sees_two(parts, state)


def _rises(step: Step) -> bool:
    return step.transposed or step.shuffled or step.before in RESIZINGS


def _widens(parts: Sequence[Part], state: State) -> bool:
    """Tell if a network without skip connections is widest behind a resizing.

    What an encoder brings up grows narrower on the way to the answer. A classifier grows wider to
    its end: one of its poolings would have to be a resizing.
    """
    if state.taken:
        return False
    first = next((at for at, step in enumerate(state.steps) if _rises(step)), 0)
    wide = [parts[step.part].outputs(step.transposed) for step in state.steps]
    resized = any(step.before in RESIZINGS for step in state.steps)
    return resized and bool(first) and max(wide[first:-1], default=0) > max(wide[:first])


def _sees_again(state: State) -> bool:
    """Tell if an answer is joined with the image without other skip connections, or pooled.

    The image itself is joined at the finest level of a decoder that is joined at coarser ones.
    """
    images = [one for one, answer in enumerate(state.answers) if answer.part < 0]
    joined = [step.skip for step in state.steps if step.join == "concat" and step.skip in images]
    return any(state.answers[one].pooled or not state.taken for one in joined)


def _sees_two(parts: Sequence[Part], state: State) -> bool:
    """Tell if each skip connection is twice as wide as what rises to it, from no bottleneck.

    So it looks where the decoder takes the answers of one encoder to two images: what rises has the
    width of each of them. One skip connection of both widths would come from the level below, which
    is then pooled once more without any convolution there.
    """
    joins: list[tuple[int, int]] = []
    for before, step in pairwise(state.steps):
        if step.join == "concat" and step.skip > 0:
            risen = parts[before.part].outputs(before.transposed)
            joins.append((risen, state.answers[step.skip].channels))
    bare = any(step.transposed and step.before == "pool" for step in state.steps)
    twice = all(skip == 2 * risen for risen, skip in joins)
    return bare and len(joins) >= TWO and twice
