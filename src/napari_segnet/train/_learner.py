"""A network that learns: module, optimiser and running average on one device."""

from __future__ import annotations

import copy
import math
import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.crops import Crop
from napari_segnet.errors import (
    BrokenWeightsError,
    MemoryExhaustedError,
    OutputError,
    SettingsError,
)
from napari_segnet.families import TrainableFamily
from napari_segnet.network import is_out_of_memory, load
from napari_segnet.network.fast import watch_cancel
from napari_segnet.progress import check_cancelled
from napari_segnet.train.settings import TrainSettings

__all__ = ["Figures", "Learner"]

MOST_NORM = 5.0
"""Gradients are scaled down to this norm: one odd batch should not throw the weights off."""

Figures = tuple[tuple[str, float], ...]
"""Names and values, as ``Progress`` has them."""


class Learner:
    """A module, its optimiser and its running average on one device."""

    def __init__(
        self,
        family: TrainableFamily,
        network: Checkpoint,
        settings: TrainSettings,
        device: str,
    ) -> None:
        self._family, self._network, self._settings = family, network, settings
        self._device = torch.device(device)
        self._dtype = _autocast_dtype(settings.precision, self._device)
        module = _start(family, network)
        if self._device.type == "cpu" and network.ndim == 2:
            # Twice as fast on a CPU (oneDNN's own layout).
            module = module.to(memory_format=torch.channels_last)
        self._module = module.to(self._device).train()
        self._average = copy.deepcopy(self._module).eval().requires_grad_(False)
        watch_cancel(self._module)
        self._optimiser = torch.optim.AdamW(
            self._module.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._steps = 0

    def step(self, batch: list[Crop], fraction: float) -> float:
        """Learn from one batch; ``fraction`` of the training is done.

        Raises
        ------
        SettingsError
            If the loss is no longer a number.
        MemoryExhaustedError
            If the batch does not fit.
        """
        try:
            return self._step(batch, fraction)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        size = " x ".join(str(n) for n in batch[0].pixels.shape[1:])
        raise MemoryExhaustedError(
            f"There is not enough memory on {self._device} to learn from {len(batch)} crops of "
            f"{size} pixels at once. Choose a smaller batch_size or crop_px."
        )

    def _step(self, batch: list[Crop], fraction: float) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = self._settings.learning_rate * _schedule(fraction)
        self._module.train()
        _, loss = self._answered(self._module, batch)
        if not torch.isfinite(loss):
            raise SettingsError(
                "The training loss is no longer a number: the learning rate "
                f"{self._settings.learning_rate} is too high for this network. Set a smaller one, "
                "for example a tenth."
            )
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self._module.parameters(), MOST_NORM)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._steps += 1
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def score(self, batches: list[list[Crop]]) -> Figures:
        """Score the running average on held-out crops; empty where there are none."""
        if not batches:
            return ()
        losses, both, either = [], 0.0, 0.0
        for batch in batches:
            check_cancelled()
            answer, loss = self._answered(self._average, batch)
            losses.append(float(loss))
            found, truth = self._foreground(answer, batch)
            both += float((found & truth).sum())
            either += float(found.sum() + truth.sum())
        dice = 2 * both / either if either else 1.0
        return (("val_loss", float(np.mean(losses))), ("val_dice", dice))

    def result(self) -> nn.Module:
        """Return the network that is kept, on the CPU."""
        return self._average.to("cpu").eval()

    def save_state(self, path: Path, epochs: int) -> None:
        """Write all that a resumed run needs, whole or not at all."""
        state = {
            "network": self._network.hparams,
            "outputs": [asdict(output) for output in self._network.outputs],
            "settings": asdict(self._settings),
            "epochs": epochs,
            "steps": self._steps,
            "module": self._module.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        part = path.with_name(f".{path.name}.part")
        try:
            torch.save(state, part)
            os.replace(part, path)
        except (OSError, RuntimeError) as error:
            part.unlink(missing_ok=True)
            raise OutputError(
                f"The state of the training could not be written to {path} ({error}). Free some "
                "space or choose another folder; the last saved state is untouched."
            ) from error

    def restore(self, path: Path) -> int:
        """Go on from a saved state; return how many epochs it has done.

        Raises
        ------
        BrokenWeightsError
            If the file is damaged.
        SettingsError
            If it belongs to another network.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            wanted = (dict(self._network.hparams), [asdict(o) for o in self._network.outputs])
            # States of before 0.1 do not say the outputs.
            if (dict(state["network"]), state.get("outputs", wanted[1])) != wanted:
                raise SettingsError(
                    f"{path} belongs to the training of another network. Remove it, or choose "
                    "another file to write."
                )
            self._module.load_state_dict(state["module"])
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._scaler.load_state_dict(state["scaler"])
            self._steps = int(state["steps"])
            return int(state["epochs"])
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise _damaged(path, error) from error
        except (pickle.UnpicklingError, EOFError) as error:
            raise _damaged(path, error) from error

    def _answered(self, module: nn.Module, batch: list[Crop]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return raw answers ``(n, channel, [z,] y, x)`` float32, and their loss."""
        pixels, targets, trusted = (
            torch.from_numpy(np.stack(parts)).to(self._device)
            for parts in zip(*((c.pixels, c.targets, c.trusted) for c in batch), strict=True)
        )
        if self._device.type == "cpu" and pixels.ndim == 4:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        enabled = self._dtype is not None
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=enabled):
            answer = self._family.maps(module, pixels)
        answer = answer.float()
        return answer, self._family.loss(answer, targets, trusted, self._network)

    def _foreground(
        self, answer: torch.Tensor, batch: list[Crop]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which trusted pixels are foreground, as found and in truth."""
        first, output = self._objects()
        channels = slice(first, first + output.channels)
        targets = torch.from_numpy(np.stack([c.targets for c in batch]))[:, channels]
        trusted = torch.from_numpy(np.stack([c.trusted for c in batch])) > 0
        answer = answer[:, channels].cpu()
        if output.activation != "sigmoid" and output.channels > 1:
            found, truth = answer.argmax(1, keepdim=True) > 0, targets.argmax(1, keepdim=True) > 0
        else:
            level = 0.0 if output.activation == "sigmoid" else 0.5
            found = (answer > level).any(1, keepdim=True)
            truth = (targets > 0.5).any(1, keepdim=True)
        return found & trusted, truth & trusted

    def _objects(self) -> tuple[int, Any]:
        """Return the output that tells objects from background, and its first channel."""
        outputs = self._network.outputs
        for role in ("foreground", "class", "distance", "boundary"):
            first = 0
            for output in outputs:
                if output.role == role:
                    return first, output
                first += output.channels
        return 0, outputs[0]

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the running average towards the module; faster while it is young."""
        keep = min(self._settings.average, self._steps / (self._steps + 10))
        mine = self._average.state_dict()
        for key, value in self._module.state_dict().items():
            if value.is_floating_point():
                mine[key].lerp_(value, 1 - keep)
            else:
                mine[key].copy_(value)


def _start(family: TrainableFamily, network: Checkpoint) -> nn.Module:
    """Return the network's weights if its file exists, else fresh ones."""
    if network.path.exists():
        return copy.deepcopy(load(network, device="cpu").module).requires_grad_(True)
    module = family.build(network)
    for layer in module.modules():
        # He et al. 2015 (doi 10.1109/ICCV.2015.123): right for ReLU, in any width.
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def _schedule(fraction: float) -> float:
    """Warm up over 5 %, then fall to zero as a half cosine."""
    if fraction < 0.05:
        return (fraction + 0.001) / 0.051
    return 0.5 * (1 + math.cos(math.pi * (fraction - 0.05) / 0.95))


def _autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if precision != "fp32" and device.type == "cpu":
        raise SettingsError(
            f"precision {precision!r} needs a GPU; on a CPU it is slower than fp32. Leave "
            "precision at auto."
        )
    return {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def _damaged(path: Path, error: Exception) -> BrokenWeightsError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BrokenWeightsError(
        f"The saved state {path} cannot be read ({reason}). Remove it and train again from the "
        "beginning."
    )
