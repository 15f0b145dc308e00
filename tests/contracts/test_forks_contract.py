"""Forks with the names of a known family: never silently wrong.

From a state dict whatever differs is on the card as assumed, and telling it gives the fork's own
maps. From a whole pickled module maps are right without telling, or it is refused by name; what
only code decides (the join) stays assumed.
"""

from __future__ import annotations

import functools

import pytest
import torch
from support.forks import FORKS
from support.networks import assemble, calibrate, pictures, weights_of

from napari_segnet.containers import open_weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families import FAMILIES, GraphFamily
from napari_segnet.graph import receptive_field

BY_NAME = {family.name: family for family in FAMILIES}
CASES = [
    pytest.param(name, number, id=f"{name}: {fork} {number}")
    for name, forks in FORKS.items()
    for number, fork in enumerate(forks)
]
CODE = {"join": "the order of the join", "activation": "a function at the end"}
"""What no layer shows: only the code of the forward."""


@functools.cache
def network(name, number):
    """Return the fork, calibrated as published and changed afterwards: the same tensors."""
    fork = FORKS[name][number]
    torch.manual_seed(number)
    module = calibrate(fork.make(), seed=5)
    fork.change(module)
    return fork, module.eval()


def answers(family, checkpoint, weights, batch):
    with torch.inference_mode():
        raw = family.maps(assemble(family, checkpoint, weights), batch)
        for output in checkpoint.outputs:
            if output.activation == "sigmoid":
                raw = raw.sigmoid()
            elif output.activation == "softmax":
                raw = raw.softmax(1)
            elif output.activation == "tanh":
                raw = raw.tanh()
    return raw


def expected(fork, module, checkpoint, batch):
    """Return the fork's own answer, with the activation that its user puts behind it."""
    with torch.inference_mode():
        answer = module(batch)
    inside = hasattr(module, "end") or checkpoint.family == "mateuszbuda-unet"
    for output in checkpoint.outputs:
        if not inside and output.activation != "none":
            answer = answer.sigmoid() if output.activation == "sigmoid" else answer.softmax(1)
    return answer


def same(one, other):
    return one.shape == other.shape and float((one - other).abs().max()) < 1e-4


@pytest.mark.sample(30)
@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_state_dict_says_what_is_assumed_and_is_right_once_told(name, number):
    family, (fork, module) = BY_NAME[name], network(name, number)
    weights = weights_of(module)
    plain = family.describe(weights, {})
    if fork.told is None:  # nothing to tell it by: refused as a whole module only
        return
    for hparam in fork.told:
        assert plain.known[hparam].source == "assumed", hparam
    checkpoint = family.describe(weights, fork.told)
    batch = pictures(1, checkpoint.channels, fork.size, seed=2)
    assert same(
        answers(family, checkpoint, weights, batch), expected(fork, module, checkpoint, batch)
    )
    assert all(checkpoint.known[n].source == "told" for n in fork.told)
    assert isinstance(family, GraphFamily)
    assert receptive_field(family.graph(checkpoint)) is not None


@pytest.mark.sample(30)
@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_pickled_module_is_right_or_refused_by_name(name, number, tmp_path):
    family, (fork, module) = BY_NAME[name], network(name, number)
    path = tmp_path / "whole.pth"
    torch.save(module, path)
    (weights,) = open_weights(path)
    if fork.refused:
        with pytest.raises(UnknownNetworkError, match=fork.refused):
            family.describe(weights, {})
        return
    assert fork.told is not None
    words = {n: v for n, v in fork.told.items() if n in CODE}
    checkpoint = family.describe(weights, {})
    seen = hasattr(module, "end")
    for hparam in words:
        assert seen or checkpoint.known[hparam].source == "assumed"
    for hparam in fork.told.keys() - words.keys():
        assert checkpoint.known[hparam].source == "read", hparam
    if not seen:
        checkpoint = family.describe(weights, words)
    batch = pictures(1, checkpoint.channels, fork.size, seed=2)
    assert same(
        answers(family, checkpoint, weights, batch), expected(fork, module, checkpoint, batch)
    )
