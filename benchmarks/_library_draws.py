"""Draw networks of libraries at random, and save each as users of that library do.

Run by ``libraries.py`` with a Python that has some of the libraries: it reads lines of JSON
(``{"seed": 7, "library": "monai", "folder": "/tmp/7"}``; with ``"double": true`` it answers in
numbers of 64 bits), and answers each with one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pickle
import random
import sys
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = {
    "smp": "segmentation_models_pytorch",
    "monai": "monai",
    "torchvision": "torchvision",
    "nnunet": "dynamic_network_architectures",
}
DECODERS = (
    *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus"),
    *("PAN", "UPerNet", "Segformer"),
)
ENCODERS = (
    *("resnet18", "resnet18", "resnet34", "resnet34", "resnet50", "mobilenet_v2"),
    *("efficientnet-b0", "efficientnet-b1", "timm-efficientnet-b0", "vgg11", "vgg11_bn", "vgg16"),
    *("densenet121", "se_resnet50", "resnext50_32x4d", "se_resnext50_32x4d", "mit_b0", "mit_b1"),
    *("mobileone_s0", "mobileone_s1", "xception", "timm-mobilenetv3_small_100"),
    *("tu-efficientnet_b0", "tu-tf_efficientnet_b0", "tu-resnet18d", "tu-seresnet18"),
    *("tu-mobilenetv3_large_100", "tu-resnet18"),
)
WRAPPERS = (
    *("bare", "state_dict", "epoch", "lightning", "lightning-arguments", "data-parallel"),
    *("compiled", "whole", "whole-prefixed", "safetensors", "legacy"),
)


def smp(draw, torch):
    import segmentation_models_pytorch as library

    while True:
        decoder, encoder = draw.choice(DECODERS), draw.choice(ENCODERS)
        own = {"classes": draw.choice((1, 1, 2, 4)), "in_channels": draw.choice((3, 3, 1, 4))}
        told = {}
        if decoder in ("Unet", "UnetPlusPlus") and draw.random() < 0.2:
            own["decoder_attention_type"] = "scse"
        if decoder in ("Unet", "UnetPlusPlus", "MAnet", "FPN") and draw.random() < 0.2:
            own["decoder_interpolation"] = "bilinear"
            told["upsampling"] = "linear"
        if decoder in ("Unet", "Linknet", "MAnet") and draw.random() < 0.2:
            own["decoder_use_norm"] = False
        if decoder in ("Unet", "MAnet") and draw.random() < 0.2:
            own |= {"encoder_depth": 4, "decoder_channels": (64, 32, 16, 8)}
        if decoder in ("DeepLabV3Plus", "DeepLabV3") and draw.random() < 0.3:
            own["decoder_atrous_rates"] = (6, 12, 18)
            told["rates"] = "6,12,18"
        if encoder.startswith(("tu-tf_", "timm-mobilenetv3", "tu-mobilenetv3", "tu-eff")):
            tensorflow = encoder.startswith(("tu-tf_", "timm-mobile"))
            told["padding"] = "tensorflow" if tensorflow else "torch"
        # A combination that the library does not have is drawn again.
        with contextlib.suppress(ValueError, NotImplementedError, KeyError, AttributeError):
            made = getattr(library, decoder)(encoder, encoder_weights=None, **own)
            arguments = {"encoder_name": encoder, "arch": decoder, **own}
            return made, (own["in_channels"], 128, 128), told, arguments


def monai(draw, torch):
    ndim, channels = draw.choice((2, 3)), draw.choice((1, 1, 2, 4))
    classes, norm = draw.choice((1, 2, 3, 5)), draw.choice(("instance", "batch"))
    kind = draw.choice(("UNet", "UNet", "UNet", *NETS))
    shape = (channels, *((64, 64) if ndim == 2 else (32, 32, 32)))
    wanted = Wanted(ndim=ndim, channels=channels, classes=classes, norm=norm, shape=shape)
    made, shape, told, own = MONAI_NETS[kind](draw, wanted)
    return made, shape, told, {"name": kind, **own}


@dataclass(frozen=True)
class Wanted:
    """What every network of MONAI is drawn for; ``shape`` is ``(c, [z,] y, x)``."""

    ndim: int
    channels: int
    classes: int
    norm: str
    shape: tuple[int, ...]

    @property
    def sizes(self):
        return self.ndim, self.channels, self.classes


def monai_unet(draw, wanted):
    from monai.networks import nets

    depth = draw.choice((3, 4, 5))
    act = draw.choice(("PRELU", "PRELU", "RELU", "LEAKYRELU"))
    told = {"RELU": {"nonlinearity": "relu"}, "LEAKYRELU": {"nonlinearity": "leaky_relu:0.01"}}
    order = draw.choice(("NDA", "NDA", "NDA", "ADN"))
    own = {
        "channels": tuple(4 * 2**n for n in range(depth)),
        "strides": (2,) * (depth - 1),
        "num_res_units": draw.choice((0, 1, 2, 3)),
        "act": act,
        "norm": wanted.norm,
        "adn_ordering": order,
    }
    made = nets.UNet(*wanted.sizes, **own)
    return made, wanted.shape, {**told.get(act, {}), "adn_ordering": order}, own


def monai_basic_unet(draw, wanted):
    from monai.networks import nets

    upsample = draw.choice(("deconv", "nontrainable"))
    own = {"features": (4, 4, 8, 16, 32, 4), "norm": wanted.norm, "upsample": upsample}
    return nets.BasicUNet(*wanted.sizes, **own), wanted.shape, {}, own


def monai_attention_unet(draw, wanted):
    from monai.networks import nets

    own = {"channels": (4, 8, 16), "strides": (2, 2)}
    return nets.AttentionUnet(*wanted.sizes, **own), wanted.shape, {}, own


def monai_dyn_unet(draw, wanted):
    from monai.networks import nets

    residual = draw.random() < 0.5
    own = {"filters": [4, 8, 16, 32], "res_block": residual, "norm_name": wanted.norm}
    strides, up = [1, 2, 2, 2], [2, 2, 2]
    made = nets.DynUNet(*wanted.sizes, [3] * 4, strides, up, **own)
    return made, wanted.shape, {"residual": residual}, own


def monai_seg_resnet(draw, wanted):
    from monai.networks import nets

    own = {"init_filters": 8, "upsample_mode": draw.choice(("nontrainable", "deconv"))}
    made = nets.SegResNet(
        wanted.ndim, in_channels=wanted.channels, out_channels=wanted.classes, **own
    )
    return made, wanted.shape, {}, own


def monai_swin_unetr(draw, wanted):
    from monai.networks import nets

    shape = (wanted.channels, *((64, 96) if wanted.ndim == 2 else (32, 64, 64)))
    own = {
        "feature_size": draw.choice((12, 24)) if wanted.ndim == 2 else 12,
        "use_v2": draw.random() < 0.3,
        "normalize": draw.random() < 0.8,
        "norm_name": wanted.norm,
        "downsample": draw.choice(("merging", "merging", "mergingv2")),
    }
    told = {"normalize_stages": own["normalize"], "downsample": own["downsample"]}
    made = nets.SwinUNETR(wanted.channels, wanted.classes, spatial_dims=wanted.ndim, **own)
    return made, shape, told, own


def monai_unetr(draw, wanted):
    from monai.networks import nets

    sizes = ((64, 64), (64, 96)) if wanted.ndim == 2 else ((32, 32, 32), (32, 48, 48))
    size = draw.choice(sizes)
    own = {
        "hidden_size": 48,
        "mlp_dim": 64,
        "feature_size": 4,
        "num_heads": draw.choice((12, 4)),
        "proj_type": draw.choice(("conv", "perceptron")),
        "norm_name": wanted.norm,
        "conv_block": draw.random() < 0.7,
        "res_block": draw.random() < 0.7,
    }
    told = {"num_heads": own["num_heads"], "img_size": ",".join(map(str, size))}
    made = nets.UNETR(wanted.channels, wanted.classes, size, spatial_dims=wanted.ndim, **own)
    return made, (wanted.channels, *size), told, own


def monai_vnet(draw, wanted):
    from monai.networks import nets

    return nets.VNet(2, 1, max(wanted.classes, 2)), (1, 64, 64), {}, {}


def monai_flexible_unet(draw, wanted):
    from monai.networks import nets

    own = {"backbone": draw.choice(("resnet18", "efficientnet-b0"))}
    made = nets.FlexibleUNet(wanted.channels, wanted.classes, **own)
    return made, (wanted.channels, 64, 64), {}, own


MONAI_NETS = {
    "UNet": monai_unet,
    "BasicUNet": monai_basic_unet,
    "AttentionUnet": monai_attention_unet,
    "DynUNet": monai_dyn_unet,
    "SegResNet": monai_seg_resnet,
    "SwinUNETR": monai_swin_unetr,
    "UNETR": monai_unetr,
    "VNet": monai_vnet,
    "FlexibleUNet": monai_flexible_unet,
}
"""Name of a network in MONAI -> what draws it: the module, the shape of its image, what no tensor
shows of it, and its own arguments."""

NETS = (
    *("BasicUNet", "AttentionUnet", "DynUNet", "SegResNet", "VNet", "FlexibleUNet"),
    *("SwinUNETR", "UNETR"),
)


def torchvision(draw, torch):
    from torchvision.models import segmentation

    names = ("fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large")
    name = draw.choice((*names, "lraspp_mobilenet_v3_large"))
    own = {"num_classes": draw.choice((2, 5, 21))}
    if not name.startswith("lraspp"):
        own["aux_loss"] = draw.random() < 0.5
    made = getattr(segmentation, name)(weights=None, weights_backbone=None, **own)
    return made, (3, 64, 64), {}, {"model": name, **own}


def nnunet(draw, torch):
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
    from torch import nn

    flat, channels = draw.random() < 0.5, draw.choice((1, 2))
    conv, norm = (nn.Conv2d, nn.InstanceNorm2d) if flat else (nn.Conv3d, nn.InstanceNorm3d)
    steps = (
        [1, 2, 2, 2] if flat else [[1, 1, 1], draw.choice(([1, 2, 2], [2, 2, 2])), [2] * 3, [2] * 3]
    )
    kernels = 3 if flat else [draw.choice(([1, 3, 3], [3] * 3)), [3] * 3, [3] * 3, [3] * 3]
    plain, widths = draw.random() < 0.5, [4, 8, 16, 32]
    blocks = ([2] * 4, [2] * 3) if plain else ([1, 3, 4, 2], [1] * 3)
    made = (PlainConvUNet if plain else ResidualEncoderUNet)(
        channels, 4, widths, conv, kernels, steps, blocks[0], draw.choice((2, 3)), blocks[1],
        conv_bias=True, norm_op=norm, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=draw.random() < 0.5,
    )  # fmt: skip
    return (
        made,
        (channels, *((64, 64) if flat else (16, 32, 32))),
        {},
        {"arch": type(made).__name__},
    )


MAKERS = {"smp": smp, "monai": monai, "torchvision": torchvision, "nnunet": nnunet}


def shaken(module, torch, seed):
    """Give norms statistics and weights as a training leaves them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
            elif name.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        for value in module.parameters():
            if value.ndim == 1:
                value.add_(torch.randn(value.shape, generator=generator) * 0.1)


def write(module, arguments, wrapper, folder, torch):
    """Save a network as a user of it would; return the path."""
    state, path = module.state_dict(), folder / "weights.pth"
    record = {"lr": 1e-3}
    if wrapper == "lightning-arguments":
        record |= {k: v for k, v in arguments.items() if v is not None}
    inside = {f"model.{key}": value for key, value in state.items()}
    lightning = {
        "state_dict": inside, "pytorch-lightning_version": "2.4.0", "epoch": 1,
        "global_step": 5, "hyper_parameters": record,
    }  # fmt: skip
    if wrapper == "hub":
        module.save_pretrained(folder / "hub")
        return folder / "hub"
    if wrapper == "safetensors":
        from safetensors.torch import save_file

        plain = {key: value.clone().contiguous() for key, value in state.items()}
        save_file(plain, path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    roots = {
        "bare": state,
        "legacy": state,
        "state_dict": {"state_dict": state},
        "epoch": {"model_state_dict": state, "optimizer_state_dict": {}, "epoch": 7, "loss": 0.1},
        "lightning": lightning,
        "lightning-arguments": lightning,
        "data-parallel": {f"module.{key}": value for key, value in state.items()},
        "compiled": {f"_orig_mod.{key}": value for key, value in state.items()},
        "whole": module,
        "whole-prefixed": torch.nn.ModuleDict({"net": module}),
    }
    new = wrapper != "legacy"
    try:
        torch.save(roots[wrapper], path, _use_new_zipfile_serialization=new)
    except (AttributeError, pickle.PicklingError):  # a lambda of the library: whole or not at all
        torch.save(state, path)
    return path


def make(task, torch, np):
    draw = random.Random(task["seed"])
    torch.manual_seed(task["seed"])
    module, shape, told, arguments = MAKERS[task["library"]](draw, torch)
    module.eval()
    shaken(module, torch, task["seed"])
    image = torch.randn(1, *shape)
    double = task.get("double", False)
    with torch.no_grad():
        if double:
            module, image = module.double(), image.double()
        answer = module(image)
        module = module.float()
    answer = answer["out"] if isinstance(answer, dict) else answer
    while isinstance(answer, list | tuple):
        answer = answer[0]
    wrappers = (*WRAPPERS, "hub", "hub") if task["library"] == "smp" else WRAPPERS
    wrapper = draw.choice(wrappers)
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    path = write(module, arguments, wrapper, folder, torch)
    np.savez(folder / "answer.npz", image=image.numpy(), answer=answer.numpy())
    what = " ".join(str(v) for v in arguments.values())
    return {"path": str(path), "wrapper": wrapper, "what": what, "told": told}


def main():
    print(json.dumps([k for k, v in LIBRARIES.items() if importlib.util.find_spec(v)]), flush=True)
    import numpy as np
    import torch

    torch.set_num_threads(1)
    out = sys.stdout
    for line in sys.stdin:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = make(json.loads(line), torch, np)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
