"""Networks, images and tiles at random: a seed makes one case, the same everywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from support.networks import (
    WRAPPERS,
    Jvanvugt,
    Mateuszbuda,
    Milesial,
    Segnet,
    calibrate,
    pictures,
    save_as,
)
from support.whole import next_size

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, what a user tells of it, and the activation after its own forward."""

    kind: Any
    how: dict[str, Any]
    told: dict[str, Any]
    activation: str
    ndim: int

    def make(self, seed: int) -> nn.Module:
        """Build and calibrate it."""
        module = self.kind(**self.how).eval()
        base = 96 if self.ndim == 2 else 32
        shape = tuple(next_size(module, self.ndim, axis, base) for axis in range(self.ndim))
        return calibrate(module, seed, pictures(2, self.how["channels"], shape))

    def write(self, module: nn.Module, path: Path, rng: Rng) -> Path:
        """Write it as one of its users would."""
        if self.kind is Segnet:
            return _own(module, self.how, path)
        # Two sets of weights are a choice of the user's; a pickled function is no file of theirs.
        left_out = {"ema", *(("whole-module",) if self.kind is Jvanvugt else ())}
        return save_as(module, path, str(rng.choice(sorted(set(WRAPPERS) - left_out))))


def draw(rng: Rng) -> Case:
    """Return a network of one of the four U-Net families."""
    ndim = int(rng.choice([2, 2, 3]))
    deepest = 5 if ndim == 2 else 3
    make = (_milesial, _mateuszbuda, _jvanvugt, _segnet)[int(rng.integers(4))]
    common = {"channels": int(rng.integers(1, 5)), "ndim": ndim}
    kind, how, told, activation = make(rng, common, deepest)
    return Case(kind=kind, how=how, told=told, activation=activation, ndim=ndim)


def draw_image(rng: Rng, case: Case, seed: int) -> npt.NDArray[np.float32]:
    """Return ``(c, [z,] y, x)``: from one pixel to a few tiles, mostly uneven."""
    most = 150 if case.ndim == 2 else 26
    lengths = np.exp(rng.uniform(0, np.log(most), case.ndim)).round().astype(int)
    if rng.integers(3) == 0:
        lengths = np.maximum(lengths, most * 6 // 10)
    if rng.integers(8) == 0:
        lengths[:] = 1
    shape = tuple(int(n) for n in lengths)
    return pictures(1, case.how["channels"], shape, seed)[0].numpy()


def draw_tile(rng: Rng, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a setting ``tile_px``: none, one edge, or one per axis."""
    least = [max(1, n // (5 if len(shape) == 2 else 3)) for n in shape]
    tile = tuple(int(rng.integers(low, n + 8)) for low, n in zip(least, shape, strict=True))
    return ((), (max(tile),), tile)[int(rng.integers(3))]


def _milesial(rng, common, deepest):
    classes = int(rng.integers(1, 5))
    order = str(rng.choice(["cnr", "crn", "cr"]))
    how = {
        **common,
        "classes": classes,
        "width": 2 * int(rng.integers(1, 4)),
        "depth": int(rng.integers(1, deepest + 1)),
        "bilinear": _coin(rng),
        "bias": _coin(rng) or order == "cr",
        "order": order,
        "kernel": int(rng.choice([1, 3, 3, 3, 5, 7])),
        "old": _coin(rng),
    }
    return Milesial, how, {}, "sigmoid" if classes == 1 else "softmax"


def _mateuszbuda(rng, common, deepest):
    how = {**common, "classes": int(rng.integers(1, 5)), "width": int(rng.integers(2, 5))}
    return Mateuszbuda, how, {}, "none"


def _jvanvugt(rng, common, deepest):
    classes, depth = int(rng.integers(1, 5)), int(rng.integers(2, deepest + 1))
    how = {
        **common,
        "classes": classes,
        "depth": depth,
        "width": int(rng.integers(2, 5)),
        "padding": _coin(rng),
        "batch_norm": _coin(rng),
        "up_mode": str(rng.choice(["upconv", "upsample"])),
        "pooling": str(rng.choice(["max", "max", "average"])),
        "fork": _coin(rng),
        "kernel": int(rng.choice([3, 3, 3, 5])) if depth < 4 else 3,
    }
    told = {"padding": True} if how["padding"] else {}
    if how["pooling"] == "average":
        told["pooling"] = "average"
    return Jvanvugt, how, told, "sigmoid" if classes == 1 else "softmax"


def _segnet(rng, common, deepest):
    steps = int(rng.integers(1, deepest + 1))
    kinds = [1, 2, 2, 3] if steps < 4 else [1, 2, 2]
    strides = [tuple(int(n) for n in rng.choice(kinds, common["ndim"])) for _ in range(steps)]
    widths = tuple(int(n) for n in rng.integers(2, 7, steps + 1))
    how = {**common, "widths": widths, "strides": tuple(strides), "outputs": 2}
    return Segnet, how, {}, "sigmoid"


def _coin(rng: Rng) -> bool:
    return bool(rng.integers(2))


def _own(module: nn.Module, how: dict[str, Any], path: Path) -> Path:
    from safetensors.torch import save_file

    one = {"channels": 1, "activation": "sigmoid"}
    text = {
        "format": 1,
        "family": "segnet-unet",
        "hparams": {key: value for key, value in how.items() if key != "outputs"},
        "outputs": [{"role": "foreground", **one}, {"role": "boundary", **one}],
        "prepare": [{"name": "normalize", "options": {"how": "none"}}],
    }
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    save_file(state, path, metadata={"napari_segnet": json.dumps(text)})
    return path
