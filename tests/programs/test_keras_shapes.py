"""Networks of Keras whose answer has another shape than an image, or that have several answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.keras_files import functional, h5, image, layer
from support.keras_networks import numbers

import napari_segnet as sn
from napari_segnet.errors import MissingFactError, SettingsError, UnsupportedWeightsError
from napari_segnet.programs import writer_of
from napari_segnet.recognition import identify

Array = np.ndarray
PICTURE = np.random.default_rng(5).uniform(size=(12, 16, 1))


def network(
    path: Path, rows: Sequence[dict[str, Any]], classes: int = 1, *outputs: str, shape: Any = None
) -> tuple[Path, Array]:
    """Write a network of one convolution ``conv`` and what follows; return its kernel as well."""
    kernel = numbers(1, 1, 1, classes)
    conv = layer("Conv2D", "conv", "input", filters=classes, kernel_size=[1, 1], use_bias=False)
    layers = [image(*(shape or (12, 16, 1))), conv, *rows]
    path = h5(path, {"conv": [("conv/kernel:0", kernel)]}, functional(layers, *outputs))
    return path, kernel


def answer(path: Path, told: Any = None, x: Array = PICTURE) -> Array:
    module = sn.load(identify(path, told), device="cpu").module
    picture = torch.from_numpy(np.moveaxis(x, -1, 0)[None].copy()).float()
    with torch.no_grad():
        return np.moveaxis(module(picture).numpy()[0], 0, -1)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    "targets",
    [
        [[12 * 16]],
        [[12 * 16, 1]],
        [[-1]],
        [[12, 16]],
        [[1, 12 * 16], [12, 16, 1]],
        [[12, 16], [12 * 16], [1, 12, 16], [12, 16, 1]],
    ],
)
def test_pixels_of_one_map_in_any_shape(targets: list[list[int]], tmp_path: Path) -> None:
    rows, last = [], "conv"
    for number, target in enumerate(targets):
        rows.append(layer("Reshape", f"r{number}", last, target_shape=target))
        last = f"r{number}"
    rows.append(layer("Activation", "end", last, activation="sigmoid"))
    path, kernel = network(tmp_path / "net.h5", rows)
    assert np.abs(answer(path) - sigmoid(PICTURE @ kernel[0, 0])).max() < 1e-6
    assert identify(path).outputs[0].role == "foreground"


def test_one_map_is_flattened(tmp_path: Path) -> None:
    path, kernel = network(tmp_path / "net.h5", [layer("Flatten", "flat", "conv")])
    assert np.abs(answer(path) - PICTURE @ kernel[0, 0]).max() < 1e-6


def test_pixels_in_a_row_behind_the_channels_and_turned(tmp_path: Path) -> None:
    """As networks for Theano end: channels, pixels; then pixels, channels; then a softmax."""
    rows = [
        layer("Permute", "first", "conv", dims=[3, 1, 2]),
        layer("Reshape", "row", "first", target_shape=[3, 12 * 16]),
        layer("Permute", "turn", "row", dims=[2, 1]),
        layer("Activation", "soft", "turn", activation="softmax"),
    ]
    path, kernel = network(tmp_path / "net.h5", rows, 3)
    assert np.abs(answer(path) - softmax(PICTURE @ kernel[0, 0])).max() < 1e-6


def test_without_a_fixed_size(tmp_path: Path) -> None:
    rows = [
        layer("Reshape", "row", "conv", target_shape=[-1, 3]),
        layer("Softmax", "soft", "row", axis=-1),
    ]
    path, kernel = network(tmp_path / "net.h5", rows, 3, shape=(None, None, 1))
    assert np.abs(answer(path) - softmax(PICTURE @ kernel[0, 0])).max() < 1e-6


def linear(x: Array, want: int, axis: int) -> Array:
    """Resize along an axis as TensorFlow 2 does: pixels at their middle, no anti-aliasing."""
    have = x.shape[axis]
    place = np.clip((np.arange(want) + 0.5) * have / want - 0.5, 0, have - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, have - 1)
    part = (place - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    return x.take(low, axis) * (1 - part) + x.take(high, axis) * part


def test_resizing_by_a_fraction(tmp_path: Path) -> None:
    rows = [
        layer("Resizing", "more", "conv", height=18, width=20, interpolation="bilinear"),
        layer("ReLU", "relu", "more"),
        layer("Resizing", "back", "relu", height=12, width=16, interpolation="bilinear"),
    ]
    path, kernel = network(tmp_path / "net.h5", rows, 2)
    more = linear(linear(PICTURE @ kernel[0, 0], 18, 0), 20, 1)
    expected = linear(linear(np.maximum(more, 0), 12, 0), 16, 1)
    assert np.abs(answer(path) - expected).max() < 1e-6
    found = identify(path)
    assert not found.exact
    assert found.size.multiple == (2, 4)


# ---- Several outputs -------------------------------------------------------------------


def two(tmp_path: Path, **how: Any) -> tuple[Path, Array]:
    rows = [
        layer("Activation", "deep", "conv", activation="tanh"),
        layer("Activation", "mask", "conv", activation="sigmoid"),
    ]
    return network(tmp_path / "net.h5", rows, 1, "deep", "mask", **how)


def test_which_of_several_outputs_counts_is_asked(tmp_path: Path) -> None:
    path, _ = two(tmp_path)
    match = (
        r"with 2 outputs, of which one is used\. Say which: output=deep \(1 map, 2 operations "
        r"deep\), mask \(1 map, 2 operations deep\)\. .*--set output=NAME"
    )
    with pytest.raises(MissingFactError, match=match) as caught:
        identify(path)
    assert (caught.value.name, caught.value.places) == ("output", ("output",))
    assert [word for word, _ in caught.value.words] == ["deep", "mask"]


def test_the_told_output_is_the_answer(tmp_path: Path) -> None:
    path, kernel = two(tmp_path)
    z = PICTURE @ kernel[0, 0]
    assert np.abs(answer(path, {"output": "mask"}) - sigmoid(z)).max() < 1e-6
    assert np.abs(answer(path, {"output": "deep"}) - np.tanh(z)).max() < 1e-6
    found = identify(path, {"output": "mask"})
    assert (found.hparams["output"], found.known["output"].source) == ("mask", "told")
    assert found.classes == 1
    with pytest.raises(SettingsError, match="output must be deep or mask, not 'other'"):
        identify(path, {"output": "other"})
    with pytest.raises(SettingsError, match="What can be told of it: output"):
        identify(path, {"colour": "red"})


def test_the_only_output_on_the_pixels_of_the_image_is_assumed(tmp_path: Path) -> None:
    rows = [
        layer("MaxPooling2D", "half", "conv", pool_size=[2, 2]),
        layer("Flatten", "flat", "half"),
        layer("Dense", "kind", "flat", units=2),
        layer("Activation", "mask", "conv", activation="sigmoid"),
    ]
    path, kernel = network(tmp_path / "net.h5", rows, 2, "kind", "half", "mask")
    assert np.abs(answer(path) - sigmoid(PICTURE @ kernel[0, 0])).max() < 1e-6
    found = identify(path)
    assert (found.hparams["output"], found.known["output"].source) == ("mask", "assumed")
    assert "of its outputs kind, half, mask only this one lies" in found.known["output"].why


def test_no_output_can_be_used(tmp_path: Path) -> None:
    rows = [
        layer("MaxPooling2D", "half", "conv", pool_size=[2, 2]),
        layer("MaxPooling2D", "quarter", "half", pool_size=[2, 2]),
    ]
    path, _ = network(tmp_path / "net.h5", rows, 1, "half", "quarter")
    with pytest.raises(UnsupportedWeightsError, match="output half has another scale than the"):
        identify(path)


def test_weights_of_other_outputs_stay_when_it_is_written_back(tmp_path: Path) -> None:
    import h5py

    kernels = {name: numbers(1, 1, 1, 1, seed=i) for i, name in enumerate(("a", "b"))}
    layers = [
        image(12, 16, 1),
        *(layer("Conv2D", n, "input", filters=1, kernel_size=[1, 1], use_bias=False)
          for n in kernels),
    ]  # fmt: skip
    named = {name: [(f"{name}/kernel:0", one)] for name, one in kernels.items()}
    path = h5(tmp_path / "net.h5", named, functional(layers, "a", "b"))
    found = identify(path, {"output": "b"})
    module = sn.load(found, device="cpu").module
    writer = writer_of(found, tmp_path / "new.h5")
    assert writer is not None
    with torch.no_grad():
        next(iter(module.state_dict().values())).fill_(5)
        writer.save(module, found, tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert file["model_weights/b/b/kernel:0"][()].item() == 5
        assert np.array_equal(file["model_weights/a/a/kernel:0"][()], kernels["a"])
