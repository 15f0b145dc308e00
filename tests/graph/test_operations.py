"""Every operation says of itself what torch does: lengths, tensors, and what it looks at."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import matched, positive, run_graph
from support.operations import (
    CONVOLUTIONS,
    CUTS,
    RESIZES,
    SAME,
    SHUFFLES,
    TRANSPOSED,
    alone,
    pairs,
    poolings,
)  # fmt: skip

import napari_segnet.graph
from napari_segnet.graph import (
    OPERATIONS,
    Activation,
    Arithmetic,
    BatchNorm,
    Concatenate,
    Convolution,
    GlobalPooling,
    GroupNorm,
    Identity,
    InstanceNorm,
    MatchSize,
    Operation,
    Resize,
    Softmax,
    TransposedConvolution,
    receptive_field,
    tensors,
)


@settings(deadline=None, max_examples=150)
@given(st.one_of(CONVOLUTIONS, SAME, TRANSPOSED, RESIZES, CUTS, SHUFFLES, poolings()), pairs(1, 12))
def test_lengths_are_those_of_torch(operation, shape):
    graph, image = alone(operation), torch.ones((1, 2, *shape), dtype=torch.float64)
    said = [operation.length(axis, [n]) for axis, n in enumerate(shape)]
    try:
        answer = run_graph(graph, image, positive(graph))
    except (RuntimeError, ValueError):
        assert min(said) < 1
        return
    assert list(answer.shape[2:]) == said
    assert answer.shape[1] == operation.channels([2])


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        CONVOLUTIONS, SAME, TRANSPOSED, RESIZES, CUTS, SHUFFLES, poolings(kinds=("average",))
    ),
    st.integers(0, 1),
)
def test_each_pixel_looks_at_what_its_gradient_says(operation, axis):
    graph, n = alone(operation), 20
    image = torch.rand((1, 2, n, n), dtype=torch.float64, requires_grad=True)
    answer = run_graph(graph, image, positive(graph))
    length = answer.shape[2 + axis]
    for place in range(length // 2, min(length // 2 + 4, length)):
        ((reach,)) = operation.reach(axis, place, place, [n])
        line = answer.select(2 + axis, place).sum()
        (gradient,) = torch.autograd.grad(line, image, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 3 - axis)).nonzero()[:, 0].tolist()
        # Beyond the borders nothing is seen, though it is looked for; reflections come back.
        if not seen or (reach is not None and not (0 <= reach[0] and reach[1] < n)):
            continue
        assert reach is not None
        if isinstance(operation, Resize) and operation.grid == "corners":
            # Bounds for any size of the whole; see its docstring.
            assert reach[0] <= min(seen) and max(seen) <= reach[1]
            assert reach[1] - reach[0] <= 2
        else:
            assert reach == (min(seen), max(seen))


def test_a_window_of_gaps_that_meets_no_input_looks_at_nothing():
    pair = {"before": (0, 0), "after": (0, 0), "extra": (0, 0), "dilation": (1, 1)}
    operation = TransposedConvolution(outputs=1, kernel=(1, 1), stride=(3, 3), **pair)
    assert [operation.reach(0, j, j, [9]) for j in range(4)] == [
        ((0, 0),), (None,), (None,), ((1, 1),)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "layer"),
    [
        (BatchNorm(), torch.nn.BatchNorm2d(4)),
        (GroupNorm(groups=2), torch.nn.GroupNorm(2, 4)),
        (InstanceNorm(), torch.nn.InstanceNorm2d(4)),
        (InstanceNorm(learnt=True), torch.nn.InstanceNorm2d(4, affine=True)),
        (Activation(function="prelu", slopes=4), torch.nn.PReLU(4)),
        (Activation(function="relu"), torch.nn.ReLU()),
        (Activation(function="leaky-relu", slope=0.2), torch.nn.LeakyReLU(0.2)),
        (Activation(function="elu", slope=1.0), torch.nn.ELU()),
        (Activation(function="hard-swish"), torch.nn.Hardswish()),
        (Softmax(), torch.nn.Softmax2d()),
        (Identity(), torch.nn.Dropout(0.5)),
        (GlobalPooling(kind="average"), torch.nn.AdaptiveAvgPool2d(1)),
        (GlobalPooling(kind="max"), torch.nn.AdaptiveMaxPool2d(1)),
    ],
    ids=str,
)
def test_layers_without_windows_are_torchs(operation, layer):
    graph, layer = alone(operation, channels=4), layer.eval()
    expected = {f"layer.{k}": tuple(v.shape) for k, v in layer.state_dict().items()}
    assert {k: t.shape for k, t in tensors(graph).items()} == expected
    trained = {f"layer.{k}" for k, _ in layer.named_parameters()}
    assert {k for k, t in tensors(graph).items() if t.trained} == trained
    image = torch.randn((2, 4, 6, 7))
    state = {f"layer.{k}": v for k, v in layer.state_dict().items()}
    with torch.inference_mode():
        assert torch.allclose(run_graph(graph, image, state), layer(image), atol=1e-6)


@pytest.mark.parametrize(
    "operation",
    [
        GroupNorm(groups=1),
        InstanceNorm(),
        GlobalPooling(kind="max"),
        Convolution(
            outputs=2, kernel=(3, 3), stride=(1, 1), before=(1, 1), after=(1, 1), dilation=(1, 1),
            fill="circular",
        ),
    ],
    ids=lambda o: o.name,
)  # fmt: skip
def test_what_looks_at_the_whole_has_no_field(operation):
    assert receptive_field(alone(operation)) is None


def test_joins():
    add = Arithmetic(kind="add")
    assert (Concatenate().channels([2, 3, 4]), add.channels([3, 3])) == (9, 3)
    assert (add.length(0, [5, 5]), add.length(0, [5, 6])) == (5, 0)
    with pytest.raises(ValueError, match="maps of 2, 3 channels do not add up"):
        add.channels([2, 3])


def test_the_smaller_is_brought_to_the_size_of_the_other_around_its_middle():
    for have, want in [(5, 8), (8, 5), (7, 7), (4, 5), (5, 4)]:
        ((low, high), size) = MatchSize().reach(0, 2, 2, [have, want])
        line = torch.arange(1.0, have + 1).reshape(1, 1, 1, have)
        there = matched(line, (1, 1, 1, want)).flatten()[2]
        assert (low, high, size) == (there - 1, there - 1, None)


@pytest.mark.parametrize("groups", [3, 4])
def test_channels_that_make_no_equal_groups_are_refused(groups):
    with pytest.raises(ValueError, match=f"cannot be cut into {groups} groups"):
        alone(GroupNorm(groups=groups), channels=6 if groups == 4 else 4)
    one = dict.fromkeys(("kernel", "stride", "dilation"), (1, 1))
    margin = dict.fromkeys(("before", "after"), (0, 0))
    for kind, more in ((Convolution, {}), (TransposedConvolution, {"extra": (0, 0)})):
        with pytest.raises(ValueError, match=f"2 channels in and 12 out cannot .* {groups} groups"):
            alone(kind(outputs=12, groups=groups, **one, **margin, **more))


def test_every_operation_is_on_the_list():
    def kinds(kind):
        for below in kind.__subclasses__():
            yield below
            yield from kinds(below)

    # By name: a dataclass with slots is made twice, and the first one is a subclass as well.
    named = {kind.__name__ for kind in kinds(Operation) if "name" in vars(kind)}
    assert named == {kind.__name__ for kind in OPERATIONS.values()}
    assert named <= set(napari_segnet.graph.__all__)
    assert all(kind.name == name for name, kind in OPERATIONS.items())
