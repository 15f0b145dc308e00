"""Operations that look at one pixel: activations, joins, and what does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from napari_segnet.graph._operation import Lengths, Operation, Reach, Tensor

__all__ = ["Activation", "Arithmetic", "Concatenate", "Identity", "Image", "Softmax"]

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
    """

    name: ClassVar[str] = "image"
    arity: ClassVar[tuple[int, int]] = (0, 0)
    count: int
    ndim: int

    def channels(self, inputs: Sequence[int]) -> int:
        """Return ``count``."""
        return self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Operation):
    """Nothing: a dropout when it answers, a layer that a fork took out."""

    name: ClassVar[str] = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation(Operation):
    """A function of each value.

    Attributes
    ----------
    function : str
        ``relu`` max(x, 0); ``relu6`` min(max(x, 0), 6); ``leaky-relu`` x or ``slope`` x;
        ``prelu`` the same with learnt slopes; ``elu`` x or ``slope`` (e^x - 1); ``selu``
        1.0507 times elu with slope 1.6733; ``gelu`` x Φ(x); ``silu`` x sigmoid(x); ``mish``
        x tanh(softplus(x)); ``softplus`` ln(1 + e^x); ``sigmoid`` 1 / (1 + e^-x); ``tanh``;
        ``hard-sigmoid`` min(max(x / 6 + 1/2, 0), 1); ``hard-swish`` x hard-sigmoid(x).
        https://pytorch.org/docs/stable/nn.html#non-linear-activations-weighted-sum-nonlinearity
    slope : float
        Of the negative side, where the function has one.
    slopes : int
        Of ``prelu``: how many are learnt, one or one per channel.
    """

    name: ClassVar[str] = "activation"
    function: Literal[
        "relu", "relu6", "leaky-relu", "prelu", "elu", "selu", "gelu", "silu", "mish",
        "softplus", "sigmoid", "tanh", "hard-sigmoid", "hard-swish",
    ]  # fmt: skip
    slope: float = 0.01
    slopes: int = 1

    def tensors(self, inputs: Sequence[int]) -> Mapping[str, Tensor]:
        """Return the slopes of ``prelu``."""
        return {"weight": Tensor(shape=(self.slopes,))} if self.function == "prelu" else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Operation):
    """``e^x / sum(e^x)`` over the channels of each pixel.

    https://pytorch.org/docs/stable/generated/torch.nn.Softmax.html with ``dim=1``
    """

    name: ClassVar[str] = "softmax"


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

    https://pytorch.org/docs/stable/generated/torch.cat.html with ``dim=1``
    """

    name: ClassVar[str] = "concatenate"

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the sum."""
        return sum(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(_Join):
    """Sum or product of inputs with as many channels.

    Attributes
    ----------
    kind : str
        ``add`` or ``multiply``.
    """

    name: ClassVar[str] = "arithmetic"
    kind: Literal["add", "multiply"]

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the channels that all share."""
        if len(set(inputs)) != 1:
            raise ValueError(f"maps of {', '.join(map(str, inputs))} channels do not add up")
        return inputs[0]
