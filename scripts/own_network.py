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
