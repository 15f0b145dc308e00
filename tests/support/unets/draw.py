"""Networks at random over the grammar of U-Nets: a seed makes one, with its truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.networks import WRAPPERS, save_as
from support.unets._build import unet_net
from support.unets._net import Net
from support.unets._pictures import WAYS, accumulate, batch_of, draw_weights, sources, train
from support.unets._plan import Plan
from support.unets._special import chain, contract_expand, denoiser, plain, resnet_unet, w_net
from support.unets._styles import STYLES, Style
from torch import nn

__all__ = ["KINDS", "Case", "Kind", "draw", "write"]

Rng = np.random.Generator
Made = tuple[Net, Plan, str, Mapping[str, str]]
"""A network, what it is, its style, and words of the truth that its plan does not say."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of network of the table.

    ``weight``: how often it is drawn. ``held_out``: never to be used for calibration.
    ``asks``: its file cannot tell what it is; a refusal with the reason or a question is right.
    """

    name: str
    make: Callable[[Rng, tuple[Style, ...]], Made]
    weight: float = 1
    held_out: bool = False
    asks: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and its truth.

    Attributes
    ----------
    batch : Tensor
        A held picture ``(1, c, [z,] y, x)`` float32, as the network takes it.
    raw : Tensor
        The forward's answer before its final activation ``(1, classes, [z,] y, x)`` float32.
    apart : float
        The largest difference of ``raw`` to the same forward in float64.
    """

    seed: int
    kind: Kind
    style: str
    plan: Plan
    net: nn.Module
    facts: Mapping[str, str]
    wrapper: str
    seen: str
    batch: torch.Tensor
    raw: torch.Tensor
    apart: float

    @property
    def normed(self) -> bool:
        """Whether batch norms keep statistics."""
        return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.net.modules())

    @property
    def name(self) -> str:
        """Kind and seed."""
        return f"{self.kind.name} {self.seed}"


# ---- Kinds ----


def _base(rng: Rng, **but: Any) -> Plan:
    depth = int(rng.choice([1, 2, 2, 3, 3, 4]))
    width = int(rng.choice([4, 4, 6, 8])) if depth < 4 else 4
    classes = int(rng.choice([1, 1, 1, 2, 3, 5]))
    last = "none"
    if rng.random() < 0.5:
        last = "sigmoid" if classes == 1 else "softmax"
    widths = [width * 2**i for i in range(depth + 1)]
    if rng.random() < 0.15:
        widths = [width + 4 * i for i in range(depth + 1)]
    made = Plan(
        channels=int(rng.choice([1, 3])),
        classes=classes,
        widths=tuple(widths),
        convs=int(rng.choice([2, 2, 2, 2, 1, 3])),
        bias=bool(rng.random() < 0.7),
        norm="batch" if rng.random() < 0.75 else "none",
        join=str(rng.choice(["up-skip", "up-skip", "skip-up"])),
        output_activation=last,
        dropout=bool(rng.random() < 0.15),
        mend=str(rng.choice(["none", "none", "none", "pad", "resize"])),
    )
    made = made.but(**but)
    return made.but(bias=True) if made.norm == "none" else made


def _usual(**but: Any) -> Callable[[Rng, tuple[Style, ...]], Made]:
    """Return a kind whose fixed words are ``but``; a tuple is a choice."""

    def make(rng: Rng, styles: tuple[Style, ...]) -> Made:
        chosen = {
            name: value[int(rng.integers(len(value)))] if isinstance(value, list) else value
            for name, value in but.items()
        }
        plan = _base(rng, **chosen)
        if plan.ndim == 3:
            plan = plan.but(widths=plan.widths[:3])
        if plan.padding == "valid":
            plan = plan.but(widths=plan.widths[:3], convs=min(plan.convs, 2), mend="none")
        if plan.join == "add" and not plan.up.startswith("t"):
            plan = plan.but(up_kernel=3)
        if plan.residual == "identity":
            plan = plan.but(convs=max(plan.convs, 2))
        if plan.half:
            plan = plan.but(widths=plan.widths if len(plan.widths) > 2 else (4, 8, 16))
        style = styles[int(rng.integers(len(styles)))]
        return unet_net(plan, style), plan, style.name, {}

    return make


def _no_skips(numbered: bool) -> Callable[[Rng, tuple[Style, ...]], Made]:
    def make(rng: Rng, _: tuple[Style, ...]) -> Made:
        up = str(rng.choice(["t2", "t2", "t3", "t4", "nearest", "bilinear"]))
        plan = _base(
            rng, join="none", up=up, convs=int(rng.choice([1, 1, 2])),
            norm=str(rng.choice(["none", "none", "batch"])), up_unit=bool(rng.random() < 0.5),
            up_activation="relu", pooling=str(rng.choice(["max", "max", "max", "strided"])),
            up_kernel=int(rng.choice([0, 3])),
        )  # fmt: skip
        if len(plan.widths) > 4:
            plan = plan.but(widths=plan.widths[:4])
        if up == "t2" and rng.random() < 0.3 and plan.pooling == "max":
            plan = plan.but(dropout=True)
        head_in = bool(rng.random() < 0.7)
        net = plain(plan, numbered, head_in)
        return net, plan, "encoder1/decoder1" if numbered else "encoder/decoder", {}

    return make


def _contract(rng: Rng, _: tuple[Style, ...]) -> Made:
    plan = _base(
        rng, norm="batch", pooling=str(rng.choice(["max-3", "max"])), skip="after-pooling", up="t3",
        first_kernel=int(rng.choice([7, 3])), dropout=False, convs=2,
    )  # fmt: skip
    plan = plan.but(widths=plan.widths[: max(2, min(3, len(plan.widths)))])
    return contract_expand(plan), plan, "contract_block/expand_block", {}


def _resnet(doubled: bool) -> Callable[[Rng, tuple[Style, ...]], Made]:
    def make(rng: Rng, _: tuple[Style, ...]) -> Made:
        plan = _base(rng, norm="batch", pooling="max-3", up="bilinear-aligned", first_kernel=7)
        plan = plan.but(widths=plan.widths[:3])
        return resnet_unet(plan, doubled), plan, "layer0 .. conv_up0", {}

    return make


def _two(rng: Rng, styles: tuple[Style, ...]) -> Made:
    plan = _base(rng, mend="none")
    plan = plan.but(widths=plan.widths[:3])
    style = styles[int(rng.integers(len(styles)))]
    net = w_net(plan, style, int(rng.choice([1, 2, 4])), bool(rng.integers(2)))
    return net, plan, style.name, {}


def _chain(rng: Rng, _: tuple[Style, ...]) -> Made:
    rates = [(1, 1, 1, 1), (1, 1, 2, 4, 1), (1, 2, 4, 8, 1), (1, 1, 1, 1, 1, 1)]
    rate = rates[int(rng.integers(len(rates)))]
    plan = _base(rng, join="none", pooling="none", dropout=False, dilation=max(rate))
    plan = plan.but(widths=(8,))
    return chain(plan, rate), plan, "features.N", {"dilation": "/".join(map(str, rate))}


def _denoise(rng: Rng, _: tuple[Style, ...]) -> Made:
    plan = _base(rng, norm="batch", join="none", pooling="none", output_activation="none")
    plan = plan.but(widths=(8,), norm_place="after-convolution", activation="relu")
    return denoiser(plan.but(classes=plan.channels), int(rng.integers(3, 7))), plan, "dncnn.N", {}


KINDS: tuple[Kind, ...] = (
    Kind(name="conv-BN-ReLU, transposed 2×2", make=_usual(norm="batch"), weight=5),
    Kind(name="no norm", make=_usual(norm="none"), weight=5),
    Kind(name="resized without a convolution",
         make=_usual(up=["nearest", "bilinear", "bilinear-aligned"]), weight=2),
    Kind(name="resized, then a convolution",
         make=_usual(up=["nearest", "bilinear", "bilinear-aligned"], up_kernel=[1, 3]), weight=2),
    Kind(name="resized, then conv-BN-ReLU", held_out=True, weight=2,
         make=_usual(norm="batch", up=["nearest", "bilinear"], up_kernel=3, up_unit=True)),
    Kind(name="transposed 3×3", make=_usual(up="t3"), weight=2),
    Kind(name="transposed 4×4", make=_usual(up="t4"), held_out=True, weight=2),
    Kind(name="conv-ReLU-BN", make=_usual(norm="batch", norm_place="after-activation"), weight=2),
    Kind(name="BN-ReLU-conv", held_out=True, weight=2,
         make=_usual(norm="batch", norm_place="before-convolution")),
    Kind(name="ReLU after the step up", make=_usual(up_activation="relu"), weight=2),
    Kind(name="strided convolution as pooling", make=_usual(pooling="strided"), weight=2),
    Kind(name="first convolution strided", held_out=True, make=_usual(pooling="strided-first"),
         weight=2),
    Kind(name="average or 3×3 pooling", make=_usual(pooling=["average", "max-3"]), weight=2),
    Kind(name="LeakyReLU", make=_usual(activation=["leaky-0.01", "leaky-0.1", "leaky-0.2"]),
         weight=2),
    Kind(name="ELU, GELU, SiLU, PReLU", held_out=True,
         make=_usual(activation=["elu", "gelu", "silu", "prelu"]), weight=2),
    Kind(name="GroupNorm or InstanceNorm",
         make=_usual(norm=["group", "instance", "instance-affine"]), weight=2),
    Kind(name="residual, 1×1 shortcut", make=_usual(residual="projection"), weight=2),
    Kind(name="residual, bare shortcut", held_out=True, make=_usual(residual="identity")),
    Kind(name="attention gates", make=_usual(attention=True), weight=2),
    Kind(name="squeeze-excitation", held_out=True, make=_usual(squeeze=True)),
    Kind(name="deep supervision", held_out=True, make=_usual(deep=True)),
    Kind(name="skips added", make=_usual(join="add"), weight=2),
    Kind(name="one to four convolutions", make=_usual(convs=[1, 3, 4]), weight=2),
    Kind(name="large kernels, head of 3×3", held_out=True,
         make=_usual(first_kernel=[5, 7], head_kernel=[1, 3], head_pre=[False, True]), weight=2),
    Kind(name="valid convolutions", make=_usual(padding="valid")),
    Kind(name="reflected padding", held_out=True, make=_usual(padding="reflect")),
    Kind(name="dilated bottleneck", held_out=True, make=_usual(dilation=[2, 4])),
    Kind(name="other epsilon", held_out=True, make=_usual(norm="batch", epsilon=1e-3)),
    Kind(name="3D", make=_usual(ndim=3, mend="none"), weight=2),
    Kind(name="3D, anisotropic", held_out=True,
         make=_usual(ndim=3, flat_axis=True, mend="none", up=["t2", "t3"])),
    Kind(name="two Sequentials without skips", make=_no_skips(False), weight=4),
    Kind(name="levels without skips", held_out=True, make=_no_skips(True), weight=4),
    Kind(name="skips after the pooling", make=_contract, weight=2),
    Kind(name="ResNet encoder", held_out=True, make=_resnet(False), weight=2),
    Kind(name="ResNet encoder, registered twice", held_out=True, make=_resnet(True)),
    Kind(name="two nets in a row", held_out=True, make=_two),
    Kind(name="answer of half the size", held_out=True, make=_usual(half=True), asks=True),
    Kind(name="a layer that is never run", held_out=True, make=_usual(unused=True), asks=True),
    Kind(name="chain of convolutions", make=_chain, asks=True),
    Kind(name="denoiser", held_out=True, make=_denoise, asks=True),
)  # fmt: skip

# ---- A case ----

TAUGHT = 1 / 8
_WRAPPERS = ("bare", "bare", "bare", *sorted(set(WRAPPERS) - {"ema", "bare"}), "state_dict")


def draw(
    seed: int,
    kinds: tuple[Kind, ...] = KINDS,
    data: Path | None = None,
    taught: bool = True,
    edit: Callable[[Net], Mapping[str, str]] | None = None,
) -> Case:
    """Return the network of a seed.

    Parameters
    ----------
    seed : int
        Makes the network, its weights, its statistics and its wrapper.
    kinds : tuple of Kind
        Of which one is drawn by weight.
    data : Path, optional
        The folder of real images; without it, norms take the statistics of photographs alone.
    taught : bool
        Whether one of eight is trained for a few steps.
    edit : callable, optional
        Changes the forward before norms take statistics; returns what is otherwise then.
    """
    rng = np.random.default_rng(seed)
    weights = np.array([kind.weight for kind in kinds], dtype=float)
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    styles = STYLES if kind.held_out else tuple(s for s in STYLES if not s.held_out)
    torch.manual_seed(seed)
    net, plan, style, more = kind.make(rng, styles)
    draw_weights(net, seed)
    edited = edit(net) if edit is not None else {}
    seen, way = ("nuclei", "photographs")[int(rng.integers(2))], str(rng.choice(WAYS))
    pictures, shape = sources(seen, data), _shape(net, plan, rng)
    batches = [batch_of(rng, pictures, way, plan.channels, shape, 4) for _ in range(4)]
    accumulate(net, batches)
    if rng.random() < TAUGHT and plan.ndim == 2 and taught:
        train(net, batches, int(rng.integers(20, 41)))
    _last(net, batches[0])
    batch = batch_of(rng, pictures, way, plan.channels, shape, 1)
    raw, apart = _truth(net, batch)
    wrappers = [w for w in _WRAPPERS if "twice" not in kind.name or w != "safetensors"]
    return Case(
        seed=seed, kind=kind, style=style, plan=plan, net=net,
        facts={**_facts(net, plan), **more, **edited}, wrapper=str(rng.choice(wrappers)),
        seen=f"{seen}, {way}", batch=batch, raw=raw, apart=apart,
    )  # fmt: skip


def write(case: Case, path: Path, wrapper: str = "") -> Path:
    """Write its file in its wrapper, or another one; return the path."""
    wrapper = wrapper or case.wrapper
    if wrapper == "state_dict":
        torch.save({"epoch": 3, "state_dict": case.net.state_dict()}, path)
        return path
    return save_as(case.net, path, wrapper)


def _facts(net: Net, plan: Plan) -> dict[str, str]:
    facts = plan.facts()
    if not any("resize" == step[1] for step in net.steps):
        facts.pop("resize", None)
    joins = sum(step[1] == "cat" for step in net.steps)
    if plan.join == "add" and plan.residual == "none":
        joins = sum(step[1] == "add" for step in net.steps) // (2 if plan.attention else 1)
    usual = plan.skip == "before-pooling" and plan.join != "none" and not plan.half
    if usual and joins == len(plan.widths) - 1:
        facts["layout"] = f"{len(plan.widths)}-levels-{joins}-skips"
    return facts


def _shape(net: Net, plan: Plan, rng: Rng) -> tuple[int, ...]:
    """Return a size that the network takes: 64 to 96 pixels, 16 to 32 in volumes."""
    if plan.ndim == 3:
        return (16, 16, 16) if plan.padding != "valid" else (44, 44, 44)
    if plan.padding == "valid":
        for n in range(72, 140, 2):
            try:
                with torch.no_grad():
                    if net(torch.zeros(1, plan.channels, n, n)).shape[-1] > 8:
                        return (n, n)
            except RuntimeError:
                continue
    return (64, 96) if rng.integers(2) else (64, 64)


def _last(net: Net, batch: torch.Tensor) -> None:
    """Scale the last layer so that raw answers spread as those of a trained network do."""
    with torch.no_grad():
        spread = float(net(batch, raw=True).std())
        (path,) = [s[3] for s in net.steps if s[1] == "layer"][-1:]
        layer = net.get_submodule(path)
        if isinstance(layer, nn.modules.conv._ConvNd) and spread > 0:
            layer.weight.mul_(min(max(2 / spread, 0.05), 20))


def _truth(net: Net, batch: torch.Tensor) -> tuple[torch.Tensor, float]:
    with torch.no_grad():
        raw = net(batch, raw=True)
        exact = net.double()(batch.double(), raw=True)
        net.float()
    return raw, float((raw - exact).abs().max())
