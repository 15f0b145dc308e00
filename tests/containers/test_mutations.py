"""Damaged files open with what the original reader reads, or not at all."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from napari_segnet.containers import open_tree
from napari_segnet.containers._types import TensorRef
from napari_segnet.errors import WeightsError

MUTATIONS = 250
"""For each kind of file; seeds up to 3,000 were tried when this was written."""

TENSORS = {
    "conv.weight": torch.arange(36, dtype=torch.float32).reshape(4, 1, 3, 3) / 7,
    "conv.bias": torch.linspace(-1, 1, 4),
    "steps": torch.tensor([3, 70_000]),
}


def zipped(**options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(TENSORS, file, **options)
    return file.getvalue()


def unchecked() -> bytes:
    torch.serialization.set_crc32_options(False)
    try:
        return zipped()
    finally:
        torch.serialization.set_crc32_options(True)


def deflated() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipped())) as old, zipfile.ZipFile(file, "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return file.getvalue()


def by_torch(data: bytes) -> Mapping[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), weights_only=True)


def as_written(_data: bytes) -> Mapping[str, torch.Tensor]:
    """What a file whose parts have checksums may hold, whatever was changed in it."""
    return TENSORS


KINDS: dict[str, tuple[bytes, Callable[[bytes], Mapping[str, torch.Tensor]]]] = {
    "zip": (zipped(), as_written),
    "deflated zip": (deflated(), as_written),
    "zip without checksums": (unchecked(), by_torch),
    "legacy": (zipped(_use_new_zipfile_serialization=False), by_torch),
    "safetensors": (safetensors.torch.save(TENSORS, {"format": "pt"}), safetensors.torch.load),
}


def mutated(data: bytes, dice: random.Random) -> bytes:
    """One to three bytes changed, or a run of bytes moved elsewhere."""
    new = bytearray(data)
    if dice.random() < 0.1:
        at, to, count = dice.randrange(len(new)), dice.randrange(len(new)), dice.randrange(1, 64)
        new[to : to + count] = new[at : at + count]
        return bytes(new[: len(data)])
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(len(new))
        new[at] = new[at] ^ (1 << dice.randrange(8)) if dice.random() < 0.6 else dice.randrange(256)
    return bytes(new)


def opened(path: Path) -> dict[str, torch.Tensor] | None:
    """Return all tensors by name; None if the file is refused in words."""
    try:
        root = open_tree(path).root
        if not isinstance(root, dict):
            return None
        return {str(k): v.load() for k, v in root.items() if isinstance(v, TensorRef)}
    except WeightsError as error:
        assert len(str(error)) > 30
        return None


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_has_the_values_of_its_own_reader_or_none(kind: str, tmp_path: Path) -> None:
    data, read = KINDS[kind]
    path = tmp_path / "weights.pth"
    came = 0
    for seed in range(MUTATIONS):
        damaged = mutated(data, random.Random(seed))
        path.write_bytes(damaged)
        ours = opened(path)
        if not ours:
            continue
        came += 1
        try:
            theirs = read(damaged)
        except Exception:
            continue  # without checksums nobody can tell what it should hold
        for name, tensor in ours.items():
            # as bits, so that NaN equals itself
            assert bits(tensor) == bits(theirs[name]), (seed, name)
    assert came, "every file was refused: nothing was compared"


def bits(tensor: torch.Tensor) -> tuple[str, list[int]]:
    return str(tensor.dtype), tensor.contiguous().reshape(-1).view(torch.uint8).tolist()
