"""What leaves no trace in a file is changed in a graph; its tensors stay."""

import pytest
import torch
from support.calibrated import drawn

from napari_segnet.evidence import Variants, choices_of
from napari_segnet.evidence._variants import _share
from napari_segnet.graph import Activation, Concatenate, Graph, Resize, tensors
from napari_segnet.graph.build import build
from napari_segnet.recognition import family_of, identify

OWN = {
    "join": "up-skip",
    "up_activation": "none",
    "activation": "relu",
    "pooling": "max",
    "padding": "same",
    "dilation": "1",
    "epsilon": "1e-05",
    "residual": "none",
}


def answers(graph: Graph) -> torch.Tensor:
    torch.manual_seed(0)
    module = build(graph).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
        return module(torch.rand(1, 1, 32, 32))


def test_a_graph_tells_what_it_does():
    assert choices_of(drawn({})) == OWN
    assert choices_of(drawn({"join": "skip-up"}))["join"] == "skip-up"
    assert choices_of(drawn({"up_activation": "relu"}))["up_activation"] == "relu"
    assert choices_of(drawn({"pooling": "average"}))["pooling"] == "average"


@pytest.mark.parametrize("name", OWN)
def test_every_value_is_another_network_with_the_same_tensors(name):
    graph = drawn({})
    space = Variants(graph, tuple(OWN))
    before = answers(graph)
    assert space.open[name][0] == OWN[name] and len(space.open[name]) > 1
    for value in space.open[name][1:]:
        candidate = space.candidate("published", {name: value})
        assert tensors(candidate.graph) == tensors(graph)
        assert candidate.choices[name] == value
        assert candidate.prior < space.first(1)[0].prior
        after = answers(candidate.graph)
        assert after.shape == before.shape
        least = 0.0 if (name, value) == ("epsilon", "0.001") else 1e-4
        assert (after - before).abs().max() > least


def test_a_change_is_what_the_graph_then_says():
    graph = drawn({})
    space = Variants(graph, tuple(OWN))
    for name in ("join", "up_activation", "activation", "pooling", "padding", "dilation"):
        for value in space.open[name]:
            assert choices_of(space.candidate("published", {name: value}).graph)[name] == value


def test_changing_back_gives_the_graph_again():
    graph = drawn({"up_activation": "relu", "join": "skip-up"})
    space = Variants(graph, ("up_activation", "join"))
    other = space.candidate("published", {"up_activation": "none", "join": "up-skip"}).graph
    assert answers(other).equal(answers(drawn({})))


def test_the_end_of_a_network_is_no_hidden_activation():
    graph = drawn({})
    from napari_segnet.graph import Node

    end = Node(name="end", operation=Activation(function="relu"), inputs=("out",))
    longer = Graph(nodes=(*graph.nodes, end), outputs=("end",))
    changed = Variants(longer, ("activation",)).candidate("published", {"activation": "silu"})
    assert changed.graph.nodes[-1] == end


def test_what_a_network_mixes_is_left_alone():
    graph = drawn({})
    mixed = tuple(
        node
        if node.name != "down0.act0"
        else type(node)(name=node.name, operation=Activation(function="tanh"), inputs=node.inputs)
        for node in graph.nodes
    )
    assert "activation" not in choices_of(Graph(nodes=mixed, outputs=graph.outputs))


def test_a_space_refuses_what_it_does_not_have():
    space = Variants(drawn({}), ("join",))
    with pytest.raises(ValueError, match="none of these networks"):
        space.candidate("published", {"pooling": "average"})
    with pytest.raises(ValueError, match="none of these networks"):
        space.candidate("other", {})


@pytest.mark.parametrize("bilinear", [False, True])
def test_published_networks_tell_what_they_do(tmp_path, bilinear):
    from support.networks import Milesial

    torch.save(Milesial(width=4, depth=2, bilinear=bilinear).state_dict(), tmp_path / "net.pth")
    checkpoint = identify(tmp_path / "net.pth")
    graph = family_of(checkpoint).graph(checkpoint)
    found = choices_of(graph)
    assert found["join"] == "skip-up"
    assert found["activation"] == "relu"
    assert found["pooling"] == "max"
    assert found.get("resize") == ("bilinear-aligned" if bilinear else None)
    assert sum(isinstance(n.operation, Concatenate) for n in graph.nodes) == 2
    assert sum(isinstance(n.operation, Resize) for n in graph.nodes) == 2 * bilinear


def test_what_may_be_asked_for_is_as_likely_and_what_is_rare_is_less():
    paddings, joins = ("valid", "same", "reflect", "replicate"), ("up-skip", "skip-up")
    assert _share("padding", "same", paddings) == _share("padding", "valid", paddings)
    assert _share("padding", "reflect", ("same", "reflect")) < 0.2
    assert _share("dilation", "2", ("1", "2")) < _share("pooling", "average", ("max", "average"))
    assert sum(_share("join", value, joins) for value in joins) == pytest.approx(1)
