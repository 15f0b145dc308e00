"""A graph is a value: checked when it is made, picklable, plain JSON."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest
from support.examples import EXAMPLES
from support.networks import weights_of

from napari_segnet.families import FAMILIES, GraphFamily
from napari_segnet.graph import (
    Activation,
    Concatenate,
    Convolution,
    Graph,
    GraphBuilder,
    Identity,
    Image,
    Node,
    graph_from_json,
    graph_to_json,
    parameters,
    tensors,
)

IMAGE = Node(name="image", operation=Image(count=2, ndim=2))


def convolution(outputs=3):
    return Convolution(
        outputs=outputs, kernel=(3, 3), stride=(1, 1), before=(1, 1), after=(1, 1), dilation=(1, 1)
    )


def two_layers():
    draw = GraphBuilder(2, 2)
    x = draw.add("first", convolution(), draw.image)
    x = draw.add("relu", Activation(function="relu"), x)
    return draw.graph(draw.add("second", convolution(1), x))


def test_tensors_and_parameters():
    found = tensors(two_layers())
    assert {name: t.shape for name, t in found.items()} == {
        "first.weight": (3, 2, 3, 3),
        "first.bias": (3,),
        "second.weight": (1, 3, 3, 3),
        "second.bias": (1,),
    }
    assert parameters(found) == 54 + 3 + 27 + 1
    assert two_layers().ndim == 2


def test_nodes_may_share_tensors_of_one_shape():
    node = Node(
        name="a",
        operation=convolution(2),
        inputs=("image",),
        tensors={"weight": "w", "bias": "b"},
    )
    again = dataclasses.replace(node, name="again", inputs=("a",))
    assert list(tensors(Graph(nodes=(IMAGE, node, again), outputs=("again",)))) == ["w", "b"]
    wider = dataclasses.replace(again, operation=convolution(4))
    with pytest.raises(ValueError, match=r"w is both \(2, 2, 3, 3\) and \(4, 2, 3, 3\)"):
        tensors(Graph(nodes=(IMAGE, node, wider), outputs=("again",)))


@pytest.mark.parametrize(
    ("nodes", "outputs", "says"),
    [
        ((IMAGE, IMAGE), ("image",), "two nodes are called 'image'"),
        ((), ("image",), "none, or not all of them nodes"),
        ((IMAGE,), (), "none, or not all of them nodes"),
        ((IMAGE,), ("x",), "none, or not all of them nodes"),
        (
            (Node(name="a", operation=Identity(), inputs=("image",)), IMAGE),
            ("a",),
            "no node before 'a' is called 'image'",
        ),
        (
            (IMAGE, Node(name="a", operation=Identity())),
            ("a",),
            r"'a' \(identity\) takes 1 inputs, not 0",
        ),
        (
            (IMAGE, Node(name="a", operation=Concatenate(), inputs=("image",))),
            ("a",),
            r"'a' \(concatenate\) takes 2 inputs to 1000000, not 1",
        ),
        (
            (IMAGE, dataclasses.replace(IMAGE, name="mask")),
            ("mask",),
            "exactly one image",
        ),
    ],
)
def test_nodes_that_make_no_network_are_refused(nodes, outputs, says):
    with pytest.raises(ValueError, match=says):
        Graph(nodes=nodes, outputs=outputs)


CASES = [
    pytest.param(family, example, id=f"{family.name}: {example}")
    for family in FAMILIES
    if isinstance(family, GraphFamily)
    for example in EXAMPLES[family.name]
]


@pytest.mark.parametrize(("family", "example"), CASES)
def test_a_graph_survives_pickling_and_json(family, example):
    checkpoint = family.describe(weights_of(example.make(), example.metadata), example.told)
    graph = family.graph(checkpoint)
    assert graph == pickle.loads(pickle.dumps(graph))
    text = json.dumps(graph_to_json(graph), allow_nan=False)
    assert graph == graph_from_json(json.loads(text))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(format=2), "its format is 2, where 1 was expected"),
        (lambda c: c.pop("outputs"), r"it is not a graph \(KeyError\('outputs'\)\)"),
        (lambda c: c["nodes"][1].update(operation="lambda"), "no operation 'lambda'; there are im"),
        (
            lambda c: c["nodes"][1]["numbers"].update(kernel=[3, "3"]),
            "is .3, .3.., which it cannot be",
        ),
        (lambda c: c["nodes"][1]["numbers"].update(stride=None), "None is no plain number"),
        (
            lambda c: c["nodes"][1]["numbers"].update(colour=1),
            "colour of .* is 1, which it",
        ),
        (lambda c: c["nodes"][1]["numbers"].update(outputs=2.0), "outputs of .* is 2.0, which it"),
        (lambda c: c["nodes"][1]["numbers"].update(groups=True), "groups of .* is True, which it"),
        (lambda c: c["nodes"][1]["numbers"].update(kernel=3), "kernel of 'convolution' is 3, whi"),
        (lambda c: c["nodes"][1]["numbers"].update(fill="ones"), "fill of .* is 'ones', which it"),
        (lambda c: c["nodes"][1]["numbers"].update(stride=[0, 1]), r"is \(0, 1\), where 1 or more"),
        (lambda c: c["nodes"][1]["numbers"].update(before=[1, -1]), r"is \(1, -1\), where 0 or mo"),
        (
            lambda c: c["nodes"][1]["numbers"].update(stride=[1]),
            r"stride of 'first' is \(1,\), ",
        ),
        (lambda c: c["nodes"][1].update(name=1), "1 stands where a name was expected"),
        (lambda c: c.update(nodes=3), "it is not a graph"),
    ],
)
def test_json_that_is_no_graph_is_refused(change, says):
    content = json.loads(json.dumps(graph_to_json(two_layers())))
    assert graph_from_json(content) == two_layers()
    change(content)
    with pytest.raises(ValueError, match=says):
        graph_from_json(content)
