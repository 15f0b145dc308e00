"""Which networks are drawn by their names: what each is known by, and what tensors leave open."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from napari_segnet.checkpoint import Output
from napari_segnet.families.kit.hparams import Choice
from napari_segnet.families.kit.kinds import NONLINEARITY, NORM_EPS, upsampling_choice
from napari_segnet.programs.library import (
    _hovernet,
    _monai,
    _nested,
    _nnunet,
    _torchvision,
    _transformers,
)
from napari_segnet.programs.library import _smp as _smp_module
from napari_segnet.programs.library import _smp_pyramids as _pyramids
from napari_segnet.programs.library._pen import Pen, Shapes

__all__ = ["KINDS", "Kind"]

Draw = Callable[[Pen], str | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A network of a library.

    Attributes
    ----------
    name : str
        Short and stable; stands in files and JSON.
    title : str
        For people.
    has : tuple of str
        Tensors of which every file has all, as patterns of whole names.
    lacks : tuple of str
        The same of which it has none.
    first : tuple of str
        Where the first convolution may be.
    draw : callable
        Draws it; returns the node of its answer, or those of several.
    choices : tuple of Choice
        What no tensor shows.
    aside : tuple of str
        Patterns of the names of tensors that its answer does not need.
    outputs : callable
        Channels of its answers -> what they are; None where they are not known.
    divides : bool
        Whether its own forward divides values of 8 bits by 255; that is a preparation here.
    derived : tuple of str
        The same of those of them that say nothing: they follow from others, or nothing in the
        library uses them. A file with them is told of none.
    canonical : callable
        Name of a tensor, those of all -> the first of the names that it has.
    """

    name: str
    title: str
    has: tuple[str, ...]
    first: tuple[str, ...]
    draw: Draw
    choices: tuple[Choice, ...]
    lacks: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    outputs: Callable[[Sequence[int]], tuple[Output, ...]] | None = None
    divides: bool = False
    derived: tuple[str, ...] = ()
    canonical: Callable[[str, Shapes], str] | None = None

    def fits(self, shapes: Shapes) -> bool:
        """Tell by names alone."""
        return all(_any(part, shapes) for part in self.has) and not any(
            _any(part, shapes) for part in self.lacks
        )

    def is_silent(self, name: str) -> bool:
        """Tell if a tensor says nothing, see ``derived``."""
        return any(re.fullmatch(part, name) for part in self.derived)

    def open(self, shapes: Shapes) -> tuple[Choice, ...]:
        """Return what these tensors leave open."""
        found = []
        for choice in self.choices:
            if choice.name == "pooling" and not _any(r"encoder\.stages\.\d+\.1\.convs\..+", shapes):
                continue
            if choice.name == "norm" and _any(r".+\.(adn\.N|norm1)\..+", shapes):
                continue
            if choice.name == "residual" and _any(r".+\.conv3\..+", shapes):
                continue  # some block has a shortcut, so that all have
            if choice.name == "groups" and _any(r".+\.running_mean", shapes):
                choice = replace(choice, why="batch norms have no groups; this counts for nothing")
            if choice.name == "layer_order" and not _before(shapes):
                choice = replace(choice, values=choice.values[1:], default="conv-norm")
            if choice.name == "downsample" and len(shapes[f"{self.first[0]}.weight"]) == 4:
                continue  # in two dimensions all versions join the same
            if choice.name == "num_heads":
                choice = replace(choice, default=_transformers.usual_heads(shapes))
            if choice.name == "img_size":
                values = _transformers.image_sizes(shapes)
                choice = replace(choice, values=values, default=values[0])
            if choice.name == "padding":
                if not _any(r"encoder\.model\.conv_stem\.weight", shapes):
                    continue
                mobile = not _any(r"encoder\.model\.blocks\.6\.0\.se\..+", shapes)
                choice = replace(choice, default="tensorflow" if mobile else "torch")
            if choice.name == "adn_ordering" and self.ordered(shapes):
                choice = replace(choice, default=self.ordered(shapes))
            found.append(choice)
        return tuple(found)

    def ordered(self, shapes: Shapes) -> str:
        """Return in which order norm and slopes are listed; a sorted file says nothing."""
        keys = list(shapes)
        norms = [n for n, key in enumerate(keys) if re.search(r"\.adn\.N\.", key)]
        slopes = [n for n, key in enumerate(keys) if re.search(r"\.adn\.A\.", key)]
        if not norms or not slopes or keys == sorted(keys):
            return ""
        return "NDA" if norms[0] < slopes[0] else "ADN"


def _any(pattern: str, shapes: Shapes) -> bool:
    return any(re.fullmatch(pattern, key) for key in shapes)


def _before(shapes: Shapes) -> bool:
    """Tell if the first norm has the width of the image: then it stands before the convolution."""
    own = "encoders.0.basic_module.SingleConv1"
    width = shapes.get(f"{own}.groupnorm.weight") or shapes.get(f"{own}.batchnorm.weight")
    return width == (shapes[f"{own}.conv.weight"][1],)


def _act(default: str, why: str) -> Choice:
    numbers = dict(NONLINEARITY.numbers)
    return replace(NONLINEARITY, default=default, why=f"{why}; a function has no tensors",
                   numbers=numbers)  # fmt: skip


RELU = _act("relu", "as in the library")
LEAKY = _act("leaky_relu:0.01", "as in the library's default")
ELU = _act("elu:1", "as in the library's default")
EPS = replace(NORM_EPS, why="torch's default for the epsilon of a norm, which no tensor holds")
NEAREST = upsampling_choice("nearest", "the library's default; a resizing has no tensors")
LINEAR = upsampling_choice("linear", "the library's default; a resizing has no tensors")
ALIGNED = upsampling_choice("linear-aligned", "the library's default; a resizing has no tensors")
RATES = Choice(
    name="rates",
    values=("12,24,36", "6,12,18", "3,6,9", "24,48,72", "6,12,24", "6,12,36", "1,2,3"),
    default="12,24,36",
    why="dilations of the pyramid as in the library's default; kernels look the same with any",
    also=("atrous_rates", "decoder_atrous_rates"),
)
POOLING = Choice(
    name="pooling",
    values=("max", "average"),
    default="max",
    why="before each level; a pooling has no tensors",
)
STRIDE = Choice(
    name="stride",
    default=2,
    between=(1, 4),
    why="of the convolutions that halve; kernels look the same with any",
)
ORDER = Choice(
    name="adn_ordering",
    values=("NDA", "ADN", "AND", "DAN", "DNA", "NAD"),
    default="NDA",
    why="order of activation, dropout and norm as in the library's default, or as they are listed",
)
NORM = Choice(
    name="norm",
    values=("instance", "none"),
    default="instance",
    why="the library's default, which has no tensors",
)
GROUPS = Choice(
    name="groups",
    default=8,
    between=(1, 512),
    why="of the group norms as in the library's default; no tensor shows them",
    also=("num_groups",),
)
RESIDUAL = Choice(
    name="residual",
    values=(True, False),
    default=False,
    why="no block has a shortcut with tensors, so that none is assumed",
    also=("res_block",),
)


STAGES = Choice(
    name="normalize_stages",
    values=(True, False),
    default=True,
    why="whether the decoder sees normed answers of the transformer, as in the library's default",
)
MERGING = Choice(
    name="downsample",
    values=tuple(_transformers.MERGED),
    default="merging-until-1.4",
    why="which neighbours a step down joins: MONAI's default until version 1.4, of which most "
    "published weights are; since 1.5 its default is merging, and tensors look the same",
)
HEADS = Choice(
    name="num_heads",
    default=12,
    between=(1, 128),
    why="parts that channels are cut into for attention, as in the library's default; no tensor "
    "shows them",
)
IMAGE_SIZE = Choice(
    name="img_size",
    values=("96,96,96",),
    default="96,96,96",
    why="the only size of image that it takes: its tensors show how many patches of 16 pixels "
    "there are, not how they lie; about as many along each axis is usual",
)
LAYERS = Choice(
    name="layer_order",
    values=("norm-conv", "conv-norm", "conv-act-norm"),
    default="norm-conv",
    why="order of norm, convolution and activation, as far as widths do not show it",
)
PADDING = Choice(
    name="padding",
    values=("torch", "tensorflow"),
    default="torch",
    why="an encoder of timm pads, and its norms are, as here or (tf_...) as in TensorFlow",
)
WHY_ALIGNED = "as in the published network; a resizing has no tensors"


def _stride_of(default: int) -> Choice:
    return Choice(
        name="output_stride",
        values=(8, 16, 32),
        default=default,
        why="how much the encoder halves, as in the library's default; no tensor shows it",
        also=("encoder_output_stride",),
    )


SMP_FIRST = (
    "encoder.conv1",
    "encoder.model.conv1",
    "encoder.features.0.0",
    "encoder.features.0",
    "encoder.conv_stem",
    "encoder._conv_stem",
    "encoder.model.conv_stem",
    "encoder.model.conv1.0",
    "encoder.layer0.conv1",
    "encoder.features.conv0",
    "encoder.patch_embed1.proj",
    "encoder.stage0.rbr_conv.0.conv",
    "encoder.stage0.reparam_conv",
)
LONE = r"decoder\.blocks\.\w+\.attention1\..+"
"""The last block has weights for a skip connection, and none is there."""
CENTER = r"decoder\.center\..+"
"""Made by the U-Net++ of a VGG, and never run."""
SMP_HEAD = r"segmentation_head\.0\.weight"


def _smp(
    name: str,
    title: str,
    draw: Draw,
    *has: str,
    choices: tuple[Choice, ...] = (),
    lacks: tuple[str, ...] = (),
    aside: tuple[str, ...] = (),
) -> Kind:
    return Kind(
        name=f"smp-{name}",
        title=f"the {title} of segmentation-models-pytorch",
        has=(*has, SMP_HEAD),
        first=SMP_FIRST,
        draw=draw,
        choices=(RELU, EPS, PADDING, *choices),
        lacks=lacks,
        aside=(r"classification_head\..+", r"encoder\..+", *aside),
    )


def _monai_kind(
    name: str, title: str, draw: Draw, first: str, choices: tuple[Choice, ...], *has: str
) -> Kind:
    return Kind(
        name=f"monai-{name}",
        title=f"the {title} of MONAI",
        has=has,
        first=(first,) if first else ("model.0.conv", "model.0.conv.unit0.conv"),
        draw=draw,
        choices=choices,
        aside=(r"deep_supervision_heads\..+", r"skip_layers\.(next_layer\.)*super_head\..+"),
        canonical=_monai.canonical if name == "dynunet" else None,
    )


NNUNET = Kind(
    name="nnunet",
    title="a network of nnU-Net (version 2)",
    has=(r"encoder\.stages\.0\..+", r"decoder\.transpconvs\.0\.weight"),
    lacks=(r"decoder\.stages\.\d+\.blocks\..+",),
    first=("encoder.stem.convs.0.conv", "encoder.stages.0.0.convs.0.conv"),
    draw=_nnunet.nnunet,
    choices=(LEAKY, EPS, POOLING),
    aside=(r"decoder\.seg_layers\..+",),
    canonical=_nnunet.canonical,
)
PUBLISHED = (
    Kind(
        name="u2net",
        title="the U²-Net of xuebinqin/U-2-Net",
        has=(r"stage1\.rebnconvin\.conv_s1\.weight", r"side1\.weight", r"outconv\.weight"),
        first=("stage1.rebnconvin.conv_s1",),
        draw=_nested.u2net,
        choices=(RELU, EPS),
    ),
    Kind(
        name="nested-unet",
        title="the U-Net++ of 4uiiurz1/pytorch-nested-unet",
        has=(r"conv0_0\.conv1\.weight", r"conv0_0\.bn1\.weight", r"conv0_1\..+", r"final\d?\..+"),
        first=("conv0_0.conv1",),
        draw=_nested.nested_unet,
        choices=(RELU, EPS, upsampling_choice("linear-aligned", WHY_ALIGNED)),
        aside=(r"final\d\..+",),
    ),
    Kind(
        name="pytorch-3dunet",
        title="the U-Net of pytorch-3dunet (PlantSeg)",
        has=(r"encoders\.0\.basic_module\.SingleConv1\.conv\.weight", r"final_conv\.weight"),
        first=("encoders.0.basic_module.SingleConv1.conv",),
        draw=_nested.unet3d,
        choices=(RELU, EPS, GROUPS, LAYERS),
    ),
)
HOVERNET = Kind(
    name="hovernet",
    title="the HoVer-Net of vqdang/hover_net",
    has=(r"decoder\.np\.u3\.conva\.weight", r"conv0\./\.weight", r"conv_bot\.weight"),
    first=("conv0./",),
    draw=_hovernet.hovernet,
    choices=(RELU, EPS),
    aside=(r"upsample2x\.unpool_mat",),
    derived=(r"upsample2x\.unpool_mat",),
    outputs=_hovernet.outputs,
    divides=True,
)
_TV = (RELU, EPS)
TORCHVISION = tuple(
    Kind(
        name=f"torchvision-{name}",
        title=f"the {title} of torchvision",
        has=(r"backbone\.(layer1\.0\.conv1|0\.0)\.weight", has),
        first=("backbone.conv1", "backbone.0.0"),
        draw=draw,
        choices=(*_TV, *choices),
        aside=(r"aux_classifier\..+",),
    )
    for name, title, has, draw, choices in (
        ("deeplab", "DeepLabV3", r"classifier\.0\.convs\.0\.0\.weight", _torchvision.deeplab,
         (RATES,)),
        ("lraspp", "LR-ASPP", r"classifier\.cbr\.0\.weight", _torchvision.lraspp, ()),
        ("fcn", "FCN", r"classifier\.0\.weight", _torchvision.fcn, ()),
    )
)  # fmt: skip
KINDS: tuple[Kind, ...] = (
    NNUNET,
    *TORCHVISION,
    *PUBLISHED,
    HOVERNET,
    _smp("unet-plus-plus", "U-Net++", _smp_module.unet_plus_plus,
         r"decoder\.blocks\.x_0_0\..+", choices=(NEAREST,), aside=(LONE, CENTER)),
    _smp("manet", "MAnet", _smp_module.manet, r"decoder\.center\.top_conv\.weight",
         choices=(NEAREST,)),
    _smp("upernet", "UPerNet", _pyramids.upernet, r"decoder\.feature_norms\.0\.weight",
         r"decoder\.fusion_block\.0\.weight"),
    _smp("segformer", "SegFormer", _pyramids.segformer, r"decoder\.mlp_stage\.0\.linear\.weight"),
    _smp("pan", "PAN", _pyramids.pan, r"decoder\.fpa\.branch1\.1\.conv\.weight",
         choices=(_stride_of(16),)),
    _smp("unet", "U-Net", _smp_module.unet, r"decoder\.blocks\.0\.conv1\.0\.weight",
         r"decoder\.blocks\.0\.conv2\.0\.weight", choices=(NEAREST,),
         lacks=(r"decoder\.center\.top_conv\.weight",), aside=(LONE,)),
    _smp("linknet", "LinkNet", _smp_module.linknet, r"decoder\.blocks\.0\.block\.0\.0\.weight"),
    _smp("fpn", "FPN", _pyramids.fpn, r"decoder\.p5\.weight", choices=(NEAREST,)),
    _smp("pspnet", "PSPNet", _pyramids.pspnet, r"decoder\.psp\.blocks\.0\.pool\.1\.0\.weight"),
    _smp("deeplab-plus", "DeepLabV3+", _smp_module.deeplab_plus, r"decoder\.aspp\.0\.convs\..+",
         choices=(RATES, _stride_of(16))),
    _smp("deeplab", "DeepLabV3", _smp_module.deeplab, r"decoder\.(aspp|0)\.convs\.0\.0\.weight",
         choices=(RATES, _stride_of(8))),
    Kind(
        name="monai-swin-unetr",
        title="the SwinUNETR of MONAI",
        has=(r"swinViT\.patch_embed\.proj\.weight", r"decoder1\.transp_conv\.conv\.weight"),
        first=("swinViT.patch_embed.proj",),
        draw=_transformers.swin_unetr,
        choices=(LEAKY, EPS, STAGES, MERGING),
        aside=(r"swinViT\..+\.relative_position_index",),
        derived=(r"swinViT\..+\.relative_position_index",),
    ),
    Kind(
        name="monai-unetr",
        title="the UNETR of MONAI",
        has=(r"vit\.patch_embedding\.position_embeddings", r"decoder5\.transp_conv\.conv\.weight"),
        first=("encoder1.layer.conv1.conv",),
        draw=_transformers.unetr,
        choices=(LEAKY, EPS, HEADS, IMAGE_SIZE, RESIDUAL),
        aside=(r"vit\.blocks\.\d+\.(cross_attn|norm_cross_attn)\..+",),
        derived=(r"vit\.blocks\.\d+\.(cross_attn|norm_cross_attn)\..+",),
        canonical=_transformers.canonical,
    ),
    _monai_kind("attention-unet", "AttentionUnet", _monai.attention_unet, "model.0.conv.0.conv",
                (RELU, EPS, STRIDE, ORDER), r"model\.1\.attention\.W_g\.0\.conv\.weight"),
    _monai_kind("unet", "UNet", _monai.unet, "", (RELU, EPS, STRIDE, ORDER, NORM),
                r"model\.1\.submodule\..+", r"model\.2\..+"),
    _monai_kind("dynunet", "DynUNet", _monai.dynunet, "input_block.conv1.conv",
                (LEAKY, EPS, RESIDUAL, NORM), r"input_block\.conv1\.conv\.weight",
                r"upsamples\.0\.transp_conv\.conv\.weight"),
    _monai_kind("basic-unet", "BasicUNet", _monai.basic_unet, "conv_0.conv_0.conv",
                (replace(LEAKY, default="leaky_relu:0.1"), EPS, ORDER, NORM, ALIGNED),
                r"conv_0\.conv_0\.conv\.weight", r"upcat_4\..+", r"final_conv\.weight"),
    Kind(
        name="monai-flexible-unet",
        title="the FlexibleUNet of MONAI",
        has=(r"decoder\.blocks\.0\.convs\.conv_0\.conv\.weight", SMP_HEAD),
        first=("encoder.conv1", "encoder._conv_stem"),
        draw=_monai.flexible_unet,
        choices=(RELU, EPS, NEAREST),
        aside=(r"encoder\..+",),
        canonical=_monai.flat_blocks,
    ),
    _monai_kind("segresnet", "SegResNet", _monai.segresnet, "convInit.conv",
                (RELU, EPS, GROUPS, LINEAR), r"convInit\.conv\.weight", r"down_layers\..+",
                r"conv_final\.2\.conv\.weight"),
    _monai_kind("vnet", "VNet", _monai.vnet, "in_tr.conv_block.conv", (ELU, EPS),
                r"in_tr\.conv_block\.conv\.weight", r"out_tr\.conv2\.weight"),
)  # fmt: skip
"""In the order in which a file is compared: what is special before what is common."""
