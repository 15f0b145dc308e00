"""How weights move: which of them stay, the optimiser, its learning rate, and the precision."""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_segnet.errors import SettingsError
from napari_segnet.train._begin import Start
from napari_segnet.train.settings import TrainSettings

__all__ = ["autocast_dtype", "frozen", "highest_rate", "optimiser", "schedule"]

SMALL_BATCH = 4
"""Crops from which on the statistics of a batch are better than those of the old data."""


FROM_NOTHING, LEARNED = 3e-3, 1e-3
"""Highest learning rates. A network that has learned before learns little in some minutes with less
(the built-in one, 800 steps on four histology images: AP50 0.65 with 0.001 or 0.002, 0.62 with
0.0003), and three times as much may undo what it knew (docs/training.md: Cellpose)."""


def highest_rate(begun: Start, settings: TrainSettings) -> float:
    """Return the highest learning rate: the user's, or what suits the network."""
    return settings.learning_rate or (LEARNED if begun.learned else FROM_NOTHING)


def frozen(begun: Start, settings: TrainSettings, module: nn.Module) -> list[nn.Module]:
    """Freeze what the settings say; return the parts whose statistics stay as they are."""
    stages = begun.family.stages(module)
    if settings.freeze_stages > len(stages):
        raise SettingsError(
            f"freeze_stages is {settings.freeze_stages}, but the encoder of this network has "
            f"{len(stages)} levels. Set {len(stages)} or less."
        )
    if settings.freeze_stages and not begun.learned:
        raise SettingsError(
            "freeze_stages keeps what a network has learned, but this one is untrained. Set it "
            "to 0, or start with a trained network."
        )
    still = list(stages[: settings.freeze_stages])
    for stage in still:
        stage.requires_grad_(False)
    norms = settings.freeze_norm
    if norms is None:
        norms = begun.learned and settings.batch_size < SMALL_BATCH
    if norms:
        kinds = nn.BatchNorm2d | nn.BatchNorm3d
        still += [part for part in module.modules() if isinstance(part, kinds)]
    return still


def optimiser(module: nn.Module, settings: TrainSettings, rate: float) -> torch.optim.Optimizer:
    """Return what moves the weights that are not frozen, at a learning rate to begin with."""
    weights = [p for p in module.parameters() if p.requires_grad]
    decay = settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
    inert = settings.momentum > 0
    return torch.optim.SGD(
        weights, lr=rate, weight_decay=decay, momentum=settings.momentum, nesterov=inert
    )


def schedule(fraction: float, settings: TrainSettings) -> float:
    """Warm up, then fall to zero as a half cosine."""
    warm = settings.warm_up
    if fraction < warm:
        return (fraction + 0.001) / (warm + 0.001)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warm) / (1 - warm)))


def autocast_dtype(
    precision: str, device: torch.device, *, convolutions: bool = False, dilated: bool = False
) -> torch.dtype | None:
    """Return what a step is computed in where that is less than float32.

    ``convolutions``: whether the network is of 2D convolutions only. Those a CPU that has
    instructions for bfloat16 does about 1.7 times as fast with them (docs/training.md); weights,
    sums and the loss stay in float32. ``dilated``: whether any of them is dilated. Of those, the
    gradient in bfloat16 writes behind the end of its memory in oneDNN (seen with PyTorch 2.15 and
    numbers of channels that are no multiple of 16), and the program ends.

    Raises
    ------
    SettingsError
        If a precision is asked for that the CPU does not have, or not for dilated convolutions.
    """
    native = device.type == "cpu" and _computes_in_bf16() and not dilated
    if precision == "auto":
        if device.type == "cpu":
            return torch.bfloat16 if native and convolutions else None
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and precision != "fp32" and not (native and precision == "bf16"):
        why = "fails for dilated convolutions" if dilated else "is slower than fp32"
        raise SettingsError(
            f"precision {precision!r} needs a GPU; on this CPU it {why}. Leave precision at auto."
        )
    return {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def _computes_in_bf16() -> bool:
    """Tell if this CPU multiplies in bfloat16; older versions of torch cannot say."""
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
