"""Bare weights of libraries are drawn by the names of their tensors."""

from __future__ import annotations

import functools

import pytest
import torch
from tests.support.library_networks import LIBRARIES, randomised, unet3d
from tests.support.tutorials import Taught

import napari_segnet as sn
from napari_segnet.checkpoint import Output
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families.graph import StoredGraph
from napari_segnet.graph import Activation, GraphBuilder
from napari_segnet.graph.build import build
from napari_segnet.programs.library import KINDS
from napari_segnet.programs.library._encoders import _shortcut
from napari_segnet.programs.library._pen import Miss, Pen
from napari_segnet.programs.library._smp_arguments import arguments
from napari_segnet.programs.library.program import _fixed

FAMILY = StoredGraph()


def made(kind):
    """Return a network, an image and its answer."""
    make, shape = LIBRARIES[kind]
    torch.manual_seed(3)
    module = randomised(Taught(make))
    image = torch.randn(shape)
    with torch.no_grad():
        return module, image, module(image)


def saved(module, path, wrap=0):
    """Write a network bare, under ``state_dict``, or as Lightning does."""
    state = module.state_dict()
    inside = {f"model.{key}": value for key, value in state.items()}
    root = (state, {"epoch": 3, "state_dict": state}, {"state_dict": inside, "global_step": 9})
    torch.save(root[wrap], path)
    return path


@pytest.mark.sample(4)
@pytest.mark.parametrize(("wrap", "kind"), [(n % 3, kind) for n, kind in enumerate(LIBRARIES)])
def test_a_network_of_a_library_answers_as_it_does_there(kind, wrap, tmp_path):
    module, image, answer = made(kind)
    found = sn.identify(saved(module, tmp_path / "weights.pth", wrap))
    assert (found.program, found.hparams["library"]) == ("library", kind)
    assert found.known["library"].source == "read"
    with torch.no_grad():
        ours = FAMILY.maps(sn.load(found, "cpu").module, image)
    assert ours.shape == answer.shape
    assert torch.allclose(ours, answer, atol=1e-4 * float(answer.std()) + 1e-5)


def test_flat_kernels_leave_an_axis_as_it_is(tmp_path):
    torch.manual_seed(3)
    module = randomised(Taught(functools.partial(unet3d, depth=1)))
    image = torch.randn(1, 1, 5, 12, 16)
    with torch.no_grad():
        answer = module(image)
        found = sn.identify(saved(module, tmp_path / "weights.pth"))
        ours = FAMILY.maps(sn.load(found, "cpu").module, image)
    assert torch.allclose(ours, answer, atol=1e-4 * float(answer.std()) + 1e-5)


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", LIBRARIES)
def test_what_no_tensor_shows_is_assumed_and_can_be_told(kind, tmp_path):
    module, image, answer = made(kind)
    path = saved(module, tmp_path / "weights.pth")
    found = sn.identify(path)
    assert found.known["nonlinearity"].source == "assumed"
    assert found.known["norm_eps"].source == "assumed"
    other = sn.identify(path, overrides={"norm_eps": 0.01})
    assert sn.identify(path, told={"norm_eps": 0.01}).hparams == other.hparams
    assert other.known["norm_eps"].source == "told"
    with torch.no_grad():
        ours = FAMILY.maps(sn.load(other, "cpu").module, image)
    assert not torch.allclose(ours, answer, atol=1e-3 * float(answer.std()))
    with pytest.raises(SettingsError, match="has no hyper-parameter 'depth'"):
        sn.identify(path, overrides={"depth": 3})


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_taught_network_goes_back_into_its_library(kind, tmp_path):
    module, image, _ = made(kind)
    found = sn.identify(saved(module, tmp_path / "weights.pth", 1))
    ours = sn.load(found, "cpu").module
    with torch.no_grad():
        for value in ours.parameters():
            value.mul_(1.1)
    FAMILY.save(ours, found, tmp_path / "taught.pth")
    again = torch.load(tmp_path / "taught.pth", weights_only=True)
    module.load_state_dict(again["state_dict"])
    with torch.no_grad():
        answer, other = FAMILY.maps(ours, image), module(image)
    assert torch.allclose(answer, other, atol=1e-4 * float(answer.std()) + 1e-5)


def test_a_tensor_too_few_is_refused_by_its_name(tmp_path):
    module, _, _ = made("nnunet")
    state = {k: v for k, v in module.state_dict().items() if "transpconvs.1.bias" not in k}
    state = {k: v for k, v in state.items() if "stages.1.convs.0.conv.weight" not in k}
    state = {k: v for k, v in state.items() if "stages.1.convs.0.all_modules.0" not in k}
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UnknownNetworkError, match=r"decoder\.stages\.1\.convs\.0\.conv\.weight"):
        sn.identify(tmp_path / "weights.pth")


def test_a_tensor_too_many_is_refused_by_its_name(tmp_path):
    module, _, _ = made("nnunet")
    state = {**module.state_dict(), "decoder.gate.weight": torch.zeros(4, 4, 1, 1, 1)}
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UnknownNetworkError, match=r"not part of it: decoder\.gate\.weight"):
        sn.identify(tmp_path / "weights.pth")


def test_the_order_of_norm_and_slopes_is_read_where_they_are_listed(tmp_path):
    module, _, _ = made("monai-unet")
    state = module.state_dict()
    torch.save(state, tmp_path / "weights.pth")
    assert sn.identify(tmp_path / "weights.pth").hparams["adn_ordering"] == "NDA"
    turned = sorted(state, key=lambda key: (key.rpartition(".adn.")[0], ".adn.N" in key))
    torch.save({key: state[key] for key in turned}, tmp_path / "turned.pth")
    assert sn.identify(tmp_path / "turned.pth").hparams["adn_ordering"] == "ADN"


def test_arguments_beside_the_weights_count_as_read(tmp_path):
    module, _, _ = made("smp-unet")
    (tmp_path / "config.json").write_text(
        '{"_model_class": "Unet", "encoder_name": "resnet18", "decoder_interpolation": "bilinear"}'
    )
    saved(module, tmp_path / "pytorch_model.bin")
    found = sn.identify(tmp_path)
    assert found.hparams["upsampling"] == "linear"
    assert found.known["upsampling"].source == "read"


def test_arguments_of_an_encoder_are_found_wherever_they_were_put():
    said = {"encoder_name": "tu-tf_efficientnet_b0", "decoder_atrous_rates": (6, 12, 18)}
    found = arguments({"hyper_parameters": {"model": {**said, "encoder_output_stride": 16}}})
    assert found == {"padding": "tensorflow", "rates": "6,12,18", "output_stride": 16}
    assert arguments({"epoch": 3}) == {}


def test_a_dilated_level_of_timm_averages_at_full_size():
    """A ResNet-D there pads one pixel behind, and counts it (``AvgPool2dSame``)."""
    norm, mix = torch.nn.BatchNorm2d(6).eval(), torch.nn.Conv2d(4, 6, 1, bias=False)
    name = "encoder.model.layer4.0.downsample"
    state = {f"{name}.2.{key}": value for key, value in norm.state_dict().items()}
    state[f"{name}.1.weight"] = mix.weight
    pen = Pen({key: tuple(value.shape) for key, value in state.items()}, 4, 2, {})
    network = build(pen.draw.graph(_shortcut(pen, name, pen.image, 1, True)))
    network.load_state_dict(state)
    image = torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        padded = torch.nn.functional.pad(image, (0, 1, 0, 1))
        expected = norm(mix(torch.nn.functional.avg_pool2d(padded, 2, 1)))
        assert torch.allclose(network.eval()(image), expected, atol=1e-6)
    plain = Pen({key.replace(".model", ""): v for key, v in pen.shapes.items()}, 4, 2, {})
    with pytest.raises(Miss, match="averages at full size"):
        _shortcut(plain, name.replace(".model", ""), plain.image, 1, True)


def test_names_of_kinds_are_unique():
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)


PLANS = {
    "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": 99.5, "std": 39.5, "percentile_00_5": -41.0, "percentile_99_5": 176.0}
    },
    "configurations": {
        "3d_fullres": {"spacing": [5.0, 0.8, 0.8], "normalization_schemes": ["CTNormalization"]},
        "3d_cascade": {"inherits_from": "3d_fullres", "batch_size": 2},
    },
}


def nnunet_file(path, plans=PLANS, labels=None, channels=2):
    """Write a checkpoint as nnU-Net's trainer does."""
    module, _, _ = made("nnunet")
    state = module.state_dict()
    if channels == 1:
        first = [key for key in state if "encoder.stages.0.0.convs.0" in key and "weight" in key]
        state |= {key: state[key][:, :1] for key in first if state[key].ndim == 5}
    given = labels or {"background": 0, "liver": 1, "tumour": 2}
    arguments = {"plans": plans, "configuration": "3d_cascade", "dataset_json": {"labels": given}}
    torch.save({"network_weights": state, "init_args": arguments, "_best_ema": 0.8}, path)
    return path


def test_a_checkpoint_of_nnunet_says_how_images_are_prepared(tmp_path):
    found = sn.identify(nnunet_file(tmp_path / "checkpoint_final.pth", channels=1))
    how = "clip:-41.0,176.0 then mean-std:99.5,39.5"
    assert [dict(step.options) for step in found.prepare] == [{"how": how, "over": "volume"}]
    assert found.pixel_size_um == {"z": 5000.0, "y": 800.0, "x": 800.0}
    assert found.class_names == ("background", "liver", "tumour")
    facts = ("prepare", "pixel_size_um", "class_names")
    assert {found.known[name].source for name in facts} == {"read"}


def test_what_nnunet_does_otherwise_is_assumed_or_noted(tmp_path):
    spacing = PLANS["configurations"]["3d_fullres"]["spacing"]
    own = {"spacing": spacing, "normalization_schemes": ["ZScoreNormalization"] * 2}
    plans = {"transpose_forward": [1, 0, 2], "configurations": {"3d_cascade": own}}
    regions = {"background": 0, "whole": [1, 2], "core": [2], "rim": 1}
    found = sn.identify(nnunet_file(tmp_path / "checkpoint.pth", plans, regions))
    assert found.prepare[0].options["how"] == "z-score"
    assert found.known["prepare"].source == "assumed"
    assert found.class_names == ("background", "whole", "core", "rim")
    assert found.outputs[0].paints == (1, 2, 3)
    assert found.known["outputs"].source == "assumed"
    assert any("regions that may overlap" in note and "core" in note for note in found.notes)
    assert found.pixel_size_um == {"z": 800.0, "y": 5000.0, "x": 800.0}


def test_plans_of_another_form_are_left_out(tmp_path):
    plans = {"configurations": {"3d_cascade": {"spacing": ["a"], "normalization_schemes": 3}}}
    found = sn.identify(nnunet_file(tmp_path / "checkpoint.pth", plans, {"a": 1}))
    assert found.known["prepare"].source == "assumed"
    assert (found.pixel_size_um, found.class_names) == ({}, ())


def test_a_network_gets_other_classes_and_stays_one_of_its_library(tmp_path):
    module, image, _ = made("smp-unet")
    found = sn.identify(saved(module, tmp_path / "weights.pth"))
    other = FAMILY.with_outputs(found, (Output(role="class", channels=4, activation="softmax"),))
    FAMILY.save(FAMILY.build(other), other, tmp_path / "taught.pth")
    again = sn.identify(tmp_path / "taught.pth")
    assert (again.program, again.hparams["library"], again.classes) == ("library", "smp-unet", 4)
    assert sn.load(again, "cpu").module(image).shape == (1, 4, 64, 64)


def test_activations_that_only_the_library_says_are_assumed_of_the_graph():
    draw = GraphBuilder(1, 2)
    x = draw.add("a", Activation(function="silu"), GraphBuilder.image)
    graph = draw.graph(draw.add("b", Activation(function="relu"), x))
    assert _fixed(graph, {"nonlinearity": "relu"}) == ["silu"]
    assert _fixed(graph, {"nonlinearity": "silu"}) == ["relu"]
