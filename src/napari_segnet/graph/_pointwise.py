"""Operations that look at one pixel: activations, joins, and what does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from napari_segnet.graph._operation import Lengths, Operation, Reach, Shape, Tensor

__all__ = [
    "Activation",
    "Arithmetic",
    "ChannelPooling",
    "Channels",
    "Concatenate",
    "Identity",
    "Image",
    "Rescale",
    "Softmax",
]

MANY = 1_000_000
"""More inputs than any join has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Operation):
    """What the network is shown: ``(n, channels, [z,] y, x)``.

    Attributes
    ----------
    count : int
        Channels.
    ndim : int
        Spatial dimensions, 2 or 3.
    size : tuple of int
        Pixels per axis ``([z,] y, x)``, where the network takes images of this size only; empty: of
        any that its layers take.
    """

    name: ClassVar[str] = "image"
    arity: ClassVar[tuple[int, int]] = (0, 0)
    free: ClassVar[tuple[str, ...]] = ("size",)
    count: int
    ndim: int
    size: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if len(self.size) not in (0, self.ndim):
            raise ValueError(f"an image of {self.ndim} dimensions has no size of {self.size}")

    def channels(self, inputs: Sequence[int]) -> int:
        """Return ``count``."""
        return self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Operation):
    """Nothing: a dropout when it answers, a layer that a fork took out.

    Attributes
    ----------
    dropout : float
        While it is trained, this share of the values becomes 0, and the others grow by one
        over what is left. https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
    spatial : bool
        Whether whole channels of it become 0 together (``Dropout2d``, ``SpatialDropout2D``).
    """

    name: ClassVar[str] = "identity"
    dropout: float = 0.0
    spatial: bool = False

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"a dropout of {self.dropout} is not between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation(Operation):
    """A function of each value.

    Attributes
    ----------
    function : str
        ``relu`` max(x, 0); ``relu6`` min(max(x, 0), 6); ``clip`` min(max(x, low), high);
        ``leaky-relu`` x or ``slope`` x where negative; ``prelu`` the same with learnt slopes;
        ``thresholded-relu`` x from ``threshold`` on, below it ``slope`` (x - threshold): all
        that Keras' ``ReLU`` does before its ``max_value``
        (https://keras.io/api/layers/activation_layers/relu/); ``threshold`` x above
        ``threshold``, else 0 (Keras' ``ThresholdedReLU``);
        ``elu`` x or ``slope`` (e^x - 1); ``celu`` x or ``slope`` (e^(x / slope) - 1);
        ``selu`` 1.0507 times elu with slope 1.6733;
        ``gelu`` x Φ(x); ``gelu-tanh`` x / 2 (1 + tanh(√(2/π) (x + 0.044715 x³)));
        ``silu`` x sigmoid(x); ``mish`` x tanh(softplus(x)); ``softplus`` ln(1 + e^x);
        ``softsign`` x / (1 + abs x); ``sigmoid`` 1 / (1 + e^-x); ``log-sigmoid`` its
        logarithm; ``tanh``; ``hard-sigmoid`` min(max(x / 6 + 1/2, 0), 1), that of torch and
        Keras 3; ``hard-sigmoid-fifth`` min(max(x / 5 + 1/2, 0), 1), that of Keras 1 and 2
        (https://github.com/keras-team/keras/blob/v2.15.0/keras/activations.py);
        ``hard-swish`` x hard-sigmoid(x); ``exp``; ``log``; ``sqrt``; ``square``; ``abs``;
        ``reciprocal`` 1 / x; ``erf`` the error function (a GELU in parts).
        https://pytorch.org/docs/stable/nn.html#non-linear-activations-weighted-sum-nonlinearity
    slope : float
        Of the negative side, where the function has one.
    slopes : int
        Of ``prelu``: how many are learnt, one or one per channel.
    threshold, low, high : float
        As above.
    """

    name: ClassVar[str] = "activation"
    function: Literal[
        "relu", "relu6", "clip", "leaky-relu", "prelu", "thresholded-relu", "threshold", "elu",
        "celu", "selu", "gelu", "gelu-tanh", "silu", "mish", "softplus", "softsign", "sigmoid",
        "log-sigmoid", "tanh", "hard-sigmoid", "hard-sigmoid-fifth", "hard-swish", "exp", "log",
        "sqrt", "square", "abs", "reciprocal", "erf",
    ]  # fmt: skip
    slope: float = 0.01
    slopes: int = 1
    threshold: float = 0.0
    low: float = 0.0
    high: float = 1.0

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the same; ``prelu`` has one slope, or one for each."""
        if self.function == "prelu" and self.slopes not in (1, inputs[0]):
            raise ValueError(f"{self.slopes} slopes do not fit {inputs[0]} channels")
        return inputs[0]

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return the slopes of ``prelu``."""
        return {"weight": Tensor(shape=(self.slopes,))} if self.function == "prelu" else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Operation):
    """``e^x / sum(e^x)`` along an axis: over the channels of each pixel.

    https://pytorch.org/docs/stable/generated/torch.nn.Softmax.html with ``dim=axis + 1``

    Attributes
    ----------
    along : int
        Axis without that of the batch: 0 are the channels of a map. Others look at the whole.
    log : bool
        Whether the logarithm of it is the answer.
    """

    name: ClassVar[str] = "softmax"
    along: int = 0
    log: bool = False

    @property
    def bounded(self) -> bool:
        """False along any other axis than the channels."""
        return self.along == 0

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the same."""
        if self.along >= len(inputs[0]):
            raise ValueError(f"an array of the shape {inputs[0]} has no axis {self.along}")
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale(Operation):
    """``x * scale + offset`` with fixed numbers: ÷255, 1 - x, standardised channels.

    https://keras.io/api/layers/preprocessing_layers/image_preprocessing/rescaling/

    Attributes
    ----------
    scales, offsets : tuple of float
        One for all channels, or one for each.
    """

    name: ClassVar[str] = "rescale"
    free: ClassVar[tuple[str, ...]] = ("scales", "offsets")
    scales: tuple[float, ...] = (1.0,)
    offsets: tuple[float, ...] = (0.0,)

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the same."""
        for numbers in (self.scales, self.offsets):
            if len(numbers) not in (1, inputs[0]):
                raise ValueError(f"{len(numbers)} numbers do not fit {inputs[0]} channels")
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels(Operation):
    """Some neighbouring channels of all.

    Attributes
    ----------
    first, count : int
        The first of them (from 0), and how many.
    """

    name: ClassVar[str] = "channels"
    first: int
    count: int

    def channels(self, inputs: Sequence[int]) -> int:
        """Return ``count``."""
        if self.first + self.count > inputs[0]:
            raise ValueError(
                f"channels {self.first} to {self.first + self.count - 1} are not among {inputs[0]}"
            )
        return self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPooling(Operation):
    """The largest channel, their mean or their sum, at each pixel: one channel is left.

    Spatial attention takes it (Woo et al. 2018, doi 10.1007/978-3-030-01234-2_1).

    Attributes
    ----------
    kind : str
        ``max``, ``average`` or ``sum``.
    """

    name: ClassVar[str] = "channel-pooling"
    kind: Literal["max", "average", "sum"]

    def channels(self, inputs: Sequence[int]) -> int:
        """Return 1."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Join(Operation):
    """Several inputs of one size, pixel by pixel."""

    arity: ClassVar[tuple[int, int]] = (2, MANY)

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the length that all share; 0 if they differ."""
        return inputs[0] if len(set(inputs)) == 1 else 0

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the same pixels of each."""
        return ((low, high),) * len(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenate(_Join):
    """The channels of the first input, then those of the second, and so on.

    https://pytorch.org/docs/stable/generated/torch.cat.html with ``dim=along + 1``

    Attributes
    ----------
    along : int
        Axis without that of the batch: 0 are the channels of a map.
    """

    name: ClassVar[str] = "concatenate"
    along: int = 0

    @property
    def bounded(self) -> bool:
        """False along any other axis than the channels."""
        return self.along == 0

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the sum."""
        return inputs[0] if self.along else sum(inputs)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the lengths, which differ along one axis only, with their sum there."""
        along, first = self.along, inputs[0]
        if along >= len(first) or len({s[:along] + s[along + 1 :] for s in inputs}) > 1:
            raise ValueError(f"arrays of the shapes {list(inputs)} cannot be joined")
        return (*first[:along], sum(shape[along] for shape in inputs), *first[along + 1 :])

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the length that all share, or their sum."""
        if self.along == axis + 1:
            return sum(inputs)
        return inputs[0] if len(set(inputs)) == 1 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(_Join):
    """Several inputs become one, value by value.

    An input with one channel, or one pixel along an axis, counts for all of the others
    there: gates and squeezed channels are multiplied so.

    Attributes
    ----------
    kind : str
        ``add``, ``multiply``, ``maximum``, ``minimum``, ``average`` of all; ``subtract`` or
        ``divide``: the first minus, or by, the second.
    """

    name: ClassVar[str] = "arithmetic"
    kind: Literal["add", "multiply", "subtract", "divide", "maximum", "minimum", "average"]

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the channels that all share, or all but those with one."""
        if self.kind in ("subtract", "divide") and len(inputs) != 2:
            raise ValueError(f"{self.kind!r} takes two inputs, not {len(inputs)}")
        if len(set(inputs) - {1}) > 1:
            raise ValueError(f"maps of {', '.join(map(str, inputs))} channels do not add up")
        return max(inputs)

    def length(self, axis: int, inputs: Lengths) -> int:
        """Return the length that all share, or all but those with one; 0 if they differ."""
        return max(inputs) if len(set(inputs) - {1}) < 2 else 0

    def reach(self, axis: int, low: int, high: int, inputs: Lengths) -> tuple[Reach, ...]:
        """Return the same pixels of each; of one that has a single pixel, that."""
        longest = max(inputs)
        return tuple((low, high) if n == longest else (0, 0) for n in inputs)
