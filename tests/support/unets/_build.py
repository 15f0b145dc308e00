"""A U-Net of a plan, with the names of a style."""

from __future__ import annotations

from typing import Any

from support.unets._net import LINEAR, Draft, Net
from support.unets._plan import Plan, activate, conv, norm, tensors_of_activation, transposed
from support.unets._styles import Style
from torch import nn

__all__ = ["attention", "block", "finish", "pool_layer", "unet", "unet_net"]


def unet_net(plan: Plan, style: Style) -> Net:
    """Return the network."""
    draft = Draft()
    raw = unet(draft, plan, style, "x")
    return finish(draft, plan, raw, style)


def finish(draft: Draft, plan: Plan, raw: str, style: Style) -> Net:
    """Return the network of a draft, with what its forward does at the very end."""
    activate(draft, plan.output_activation, raw)
    if plan.output_activation == "none":
        draft.step("same", raw)
    return draft.net(raw, style.lists)


def unet(draft: Draft, plan: Plan, style: Style, x: str) -> str:
    """Write encoder, bottleneck, decoder and head; return the register of the raw answer."""
    depth, skips = len(plan.widths) - 1, []
    before = plan.channels
    for i in range(depth):
        x, front = _down(draft, plan, style, x, i, before) if i else (x, None)
        x = _named(draft, plan, style, "enc", i, x, before, plan.widths[i], front)
        skips.append(x)
        before = plan.widths[i]
    x, front = _down(draft, plan, style, x, depth, before)
    below = plan.widths[depth]
    x = _named(draft, plan, style, "mid", depth, x, before, below, front)
    levels = range(depth - 1, 0 if plan.half else -1, -1)
    for i in levels:
        x, below = _up(draft, plan, style, x, i, below)
        x, below = _join(draft, plan, style, x, skips[i], i, below)
        x = _named(draft, plan, style, "dec", i, x, below, plan.widths[i])
        below = plan.widths[i]
        if plan.deep and i > levels[-1]:
            head = conv(plan.but(bias=True), below, plan.classes, 1)
            draft.put(f"ds{i + 1}", head, style.order.get("head", 0) + 0.5)
    return _head(draft, plan, style, x, below)


def _names(style: Style, template: str, plan: Plan, i: int) -> str:
    depth = len(plan.widths) - 1
    j = depth - 1 - i
    return template.format(
        n=i + 1, i=i, j=j, J=j + 1, m=depth + 2 + j, b=depth + 1, u=2 * j, v=2 * j + 1
    )


def _named(draft, plan, style, role, i, x, a, b, front=None) -> str:
    path = _names(style, getattr(style, role), plan, i)
    group = style.order.get(role, 0)
    first = plan.first_kernel if role == "enc" and i == 0 else 0
    if plan.flat_axis and i == 0:
        first = (1, *(plan.kernel,) * (plan.ndim - 1))
    strided = plan.pooling == "strided-first" and (role == "mid" or (role == "enc" and i))
    return block(
        draft, plan, style.inside, path, x, a, b, group=group, front=front, first=first,
        stride=_step(plan, i - 1) if strided else 1, dilation=plan.dilation if role == "mid" else 1,
        same_kernel=plan.flat_axis and i == 0,
    )  # fmt: skip


def _step(plan: Plan, i: int) -> Any:
    """Return by how much level ``i`` is reduced."""
    return (1, *(2,) * (plan.ndim - 1)) if plan.flat_axis and i == 0 else 2


def _down(draft, plan, style, x, i, width):
    """Go from level ``i - 1`` to ``i``; return also a pooling layer that stands in the block."""
    step = _step(plan, i - 1)
    if plan.pooling == "strided-first":
        return x, None
    if plan.pooling == "strided":
        path = _names(style, style.down, plan, i - 1)
        layer = conv(plan, width, width, 3, step)
        return draft.call(path, layer, x, group=style.order.get("down", 0)), None
    x = draft.step("pool", x, argument=(plan.pooling, step))
    in_sequence = style.pool_layer and len(style.inside) == 1
    return x, pool_layer(plan, step) if in_sequence else None


def _up(draft, plan, style, x, i, below):
    path = _names(style, style.up, plan, i)
    group, wanted, step = style.order.get("up", 0), plan.widths[i], _step(plan, i)
    if plan.up.startswith("t"):
        layer = transposed(plan, below, wanted, step)
        x = draft.call(path + ".0" if style.up_layers else path, layer, x, group=group)
        at = 1
    else:
        scale = tuple(float(n) for n in step) if isinstance(step, tuple) else float(step)
        mode, aligned = (
            ("nearest" if plan.up == "nearest" else "linear"),
            plan.up == "bilinear-aligned",
        )
        x = draft.step("resize", x, argument=(mode, aligned, scale, None))
        if not plan.up_kernel:
            return x, below
        in_sequence = style.up_layers or plan.up_unit
        if in_sequence:
            draft.put(f"{path}.0", nn.Upsample(None, scale, *_mode(plan)), group)
        layer = conv(plan.but(padding="same"), below, wanted, plan.up_kernel)
        x = draft.call(f"{path}.1" if in_sequence else path, layer, x, group=group)
        at = 2
    if plan.up_unit and (style.up_layers or at == 2):
        made = norm(plan, wanted)
        if made is not None:
            x = draft.call(f"{path}.{at}", made, x, group=group)
        x = activate(draft, plan.activation if plan.activation != "prelu" else "relu", x)
    elif plan.up_activation != "none":
        x = activate(draft, plan.up_activation, x)
    return x, wanted


def pool_layer(plan: Plan, step: Any = 2) -> nn.Module:
    """Return the pooling as a layer."""
    kinds = {
        "max": {2: nn.MaxPool2d, 3: nn.MaxPool3d},
        "average": {2: nn.AvgPool2d, 3: nn.AvgPool3d},
    }
    if plan.pooling == "max-3":
        return kinds["max"][plan.ndim](3, 2, 1)
    return kinds[plan.pooling][plan.ndim](step)


def _mode(plan: Plan) -> tuple[str, bool | None]:
    """Return mode and ``align_corners`` of an ``nn.Upsample``."""
    if plan.up == "nearest":
        return "nearest", None
    return LINEAR[plan.ndim], plan.up == "bilinear-aligned"


def _join(draft, plan, style, x, skip, i, below):
    if plan.join == "none":
        return x, below
    if plan.mend == "pad":
        x = draft.step("pad", x, skip)
    elif plan.mend == "resize":
        x = draft.step("resize", x, skip, argument=("nearest", False, None, None))
    if plan.padding == "valid":
        skip = draft.step("crop", skip, x)
    if plan.attention:
        path = _names(style, style.att, plan, i)
        group = style.order.get("att", style.order.get("dec", 0))
        skip = attention(draft, plan, path, x, skip, below, plan.widths[i], group)
    if plan.join == "add":
        return draft.step("add", x, skip), below
    parts = (x, skip) if plan.join == "up-skip" else (skip, x)
    return draft.step("cat", *parts), below + plan.widths[i]


def attention(draft, plan, path, gate, skip, gate_width, width, group=0.0) -> str:
    """Write an attention gate: what of the skip is let through."""
    inner = max(width // 2, 1)
    sums = []
    for name, x, a in (("W_g", gate, gate_width), ("W_x", skip, width)):
        sums.append(_small(draft, plan, f"{path}.{name}", x, a, inner, group))
    x = draft.step("relu", draft.step("add", *sums))
    x = draft.step("sigmoid", _small(draft, plan, f"{path}.psi", x, inner, 1, group))
    return draft.step("multiply", skip, x)


def _small(draft, plan, path, x, a, b, group):
    x = draft.call(f"{path}.0", conv(plan.but(bias=True), a, b, 1), x, group=group)
    made = norm(plan if plan.norm == "batch" else plan.but(norm="none"), b)
    return x if made is None else draft.call(f"{path}.1", made, x, group=group)


def _head(draft, plan, style, x, below):
    path, group = _names(style, style.head, plan, 0), style.order.get("head", 0)
    plain = plan.but(bias=True, padding="same")
    if plan.head_pre:
        x = draft.call("pre_" + path.split(".")[0], conv(plain, below, below, 3), x, group=group)
        x = activate(draft, plan.activation if plan.activation != "prelu" else "relu", x)
    if plan.unused:
        draft.put("aux_unused", conv(plain, below, below, 3), group)
    return draft.call(path, conv(plain, below, plan.classes, plan.head_kernel), x, group=group)


def block(
    draft, plan, inside, path, x, a, b, *, group=0.0, front=None, first=0, stride=1, dilation=1,
    same_kernel=False, convs=0, last_activation=True,
) -> str:  # fmt: skip
    """Write the convolutions of one level, with shortcut and squeeze-excitation where planned."""
    place, taken = _Place(draft, inside, path, group), x
    if front is not None:
        place.put("pool", front)
    convs = convs or plan.convs
    kept = None
    for k in range(1, convs + 1):
        kernel = first if k == 1 or same_kernel else 0
        layer = conv(plan, a if k == 1 else b, b, kernel, stride if k == 1 else 1, dilation)
        residual_end = plan.residual != "none" and k == convs
        x = _unit(plan, place, k, layer, x, a if k == 1 else b, b,
                  act=not residual_end and (last_activation or k < convs))  # fmt: skip
        if plan.dropout and k == 1 and len(inside) == 1:
            place.put("drop", nn.Dropout(0.2))
        kept = x if k == 1 else kept
    if plan.residual == "projection":
        at = f"{path}.shortcut.0" if plan.norm == "batch" else f"{path}.shortcut"
        layer = conv(plan.but(padding="same"), a, b, 1, stride)
        side = draft.call(at, layer, taken, group=group)
        if plan.norm == "batch":
            side = draft.call(f"{path}.shortcut.1", norm(plan, b), side, group=group)
        x = draft.step("add", x, side)
    elif plan.residual == "identity":
        x = draft.step("add", x, kept)
    if plan.residual != "none" and plan.norm_place != "before-convolution":
        x = activate(draft, plan.activation if plan.activation != "prelu" else "relu", x)
    if plan.squeeze:
        x = _squeeze(draft, plan, f"{path}.se" if len(inside) > 1 else f"{path}_se", x, b, group)
    return x


def _unit(plan, place, k, layer, x, a, b, act) -> str:
    """Run norm, convolution and activation in their order."""
    order = {
        "after-convolution": ("conv", "norm", "act"),
        "after-activation": ("conv", "act", "norm"),
        "before-convolution": ("norm", "act", "conv"),
    }[plan.norm_place]
    if not act and plan.norm_place != "before-convolution":
        order = tuple(part for part in order if part != "act")
    for part in order:
        if part == "conv":
            x = place.run("conv", k, layer, x)
        elif part == "norm":
            made = norm(plan, a if plan.norm_place == "before-convolution" else b)
            x = x if made is None else place.run("norm", k, made, x)
        elif plan.activation != "none":
            x = place.act(plan.activation, k, x)
    return x


def _squeeze(draft, plan, path, x, width, group):
    inner = max(width // 4, 2)
    y = draft.step("flat", draft.step("mean", x))
    y = draft.call(f"{path}.fc.0", nn.Linear(width, inner), y, group=group)
    y = draft.call(f"{path}.fc.2", nn.Linear(inner, width), draft.step("relu", y), group=group)
    y = draft.step("space", draft.step("sigmoid", y), argument=plan.ndim)
    return draft.step("multiply", x, y)


class _Place:
    """Where the layers of a block are registered."""

    def __init__(self, draft, inside, path, group):
        self.draft, self.inside, self.path, self.group = draft, inside, path, group
        self.counts: dict[str, int] = {}

    def _at(self, kind: str, k: int) -> str | None:
        if len(self.inside) == 2:
            if kind not in ("conv", "norm"):
                return None
            template = self.inside[kind == "norm"]
            return template.format(p=self.path, k=k, z=k - 1)
        owner = self.inside[0].format(p=self.path, k=k, z=k - 1, c="")
        self.counts[owner] = self.counts.get(owner, -1) + 1
        return owner + str(self.counts[owner])

    def run(self, kind: str, k: int, layer: nn.Module, x: str) -> str:
        return self.draft.call(self._at(kind, k), layer, x, group=self.group)

    def put(self, kind: str, layer: nn.Module) -> None:
        path = self._at(kind, 1)
        if path is not None:
            self.draft.put(path, layer, self.group)

    def act(self, name: str, k: int, x: str) -> str:
        path, layer = self._at("act", k), tensors_of_activation(name)
        if path is None and name != "prelu":
            return activate(self.draft, name, x)
        if path is None:
            path = f"{self.path}_act{k}" if self.inside[0][3] == "_" else f"{self.path}.act{k}"
        return self.draft.call(path, layer, x, group=self.group)
