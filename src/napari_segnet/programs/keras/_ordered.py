"""Weights without their network: layers in order, whose names and shapes tell their kinds.

``save_weights`` of Keras 1 and 2 lists all layers in the order in which they run, those without
weights as well (``layer_names``): https://github.com/keras-team/keras/blob/v2.15.0/keras/saving/
legacy/hdf5_format.py (``save_weights_to_hdf5_group``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_segnet.containers import TensorRef
from napari_segnet.programs.keras._model import NotReadable

__all__ = ["OrderedLayer", "Wired", "ordered_layers", "wired"]

KINDS: Mapping[str, str] = {
    "input": "InputLayer",
    "conv": "Conv",
    "convolution": "Conv",
    "separable_conv": "SeparableConv",
    "depthwise_conv": "DepthwiseConv",
    "conv_transpose": "Transposed",
    "deconv": "Transposed",
    "batch_normalization": "Norm",
    "max_pooling": "MaxPooling",
    "average_pooling": "AveragePooling",
    "up_sampling": "UpSampling",
    "concatenate": "Concatenate",
    "merge": "Concatenate",
    "activation": "Activation",
    "re_lu": "ReLU",
    "leaky_re_lu": "LeakyReLU",
    "elu": "ELU",
    "dropout": "Dropout",
    "spatial_dropout": "Dropout",
    "gaussian_noise": "Dropout",
    "gaussian_dropout": "Dropout",
    "alpha_dropout": "Dropout",
    "reshape": "Reshape",
    "permute": "Reshape",
}
"""Names that Keras gives to layers (without ``2d`` and a number) -> what they are here."""
WORDS: Sequence[tuple[str, str]] = (
    ("pool", "MaxPooling"),
    ("concat", "Concatenate"),
    ("merge", "Concatenate"),
    ("drop", "Dropout"),
    ("upsampl", "UpSampling"),
    ("relu", "ReLU"),
    ("act", "Activation"),
)
"""In names that people give; the first that is in one counts."""
UPWARD = ("up", "trans", "deconv")
"""In names of transposed convolutions."""
WITH_WEIGHTS = ("Conv", "SeparableConv", "DepthwiseConv", "Transposed", "Norm")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedLayer:
    """A layer of bare weights.

    Attributes
    ----------
    name : str
        In the file.
    kind : str
        One of ``KINDS``; ``"convolution"`` dimensions follow from the shapes.
    roles : mapping of str to tuple of int
        Shape of each weight in the file, by what Keras calls it: ``kernel``, ``bias``, ...
    """

    name: str
    kind: str
    roles: Mapping[str, Shape]

    @property
    def kernel(self) -> Shape:
        """Shape of its kernel: ``(*space, inputs, outputs)``, of a transposed one turned."""
        names = ("kernel", "depthwise_kernel", "weight_0")
        return next((self.roles[name] for name in names if name in self.roles), ())

    @property
    def ndim(self) -> int:
        """Dimensions of the image; 0 where it has no kernel."""
        return max(len(self.kernel) - 2, 0)

    @property
    def takes(self) -> int:
        """How many channels must come to it; 0 where it takes any."""
        if self.kind == "Norm":
            return self.roles[next(iter(self.roles))][0]
        if not self.kernel:
            return 0
        return self.kernel[-1] if self.kind == "Transposed" else self.kernel[-2]

    def gives(self, channels: int) -> int:
        """Return how many channels it answers with."""
        if self.kind == "Conv":
            return self.kernel[-1]
        if self.kind == "Transposed":
            return self.kernel[-2]
        if self.kind == "DepthwiseConv":
            return channels * self.kernel[-1]
        if self.kind == "SeparableConv":
            return self.roles["pointwise_kernel"][-1]
        return channels


def ordered_layers(
    layers: Mapping[str, Sequence[str]], root: Mapping[str, TensorRef]
) -> tuple[OrderedLayer, ...]:
    """Return the layers of a file in their order.

    Parameters
    ----------
    layers : mapping of str to sequence of str
        Keys of the weights of each layer, in the file's order.
    root : mapping of str to TensorRef
        Tensors by key.

    Raises
    ------
    NotReadable
        Naming a layer whose kind neither its name nor its weights tell.
    """
    found = []
    for number, (name, keys) in enumerate(layers.items()):
        roles = {_role(key, i): root[key].shape for i, key in enumerate(keys)}
        kind = _by_shapes(name, roles) if roles else _by_name(name, number == 0)
        if not kind:
            what = " ".join(map(str, roles.values()))
            raise NotReadable(
                f"neither the name nor the weights {what} of its layer {name} tell what it is"
                if what
                else f"the name of its layer {name} does not tell what it is"
            )
        found.append(OrderedLayer(name=name, kind=kind, roles=roles))
    return tuple(found)


def _role(key: str, place: int) -> str:
    """Return what Keras calls a weight: ``conv2d_1/kernel:0`` is a kernel."""
    leaf = key.rpartition("/")[2].partition(":")[0]
    known = ("kernel", "bias", "depthwise_kernel", "pointwise_kernel", *NORM)
    return leaf if leaf in known else f"weight_{place}"


def _stem(name: str) -> tuple[str, str]:
    """Return a name without its number and dimensions, and these."""
    stem = re.sub(r"_\d+$", "", name.rpartition("/")[2])
    found = re.search(r"(?<=[a-z])([123])d(?=_|$)", stem)
    dimensions = found.group(1) if found else ""
    return re.sub(r"(?<=[a-z])[123]d(?=_|$)", "", stem), dimensions


def _by_name(name: str, first: bool) -> str:
    stem, dimensions = _stem(name)
    if dimensions == "1":
        return ""
    if stem in KINDS and KINDS[stem] not in WITH_WEIGHTS:
        return KINDS[stem]
    if first:
        return "InputLayer"
    return next((kind for word, kind in WORDS if word in name.lower()), "")


def _by_shapes(name: str, roles: Mapping[str, Shape]) -> str:
    shapes, stem = list(roles.values()), KINDS.get(_stem(name)[0], "")
    if len(shapes[0]) not in (1, 4, 5):
        return ""
    if len(shapes[0]) == 1:
        norm = len(shapes) in (2, 3, 4) and len(set(shapes)) == 1 and set(roles) <= set(NORM)
        return "Norm" if norm and {"moving_mean", "moving_variance"} <= set(roles) else ""
    if "depthwise_kernel" in roles:
        return "SeparableConv" if "pointwise_kernel" in roles else "DepthwiseConv"
    if set(roles) - {"kernel", "bias"}:
        return ""
    if stem in ("Conv", "Transposed"):
        return stem
    upward = any(word in name.lower() for word in UPWARD)
    inputs, outputs = shapes[0][-2:]
    if inputs != outputs and "bias" in roles:
        # It has the length of the outputs, the last axis but one of a transposed convolution.
        of: Mapping[Shape, str] = {(outputs,): "Conv", (inputs,): "Transposed"}
        return of.get(roles["bias"], "")
    return "Transposed" if upward and max(shapes[0][:-2]) == 2 else "Conv"


# ---- How they are connected ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """A layer and those that it takes.

    Attributes
    ----------
    layer : OrderedLayer
        The layer.
    inputs : tuple of str
        Names of layers; of a join first what comes from below.
    channels : int
        Of its answer.
    level : int
        How often the image was halved.
    """

    layer: OrderedLayer
    inputs: tuple[str, ...]
    channels: int
    level: int


def wired(layers: Sequence[OrderedLayer]) -> tuple[Wired, ...]:
    """Connect layers: each takes the one before it, a join also one of the encoder.

    Skip connections leave from the last layer before a pooling; the number of channels that is
    missing behind the join says which level, and levels say it again.

    Raises
    ------
    NotReadable
        If the channels or the levels do not close: then the order is not that of a U-Net.
    """
    channels = next((layer.takes for layer in layers if layer.kernel), 0)
    if not channels:
        raise NotReadable("none of its layers is a convolution")
    rows: list[Wired] = []
    if layers[0].kind != "InputLayer":
        first = OrderedLayer(name="input (added)", kind="InputLayer", roles={})
        layers = (first, *layers)
    for number, layer in enumerate(layers):
        if layer.kind == "InputLayer":
            if rows:
                raise NotReadable(f"it has a second input, {layer.name}")
            rows.append(Wired(layer=layer, inputs=(), channels=channels, level=0))
            continue
        before = rows[-1]
        if layer.takes and layer.takes != before.channels:
            raise NotReadable(
                f"its layer {layer.name} takes {layer.takes} channels, and {before.channels} come "
                f"from {before.layer.name} before it"
            )
        level = before.level + LEVELS.get(layer.kind, 0)
        inputs: tuple[str, ...] = (before.layer.name,)
        count = layer.gives(before.channels)
        if layer.kind == "Concatenate":
            want = next((one.takes for one in layers[number + 1 :] if one.takes), 0)
            skip = _skip(rows, layers, level, want - before.channels, layer.name)
            inputs, count = (before.layer.name, skip.layer.name), want
        rows.append(Wired(layer=layer, inputs=inputs, channels=count, level=level))
    if rows[-1].level != 0:
        raise NotReadable(
            f"its answer would be {'smaller' if rows[-1].level > 0 else 'larger'} than the image: "
            "there are not as many poolings as layers that enlarge"
        )
    return tuple(rows)


LEVELS: Mapping[str, int] = {
    "MaxPooling": 1,
    "AveragePooling": 1,
    "UpSampling": -1,
    "Transposed": -1,
}


def _skip(
    rows: Sequence[Wired], layers: Sequence[OrderedLayer], level: int, channels: int, name: str
) -> Wired:
    """Return the last answer before a pooling that a join may take."""
    pooled = {
        rows[place - 1].layer.name
        for place, row in enumerate(rows)
        if row.layer.kind.endswith("Pooling")
    }
    fits = [
        row
        for row in rows[:-1]
        if row.level == level and row.channels == channels and row.layer.name in pooled
    ]
    if not fits:
        raise NotReadable(
            f"its layer {name} joins something of {channels} channels, which no layer before a "
            f"pooling of that level has"
        )
    return fits[-1]
