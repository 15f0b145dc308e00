"""The layers of a network of StarDist, as Keras would describe them.

``unet_block`` and ``resnet_block`` of CSBDeep 0.8 and ``_build`` of StarDist 0.9 (both BSD-3). What
they do not name Keras numbers in the order in which it is made, counting on through a session:
the weights say from where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.programs.stardist._config import Config

__all__ = ["layers_of"]

Row = dict[str, Any]


class _Layers:
    """Rows of a functional model of Keras, layer by layer."""

    def __init__(self, config: Config, known: Iterable[str]) -> None:
        self.config, self.rows = config, list[Row]()
        self._known, self._used = list(known), dict[str, int]()
        self.batch_norm = False

    def add(self, kind: str, options: Mapping[str, Any], *inputs: str, name: str = "") -> str:
        """Append a layer; return its name."""
        name = name or self._name(kind)
        nodes = [[[one, 0, 0, {}] for one in inputs]] if inputs else []
        row = {"class_name": kind, "name": name, "config": {**options, "name": name}}
        self.rows.append({**row, "inbound_nodes": nodes})
        return name

    def _name(self, kind: str) -> str:
        """Return what Keras has called the next layer of a kind."""
        stem = re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
        number = self._used[stem] = self._used.get(stem, -1) + 1
        pattern = re.compile(rf"{stem}(?:_(\d+))?")
        matches = [match for match in map(pattern.fullmatch, self._known) if match is not None]
        matches.sort(key=lambda match: int(match[1] or 0))
        return str(matches[number][0]) if number < len(matches) else f"{stem} {number}"

    def conv(
        self,
        x: str,
        filters: int,
        kernel: Sequence[int],
        activation: str = "linear",
        *,
        name: str = "",
        strides: Sequence[int] = (),
        bias: bool = True,
    ) -> str:
        """Append a convolution of the same size."""
        options = {
            "filters": filters,
            "kernel_size": list(kernel),
            "strides": list(strides or (1,) * self.config.ndim),
            "padding": "same",
            "data_format": "channels_last",
            "dilation_rate": [1] * self.config.ndim,
            "activation": activation,
            "use_bias": bias,
        }
        return self.add(f"Conv{self.config.ndim}D", options, x, name=name)

    def norm(self, x: str) -> str:
        """Append a batch norm as Keras has it."""
        return self.add("BatchNormalization", {"axis": -1, "epsilon": 1e-3}, x)

    def block(self, x: str, filters: int, kernel: Sequence[int], activation: str, name: str) -> str:
        """Append ``conv_block``: with a norm the activation stands behind it."""
        if not self.batch_norm:
            return self.conv(x, filters, kernel, activation, name=name)
        x = self.norm(self.conv(x, filters, kernel, name=name))
        return self.add("Activation", {"activation": activation}, x)

    def pool(self, x: str, size: Sequence[int], name: str = "") -> str:
        """Append a maximum pooling."""
        options = {"pool_size": list(size), "strides": list(size), "padding": "valid"}
        return self.add(f"MaxPooling{self.config.ndim}D", options, x, name=name)


def layers_of(config: Config, known: Iterable[str]) -> tuple[Row, tuple[str, ...]]:
    """Return a network as ``to_json()`` would, and the names of its outputs.

    Parameters
    ----------
    config : Config
        What StarDist writes beside the weights.
    known : iterable of str
        Names of the layers in the file, in any order.

    Raises
    ------
    UnsupportedWeightsError
        For a backbone that StarDist does not have.
    """
    ndim, channels = config.ndim, config.count("n_channel_in", 1)
    draw = _Layers(config, known)
    image = draw.add(
        "InputLayer", {"batch_input_shape": [None] * (ndim + 1) + [channels]}, name="input"
    )
    backbone = config.text("backbone", "unet")
    if backbone == "unet":
        base = _unet(draw, image)
        after, kernel = "net_conv_after_unet", config.lengths("unet_kernel_size", 3)
        activation = config.text("unet_activation", "relu")
    elif backbone == "resnet" and ndim == 3:
        base = _resnet(draw, image)
        after, kernel = "net_conv_after_resnet", config.lengths("resnet_kernel_size", 3)
        activation = config.text("resnet_activation", "relu")
    else:
        raise config.odd("backbone", "unet, or resnet in three dimensions,")
    # The first networks had no such layer, and their configuration no such word.
    wide = config.count(after, 128 if "features" in draw._known else 0, least=0)
    top = draw.conv(base, wide, kernel, activation, name="features") if wide else base
    point = (1,) * ndim
    outputs = [
        draw.conv(top, 1, point, "sigmoid", name="prob"),
        draw.conv(top, config.count("n_rays", 32), point, "linear", name="dist"),
    ]
    if config.classes:
        top = draw.conv(base, wide, kernel, activation, name="features_class") if wide else base
        outputs.append(draw.conv(top, config.classes + 1, point, "softmax", name="prob_class"))
    inside = {
        "name": "stardist",
        "layers": draw.rows,
        "input_layers": [[image, 0, 0]],
        "output_layers": [[name, 0, 0] for name in outputs],
    }
    return {"class_name": "Functional", "config": inside}, tuple(outputs)


def _unet(draw: _Layers, x: str) -> str:
    """Return the last layer of ``unet_block``, behind what brings the image onto the grid."""
    config = draw.config
    kernel, pool = config.lengths("unet_kernel_size", 3), config.lengths("unet_pool", 2)
    base, depth = (
        config.count("unet_n_filter_base", 32),
        config.count("unet_n_depth", 3, 0, most=10),
    )
    per_level = config.count("unet_n_conv_per_depth", 2, most=50)
    activation = config.text("unet_activation", "relu")
    last = config.values.get("unet_last_activation") or activation
    growth = config.values.get("unet_expansion", 2)
    if not isinstance(growth, int | float) or not 0 < growth <= 8:
        raise config.odd("unet_expansion", "a number up to 8")
    prefix = config.text("unet_prefix", "")
    pooled = (1,) * config.ndim
    while pooled != config.grid:
        size = tuple(2 if g > p else 1 for g, p in zip(config.grid, pooled, strict=True))
        pooled = tuple(p * s for p, s in zip(pooled, size, strict=True))
        for _ in range(per_level):
            x = draw.conv(x, base, kernel, activation)
        x = draw.pool(x, size)
    draw.batch_norm = bool(config.values.get("unet_batch_norm", False))

    def filters(level: int) -> int:
        return int(base * growth ** max(0, level))

    skips = []
    for n in range(depth):
        for i in range(per_level):
            x = draw.block(x, filters(n), kernel, activation, f"{prefix}down_level_{n}_no_{i}")
        skips.append(x)
        x = draw.pool(x, pool, f"{prefix}max_{n}")
    for i in range(per_level - 1):
        x = draw.block(x, filters(depth), kernel, activation, f"{prefix}middle_{i}")
    x = draw.block(x, filters(depth - 1), kernel, activation, f"{prefix}middle_{per_level}")
    for n in reversed(range(depth)):
        x = draw.add(f"UpSampling{config.ndim}D", {"size": list(pool)}, x)
        x = draw.add("Concatenate", {"axis": -1}, x, skips[n])
        for i in range(per_level - 1):
            x = draw.block(x, filters(n), kernel, activation, f"{prefix}up_level_{n}_no_{i}")
        end = activation if n > 0 else str(last)
        x = draw.block(x, filters(n - 1), kernel, end, f"{prefix}up_level_{n}_no_{per_level}")
    return x


def _resnet(draw: _Layers, x: str) -> str:
    """Return the last layer of the blocks of ``resnet_block``."""
    config = draw.config
    kernel = config.lengths("resnet_kernel_size", 3)
    filters = config.count("resnet_n_filter_base", 32)
    each = config.count("resnet_n_conv_per_block", 3, least=2, most=50)
    activation = config.text("resnet_activation", "relu")
    norm = draw.batch_norm = bool(config.values.get("resnet_batch_norm", False))
    x = draw.conv(draw.conv(x, filters, (7,) * 3), filters, (3,) * 3)
    pooled, width = (1,) * config.ndim, filters
    for _ in range(config.count("resnet_n_blocks", 4, most=100)):
        size = tuple(2 if g > p else 1 for g, p in zip(config.grid, pooled, strict=True))
        pooled = tuple(p * s for p, s in zip(pooled, size, strict=True))
        filters *= 2 if max(size) > 1 else 1
        before = x
        for number in range(each):
            strides = size if number == 0 else ()
            x = draw.conv(x, filters, kernel, strides=strides, bias=not norm)
            x = draw.norm(x) if norm else x
            if number < each - 1:
                x = draw.add("Activation", {"activation": activation}, x)
        if max(size) > 1 or filters != width:
            before = draw.conv(before, filters, (1,) * 3, strides=size, bias=not norm)
        x = draw.add("Add", {}, before, x)
        x = draw.add("Activation", {"activation": activation}, x)
        width = filters
    if pooled != config.grid:
        raise UnsupportedWeightsError(
            f"{config.where} has too few blocks of layers for the grid {list(config.grid)} of its "
            "network of StarDist. Get the file again from where the network was published."
        )
    return x
