"""What comes to the norms of a network, beside what its file says of it."""

import pytest
import torch
import torch.nn.functional as F

from napari_segnet.evidence._runner import Runner
from napari_segnet.graph import BatchNorm, Convolution, GraphBuilder

ONES, NONE = (1, 1), (0, 0)
NORM = ("weight", "bias", "running_mean", "running_var")


def convolution(outputs):
    return Convolution(
        outputs=outputs, kernel=ONES, stride=ONES, before=NONE, after=NONE, dilation=ONES,
        groups=1, bias=False, fill="zeros",
    )  # fmt: skip


@pytest.fixture
def twice():
    """A graph whose only norm runs behind each of two convolutions, tensors, pictures."""
    draw = GraphBuilder(3, 2)
    x = draw.add("one", convolution(4), draw.image)
    x = draw.add("norm", BatchNorm(), x)
    x = draw.add("two", convolution(4), x)
    x = draw.add("norm (2)", BatchNorm(), x, layer="norm")
    random = torch.Generator().manual_seed(0)
    tensors = {"one.weight": torch.randn(4, 3, 1, 1, generator=random)}
    tensors["two.weight"] = torch.randn(4, 4, 1, 1, generator=random)
    tensors |= {f"norm.{role}": torch.ones(4) for role in NORM}
    return draw.graph(x), tensors, torch.rand(2, 3, 8, 8, generator=random)


def moments(x):
    variance, mean = torch.var_mean(x, (0, 2, 3), unbiased=False)
    return mean, variance


def test_a_norm_that_runs_twice_is_measured_by_all_that_came_to_it(twice):
    graph, tensors, pictures = twice
    first = F.conv2d(pictures, tensors["one.weight"])
    (mean, variance), wide = moments(first), (None, slice(None), None, None)
    normed = (first - mean[wide]) * torch.rsqrt(variance + 1e-5)[wide] + 1
    each = (mean, variance), moments(F.conv2d(normed, tensors["two.weight"]))
    both = [sum(values) / 2 for values in zip(*each, strict=True)]
    far = {}
    for name, (running_mean, running_var) in {"both": both, "first": each[0]}.items():
        own = {"norm.running_mean": running_mean, "norm.running_var": running_var}
        runner = Runner({**tensors, **own}, pictures)
        (far[name],) = runner.divergences(graph).values()
    assert far["both"] < 1e-4 < 0.05 < far["first"]


def test_a_graph_that_stopped_early_goes_on_from_there():
    draw, x = GraphBuilder(3, 2), None
    random = torch.Generator().manual_seed(0)
    tensors, before = {}, 3
    for n in range(4):
        x = draw.add(f"c{n}", convolution(4), draw.image if x is None else x)
        x = draw.add(f"n{n}", BatchNorm(), x)
        tensors[f"c{n}.weight"] = torch.randn(4, before, 1, 1, generator=random)
        tensors |= {f"n{n}.{role}": torch.rand(4, generator=random) + 0.5 for role in NORM}
        before = 4
    graph, pictures = draw.graph(x), torch.rand(2, 3, 8, 8, generator=random)
    whole = Runner(tensors, pictures).divergences(graph)
    runner, ran = Runner(tensors, pictures), []
    answer = runner._answer

    def counted(node, *rest):
        ran.append(node.name)
        return answer(node, *rest)

    runner._answer = counted
    first = runner.divergences(graph, enough=lambda norms: len(norms) == 2)
    assert list(first.items()) == list(whole.items())[:2]
    stopped = len(ran)
    assert runner.divergences(graph) == whole
    assert ran[stopped:] == ["c2", "n2", "c3", "n3"]


@pytest.mark.parametrize(("height", "told"), [(8, True), (1, False)])
def test_a_norm_of_a_single_row_of_pixels_says_nothing(twice, height, told):
    graph, tensors, pictures = twice
    assert bool(Runner(tensors, pictures[..., :height, :]).divergences(graph)) is told
