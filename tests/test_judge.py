"""A fork of a known network is caught by the statistics of its file."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.calibrated import drawn, pictures
from support.forks import MilesialFork
from support.networks import Mateuszbuda
from support.tutorials import Taught
from tests.support.library_networks import LIBRARIES

from napari_segnet.engines.torch import load
from napari_segnet.errors import Cancelled
from napari_segnet.evidence import Decision, Fit, Variants, Verdict
from napari_segnet.evidence._decide import _too_small
from napari_segnet.evidence._residual import Residual
from napari_segnet.evidence._search import Judged
from napari_segnet.judge import HINTS, _sentence, judge
from napari_segnet.programs import UNASKED_COPY
from napari_segnet.progress import run
from napari_segnet.proof._judged import of_judgement
from napari_segnet.recognition import identify
from napari_segnet.sidecar import sidecar_path, write_sidecar


def trained(module, channels=3, seed=0):
    """Give a network random weights and, by its own forward, the statistics of pictures."""
    torch.manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.6, 1.4)
            torch.nn.init.normal_(layer.bias, 0, 0.3)
            layer.momentum = None
    module.train()
    with torch.no_grad():
        for first in (0, 2, 4):
            module(pictures()[first : first + 2].expand(-1, channels, -1, -1))
    return module.eval()


def fork(change=lambda module: None, **how):
    module = MilesialFork(width=8, depth=2, **how)
    change(module)
    return trained(module)


def swap(new):
    def change(module):
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, torch.nn.ReLU):
                    setattr(parent, name, new())

    return change


def skip_last(module):
    module.skip_first = False


def activated(module):
    """Put a ReLU behind each transposed convolution, where no name shows it."""
    for child in module.modules():
        if isinstance(child, torch.nn.ConvTranspose2d):
            child.register_forward_hook(lambda layer, x, y: torch.relu(y))


def residual(module):
    """Add the answer of the first convolution of each block to that of the second."""

    def added(block):
        def forward(x):
            first = block[2](block[1](block[0](x)))
            return first + block[5](block[4](block[3](first)))

        return forward

    for name, child in list(module.named_modules()):
        if name.endswith("double_conv"):
            child.forward = added(child)


def opened(tmp_path, module):
    path = tmp_path / "net.pth"
    torch.save(module.state_dict(), path)
    return identify(path)


def same_answers(checkpoint, module):
    """Load the file as the checkpoint says it is, and compare."""
    from napari_segnet.engines.torch import load

    x = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    with torch.no_grad():
        want = module(torch.from_numpy(x))
    want = torch.sigmoid(want).numpy()
    return np.abs(load(checkpoint, "cpu").maps(x) - want).max()


def test_the_published_network_is_proven(tmp_path):
    module = fork()
    checkpoint = opened(tmp_path, module)
    found = run(judge(checkpoint))
    assert found.forks == {}
    assert found.says.startswith("Decided, as assumed: ") and "join" in found.says
    assert found.checkpoint.known["join"].source == "decided"
    assert found.checkpoint.hparams == checkpoint.hparams
    assert found.checkpoint.known["graph"].source == "assumed"  # not all steps leave a trace
    assert "norms all get what the file's statistics say" in found.checkpoint.known["graph"].why
    assert not found.remarkable
    assert same_answers(found.checkpoint, module) < 1e-5


@pytest.mark.parametrize(
    "change, forks, said",
    [
        (skip_last, {"join": "up-skip"}, {"join": "skip-last"}),
        pytest.param(
            *(swap(torch.nn.Identity), {"activation": "none"}, {"nonlinearity": "none"}),
            marks=pytest.mark.long,
        ),
        (swap(torch.nn.SiLU), {"activation": "silu"}, {"nonlinearity": "silu"}),
        pytest.param(
            *(swap(torch.nn.ELU), {"activation": "elu"}, {"nonlinearity": "elu:1"}),
            marks=pytest.mark.long,
        ),
    ],
    ids=["join", "no activation", "silu", "elu"],
)
def test_a_fork_is_named_and_the_better_network_offered(tmp_path, change, forks, said):
    module = fork(change)
    checkpoint = opened(tmp_path, module)
    assert same_answers(checkpoint, module) > 0.01
    found = run(judge(checkpoint))
    assert found.forks == forks
    assert found.says.startswith("A fork of the published network: the statistics fit better ")
    assert {name: found.checkpoint.hparams[name] for name in said} == said
    assert same_answers(found.checkpoint, module) < 1e-4
    assert found.checkpoint.family == checkpoint.family


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "change, forks",
    [(activated, {"up_activation": "relu"}), (residual, {"residual": "add"})],
    ids=["up activation", "residual"],
)
def test_a_fork_without_a_word_is_offered_as_its_graph(tmp_path, change, forks):
    module = fork(change)
    checkpoint = opened(tmp_path, module)
    found = run(judge(checkpoint))
    assert found.forks == forks
    assert found.checkpoint.family == "graph"
    for name in ("graph", "halo_px", "exact", "size"):  # another step may leave no trace
        assert found.checkpoint.known[name].source == "assumed"
    assert found.checkpoint.prepare == checkpoint.prepare
    for name in ("pooling", "padding_mode", "norm_eps"):  # still not in the file
        assert found.checkpoint.known[name].source in ("assumed", "decided")
        assert found.checkpoint.hparams[name] == checkpoint.hparams[name]
    assert same_answers(found.checkpoint, module) < 1e-4


def test_where_no_network_fits_the_layers_are_named(tmp_path):
    module = fork()
    norm = module.up1.conv.double_conv[1]
    norm.running_var.mul_(9)  # as if something else came to this layer alone
    found = run(judge(opened(tmp_path, module)))
    assert found.forks == {} and found.remarkable
    assert "fits the statistics of the file" in found.says
    assert "most at up1.conv.double_conv.1)" in found.says and "its code" in found.says
    fact = found.checkpoint.known["graph"]
    assert fact.source == "assumed"
    assert fact.why.endswith("do not fit the published network at up1.conv.double_conv.1")


def test_a_fork_of_a_library_runs_as_it_is_named(tmp_path, monkeypatch):
    make, shape = LIBRARIES["nested-unet"]
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, inplace=False: F.silu(x))
    module, x = trained(Taught(make), shape[1]), torch.rand(shape)
    with torch.no_grad():
        want = module(x)
    monkeypatch.undo()
    checkpoint = opened(tmp_path, module)
    facts = checkpoint.known
    assert {facts[n].source for n in ("graph", "halo_px", "exact", "size")} == {"assumed"}
    assert UNASKED_COPY in checkpoint.notes
    found = run(judge(checkpoint))
    assert found.forks == {"activation": "silu"}
    assert found.checkpoint.hparams["nonlinearity"] == "silu"
    assert found.checkpoint.program == "library"
    with torch.no_grad():
        ours = load(found.checkpoint, "cpu").module(x)
    assert torch.allclose(ours, want, atol=1e-4 * float(want.std()) + 1e-5)
    own, published = of_judgement(checkpoint, found).candidates
    assert own.choices == {"nonlinearity": "silu"} and "graph" not in published.choices
    assert UNASKED_COPY not in own.checkpoint.notes


def test_what_fits_better_and_is_not_proven_is_hinted_at(tmp_path):
    space = Variants(drawn({}), ("activation",))
    decision = Decision(candidates=space.first(1), shown="4 bundled pictures")
    verdict = Verdict(
        value="relu", decided=False, margin=-0.5, against="silu", divergence=0.08, other=0.04
    )
    assert _sentence({}, {"activation": verdict}, decision) == (
        "The statistics decide nothing. Not proven, but activation silu fits better (0.04 against "
        "0.08 of relu)."
    )


def test_nothing_is_made_up_for_an_activation_that_no_word_names(tmp_path):
    checkpoint = opened(tmp_path, fork(swap(torch.nn.Softsign)))
    found = run(judge(checkpoint))
    assert found.forks == {}
    assert found.says.startswith("None of the networks that were tried fits the statistics")
    assert found.checkpoint.hparams == checkpoint.hparams
    assert found.checkpoint.known["nonlinearity"].source == "assumed"


def test_what_all_norms_together_make_likelier_is_taken():
    space = Variants(drawn({}), ("activation",))
    names = [str(number) for number in range(8)]

    def judged(value, far, off):
        candidate = space.candidate("published", {"activation": value})
        each = Residual(np.full((2, 8), off), np.zeros((2, 1, 8)))
        fit = Fit(norms=dict.fromkeys(names, far), residuals=dict.fromkeys(names, each))
        return Judged(candidate=candidate, fit=fit)

    usual, slightly = judged("relu", 0.020, 0.2), judged("silu", 0.015, 0.18)
    assert _too_small(slightly, usual, "activation")
    assert _too_small(judged("silu", 0.015, 0.16), usual, "activation")
    assert not _too_small(judged("silu", 0.015, 0.12), usual, "activation")
    assert not _too_small(judged("silu", 0.001, 0.18), judged("relu", 0.5, 0.2), "activation")


def test_paddings_are_looked_for_where_the_family_has_none(tmp_path):
    from support.networks import Jvanvugt

    module = Jvanvugt(padding=True, batch_norm=True, depth=3, width=4, classes=1)
    found = run(judge(opened(tmp_path, trained(module, channels=1))))
    assert found.verdicts["padding"].against == "same" or found.forks == {"padding": "same"}
    if not found.verdicts["padding"].decided:
        assert not found.verdicts["dilation"].decided


@pytest.mark.long
def test_paddings_of_a_published_network_stay_as_published(tmp_path, root, monkeypatch):
    """At the edges of small pictures other paddings may fit real weights better."""
    monkeypatch.syspath_prepend(str(root / "scripts"))
    from own_network import write_own_network

    judgement = run(judge(identify(write_own_network(tmp_path / "a.pth"))))
    assert judgement.checkpoint.hparams["padding_mode"] == "zeros"
    assert "padding" not in judgement.forks


def test_what_was_told_is_not_questioned(tmp_path):
    torch.save(fork(skip_last).state_dict(), tmp_path / "net.pth")
    checkpoint = identify(tmp_path / "net.pth", {"join": "skip-first"})
    found = run(judge(checkpoint))
    assert "join" not in found.verdicts
    assert found.checkpoint.hparams["join"] == "skip-first"
    assert found.checkpoint.known["join"].source == "told"


def test_a_decision_is_kept_beside_the_file(tmp_path):
    module = fork(skip_last)
    found = run(judge(opened(tmp_path, module)))
    write_sidecar(found.checkpoint)
    again = identify(tmp_path / "net.pth")
    assert again.hparams["join"] == "skip-last"
    assert again.known["join"].source == "read"
    assert sidecar_path(again.path).name in again.known["join"].why


def test_a_decision_stands_in_the_form_of_a_checkpoint(tmp_path):
    from napari_segnet.checkpoint import Checkpoint

    found = run(judge(opened(tmp_path, fork()))).checkpoint
    assert Checkpoint.from_json(found.to_json(), found.path).known == found.known


def test_without_norms_nothing_is_decided(tmp_path):
    from support.networks import Jvanvugt

    module = Jvanvugt(padding=True, batch_norm=False, depth=3, width=4, classes=1)
    found = run(judge(opened(tmp_path, module)))
    assert found.says == (
        "The file has no statistics of its layers' inputs, so no assumption is decided."
    )
    assert found.checkpoint.known["join"].source == "assumed"


def test_a_network_that_stands_in_its_file_needs_no_judge():
    found = run(judge(identify("nuclei")))
    assert found.says == "No fact is assumed that statistics could decide."
    assert found.verdicts == {}


def test_statistics_of_another_network_are_told(tmp_path):
    module = fork()
    generator = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if "running" in name:
            tensor.copy_(5 * torch.rand(tensor.shape, generator=generator) + 3)
    found = run(judge(opened(tmp_path, module)))
    assert found.says.startswith("None of the networks that were tried fits the statistics")
    assert found.forks == {}


def test_another_family_is_judged_too(tmp_path):
    module = trained(Mateuszbuda(width=6))
    found = run(judge(opened(tmp_path, module)))
    assert found.forks == {}
    assert found.verdicts["join"].decided


def test_it_stops_when_asked(tmp_path):
    job = judge(opened(tmp_path, fork()))
    next(job)
    next(job)
    job.cancel()
    with pytest.raises(Cancelled, match="Stopped on request"):
        run(job)


def test_what_fits_better_and_is_not_proven_is_offered(tmp_path, monkeypatch):
    checkpoint = opened(tmp_path, fork(lambda _: None))
    monkeypatch.setitem(HINTS, "activation", -9.0)
    found = run(judge(checkpoint))
    ((name, value, other),) = found.offered
    assert name == "activation" and value != "relu"
    assert other.hparams["nonlinearity"] != checkpoint.hparams["nonlinearity"]
    assert other.known["nonlinearity"].source == "assumed"
    assert found.checkpoint.hparams == checkpoint.hparams
    shown = of_judgement(checkpoint, found)
    assert shown.candidates[0].differs == "as published"
    assert identify(checkpoint.path, shown.candidates[1].choices).hparams == other.hparams
