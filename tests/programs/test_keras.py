"""Networks of Keras: each layer against plain numpy, in float64, as Keras defines it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from support.keras_files import functional, h5, image, keras_zip, layer, sequential, small

import napari_segnet as sn
from napari_segnet.card import card_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MissingFactError, SettingsError, UnsupportedWeightsError
from napari_segnet.graph import Activation, Softmax, needed
from napari_segnet.graph.build import build
from napari_segnet.programs.keras._layers import LAMBDAS
from napari_segnet.recognition import family_of, identify

Array = np.ndarray
WILD = Path(os.environ.get("SEGNET_WILD", Path(__file__).parents[3] / "shared" / "wild"))
"""Reference answers of real networks; their weights beside them or in the real data."""


# ---- What Keras does, in numpy: channels last, one picture -----------------------------


def same(n: int, window: int, stride: int) -> tuple[int, int]:
    added = max((-(-n // stride) - 1) * stride + window - n, 0)
    return added // 2, added - added // 2


def conv(
    x: Array, kernel: Array, bias: Array | float = 0.0, stride: int = 1, padding: str = "same"
) -> Array:
    """Cross-correlation of ``(y, x, c)`` with ``(ky, kx, c, out)``."""
    ky, kx = kernel.shape[:2]
    ends = [same(x.shape[0], ky, stride), same(x.shape[1], kx, stride), (0, 0)]
    x = np.pad(x, ends) if padding == "same" else x
    rows, columns = (x.shape[0] - ky) // stride + 1, (x.shape[1] - kx) // stride + 1
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(ky):
        for j in range(kx):
            part = x[i : i + stride * rows : stride, j : j + stride * columns : stride]
            out += part[:rows, :columns] @ kernel[i, j]
    return out + bias


def transposed(x: Array, kernel: Array, stride: int) -> Array:
    """The transpose of a convolution that pads ``same``; kernel ``(ky, kx, out, c)``."""
    n, m = x.shape[:2]
    k = kernel.shape[0]
    room = max(k, stride)  # a kernel shorter than the stride leaves zeros behind it
    whole = np.zeros(((n - 1) * stride + room, (m - 1) * stride + room, kernel.shape[2]))
    for i in range(n):
        for j in range(m):
            place = np.s_[i * stride : i * stride + k, j * stride : j * stride + k]
            whole[place] += kernel @ x[i, j]
    cut = max(k - stride, 0) // 2
    return whole[cut : cut + n * stride, cut : cut + m * stride]


def pool(x: Array, k: int = 2, how: Any = np.max) -> Array:
    n, m = x.shape[0] // k, x.shape[1] // k
    return how(x[: n * k, : m * k].reshape(n, k, m, k, -1), axis=(1, 3))


def nearest(x: Array, k: int = 2) -> Array:
    return x.repeat(k, 0).repeat(k, 1)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numbers(*shape: int, seed: int = 0) -> Array:
    fan = max(int(np.prod(shape[:-1])), 1)
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype("float32") / fan**0.5


def answer(
    path: Path, x: Array, told: Mapping[str, Any] | None = None, float64: bool = True
) -> Array:
    """Return our answer to ``(y, x, c)``, channels last."""
    module = sn.load(identify(path, told), device="cpu").module
    picture = torch.from_numpy(np.moveaxis(x, -1, 0)[None].copy())
    kind = torch.float64 if float64 else torch.float32
    with torch.no_grad():
        made = module.to(kind)(picture.to(kind))
        module.float()
    return np.moveaxis(made.numpy()[0], 0, -1)


PICTURE = np.random.default_rng(5).uniform(size=(12, 16, 2))

ONE_LAYER: dict[str, tuple[dict[str, Any], list[Array], Any]] = {
    "conv even kernel": (
        layer("Conv2D", "a", "input", filters=3, kernel_size=[2, 4], padding="same"),
        [numbers(2, 4, 2, 3), numbers(3)],
        lambda x, w: conv(x, w[0], w[1]),
    ),
    "conv valid": (
        layer("Conv2D", "a", "input", filters=3, kernel_size=[3, 3], padding="valid",
              activation="relu"),
        [numbers(3, 3, 2, 3), numbers(3)],
        lambda x, w: relu(conv(x, w[0], w[1], padding="valid")),
    ),
    "depthwise": (
        layer("DepthwiseConv2D", "a", "input", kernel_size=[3, 3], depth_multiplier=2,
              padding="same"),
        [numbers(3, 3, 2, 2), numbers(4)],
        lambda x, w: np.concatenate(
            [conv(x[..., i : i + 1], w[0][:, :, i : i + 1]) for i in range(2)], -1) + w[1],
    ),
    "separable": (
        layer("SeparableConv2D", "a", "input", filters=3, kernel_size=[3, 3], padding="same"),
        [numbers(3, 3, 2, 1), numbers(1, 1, 2, 3), numbers(3)],
        lambda x, w: conv(np.concatenate(
            [conv(x[..., i : i + 1], w[0][:, :, i : i + 1]) for i in range(2)], -1), w[1], w[2]),
    ),
    "dense": (
        layer("Dense", "a", "input", units=3, activation={"class_name": "function",
                                                          "config": "tanh"}),
        [numbers(2, 3), numbers(3)],
        lambda x, w: np.tanh(x @ w[0] + w[1]),
    ),
    "batch norm": (
        layer("BatchNormalization", "a", "input", axis=[3], epsilon=0.001, scale=False),
        [numbers(2), numbers(2, seed=1), np.array([0.5, 2], "float32")],
        lambda x, w: (x - w[1]) / np.sqrt(w[2] + 0.001) + w[0],
    ),
    "layer norm": (
        layer("LayerNormalization", "a", "input", axis=[3], epsilon=0.001),
        [numbers(2), numbers(2, seed=1)],
        lambda x, w: (x - x.mean(-1, keepdims=True))
        / np.sqrt(x.var(-1, keepdims=True) + 0.001) * w[0] + w[1],
    ),
    "normalization": (
        layer("Normalization", "a", "input", axis=[-1]),
        [numbers(2), np.array([0.5, 2], "float32"), np.array(7, "int64")],
        lambda x, w: (x - w[0]) / np.sqrt(w[1]),
    ),
    "normalization told": (
        layer("Normalization", "a", "input", axis=[-1], mean=[[0.5, 0.1]], variance=[[4.0, 1.0]]),
        [],
        lambda x, w: (x - [0.5, 0.1]) / [2.0, 1.0],
    ),
    "prelu": (
        layer("PReLU", "a", "input", shared_axes=[1, 2]),
        [numbers(1, 1, 2)],
        lambda x, w: np.where(x > 0, x, x * w[0]),
    ),
    "rescaling": (
        layer("Rescaling", "a", "input", scale=1 / 127.5, offset=-1),
        [],
        lambda x, w: x / 127.5 - 1,
    ),
    "bilinear": (
        layer("UpSampling2D", "a", "input", size=[2, 2], interpolation="nearest"),
        [],
        lambda x, w: nearest(x),
    ),
    "softmax": (layer("Softmax", "a", "input", axis=-1), [], lambda x, w: softmax(x)),
    "relu with a threshold": (
        layer("ReLU", "a", "input", max_value=0.6, negative_slope=0.1, threshold=0.3),
        [],
        lambda x, w: np.minimum(np.where(x >= 0.3, x, 0.1 * (x - 0.3)), 0.6),
    ),
    "hard sigmoid": (
        layer("Activation", "a", "input", activation="hard_sigmoid", trainable=True),
        [],
        lambda x, w: np.clip(0.2 * x + 0.5, 0, 1),
    ),
    "cropping": (
        layer("Cropping2D", "a", "input", cropping=[[1, 2], [0, 3]]),
        [],
        lambda x, w: x[1:-2, :-3],
    ),
    "zero padding": (
        layer("ZeroPadding2D", "a", "input", padding=[[1, 2], [0, 3]]),
        [],
        lambda x, w: np.pad(x, [(1, 2), (0, 3), (0, 0)]),
    ),
    "tensor operation": (
        {**layer("TFOpLambda", "a", function="math.truediv"),
         "inbound_nodes": [["input", 0, 0, {"y": 4.0, "name": None}]]},
        [],
        lambda x, w: x / 4,
    ),
}  # fmt: skip


def weights_of(name: str, arrays: Sequence[Array]) -> list[tuple[str, Array]]:
    return [(f"{name}/weight_{i}:0", one) for i, one in enumerate(arrays)]


@pytest.mark.parametrize("name", ONE_LAYER)
def test_one_layer(name: str, tmp_path: Path) -> None:
    row, weights, expected = ONE_LAYER[name]
    result = expected(PICTURE, weights)
    rows, cols = result.shape[:2]
    layers, last = [image(12, 16, 2), row], row["name"]
    if (rows, cols) == (24, 32):
        layers.append(layer("AveragePooling2D", "b", last, pool_size=[2, 2], padding="valid"))
        last, result = "b", pool(result, how=np.mean)
    elif rows > 12:
        layers.append(layer("Cropping2D", "b", last, cropping=[[1, 2], [0, 3]]))
        last, result = "b", result[1:-2, :-3]
    # A file without weights is no network, so all end with a convolution that changes nothing.
    c = result.shape[-1]
    layers.append(layer("Conv2D", "end", last, filters=c, kernel_size=[1, 1], use_bias=False))
    end = [np.eye(c, dtype="float32")[None, None]]
    named = {"a": weights_of("a", weights), "end": weights_of("end", end)}
    path = h5(tmp_path / "net.h5", named, functional(layers))
    assert np.abs(answer(path, PICTURE) - result).max() < 1e-6


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_transposed_convolutions(k: int, tmp_path: Path) -> None:
    kernel = numbers(k, k, 3, 2)
    layers = [
        image(None, None, 2),
        layer("Conv2DTranspose", "a", "input", filters=3, kernel_size=[k, k], strides=[2, 2],
              padding="same", use_bias=False),
        layer("MaxPooling2D", "b", "a", pool_size=[2, 2]),
    ]  # fmt: skip
    path = h5(tmp_path / "net.h5", {"a": weights_of("a", [kernel])}, functional(layers))
    assert np.abs(answer(path, PICTURE) - pool(transposed(PICTURE, kernel, 2))).max() < 1e-6


def test_a_strided_convolution_pads_at_the_end(tmp_path: Path) -> None:
    kernel = numbers(3, 3, 2, 2)
    layers = [
        image(None, None, 2),
        layer("Conv2D", "a", "input", filters=2, kernel_size=[3, 3], strides=[2, 2],
              padding="same", use_bias=False),
        layer("UpSampling2D", "b", "a", size=[2, 2]),
    ]  # fmt: skip
    path = h5(tmp_path / "net.h5", {"a": weights_of("a", [kernel])}, functional(layers))
    assert np.abs(answer(path, PICTURE) - nearest(conv(PICTURE, kernel, stride=2))).max() < 1e-6


def unet() -> tuple[list[dict[str, Any]], dict[str, list[Array]]]:
    c = {"filters": 4, "kernel_size": [3, 3], "padding": "same", "activation": "relu"}
    layers = [
        image(32, 32, 2),
        layer("Conv2D", "one", "input", **c),
        layer("MaxPooling2D", "down", "one", pool_size=[2, 2], strides=[2, 2]),
        layer("Conv2D", "two", "down", **c),
        layer("Dropout", "drop", "two", rate=0.5),
        layer("UpSampling2D", "up", "drop", size=[2, 2]),
        layer("Concatenate", "join", "up", "one", axis=-1),
        layer("Conv2D", "three", "join", **c),
        layer("Conv2D", "out", "three", filters=1, kernel_size=[1, 1], activation="sigmoid"),
    ]
    shapes = {"one": (3, 3, 2, 4), "two": (3, 3, 4, 4), "three": (3, 3, 8, 4), "out": (1, 1, 4, 1)}
    return layers, {n: [numbers(*s), numbers(s[-1])] for n, s in shapes.items()}


def run_unet(x: Array, w: dict[str, list[Array]], flipped: bool = False) -> Array:
    turn = slice(None, None, -1 if flipped else 1)

    def layer_of(name: str, x: Array) -> Array:
        return conv(x, w[name][0][turn, turn], w[name][1])

    one = relu(layer_of("one", x))
    up = nearest(relu(layer_of("two", pool(one))))
    return layer_of("out", relu(layer_of("three", np.concatenate([up, one], -1))))


@pytest.mark.parametrize("kind", ["keras 2", "keras 3", "weights and json"])
def test_a_unet_is_read_with_its_facts(kind: str, tmp_path: Path) -> None:
    layers, w = unet()
    config = functional(layers)
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    if kind == "keras 3":
        folders = dict(
            zip(("conv2d", "conv2d_1", "conv2d_2", "conv2d_3"), named.values(), strict=True)
        )
        path = keras_zip(tmp_path / "net.keras", folders, config)
    elif kind == "keras 2":
        path = h5(tmp_path / "net.h5", named, config)
    else:
        path = h5(tmp_path / "net.weights.h5", named)
        (tmp_path / "other.json").write_text("{}")
        (tmp_path / "net.json").write_text(json.dumps(config))
    assert np.abs(answer(path, PICTURE) - sigmoid(run_unet(PICTURE, w))).max() < 1e-6
    found = identify(path)
    assert (found.family, found.program, found.channels, found.classes) == ("graph", "keras", 2, 1)
    assert found.outputs[0].activation == "none"
    assert found.known["outputs"].source == "read"
    assert found.size.multiple == (2, 2)
    assert "32 x 32" in found.known["size"].why
    assert found.known["prepare"].source == "assumed"
    card = card_of(found)
    assert card["program"] == "keras"
    assert card["assumed"] == ["prepare"]


def test_channels_first(tmp_path: Path) -> None:
    layers, w = unet()
    for row in layers:
        if row["class_name"] in ("Conv2D", "MaxPooling2D", "UpSampling2D"):
            row["config"]["data_format"] = "channels_first"
    layers[0]["config"]["batch_input_shape"] = [None, 2, None, None]
    layers[6]["config"]["axis"] = 1
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    path = h5(tmp_path / "net.h5", named, functional(layers))
    assert np.abs(answer(path, PICTURE) - sigmoid(run_unet(PICTURE, w))).max() < 1e-6


OLD_NAMES = {"Conv2D": "Convolution2D", "Concatenate": "Merge"}


def old(layers: list[dict[str, Any]], ordering: str) -> list[dict[str, Any]]:
    """Return layers as Keras 1 wrote them."""
    rows = []
    for row in layers:
        config = dict(row["config"])
        if row["class_name"] == "Conv2D":
            rows_, columns = config.pop("kernel_size")
            config |= {"nb_filter": config.pop("filters"), "nb_row": rows_, "nb_col": columns}
            config["border_mode"] = config.pop("padding", "valid")
        if row["class_name"] in ("Conv2D", "MaxPooling2D", "UpSampling2D"):
            config["dim_ordering"] = ordering
        if row["class_name"] == "Concatenate":
            config |= {"mode": "concat", "concat_axis": 1 if ordering == "th" else -1}
        kind = OLD_NAMES.get(row["class_name"], row["class_name"])
        nodes = [[one[:3] for one in node] for node in row["inbound_nodes"]]
        rows.append({**row, "class_name": kind, "config": config, "inbound_nodes": nodes})
    return rows


@pytest.mark.parametrize(
    ("ordering", "told", "flipped"),
    [
        ("th", {}, True),
        ("tf", {}, False),
        ("th", {"backend": "tensorflow"}, False),
        ("tf", {"backend": "theano"}, True),
    ],
)
def test_version_1(ordering: str, told: dict[str, str], flipped: bool, tmp_path: Path) -> None:
    layers, w = unet()
    rows = old(layers, ordering)
    if ordering == "th":
        rows[0]["config"]["batch_input_shape"] = [None, 2, 32, 32]
    named = {
        name: weights_of(name, [kernel.transpose(3, 2, 0, 1) if ordering == "th" else kernel, bias])
        for name, (kernel, bias) in w.items()
    }
    config = {**functional(rows), "class_name": "Model"}
    path = h5(tmp_path / "net.h5", named, config, version="1.2.2", backend="")
    expected = sigmoid(run_unet(PICTURE, w, flipped))
    assert np.abs(answer(path, PICTURE, told) - expected).max() < 1e-6
    known = identify(path, told).known["backend"]
    assert known.source == ("told" if told else "assumed")


def test_theano_behind_version_2_mirrors_kernels(tmp_path: Path) -> None:
    layers, w = unet()
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    path = h5(tmp_path / "net.h5", named, functional(layers), version="2.1.2", backend="theano")
    assert np.abs(answer(path, PICTURE) - sigmoid(run_unet(PICTURE, w, True))).max() < 1e-6


def test_a_sequential_model_in_a_list(tmp_path: Path) -> None:
    kernel = numbers(3, 3, 2, 1)
    rows = [
        layer("Conv2D", "a", filters=1, kernel_size=3, padding="same", use_bias=False,
              batch_input_shape=[None, None, None, 2], activation="linear"),
    ]  # fmt: skip
    config = sequential(rows)
    config["config"] = config["config"]["layers"]  # as before Keras 2.2.3
    path = h5(tmp_path / "net.h5", {"a": weights_of("a", [kernel])}, config)
    assert np.abs(answer(path, PICTURE) - conv(PICTURE, kernel)).max() < 1e-6


def test_a_model_inside_is_called_twice(tmp_path: Path) -> None:
    inner = sequential(
        [
            layer("InputLayer", "in2", batch_input_shape=[None, None, None, 2]),
            layer("BatchNormalization", "norm", axis=[3], epsilon=0.001),
            layer("Conv2D", "c", filters=2, kernel_size=[3, 3], padding="same"),
        ]
    )
    block = {"class_name": "Sequential", "name": "block", "config": inner["config"]}
    # Models inside count their calls from 1.
    block["inbound_nodes"] = [[["input", 0, 0, {}]], [["block", 1, 0, {}]]]
    last = layer("Activation", "end", activation="linear")
    last["inbound_nodes"] = [[["block", 2, 0, {}]]]
    gamma, beta, mean = numbers(2), numbers(2, seed=1), numbers(2, seed=2)
    variance, kernel, bias = np.array([1, 2], "float32"), numbers(3, 3, 2, 2), numbers(2, seed=3)
    # First what is trained, then what is not.
    arrays = [gamma, beta, kernel, bias, mean, variance]
    path = h5(
        tmp_path / "net.h5",
        {"block": weights_of("block", arrays)},
        functional([image(None, None, 2), block, last]),
    )

    def once(x: Array) -> Array:
        return conv((x - mean) / np.sqrt(variance + 0.001) * gamma + beta, kernel, bias)

    assert np.abs(answer(path, PICTURE) - once(once(PICTURE))).max() < 1e-6


def test_squeeze_and_excitation(tmp_path: Path) -> None:
    w = [numbers(2, 2), numbers(2)]
    layers = [
        image(None, None, 2),
        layer("GlobalAveragePooling2D", "squeeze", "input"),
        layer("Reshape", "shape", "squeeze", target_shape=[1, 1, 2]),
        layer("Dense", "excite", "shape", units=2, activation="sigmoid"),
        layer("Multiply", "scale", "input", "excite"),
    ]
    path = h5(tmp_path / "net.h5", {"excite": weights_of("excite", w)}, functional(layers))
    gate = sigmoid(PICTURE.mean((0, 1)) @ w[0] + w[1])
    assert np.abs(answer(path, PICTURE) - PICTURE * gate).max() < 1e-6
    assert not identify(path).exact


def test_pixels_in_a_row_are_still_an_image(tmp_path: Path) -> None:
    kernel = numbers(1, 1, 2, 2)
    layers = [
        image(12, 16, 2),
        layer("Conv2D", "a", "input", filters=2, kernel_size=[1, 1], use_bias=False),
        layer("Reshape", "row", "a", target_shape=[12 * 16, 2]),
        layer("Activation", "soft", "row", activation="softmax"),
    ]
    path = h5(tmp_path / "net.h5", {"a": weights_of("a", [kernel])}, functional(layers))
    assert np.abs(answer(path, PICTURE) - softmax(conv(PICTURE, kernel))).max() < 1e-6


# ---- What the user tells ---------------------------------------------------------------


def with_lambda(tmp_path: Path, **config: Any) -> tuple[Path, Array]:
    kernel = numbers(3, 3, 2, 1)
    byte_code = {"function": ["4wEAAAAAAAAA\n", None, None], "function_type": "lambda"}
    layers = [
        image(None, None, 2),
        layer("Lambda", "scale", "input", **byte_code, **config),
        layer("Conv2D", "a", "scale", filters=1, kernel_size=[3, 3], padding="same",
              use_bias=False),
    ]  # fmt: skip
    return h5(tmp_path / "net.h5", {"a": weights_of("a", [kernel])}, functional(layers)), kernel


@pytest.mark.parametrize(
    ("word", "scaled"),
    [
        ("divide-255", lambda x: x / 255),
        ("half", lambda x: x / 127.5 - 1),
        ("identity", lambda x: x),
    ],
)
def test_a_lambda_is_told(word: str, scaled: Any, tmp_path: Path) -> None:
    path, kernel = with_lambda(tmp_path)
    assert (
        np.abs(answer(path, PICTURE, {"lambda": word}) - conv(scaled(PICTURE), kernel)).max() < 1e-6
    )
    found = identify(path, {"lambda": word})
    assert found.known["lambda"].source == "told"
    assert bool(found.prepare) == (word == "identity")


def test_a_lambda_is_asked_for(tmp_path: Path) -> None:
    match = (
        r"net\.h5 is a network of Keras 2\.15\.0 with the layer scale \(Lambda\), Python code that "
        r"is never run\. Say what it does: lambda=divide-255 \(x / 255\), half \(x / 127\.5 - 1\), "
        r".*identity.*--set lambda=WORD"
    )
    with pytest.raises(MissingFactError, match=match) as caught:
        identify(with_lambda(tmp_path)[0])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.name, again.places) == ("lambda", ("scale",))
    assert [word for word, _ in again.words] == list(LAMBDAS)


def test_what_else_is_wrong_comes_before_the_question(tmp_path: Path) -> None:
    path, _ = with_lambda(tmp_path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][2]["config"]["activation"] = "wobble"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(UnsupportedWeightsError, match="wobble"):
        identify(path)


def test_a_lambda_that_changes_the_shape(tmp_path: Path) -> None:
    path, _ = with_lambda(tmp_path, output_shape=[5])
    with pytest.raises(UnsupportedWeightsError, match=r"scale \(Lambda\) changes the shape"):
        identify(path)


def test_wrong_words(tmp_path: Path) -> None:
    path, _ = with_lambda(tmp_path)
    with pytest.raises(SettingsError, match="lambda must be divide-255 or half or"):
        identify(path, {"lambda": "magic"})
    with pytest.raises(SettingsError, match=r"colour cannot be told.*told of it: lambda"):
        identify(path, {"colour": "red"})
    with pytest.raises(SettingsError, match=r"has 1 Lambda layers .* but 2 words were told"):
        identify(path, {"lambda": "half,half"})


# ---- What is refused, by name ----------------------------------------------------------

REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "1D": (
        [layer("InputLayer", "i", batch_input_shape=[None, 100, 2]),
         layer("Conv1D", "a", "i", filters=1, kernel_size=[3])],
        r"it takes signals along one axis \(1D\), not images",
    ),
    "1D layer": (
        [image(None, None, 2), layer("Conv1D", "a", "input", filters=1, kernel_size=[3])],
        r"a \(Conv1D\) is a convolution along one axis \(1D\)",
    ),
    "custom": (
        [image(None, None, 2), layer("MyAttention", "mine", "input")],
        "its layer mine is of the class 'MyAttention', which is not one of Keras'",
    ),
    "classifier": (
        [image(8, 8, 2), layer("Flatten", "flat", "input"), layer("Dense", "a", "flat", units=2)],
        r"flat \(Flatten\) puts all pixels in one row",
    ),
    "reshape": (
        [image(8, 8, 2), layer("Reshape", "r", "input", target_shape=[4, 4, 8])],
        r"r \(Reshape\) makes \(4, 4, 8\) of \(8, 8, 2\), which mixes pixels and channels",
    ),
    "norm along x": (
        [image(8, 8, 2), layer("BatchNormalization", "n", "input", axis=[2])],
        r"n \(BatchNormalization\) works along the axis 2, which are not the channels",
    ),
    "activation": (
        [image(8, 8, 2), layer("Activation", "n", "input", activation="wobble")],
        "n has the activation 'wobble', which is not known",
    ),
    "bicubic": (
        [image(8, 8, 2), layer("UpSampling2D", "n", "input", interpolation="bicubic")],
        "n up-samples by 'bicubic', where nearest and bilinear are known",
    ),
    "half size": (
        [image(8, 8, 2), layer("MaxPooling2D", "n", "input", pool_size=[2, 2])],
        "its answer has another scale than the image",
    ),
    "circle": (
        [image(8, 8, 2), layer("ReLU", "a", "b"), layer("ReLU", "b", "a")],
        "its layers a, b take answers that no other layer gives",
    ),
    "mixed": (
        [image(8, 8, 2), layer("UpSampling2D", "a", "input", data_format="channels_last"),
         layer("MaxPooling2D", "n", "a", data_format="channels_first")],
        "n takes the first axis for channels, the layer before it another",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    layers, match = REFUSED[name]
    path = h5(tmp_path / "net.h5", {"x": [("x/y", numbers(1))]}, functional(layers))
    with pytest.raises(UnsupportedWeightsError, match=match):
        identify(path)


def test_models_that_call_each_other_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_segnet.programs.keras._drawing.MOST_CALLS", 2_000)
    model = sequential([layer("InputLayer", "i0", batch_input_shape=[None, 8, 8, 2]),
                        layer("ReLU", "a0")])  # fmt: skip
    for depth in range(1, 15):
        inside = {"class_name": model["class_name"], "name": f"m{depth}", "config": model["config"]}
        inside["inbound_nodes"] = [[[f"i{depth}", 0, 0, {}]], [[f"m{depth}", 1, 0, {}]]]
        first = layer("InputLayer", f"i{depth}", batch_input_shape=[None, 8, 8, 2])
        model = functional([first, inside], f"m{depth}")
        model["config"]["output_layers"] = [[f"m{depth}", 2, 0]]
    path = h5(tmp_path / "net.h5", {"x": [("x/y", numbers(1))]}, model)
    with pytest.raises(UnsupportedWeightsError, match="layers are called more than 2,000 times"):
        identify(path)


def test_a_class_of_the_author(tmp_path: Path) -> None:
    config = {"class_name": "MyUNet", "config": {"width": 3}}
    path = h5(tmp_path / "net.h5", {"x": [("x/y", numbers(1))]}, config)
    with pytest.raises(UnsupportedWeightsError, match="its class 'MyUNet' is Python code"):
        identify(path)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    config, weights = small()
    bias = weights["conv"][1]
    path = h5(tmp_path / "a.h5", {"conv": [("conv/kernel:0", numbers(5, 3, 1, 1)), bias]}, config)
    with pytest.raises(
        UnsupportedWeightsError, match=r"has the shape \(5, 3, 1, 1\), where \(3, 3"
    ):
        identify(path)
    path = h5(tmp_path / "b.h5", {"conv": [bias]}, config)
    with pytest.raises(UnsupportedWeightsError, match="conv has 2 weights, and the file 1 for it"):
        identify(path)
    path = h5(tmp_path / "c.h5", {"conv": [("k", np.zeros((3, 3, 1, 1), "i4")), bias]}, config)
    with pytest.raises(UnsupportedWeightsError, match="numbers of the kind int32, where float32"):
        identify(path)


def test_weights_without_a_network_are_listed_in_order(tmp_path: Path) -> None:
    _, w = unet()
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    path = h5(tmp_path / "net.h5", named)
    match = (
        r"the weights of 4 layers of Keras in order \(one \(3, 3, 2, 4\) \(4,\); two .* and 1 "
        r"more\), but not how the layers are connected; from their order, .*net\.json"
    )
    with pytest.raises(UnsupportedWeightsError, match=match):
        identify(path)


@pytest.mark.parametrize("damage", range(40))
def test_any_description_is_one_of_our_errors(damage: int, tmp_path: Path) -> None:
    """Values of a description are replaced by others, at random."""
    source = np.random.default_rng(damage)
    layers, w = unet()
    config = functional(layers)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(config["config"])
    node, key = places[source.integers(len(places))]
    node[key] = [None, -1, 0, 1e308, "x", [], {}, [[]], 2**70, True][source.integers(10)]
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    path = h5(tmp_path / "net.h5", named, config)
    try:
        identify(path)
    except UnsupportedWeightsError as error:
        assert "net.h5" in str(error)


@pytest.mark.subprocess
def test_inspect_needs_no_torch(tmp_path: Path) -> None:
    config, weights = small()
    path = h5(tmp_path / "net.h5", weights, config)
    code = (
        "import sys; from napari_segnet.recognition import identify; "
        f"identify({str(path)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_written_as_a_file_of_our_own(tmp_path: Path) -> None:
    layers, w = unet()
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    path = h5(tmp_path / "net.h5", named, functional(layers))
    found = identify(path)
    module = sn.load(found, device="cpu").module
    family: Any = family_of(found)
    family.save(module, found, tmp_path / "net.safetensors")
    again = identify(tmp_path / "net.safetensors")
    assert (again.family, again.program, again.store.layouts) == ("graph", "", {})
    expected = sigmoid(run_unet(PICTURE, w))
    assert np.abs(answer(tmp_path / "net.safetensors", PICTURE) - expected).max() < 1e-6


def test_its_description_survives_json(tmp_path: Path) -> None:
    layers, w = unet()
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    found = identify(h5(tmp_path / "net.h5", named, functional(layers)))
    again = Checkpoint.from_json(json.loads(json.dumps(found.to_json())), found.path)
    assert again.store == found.store
    assert again.program == "keras"


def test_tiles_equal_the_whole(tmp_path: Path) -> None:
    layers, w = unet()
    named = {name: weights_of(name, arrays) for name, arrays in w.items()}
    path = h5(tmp_path / "net.h5", named, functional(layers))
    picture = np.random.default_rng(1).uniform(size=(2, 90, 71)).astype("float32")
    found = identify(path)
    answers = [
        sn.run(
            sn.predict(
                found,
                sn.Image(data=picture, axes="cyx", name="a"),
                sn.PredictSettings(tile_px=(size, size), normalize="none", device="cpu"),
            )
        ).answer.data
        for size in (16, 128)
    ]
    assert np.abs(np.asarray(answers[0]) - np.asarray(answers[1])).max() < 1e-5


# ---- Real files ------------------------------------------------------------------------


def test_a_real_network_of_version_1(data: Path) -> None:
    """Retina U-Net, written by Keras 1.0.5 with Theano, which mirrors kernels."""
    path = data / "checkpoints" / "retina_unet_keras1" / "test_best_weights.h5"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    with h5py.File(path) as file:
        w = {
            int(name.split("_")[1]): [file[name][f"{name}_{one}"][()] for one in "Wb"]
            for name in file
            if name.startswith("convolution2d")
        }

    def layer_of(number: int, x: Array) -> Array:
        kernel, bias = w[number]
        return relu(conv(x, kernel.transpose(2, 3, 1, 0)[::-1, ::-1].astype("float64"), bias))

    x = np.random.default_rng(0).uniform(size=(48, 48, 1))
    one = layer_of(2, layer_of(1, x))
    two = layer_of(4, layer_of(3, pool(one)))
    deep = layer_of(6, layer_of(5, pool(two)))
    up = layer_of(8, layer_of(7, np.concatenate([nearest(deep), two], -1)))
    end = layer_of(11, layer_of(10, layer_of(9, np.concatenate([nearest(up), one], -1))))
    assert end.std() > 0.01
    assert np.abs(answer(path, x) - softmax(end)).max() < 1e-9
    assert np.abs(answer(path, x, float64=False) - softmax(end)).max() < 1e-4


def real_networks() -> list[Path]:
    return sorted(WILD.glob("*keras*.npz")) if WILD.is_dir() else []


@pytest.mark.parametrize("reference", real_networks(), ids=lambda path: path.stem)
def test_real_networks(reference: Path) -> None:
    """Answers that Keras gave, before the last activation; the weights are not kept with them."""
    places = [WILD, WILD.parent / "data" / "wild", WILD.parent / "data" / "wild" / reference.stem]
    files = [f for place in places for f in place.glob(f"{reference.stem}*") if f.suffix in ENDINGS]
    if not files:
        pytest.skip(f"the weights of {reference.stem} are not there; its .json says where they are")
    told = np.load(reference)
    module: Any = sn.load(identify(files[0]), device="cpu").module
    nodes = {node.name: node for node in module.graph.nodes}
    last = nodes[module.graph.outputs[0]]
    inside = isinstance(last.operation, Activation | Softmax)
    raw = build(needed(module.graph, (last.inputs[0] if inside else last.name,)))
    raw.load_state_dict(module.state_dict())
    x = torch.from_numpy(np.moveaxis(told["x_b"], -1, 1).copy()).float()
    with torch.no_grad():
        plain, exact = raw.eval()(x).numpy(), raw.double()(x.double()).numpy()
    limit = max(1e-4, 3 * np.abs(plain - exact).max(), 1e-3 * exact.std())
    assert np.abs(plain - np.moveaxis(told["z_b"], -1, 1)).max() <= limit


ENDINGS = (".h5", ".hdf5", ".keras")
