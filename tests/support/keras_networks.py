"""Small networks of Keras in every layout that its versions write."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from support.keras_files import functional, h5, image, keras_zip, layer, sequential

KINDS = (
    "keras 2",
    "keras 1, theano",
    "keras 1, tensorflow",
    "channels first",
    "half precision",
    "double precision",
    "compressed",
    "keras 3",
    "keras 3, packed",
    "weights and json",
    "weights of keras 3 and json",
    "a model inside, called twice",
)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    fan = max(int(np.prod(shape[:-1])), 1)
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype("float32") / fan**0.5


def layers(channels: int = 1, classes: int = 1, first: bool = False) -> list[dict[str, Any]]:
    """Return a U-Net of two levels with a norm, a transposed and a separable convolution."""
    how: dict[str, Any] = {"data_format": "channels_first" if first else "channels_last"}
    conv = {"kernel_size": [3, 3], "padding": "same", "activation": "relu", **how}
    shape = (channels, None, None) if first else (None, None, channels)
    return [
        image(*shape),
        layer("Conv2D", "one", "input", filters=4, **conv),
        layer("BatchNormalization", "norm", "one", axis=[1 if first else 3], epsilon=0.001),
        layer("MaxPooling2D", "down", "norm", pool_size=[2, 2], strides=[2, 2], **how),
        layer("SeparableConv2D", "two", "down", filters=6, **conv),
        layer("Dropout", "drop", "two", rate=0.2),
        layer("Conv2DTranspose", "up", "drop", filters=5, kernel_size=[3, 3], strides=[2, 2],
              padding="same", **how),
        layer("Concatenate", "join", "up", "norm", axis=1 if first else -1),
        layer("Conv2D", "three", "join", filters=4, **conv),
        layer("Conv2D", "out", "three", filters=classes, kernel_size=[1, 1],
              activation="sigmoid" if classes == 1 else "softmax", **how),
    ]  # fmt: skip


def weights(channels: int = 1, classes: int = 1) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Return the weights of :func:`layers` as Keras 2 lists them."""
    kernels = {
        "one": {"kernel": (3, 3, channels, 4), "bias": (4,)},
        "two": {"depthwise_kernel": (3, 3, 4, 1), "pointwise_kernel": (1, 1, 4, 6), "bias": (6,)},
        "up": {"kernel": (3, 3, 5, 6), "bias": (5,)},
        "three": {"kernel": (3, 3, 9, 4), "bias": (4,)},
        "out": {"kernel": (1, 1, 4, classes), "bias": (classes,)},
    }
    found = {
        name: [(f"{name}/{part}:0", numbers(*shape, seed=i)) for i, (part, shape) in
               enumerate(parts.items())]
        for name, parts in kernels.items()
    }  # fmt: skip
    norm = {
        "gamma": 1 + 0.1 * numbers(4),
        "beta": 0.1 * numbers(4, seed=1),
        "moving_mean": 0.1 * numbers(4, seed=2),
        "moving_variance": 1 + 0.1 * np.abs(numbers(4, seed=3)),
    }
    found["norm"] = [(f"norm/{part}:0", values.astype("f4")) for part, values in norm.items()]
    return {"input": [], **{name: found[name] for name in ("one", "norm", "two", "up", "three",
                                                          "out")}, "drop": []}  # fmt: skip


FOLDERS = {
    "one": "conv2d",
    "norm": "batch_normalization",
    "two": "separable_conv2d",
    "up": "conv2d_transpose",
    "three": "conv2d_1",
    "out": "conv2d_2",
}
"""What Keras 3 calls the layers in a file."""


def written(folder: Path, kind: str, stem: str = "net") -> Path:
    """Write a network in one of ``KINDS``; whole models have the state of an optimizer."""
    made: Callable[[Path, str], Path] = _whole
    if kind.startswith("keras 1"):
        made = _first_version
    elif kind.startswith("keras 3"):
        made = _third_version
    elif kind.startswith("weights"):
        made = _weights_alone
    elif kind.startswith("a model"):
        made = _nested
    return made(folder / stem, kind)


def with_optimizer(path: Path, name: str = "optimizer_weights") -> Path:
    """Add what ``model.save`` writes of a compiled model."""
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = json.dumps({"loss": "binary_crossentropy"})
        file[f"{name}/adam/m/kernel:0"] = numbers(3, 3)
    return path


def _whole(path: Path, kind: str) -> Path:
    first, how = kind == "channels first", {}
    held = weights()
    dtypes = {"half precision": "f2", "double precision": "f8"}
    if kind in dtypes:
        held = {n: [(p, v.astype(dtypes[kind])) for p, v in one] for n, one in held.items()}
    if kind == "compressed":
        how = {"compression": "gzip", "shuffle": True}
    config = functional(layers(first=first))
    return with_optimizer(h5(path.with_suffix(".h5"), held, config, **how))


def _first_version(path: Path, kind: str) -> Path:
    theano = kind.endswith("theano")
    ordering = "th" if theano else "tf"
    shape = (1, 32, 32) if theano else (32, 32, 1)
    how = {"border_mode": "same", "activation": "relu", "dim_ordering": ordering}
    rows: list[dict[str, Any]] = [
        image(*shape),
        layer("Convolution2D", "one", "input", nb_filter=4, nb_row=3, nb_col=3, **how),
        layer("MaxPooling2D", "down", "one", pool_size=[2, 2], dim_ordering=ordering),
        layer("Convolution2D", "two", "down", nb_filter=4, nb_row=3, nb_col=3, **how),
        layer("UpSampling2D", "up", "two", size=[2, 2], dim_ordering=ordering),
        layer("Merge", "join", "up", "one", mode="concat", concat_axis=1 if theano else -1),
        layer("Convolution2D", "out", "join", nb_filter=1, nb_row=1, nb_col=1,
              activation="sigmoid", dim_ordering=ordering),
    ]  # fmt: skip
    for row in rows:
        row["inbound_nodes"] = [[one[:3] for one in node] for node in row["inbound_nodes"]]
    shapes = {"one": (3, 3, 1, 4), "two": (3, 3, 4, 4), "out": (1, 1, 8, 1)}
    held: dict[str, list[tuple[str, np.ndarray]]] = {"input": []}
    for name, kernel in shapes.items():
        values = numbers(*kernel)
        values = values.transpose(3, 2, 0, 1) if theano else values
        held[name] = [(f"{name}_W", values), (f"{name}_b", numbers(kernel[-1]))]
    config = {**functional(rows), "class_name": "Model"}
    return h5(path.with_suffix(".hdf5"), held, config, version="1.2.2", backend="")


def _third_version(path: Path, kind: str) -> Path:
    packed = zipfile.ZIP_DEFLATED if kind.endswith("packed") else zipfile.ZIP_STORED
    folders = {FOLDERS[name]: one for name, one in weights().items() if one}
    config = {**functional(layers()), "compile_config": {"optimizer": "adam"}}
    path = keras_zip(path.with_suffix(".keras"), folders, config, compression=packed)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/words.txt", "nucleus")
    return path


def _weights_alone(path: Path, kind: str) -> Path:
    path.with_suffix(".json").write_text(json.dumps(functional(layers())))
    if kind == "weights and json":
        return h5(path.with_suffix(".h5"), weights())
    path = path.with_suffix(".weights.h5")
    with h5py.File(path, "w") as file:
        file.create_group("vars")
        file["optimizer/vars/0"] = 7
        for name, parts in weights().items():
            for number, (_, values) in enumerate(parts):
                file[f"layers/{FOLDERS[name]}/vars/{number}"] = values
    return path


def _nested(path: Path, kind: str) -> Path:
    inner = sequential(
        [
            layer("InputLayer", "in2", batch_input_shape=[None, None, None, 1]),
            layer("BatchNormalization", "norm", axis=[3], epsilon=0.001),
            layer("Conv2D", "c", filters=1, kernel_size=[3, 3], padding="same"),
        ]
    )
    block: dict[str, Any] = {"class_name": "Sequential", "name": "block"}
    block["config"] = inner["config"]
    block["inbound_nodes"] = [[["input", 0, 0, {}]], [["block", 1, 0, {}]]]
    last = layer("Activation", "end", activation="sigmoid")
    last["inbound_nodes"] = [[["block", 2, 0, {}]]]
    arrays = [1 + numbers(1), numbers(1, seed=1), numbers(3, 3, 1, 1), numbers(1, seed=2),
              numbers(1, seed=3), np.ones(1, "float32")]  # fmt: skip
    held: Mapping[str, Any] = {"block": [(f"b/w_{i}:0", one) for i, one in enumerate(arrays)]}
    return h5(path.with_suffix(".h5"), held, functional([image(None, None, 1), block, last]))
