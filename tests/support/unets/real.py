"""Real weights files with the answers that their own code gave, where a folder holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

__all__ = ["Real", "real_ones"]

ENDINGS = ("pth", "pt")


@dataclass(frozen=True, kw_only=True)
class Real:
    """A file, the input of its reference and the answer before a final activation inside."""

    name: str
    path: Path | None
    told: str
    batch: torch.Tensor
    raw: torch.Tensor


def real_ones(folder: Path) -> Iterator[Real]:
    """Yield the PyTorch networks of a folder; ``path`` is None where the weights are absent.

    References may lie beside the weights or in ``wild`` of the folder of real data.
    """
    described = sorted(folder.glob("*.json"))
    for path in described:
        said = json.loads(path.read_text())
        arrays = path.with_suffix(".npz")
        if said.get("framework") != "pytorch" or not arrays.is_file():
            continue
        with np.load(arrays) as held:
            answer = held["z_b"] if "z_b" in held else held["y_b"]
            batch = torch.from_numpy(np.ascontiguousarray(held["x_b"], dtype=np.float32))
            raw = torch.from_numpy(np.ascontiguousarray(answer, dtype=np.float32))
        found = (folder / f"{said['name']}.{ending}" for ending in ENDINGS)
        words = f"{said.get('norm')}, {said.get('upsampling')}, {said.get('skip_concat')}"
        yield Real(
            name=said["name"], path=next((p for p in found if p.is_file()), None), told=words,
            batch=batch, raw=raw,
        )  # fmt: skip
