"""Kinds of layers that leave no tensor behind: what a state dict cannot show of a U-Net.

The forward of a fork may differ while names and shapes stay the same. Each of these is told by
the user, recorded beside the tensors, read from the layers of a whole pickled module, or assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from napari_segnet.families.kit.hparams import Choice

__all__ = [
    "ACTIVATIONS",
    "DILATION",
    "NONLINEARITY",
    "NORM_EPS",
    "PADDING_MODE",
    "POOLING",
    "SKIP_FIRST",
    "SKIP_LAST",
    "UPSAMPLING",
    "Kinds",
    "activation_choice",
    "pooling_choice",
    "upsampling_choice",
]

ACTIVATIONS = ("none", "sigmoid", "softmax", "tanh")
POOLINGS = ("max", "average", "max-3x3")
UPSAMPLINGS = ("linear-aligned", "linear", "nearest")

NONLINEARITY = Choice(
    name="nonlinearity",
    values=("relu", "leaky_relu", "elu", "gelu", "silu", "none"),
    default="relu",
    why="after each convolution, as in the published network; a function has no tensors",
    numbers={"leaky_relu": 0.01, "elu": 1.0},
    also=("act", "act_fn", "act_layer", "activation_fn", "activation_function", "activation"),
    only_by_user=("none",),
)
"""``leaky_relu:0.2`` has the slope 0.2, ``elu:0.5`` the alpha 0.5; torch's defaults are 0.01, 1."""
NORM_EPS = Choice(
    name="norm_eps",
    default=1e-5,
    why="torch's default for the epsilon of batch normalisation, which no tensor holds",
    between=(0.0, 0.1),
    also=("bn_eps", "batch_norm_eps"),
)
PADDING_MODE = Choice(
    name="padding_mode",
    values=("zeros", "reflect", "replicate"),
    default="zeros",
    why="torch's default for padded convolutions",
)
DILATION = Choice(
    name="dilation",
    default=1,
    why="of the convolutions in all blocks, as in the published network; shapes do not show it",
    between=(1, 32),
)
SKIP_FIRST = Choice(
    name="join",
    values=("skip-first", "skip-last"),
    default="skip-first",
    why="the published network joins the skip connection in front of what was up-sampled; "
    "the other order has the same tensors",
)
SKIP_LAST = Choice(
    name="join",
    values=("skip-first", "skip-last"),
    default="skip-last",
    why="the published network joins the skip connection behind what was up-sampled; "
    "the other order has the same tensors",
)


def pooling_choice(why: str, default: str = "max") -> Choice:
    """Return how the network halves its maps; ``max-3x3`` has stride 2 and padding 1."""
    return Choice(
        name="pooling",
        values=POOLINGS,
        default=default,
        why=why,
        also=("pool", "pool_type", "pooling_type"),
    )


POOLING = pooling_choice("as in the published network; a pooling has no tensors")


def upsampling_choice(default: str, why: str) -> Choice:
    """Return how maps are doubled without weights; ``linear`` is bilinear, or trilinear."""
    return Choice(name="upsampling", values=UPSAMPLINGS, default=default, why=why)


UPSAMPLING = upsampling_choice(
    "linear-aligned",
    "the file holds no transposed convolutions, and the published network then up-samples "
    "linearly with aligned corners; other ways have no tensors either",
)


def activation_choice(classes: int, one: str, several: str) -> Choice:
    """Return what follows the last convolution: a sigmoid, or a softmax over several channels.

    ``none`` where the answer is wanted as it is.
    """
    single = ("sigmoid", "none", "tanh")
    return Choice(
        name="activation",
        values=single if classes == 1 else ("softmax", *single),
        default="sigmoid" if classes == 1 else "softmax",
        why=one if classes == 1 else several,
        only_by_user=("none", "tanh"),  # a record may mean the function between the layers
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """The kinds of layers of one network, as the constants above name them.

    Attributes
    ----------
    nonlinearity, pooling, padding_mode, join, upsampling : str
        Values of the choices.
    norm_eps : float
        Of every batch normalisation.
    dilation : int
        Of the convolutions in blocks.
    """

    nonlinearity: str = "relu"
    norm_eps: float = 1e-5
    padding_mode: str = "zeros"
    dilation: int = 1
    pooling: str = "max"
    join: str = "skip-last"
    upsampling: str = "linear-aligned"

    @classmethod
    def of(cls, hparams: Mapping[str, Any], **defaults: str) -> Kinds:
        """Return those of hyper-parameters; descriptions of before 0.2 lack them."""
        names = {field.name for field in fields(cls)}
        own = {name: value for name, value in hparams.items() if name in names}
        return cls(**{**defaults, **own})

    @property
    def skip_first(self) -> bool:
        """True if the skip connection stands in front."""
        return self.join == "skip-first"

    @property
    def function(self) -> tuple[str, float]:
        """The word and number of the function after each convolution."""
        word, _, number = self.nonlinearity.partition(":")
        return word, float(number or NONLINEARITY.numbers.get(word, 0.0))
