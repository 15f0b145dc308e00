"""Files as the versions of Keras write them, by h5py alone."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Weights = Mapping[str, Sequence[tuple[str, np.ndarray]]]
"""For each layer, in order, names and numbers of its weights."""


def h5(
    path: Path,
    weights: Weights,
    config: Mapping[str, Any] | None = None,
    version: str = "2.15.0",
    backend: str = "tensorflow",
    **how: Any,
) -> Path:
    """Write what ``model.save("name.h5")`` (or ``save_weights``) of Keras 1 and 2 writes."""
    with h5py.File(path, "w") as file:
        group = file if config is None else file.create_group("model_weights")
        for one in (file, group):
            if version:
                one.attrs["keras_version"] = version
            if backend:
                one.attrs["backend"] = backend
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, tensors in weights.items():
            own = group.create_group(layer)
            own.attrs["weight_names"] = [name.encode() for name, _ in tensors]
            for name, numbers in tensors:
                own.create_dataset(name, data=numbers, **how)
    return path


def keras_zip(
    path: Path,
    weights: Weights,
    config: Mapping[str, Any],
    version: str = "3.15.1",
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write what ``model.save("name.keras")`` of Keras 3 writes; ``weights`` by folder."""
    inside = io.BytesIO()
    with h5py.File(inside, "w") as file:
        file.create_group("vars")
        for folder, tensors in weights.items():
            for number, (_, numbers) in enumerate(tensors):
                file[f"layers/{folder}/vars/{number}"] = numbers
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", inside.getvalue())
    return path


def layer(kind: str, name: str, *inputs: str, **config: Any) -> dict[str, Any]:
    """Return a layer as Keras 2 writes it, called once on the first call of others."""
    nodes = [[[one, 0, 0, {}] for one in inputs]] if inputs else []
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


def functional(layers: Sequence[dict[str, Any]], *outputs: str) -> dict[str, Any]:
    """Return a functional model of Keras 2; the first layer is its input."""
    return {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": list(layers),
            "input_layers": [[layers[0]["name"], 0, 0]],
            "output_layers": [[name, 0, 0] for name in outputs or (layers[-1]["name"],)],
        },
    }


def sequential(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a sequential model of Keras 2."""
    rows = [{"class_name": one["class_name"], "config": one["config"]} for one in layers]
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": rows}}


def image(*shape: int | None) -> dict[str, Any]:
    """Return the input layer, for images of this shape without the batch."""
    return layer("InputLayer", "input", batch_input_shape=[None, *shape])


def small(seed: int = 0) -> tuple[dict[str, Any], Weights]:
    """Return a network of one convolution and a sigmoid, and its weights."""
    source = np.random.default_rng(seed)
    kernel = source.normal(size=(3, 3, 1, 1)).astype("float32")
    bias = source.normal(size=1).astype("float32")
    config = functional(
        [
            image(None, None, 1),
            layer("Conv2D", "conv", "input", filters=1, kernel_size=[3, 3], padding="same",
                  activation="sigmoid"),
        ]
    )  # fmt: skip
    return config, {"input": [], "conv": [("conv/kernel:0", kernel), ("conv/bias:0", bias)]}
