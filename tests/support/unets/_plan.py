"""What a network is, in the words in which its truth is told; and its conv units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from support.unets._net import Draft
from torch import nn

__all__ = ["Plan", "activate", "conv", "norm", "tensors_of_activation", "transposed"]

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BACK = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
DROP = {1: nn.Dropout, 2: nn.Dropout2d, 3: nn.Dropout3d}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides a network but its names. Words are those of the card where it has them."""

    ndim: int = 2
    channels: int = 3
    classes: int = 1
    widths: tuple[int, ...] = (6, 12, 24)
    """Of each level, the bottleneck last."""
    convs: int = 2
    kernel: int = 3
    first_kernel: int = 0
    bias: bool = True
    norm: str = "batch"  # none | batch | group | instance | instance-affine
    norm_place: str = "after-convolution"
    activation: str = "relu"
    epsilon: float = 1e-5
    dropout: bool = False
    pooling: str = "max"  # max | average | max-3 | strided | strided-first
    skip: str = "before-pooling"
    join: str = "up-skip"
    up: str = "t2"  # t2 | t3 | t4 | nearest | bilinear | bilinear-aligned
    up_kernel: int = 0
    """Of a convolution behind a resizing; 0: none."""
    up_unit: bool = False
    """Norm and activation behind the up-convolution."""
    up_activation: str = "none"
    padding: str = "same"  # same | reflect | valid
    dilation: int = 1
    """Of the bottleneck."""
    residual: str = "none"  # none | identity | projection
    attention: bool = False
    squeeze: bool = False
    deep: bool = False
    """Heads of deep supervision, which only training uses."""
    flat_axis: bool = False
    """3D: the first axis is not pooled in the first level and its kernels are 1 there."""
    half: bool = False
    """The last step up is missing."""
    mend: str = "none"  # none | pad | resize: odd sizes are made equal
    head_kernel: int = 1
    head_pre: bool = False
    output_activation: str = "none"
    unused: bool = False
    """One layer is registered that the forward never runs."""

    def facts(self) -> dict[str, str]:
        """Return the truth in the fixed words, of what this network has."""
        facts = {
            "join": self.join,
            "activation": self.activation,
            "pooling": {"strided-first": "strided"}.get(self.pooling, self.pooling),
            "padding": self.padding,
            "dilation": str(self.dilation),
            "output_activation": self.output_activation,
        }
        if self.join != "none":
            facts["skip"] = self.skip
        if self.norm != "none":
            facts["norm_place"] = self.norm_place
            facts["epsilon"] = f"{self.epsilon:g}"
        if self.up in ("nearest", "bilinear", "bilinear-aligned"):
            facts["resize"] = self.up
        elif not self.up_unit:
            facts["up_activation"] = self.up_activation
        return facts

    def but(self, **changes: Any) -> Plan:
        """Return the plan with some of it changed."""
        return replace(self, **changes)


def conv(plan: Plan, a: int, b: int, kernel: Any = 0, stride: Any = 1, dilation: int = 1):
    """Return a convolution that keeps the size, or (padding ``valid``) does not."""
    kernel = kernel or plan.kernel
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * plan.ndim
    room = tuple(dilation * (k // 2) for k in sizes)
    if plan.padding == "valid" and max(sizes) > 1 and stride == 1:
        room = (0,) * plan.ndim
    mode = "reflect" if plan.padding == "reflect" else "zeros"
    return CONV[plan.ndim](a, b, sizes, stride, room, dilation, bias=plan.bias, padding_mode=mode)


def transposed(plan: Plan, a: int, b: int, stride: Any = 2):
    """Return the step up of this plan, which doubles the size."""
    if plan.up == "t3":
        out = 1 if stride == 2 else tuple(s - 1 for s in stride)
        return BACK[plan.ndim](a, b, 3, stride, padding=1, output_padding=out)
    if plan.up == "t4":
        return BACK[plan.ndim](a, b, 4, 2, padding=1)
    return BACK[plan.ndim](a, b, stride, stride)


def norm(plan: Plan, width: int) -> nn.Module | None:
    """Return the norm, None where there is none."""
    if plan.norm == "batch":
        return BATCH[plan.ndim](width, eps=plan.epsilon)
    if plan.norm == "group":
        return nn.GroupNorm(2 if width % 2 == 0 else 1, width, eps=plan.epsilon)
    if plan.norm.startswith("instance"):
        return INSTANCE[plan.ndim](width, affine=plan.norm.endswith("affine"), eps=plan.epsilon)
    return None


LAYERS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky-0.01": lambda: nn.LeakyReLU(0.01),
    "leaky-0.1": lambda: nn.LeakyReLU(0.1),
    "leaky-0.2": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "prelu": nn.PReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(1),
    "none": nn.Identity,
}


def tensors_of_activation(name: str) -> nn.Module:
    """Return an activation as a layer."""
    return LAYERS[name]()


def activate(draft: Draft, name: str, x: str) -> str:
    """Add an activation that is no layer."""
    if name == "none":
        return x
    if name.startswith("leaky"):
        return draft.step("leaky", x, argument=float(name.split("-")[1]))
    return draft.step(name, x)
