"""From what tensors show to all hyper-parameters of a U-Net, and the sizes that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Known, Size
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.facts import refusal
from napari_segnet.families.kit.hparams import Choice, settle
from napari_segnet.families.kit.pickled_layers import layers_say, require_layers
from napari_segnet.graph import Graph, sizes

__all__ = ["GEOMETRY", "settle_kinds", "size_of_kinds"]

GEOMETRY = ("pooling", "padding_mode", "dilation", "padding", "upsampling")
"""Hyper-parameters on which sizes may depend."""


def settle_kinds(
    draw: Callable[[Mapping[str, Any]], Graph],
    choices: tuple[Choice, ...],
    read: Mapping[str, Any],
    weights: Weights,
    overrides: Mapping[str, Any],
    title: str,
    in_file: Callable[[str], str] = str,
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Join what shapes show with what a whole module's layers say, and see that all of them fit.

    Parameters
    ----------
    draw : callable
        Hyper-parameters -> the network.
    choices, read, weights, told, title
        As in ``settle``.
    in_file : callable
        Key of the module -> its name in this file.

    Raises
    ------
    UnknownNetworkError
        Naming a layer of a pickled module that the network has not.
    SettingsError
        As ``settle``.
    """
    if not weights.layers:
        return settle(choices, read, weights, overrides, title)
    usual = {**read, **{choice.name: choice.default for choice in choices}}
    names = [choice.name for choice in choices]
    try:
        layers = layers_say(weights, draw(usual), title, in_file, names)
        for choice in choices:
            value = layers.get(choice.name)
            if value is not None and choice.parsed(value) is None:
                raise refusal(
                    weights, title, f"its layers have {choice.name} {value}, not {choice.can}"
                )
        hparams, known = settle(choices, read, weights, overrides, title, layers)
        require_layers(weights, draw(hparams), title, in_file)
    except ValueError as error:  # widths that do not make a network
        raise refusal(weights, title, f"it cannot be built ({error})") from error
    return hparams, known


def size_of_kinds(usual: Size, graph: Graph, hparams: Mapping[str, Any]) -> Size:
    """Return the sizes of a network some of whose layers are not the usual ones.

    Raises
    ------
    SettingsError
        If it takes no size at all.
    """
    found = sizes(graph)
    if found is None:
        names = ", ".join(f"{n}={hparams[n]}" for n in GEOMETRY if n in hparams)
        raise SettingsError(
            f"A network with {names} takes no image up to 8192 pixels, or answers at another "
            "size. Tell what it really has, or leave it out."
        )
    if hparams["pooling"] == "max-3x3" and not any(found.loss):
        # Its windows keep an odd last pixel; joins fit where there is none.
        lengths = zip(found.minimum, usual.stride, strict=True)
        least = tuple(-(-n // step) * step for n, step in lengths)
        return replace(
            found,
            minimum=least,
            multiple=usual.stride,
            stride=usual.stride,
            remainder=(0,) * len(least),
        )
    return found
