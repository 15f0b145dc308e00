"""Layers that never ran: a norm behind them is as it began, while others were trained.

A network may register layers that its forward never calls. They have a place in no network, but
shapes do not tell. Where a norm belongs to one, its running mean and variance do: each batch of
the training changes those of a norm that runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from napari_segnet.containers import TensorRef
from napari_segnet.programs.structure._units import Unit

__all__ = ["idle_norms", "that_ran"]

MEAN, VARIANCE = "running_mean", "running_var"


def idle_norms(tensors: Mapping[str, TensorRef]) -> frozenset[str]:
    """Return the names of norms that never ran.

    Empty where as many norms or more are as they began: then the statistics of the file say
    nothing, such as those of a network that was never trained, or with frozen norms.

    Parameters
    ----------
    tensors : mapping of str to TensorRef
        Of the file.
    """
    names = [key.rpartition(".")[0] for key in tensors if key.endswith(f".{MEAN}")]
    whole = [one for one in names if f"{one}.{VARIANCE}" in tensors]
    idle = [one for one in whole if _begins(tensors, one)]
    return frozenset(idle) if 2 * len(idle) < len(whole) else frozenset()


def _begins(tensors: Mapping[str, TensorRef], name: str) -> bool:
    """Tell if the statistics of a norm are those with which PyTorch makes it: 0 and 1."""
    mean, variance = tensors[f"{name}.{MEAN}"], tensors[f"{name}.{VARIANCE}"]
    if not (mean.readable and variance.readable):
        return False
    return bool((mean.load() == 0).all()) and bool((variance.load() == 1).all())


def that_ran(units: Sequence[Unit], idle: Collection[str], alone: bool) -> tuple[Unit, ...]:
    """Return the units whose norms ran, and those without one.

    ``alone``: whether of the others the norms alone never ran. That of the last convolution, which
    gives the answer, is always taken for such a norm; so is one in a ``Sequential`` beside others
    that ran, as a ``Sequential`` runs all that it holds.
    """
    ran = {unit.layer.name for unit in units if unit.norm is None or unit.norm.name not in idle}
    found = []
    for unit in units:
        if unit.norm is None or unit.norm.name not in idle:
            found.append(unit)
        elif alone or unit is units[-1] or _stands_between(unit.layer.name, ran):
            # That it lacks the norm of the others is no sign of a transposed convolution.
            found.append(replace(unit, norm=None, ways=(False,) if False in unit.ways else (True,)))
    return tuple(found)


def _stands_between(name: str, others: Collection[str]) -> bool:
    """Tell if a layer is in a numbered element, and one of others in an element beside it."""
    words = name.split(".")
    places = [at for at, word in enumerate(words) if word.isdecimal() and at]
    around = [(words[:at], words[at]) for at in places]
    split = [one.split(".") for one in others]
    return any(
        one[: len(held)] == held and one[len(held)].isdecimal() and one[len(held)] != number
        for held, number in around
        for one in split
        if len(one) > len(held)
    )
