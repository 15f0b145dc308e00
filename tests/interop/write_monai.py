"""Save transformers of MONAI, with an image and its answer: run by ``test_monai_interop.py``.

python write_monai.py FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


def networks() -> Iterator[tuple[str, nn.Module, tuple[int, ...], dict[str, Any]]]:
    """Yield a name, a network, the shape of an image, and what no tensor shows."""
    from monai.networks import nets

    swin, unetr = nets.SwinUNETR, nets.UNETR
    small = {"feature_size": 4, "hidden_size": 48, "mlp_dim": 64}
    plane = {"spatial_dims": 2}
    yield "swin", swin(1, 3, feature_size=12), (1, 1, 64, 32, 96), {"downsample": "merging"}
    yield (
        "swin-v2",
        swin(2, 3, feature_size=12, downsample="mergingv2", use_v2=True, norm_name="batch"),
        (1, 2, 64, 64, 64),
        {"downsample": "mergingv2"},
    )
    how = {"depths": (2, 3, 2, 1), "normalize": False, "patch_norm": True, "qkv_bias": False}
    yield (
        "swin-flat",
        swin(2, 3, feature_size=24, **plane, **how),
        (2, 2, 256, 320),
        {"normalize_stages": False},
    )
    how = {"window_size": 4, "num_heads": (2, 4, 4, 8)}
    yield "swin-windows", swin(2, 3, feature_size=24, **plane, **how), (2, 2, 96, 160), {}
    size = (32, 48, 64)
    yield "unetr", unetr(2, 3, size, **small), (1, 2, *size), {"img_size": "32,48,64"}
    how = {"num_heads": 4, "proj_type": "perceptron", "norm_name": "batch", "conv_block": False}
    flat = unetr(1, 3, (96, 96), **small, **plane, **how)
    yield "unetr-flat", flat, (2, 1, 96, 96), {"num_heads": 4}
    how = {"num_heads": 4, "res_block": False, "qkv_bias": True}
    plain = unetr(1, 3, (64, 32), **small, **plane, **how)
    yield "unetr-plain", plain, (2, 1, 64, 32), {"num_heads": 4}


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    for name, module, shape, told in networks():
        module.eval()
        for key, value in module.named_parameters():
            if value.ndim == 1 or key.endswith("table"):
                value.data += 0.3 * torch.randn(value.shape)
        image = torch.randn(shape)
        with torch.no_grad():
            answer = module(image)
        state = {f"module.{key}": value for key, value in module.state_dict().items()}
        torch.save({"state_dict": state, "epoch": 9}, folder / f"{name}.pth")
        np.savez(
            folder / f"{name}.npz",
            image=image.numpy(),
            answer=answer.numpy(),
            told=json.dumps(told),
        )


if __name__ == "__main__":
    main()
