"""Weights without a description of their network: read by the order of their layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Tree
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.programs.keras._checkpoint import described
from napari_segnet.programs.keras._drawing import Facts
from napari_segnet.programs.keras._facts import grid_of, version_of
from napari_segnet.programs.keras._model import NotReadable
from napari_segnet.programs.keras._ordered import ordered_layers
from napari_segnet.programs.keras._space import OrderedSpace

__all__ = ["described_by_order", "space_of"]


def space_of(tree: Tree) -> OrderedSpace:
    """Return all networks that bare weights of Keras can be.

    Raises
    ------
    NotReadable
        If their layers do not stand in order, or are not those of a network that is known.
    """
    metadata = tree.metadata
    version = version_of(tree, {})
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    if not metadata["ordered"]:
        raise NotReadable("the file does not list its layers in their order")
    if numbers[:1] == (1,) or metadata["backend"] == "theano":
        raise NotReadable("Keras 1 and Theano do not say how kernels lie in weights alone")
    facts = Facts(
        version=numbers,
        major=numbers[0] if numbers else 2,
        grid="half-pixel" if grid_of(numbers, version)[0] == "half-pixel" else "asymmetric",
    )
    return OrderedSpace(ordered_layers(metadata["layers"], tree.root), facts)


def described_by_order(
    tree: Tree, path: Path, overrides: Mapping[str, Any], refusal: UnsupportedWeightsError
) -> Checkpoint:
    """Return the likeliest network; what leaves no trace is assumed, and can be told.

    Raises
    ------
    UnsupportedWeightsError
        The refusal, with the reason, where the order of the layers does not say the network.
    SettingsError
        If something is told that the file does not leave open.
    """
    try:
        space = space_of(tree)
        _check(overrides, space)
        overrides = {name: str(value).strip().lower() for name, value in overrides.items()}
        (layout,) = space.layouts
        candidate = space.candidate(layout, overrides)
        choices = {name: candidate.choices[name] for name in space.open}
        draw, graph, model = space.draw(choices)
        found = described(path, tree, graph, draw, model, space.outputs(choices))
    except NotReadable as error:
        first, rest = str(refusal).split(". ", 1)
        raise UnsupportedWeightsError(f"{first}; from their order, {error}. {rest}") from error
    known = {
        name: Known(source="told", why="by the user")
        if name in overrides
        else Known(source="assumed", why=candidate.why[name])
        for name in choices
    }
    known["graph"] = Known(source="assumed", why=candidate.why["layout"])
    known["outputs"] = known["output_activation"]
    by_order = Known(source="read", why="the file lists its layers in their order")
    return replace(
        found,
        program="keras",
        hparams={**found.hparams, **choices},
        known={**found.known, "family": by_order, "program": by_order, **known},
    )


def _check(overrides: Mapping[str, Any], space: OrderedSpace) -> None:
    for name, value in overrides.items():
        can = space.open.get(name)
        if can is None:
            raise SettingsError(
                f"These weights of Keras have nothing called {name}. What can be told of them: "
                f"{', '.join(space.open)}."
            )
        if str(value).strip().lower() not in can:
            raise SettingsError(
                f"{name} must be {' or '.join(can)}, not {value!r}. Correct the setting."
            )
