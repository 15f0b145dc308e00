"""Norms that a module registers before its convolutions: ``bn1, bn2, conv1, conv2``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._names import numbers

__all__ = ["with_norms_behind"]

LEAST = 2
"""One norm before one convolution may run before it; of these in a row no more than one may."""


def with_norms_behind(layers: Sequence[StoredLayer]) -> tuple[StoredLayer, ...]:
    """Return layers with such norms behind the convolutions of their numbers.

    So it is done where two norms or more stand in a row in a module, and each has the channels that
    the convolution of its number there gives; others stay where they are.
    """
    moved: dict[str, list[StoredLayer]] = {}
    for row in _rows(layers):
        pairs = [(norm, _numbered(layers, norm)) for norm in row]
        if len(row) >= LEAST and all(_fits(norm, one) for norm, one in pairs):
            for norm, one in pairs:
                moved.setdefault(one.name if one else "", []).append(norm)
    late = {norm.name for norms in moved.values() for norm in norms}
    found = [
        one
        for layer in layers
        if layer.name not in late
        for one in (layer, *moved.get(layer.name, ()))
    ]
    return tuple(replace(one, place=place) for place, one in enumerate(found))


def _rows(layers: Sequence[StoredLayer]) -> list[list[StoredLayer]]:
    """Return norms that are registered one behind the other in one module, by name."""
    rows: list[list[StoredLayer]] = []
    before: StoredLayer | None = None
    for layer in layers:
        own = layer.kind == "norm" and layer.number is None
        if own and before is not None and before.parent == layer.parent:
            rows[-1].append(layer)
        elif own:
            rows.append([layer])
        before = layer if own else None
    return rows


def _numbered(layers: Sequence[StoredLayer], norm: StoredLayer) -> StoredLayer | None:
    """Return the convolution behind a norm that has its number, in its module."""
    return next(
        (
            one
            for one in layers
            if one.kind == "convolution"
            and one.place > norm.place
            and one.parent == norm.parent
            and numbers(one.name) == numbers(norm.name) != ()
        ),
        None,
    )


def _fits(norm: StoredLayer, one: StoredLayer | None) -> bool:
    return one is not None and one.weight[0] == norm.width
