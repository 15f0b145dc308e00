"""The U-Net of jvanvugt/pytorch-unet: what no tensor shows, and sizes without padding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import Jvanvugt, assemble, calibrate, pictures, weights_of

from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families.jvanvugt import JvanvugtUNet, valid_size
from napari_segnet.recognition import identify

FAMILY = JvanvugtUNet()


def describe(module, told=None, **how):
    return FAMILY.describe(weights_of(module, closed=True, **how), told or {})


def test_the_paper_s_network_loses_184_pixels():
    """572 pixels in, 388 out: Ronneberger et al. 2015, figure 1."""
    size = describe(Jvanvugt(width=2)).size
    assert ((184, 184), (16, 16), (12, 12)) == (size.loss, size.multiple, size.remainder)
    assert (572, 572) == size.next_allowed((388, 388))


@settings(max_examples=12)
@given(depth=st.integers(1, 6), kernel=st.sampled_from([1, 3, 5]), more=st.integers(0, 3))
def test_without_padding_each_allowed_size_keeps_what_size_says(depth, kernel, more):
    size = valid_size(2, depth, kernel)
    (n, _), (step, _) = size.minimum, size.multiple
    n += more * step
    assert n % step == size.remainder[0]
    with torch.device("meta"):
        module = Jvanvugt(depth=depth, width=1, kernel=kernel)
        answer = module(torch.zeros(1, 1, n, n))
    assert n - size.loss[0] == answer.shape[2] > 0


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_one_step_below_the_minimum_nothing_is_left(depth):
    size = valid_size(2, depth, 3)
    with torch.device("meta"):
        module = Jvanvugt(depth=depth, width=1)
        n = size.minimum[0] - size.multiple[0]
        with pytest.raises(RuntimeError):
            module(torch.zeros(1, 1, n, n))


@pytest.mark.parametrize("up_mode", ["upconv", "upsample"])
def test_without_padding_the_answer_lies_in_the_middle(up_mode):
    """A mirrored image gives the mirrored answer only if both sides lose the same."""
    module = Jvanvugt(depth=3, width=4, up_mode=up_mode)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.weight.data = layer.weight.data + layer.weight.data.flip(-1)
    weights = weights_of(module)
    checkpoint = FAMILY.describe(weights, {})
    ours = assemble(FAMILY, checkpoint, weights)
    image = pictures(1, 1, checkpoint.size.next_allowed((20, 20)))
    with torch.inference_mode():
        gap = ours(image.flip(-1)).flip(-1) - ours(image)
    assert gap.abs().max() < 1e-5


def test_with_padding_the_size_is_kept_in_steps_of_its_poolings():
    size = describe(Jvanvugt(depth=4, width=2), {"padding": "true"}).size
    assert ((8, 8), (8, 8), (0, 0)) == (size.minimum, size.multiple, size.loss)


def test_padding_that_the_file_records_is_read():
    checkpoint = describe(
        Jvanvugt(width=2), metadata={"hyper_parameters": {"padding": True, "wf": 1}}
    )
    assert checkpoint.hparams["padding"] is True
    assert ("read", "read") == (checkpoint.known["padding"].source, checkpoint.known["size"].source)


def test_assumptions_are_marked_and_say_how_to_tell():
    known = describe(Jvanvugt(width=2)).known
    assert {"assumed"} == {known[n].source for n in ("padding", "pooling", "size", "prepare")}
    assert "padding=true" in known["padding"].why
    assert "2019" in known["pooling"].why


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_pooling_can_be_told(pooling):
    module = calibrate(
        Jvanvugt(depth=3, width=4, padding=True, pooling=pooling), images=pictures(2, 1, (48, 48))
    )
    weights, image = weights_of(module), pictures(1, 1, (48, 48), seed=4)
    with torch.inference_mode():
        gaps = {}
        for told in ("max", "average"):
            checkpoint = FAMILY.describe(weights, {"padding": "true", "pooling": told})
            gap = assemble(FAMILY, checkpoint, weights)(image) - module(image)
            gaps[told] = float(gap.abs().max())
    assert gaps.pop(pooling) < 1e-5
    assert min(gaps.values()) > 0.1


def test_a_wrong_word_for_the_pooling_is_refused():
    with pytest.raises(
        SettingsError, match="pooling must be max or average or max-3x3, not 'mean'"
    ):
        describe(Jvanvugt(width=2), {"pooling": "mean"})


def test_one_class_is_a_foreground():
    (output,) = describe(Jvanvugt(width=2, classes=1)).outputs
    assert ("foreground", "sigmoid") == (output.role, output.activation)


def test_widths_that_do_not_double_are_refused_where_the_up_path_shows_it():
    state = dict(Jvanvugt(width=2, depth=3).state_dict())
    state["up_path.0.up.weight"] = torch.zeros(8, 3, 2, 2)
    named = r"up_path.0.up.weight \(8, 3, 2, 2\) instead of \(8, 4, 2, 2\)"
    with pytest.raises(UnknownNetworkError, match=named):
        describe(state)


def test_a_training_program_that_writes_its_arguments_beside_the_tensors_is_read(tmp_path):
    """As real files do; their network pools by the average."""
    module = Jvanvugt(channels=3, classes=2, depth=2, width=4, padding=True, batch_norm=True)
    beside = {"padding": True, "wf": 2, "depth": 2, "up_mode": "upconv", "batch_norm": True}
    torch.save({"epoch": 3, "model_dict": module.state_dict(), **beside}, tmp_path / "unet.pth")
    found = identify(tmp_path / "unet.pth")
    assert (found.hparams["padding"], found.known["padding"].source) == (True, "read")
    assert (found.hparams["pooling"], found.known["pooling"].source) == ("average", "assumed")
    assert set(found.size.loss) == {0}
    told = identify(tmp_path / "unet.pth", {"pooling": "max"})
    assert told.known["pooling"].source == "told"
