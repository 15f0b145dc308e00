"""All networks that weights without a graph can be: one order of layers, and what leaves no trace.

The order, the kinds and the shapes of all layers stand in the file; in what order maps are
joined, which function follows a convolution and the like do not. Each is a choice with the
likeliest value first, by 66 networks of public repositories (autumn 2026).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from napari_segnet.checkpoint import Output
from napari_segnet.graph import Graph
from napari_segnet.programs.keras._draw import drawn
from napari_segnet.programs.keras._drawing import Drawing, Facts
from napari_segnet.programs.keras._model import Model, NotReadable, read_model
from napari_segnet.programs.keras._ordered import OrderedLayer, Wired, wired
from napari_segnet.programs.structure import Candidate

__all__ = ["OrderedSpace"]

COUNTS: Mapping[str, Mapping[str, int]] = {
    "join": {"up-skip": 36, "skip-up": 13},
    "activation": {
        "relu": 56,
        "elu": 2,
        "leaky-0.2": 2,
        "gelu": 1,
        "silu": 1,
        "tanh": 1,
        "none": 1,
    },
    "slope": {"0.3": 6, "0.2": 3, "0.1": 2, "0.01": 2},
    "up_activation": {"none": 30, "relu": 4},
    "resize": {"nearest": 14, "bilinear": 2},
    "padding": {"same": 62, "valid": 4},
    "epsilon": {"0.001": 20, "1e-05": 1},
}
"""How often each value was met, at least once. Epsilon, the slope of ``LeakyReLU`` and resizing
are weighted by Keras' own defaults (0.001, 0.3, nearest), which its users seldom change."""
ENDS: Mapping[bool, Mapping[str, int]] = {
    True: {"sigmoid": 44, "none": 13, "tanh": 1},
    False: {"softmax": 9, "sigmoid": 4, "none": 3},
}
"""Final activations of one map, and of several."""
WHY: Mapping[str, str] = {
    "join": "the file does not show in which order maps are joined; what comes from below first "
    "is usual",
    "activation": "the file does not show which function follows a convolution; ReLU is usual",
    "slope": "the file does not show the slope of LeakyReLU; 0.3 is what Keras takes",
    "up_activation": "the file does not show if a function follows a transposed convolution; "
    "none is usual",
    "resize": "the file does not show how maps are enlarged; nearest is what Keras takes",
    "padding": "the file does not show if convolutions are padded; they usually are",
    "epsilon": "the file does not show the epsilon of a norm; 0.001 is what Keras takes",
    "output_activation": "the file does not show what follows the last layer",
}
FUNCTIONS: Mapping[str, Any] = {
    "none": "linear",
    "silu": "swish",
    "leaky-0.2": {"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}},
}
"""Our words -> Keras' names, where they differ."""
FUNCTION_LAYERS = ("Activation", "ReLU", "LeakyReLU", "ELU")


class OrderedSpace:
    """See :class:`napari_segnet.programs.structure.Space`.

    Parameters
    ----------
    layers : sequence of OrderedLayer
        What ``ordered_layers`` returned.
    facts : Facts
        What holds for the whole model.

    Raises
    ------
    NotReadable
        If their order is not that of a network that is known.
    """

    def __init__(self, layers: Sequence[OrderedLayer], facts: Facts) -> None:
        self.rows, self._facts = wired(layers), facts
        self.ndim = max(layer.ndim for layer in layers)
        self._last = max(i for i, row in enumerate(self.rows) if row.layer.kernel)
        levels = max(row.level for row in self.rows)
        joins = sum(row.layer.kind == "Concatenate" for row in self.rows)
        self._layout = f"levels-{levels + 1}-skips-{joins}"
        self.open = self._open()
        self.draw(self._likeliest({}))  # to find out if it can be

    @property
    def layouts(self) -> tuple[str, ...]:
        """The one topology."""
        return (self._layout,)

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network with these choices; see ``Space``.

        Raises
        ------
        ValueError
            For a layout, a name or a value that is not possible.
        """
        if layout != self._layout:
            raise ValueError(f"layout must be {self._layout}, not {layout!r}")
        for name, value in choices.items():
            if name not in self.open or value not in self.open[name]:
                can = " or ".join(self.open.get(name, ())) or f"one of {', '.join(self.open)}"
                raise ValueError(f"{name} must be {can}, not {value!r}")
        whole = self._likeliest(choices)
        _, graph, _ = self.draw(whole)
        return Candidate(
            graph=graph,
            choices={"layout": layout, **whole},
            open={"layout": (layout,), **self.open},
            prior=sum(self._log(name, value) for name, value in whole.items()),
            why={
                "layout": "the file lists all layers in their order, and channels close; skip "
                "connections are taken to leave from the last layer before a pooling, and sizes "
                "to be halved and doubled",
                **{name: WHY[name] for name in whole},
            },
        )

    def first(self, n: int) -> tuple[Candidate, ...]:
        """Return the likeliest networks; what only ends differently is one graph."""
        names = [name for name in self.open if name != "output_activation"]
        every = [dict(zip(names, v, strict=True)) for v in product(*map(self.open.get, names))]  # type: ignore[arg-type]
        every.sort(key=lambda one: -sum(self._log(name, value) for name, value in one.items()))
        return tuple(self.candidate(self._layout, one) for one in every[:n])

    def outputs(self, choices: Mapping[str, str]) -> tuple[Output, ...]:
        """Return what the maps mean."""
        count, end = self.rows[-1].channels, choices["output_activation"]
        role: Any = "foreground" if count == 1 else "class"
        return (Output(role=role, channels=count, activation=end),)  # type: ignore[arg-type]

    def draw(self, choices: Mapping[str, str]) -> tuple[Drawing, Graph, Model]:
        """Return the network with all choices made; its last activation is left out."""
        rows = [self._row(place, row, choices) for place, row in enumerate(self.rows)]
        first, last = self.rows[0].layer.name, self.rows[-1].layer.name
        config = {
            "class_name": "Functional",
            "config": {
                "layers": rows,
                "input_layers": [[first, 0, 0]],
                "output_layers": [[last, 0, 0]],
            },
        }
        model = read_model(config)
        draw, values = drawn(model, self._facts)
        return draw, draw.graph(values), model

    def _open(self) -> dict[str, tuple[str, ...]]:
        kinds = {row.layer.kind for row in self.rows}
        there = {
            "join": "Concatenate" in kinds,
            "activation": "Activation" in kinds or not self._named(),
            "slope": "LeakyReLU" in kinds,
            "up_activation": "Transposed" in kinds and not self._named(),
            "resize": "UpSampling" in kinds and self.ndim == 2,
            "padding": "Concatenate" not in kinds,  # what is not padded is cropped to be joined
            "epsilon": "Norm" in kinds,
        }
        found = {name: tuple(COUNTS[name]) for name, on in there.items() if on}
        return {**found, "output_activation": tuple(ENDS[self.rows[-1].channels == 1])}

    def _named(self) -> bool:
        """Tell if functions are layers of their own."""
        return any(row.layer.kind in FUNCTION_LAYERS for row in self.rows[: self._last])

    def _likeliest(self, choices: Mapping[str, str]) -> dict[str, str]:
        return {name: choices.get(name, values[0]) for name, values in self.open.items()}

    def _log(self, name: str, value: str) -> float:
        if name == "output_activation":
            counts = ENDS[self.rows[-1].channels == 1]
        else:
            counts = COUNTS[name]
        return math.log(counts[value] / sum(counts.values()))

    def _row(self, place: int, row: Wired, choices: Mapping[str, str]) -> dict[str, Any]:
        """Return a layer as Keras 2 describes it."""
        layer, inputs = row.layer, row.inputs
        if layer.kind == "Concatenate" and choices.get("join") == "skip-up":
            inputs = inputs[::-1]
        kind, config = self._described(place, row, choices)
        return {
            "class_name": kind,
            "name": layer.name,
            "config": {"name": layer.name, **config},
            "inbound_nodes": [[[name, 0, 0, {}] for name in inputs]] if inputs else [],
        }

    def _described(
        self, place: int, row: Wired, choices: Mapping[str, str]
    ) -> tuple[str, dict[str, Any]]:
        layer, n, two = row.layer, self.ndim, [2] * self.ndim
        if layer.kind == "InputLayer":
            return "InputLayer", {"batch_input_shape": [None, *([None] * n), row.channels]}
        if layer.kernel:
            return self._convolution(place, layer, choices)
        if layer.kind == "Norm":
            on = {"scale": "gamma" in layer.roles, "center": "beta" in layer.roles}
            return "BatchNormalization", {"axis": -1, "epsilon": float(choices["epsilon"]), **on}
        if place > self._last and layer.kind in ("Reshape", *FUNCTION_LAYERS):
            return "Dropout", {"rate": 0.0}  # a view of the pixels, and the last activation
        plain: Mapping[str, tuple[str, dict[str, Any]]] = {
            "MaxPooling": (f"MaxPooling{n}D", {"pool_size": two}),
            "AveragePooling": (f"AveragePooling{n}D", {"pool_size": two}),
            "UpSampling": (
                f"UpSampling{n}D",
                {"size": two, "interpolation": choices.get("resize", "nearest")},
            ),
            "Concatenate": ("Concatenate", {"axis": -1}),
            "Activation": ("Activation", {"activation": _function(choices)}),
            "ReLU": ("ReLU", {}),
            "LeakyReLU": ("LeakyReLU", {"alpha": float(choices.get("slope", "0.3"))}),
            "ELU": ("ELU", {"alpha": 1.0}),
            "Dropout": ("Dropout", {"rate": 0.0}),
        }
        if layer.kind not in plain:
            raise NotReadable(f"its layer {layer.name} does not say to which shape it changes maps")
        return plain[layer.kind]

    def _convolution(
        self, place: int, layer: OrderedLayer, choices: Mapping[str, str]
    ) -> tuple[str, dict[str, Any]]:
        n = self.ndim
        own: Any = "linear" if self._named() or place == self._last else _function(choices)
        config: dict[str, Any] = {
            "kernel_size": list(layer.kernel[:-2]),
            "padding": choices.get("padding", "same"),
            "use_bias": "bias" in layer.roles,
        }
        if layer.kind == "Transposed":
            own = "relu" if choices.get("up_activation") == "relu" else "linear"
            config |= {"filters": layer.kernel[-2], "strides": [2] * n, "padding": "same"}
            return f"Conv{n}DTranspose", {**config, "activation": own}
        if layer.kind == "Conv":
            return f"Conv{n}D", {**config, "filters": layer.kernel[-1], "activation": own}
        config["depth_multiplier"] = layer.kernel[-1]
        if layer.kind == "SeparableConv":
            config["filters"] = layer.roles["pointwise_kernel"][-1]
        return f"{layer.kind}{n}D", {**config, "activation": own}


def _function(choices: Mapping[str, str]) -> Any:
    word = choices.get("activation", "none")
    return FUNCTIONS.get(word, word)
