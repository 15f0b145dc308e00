"""Write networks of public libraries as ONNX, and what ONNX Runtime answers to them.

    python write_onnx.py FOLDER [WORD ...]

Run by ``test_onnx_interop.py`` in an environment of its own. Each network gets random weights and
statistics. Beside ``NAME.onnx`` lies ``NAME.npz``: ``x`` the input, ``y`` the answer, and ``x2``,
``y2`` of another size where the export takes any. ``failed.json`` names what could not be exported.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
SIZES = {2: ((64, 96), (96, 128)), 3: ((32, 48, 32), (48, 32, 64))}


def monai() -> Iterator[tuple[str, Callable[[], nn.Module], int, int]]:
    from monai.networks import nets

    two = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    three = {**two, "spatial_dims": 3}
    steps = {"channels": (4, 8, 16), "strides": (2, 2)}
    yield "monai_unet", lambda: nets.UNet(**two, **steps, num_res_units=2), 1, 2
    yield "monai_unet_plain", lambda: nets.UNet(**two, **steps, num_res_units=0, norm="batch"), 1, 2
    yield "monai_unet3d", lambda: nets.UNet(**three, **steps, num_res_units=1), 1, 3
    yield "monai_basic", lambda: nets.BasicUNet(**two, features=(4, 4, 8, 8, 16, 4)), 1, 2
    yield (
        "monai_basic_pixelshuffle",
        lambda: nets.BasicUNet(**two, features=(4, 4, 8, 8, 16, 4), upsample="pixelshuffle"),
        1,
        2,
    )
    yield (
        "monai_basic_nontrainable",
        lambda: nets.BasicUNet(**two, features=(4, 4, 8, 8, 16, 4), upsample="nontrainable"),
        1,
        2,
    )
    yield "monai_attention", lambda: nets.AttentionUnet(**two, **steps), 1, 2
    kernels = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
    yield "monai_dyn", lambda: nets.DynUNet(**two, **kernels, filters=[4, 8, 16]), 1, 2
    yield "monai_dyn3d", lambda: nets.DynUNet(**three, **kernels, filters=[4, 8, 16]), 1, 3
    yield "monai_segres", lambda: nets.SegResNet(**two, init_filters=8), 1, 2
    yield "monai_segres3d", lambda: nets.SegResNet(**three, init_filters=8), 1, 3
    yield "monai_vnet", lambda: nets.VNet(**two), 1, 2
    yield (
        "monai_unetplusplus",
        lambda: nets.BasicUNetPlusPlus(**two, features=(4, 4, 8, 8, 16, 4)),
        1,
        2,
    )
    yield "monai_flexible", lambda: nets.FlexibleUNet(1, 2, "efficientnet-b0", spatial_dims=2), 1, 2
    yield "monai_highres", lambda: nets.HighResNet(**two), 1, 2
    yield (
        "monai_unetr",
        lambda: nets.UNETR(
            1, 2, (64, 96), spatial_dims=2, hidden_size=24, mlp_dim=32, num_heads=2, feature_size=4
        ),
        1,
        2,
    )


def smp() -> Iterator[tuple[str, Callable[[], nn.Module], int, int]]:
    import segmentation_models_pytorch as library

    plain = {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3}
    for kind in (
        "Unet",
        "UnetPlusPlus",
        "MAnet",
        "Linknet",
        "FPN",
        "PSPNet",
        "DeepLabV3",
        "DeepLabV3Plus",
        "PAN",
        "UPerNet",
    ):
        yield f"smp_{kind.lower()}", lambda kind=kind: getattr(library, kind)(**plain), 3, 2
    for encoder in (
        "efficientnet-b0",
        "mobilenet_v2",
        "vgg11_bn",
        "densenet121",
        "se_resnet50",
        "mit_b0",
        "timm-efficientnet-b0",
        "tu-convnext_atto",
    ):
        own = {**plain, "encoder_name": encoder}
        if encoder.startswith("tu-convnext"):
            own |= {"encoder_depth": 4, "decoder_channels": (64, 32, 16, 8)}
        yield f"smp_unet_{encoder}", lambda own=own: library.Unet(**own), 3, 2
    scse = {**plain, "decoder_attention_type": "scse", "activation": "sigmoid", "classes": 1}
    yield "smp_unet_scse", lambda: library.Unet(**scse), 3, 2
    yield (
        "smp_segformer",
        lambda: library.Segformer("mit_b0", encoder_weights=None, classes=2),
        3,
        2,
    )


class Out(nn.Module):
    """The map of a network that answers with several by name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)["out"]


def torchvision() -> Iterator[tuple[str, Callable[[], nn.Module], int, int]]:
    from torchvision.models import segmentation

    none = {"weights": None, "weights_backbone": None, "num_classes": 4}
    for name in (
        "fcn_resnet50",
        "deeplabv3_resnet50",
        "deeplabv3_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large",
    ):
        yield (
            f"torchvision_{name}",
            lambda name=name: Out(getattr(segmentation, name)(**none)),
            3,
            2,
        )


WAYS = [
    ("ts11", {"dynamo": False, "opset_version": 11}, True),
    ("ts14fixed", {"dynamo": False, "opset_version": 14}, False),
    ("ts17", {"dynamo": False, "opset_version": 17}, True),
    ("ts20", {"dynamo": False, "opset_version": 20}, True),
    ("dynamo18", {"dynamo": True, "opset_version": 18}, True),
    ("dynamo21fixed", {"dynamo": True, "opset_version": 21}, False),
    ("dynamo23", {"dynamo": True, "opset_version": 23}, True),
]


def random_numbers(module: nn.Module, channels: int, ndim: int) -> None:
    """Fill weights as a training would, statistics by pictures."""
    torch.manual_seed(7)
    for layer in module.modules():
        if isinstance(
            layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear
        ):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -0.1, 0.1)
        elif (
            isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm)
            and layer.weight is not None
        ):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    module.train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.rand(2, channels, *SIZES[ndim][0]))
    module.eval()


def export(module: nn.Module, path: Path, channels: int, ndim: int, how: dict, free: bool) -> None:
    size, other = SIZES[ndim]
    x = torch.rand(1, channels, *size)
    names = ["z", "y", "x"][-ndim:]
    extra = dict(how)
    if free and how["dynamo"]:
        extra["dynamic_shapes"] = (
            {0: torch.export.Dim.AUTO, **{i + 2: torch.export.Dim.AUTO for i in range(ndim)}},
        )
    elif free:
        extra["dynamic_axes"] = {"image": {0: "n", **{i + 2: n for i, n in enumerate(names)}}}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if how["dynamo"]:
            extra["external_data"] = False
        torch.onnx.export(module, (x,), path, input_names=["image"], output_names=["maps"], **extra)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    said = {"x": x.numpy()}
    answer = lambda image: session.run(None, {session.get_inputs()[0].name: image})[0]  # noqa: E731
    said["y"] = answer(said["x"])
    if free:
        x2 = torch.rand(2, channels, *other).numpy()
        with contextlib.suppress(Exception):  # what was fixed by the exporter
            said["y2"] = answer(x2)
            said["x2"] = x2
    np.savez(path.with_suffix(".npz"), **said)


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    failed = {}
    for kind in (monai, smp, torchvision):
        for name, make, channels, ndim in kind():
            if words and not any(word in name for word in words):
                continue
            try:
                module = make()
                random_numbers(module, channels, ndim)
            except Exception:
                failed[name] = traceback.format_exc(limit=1)
                continue
            for way, how, free in WAYS:
                if words and any(word.startswith("@") for word in words) and f"@{way}" not in words:
                    continue
                path = folder / f"{name}-{way}.onnx"
                if path.with_suffix(".npz").exists():
                    continue
                try:
                    export(module, path, channels, ndim, how, free)
                except Exception as error:
                    failed[path.stem] = f"{type(error).__name__}: {str(error)[:300]}"
                    path.unlink(missing_ok=True)
    (folder / "failed.json").write_text(json.dumps(failed, indent=1))
    print(len(failed), "failed")


if __name__ == "__main__":
    main()
