"""The file's own statistics find the network that wrote them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.calibrated import OPEN, Toys, bits, calibrated, drawn
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.errors import Cancelled
from napari_segnet.evidence import MARGINS, Decision, Fit, Variants, Verdict, decide, margin, rank
from napari_segnet.evidence._decide import _leads, _verdict
from napari_segnet.evidence._margins import UNCERTAIN
from napari_segnet.evidence._residual import Residual
from napari_segnet.evidence._search import Judged, Search
from napari_segnet.graph import (
    BatchNorm,
    Graph,
    Identity,
    Node,
)
from napari_segnet.image import Image
from napari_segnet.programs.structure import read_structure
from napari_segnet.progress import run

TRUTHS = (
    {},
    {"join": "skip-up"},
    {"up_activation": "relu"},
    {"join": "skip-up", "up_activation": "relu"},
    {"norm_place": "after-activation"},
    {"norm_place": "after-activation", "join": "skip-up"},
)
PROVEN = ("join", "norm_place", "up_activation")


@pytest.mark.sample(3)
@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_the_truth_is_found_and_decided(truth):
    tensors = calibrated(drawn(truth))
    decision = run(decide(Toys(), tensors))
    for name in PROVEN:
        assert decision.best.choices[name] == truth.get(name, OPEN[name][0])
        assert decision.verdicts[name].decided
        assert decision.verdicts[name].margin >= MARGINS[name]
    known = decision.known()
    assert known["join"].source == "decided"
    assert "by the BatchNorm statistics of the file on 4 bundled pictures" in known["join"].why
    assert known["layout"].source == "read"


def test_no_decision_is_wrong_and_the_wrong_network_loses():
    truth = {"join": "skip-up"}
    graphs = [drawn({}), drawn(truth), drawn({**truth, "norm_place": "after-activation"})]
    ranking = run(rank(graphs, calibrated(graphs[1])))
    assert ranking.order[0] == 1
    assert ranking.margin > MARGINS["join"]
    assert margin(ranking.fits[0], ranking.fits[1]) < -MARGINS["join"]


def test_what_is_undecided_stays_as_the_prior_says():
    graph = drawn({})
    space = Variants(graph, ("activation", "join"))
    decision = run(decide(space, calibrated(graph)))
    assert decision.best.choices["activation"] == "relu"
    known = decision.known()
    assert known["activation"].source == "assumed"  # a slope of 0.01 looks the same
    assert "do not decide" in known["activation"].why
    assert known["join"].source == "decided"


@pytest.mark.parametrize(
    ("proven", "late", "said"),
    [
        (True, 0.01, "a step that has no tensors"),
        (False, 0.01, "do not decide"),
        (True, 2 * UNCERTAIN, "fit none of the networks"),
    ],
)
def test_the_layout_stays_assumed_where_there_are_others(proven, late, said):
    toy = Toys().candidate("toy", {})
    candidate = replace(toy, open={**toy.open, "layout": ("toy", "other")})
    fit = Fit(norms={str(n): late for n in range(8)})
    verdict = Verdict(value="toy", decided=proven, margin=1.0, against="other")
    decision = Decision(candidates=(candidate,), verdicts={"layout": verdict}, fit=fit)
    known = decision.known()["layout"]
    assert known.source == "assumed"
    assert said in known.why


def test_without_norms_nothing_is_decided():
    graph = drawn({}, norm=False)
    tensors = {name: torch.zeros(t.shape) for name, t in calibrated(graph).items()}
    decision = run(decide(Toys(norm=False), tensors))
    assert decision.verdicts == {}
    assert [c.choices["join"] for c in decision.candidates] == ["up-skip", "skip-up"]
    assert {k.source for n, k in decision.known().items() if n != "layout"} == {"assumed"}


def test_a_join_behind_the_last_norm_is_told_to_leave_no_trace():
    graph = drawn({})
    bare = tuple(
        Node(name=node.name, operation=Identity(), inputs=node.inputs)
        if node.name.startswith("dec") and isinstance(node.operation, BatchNorm)
        else node
        for node in graph.nodes
    )
    graph = Graph(nodes=bare, outputs=graph.outputs)
    decision = run(decide(Variants(graph, ("join", "pooling")), calibrated(graph)))
    assert not decision.verdicts["join"].traced and not decision.verdicts["join"].decided
    assert "the input of every BatchNorm is the same" in decision.known()["join"].why
    assert decision.verdicts["pooling"].traced


def test_norms_that_were_never_trained_decide_nothing():
    tensors = calibrated(drawn({}))
    for name, tensor in tensors.items():
        if name.endswith("running_mean"):
            tensor.zero_()
        if name.endswith("running_var"):
            tensor.fill_(1)
    assert run(decide(Toys(), tensors)).verdicts == {}


def test_dead_channels_change_no_verdict():
    truth = {"join": "skip-up"}
    tensors = calibrated(drawn(truth))
    for block in ("down0", "dec1", "dec0"):
        tensors[f"{block}.conv0.weight"][:3] = 0
        tensors[f"{block}.conv0.bias"][:3] = 0
        tensors[f"{block}.norm0.running_mean"][:3] = 0
        tensors[f"{block}.norm0.running_var"][:3] = 0
    decision = run(decide(Toys(), tensors))
    assert decision.best.choices["join"] == "skip-up"
    assert decision.verdicts["join"].decided
    assert decision.fit.typical < 1


def test_statistics_of_another_network_are_doubted():
    tensors = calibrated(drawn({}))
    generator = torch.Generator().manual_seed(3)
    for name, tensor in tensors.items():
        if "running" in name:
            tensor.copy_(5 * torch.rand(tensor.shape, generator=generator) + 3)
    decision = run(decide(Toys(), tensors))
    assert decision.is_uncertain
    assert decision.known()["layout"].source == "assumed"
    assert "fit none of the networks" in decision.known()["layout"].why
    assert not any(verdict.decided for verdict in decision.verdicts.values())


def test_where_all_networks_misfit_the_norms_say_little():
    truth = {"join": "skip-up", "up_activation": "relu", "norm_place": "after-activation"}
    tensors, generator = calibrated(drawn(truth)), torch.Generator().manual_seed(5)
    assert run(decide(Toys(), tensors)).best.choices["norm_place"] == "after-activation"
    for name in [name for name in tensors if "running_var" in name][1:]:
        tensors[name] *= torch.exp(6 * torch.randn(tensors[name].shape, generator=generator))
    decision = run(decide(Toys(), tensors))
    assert decision.fit.late > 10 * UNCERTAIN
    assert {name: decision.best.choices[name] for name in OPEN} == {
        n: v[0] for n, v in OPEN.items()
    }


def test_the_same_file_gives_the_same_answer():
    tensors = calibrated(drawn({}))
    one, two = (run(decide(Toys(), tensors)) for _ in range(2))
    assert one.verdicts == two.verdicts
    assert bits(one.fit) == bits(two.fit)
    assert [c.choices for c in one.candidates] == [c.choices for c in two.candidates]


def test_the_users_image_is_shown_where_it_is_large_enough(nuclei):
    tensors = calibrated(drawn({"join": "skip-up"}))
    decision = run(decide(Toys(), tensors, nuclei))
    assert "parts of your image" in decision.shown
    assert decision.best.choices["join"] == "skip-up"
    small = Image(data=nuclei.data[:20, :20], axes="yx")
    assert "bundled" in run(decide(Toys(), tensors, small)).shown


def test_it_stops_when_asked():
    job = decide(Toys(), calibrated(drawn({})))
    next(job)
    next(job)
    job.cancel()
    with pytest.raises(Cancelled, match="Stopped on request"):
        run(job)


def test_it_tells_how_far_it_is():
    reports = list(decide(Toys(), calibrated(drawn({}))))
    assert {report.what for report in reports} == {"network"}
    done = [report.done for report in reports]
    assert done == sorted(done) and done[-1] > 5


def test_topologies_that_fit_alike_have_to_agree():
    class Two(Toys):
        layouts = ("toy", "reversed")

        def candidate(self, layout, choices):
            one = super().candidate(layout, choices)
            if layout == "toy":
                return one
            join = "up-skip" if one.choices["join"] == "skip-up" else "skip-up"
            taken = {name: one.choices[name] for name in OPEN}
            return replace(one, graph=drawn({**taken, "join": join}))

    decision = run(decide(Two(), calibrated(drawn({}))))
    assert not decision.verdicts["layout"].decided
    assert not decision.verdicts["join"].decided
    assert decision.verdicts["norm_place"].decided


class Kinds(Toys):
    """Two topologies; each has one value of a choice of its own, and a choice the other lacks."""

    layouts = ("toy", "second")

    def __init__(self, second):
        super().__init__()
        self.second = second

    def candidate(self, layout, choices):
        known = {name: value for name, value in choices.items() if name in OPEN}
        one = super().candidate(layout, known)
        first = layout == "toy"
        if not first:
            one = replace(one, graph=drawn({**one.choices, **self.second}))
        own = {"kind": "a" if first else "b"} | ({} if first else {"resize": "nearest"})
        if choices.get("kind", own["kind"]) != own["kind"]:
            raise ValueError(f"{choices['kind']} is no kind of {layout}")
        more = {"kind": (own["kind"], "other")} | ({} if first else {"resize": ("nearest", "x")})
        return replace(
            one, choices={**one.choices, **own}, open={**one.open, **more, "layout": self.layouts},
            prior=one.prior - (not first), why={**one.why, **dict.fromkeys(more, "")},
        )  # fmt: skip


@pytest.mark.parametrize("decided", [True, False])
def test_a_value_that_each_other_topology_lacks_is_decided_where_these_are_ruled_out(decided):
    second = {"norm_place": "after-activation"} if decided else {}
    verdict = run(decide(Kinds(second), calibrated(drawn({})))).verdicts["kind"]
    assert (verdict.value, verdict.against, verdict.decided) == ("a", "b", decided)
    assert verdict.traced == decided


def test_a_choice_that_only_one_topology_has_does_not_keep_it_first():
    far, near = (Fit(norms={str(n): value for n in range(4)}) for value in (0.07, 0.05))
    toy, second = (Kinds({}).candidate(layout, {}) for layout in Kinds.layouts)
    one, best = (Judged(candidate=c, fit=f) for c, f in ((toy, far), (second, near)))
    assert MARGINS["resize"] < margin(near, far) < MARGINS["layout"]
    one = replace(one, candidate=replace(toy, graph=drawn({"join": "skip-up"})))
    assert _leads(one, best)
    worse = replace(one, fit=Fit(norms={str(n): 1.0 for n in range(4)}))
    assert _leads(worse, best, misfits=True) and not _leads(worse, best)


@pytest.mark.parametrize(
    ("name", "value", "decided"),
    [
        ("activation", "none", False),
        ("encoder_activation", "same", False),
        ("activation", "elu", False),
        ("activation", "relu6", False),
        ("residual", "none", True),
        ("residual", "inner", False),
    ],
)
def test_no_value_is_decided_that_what_is_on_no_list_is_like(name, value, decided):
    verdict = verdict_on(name, value, fit_of([0.001] * 8, 0.01), fit_of([0.05] * 8, 0.1))
    assert (verdict.value, verdict.decided) == (value, decided)


def fit_of(norms, *off):
    """Return a fit whose channels are off by so much at each norm, the last for all that follow."""
    sizes = (*off, *(off[-1:] * len(norms)))[: len(norms)]
    return Fit(
        norms={str(n): value for n, value in enumerate(norms)},
        residuals={
            str(n): Residual(np.full((2, 8), size), np.zeros((2, 1, 8)))
            for n, size in enumerate(sizes)
        },
    )


def verdict_on(name, value, fit, against):
    """Return the verdict on a value that fits so, beside another one of the same choice."""
    toy = Toys().candidate("toy", {})
    best, other = (
        Judged(candidate=replace(toy, choices={**toy.choices, name: word}), fit=one)
        for word, one in ((value, fit), ("other", against))
    )
    return _verdict(best, name, {"other": other}, name)


@pytest.mark.parametrize(
    ("near", "far", "decided"),
    [
        ((0.01,), (0.1,), True),
        ((0.01,), (0.011,), False),  # all norms together say too little
        ((0.1, 0.01), (0.01, 0.1), False),  # one norm speaks against it
    ],
)
def test_no_value_is_decided_where_channels_do_not_tell_or_a_norm_speaks_against_it(
    near, far, decided
):
    verdict = verdict_on("join", "up-skip", fit_of([0.001] * 8, *near), fit_of([0.05] * 8, *far))
    assert verdict.margin > MARGINS["join"]
    assert verdict.decided == decided


@pytest.mark.parametrize(("name", "decided"), [("join", True), ("padding", False)])
def test_what_is_said_of_all_layers_is_told_by_each(name, decided):
    fit, against = fit_of([0.001] * 8, 0.01), fit_of([0.05] * 8, 0.01, 0.1)
    assert verdict_on(name, "same", fit, against).decided == decided


class Level(nn.Module):
    """Two convolutions with their norms, by name."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b)


class Levels(nn.Module):
    """The layers of a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = Level(3, 8), Level(8, 16), Level(16, 32)
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), Level(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), Level(16, 8)
        self.head = nn.Conv2d(8, 1, 1)


@pytest.mark.parametrize("inner", ["each", "none"])
def test_an_activation_that_blocks_lack_is_missed_nowhere_else(inner, tmp_path):
    torch.save(Levels().state_dict(), tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    truth = space.candidate(space.layouts[0], {"inner_activation": inner})
    best = run(decide(space, calibrated(truth.graph))).best
    assert (best.choices["inner_activation"], best.choices["activation"]) == (inner, "relu")


def test_a_first_candidate_that_cannot_take_the_tensors_stops_nothing():
    class Wrong(Toys):
        def first(self, n):
            return (Toys(channels=3).candidate("u", {}), *super().first(n))

    decision = run(decide(Wrong(), calibrated(drawn({"join": "skip-up"}))))
    assert decision.best.choices["join"] == "skip-up"
    assert decision.verdicts["join"].decided


def test_a_graph_that_cannot_take_the_tensors_is_left_out():
    good = drawn({})
    ranking = run(rank([good, drawn({}, channels=3)], calibrated(good)))
    assert ranking.order == (0,)


@pytest.fixture
def nuclei():
    from napari_segnet.samples import nuclei_2d

    return nuclei_2d()


def test_every_topology_is_tried_with_the_choices_that_were_found():
    """One whose usual choices fit badly may fit best with others."""

    class Many(Toys):
        layouts = tuple("abcdefghij")

    search = Search.begin(Many(), Many().first(1), calibrated(drawn({})), None)
    found = {"pooling": "average", "norm_place": "after-activation"}
    for layout in Many.layouts:
        run(search.judged(layout, {}))
    best = run(search.judged("a", found))
    run(search._met(best))
    tried = {one.candidate.layout for one in search._found.values() if one and all(
        one.candidate.choices[name] == value for name, value in found.items()
    )}  # fmt: skip
    assert tried == set(Many.layouts)
