"""What is built of a graph answers as the operations say, under the names of its tensors."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import run_graph
from support.operations import (
    ACTIVATIONS,
    CONVOLUTIONS,
    CUTS,
    JOINS,
    NORMS,
    OTHERS,
    RESIZES,
    SAME,
    SHUFFLES,
    TRANSPOSED,
    WINDOWS,
    alone,
    pairs,
    poolings,
)  # fmt: skip

from napari_segnet.engines.torch.fast import fast_copy
from napari_segnet.graph import (
    Activation,
    Arithmetic,
    Concatenate,
    Constant,
    Convolution,
    Dense,
    GraphBuilder,
    InstanceNorm,
    MatrixProduct,
    Node,
    Permute,
    Reshape,
    Softmax,
    TransposedConvolution,
    shapes,
    tensors,
)
from napari_segnet.graph._graph import Graph
from napari_segnet.graph.build import build

SINGLE = st.one_of(
    *(CONVOLUTIONS, SAME, TRANSPOSED, RESIZES, CUTS, SHUFFLES, NORMS, ACTIVATIONS, OTHERS),
    *(WINDOWS, poolings()),
)


def numbers(graph, seed=0):
    """Return values for every tensor, float64; those of a variance are positive."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, tensor in tensors(graph).items():
        value = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        found[name] = value.abs() + 0.1 if name.endswith("running_var") else value
    return found


def same(graph, *lengths, positive=False):
    """Compare the module, and its fast copy, with the operations; return the answer."""
    module, state = build(graph).double().eval(), numbers(graph)
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == {
        name: tensor.shape for name, tensor in tensors(graph).items()
    }
    trained = {name for name, tensor in tensors(graph).items() if tensor.trained}
    assert {name for name, _ in module.named_parameters()} == trained
    module.load_state_dict(state, strict=True)
    count = graph.image.operation.count
    image = torch.randn((2, count, *lengths), dtype=torch.float64)
    image = image.abs() + 0.1 if positive else image
    with torch.inference_mode():
        expected, answer = run_graph(graph, image, state), module(image)
        fast = fast_copy(module, "cpu")(image)
    assert tuple(answer.shape[1:]) == shapes(graph, lengths)[graph.outputs[0]]
    for one in (answer, fast):
        assert torch.allclose(one, expected, atol=1e-9, rtol=1e-9, equal_nan=True)
    return answer


@settings(deadline=None, max_examples=300)
@given(SINGLE, pairs(4, 9))
def test_each_operation_is_built(operation, lengths):
    graph = alone(operation, channels=2)
    try:
        shapes(graph, lengths)
    except ValueError:
        return
    try:
        same(graph, *lengths, positive=getattr(operation, "function", "") in ("log", "sqrt"))
    except ValueError as error:
        # torch has no such layer, and says so before anything is computed.
        assert "torch" in str(error)


@settings(deadline=None, max_examples=120)
@given(JOINS, pairs(4, 9), pairs(4, 9), st.booleans())
def test_each_join_is_built(operation, one, two, alike):
    """Of the image and a map of another size, or of one channel and a single pixel."""
    draw = GraphBuilder(2, 2)
    ones, zeros = (1, 1), (0, 0)
    how = {"before": zeros, "after": zeros, "dilation": ones}
    if alike:
        side = Convolution(outputs=2, kernel=ones, stride=ones, **how)
    else:
        side = Convolution(outputs=1, kernel=one, stride=two, **how)
    other = draw.add("side", side, draw.image)
    try:
        graph = draw.graph(draw.add("join", operation, other, draw.image))
        shapes(graph, one)
    except ValueError:
        return
    same(graph, *one)


def test_attention_over_all_pixels():
    draw = GraphBuilder(4, 2)
    ones, zeros = (1, 1), (0, 0)
    one = {"stride": ones, "before": zeros, "after": zeros, "dilation": ones, "kernel": ones}
    parts = {}
    for name in ("query", "key", "value"):
        x = draw.add(f"{name}.conv", Convolution(outputs=3, **one), draw.image)
        parts[name] = draw.add(f"{name}.flat", Reshape(lengths=(3, "y*x")), x)
    query = draw.add("turned", Permute(order=(1, 0)), parts["query"])
    score = draw.add("score", MatrixProduct(), query, parts["key"])
    share = draw.add("share", Softmax(along=1), score)
    turned = draw.add("again", Permute(order=(1, 0)), share)
    mixed = draw.add("mixed", MatrixProduct(), parts["value"], turned)
    back = draw.add("back", Reshape(lengths=(3, "y", "x")), mixed, draw.image)
    x = draw.add("out", Convolution(outputs=4, **one), back)
    gamma = draw.add("gamma", Constant(lengths=(1, 1, 1)))
    x = draw.add("gate", Arithmetic(kind="multiply"), x, gamma)
    graph = draw.graph(draw.add("sum", Arithmetic(kind="add"), x, draw.image))
    assert same(graph, 5, 7).shape == (2, 4, 5, 7)


def test_a_perceptron_over_the_last_axis():
    draw = GraphBuilder(2, 2)
    x = draw.add("flat", Reshape(lengths=("rest",)), draw.image)
    x = draw.add("fc", Dense(inputs=24, outputs=12), x)
    graph = draw.graph(draw.add("map", Reshape(lengths=(1, 3, 4)), x))
    assert same(graph, 3, 4).shape == (2, 1, 3, 4)


def shared():
    draw = GraphBuilder(2, 2)
    conv = Convolution(
        outputs=2, kernel=(3, 3), stride=(1, 1), before=(1, 1), after=(1, 1), dilation=(1, 1)
    )
    first = draw.add("first", conv, draw.image, layer="train.layer")
    second = draw.add("second", conv, first, layer="train.layer")
    relu = draw.add("relu", Activation(function="relu"), second)
    return draw.graph(draw.add("join", Concatenate(), first, relu))


def test_a_layer_that_runs_twice_has_its_tensors_once():
    graph = shared()
    same(graph, 6, 7)
    assert set(build(graph).state_dict()) == {"train.layer.weight", "train.layer.bias"}


def test_it_is_copied_pickled_and_trained_as_any_module():
    graph = shared()
    module = build(graph)
    image = torch.randn((1, 2, 8, 8))
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(image), module(image))
    module(image).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_several_outputs_come_one_after_the_other():
    graph = shared()
    graph = Graph(nodes=graph.nodes, outputs=("second", "join"))
    module, image = build(graph), torch.randn((1, 2, 8, 8))
    assert module(image).shape == (1, 6, 8, 8)
    assert torch.equal(module(image), fast_copy(module, "cpu")(image))


def renamed(tensors_of):
    conv = Convolution(
        outputs=2, kernel=(1, 1), stride=(1, 1), before=(0, 0), after=(0, 0), dilation=(1, 1)
    )
    image = alone(conv).nodes[0]
    nodes = [
        Node(name=str(i), operation=conv, inputs=("image",), tensors=names)
        for i, names in enumerate(tensors_of)
    ]
    return Graph(nodes=(image, *nodes), outputs=("0",))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([{"weight": "kernel:0", "bias": "a.bias"}], "'kernel:0' is the weight of '0': call it"),
        ([{"weight": "a.weight", "bias": "b.bias"}], "tensors of '0' belong to 2 layers"),
        (
            [{"weight": f"{n}.weight", "bias": f"{n}.bias"} for n in ("a", "a.b")],
            r"the layer 'a\.b' lies inside another layer",
        ),
        (
            [{"weight": f"{n}.weight", "bias": f"{n}.bias"} for n in ("a.b", "a")],
            r"the layer 'a\.b' lies inside another layer",
        ),
        ([{"weight": "a.weight"}], "'0' has the tensors"),
    ],
)
def test_names_that_no_module_can_have_are_refused(names, says):
    with pytest.raises(ValueError, match=says):
        build(renamed(names))


def test_layers_that_share_tensors_are_of_one_kind():
    graph = shared()
    other = TransposedConvolution(
        outputs=2, kernel=(3, 3), stride=(1, 1), before=(1, 1), after=(1, 1), extra=(0, 0),
        dilation=(1, 1),
    )  # fmt: skip
    nodes = [
        Node(name=n.name, operation=other, inputs=n.inputs, tensors=n.tensors)
        if n.name == "second"
        else n
        for n in graph.nodes
    ]
    with pytest.raises(ValueError, match="'second' shares tensors with another kind of layer"):
        build(Graph(nodes=tuple(nodes), outputs=graph.outputs))


@pytest.mark.parametrize("learnt", [True, False])
def test_a_map_of_one_pixel_has_a_norm_of_its_bias(learnt):
    """torch refuses it, so that an image as small as the stride could not be answered."""
    module = build(alone(InstanceNorm(learnt=learnt)))
    module.load_state_dict(
        {f"layer.{k}": torch.full((2,), 3.0) for k in ("weight", "bias") if learnt}
    )
    answer = module(torch.randn(2, 2, 1, 1))
    assert torch.equal(answer, torch.full((2, 2, 1, 1), 3.0 if learnt else 0.0))
