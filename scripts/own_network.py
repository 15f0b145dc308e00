"""A U-Net as users have one: saved by torch.save in a training program, and nothing else known.

It is the built-in network `nuclei` under the names that milesial/Pytorch-UNet gives its
tensors (the layers are the same), with its foreground as the only output and without its
card. So the window has to find out what it is, and its labels are worth a picture.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file

from napari_segnet.builtin import weights_path


def write_own_network(path: Path) -> Path:
    """Write the file, and return its path."""
    tensors = load_file(weights_path("nuclei"))
    renamed = {_milesial(name): tensor for name, tensor in tensors.items()}
    for name in ("outc.conv.weight", "outc.conv.bias"):
        renamed[name] = renamed[name][:1].clone()
    torch.save(renamed, path)
    return path


def write_bare_network(path: Path) -> Path:
    """Write the same network as someone wrote it by hand, without norms: nothing says its joins."""
    own = path.with_name("unfolded.pth")
    tensors = torch.load(write_own_network(own), weights_only=True)
    own.unlink()
    found: dict[str, torch.Tensor] = {}
    for name in [name for name in tensors if name.endswith(".weight") and tensors[name].ndim > 1]:
        layer = name.removesuffix(".weight")
        weight, bias = tensors[name], tensors.get(f"{layer}.bias")
        head, _, number = layer.rpartition(".")
        if "double_conv" in head:
            weight, bias = _folded(weight, tensors, f"{head}.{int(number) + 1}")
        found[f"{_by_hand(layer)}.weight"], found[f"{_by_hand(layer)}.bias"] = weight, bias
    torch.save(found, path)
    return path


def _folded(
    weight: torch.Tensor, tensors: dict[str, torch.Tensor], norm: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of a convolution with the norm behind it."""
    scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + 1e-5).sqrt()
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return weight * scale.view(-1, 1, 1, 1), bias


def _by_hand(layer: str) -> str:
    """Return a layer's name as people call it: ``enc1.0``, ``up1``, ``dec1.0``, ``last``."""
    part, _, rest = layer.partition(".")
    number = "0" if rest.endswith(".0") else "2"
    if part == "outc":
        return "last"
    if part == "inc":
        return f"enc1.{number}"
    if part.startswith("down"):
        return f"enc{int(part[4:]) + 1}.{number}"
    return part if rest == "up" else f"dec{part[2:]}.{number}"


def _milesial(name: str) -> str:
    """Return a tensor's name in milesial/Pytorch-UNet."""
    part, number, rest = re.fullmatch(r"(\w+)\.(?:(\d+)\.)?(.*)", name).groups()
    if part == "head":
        return f"outc.conv.{rest}"
    if part == "ups":
        return f"up{int(number) + 1}.up.{rest}"
    if part == "decoder":
        return f"up{int(number) + 1}.conv.double_conv.{rest}"
    if number == "0":
        return f"inc.double_conv.{rest}"
    return f"down{number}.maxpool_conv.1.double_conv.{rest}"
