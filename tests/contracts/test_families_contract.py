"""What every family of networks must do, run over its examples in ``tests/support/examples.py``."""

from __future__ import annotations

import dataclasses
import functools
import pickle

import pytest
import torch
from support.examples import EXAMPLES, Example
from support.networks import assemble, calibrate, pictures, weights_of

from napari_segnet.card import card_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families import FAMILIES, GraphFamily, MapFamily
from napari_segnet.programs import UNASKED_COPY
from napari_segnet.recognition import COMPLETE, identify

BY_NAME = {family.name: family for family in FAMILIES}
CASES = [
    pytest.param(family, example, id=f"{family.name}: {example}")
    for family in FAMILIES
    for example in EXAMPLES.get(family.name, ())
]
MAPS = [case for case in CASES if isinstance(case.values[0], MapFamily)]
# One of each family is enough where a fault is to be refused.
FIRSTS = [
    pytest.param(family, EXAMPLES[family.name][0], id=family.name)
    for family in FAMILIES
    if family.name in EXAMPLES
]


@functools.cache
def reference(name: str, example_name: str) -> torch.nn.Module:
    example = next(e for e in EXAMPLES[name] if e.name == example_name)
    module = example.make()
    if not isinstance(BY_NAME[name], MapFamily):
        return module.eval()
    return calibrate(module, seed=3, images=pictures(4, example.channels, example.sizes[-1]))


def described(family, example: Example, **how) -> Checkpoint:
    return family.describe(weights_of(reference(family.name, example.name), **how), example.told)


def test_every_family_has_examples():
    assert [family.name for family in FAMILIES if not EXAMPLES.get(family.name)] == []
    assert len(BY_NAME) == len(FAMILIES), "two families share a name"


@pytest.mark.parametrize(("family", "example"), CASES)
def test_only_its_own_family_detects_a_network(family, example):
    weights = weights_of(reference(family.name, example.name), example.metadata, closed=True)
    assert [f.name for f in FAMILIES if f.detect(weights)] == [family.name]


@pytest.mark.parametrize(("family", "example"), CASES)
def test_every_hyper_parameter_is_read_back_without_reading_a_tensor(family, example):
    checkpoint = described(family, example, closed=True, metadata=example.metadata)
    assert {**example.hparams, **example.assumed} == {
        name: value for name, value in checkpoint.hparams.items() if name not in example.told
    }
    assert example.channels == checkpoint.channels
    assert family.name == checkpoint.family
    assert family.task == checkpoint.task


@pytest.mark.parametrize(("family", "example"), CASES)
def test_every_fact_says_how_it_is_known(family, example):
    checkpoint = described(family, example, closed=True, metadata=example.metadata)
    facts = {"family", "task", "ndim", "channels", "classes", "outputs", "size"}
    facts |= {"prepare", "class_names", "pixel_size_um", "parameters", *checkpoint.hparams}
    assert facts - set(checkpoint.known) == set()
    for name in example.hparams:
        assert checkpoint.known[name].source == "read", name
    for name in example.assumed:
        assert checkpoint.known[name].source == "assumed", name
    for name in example.told:
        assert checkpoint.known[name].source == "told", name
    assert [n for n, k in checkpoint.known.items() if k.source == "assumed" and not k.why] == []


@pytest.mark.parametrize(("family", "example"), FIRSTS)
def test_no_names_show_the_way_through_forward(family, example, tmp_path):
    if not isinstance(family, GraphFamily) or family.name in COMPLETE:
        pytest.skip("its file holds its graph, or its statistics cannot be asked")
    module = reference(family.name, example.name)
    path = tmp_path / "weights.pth"
    torch.save(module.state_dict(), path)
    found = identify(path, example.told)
    assert found.family == family.name
    assert {found.known[name].source for name in ("graph", "halo_px", "exact")} == {"assumed"}
    remembers = any(name.endswith("running_mean") for name in module.state_dict())
    assert (UNASKED_COPY in found.notes) == remembers
    assert card_of(found)["facts"]["graph"]["value"] == "as published"


@pytest.mark.parametrize(("family", "example"), CASES)
def test_a_checkpoint_survives_pickling(family, example):
    checkpoint = described(family, example, metadata=example.metadata)
    assert checkpoint == pickle.loads(pickle.dumps(checkpoint))


@pytest.mark.parametrize(("family", "example"), CASES)
def test_the_parameters_are_counted(family, example):
    checkpoint = described(family, example, closed=True, metadata=example.metadata)
    module = reference(family.name, example.name)
    assert sum(p.numel() for p in module.parameters()) == checkpoint.parameters


@pytest.mark.parametrize(("family", "example"), MAPS)
def test_the_built_network_answers_as_the_reference(family, example):
    module = reference(family.name, example.name)
    weights = weights_of(module, example.metadata)
    checkpoint = family.describe(weights, example.told)
    ours = assemble(family, checkpoint, weights)
    for size in example.sizes:
        batch = pictures(2, example.channels, size, seed=8)
        with torch.inference_mode():
            expected, answer = module(batch), family.maps(ours, batch)
        assert expected.shape == answer.shape
        assert (expected - answer).abs().max() < 1e-6 * max(1, expected.abs().max())
        assert expected.std() > 0.05, "the reference answers the same everywhere"


@pytest.mark.parametrize(("family", "example"), MAPS)
def test_size_says_what_the_network_takes_and_loses(family, example):
    weights = weights_of(reference(family.name, example.name), example.metadata)
    checkpoint = family.describe(weights, example.told)
    ours = assemble(family, checkpoint, weights)
    size = checkpoint.size
    first = size.next_allowed((1,) * checkpoint.ndim)
    assert tuple(size.minimum) == first
    second = size.next_allowed(tuple(n - k + 1 for n, k in zip(first, size.loss, strict=True)))
    for lengths in (first, second, *example.sizes):
        with torch.inference_mode():
            answer = family.maps(ours, pictures(1, example.channels, lengths))
        kept = tuple(n - lost for n, lost in zip(lengths, size.loss, strict=True))
        assert kept == tuple(answer.shape[2:])
        assert sum(output.channels for output in checkpoint.outputs) == answer.shape[1]


@pytest.mark.parametrize(("family", "example"), CASES)
def test_the_count_of_batches_may_be_absent(family, example):
    module = reference(family.name, example.name)
    state = {k: v for k, v in module.state_dict().items() if not k.endswith("batches_tracked")}
    weights = weights_of(state, example.metadata)
    checkpoint = family.describe(weights, example.told)
    ours = assemble(family, checkpoint, weights)  # strict: refuses a name that lacks a value
    counts = [v for k, v in ours.state_dict().items() if k.endswith("batches_tracked")]
    assert all(count == 0 for count in counts)
    learned = {k: v for k, v in state.items() if not k.endswith("batches_tracked")}
    assert len(ours.state_dict()) == len(counts) + len(learned)


@pytest.mark.parametrize(("family", "example"), FIRSTS)
def test_a_tensor_too_many_is_refused_by_name(family, example):
    state = dict(reference(family.name, example.name).state_dict())
    state["attention.gate.weight"] = torch.zeros(3, 4)
    named = r"network.pth looks like .*1 tensor is not part of it: attention.gate.weight \(3, 4\)"
    with pytest.raises(UnknownNetworkError, match=named):
        family.describe(weights_of(state, example.metadata), example.told)


@pytest.mark.parametrize(("family", "example"), FIRSTS)
def test_every_missing_tensor_is_refused_by_name(family, example):
    state = dict(reference(family.name, example.name).state_dict())
    weights = weights_of(state, example.metadata)
    floating = [key for key in state if not key.endswith("num_batches_tracked")]
    refused = 0
    for key in floating[:: max(1, len(floating) // 10)]:
        fewer = dataclasses.replace(
            weights, tensors={k: v for k, v in weights.tensors.items() if k != key}
        )
        if not family.detect(fewer):  # a name that it is recognised by: another says so
            continue
        with pytest.raises(UnknownNetworkError, match="looks like"):
            family.describe(fewer, example.told)
        refused += 1
    assert refused, "each of these names decides whether the family knows the file: try others"


@pytest.mark.parametrize(("family", "example"), FIRSTS)
def test_a_wrong_shape_is_refused_by_name(family, example):
    state = dict(reference(family.name, example.name).state_dict())
    key = next(k for k, v in reversed(state.items()) if v.ndim == 1 and k.endswith("bias"))
    state[key] = torch.zeros(len(state[key]) + 1)
    with pytest.raises(UnknownNetworkError, match="1 tensor has another shape: " + key):
        family.describe(weights_of(state, example.metadata), example.told)


@pytest.mark.parametrize(("family", "example"), FIRSTS)
def test_whole_numbers_for_weights_are_refused(family, example):
    state = dict(reference(family.name, example.name).state_dict())
    key = next(k for k, v in state.items() if v.ndim == 4)
    state[key] = state[key].to(torch.int8)
    with pytest.raises(UnknownNetworkError, match=f"no floating numbers: {key} .int8"):
        family.describe(weights_of(state, example.metadata), example.told)


@pytest.mark.parametrize(("family", "example"), FIRSTS)
def test_a_told_name_that_the_family_lacks_is_refused(family, example):
    weights = weights_of(reference(family.name, example.name), example.metadata)
    with pytest.raises(SettingsError, match="flavour"):
        family.describe(weights, {**example.told, "flavour": "vanilla"})


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_other_tensors_are_not_detected(family):
    assert not family.detect(weights_of({}))
    assert not family.detect(weights_of(torch.nn.Linear(2, 2)))
