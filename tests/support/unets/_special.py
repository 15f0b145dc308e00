"""Networks that answer with an image and are not the U-Net of the textbook."""

from __future__ import annotations

from support.unets._build import finish, pool_layer, unet
from support.unets._net import Draft, Net
from support.unets._plan import Plan, activate, conv, norm, tensors_of_activation, transposed
from support.unets._styles import STYLES, Style
from torch import nn

__all__ = ["chain", "contract_expand", "denoiser", "plain", "resnet_unet", "w_net"]

PLAIN = STYLES[0]


def plain(plan: Plan, numbered: bool = False, head_in: bool = True) -> Net:
    """Return an encoder and a decoder without skips, in Sequentials.

    ``numbered``: one Sequential for each level (``encoder1``, ``decoder1``), otherwise two in all.
    ``head_in``: the last layer of the decoder gives the classes, otherwise a layer apart.
    """
    run = _Run(plan)
    x, a = "x", plan.channels
    for i, b in enumerate(plan.widths):
        run.begin(f"encoder{i + 1}" if numbered else "encoder")
        for k in range(plan.convs):
            first = plan.first_kernel if i == k == 0 else 0
            strided = plan.pooling == "strided" and k == 0
            x = run.unit(conv(plan, a if k == 0 else b, b, first, 2 if strided else 1), b, x)
        if plan.dropout:
            run.skip(nn.Dropout(0.2))
        if plan.pooling != "strided":
            x = run.pool(x)
        a = b
    outs = [*plan.widths[-2::-1], plan.classes if head_in else plan.widths[0]]
    for i, b in enumerate(outs):
        run.begin(f"decoder{i + 1}" if numbered else "decoder")
        last = head_in and i == len(outs) - 1
        if plan.up.startswith("t"):
            layer, act = transposed(plan, a, b), plan.up_activation
            x = run.layer(layer, x) if last else run.unit(layer, b, x, act, normed=plan.up_unit)
        else:
            if plan.up_kernel == 3:  # the convolution stands before the resizing
                x = run.resize(run.unit(conv(plan, a, b), b, x)) if not last else x
                if last:
                    x = run.layer(conv(plan, a, b), run.resize(x))
            else:
                x = run.resize(x)
                x = run.layer(conv(plan, a, b), x) if last else run.unit(conv(plan, a, b), b, x)
        a = b
    if not head_in:
        run.begin("")
        x = run.draft.call("final", conv(plan.but(bias=True), a, plan.classes, plan.head_kernel), x)
    return finish(run.draft, plan, x, PLAIN)


class _Run:
    """Layers in Sequentials, one after the other."""

    def __init__(self, plan: Plan):
        self.plan, self.draft, self.path, self.count = plan, Draft(), "", 0

    def begin(self, path: str) -> None:
        if path != self.path:
            self.path, self.count = path, 0

    def layer(self, layer: nn.Module, x: str) -> str:
        x = self.draft.call(f"{self.path}.{self.count}", layer, x)
        self.count += 1
        return x

    def skip(self, layer: nn.Module) -> None:
        self.draft.put(f"{self.path}.{self.count}", layer)
        self.count += 1

    def unit(self, layer, width, x, activation=None, normed=True) -> str:
        plan = self.plan
        activation = plan.activation if activation is None else activation
        made = norm(plan, width) if normed else None
        x = self.layer(layer, x)
        if plan.norm_place == "after-activation" and activation != "none":
            x = self.layer(tensors_of_activation(activation), x)
        if made is not None:
            x = self.layer(made, x)
        if plan.norm_place != "after-activation" and activation != "none":
            x = self.layer(tensors_of_activation(activation), x)
        return x

    def pool(self, x: str) -> str:
        return self.layer(pool_layer(self.plan), x)

    def resize(self, x: str) -> str:
        mode = "nearest" if self.plan.up == "nearest" else "bilinear"
        aligned = None if mode == "nearest" else self.plan.up == "bilinear-aligned"
        return self.layer(nn.Upsample(scale_factor=2, mode=mode, align_corners=aligned), x)


def contract_expand(plan: Plan) -> Net:
    """Return blocks that end in their pooling or their transposed convolution.

    The skips are taken behind the pooling; the last block gives the classes.
    """
    run = _Run(plan)
    x, a, kept = "x", plan.channels, []
    for i, b in enumerate(plan.widths):
        run.begin(f"conv{i + 1}")
        for k in range(plan.convs):
            kernel = plan.first_kernel if i == 0 else 0
            x = run.unit(conv(plan, a if k == 0 else b, b, kernel), b, x)
        x = run.pool(x)
        kept.append(x)
        a = b
    for i in range(len(plan.widths) - 1, -1, -1):
        run.begin(f"upconv{i + 1}")
        mid = plan.widths[i - 1] if i else plan.classes
        for k in range(plan.convs):
            x = run.unit(conv(plan, a if k == 0 else mid, mid), mid, x)
        x = run.layer(transposed(plan, mid, mid), x)
        a = mid
        if i:
            parts = (x, kept[i - 1]) if plan.join == "up-skip" else (kept[i - 1], x)
            x, a = run.draft.step("cat", *parts), 2 * mid
    return finish(run.draft, plan, x, PLAIN)


def resnet_unet(plan: Plan, doubled: bool = False) -> Net:
    """Return a U-Net on a ResNet: stem of stride 2, two blocks a level, 1×1 on the skips.

    ``doubled``: all layers of the encoder are registered a second time, as ``base_model``.
    """
    draft, skips = Draft(), []
    widths = plan.widths
    bare = plan.but(bias=False, residual="none")
    x = _act_unit(draft, bare, "layer0.0", "layer0.1", conv(bare, plan.channels, widths[0], 7, 2),
                  widths[0], "x")  # fmt: skip
    skips.append((x, widths[0]))
    x, a = draft.step("pool", x, argument=("max-3", 2)), widths[0]
    for i, b in enumerate(widths):
        for j in range(2):
            at = f"layer{i + 1}.{j}" if i else f"layer1.{j + 1}"
            x = _basic(draft, bare, at, x, a, b, 2 if i and j == 0 else 1)
            a = b
        skips.append((x, b))
    x, a = _side(draft, plan, f"layer{len(widths)}_1x1", x, a, a), a
    for i in range(len(skips) - 2, -1, -1):
        x = draft.step("resize", x, argument=("linear", True, 2.0, None))
        skip, b = skips[i]
        skip = _side(draft, plan, f"layer{i}_1x1", skip, b, b)
        x = draft.step("cat", *((x, skip) if plan.join == "up-skip" else (skip, x)))
        x = _side(draft, plan, f"conv_up{i}", x, a + b, b, 3)
        a = b
    x = draft.step("resize", x, argument=("linear", True, 2.0, None))
    own = _side(draft, plan, "conv_original_size0", "x", plan.channels, widths[0], 3)
    own = _side(draft, plan, "conv_original_size1", own, widths[0], widths[0], 3)
    x = draft.step("cat", x, own)
    x = _side(draft, plan, "conv_original_size2", x, a + widths[0], widths[0], 3)
    x = draft.call("conv_last", conv(plan.but(bias=True), widths[0], plan.classes, 1), x)
    if doubled:
        for _, path, layer in list(draft.layers):
            if path.startswith("layer") and "1x1" not in path:
                draft.put("base_model." + path, layer, -1)
    return finish(draft, plan, x, PLAIN)


def _side(draft, plan, path, x, a, b, kernel=1):
    """A convolution and a ReLU, as ``path.0``."""
    layer = conv(plan.but(bias=True), a, b, kernel)
    return draft.step("relu", draft.call(f"{path}.0", layer, x))


def _act_unit(draft, plan, at, norm_at, layer, width, x):
    return draft.step("relu", draft.call(norm_at, norm(plan, width), draft.call(at, layer, x)))


def _basic(draft, plan, path, x, a, b, stride):
    """The basic block of a ResNet."""
    taken = x
    x = _act_unit(draft, plan, f"{path}.conv1", f"{path}.bn1", conv(plan, a, b, 3, stride), b, x)
    x = draft.call(f"{path}.bn2", norm(plan, b), draft.call(f"{path}.conv2", conv(plan, b, b), x))
    if stride != 1 or a != b:
        taken = draft.call(f"{path}.downsample.0", conv(plan, a, b, 1, stride), taken)
        taken = draft.call(f"{path}.downsample.1", norm(plan, b), taken)
    return draft.step("relu", draft.step("add", x, taken))


def w_net(plan: Plan, style: Style, middle: int, joined: bool) -> Net:
    """Return two U-Nets, the second on the first's answer (``joined``: beside the image)."""
    draft = Draft()
    draft.prefix = "unet1."
    first = unet(draft, plan.but(classes=middle), style, "x")
    first = draft.step("sigmoid", first)
    taken, channels = first, middle
    if joined:
        taken, channels = draft.step("cat", "x", first), plan.channels + middle
    draft.prefix = "unet2."
    raw = unet(draft, plan.but(channels=channels), style, taken)
    draft.prefix = ""
    return finish(draft, plan, raw, style)


def chain(plan: Plan, dilations: tuple[int, ...], path: str = "features") -> Net:
    """Return convolutions in a row, without any pooling."""
    run = _Run(plan)
    run.begin(path)
    x, a = "x", plan.channels
    for i, rate in enumerate(dilations):
        b = plan.widths[min(i, len(plan.widths) - 1)]
        x = run.unit(conv(plan, a, b, 0, 1, rate), b, x)
        a = b
    x = run.layer(conv(plan.but(bias=True), a, plan.classes, plan.head_kernel), x)
    return finish(run.draft, plan, x, PLAIN)


def denoiser(plan: Plan, length: int) -> Net:
    """Return a chain whose answer is taken from its input, as denoisers do."""
    draft = Draft()
    width = plan.widths[0]
    x = draft.call("dncnn.0", conv(plan, plan.channels, width), "x")
    x, at = activate(draft, "relu", x), 2
    for _ in range(length):
        x = draft.call(f"dncnn.{at}", conv(plan.but(bias=False), width, width), x)
        x = draft.call(f"dncnn.{at + 1}", norm(plan, width), x)
        x, at = activate(draft, "relu", x), at + 3
    x = draft.call(f"dncnn.{at}", conv(plan, width, plan.channels), x)
    draft.step("same", draft.step("subtract", "x", x))
    return draft.net(draft.steps[-1][0])
