"""Reading shapes by name, with refusals in words."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.networks import Milesial, weights_of

from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families.kit.facts import Shapes, common_dtype, convolutions, plain
from napari_segnet.families.milesial import MilesialUNet


def shapes(state):
    return Shapes(weights_of({k: torch.zeros(s) for k, s in state.items()}), "the U-Net of X")


def test_a_missing_tensor_is_named():
    with pytest.raises(UnknownNetworkError, match=r"looks like the U-Net of X, but the tensor a.b"):
        shapes({}).of("a.b")


def test_a_tensor_of_the_wrong_kind_is_named():
    with pytest.raises(UnknownNetworkError, match=r"the tensor a has the shape \(3,\)"):
        shapes({"a": (3,)}).of("a", 4, 5)


def test_an_empty_tensor_is_refused():
    with pytest.raises(UnknownNetworkError, match=r"the tensor a has the shape \(0, 3, 3, 3\)"):
        shapes({"a": (0, 3, 3, 3)}).of("a", 4, 5)


@pytest.mark.parametrize("kernel", [(2, 2), (3, 1), (3, 3, 1)])
def test_a_kernel_that_is_not_square_and_odd_is_refused(kernel):
    with pytest.raises(UnknownNetworkError, match="an odd size, the same along every axis"):
        shapes({"a": (4, 4, *kernel)}).kernel("a")


def test_counting_stops_at_the_first_gap():
    found = shapes({"down1.x": (1,), "down2.x": (1,), "down4.x": (1,), "down10.x": (1,)})
    assert 2 == found.count("down{}.", first=1)
    assert 0 == found.count("down{}.")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("cnr", ("conv-norm-relu", (0, 3))),
        ("crn", ("conv-relu-norm", (0, 3))),
        ("cr", ("conv-relu", (0, 2))),
    ],
)
def test_the_order_of_a_block_is_read_from_its_numbers(order, expected):
    weights = weights_of(Milesial(depth=1, order=order))
    assert expected == convolutions(Shapes(weights, "X"), "inc.double_conv.")


@pytest.mark.parametrize(
    "extra",
    [
        {},  # something without tensors between the two: InstanceNorm, or dropout
        {"a.1.weight": (4,), "a.4.weight": (4,)},  # GroupNorm
        {"a.1.weight": (4,), "a.1.running_mean": (4,)},  # only one of the two
    ],
)
def test_another_normalisation_is_refused(extra):
    convs = {"a.0.weight": (4, 3, 3, 3), "a.3.weight": (4, 4, 3, 3)}
    with pytest.raises(UnknownNetworkError, match=r"convolutions at \[0, 3\] and batch norm"):
        convolutions(shapes({**convs, **extra}), "a.")


def test_the_most_common_dtype_counts_only_floating_tensors():
    state = {"a": torch.zeros(1).half(), "b": torch.zeros(1).half(), "c": torch.zeros(1)}
    numbers = {str(i): torch.zeros((), dtype=torch.int64) for i in range(5)}
    assert "float16" == common_dtype(weights_of({**state, **numbers}))
    assert "float32" == common_dtype(weights_of(numbers))


def test_it_is_said_which_of_several_sets_of_tensors_was_taken():
    bare = weights_of(Milesial(depth=1))
    inside = dataclasses.replace(bare, wrapper=("last", "model"), prefix="module.")
    why = MilesialUNet().describe(inside, {}).known["family"].why
    assert "under 'last.model' in the file, after the prefix 'module.'" in why
    assert "under" not in MilesialUNet().describe(bare, {}).known["family"].why


def test_plain_values():
    assert plain([0, 255, [1.5, "a"]])
    assert not plain([0, object()])
    assert not plain({"a": 1})
