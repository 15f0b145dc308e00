"""What an unknown weights file is: names of tensors by which other kinds of network are known.

Names and shapes were read from live networks and public sources. A file of a known family never
comes here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SIGNATURES", "Signature", "signature_of"]

Shapes = Mapping[str, tuple[int, ...]]

_RESULT = "Run it there, and drag the label image that it writes onto napari."
_NO_MAPS = "It does not label pixels. Choose the weights of a segmentation network."
_MANY = 4000
"""No more names are looked at: the first ones say enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A kind of network that is named but not opened.

    Attributes
    ----------
    name : str
        Short and stable.
    what : str
        "... is *what*".
    has, lacks : tuple of str
        Patterns, each of which is found in some name of a tensor, or in none.
    step : str
        What its user can do that works; empty if there is nothing.
    dims : int
        Dimensions of every kernel of a convolution; 0: any.
    readable : bool
        Whether it is of plain layers whose maps label pixels: then its tensors are read by their
        structure, and it is only named where that fails.
    dense : bool
        Whether what the first pattern names is a dense layer: a convolution may label pixels.
    """

    name: str
    what: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    step: str = ""
    dims: int = 0
    readable: bool = False
    dense: bool = False

    def fits(self, shapes: Shapes) -> bool:
        """Tell by names and shapes."""
        names = list(shapes)[:_MANY]
        found = all(any(re.search(part, name) for name in names) for part in self.has)
        if not found or any(re.search(part, name) for part in self.lacks for name in names):
            return False
        if self.dense and not any(
            re.search(self.has[0], name) and len(shapes[name]) == 2 for name in names
        ):
            return False
        kernels = {len(shapes[n]) for n in names if n.endswith("weight") and len(shapes[n]) > 2}
        return not self.dims or kernels == {self.dims}


def signature_of(shapes: Shapes) -> Signature | None:
    """Return the kind of network that has tensors of such names and shapes; None: unknown."""
    return next((one for one in SIGNATURES if one.fits(shapes)), None)


def _smp(name: str, title: str, *has: str) -> Signature:
    what = f"a {title} of segmentation-models-pytorch"
    return Signature(name=f"smp-{name}", what=what, has=(r"(^|\.)encoder\.", *has), readable=True)


def _monai(name: str, title: str, *has: str) -> Signature:
    return Signature(name=f"monai-{name}", what=f"a {title} of MONAI", has=has, readable=True)


def _elsewhere(name: str, what: str, program: str, *has: str) -> Signature:
    step = f"It runs in {program}. {_RESULT}"
    return Signature(name=name, what=what, has=has, step=step)


def _no_labels(
    name: str, what: str, *has: str, lacks: tuple[str, ...] = (), dense: bool = False
) -> Signature:
    return Signature(name=name, what=what, has=has, lacks=lacks, step=_NO_MAPS, dense=dense)


SIGNATURES: tuple[Signature, ...] = (
    # ---- Whole programs with a name of their own
    _elsewhere(
        "sam2", "a Segment Anything 2 network", "the napari plugins for SAM 2",
        r"image_encoder\.trunk\.blocks\.0\.", r"memory_(encoder|attention)\.",
    ),
    _elsewhere(
        "cellpose-sam", "a Cellpose 4 network (Cellpose-SAM)", "Cellpose",
        r"encoder\.patch_embed\.proj\.weight", r"encoder\.neck\.0\.weight",
        r"^(module\.)?out\.weight",
    ),
    _elsewhere(
        "sam", "a Segment Anything network (SAM, or micro-sam)", "the napari plugin micro-sam",
        r"image_encoder\.patch_embed\.proj\.", r"mask_decoder\.",
    ),
    _elsewhere(
        "cellpose", "a Cellpose network (versions 1 to 3)", "Cellpose",
        r"downsample\.down\.res_down_0\.", r"upsample\.up\.res_up_0\.",
    ),
    _elsewhere(
        "stardist", "a StarDist network in PyTorch", "StarDist",
        r"(conv_rad|conv_dist|rays?_?conv|dist_head)\.weight", r"(conv_prob|prob_?conv|prob_head)",
    ),
    _elsewhere(
        "hovernet", "a HoVer-Net", "HoVer-Net or TIAToolbox",
        r"decoder\.(np|hv)\.u3\.", r"(conv0|d0)\.",
    ),
    _elsewhere(
        "nnunet", "an nnU-Net", "nnU-Net (nnUNetv2_predict)",
        r"encoder\.stages\.\d+\.", r"decoder\.(transpconvs|seg_layers)\.",
    ),
    _elsewhere(
        "nnunet-1", "an nnU-Net of version 1", "nnU-Net of version 1 (nnUNet_predict)",
        r"conv_blocks_context\.", r"seg_outputs\.",
    ),
    _elsewhere(
        "pytorch-3dunet", "a network of pytorch-3dunet or PlantSeg", "pytorch-3dunet or PlantSeg",
        r"encoders\.0\.basic_module\.", r"decoders\.0\.",
    ),
    Signature(
        name="torch-em", what="a U-Net of torch-em",
        has=(r"encoder\.blocks\.0\.block\.", r"decoder\.samplers\.0\."), readable=True,
    ),
    # ---- Detectors
    Signature(
        name="yolo", what="a YOLO network",
        has=(r"model\.0\.conv\.weight", r"model\.\d+\.(m|cv2)\.\d+\."),
    ),
    _no_labels(
        "ssd", "an SSD detector of torchvision",
        r"head\.classification_head\.module_list\.0\.", r"head\.regression_head\.module_list\.0\.",
    ),
    Signature(
        name="mask2former", what="a Mask2Former or MaskFormer",
        has=(r"(pixel_level_module|sem_seg_head\.pixel_decoder|panoptic_head)\.",),
    ),
    _no_labels(
        "detr", "a DETR detector", r"query_embed\.weight|query_position_embeddings",
        r"bbox_(embed|predictor)\.",
    ),
    Signature(
        name="matterport-torch", what="a Mask R-CNN in the manner of matterport",
        has=(r"fpn\.P5_conv1\.", r"classifier\.linear_class\."),
    ),
    Signature(
        name="detectron2-other", what="a Detectron2 network that is no Mask R-CNN with a pyramid",
        has=(r"backbone\.(bottom_up\.)?(stem|res2)\.", r"proposal_generator\.|head\."),
    ),
    # ---- Semantic networks of libraries
    Signature(
        name="lraspp", what="an LR-ASPP of torchvision",
        has=(r"classifier\.cbr\.0\.weight", r"classifier\.low_classifier\.weight"),
    ),
    Signature(
        name="deeplab", what="a DeepLabV3 of torchvision",
        has=(r"backbone\.", r"(^|\.)classifier\.0\.convs\.0\.0\.weight"),
    ),
    Signature(
        name="fcn", what="an FCN of torchvision",
        has=(r"backbone\.(conv1|0\.0)\.weight", r"(^|\.)classifier\.0\.weight", r"classifier\.4\."),
    ),
    _smp("unetplusplus", "U-Net++", r"decoder\.blocks\.x_0_0\."),
    _smp("manet", "MAnet", r"decoder\.center\.top_conv\."),
    _smp("unet", "U-Net", r"decoder\.blocks\.0\.conv1\.0\.weight", r"segmentation_head\.0\.weight"),
    _smp("linknet", "LinkNet", r"decoder\.blocks\.0\.block\.0\.0\."),
    _smp("fpn", "FPN", r"decoder\.p5\.weight"),
    _smp("deeplab", "DeepLabV3", r"decoder\.(aspp\.)?0\.convs\.0\.0\."),
    _smp("pan", "PAN", r"decoder\.fpa\."),
    _smp("upernet", "UPerNet", r"decoder\.feature_norms\."),
    _smp("pspnet", "PSPNet", r"decoder\.psp\."),
    _smp("segformer", "SegFormer", r"decoder\.mlp_stage\."),
    Signature(
        name="segformer", what="a SegFormer of Hugging Face",
        has=(r"segformer\.encoder\.patch_embeddings\.0\.", r"decode_head\.linear_c\.0\."),
    ),
    _monai("swin-unetr", "SwinUNETR", r"swinViT\.patch_embed\.proj\.weight"),
    _monai("unetr", "UNETR", r"vit\.patch_embedding\.", r"decoder5\."),
    _monai("attention-unet", "AttentionUnet", r"model\.1\.attention\.W_g\.0\.conv\.weight"),
    _monai("dynunet", "DynUNet", r"input_block\.conv1\.conv\.", r"upsamples\.0\.transp_conv\."),
    _monai("basic-unet", "BasicUNet", r"conv_0\.conv_0\.conv\.weight", r"upcat_4\."),
    _monai("segresnet", "SegResNet", r"convInit\.conv\.weight", r"down_layers\."),
    _monai("vnet", "VNet", r"in_tr\.conv_block\."),
    _monai("unet", "UNet", r"^(model\.)*\d+\.(conv\.)?(unit0\.)?conv\.weight", r"submodule\."),
    Signature(
        name="dpt", what="a DPT (vision transformer with a decoder of convolutions)",
        has=(r"decoder\.reassemble_blocks\.|neck\.reassemble_stage\.|scratch\.refinenet1\.",),
        step=_RESULT,
    ),
    Signature(
        name="transunet", what="a TransUNet",
        has=(r"transformer\.embeddings\.", r"decoder\.conv_more\."),
    ),
    Signature(
        name="swin-unet", what="a Swin-Unet",
        has=(r"layers\.0\.blocks\.0\.attn\.", r"layers_up\.0\."),
    ),
    Signature(
        name="u2net", what="a U²-Net", has=(r"stage1\.rebnconv1\.", r"side1\.weight"),
    ),
    Signature(
        name="unet-plus-plus", what="a U-Net++", readable=True,
        has=(r"conv0_0\.(conv1\.)?weight", r"conv0_[34]\.(conv1\.)?weight"),
    ),
    # ---- What labels no pixels
    _no_labels(
        "diffusion", "a diffusion network",
        r"time_embed(ding)?\.|time_mlp\.|betas$|model\.diffusion_model\.",
    ),
    _no_labels("vae", "a variational autoencoder", r"(^|\.)(fc_)?(mu|logvar|log_var)\.weight"),
    _no_labels(
        "gan", "a generator or discriminator of a GAN",
        r"^(netG|netD|generator|discriminator|G|D|synthesis|mapping)\.|^mapping\.fc0\.",
    ),
    _no_labels(
        "language-model", "a language model",
        r"(wte|word_embeddings|embed_tokens)\.weight",
    ),
    _no_labels(
        "vision-transformer", "a vision transformer that classifies, or a backbone alone",
        r"patch_embed(ding|dings|\.proj)?\.", r"blocks?\.\d+\.|layers?\.\d+\.",
        lacks=(r"decode|seg",),
    ),
    _no_labels("graph-network", "a graph network", r"(^|\.)(gat|gcn|sage|gin)\d*\.(lin|att)"),
    Signature(
        name="one-dimensional", what="a network for signals of one dimension", has=(),
        step=_NO_MAPS, dims=3,
    ),
    _no_labels(
        "classifier", "a classifier",
        r"^(module\.|model\.)?(fc|classifier(\.\d+)?|head(\.fc)?|_fc)\.weight$",
        lacks=(r"(^|\.)(decoder|up\w*|dec\w*|seg\w*|deconv\w*)\.", r"mask"), dense=True,
    ),
)  # fmt: skip
"""In the order in which a file is compared: what is special before what is common."""
