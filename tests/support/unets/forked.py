"""Forks of the families that are known by name: their names and shapes, another forward.

The modules are those of ``support.forks``; here they get the statistics of real pictures, a file
and the truth in the words of their family. What has no word there has the value ``other``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from support.forks import FORKS
from support.networks import calibrate
from support.unets._pictures import batch_of, sources
from torch import nn

__all__ = ["FORKED", "Forked", "fork"]

OTHER = {
    "softsign": "nonlinearity", "half leaky": "nonlinearity", "one dilated": "dilation",
    "circular": "padding_mode", "power pooling": "pooling", "odd layer": "activation",
    "bicubic": "upsampling",
}  # fmt: skip
"""Name of a fork that no word of its family tells -> the fact that is otherwise."""


@dataclass(frozen=True, kw_only=True)
class Forked:
    """A fork in a file, with its truth."""

    family: str
    name: str
    path: Path
    facts: Mapping[str, str]
    normed: bool
    batch: torch.Tensor
    raw: torch.Tensor
    apart: float


def _chosen() -> tuple[tuple[str, int], ...]:
    """Return every kind of change once, from the families in turns."""
    seen: set[str] = set()
    found = []
    places = [(family, i) for family, forks in FORKS.items() for i in range(len(forks))]
    turns = sorted(places, key=lambda place: (place[1], place[0]))
    for number, (family, i) in enumerate(turns):
        name = FORKS[family][i].name
        later = [p for p in turns[number + 1 :] if FORKS[p[0]][p[1]].name == name]
        # The first family has it if it is the last chance, or if it is its turn.
        if name not in seen and (not later or i % len(FORKS) == list(FORKS).index(family)):
            seen.add(name)
            found.append((family, i))
    return tuple(found)


FORKED = _chosen()


def fork(number: int, data: Path | None, path: Path) -> Forked:
    """Make the fork, write its state dict and return it with its truth."""
    family, place = FORKED[number]
    one = FORKS[family][place]
    torch.manual_seed(number)
    rng = np.random.default_rng(number)
    module = one.make()
    channels = next(m for m in module.modules() if isinstance(m, nn.Conv2d)).in_channels
    pictures = sources(("nuclei", "photographs")[number % 2], data)
    # What the fork changes was changed when it was trained.
    one.change(module)
    module = calibrate(module, 5, batch_of(rng, pictures, "÷255", channels, one.size, 8)).eval()
    torch.save(module.state_dict(), path)
    batch = batch_of(rng, pictures, "÷255", channels, one.size, 1)
    raw, exact = _raw(module, batch), _raw(module.double(), batch.double())
    facts = {name: str(value) for name, value in (one.told or {}).items()}
    if one.name in OTHER:
        facts[OTHER[one.name]] = "other"
    if family == "jvanvugt-unet":
        facts["padding"] = "True"  # all of these pad, which no name shows
    return Forked(
        family=family, name=one.name, path=path, facts=facts,
        normed=any(isinstance(m, nn.BatchNorm2d) for m in module.modules()), batch=batch, raw=raw,
        apart=float((raw - exact).abs().max()),
    )  # fmt: skip


def _raw(module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Return the answer before what comes at the very end."""
    end, raw = module._modules.pop("end", None), getattr(module, "raw", None)
    if raw is not None:
        module.raw = True
    try:
        with torch.no_grad():
            return module(batch)
    finally:
        if end is not None:
            module.end = end
        if raw is not None:
            module.raw = raw
