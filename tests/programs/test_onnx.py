"""Networks in ONNX: each operation against what torch does, and what is refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.onnx_files import graph, model, network, node, tensor, value
from support.onnx_taught import taught_onnx

import napari_segnet as sn
from napari_segnet.card import card_of
from napari_segnet.containers import open_tree
from napari_segnet.errors import OutputError, SettingsError, UnsupportedWeightsError, WeightsError
from napari_segnet.programs import writer_of
from napari_segnet.recognition import identify

Array = np.ndarray
Weights = Mapping[str, Array]
WILD = Path(os.environ.get("SEGNET_WILD", Path(__file__).parents[3] / "shared" / "wild"))
"""Reference answers of real networks; their weights beside them or in the real data."""


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype("float32")


def sizes(*values: int) -> Array:
    return np.array(values, "int64")


def answer(path: Path, image: torch.Tensor) -> torch.Tensor:
    module = sn.load(identify(path), device="cpu").module
    with torch.no_grad():
        made: torch.Tensor = module(image)
    return made


def conv(x: torch.Tensor, w: dict[str, torch.Tensor], **how: Any) -> torch.Tensor:
    return F.conv2d(x, w["w"], w.get("b"), **how)


W = {"w": numbers(4, 2, 3, 3), "b": numbers(4)}
ONE = {"w": numbers(4, 2, 1, 1)}
SHAPE = [
    node("Shape", ["image"], "s"),
    node("Slice", ["s", "two", "four", "zero"], "space"),
]
PLACES = {"zero": sizes(0), "one": sizes(1), "two": sizes(2), "four": sizes(4)}

CASES: dict[str, tuple[list[bytes], Weights, Callable[..., torch.Tensor]]] = {
    "conv": (
        [node("Conv", ["image", "w", "b"], "out", pads=[1, 0, 1, 2])],
        W,
        lambda x, w: conv(F.pad(x, (0, 2, 1, 1)), w),
    ),
    "conv same upper, even kernel": (
        [node("Conv", ["image", "w"], "out", auto_pad="SAME_UPPER")],
        {"w": numbers(4, 2, 2, 4)},
        lambda x, w: conv(F.pad(x, (1, 2, 0, 1)), w),
    ),
    "conv same lower": (
        [node("Conv", ["image", "w"], "out", auto_pad="SAME_LOWER")],
        {"w": numbers(4, 2, 2, 4)},
        lambda x, w: conv(F.pad(x, (2, 1, 1, 0)), w),
    ),
    "conv same lower, by a stride": (
        [
            node("Conv", ["image", "w"], "a", auto_pad="SAME_LOWER", strides=[2, 2]),
            node("ConvTranspose", ["a", "t"], "out", strides=[2, 2]),
        ],
        {"w": numbers(4, 2, 3, 3), "t": numbers(4, 3, 2, 2)},
        lambda x, w: F.conv_transpose2d(conv(F.pad(x, (1, 0, 1, 0)), w, stride=2), w["t"],
                                        stride=2),
    ),
    "group norm with a weight for each group": (
        [node("Conv", ["image", "w"], "a"),
         node("GroupNormalization", ["a", "s", "o"], "out", num_groups=2, epsilon=1e-5)],
        {**ONE, "s": numbers(2), "o": numbers(2, seed=1)},
        lambda x, w: F.group_norm(conv(x, w), 2, w["s"].repeat_interleave(2),
                                  w["o"].repeat_interleave(2)),
    ),
    "group norm with a weight for each channel": (
        [node("Conv", ["image", "w"], "a"),
         node("GroupNormalization", ["a", "s", "o"], "out", num_groups=2, epsilon=1e-5)],
        {**ONE, "s": numbers(4), "o": numbers(4, seed=1)},
        lambda x, w: F.group_norm(conv(x, w), 2, w["s"], w["o"]),
    ),
    "padded channels": (
        [node("Pad", ["image", "more"], "out")],
        {"more": sizes(0, 1, 0, 0, 0, 2, 0, 0)},
        lambda x, w: F.pad(x, (0, 0, 0, 0, 1, 2)),
    ),
    "conv groups and dilation": (
        [node("Conv", ["image", "w"], "out", group=2, dilations=[2, 1], pads=[2, 1, 2, 1])],
        {"w": numbers(4, 1, 3, 3)},
        lambda x, w: conv(x, w, groups=2, dilation=(2, 1), padding=(2, 1)),
    ),
    "transposed and back": (
        [
            node("Conv", ["image", "w"], "a", strides=[2, 2], pads=[1, 1, 1, 1]),
            node("ConvTranspose", ["a", "t", "c"], "out", strides=[2, 2], pads=[1, 1, 1, 1],
                 output_padding=[1, 1]),
        ],
        {"w": numbers(4, 2, 3, 3), "t": numbers(4, 3, 3, 3), "c": numbers(3)},
        lambda x, w: F.conv_transpose2d(conv(x, w, stride=2, padding=1), w["t"], w["c"], 2, 1, 1),
    ),
    "transposed same": (
        [
            node("MaxPool", ["image"], "a", kernel_shape=[2, 2], strides=[2, 2]),
            node("ConvTranspose", ["a", "t"], "out", strides=[2, 2], auto_pad="SAME_UPPER"),
        ],
        {"t": numbers(2, 3, 3, 3)},
        lambda x, w: F.conv_transpose2d(F.max_pool2d(x, 2), w["t"], stride=2)[..., :-1, :-1],
    ),
    "norms": (
        [
            node("BatchNormalization", ["image", "s", "b", "m", "v"], "a", epsilon=1e-3),
            node("InstanceNormalization", ["a", "s", "b"], "out", epsilon=1e-4),
        ],
        {"s": numbers(2), "b": numbers(2, seed=1), "m": numbers(2, seed=2),
         "v": np.array([0.5, 2], "float32")},
        lambda x, w: F.instance_norm(
            F.batch_norm(x, w["m"], w["v"], w["s"], w["b"], eps=1e-3),
            weight=w["s"], bias=w["b"], eps=1e-4),
    ),
    "group norm as torch exports it": (
        [
            node("Conv", ["image", "w"], "a"),
            node("Reshape", ["a", "groups"], "g"),
            node("InstanceNormalization", ["g", "ones", "zeros"], "n", epsilon=1e-5),
            node("Shape", ["a"], "shape"),
            node("Reshape", ["n", "shape"], "r"),
            node("Mul", ["r", "gain"], "scaled"),
            node("Add", ["scaled", "offset"], "out"),
        ],
        {**ONE, "groups": sizes(0, 2, -1), "ones": np.ones(2, "float32"),
         "zeros": np.zeros(2, "float32"), "gain": numbers(4, 1, 1),
         "offset": numbers(4, 1, 1, seed=1)},
        lambda x, w: F.group_norm(conv(x, w), 2, w["gain"].flatten(), w["offset"].flatten()),
    ),
    "layer norm over the last axis": (
        [
            node("Transpose", ["image"], "t", perm=[0, 2, 3, 1]),
            node("LayerNormalization", ["t", "s", "b"], "n", axis=-1, epsilon=1e-5),
            node("MatMul", ["n", "m"], "d"),
            node("Add", ["d", "c"], "e"),
            node("Transpose", ["e"], "out", perm=[0, 3, 1, 2]),
        ],
        {"s": numbers(2), "b": numbers(2, seed=1), "m": numbers(2, 3), "c": numbers(3)},
        lambda x, w: (F.layer_norm(x.movedim(1, -1), (2,), w["s"], w["b"]) @ w["m"] + w["c"])
        .movedim(-1, 1),
    ),
    "gelu in parts": (
        [
            node("Div", ["image", "root"], "a"),
            node("Erf", ["a"], "b"),
            node("Add", ["b", "unit"], "c"),
            node("Mul", ["image", "c"], "d"),
            node("Mul", ["d", "half"], "out"),
        ],
        {"root": np.array(2**0.5, "float32"), "unit": np.array(1, "float32"),
         "half": np.array(0.5, "float32")},
        lambda x, w: F.gelu(x),
    ),
    "prelu": (
        [node("PRelu", ["image", "a"], "out")],
        {"a": numbers(2, 1, 1)},
        lambda x, w: F.prelu(x, w["a"].flatten()),
    ),
    "clip and hard swish": (
        [node("Clip", ["image", "low", "high"], "a"), node("HardSwish", ["a"], "out")],
        {"low": np.array(-0.5, "float32"), "high": np.array(2, "float32")},
        lambda x, w: F.hardswish(x.clamp(-0.5, 2)),
    ),
    "average pooling that counts its padding": (
        [
            node("AveragePool", ["image"], "out", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                 count_include_pad=1),
        ],
        {},
        lambda x, w: F.avg_pool2d(x, 3, 1, 1),
    ),
    "max pooling that pads unlike": (
        [node("MaxPool", ["image"], "out", kernel_shape=[2, 2], pads=[0, 0, 1, 1])],
        {},
        lambda x, w: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-1e30), 2, 1),
    ),
    "squeeze and excitation": (
        [
            node("GlobalAveragePool", ["image"], "p"),
            node("Flatten", ["p"], "f"),
            node("Gemm", ["f", "m", "c"], "g", transB=1),
            node("Sigmoid", ["g"], "h"),
            node("Unsqueeze", ["h", "ends"], "i"),
            node("Mul", ["image", "i"], "out"),
        ],
        {"m": numbers(2, 2), "c": numbers(2), "ends": sizes(2, 3)},
        lambda x, w: x * torch.sigmoid(
            F.linear(x.mean((2, 3)), w["m"], w["c"]))[..., None, None],
    ),
    "spatial attention": (
        [
            node("ReduceMean", ["image", "one"], "m", keepdims=1),
            node("ReduceMax", ["image", "one"], "n", keepdims=1),
            node("Concat", ["m", "n"], "c", axis=1),
            node("Mul", ["image", "c"], "out"),
        ],
        PLACES,
        lambda x, w: x * torch.cat([x.mean(1, True), x.amax(1, True)], 1),
    ),
    "spatial attention before version 18": (
        [
            node("ReduceMean", ["image"], "m", axes=[1], keepdims=1),
            node("ReduceMax", ["image"], "n", axes=[1], keepdims=1),
            node("Concat", ["m", "n"], "c", axis=1),
            node("Mul", ["image", "c"], "out"),
        ],
        PLACES,
        lambda x, w: x * torch.cat([x.mean(1, True), x.amax(1, True)], 1),
    ),
    "resize to the size of a skip, by a chain of sizes": (
        [
            node("MaxPool", ["image"], "p", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
            *SHAPE,
            node("Shape", ["p"], "t"),
            node("Slice", ["t", "zero", "two", "zero"], "front"),
            node("Concat", ["front", "space"], "size", axis=0),
            node("Resize", ["p", "", "", "size"], "out", mode="linear",
                 coordinate_transformation_mode="pytorch_half_pixel"),
        ],
        PLACES,
        lambda x, w: F.interpolate(F.max_pool2d(x, 2, ceil_mode=True), x.shape[2:],
                                   mode="bilinear"),
    ),
    "resize by factors": (
        [
            node("MaxPool", ["image"], "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Resize", ["p", "", "factors"], "out", mode="linear",
                 coordinate_transformation_mode="align_corners"),
        ],
        {"factors": np.array([1, 1, 2, 2], "float32")},
        lambda x, w: F.interpolate(F.max_pool2d(x, 2), scale_factor=2, mode="bilinear",
                                   align_corners=True),
    ),
    "padding to the size of a skip": (
        [
            node("MaxPool", ["image"], "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Resize", ["p", "", "factors"], "u", mode="nearest",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            *SHAPE,
            node("Shape", ["u"], "t"),
            node("Slice", ["t", "two", "four", "zero"], "small"),
            node("Sub", ["space", "small"], "d"),
            node("Div", ["d", "two"], "half"),
            node("Sub", ["d", "half"], "rest"),
            node("Concat", ["none", "half", "none", "rest"], "pads", axis=0),
            node("Pad", ["u", "pads"], "v"),
            node("Concat", ["image", "v"], "out", axis=1),
        ],
        {**PLACES, "factors": np.array([1, 1, 2, 2], "float32"), "none": sizes(0, 0)},
        lambda x, w: torch.cat([x, F.pad(
            F.max_pool2d(x, 2).repeat_interleave(2, 2).repeat_interleave(2, 3),
            (0, x.shape[3] % 2, 0, x.shape[2] % 2))], 1),
    ),
    "cut, split and swapped channels": (
        [
            node("Split", ["image"], ["r", "g"], axis=1),
            node("Gather", ["image", "swapped"], "s", axis=1),
            node("Concat", ["s", "r", "g"], "c", axis=1),
            node("Slice", ["c", "two", "four", "one"], "out"),
        ],
        {**PLACES, "swapped": sizes(1, 0)},
        lambda x, w: x,
    ),
    "pixels out of channels": (
        [
            node("MaxPool", ["image"], "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["p", "w"], "c"),
            node("DepthToSpace", ["c"], "out", blocksize=2, mode="CRD"),
        ],
        {"w": numbers(8, 2, 1, 1)},
        lambda x, w: F.pixel_shuffle(conv(F.max_pool2d(x, 2), w), 2),
    ),
    "stacked and summed": (
        [
            node("Unsqueeze", ["image", "zero"], "a"),
            node("Relu", ["image"], "r"),
            node("Unsqueeze", ["r", "zero"], "b"),
            node("Concat", ["a", "b"], "c", axis=0),
            node("ReduceSum", ["c", "zero"], "out", keepdims=0),
        ],
        PLACES,
        lambda x, w: x + F.relu(x),
    ),
    "a branch that sizes decide": (
        [
            *SHAPE,
            node("Gather", ["space", "zero"], "rows", axis=0),
            node("Greater", ["rows", "zero"], "large"),
            node("If", ["large"], "out",
                 then_branch=graph([node("Relu", ["image"], "yes")], [], [], [value("yes", None)]),
                 else_branch=graph([node("Neg", ["image"], "no")], [], [], [value("no", None)])),
        ],
        PLACES,
        lambda x, w: F.relu(x),
    ),
    "attention over all pixels": (
        [
            node("Reshape", ["image", "flat"], "k"),
            node("Transpose", ["k"], "q", perm=[0, 2, 1]),
            node("MatMul", ["q", "k"], "m"),
            node("Softmax", ["m"], "n", axis=-1),
            node("MatMul", ["n", "q"], "o"),
            node("Transpose", ["o"], "p", perm=[0, 2, 1]),
            node("Shape", ["image"], "s"),
            node("Reshape", ["p", "s"], "out"),
        ],
        {"flat": sizes(0, 2, -1)},
        lambda x, w: (torch.softmax(x.flatten(2).mT @ x.flatten(2), -1) @ x.flatten(2).mT)
        .mT.reshape(x.shape),
    ),
    "weights that lie transposed": (
        [node("Transpose", ["w"], "v", perm=[3, 2, 0, 1]), node("Conv", ["image", "v"], "out")],
        {"w": numbers(3, 3, 2, 4)},
        lambda x, w: F.conv2d(x, w["w"].permute(3, 2, 0, 1)),
    ),
    "one tensor for two layers": (
        [
            node("Conv", ["image", "w", "b"], "c"),
            node("BatchNormalization", ["c", "b", "b", "b", "v"], "out"),
        ],
        {**ONE, "b": np.full(4, 0.25, "float32"), "v": np.full(4, 2, "float32")},
        lambda x, w: F.batch_norm(conv(x, w), w["b"], w["v"], w["b"], w["b"]),
    ),
}  # fmt: skip


OPSETS = {
    "group norm with a weight for each group": 18,
    "group norm with a weight for each channel": 21,
    "spatial attention": 18,
}
"""Versions of operations that the other cases do not need."""


@pytest.mark.parametrize("what", CASES)
def test_answers_as_torch_does(what: str, tmp_path: Path) -> None:
    nodes, weights, function = CASES[what]
    path = network(tmp_path / "a.onnx", nodes, weights, opset=OPSETS.get(what, 17))
    lowest = identify(path).size
    own = {name: torch.from_numpy(array) for name, array in weights.items()}
    for rows, columns in ((16, 20), (13, 15)):
        fits = all(n % m == r for n, m, r in zip((rows, columns), lowest.multiple,
                                                 lowest.remainder, strict=True))  # fmt: skip
        if not fits:
            continue
        x = torch.from_numpy(numbers(2, 2, rows, columns, seed=rows))
        assert torch.allclose(answer(path, x), function(x, own), atol=2e-5)


@pytest.mark.parametrize("what", ["resize to the size of a skip, by a chain of sizes",
                                  "padding to the size of a skip"])  # fmt: skip
def test_sizes_that_follow_a_skip_allow_odd_images(what: str, tmp_path: Path) -> None:
    nodes, weights, _ = CASES[what]
    assert identify(network(tmp_path / "a.onnx", nodes, weights)).size.multiple == (1, 1)


def test_channels_last_are_those_of_tensorflow(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["image"], "t", perm=[0, 3, 1, 2]),
        node("Conv", ["t", "w", "b"], "c", pads=[1, 1, 1, 1]),
        node("Transpose", ["c"], "u", perm=[0, 2, 3, 1]),
        node("Softmax", ["u"], "out", axis=-1),
    ]
    path = network(tmp_path / "a.onnx", nodes, W, shape=(1, 16, 20, 2), opset=13)
    checkpoint = identify(path)
    x = torch.from_numpy(numbers(1, 2, 16, 20))
    expected = torch.softmax(F.conv2d(x, *(torch.from_numpy(n) for n in W.values()), padding=1), 1)
    assert torch.allclose(answer(path, x), expected, atol=1e-5)
    assert "channels come last" in checkpoint.known["channels"].why
    assert "16 x 20 pixels" in checkpoint.known["size"].why
    assert checkpoint.outputs[0].activation == "none"
    assert not [n for n in identify(path).hparams["graph"]["nodes"] if n["operation"] == "permute"]


@pytest.mark.parametrize("before", [False, True])
def test_pixels_repeated_as_keras_does_are_nearest(before: bool, tmp_path: Path) -> None:
    """``numpy.repeat``: a new axis behind that of the image; before it whole rows are repeated."""
    at = 1 if before else 2
    times = [2 if n == at else 1 for n in range(5)]
    nodes = [
        node("Transpose", ["image"], "t", perm=[0, 3, 1, 2]),
        node("Conv", ["t", "w", "b"], "c", pads=[1, 1, 1, 1]),
        node("MaxPool", ["c"], "p", kernel_shape=[2, 1], strides=[2, 1]),
        node("Transpose", ["p"], "u", perm=[0, 2, 3, 1]),
        node("Unsqueeze", ["u", "place"], "wide"),
        node("Tile", ["wide", "times"], "tiled"),
        node("Shape", ["u"], "shape"),
        node("Mul", ["shape", "twice"], "larger"),
        node("Reshape", ["tiled", "larger"], "out"),
    ]
    more = {"place": sizes(at), "times": sizes(*times), "twice": sizes(1, 2, 1, 1)}
    path = network(tmp_path / "a.onnx", nodes, {**W, **more}, shape=("n", "y", "x", 2), opset=13)
    if before:
        with pytest.raises(UnsupportedWeightsError, match="is an ONNX program"):
            identify(path)
        return
    x = torch.from_numpy(numbers(1, 2, 16, 20))
    small = F.conv2d(x, *(torch.from_numpy(n) for n in W.values()), padding=1)
    expected = F.max_pool2d(small, (2, 1)).repeat_interleave(2, dim=2)
    assert torch.allclose(answer(path, x), expected, atol=1e-5)


def test_facts_of_the_file_are_on_the_card(tmp_path: Path) -> None:
    nodes = [
        node("Div", ["image", "most"], "scaled"),
        node("Conv", ["scaled", "w"], "c"),
        node("Sigmoid", ["c"], "out"),
    ]
    weights = {"most": np.array(255, "float32"), "w": numbers(1, 2, 1, 1)}
    path = network(tmp_path / "a.onnx", nodes, weights, doc="nuclei", author="somebody")
    card = card_of(identify(path))
    assert card["program"] == "onnx"
    assert card["card"] == {"doc": "nuclei", "author": "somebody"}
    assert card["prepare"] == []
    assert "does it itself" in card["facts"]["prepare"]["why"]
    assert "opset 17, tests" in card["facts"]["graph"]["why"]
    assert card["outputs"] == [{"role": "foreground", "channels": 1, "activation": "none"}]
    assert card["assumed"] == []


def test_several_outputs_have_roles_by_their_names(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["image", "w"], "mask"),
        node("Conv", ["image", "w1"], "boundaries"),
        node("MaxPool", ["image"], "deep", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    weights = {"w": numbers(3, 2, 1, 1), "w1": numbers(1, 2, 1, 1)}
    path = network(tmp_path / "a.onnx", nodes, weights, outputs=("mask", "boundaries", "deep"))
    checkpoint = identify(path)
    assert [(o.role, o.channels, o.activation) for o in checkpoint.outputs] == [
        ("class", 3, "softmax"),
        ("boundary", 1, "sigmoid"),
    ]
    assert any("left out: deep" in note for note in checkpoint.notes)
    x = torch.from_numpy(numbers(1, 2, 8, 8))
    assert answer(path, x).shape == (1, 4, 8, 8)


def test_several_inputs_are_channels_of_one_image(tmp_path: Path) -> None:
    nodes = [node("Sub", ["first", "second"], "out")]
    ends = [value(name, ("n", 1, "y", "x")) for name in ("first", "second")]
    path = tmp_path / "a.onnx"
    spare = [tensor("spare", numbers(1))]
    path.write_bytes(model(graph(nodes, spare, ends, [value("out", None)])))
    x = torch.from_numpy(numbers(1, 2, 8, 8))
    assert torch.equal(answer(path, x), x[:, :1] - x[:, 1:])
    assert any("2 inputs are the channels" in note for note in identify(path).notes)


REFUSED: dict[str, tuple[list[bytes], Weights, str]] = {
    "cubic": (
        [node("Resize", ["image", "", "f"], "out", mode="cubic")],
        {"f": np.array([1, 1, 2, 2], "float32")},
        r"its node node_out \(Resize\) is a resizing of the kind 'cubic'",
    ),
    "another domain": (
        [node("Attention", ["image"], "out", domain="com.microsoft")],
        {},
        r"\(Attention\) is of the domain 'com.microsoft'",
    ),
    "a bias of another length": (
        [node("Conv", ["image", "w", "b"], "out")],
        {"w": numbers(3, 2, 1, 1), "b": numbers(4)},
        "the weights of b are 4 numbers, and its layer has 3",
    ),
    "not read": ([node("Sin", ["image"], "out")], {}, r"\(Sin\) is an operation that is not read"),
    "sequences": (
        [node("LSTM", ["image", "w", "w"], "out")],
        {"w": numbers(1, 1, 1)},
        "a layer for sequences",
    ),
    "quantised": (
        [node("QuantizeLinear", ["image", "s", "z"], "out")],
        {"s": np.array(1, "float32"), "z": np.array(0, "uint8")},
        "of a quantised network",
    ),
    "a branch on values": (
        [
            node(
                "If",
                ["image"],
                "out",
                then_branch=graph([node("Relu", ["image"], "yes")], [], [], [value("yes", None)]),
                else_branch=graph([node("Neg", ["image"], "no")], [], [], [value("no", None)]),
            ),
        ],
        {},
        "a branch that depends on the image's values",
    ),
    "whole numbers": ([node("Cast", ["image"], "out", to=7)], {}, "a rounding of the image's"),
    "computed weights": (
        [node("Mul", ["w", "w"], "v"), node("Conv", ["image", "v"], "out")],
        ONE,
        r"the weight of its node node_out \(Conv\) is computed in the file",
    ),
    "as many numbers as pixels": (
        [
            node("Shape", ["image"], "s"),
            node("Gather", ["s", "two"], "n", axis=0),
            node("Squeeze", ["n"], "m"),
            node("Range", ["z", "m", "o"], "out"),
        ],
        {"two": sizes(2), "z": np.array(0, "int64"), "o": np.array(1, "int64")},
        r"\(Range\) makes as many numbers as the image has pixels",
    ),
    "huge numbers": (
        [node("ConstantOfShape", ["n"], "c"), node("Add", ["image", "c"], "out")],
        {"n": sizes(2**40, 2**20)},
        r"\(ConstantOfShape\) makes numbers of the shape",
    ),
    "many numbers beside each other": (
        [
            node("ConstantOfShape", ["n"], "c"),
            node("ConstantOfShape", ["m"], "d"),
            node("Add", ["c", "d"], "e"),
            node("Add", ["image", "e"], "out"),
        ],
        {"n": sizes(2**17, 1), "m": sizes(1, 2**17)},
        r"\(Add\) makes 17,179,869,184 numbers",
    ),
    "numbers that grow": (
        [
            node("ConstantOfShape", ["n"], "c0"),
            *(node("Concat", [f"c{i}"] * 9, f"c{i + 1}", axis=0) for i in range(9)),
            node("Add", ["image", "c9"], "out"),
        ],
        {"n": sizes(2**12)},
        r"\(Concat\) makes [0-9,]+ numbers",
    ),
    "another scale": (
        [node("MaxPool", ["image"], "out", kernel_shape=[2, 2], strides=[2, 2])],
        {},
        "its answer has another scale than the image",
    ),
    "channels that do not fit": (
        [node("Conv", ["image", "w"], "out")],
        {"w": numbers(4, 5, 1, 1)},
        "takes 5 channels, and 2 come to it",
    ),
    "a kernel of another size": (
        [node("Conv", ["image", "w"], "out", kernel_shape=[3, 3])],
        {"w": numbers(4, 2, 1, 1)},
        r"says kernel_shape \[3, 3\], and its weights are \[1, 1\]",
    ),
    "a value that nobody gives": ([node("Relu", ["nothing"], "out")], {}, "takes 'nothing'"),
    "no map": ([node("ReduceMean", ["image"], "out")], {}, "the mean over all that there is"),
    "training": (
        [node("BatchNormalization", ["image", *"abcd"], "out", training_mode=1)],
        {name: numbers(2) for name in "abcd"},
        "while it is trained",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_read_is_named(what: str, tmp_path: Path) -> None:
    nodes, weights, message = REFUSED[what]
    path = network(tmp_path / "a.onnx", nodes, weights)
    with pytest.raises(WeightsError, match=f"a.onnx is (an ONNX program|a damaged).*{message}"):
        identify(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("n", 2), "takes rows of numbers"),
        (("n", 2, "x"), r"signals along one axis \(1D\)"),
        (None, "does not say how many axes"),
        (("n", 4000, "y", "x"), "how many channels"),
    ],
)
def test_inputs_that_are_no_images_are_refused(shape: Any, message: str, tmp_path: Path) -> None:
    path = network(tmp_path / "a.onnx", [node("Relu", ["image"], "out")], shape=shape)
    with pytest.raises(UnsupportedWeightsError, match=message):
        identify(path)


@pytest.mark.parametrize("axis", [4, 9, -5])
def test_maps_are_joined_along_an_axis_that_is_there(axis: int, tmp_path: Path) -> None:
    nodes = [node("Relu", ["image"], "a"), node("Concat", ["a", "image"], "out", axis=axis)]
    with pytest.raises(UnsupportedWeightsError, match=f"names axis {axis} of 4"):
        identify(network(tmp_path / "a.onnx", nodes))


@pytest.mark.parametrize("opset", [6, 99])
def test_versions_that_are_not_known_are_refused(opset: int, tmp_path: Path) -> None:
    path = network(tmp_path / "a.onnx", [node("Relu", ["image"], "out")], opset=opset)
    with pytest.raises(UnsupportedWeightsError, match=rf"version {opset} \(opset\), where 7"):
        identify(path)


def test_nothing_can_be_told(tmp_path: Path) -> None:
    path = network(tmp_path / "a.onnx", [node("Relu", ["image"], "out")])
    with pytest.raises(SettingsError, match="says itself what it is, so join cannot be told"):
        identify(path, {"join": "add"})


def unet(path: Path) -> Path:
    nodes = [
        node("Conv", ["image", "w", "b"], "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "b", "b", "m", "v"], "n"),
        node("Relu", ["n"], "skip"),
        node("MaxPool", ["skip"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["p", "t"], "u", strides=[2, 2]),
        node("Concat", ["u", "skip"], "j", axis=1),
        node("Conv", ["j", "e"], "out"),
    ]
    weights = {**W, "m": numbers(4, seed=3), "v": np.full(4, 2, "float32"),
               "t": numbers(4, 4, 2, 2), "e": numbers(1, 8, 1, 1)}  # fmt: skip
    return network(path, nodes, weights)


def taught(module: torch.nn.Module, alike: bool) -> dict[str, torch.Tensor]:
    """Return other weights; those that share a tensor of the file may stay alike."""
    state = {name: one * 1.5 for name, one in module.state_dict().items()}
    if not alike:
        name = next(n for n in state if n.endswith(".bias"))
        state[name] = state[name] + 1
    return state


def test_a_taught_network_is_written_as_onnx(tmp_path: Path) -> None:
    path, new = unet(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    before = path.read_bytes()
    checkpoint = identify(path)
    module = sn.load(checkpoint, device="cpu").module
    state = taught(module, alike=True)
    module.load_state_dict(state)
    writer = writer_of(checkpoint, new)
    assert writer is not None
    written = writer.save(module, checkpoint, new)
    assert path.read_bytes() == before
    again = identify(new)
    assert (written.path, written.program, again.program) == (new, "onnx", "onnx")
    assert again.hparams == checkpoint.hparams
    x = torch.from_numpy(numbers(1, 2, 8, 8))
    with torch.no_grad():
        assert torch.allclose(answer(new, x), module(x), atol=1e-6)


def test_what_cannot_be_written_as_onnx_is_said(tmp_path: Path) -> None:
    path, new = unet(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    checkpoint = identify(path)
    module = sn.load(checkpoint, device="cpu").module
    module.load_state_dict(taught(module, alike=False))
    writer = writer_of(checkpoint, new)
    assert writer is not None
    written = writer.save(module, checkpoint, new)
    assert written.program == ""
    assert "not ONNX: layers that shared the tensor 'b' now differ" in written.notes[0]
    x = torch.from_numpy(numbers(1, 2, 8, 8))
    with torch.no_grad():
        assert torch.allclose(answer(new, x), module(x), atol=1e-6)


def test_names_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    path = unet(tmp_path / "a.onnx")
    checkpoint = identify(path)
    with pytest.raises(OutputError, match="the file that the network came from"):
        writer_of(checkpoint, path)
    other = replace(checkpoint, program="")
    with pytest.raises(OutputError, match=r"would be an ONNX file, but .*safetensors"):
        writer_of(other, tmp_path / "b.onnx")
    path.unlink()
    with pytest.raises(OutputError, match="Put it back"):
        writer_of(checkpoint, tmp_path / "b.onnx")


@pytest.mark.subprocess
def test_inspect_needs_no_torch(tmp_path: Path) -> None:
    path = unet(tmp_path / "a.onnx")
    code = f"""
import sys
from napari_segnet.recognition import identify
print(identify({str(path)!r}).program, "torch" in sys.modules, "onnx" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["onnx", "False", "False"], done.stderr


@pytest.mark.sample(3)
@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_give_no_other_error(seed: int, tmp_path: Path) -> None:
    """Bytes are changed, moved and doubled, also where a graph is still read."""
    source = np.random.default_rng(seed)
    nodes, weights, _ = list(CASES.values())[seed * 3 % len(CASES)]
    whole = unet(tmp_path / "whole.onnx").read_bytes() if seed % 2 else network(
        tmp_path / "whole.onnx", nodes, weights).read_bytes()  # fmt: skip
    path = tmp_path / "a.onnx"
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(int(source.integers(1, 4))):
            at = int(source.integers(4, len(data)))
            way = source.integers(3)
            if way == 0:
                data[at] = int(source.integers(256))
            elif way == 1:
                del data[at : at + int(source.integers(1, 9))]
            else:
                data[at:at] = data[at : at + int(source.integers(1, 40))]
        path.write_bytes(data)
        try:
            identify(path)
        except WeightsError as error:
            assert "a.onnx" in str(error)


REAL = {
    "bio_nucleibroad_onnx": "checkpoints/bioimageio_unet2d_nuclei_broad/weights.onnx",
    "shreya_flood_onnx": "",
    "stefan_apples_onnx": "",
}


@pytest.mark.parametrize("name", REAL)
def test_real_networks_answer_as_their_runtime(name: str, data: Path) -> None:
    places = [WILD / f"{name}.onnx"]
    places += [data / REAL[name]] if REAL[name] else []
    found = [place for place in places if place.is_file()]
    if not found or not (WILD / f"{name}.npz").is_file():
        pytest.skip(f"no weights of {name}: put them into SEGNET_WILD")
    told = np.load(WILD / f"{name}.npz")
    x, y = told["x"], told["y"]
    if x.shape[1] not in (1, 3):
        x, y = np.moveaxis(x, -1, 1), np.moveaxis(y, -1, 1)
    made = answer(found[0], torch.from_numpy(x.copy()))
    assert np.abs(made.numpy() - y).max() < max(1e-4, 1e-3 * y.std())


@pytest.mark.trains
def test_an_actual_training_ends_in_onnx(tmp_path: Path) -> None:
    lesson = taught_onnx(tmp_path)
    assert lesson.path.read_bytes() == lesson.before
    assert (lesson.taught.program, lesson.taught.path.name) == ("onnx", "taught.onnx")
    again, old = open_tree(lesson.taught.path), open_tree(lesson.path)
    assert identify(lesson.taught.path).hparams == identify(lesson.path).hparams
    for name in old.root:
        assert not torch.equal(again.root[name].load(), old.root[name].load())
    x = torch.from_numpy(numbers(1, 1, 16, 20))
    assert not torch.allclose(answer(lesson.path, x), answer(lesson.taught.path, x), atol=1e-4)
