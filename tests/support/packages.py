"""Packages for tests: descriptions beside small networks in TorchScript."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Small(nn.Module):
    """Convolutions on two levels; its maps have no activation."""

    def __init__(self, channels: int = 1, maps: int = 1, ndim: int = 2) -> None:
        super().__init__()
        conv, pool = (nn.Conv2d, nn.MaxPool2d) if ndim == 2 else (nn.Conv3d, nn.MaxPool3d)
        self.first = conv(channels, 4, 3, padding=1)
        self.pool = pool(2)
        self.deep = conv(4, 4, 3, padding=1)
        self.up = nn.Upsample(scale_factor=2)
        self.last = conv(8, maps, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        deep = self.up(torch.relu(self.deep(self.pool(x))))
        return self.last(torch.cat([x, deep], dim=1))


def script(path: Path, channels: int = 1, maps: int = 1, ndim: int = 2) -> nn.Module:
    """Write a network as TorchScript and return it."""
    torch.manual_seed(0)
    network = Small(channels, maps, ndim).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer torch calls TorchScript deprecated
        torch.jit.save(torch.jit.script(network), path)
    return network


def rdf(
    channels: int = 1,
    before: list[dict[str, Any]] | None = None,
    behind: list[dict[str, Any]] | None = None,
    names: list[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a description in version 0.5."""
    space = [{"type": "space", "id": one, "size": {"min": 16, "step": 4}} for one in "yx"]
    follow = [
        {"type": "space", "id": one, "size": {"tensor_id": "raw", "axis_id": one}, "halo": 8}
        for one in "yx"
    ]
    first = [{"type": "batch"}, {"type": "channel", "channel_names": list("abcdef"[:channels])}]
    last = [{"type": "batch"}, {"type": "channel", "channel_names": names or ["probability"]}]
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "small",
        "license": "MIT",
        "authors": [{"name": "A. Author"}],
        "cite": [{"text": "A paper", "doi": "10.1/2"}],
        "inputs": [{"id": "raw", "axes": first + space, "preprocessing": before or []}],
        "outputs": [{"id": "answer", "axes": last + follow, "postprocessing": behind or []}],
        "weights": {"torchscript": {"source": "weights.pt"}},
        **more,
    }


def package(
    folder: Path,
    description: Mapping[str, Any] | str,
    name: str = "rdf.yaml",
    channels: int = 1,
    maps: int = 1,
    ndim: int = 2,
) -> Path:
    """Write a folder with a description (JSON is YAML) and weights.pt."""
    script(folder / "weights.pt", channels, maps, ndim)
    text = description if isinstance(description, str) else json.dumps(description)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def zipped(folder: Path, top: str = "") -> Path:
    """Put a folder into a zip beside it."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path
