"""What a program answers with: a map, also where its pixels stand in one row."""

from __future__ import annotations

from napari_segnet.programs._evaluate._drawing import Drawing
from napari_segnet.programs._evaluate._values import Value

__all__ = ["answered"]


def answered(draw: Drawing, value: Value) -> str:
    """Return the node of the map that a program answers with.

    Programs list pixels for their loss: ``(images * pixels, channels)`` or ``(images, channels,
    pixels)``. Such a view of a map holds its numbers, and is answered with the map.

    Parameters
    ----------
    draw : Drawing
        The graph so far.
    value : Value
        The answer.

    Raises
    ------
    NotReadable
        If it is no map, nor a list of the pixels of one in their order.
    """
    listed = len(value.axes) < draw.ndim + 2 and draw.is_map(value.node)
    if listed and _is_in_order(draw, value):
        return value.node
    return draw.as_map(value)


def _is_in_order(draw: Drawing, value: Value) -> bool:
    """Tell if whole axes of a map are merged, its images and pixels in their order."""
    atoms = [atom for axis in value.axes for atom in axis]
    if any(atom.parent is not None for atom in atoms):
        return False
    places = [atom.base for atom in atoms]
    base = draw.bases[value.node]
    gone = set(range(len(base))) - set(places)
    if any(not axis or not draw.probes.equal(base[axis].lengths, 1) for axis in gone):
        return False
    spots = [place for place in places if place != 1]
    return spots == sorted(spots) and len(spots) == len(set(spots))
