"""How people name the layers of a U-Net, and in which order they register them.

Each style is one manner seen in public repositories; only names and order are taken from there.

In the templates: ``n`` the level counted from 1, ``i`` from 0; ``J`` and ``j`` the step of the
decoder counted from 1 and 0; ``m`` the number of the block counted on behind the bottleneck; ``b``
that of the bottleneck; ``u`` and ``v`` twice ``j``, and one more. Inside a block: ``p`` its name,
``k`` the convolution from 1, ``z`` from 0, ``c`` the place in the Sequential.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["STYLES", "Style"]

EXECUTION: dict[str, float] = {}
UPS_FIRST = {"up": 0, "dec": 0, "enc": 1, "down": 1, "mid": 2, "head": 3}
APART = {"enc": 0, "down": 0, "mid": 1, "up": 2, "att": 2.5, "dec": 3, "head": 4}
DOWNS_UPS_MID = {"enc": 0, "down": 0, "up": 1, "att": 1, "dec": 1, "mid": 2, "head": 3}


@dataclass(frozen=True, kw_only=True)
class Style:
    """Templates of names, the manner inside a block, and the order of registration."""

    name: str
    enc: str
    mid: str
    up: str
    dec: str
    head: str
    inside: tuple[str, ...] = ("{p}.{c}",)
    """One template: a Sequential. Two: convolutions and norms; activations are functions."""
    down: str = "down_conv{n}"
    att: str = "att{n}"
    pool_layer: bool = False
    """The pooling is the first layer of the next block's Sequential."""
    up_layers: bool = False
    """The step up is a Sequential, or has an Upsample as its first layer."""
    order: dict[str, float] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    held_out: bool = False


STYLES: tuple[Style, ...] = (
    Style(
        name="enc/bottleneck/up/dec/final",
        enc="enc{n}",
        mid="bottleneck",
        up="up{n}",
        dec="dec{n}",
        head="final",
    ),
    Style(
        name="encoder.conv/upconv/decoder/out",
        enc="encoder{n}",
        mid="bottleneck",
        up="upconv{n}",
        dec="decoder{n}",
        head="out",
        inside=("{p}.conv.{c}",),
    ),
    Style(
        name="conv1_1",
        enc="conv{n}",
        mid="conv{b}",
        up="up{m}",
        dec="conv{m}",
        head="conv_last",
        inside=("{p}_{k}", "bn_{p}_{k}"),
    ),
    Style(
        name="c1_1",
        enc="c{n}",
        mid="c{b}",
        up="u{m}",
        dec="c{m}",
        head="output",
        inside=("{p}_{k}", "{p}_bn{k}"),
        held_out=True,
    ),
    Style(
        name="d1/u1",
        enc="d{n}",
        mid="bottleneck",
        up="up{n}",
        dec="u{n}",
        head="out",
        inside=("{p}.conv.{c}",),
        held_out=True,
    ),
    Style(
        name="ModuleLists, ups first",
        enc="downs.{i}",
        mid="bottleneck",
        up="ups.{u}",
        dec="ups.{v}",
        head="final_conv",
        inside=("{p}.conv.{c}",),
        order=UPS_FIRST,
        lists=("ups", "downs"),
    ),
    Style(
        name="ModuleLists, bottleneck last",
        enc="downs.{i}",
        mid="bottleneck",
        up="ups.{u}",
        dec="ups.{v}",
        head="final_conv",
        inside=("{p}.conv.{c}",),
        order=DOWNS_UPS_MID,
        lists=("ups", "downs"),
        held_out=True,
    ),
    Style(
        name="ModuleLists, ups and decs apart",
        enc="encs.{i}",
        mid="mid",
        up="ups.{j}",
        dec="decs.{j}",
        head="head",
        inside=("{p}.block.{c}",),
        order=APART,
        lists=("encs", "ups", "decs"),
    ),
    Style(
        name="dconv_down",
        enc="dconv_down{n}",
        mid="dconv_down{b}",
        up="upsample{n}",
        dec="dconv_up{n}",
        head="conv_last",
    ),
    Style(
        name="down_1/bridge/trans_1",
        enc="down_{n}",
        mid="bridge",
        up="trans_{J}",
        dec="up_{J}",
        head="out",
        inside=("{p}.{z}.{c}",),
        up_layers=True,
        held_out=True,
    ),
    Style(
        name="e1/b/d1/outputs",
        enc="e{n}",
        mid="b",
        up="d{J}.up",
        dec="d{J}.conv",
        head="outputs",
        inside=("{p}.conv{k}", "{p}.bn{k}"),
    ),
    Style(
        name="inc/down/up/outc",
        enc="inc{n}",
        mid="down{b}",
        up="up{J}.up",
        dec="up{J}.conv",
        head="outc.conv",
        inside=("{p}.double_conv.{c}",),
        pool_layer=False,
    ),
    Style(
        name="pool inside the block",
        enc="layer{n}",
        mid="layer{b}",
        up="layer{m}_up",
        dec="layer{m}",
        head="last",
        pool_layer=True,
    ),
    Style(
        name="block/conv_bottleneck/up_conv",
        enc="block{n}",
        mid="conv_bottleneck",
        up="up_conv{m}",
        dec="conv{m}",
        head="conv11",
        inside=("{p}.{c}",),
        held_out=True,
    ),
    Style(
        name="Conv1/Up5/Up_conv5",
        enc="Conv{n}",
        mid="Conv{b}",
        up="Up{n}.up",
        dec="Up_conv{n}",
        head="Conv_1x1",
        inside=("{p}.conv.{c}",),
        up_layers=True,
        att="Att{n}",
    ),
    Style(
        name="down_conv_1/up_trans_1",
        enc="down_conv_{n}",
        mid="down_conv_{b}",
        up="up_trans_{J}",
        dec="up_conv_{J}",
        head="out",
        order=APART,
    ),
    Style(
        name="contracting/expanding lists",
        enc="contracting.{i}",
        mid="middle",
        up="expanding.{j}.upsample",
        dec="expanding.{j}.convs",
        head="classifier",
        inside=("{p}.{c}",),
        lists=("contracting", "expanding"),
    ),
    Style(
        name="names without meaning",
        enc="m{n}",
        mid="m{b}",
        up="t{m}",
        dec="m{m}",
        head="m0",
        held_out=True,
    ),
    Style(
        name="net.down/net.up nested",
        enc="net.down{n}",
        mid="net.neck",
        up="net.up{n}.deconv",
        dec="net.up{n}.conv",
        head="net.outputs",
        inside=("{p}.conv{k}", "{p}.norm{k}"),
        held_out=True,
    ),
    Style(
        name="encoder.blocks/decoder.upconvs",
        enc="encoder.blocks.{i}",
        mid="encoder.center",
        up="decoder.upconvs.{j}",
        dec="decoder.blocks.{j}",
        head="head",
        order=APART,
        inside=("{p}.conv{k}", "{p}.bn{k}"),
        lists=("blocks", "upconvs"),
        held_out=True,
    ),
)
