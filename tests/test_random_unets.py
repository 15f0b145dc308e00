"""Random U-Nets are themselves: seeded, plausible, written and judged as they should be."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from support.unets._build import unet_net
from support.unets._net import Net
from support.unets._plan import Plan
from support.unets._styles import STYLES
from support.unets.draw import KINDS, write
from support.unets.draw import draw as draw_any
from support.unets.foreign import FOREIGN, refusal_of, write_foreign
from support.unets.forked import FORKED, fork
from support.unets.judge import Opened, judge, opened, tolerance
from support.unets.more_foreign import MORE_FOREIGN

from napari_segnet.containers import open_weights

WRITTEN = ("bare", "state_dict", "training", "ddp", "lightning", "legacy", "safetensors")
ONE = next(kind for kind in KINDS if kind.name == "no norm")
NORMED = next(kind for kind in KINDS if kind.name.endswith("transposed 2×2"))


draw = functools.partial(draw_any, taught=False)


@pytest.mark.trains
def test_some_are_trained_for_a_few_steps(monkeypatch):
    monkeypatch.setattr("support.unets.draw.TAUGHT", 1)
    raw, taught = draw(0, (ONE,)).raw, draw_any(0, (ONE,)).raw
    assert not torch.equal(raw, taught)
    assert torch.equal(draw_any(0, (ONE,)).raw, taught)


def test_a_seed_makes_one_network():
    one, again, other = draw(3), draw(3), draw(4)
    assert (one.kind, one.style, one.wrapper, one.facts) == (
        again.kind, again.style, again.wrapper, again.facts,
    )  # fmt: skip
    assert torch.equal(one.raw, again.raw)
    assert one.raw.shape != other.raw.shape or not torch.equal(one.raw, other.raw)


@pytest.mark.sample(10)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_answers_with_an_image(kind):
    case = draw(1, (kind,))
    assert case.raw.ndim == case.batch.ndim == case.plan.ndim + 2
    assert case.raw.shape[1] == case.plan.classes
    assert float(case.raw.std()) > 0.01  # a network that answers the same everywhere proves nothing
    assert case.apart < tolerance(case.raw, 0)
    assert set(case.facts) >= {"join", "activation", "pooling"}


def test_held_out_kinds_are_a_third_to_two_thirds():
    weights = [kind.weight for kind in KINDS if kind.held_out]
    assert 1 / 3 < sum(weights) / sum(kind.weight for kind in KINDS) < 2 / 3
    assert 1 / 3 < len(weights) / len(KINDS) < 2 / 3


@pytest.mark.parametrize("wrapper", WRITTEN)
def test_tensors_survive_their_wrapper(wrapper, tmp_path):
    case = draw(2, (NORMED,))
    name = "n.safetensors" if wrapper == "safetensors" else "n.pth"
    path = write(case, tmp_path / name, wrapper)
    state = case.net.state_dict()
    (weights,) = [w for w in open_weights(path) if set(w.tensors) == set(state)][:1]
    assert all(torch.equal(weights.tensors[key].load(), state[key]) for key in state)


def test_registration_is_told_apart_from_execution():
    style = next(one for one in STYLES if one.name == "ModuleLists, ups first")
    net = unet_net(Plan(), style)
    assert next(iter(net.state_dict())).startswith("ups.")
    layers = [step[3] for step in net.steps if step[1] == "layer"]
    assert layers[0].startswith("downs.")


@pytest.fixture
def case():
    return draw(5, (ONE,))


def answering(case, change=lambda raw: raw, known="read", **choices):
    facts = {**case.facts, **choices}
    return Opened(
        answers=(lambda batch: change(case.net(batch, raw=True)),),
        choices=facts,
        known=dict.fromkeys([*facts, "layout"], known),
        family="structure",
    )


def judged(case, found):
    with torch.no_grad():
        return judge(found, case.batch, case.raw, case.apart, case.facts)


def test_the_forward_itself_is_equal(case):
    verdict = judged(case, answering(case))
    assert verdict.place == 0
    assert not verdict.silently_wrong


def test_another_answer_is_wrong_unless_what_differs_is_marked(case):
    def away(raw):
        return raw + raw.std()

    claimed = judged(case, answering(case, away, join="other"))
    assert claimed.silently_wrong
    assert claimed.blamed == claimed.false_claims == ("join",)
    decided = judged(case, answering(case, away, "decided", join="other"))
    assert decided.silently_wrong
    marked = judged(case, answering(case, away, "assumed", join="other"))
    assert marked.place is None
    assert not marked.silently_wrong


def test_nothing_named_differs_so_the_layout_has_to_be_marked(case):
    found = answering(case, lambda raw: raw * 2)
    assert judged(case, found).silently_wrong
    known = {**found.known, "layout": "assumed"}
    assert not judged(case, dataclasses.replace(found, known=known)).silently_wrong


def test_an_equal_candidate_further_down_is_in_three(case):
    right = answering(case).answers[0]
    found = dataclasses.replace(answering(case), answers=(lambda b: right(b) + 9, right))
    assert judged(case, found).place == 1


def test_a_hundred_foreign_networks_are_named_once():
    every = (*FOREIGN, *MORE_FOREIGN)
    assert len(every) >= 150
    assert len({one.name for one in every}) == len(every)


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", [
    "VGG in small 1", "1D U-Net 1", "autoencoder 1", "recurrent 1", "super-resolution 1",
    "convolutional VAE 2", "perceptual 1", "descriptor 1", "of patches 1",
    "grown 2", "single shot 1", "shared towers 1", "two images 1", "of convolutions 1",
])  # fmt: skip
def test_a_foreign_network_is_refused(name, tmp_path):
    one = next(one for one in (*FOREIGN, *MORE_FOREIGN) if one.name == name)
    verdict = refusal_of(one, write_foreign(one, tmp_path / "foreign.pth"))
    assert verdict.refused
    assert not verdict.silently_wrong


@pytest.mark.parametrize("number", [0, len(FORKED) // 2, len(FORKED) - 1])
def test_a_fork_is_never_silently_wrong(number, tmp_path):
    case = fork(number, None, tmp_path / "fork.pth")
    found = opened(case.path, statistics=False)
    assert found.family == case.family
    verdict = judge(found, case.batch, case.raw, case.apart, case.facts)
    assert not verdict.silently_wrong


def test_a_network_refuses_two_layers_of_one_name():
    layer = torch.nn.Conv2d(1, 1, 1)
    with pytest.raises(AssertionError, match="a"):
        Net([("a", layer), ("a", layer)], [("y", "layer", ("x",), "a")], "y")
