"""Weights of Keras without their network: read by the order of their layers."""

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
from napari_segnet.card import card_of
from napari_segnet.containers import open_tree
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.graph import Convolution, tensors
from napari_segnet.programs import writer_of
from napari_segnet.programs.keras._bare import space_of
from napari_segnet.recognition import identify

Array = np.ndarray
SAME = {"kernel_size": [3, 3], "padding": "same"}


def unet(
    *,
    first: str = "up",
    function: str = "relu",
    layers: str = "inside",
    norm: bool = False,
    up: str = "transposed",
    classes: int = 1,
    depth: int = 2,
) -> list[dict[str, Any]]:
    """Return a U-Net with the names that Keras gives."""
    counts: dict[str, int] = {}
    rows = [image(None, None, 2)]

    def add(kind: str, stem: str, *inputs: str, **config: Any) -> str:
        number = counts[stem] = counts.get(stem, 0) + 1
        rows.append(layer(kind, f"{stem}_{number}", *inputs, **config))
        return f"{stem}_{number}"

    def conv(x: str, width: int) -> str:
        inside = {"activation": function} if layers == "inside" else {}
        x = add("Conv2D", "conv2d", x, filters=width, **SAME, **inside)
        if norm:
            x = add("BatchNormalization", "batch_normalization", x, axis=-1, epsilon=0.001)
        return x if inside else add("Activation", "activation", x, activation=function)

    x, skips = "input", []
    for level in range(depth):
        skips.append(conv(conv(x, 4 * 2**level), 4 * 2**level))
        x = add("MaxPooling2D", "max_pooling2d", skips[-1], pool_size=[2, 2])
    x = add("Dropout", "dropout", conv(x, 4 * 2**depth), rate=0.5)
    for level in reversed(range(depth)):
        width = 4 * 2**level
        if up == "transposed":
            x = add("Conv2DTranspose", "conv2d_transpose", x, filters=width, kernel_size=[2, 2],
                    strides=[2, 2], padding="same")  # fmt: skip
        else:
            x = add("UpSampling2D", "up_sampling2d", x, size=[2, 2], interpolation=up)
        pair = (x, skips[level]) if first == "up" else (skips[level], x)
        x = conv(add("Concatenate", "concatenate", *pair, axis=-1), width)
    end = "sigmoid" if classes == 1 else "softmax"
    add("Conv2D", "conv2d", x, filters=classes, kernel_size=[1, 1], activation=end)
    return rows


def weights(rows: Sequence[dict[str, Any]], channels: int = 2) -> dict[str, Any]:
    """Return weights for every layer, those without as well, in the order of the rows."""
    counts, found = {"input": channels}, {}
    for row in rows:
        name, kind, config = row["name"], row["class_name"], row["config"]
        inputs = [one[0] for one in row["inbound_nodes"][0]] if row["inbound_nodes"] else []
        n = sum(counts[one] for one in inputs) if inputs else channels
        shapes: dict[str, tuple[int, ...]] = {}
        if "filters" in config:
            m = config["filters"]
            ends = (m, n) if kind.endswith("Transpose") else (n, m)
            shapes, n = {"kernel": (*config["kernel_size"], *ends), "bias": (m,)}, m
        if kind == "BatchNormalization":
            shapes = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (n,))
        counts[name] = n
        values = {part: numbers(*shape, seed=len(found)) for part, shape in shapes.items()}
        if "moving_variance" in values:
            values["moving_variance"] = 1 + np.abs(values["moving_variance"])
        found[name] = [(f"{name}/{part}:0", one.astype("f4")) for part, one in values.items()]
    return found


def both(folder: Path, **how: Any) -> tuple[Path, Path]:
    """Write a network whole, and its weights alone."""
    rows = unet(**how)
    held = weights(rows)
    (folder / "whole").mkdir()
    whole = h5(folder / "whole" / "net.h5", held, functional(rows))
    return whole, h5(folder / "bare.h5", held)


def answer(path: Path, told: Any = None) -> torch.Tensor:
    """Return maps after their activation, wherever that is."""
    found = identify(path, told)
    x = torch.rand(1, 2, 16, 24, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        made: torch.Tensor = sn.load(found, device="cpu").module(x)
    ends = {"sigmoid": torch.sigmoid, "softmax": lambda z: z.softmax(1), "none": lambda z: z}
    return ends[found.outputs[0].activation](made)  # type: ignore[no-untyped-call]


CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "the usual": ({}, {}),
    "three levels": ({"depth": 3}, {}),
    "skips first": ({"first": "skip"}, {"join": "skip-up"}),
    "elu": ({"function": "elu"}, {"activation": "elu"}),
    "functions as layers": ({"layers": "own", "norm": True}, {}),
    "nearest": ({"up": "nearest"}, {}),
    "bilinear": ({"up": "bilinear"}, {"resize": "bilinear"}),
    "classes": ({"classes": 3}, {}),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", CASES)
def test_weights_alone_answer_like_the_whole(name: str, tmp_path: Path) -> None:
    how, told = CASES[name]
    whole, bare = both(tmp_path, **how)
    assert (answer(bare, told) - answer(whole)).abs().max() < 1e-5
    found = identify(bare, told)
    assert (found.family, found.program) == ("graph", "keras")
    for choice, word in told.items():
        assert (found.hparams[choice], found.known[choice].source) == (word, "told")
    assert found.size == identify(whole).size


def test_what_leaves_no_trace_is_assumed(tmp_path: Path) -> None:
    _, bare = both(tmp_path, norm=True)
    found = identify(bare)
    choices = ("join", "activation", "up_activation", "epsilon", "output_activation")
    assert all(found.known[name].source == "assumed" for name in (*choices, "graph", "outputs"))
    assert {"outputs", "prepare", "graph", *choices} <= set(card_of(found)["assumed"])
    assert found.outputs[0].activation == "sigmoid"
    assert identify(bare, {"output_activation": "none"}).outputs[0].activation == "none"


def test_only_words_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from napari_segnet.__main__ import main

    _, bare = both(tmp_path)
    assert main(["inspect", str(bare)]) == 0
    said = capsys.readouterr().out
    assert "What is assumed of join, activation, up_activation, output_activation you may" in said
    assert "--set join=VALUE" in said


def test_words_that_cannot_be_told(tmp_path: Path) -> None:
    _, bare = both(tmp_path)
    with pytest.raises(SettingsError, match="join must be up-skip or skip-up, not 'magic'"):
        identify(bare, {"join": "magic"})
    with pytest.raises(SettingsError, match=r"nothing called resize.*told of them: join, act"):
        identify(bare, {"resize": "nearest"})


def test_a_space_of_candidates(tmp_path: Path) -> None:
    _, bare = both(tmp_path, first="skip")
    space = space_of(open_tree(bare))
    (layout,) = space.layouts
    assert layout == "levels-3-skips-2"
    first = space.first(3)
    assert [one.prior for one in first] == sorted((one.prior for one in first), reverse=True)
    assert len({str(one.graph) for one in first}) == 3
    assert any(one.choices["join"] == "skip-up" for one in first)
    names = {name for one in first for name in tensors(one.graph)}
    assert len(names) == len(open_tree(bare).root)
    assert sum(isinstance(n.operation, Convolution) for n in first[0].graph.nodes) == 8
    assert first[0].open["join"] == ("up-skip", "skip-up")
    with pytest.raises(ValueError, match="layout must be levels-3-skips-2, not 'other'"):
        space.candidate("other", {})
    with pytest.raises(ValueError, match="join must be up-skip or skip-up, not 'add'"):
        space.candidate(layout, {"join": "add"})


def test_names_that_people_give(tmp_path: Path) -> None:
    rows = unet(depth=1)
    names = {"input": "img", "conv2d_1": "c1a", "conv2d_2": "c1b", "max_pooling2d_1": "pool1",
             "conv2d_3": "c2", "dropout_1": "drop", "conv2d_transpose_1": "u1",
             "concatenate_1": "merge1", "conv2d_4": "c3", "conv2d_5": "mask"}  # fmt: skip
    held = {names[name]: one for name, one in weights(rows).items()}
    held = {n: [(f"{n}/{k.partition('/')[2]}", v) for k, v in one] for n, one in held.items()}
    whole = h5(tmp_path / "whole.h5", weights(rows), functional(rows))
    bare = h5(tmp_path / "bare.h5", held)
    assert (answer(bare) - answer(whole)).abs().max() < 1e-5


def test_a_network_without_skips_may_be_cropped(tmp_path: Path) -> None:
    rows = [
        image(None, None, 1),
        layer("Conv2D", "conv2d", "input", filters=1, kernel_size=[3, 3], activation="relu"),
        layer("Conv2D", "conv2d_1", "conv2d", filters=1, kernel_size=[3, 3], activation="sigmoid"),
    ]
    bare = h5(tmp_path / "bare.h5", weights(rows, 1))
    assert identify(bare).known["padding"].source == "assumed"
    assert identify(bare, {"padding": "valid"}).size.loss == (4, 4)


def test_it_is_written_back_as_weights_alone(tmp_path: Path) -> None:
    _, bare = both(tmp_path)
    found = identify(bare, {"join": "skip-up"})
    module = sn.load(found, device="cpu").module
    writer = writer_of(found, tmp_path / "new.h5")
    assert writer is not None
    writer.save(module, found, tmp_path / "new.h5")
    assert not list(tmp_path.glob("*.json"))
    assert identify(tmp_path / "new.h5", {"join": "skip-up"}).hparams == found.hparams


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a classifier": (
        [*unet()[:4], layer("Flatten", "flatten", "max_pooling2d_1")],
        "the name of its layer flatten does not tell what it is",
    ),
    "no answer of the image's size": (
        [*unet()[:4],
         layer("Conv2D", "conv2d_9", "max_pooling2d_1", filters=1, kernel_size=[1, 1])],
        "its answer would be smaller than the image: there are not as many poolings as",
    ),
    "two inputs": (
        [*unet(), layer("InputLayer", "input_2", batch_input_shape=[None, None, None, 1])],
        "it has a second input, input_2",
    ),
    "sums": (
        [*unet(), layer("Add", "add", "conv2d_8")],
        "the name of its layer add does not tell what it is",
    ),
    "a branch": (
        [*unet()[:3], layer("Conv2D", "conv2d_9", "input", filters=1, kernel_size=[1, 1])],
        "its layer conv2d_9 takes 2 channels, and 4 come from conv2d_2 before it",
    ),
    "a join that does not close": (
        [*unet()[:3], layer("Concatenate", "concatenate", "conv2d_1", "conv2d_2"),
         layer("Conv2D", "conv2d_9", "concatenate", filters=1, kernel_size=[1, 1])],
        "its layer concatenate joins something of 4 channels, which no layer before a pooling",
    ),
    "no convolution": (
        [image(None, None, 2), layer("BatchNormalization", "batch_normalization", "input")],
        "none of its layers is a convolution",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    rows, match = REFUSED[name]
    bare = h5(tmp_path / "bare.h5", weights(rows))
    with pytest.raises(UnsupportedWeightsError, match=f"from their order, {match}"):
        identify(bare)


def test_weights_that_no_kind_of_layer_has(tmp_path: Path) -> None:
    held = {"conv2d": [("conv2d/kernel:0", numbers(3, 3, 2, 4))],
            "odd": [("odd/a:0", numbers(3, 4)), ("odd/b:0", numbers(7))]}  # fmt: skip
    with pytest.raises(UnsupportedWeightsError, match=r"weights \(3, 4\) \(7,\) of its layer odd"):
        identify(h5(tmp_path / "bare.h5", held))


def test_version_1_does_not_say_how_kernels_lie(tmp_path: Path) -> None:
    bare = h5(tmp_path / "bare.h5", weights(unet()), version="1.2.2")
    with pytest.raises(UnsupportedWeightsError, match="Keras 1 and Theano do not say how kernels"):
        identify(bare)


def test_folders_have_no_order(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("vars")
        file["layers/conv2d/vars/0"] = numbers(3, 3, 1, 1)
    with pytest.raises(UnsupportedWeightsError, match="does not list its layers in their order"):
        identify(path)
