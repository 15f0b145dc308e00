"""Bare weights of hand-written networks: found, equal, told, and refused by name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.bare_networks import BARE, FOREIGN, FUNCTIONAL, SUPERVISED, settled
from torch import nn

from napari_segnet.containers import Weights, open_weights
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.evidence import decide
from napari_segnet.families import Trainable
from napari_segnet.graph import Graph, tensors
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import (
    Candidate,
    Space,
    read_structure,
    with_both_answers,
)
from napari_segnet.progress import run
from napari_segnet.recognition import family_of, identify
from napari_segnet.sidecar import write_sidecar


def saved(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


def opened(path: Path) -> tuple[Weights, Space]:
    weights = open_weights(path)[0]
    return weights, read_structure(weights)


def answered(graph: Graph, weights: Weights, x: torch.Tensor) -> torch.Tensor:
    module = build(graph).eval()
    module.load_state_dict({key: weights.tensors[key].load() for key in module.state_dict()})
    with torch.no_grad():
        answer: torch.Tensor = module(x)
    return answer


def picture(graph: Graph) -> torch.Tensor:
    operation = graph.image.operation
    generator = torch.Generator().manual_seed(1)
    edges = (32, 32) if graph.ndim == 2 else (8, 32, 32)
    return torch.rand((1, operation.channels([]), *edges), generator=generator)


@pytest.fixture(scope="module", params=BARE)
def hand_written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, dict[str, str], Weights, Space]:
    """A network, what is told of it, its tensors, and all that they can be: searched once."""
    make, told = BARE[request.param]
    network = settled(make())
    return network, dict(told), *opened(saved(network, tmp_path_factory.mktemp("net") / "net.pth"))


@pytest.mark.sample(5)
def test_a_hand_written_network_is_found_with_what_is_told(
    hand_written: tuple[nn.Module, dict[str, str], Weights, Space],
) -> None:
    network, told, weights, space = hand_written
    first = next(
        one
        for layout in space.layouts
        if (one := fitting(space, layout, told)) is not None and equal(one.graph, weights, network)
    )
    # What the tensors say of the topology is said by the first three.
    assert first.layout in space.layouts[:3]


def fitting(space: Space, layout: str, told: dict[str, str]) -> Candidate | None:
    try:
        return space.candidate(layout, told)
    except ValueError:
        return None


def equal(graph: Graph, weights: Weights, network: nn.Module) -> bool:
    x = picture(graph)
    with torch.no_grad():
        truth = network(x)
    answer = answered(graph, weights, x)
    if answer.shape != truth.shape:
        return False
    return bool((answer - truth).abs().max() <= 1e-3 * truth.std())


def test_every_candidate_uses_every_tensor_once_and_shapes_agree(
    hand_written: tuple[nn.Module, dict[str, str], Weights, Space],
) -> None:
    _, _, weights, space = hand_written
    shapes = {key: tensor.shape for key, tensor in weights.tensors.items()}
    candidates = space.first(12)
    assert candidates
    for one in candidates:
        assert {key: tensor.shape for key, tensor in tensors(one.graph).items()} == shapes
        used = [name for node in one.graph.nodes for name in node.tensors.values()]
        assert len(used) == len(set(used))
        assert set(one.choices) == set(one.open) == set(one.why)
        assert all(one.choices[choice] in one.open[choice] for choice in one.choices)


def test_candidates_come_by_prior_and_no_network_twice(tmp_path: Path) -> None:
    _, space = opened(saved(BARE["backwards"][0](), tmp_path / "net.pth"))
    candidates = space.first(20)
    priors = [one.prior for one in candidates]
    assert priors == sorted(priors, reverse=True)
    # The most frequent way of each: counts of public repositories.
    likeliest = candidates[0].choices
    assert likeliest["join"] == "up-skip" and likeliest["pooling"] == "max"
    assert {one.choices["join"] for one in candidates} == {"up-skip", "skip-up"}


def test_a_choice_that_is_not_possible_is_refused(tmp_path: Path) -> None:
    _, space = opened(saved(BARE["residual"][0](), tmp_path / "net.pth"))
    layout = space.layouts[0]
    with pytest.raises(ValueError, match="pooling is max or strided"):
        space.candidate(layout, {"pooling": "min"})
    with pytest.raises(ValueError, match="is no choice"):
        space.candidate(layout, {"colour": "red"})
    with pytest.raises(ValueError, match="layout is one of"):
        space.candidate("no-such", {})


@pytest.mark.parametrize("name", FOREIGN)
def test_what_labels_no_pixels_is_never_opened(name: str, tmp_path: Path) -> None:
    path = saved(FOREIGN[name](), tmp_path / "net.pth")
    with pytest.raises(UnknownNetworkError):
        identify(path)


def test_a_refusal_names_the_tensors_that_are_left(tmp_path: Path) -> None:
    network = BARE["resizing"][0]()
    network.extra = nn.Linear(4, 3)
    with pytest.raises(UnknownNetworkError, match=r"no place was found for extra\.weight \(3, 4\)"):
        identify(saved(network, tmp_path / "net.pth"))


def test_a_refusal_says_that_no_channels_close(tmp_path: Path) -> None:
    network = BARE["resizing"][0]()
    network.lost = nn.Conv2d(77, 5, 3)
    with pytest.raises(UnknownNetworkError, match="no network was found whose channels close"):
        identify(saved(network, tmp_path / "net.pth"))


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    state = BARE["resizing"][0]().state_dict()
    state = {key: (100 * value).to(torch.int64) for key, value in state.items()}
    path = tmp_path / "net.pth"
    torch.save(state, path)
    with pytest.raises(UnknownNetworkError, match="hold no floating numbers"):
        identify(path)


def test_a_checkpoint_says_what_is_assumed_and_what_is_told(tmp_path: Path) -> None:
    path = saved(BARE["resizing"][0](), tmp_path / "net.pth")
    found = identify(path, {"resize": "bilinear"})
    assert (found.family, found.program) == ("graph", "structure")
    assert found.hparams["resize"] == "bilinear" and found.known["resize"].source == "told"
    assert found.known["join"].source == "assumed" and found.known["pooling"].source == "assumed"
    assert (found.channels, found.outputs[0].channels) == (3, 2)
    assert found.size.multiple == (4, 4)


@pytest.mark.parametrize("told", [{"colour": "red"}, {"resize": "cubic"}, {"layout": "none"}])
def test_what_cannot_be_told_is_refused_with_what_can(told: dict[str, str], tmp_path: Path) -> None:
    path = saved(BARE["resizing"][0](), tmp_path / "net.pth")
    with pytest.raises(SettingsError, match=r"cannot be read so .*join: up-skip or skip-up"):
        identify(path, told)


def test_a_network_of_unknown_purpose_is_said_to_be_one(tmp_path: Path) -> None:
    found = identify(saved(BARE["denoiser"][0](), tmp_path / "net.pth"))
    assert any("purpose of this network is not known" in note for note in found.notes)
    assert (found.outputs[0].role, found.known["outputs"].source) == ("other", "assumed")


def test_an_unused_norm_is_named(tmp_path: Path) -> None:
    network = BARE["backwards"][0]()
    network.spare = nn.BatchNorm2d(7)
    found = identify(saved(network, tmp_path / "net.pth"))
    assert any("no layer uses: spare.weight" in note for note in found.notes)


def test_a_network_is_written_back_as_it_was(tmp_path: Path) -> None:
    make, _ = BARE["two lists"]
    network = settled(make())
    path, again = tmp_path / "net.pth", tmp_path / "again.pth"
    torch.save({"epoch": 3, "model_state_dict": network.state_dict()}, path)
    found = identify(path)
    family = family_of(found)
    assert isinstance(family, Trainable)
    module = build(family.graph(found))  # type: ignore[attr-defined]
    module.load_state_dict(network.state_dict())
    with torch.no_grad():
        next(module.parameters()).add_(1)
    family.save(module, found, again)  # type: ignore[attr-defined]
    content = torch.load(again, weights_only=True)
    assert content["epoch"] == 3
    make().load_state_dict(content["model_state_dict"])
    first = next(iter(content["model_state_dict"]))
    assert torch.equal(content["model_state_dict"][first], network.state_dict()[first] + 1)


def test_a_deep_network_is_found_within_two_seconds_of_cpu(tmp_path: Path) -> None:
    weights = open_weights(saved(BARE["stacked"][0](), tmp_path / "net.pth"))[0]
    before = time.process_time()
    read_structure(weights).first(3)
    assert time.process_time() - before < 2


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "name", ["two lists", "residual", "resizing", "backwards", "squeeze-excitation"]
)
def test_a_file_sorted_by_name_is_the_same_network(name: str, tmp_path: Path) -> None:
    make, told = BARE[name]
    network, path = settled(make()), tmp_path / "net.pth"
    torch.save(dict(sorted(network.state_dict().items())), path)
    weights, space = opened(path)
    fitting_ones = (fitting(space, layout, dict(told)) for layout in space.layouts[:3])
    assert any(one is not None and equal(one.graph, weights, network) for one in fitting_ones)


def test_two_networks_in_a_row_stand_in_a_module_of_all(tmp_path: Path) -> None:
    make, told = BARE["stacked"]
    network, path = settled(make()), tmp_path / "net.pth"
    tensors = network.state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
    weights = open_weights(path)[0]
    first = next(iter(weights.tensors)).split(".")[0]
    space = read_structure(weights)
    found = fitting(space, space.layouts[0], dict(told))
    assert first == "module" and found is not None
    names = {node.name.split(".")[1] for node in found.graph.nodes if node.tensors}
    assert names == {"unet1", "unet2"} and found.choices["second_input"] == "answer-first"


def test_a_head_that_only_training_uses_is_named(tmp_path: Path) -> None:
    network = settled(SUPERVISED())
    path = saved(network, tmp_path / "net.pth")
    found = identify(path)
    assert any("no layer uses: ds2.weight, ds2.bias" in note for note in found.notes)
    weights, space = opened(path)
    assert equal(space.first(1)[0].graph, weights, network)


def test_a_module_that_pools_by_functions_is_no_network_without_levels(tmp_path: Path) -> None:
    network, path = settled(FUNCTIONAL()), tmp_path / "net.pth"
    torch.save(network, path)
    weights, space = opened(path)
    first = space.first(1)[0]
    assert first.layout.startswith("3-levels-2-skips")
    assert equal(first.graph, weights, network)


def test_strides_do_not_prove_that_a_module_pools_by_no_function(tmp_path: Path) -> None:
    network, path = BARE["resnet encoder"][0](), tmp_path / "net.pth"
    torch.save(network, path)
    _, space = opened(path)
    first = space.first(1)[0]
    # The names and strides are those of a ResNet, which pools behind its first layer.
    assert first.layout.startswith("6-levels-4-skips")
    assert first.choices["pooling"] == "max-3"
    for layout in space.layouts:
        one = space.candidate(layout, {})
        assert len(one.open["pooling"]) > 1, layout
    with pytest.raises(ValueError, match="pooling is"):
        space.candidate(layout, {"pooling": "other"})


def test_what_only_some_topologies_say_is_assumed(tmp_path: Path) -> None:
    _, space = opened(saved(BARE["added"][0](), tmp_path / "net.pth"))
    found = [space.candidate(layout, {}) for layout in space.layouts]
    taken = {name: {one.choices.get(name) for one in found} for name in found[0].choices}
    several = {name for name, values in taken.items() if len(values) > 1}
    assert several > {"layout"}
    assert all(len(one.open[name]) > 1 for one in found for name in several & set(one.open))


def test_a_sum_of_the_right_width_is_never_excluded(tmp_path: Path) -> None:
    _, space = opened(saved(BARE["added"][0](), tmp_path / "net.pth"))
    first = space.first(1)[0]
    assert set(first.open["join"]) == {"none", "add"}
    both = {
        space.candidate(first.layout, {"join": word}).choices["join"] for word in ("none", "add")
    }
    assert both == {"none", "add"}


def test_a_topology_is_never_proven_by_shapes_alone(tmp_path: Path) -> None:
    found = identify(saved(BARE["backwards"][0](), tmp_path / "net.pth"))
    assert found.known["layout"].source == "assumed"
    assert "another forward may leave the same file" in found.known["layout"].why


@pytest.mark.long
def test_layers_that_are_registered_twice_are_read_once(tmp_path: Path) -> None:
    network = settled(BARE["layers on skips"][0]())
    state = network.state_dict()
    own = {key: value for key, value in state.items() if key.startswith("layer1.")}
    path = tmp_path / "net.pth"
    torch.save({**{f"base_model.{key}": value for key, value in own.items()}, **state}, path)
    found = identify(path)
    assert {found.store.keys[f"base_model.{key}"] for key in own} == set(own)
    changed = {f"base_model.{key}": value + 1 for key, value in own.items()}
    torch.save({**changed, **state}, path)
    # The same shapes with other values are layers of their own.
    used = tensors(opened(path)[1].first(1)[0].graph)
    assert any(key.startswith("base_model.") for key in used)


class _Twice(nn.Module):
    """Two convolutions; the first one stands under a second name, too, registered last."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        first, second = nn.Conv2d(channels, wide, 3, padding=1), nn.Conv2d(wide, wide, 3, padding=1)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
        self.conv = first


def test_layers_of_two_names_are_written_back_under_both(tmp_path: Path) -> None:
    network = nn.Module()
    network.enc1, network.mid, network.dec1 = _Twice(1, 4), _Twice(4, 8), _Twice(8, 4)
    network.up1, network.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(4, 1, 1)
    found = identify(saved(network, tmp_path / "net.pth"))
    family = family_of(found)
    assert isinstance(family, Trainable)
    module = family.build(found)  # type: ignore[attr-defined]
    state = {name: value + 1 for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    family.save(module, found, tmp_path / "trained.pth")  # type: ignore[attr-defined]
    network.load_state_dict(torch.load(tmp_path / "trained.pth", weights_only=True))
    for name in ("enc1.layers.0.weight", "out.bias"):
        assert torch.equal(network.state_dict()[name], state[name])
    again = identify(tmp_path / "trained.pth")
    assert again.hparams["graph"] == found.hparams["graph"]


class _SharedNorm(nn.Module):
    """Two convolutions and one norm, which is registered before them."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(wide)
        self.conv1 = nn.Conv2d(channels, wide, 3, padding=1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    network = nn.Module()
    network.enc1, network.mid = _SharedNorm(1, 4), _SharedNorm(4, 8)
    network.up1, network.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), _SharedNorm(8, 4)
    network.out = nn.Conv2d(4, 1, 1)
    return saved(network, tmp_path / "net.pth")


def test_a_network_that_was_told_is_the_same_after_each_training(small: Path) -> None:
    layout = identify(small).hparams["layout"]
    found = identify(small, {"layout": layout, "norm_use": "each", "activation": "elu"})
    for name in ("once.pth", "twice.pth"):
        family = family_of(found)
        assert isinstance(family, Trainable)
        path = small.with_name(name)
        module = family.build(found)  # type: ignore[attr-defined]
        written = family.save(module, found, path)  # type: ignore[attr-defined]
        write_sidecar(written)
        again = identify(path)
        assert again.hparams == found.hparams
        found = again


def test_a_card_without_choices_of_later_versions_means_what_was_drawn_then(small: Path) -> None:
    found = identify(small)
    card = {n: v for n, v in found.hparams.items() if found.known[n].source == "assumed"}
    del card["graph"]
    assert card.pop("norm_use") == "each"
    assert identify(small, card).hparams["norm_use"] == "once"
    assert identify(small, {"layout": card["layout"]}).hparams["norm_use"] == "each"


def test_an_answer_of_half_the_size_is_said_to_be_enlarged(tmp_path: Path) -> None:
    network = nn.Module()
    network.enc1, network.enc2, network.mid = (
        nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1))
        for a, b in ((3, 4), (4, 8), (8, 16))
    )
    network.up1, network.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
    network.out = nn.Conv2d(8, 2, 1)
    path = saved(network, tmp_path / "net.pth")
    small = next(one for one in opened(path)[1].layouts if one.startswith("3-levels-1-skips"))
    found = identify(path, {"layout": small})
    assert found.known["output_resize"].source == "assumed"
    asked = [note for note in found.notes if "output is smaller than the image" in note]
    assert len(asked) == 1 and "set output_resize to bilinear" in asked[0]
    answered = identify(path, {"layout": small, "output_resize": "nearest"})
    assert answered.hparams["output_resize"] == "nearest"
    assert not any("Please check" in note for note in answered.notes)
    # Cards of earlier versions say it with the word for all resizings.
    assert identify(path, {"layout": small, "resize": "nearest"}).hparams == answered.hparams


def _with_spare(path: Path, spare: str, normed: bool = False) -> Path:
    """Save a small network with one layer more before its head, which may be run or not."""
    network = nn.Module()
    network.enc1, network.enc2, dec1 = (
        nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        for a, b in ((3, 4), (4, 8), (8, 4))
    )
    network.up1, network.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), dec1
    layers = [nn.Conv2d(4, 4, 3, padding=1)] + [nn.BatchNorm2d(4)] * normed
    network.add_module(spare, nn.Sequential(*layers) if normed else layers[0])
    network.out = nn.Conv2d(4, 2, 1)
    return saved(network, path)


def test_a_layer_without_which_the_network_closes_is_asked_for(tmp_path: Path) -> None:
    path = _with_spare(tmp_path / "net.pth", "aux")
    found = identify(path)
    assert (found.hparams["unused_layer"], found.known["unused_layer"].source) == (
        "none",
        "assumed",
    )
    assert any("set unused_layer to aux" in note for note in found.notes)
    other = identify(path, {"unused_layer": "aux"})
    assert not any("Please check" in note for note in other.notes)
    assert any("no layer uses: aux.weight, aux.bias" in note for note in other.notes)
    assert set(found.store.keys) - set(other.store.keys) == {"aux.weight", "aux.bias"}


def test_both_answers_to_a_question_are_shown(tmp_path: Path) -> None:
    path = _with_spare(tmp_path / "net.pth", "aux")
    space = opened(path)[1]
    tensors = torch.load(path, weights_only=True)
    # As it was made: all statistics are at their start, and decide nothing.
    shown = run(decide(space, tensors)).candidates[:3]
    assert shown[0].choices["unused_layer"] == "none"
    assert {one.choices["unused_layer"] for one in shown} == {"none", "aux"}


def test_both_answers_to_two_questions_are_shown(tmp_path: Path) -> None:
    network = nn.Module()
    network.enc1, network.enc2, network.mid, dec1 = (
        nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        for a, b in ((3, 4), (4, 8), (8, 16), (16, 8))
    )
    network.up1, network.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), dec1
    network.aux, network.out = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)
    space = opened(saved(network, tmp_path / "net.pth"))[1]
    both = {"unused_layer", "output_resize"}
    half = next(one for one in space.layouts if both <= space.candidate(one, {}).choices.keys())
    found = [space.candidate(half, {"join": value}) for value in ("up-skip", "skip-up")]
    shown = with_both_answers(space, [*found, *space.first(2)])
    assert shown[0] == found[0] and found[1] in shown
    for name in both:
        assert len({one.choices[name] for one in shown[:3]}) == 2


def test_a_layer_that_is_like_the_others_is_run_without_a_question(tmp_path: Path) -> None:
    found = identify(_with_spare(tmp_path / "net.pth", "last", normed=True))
    assert "unused_layer" not in found.hparams


def test_a_step_up_that_is_named_like_the_block_behind_it_is_no_layer_of_it(tmp_path: Path) -> None:
    path, network = tmp_path / "net.pth", nn.Module()
    for name, (a, b) in {"layer1": (1, 4), "layer2": (4, 8), "layer3": (8, 4)}.items():
        if name == "layer3":
            network.layer3_up = nn.ConvTranspose2d(8, 4, 2, 2)
        block = nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1)
        )
        block.shortcut = nn.Conv2d(a, b, 1)
        network.add_module(name, block)
    network.last = nn.Conv2d(4, 1, 1)
    found = opened(saved(network, path))[1].first(1)[0]
    assert found.layout.startswith("2-levels-1-skips")


def test_inside_a_sequential_no_skip_connection_is_added(tmp_path: Path) -> None:
    network = nn.Module()
    network.encoder = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1)
    )
    network.decoder = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 2, 2), nn.ReLU(), nn.Dropout(), nn.Conv2d(8, 1, 3, padding=1)
    )
    found = opened(saved(network, tmp_path / "net.pth"))[1]
    assert all("-0-skips-" in layout for layout in found.layouts[:3])


def test_padding_that_is_recorded_beside_the_tensors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"padding": True, "state_dict": BARE["two lists"][0]().state_dict()}, path)
    found = identify(path)
    assert (found.hparams["padding"], found.known["padding"].source) == ("same", "read")


def test_a_head_that_a_sorted_file_lists_first_runs_last(tmp_path: Path) -> None:
    path, network = tmp_path / "net.safetensors", nn.Module()
    for name, layer in {
        "m1": nn.Conv2d(1, 4, 3, padding=1), "m2": nn.Conv2d(4, 8, 3, padding=1),
        "m3": nn.Conv2d(8, 16, 3, padding=1), "t4": nn.ConvTranspose2d(16, 8, 2, 2),
        "m4": nn.Conv2d(16, 8, 3, padding=1), "t5": nn.ConvTranspose2d(8, 4, 2, 2),
        "m5": nn.Conv2d(8, 4, 3, padding=1), "m0": nn.Conv2d(4, 1, 1),
    }.items():  # fmt: skip
        network.add_module(name, layer)
    save_file(network.state_dict(), path)
    _, space = opened(path)
    graph = space.first(1)[0].graph
    assert space.layouts[0].startswith("3-levels-2-skips")
    assert [node.name for node in graph.nodes if node.tensors][-1] == "m0"
