"""The U-Net of milesial/Pytorch-UNet: what its contract test does not ask."""

from __future__ import annotations

import pytest
import torch
from support.networks import Milesial, assemble, calibrate, pictures, weights_of

from napari_segnet.checkpoint import Output, Size
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families.kit.blocks import place, unplace
from napari_segnet.families.milesial import MilesialUNet

FAMILY = MilesialUNet()


def describe(module, told=None, **how):
    return FAMILY.describe(weights_of(module, closed=True, **how), told or {})


def test_the_published_network_has_118_tensors_and_31_million_values():
    """Counted in the original of December 2022: 110 tensors if bilinear."""
    with torch.device("meta"):
        module = Milesial(channels=3, classes=2, width=64)
        bilinear = Milesial(channels=3, classes=2, width=64, bilinear=True)
    assert (118, 31_037_698) == (len(module.state_dict()), describe(module).parameters)
    assert 110 == len(bilinear.state_dict())
    assert describe(bilinear).hparams["bilinear"] is True


def test_any_size_of_at_least_its_poolings_goes():
    size = describe(Milesial(depth=3)).size
    assert Size(minimum=(8, 8), multiple=(1, 1), stride=(8, 8)) == size


def test_one_class_is_a_foreground_and_more_are_classes():
    one = Output(role="foreground", channels=1, activation="sigmoid")
    many = Output(role="class", channels=3, activation="softmax")
    assert (one,) == describe(Milesial(classes=1)).outputs
    assert (many,) == describe(Milesial(classes=3)).outputs


def test_several_independent_classes_can_be_told():
    checkpoint = describe(Milesial(classes=3), {"activation": "sigmoid"})
    assert "sigmoid" == checkpoint.outputs[0].activation
    assert "told" == checkpoint.known["outputs"].source


def test_a_softmax_over_one_channel_is_refused():
    with pytest.raises(
        SettingsError, match="activation must be sigmoid or none or tanh, not 'softmax'"
    ):
        describe(Milesial(classes=1), {"activation": "softmax"})


def test_the_up_sampling_cannot_be_told_wrongly():
    with pytest.raises(SettingsError, match="say bilinear = false, but true was told"):
        describe(Milesial(), {"bilinear": "true"})
    assert describe(Milesial(bilinear=True), {"bilinear": "true"}).hparams["bilinear"] is True


@pytest.mark.parametrize(
    ("classes", "values", "names"),
    [
        (2, [0, 255], ("mask value 0", "mask value 255")),
        (1, [0, 1], ("mask value 0", "mask value 1")),
        (2, [[0, 0, 0], [255, 0, 0]], ("mask value [0, 0, 0]", "mask value [255, 0, 0]")),
    ],
)
def test_mask_values_name_the_classes(classes, values, names):
    checkpoint = describe(Milesial(classes=classes), metadata={"mask_values": values})
    assert names == checkpoint.class_names
    assert values == checkpoint.card["mask_values"]
    assert "read" == checkpoint.known["class_names"].source


@pytest.mark.parametrize("values", [[0, 1, 2], "grey", [object(), 1], None])
def test_mask_values_that_do_not_fit_name_nothing(values):
    checkpoint = describe(Milesial(classes=2), metadata={"mask_values": values})
    assert () == checkpoint.class_names
    assert "assumed" == checkpoint.known["class_names"].source


def test_the_recipe_is_that_of_its_training_program():
    (step,) = describe(Milesial()).prepare
    assert ("normalize", "divide-255-if-over-1") == (step.name, step.options["how"])
    assert "assumed" == describe(Milesial()).known["prepare"].source


def test_half_precision_files_are_recognised_and_remembered():
    assert "float16" == describe(Milesial().half()).store.dtype


def test_old_names_lead_to_new_ones():
    keys = describe(Milesial(old=True, bias=True)).store.keys
    assert "inc.double_conv.0.weight" == keys["inc.conv.conv.0.weight"]
    assert "down2.maxpool_conv.1.double_conv.3.bias" == keys["down2.mpconv.1.conv.3.bias"]
    assert "up4.conv.double_conv.1.running_var" == keys["up4.conv.conv.1.running_var"]
    assert "outc.conv.weight" == keys["outc.conv.weight"]


def test_a_missing_old_tensor_is_named_as_in_the_file():
    state = dict(Milesial(old=True, bias=True).state_dict())
    del state["up2.conv.conv.1.bias"]
    with pytest.raises(UnknownNetworkError, match=r"1 tensor is missing: up2.conv.conv.1.bias"):
        describe(state)


def test_many_foreign_tensors_are_counted():
    state = dict(Milesial().state_dict())
    state |= {f"gate{i}.weight": torch.zeros(2) for i in range(6)}
    with pytest.raises(UnknownNetworkError, match=r"6 tensors are not part of it: .* and 2 more\."):
        describe(state)


def test_a_fork_that_joins_other_widths_is_refused():
    state = dict(Milesial().state_dict())
    key = "up3.conv.double_conv.0.weight"
    state[key] = torch.zeros(16, 24, 3, 3)
    with pytest.raises(UnknownNetworkError, match=rf"{key} \(16, 24, 3, 3\) instead of \(16, 32"):
        describe(state)


def test_a_file_without_any_pooling_is_refused():
    state = {k: v for k, v in Milesial().state_dict().items() if k.startswith(("inc", "outc"))}
    with pytest.raises(UnknownNetworkError, match=r"tensor down1\.maxpool_conv.* is missing"):
        describe(state)


def test_a_fork_with_group_normalisation_is_refused():
    state = {k: v for k, v in Milesial().state_dict().items() if "running" not in k}
    with pytest.raises(UnknownNetworkError, match="Another normalisation or a dropout"):
        describe(state)


@pytest.mark.parametrize("shape", [(101, 150), (96, 131)])
def test_a_placed_cut_out_equals_the_whole_image(shape):
    """Depth 2: the receptive field reaches less than 32 pixels to each side."""
    example = Milesial(channels=1, classes=1, depth=2, bilinear=True, width=6)
    module = calibrate(example, seed=1, images=pictures(4, 1, (64, 64)))
    weights = weights_of(module)
    ours = assemble(FAMILY, FAMILY.describe(weights, {}), weights)
    image = pictures(1, 1, shape, seed=2)
    halo, first = 32, (32, 60)
    with torch.inference_mode():
        whole = ours(image)
        cut = image[..., first[0] :, first[1] :]
        alone = ours(cut)
        place(ours, first, shape)
        placed = ours(cut)
        unplace(ours)
    kept = (..., slice(halo, None), slice(halo, None))
    expected = whole[..., first[0] :, first[1] :][kept]
    assert (expected - placed[kept]).abs().max() < 1e-4
    assert (expected - alone[kept]).abs().max() > 0.05


def test_bilinear_is_a_short_word_for_two_ways_to_up_sample():
    weights = weights_of(Milesial(width=4, depth=2, bilinear=True))
    family = MilesialUNet()
    for word, way in (("true", "linear-aligned"), ("false", "nearest")):
        found = family.describe(weights, {"bilinear": word})
        assert found.hparams["upsampling"] == way
        assert (found.hparams["bilinear"], found.known["bilinear"].source) == (
            way != "nearest",
            "told",
        )
    with pytest.raises(SettingsError, match="bilinear must be true or false, not 'maybe'"):
        family.describe(weights, {"bilinear": "maybe"})


def test_overlapping_windows_need_sizes_without_an_odd_pixel():
    weights = weights_of(Milesial(width=4, depth=2))
    found = MilesialUNet().describe(weights, {"pooling": "max-3x3"})
    assert found.size.multiple == (4, 4)
