"""A network that learns: module, optimiser and running average on one device."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_segnet.atomic import flush, put_in_place, why
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.crops import Crop
from napari_segnet.engines.torch import is_out_of_memory
from napari_segnet.engines.torch.fast import watch_cancel
from napari_segnet.errors import MemoryExhaustedError, OutputError, SettingsError
from napari_segnet.families import TrainableFamily, TrainableInstanceFamily
from napari_segnet.progress import check_cancelled
from napari_segnet.segmentation import Instances
from napari_segnet.train._begin import Start
from napari_segnet.train._optimise import autocast_dtype, frozen, optimiser, schedule
from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import damaged_state

__all__ = ["Best", "Figures", "Learner", "decisive"]

MOST_NORM = 5.0
"""Gradients are scaled down to this norm: one odd batch should not throw the weights off."""

SURE = 0.95
"""A probability from here on, or as near to 0, is an answer to hold on to."""

FIXED = ("optimizer", "freeze_stages")
"""Settings that stay while a training goes on; all others may change at a stop."""

Figures = tuple[tuple[str, float], ...]
"""Names and values, as ``Progress`` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The round in which the held-out part was answered best, and the network of then."""

    epoch: int = 0
    value: float = -math.inf
    state: Mapping[str, Any] = field(default_factory=dict)


class Learner:
    """A module, its optimiser and its running average on one device.

    Parameters
    ----------
    begun : Start
        The network before its first step.
    settings : TrainSettings
        How to teach.
    device : str
        Where.
    """

    def __init__(self, begun: Start, settings: TrainSettings, device: str) -> None:
        self._family, self._network, self._settings = begun.family, begun.checkpoint, settings
        self._device = torch.device(device)
        self._dtype = autocast_dtype(settings.precision, self._device)
        module = begun.module
        maps = self._network.task == "semantic"
        if self._device.type == "cpu" and self._network.ndim == 2 and maps:
            # Twice as fast on a CPU (oneDNN's own layout).
            module = module.to(memory_format=torch.channels_last)
        self._module = module.to(self._device).train()
        self._still = frozen(begun, settings, self._module)
        self._average = copy.deepcopy(self._module).eval().requires_grad_(False)
        self._old = copy.deepcopy(self._average) if settings.replay and begun.learned else None
        watch_cancel(self._module)
        self._optimiser = optimiser(self._module, settings)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._parent = _parent(begun)
        self._steps = 0
        self._best = Best()

    @property
    def best(self) -> Best:
        """The best round so far, by the held-out part."""
        return self._best

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
            group["lr"] = self._settings.learning_rate * schedule(fraction, self._settings)
        self._module.train()
        for part in self._still:
            part.eval()
        _, loss = self._answered(self._module, batch, old=self._old)
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

    def remember(self, epoch: int, scores: Figures) -> None:
        """Keep the running average if the held-out part was never answered better."""
        value = decisive(scores)
        if value is not None and value > self._best.value:
            state = {k: v.detach().cpu().clone() for k, v in self._average.state_dict().items()}
            self._best = Best(epoch=epoch, value=value, state=state)

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
            if self._network.task == "instance":
                continue
            found, truth = self._foreground(answer, batch)
            both += float((found & truth).sum())
            either += float(found.sum() + truth.sum())
        figures: Figures = (("val_loss", float(np.mean(losses))),)
        if self._network.task == "instance":
            return figures
        return (*figures, ("val_dice", 2 * both / either if either else 1.0))

    def result(self) -> nn.Module:
        """Return the network that is kept, on the CPU: the last, or the best where that counts."""
        module = self._average.to("cpu").eval()
        if self._settings.patience and self._best.state:
            module.load_state_dict(self._best.state)
        return module

    @torch.no_grad()
    def detect(self, crop: Crop) -> Instances:
        """Return the objects that the running average finds in a crop."""
        pixels = torch.from_numpy(crop.pixels)[None].to(self._device)
        (found,) = cast("TrainableInstanceFamily", self._family).detections(self._average, pixels)
        return found

    @torch.no_grad()
    def look(self, crop: Crop) -> npt.NDArray[np.float32]:
        """Return what the running average says of a crop, ``(channel, [z,] y, x)``, activated."""
        pixels = torch.from_numpy(crop.pixels)[None].to(self._device)
        answer = self._maps.maps(self._average, pixels)[0].float().cpu()
        parts, first = [], 0
        for output in self._network.outputs:
            part = answer[first : first + output.channels]
            first += output.channels
            if output.activation != "none":
                part = part.sigmoid() if output.activation == "sigmoid" else part.softmax(0)
            parts.append(part)
        found: npt.NDArray[np.float32] = torch.cat(parts).numpy()
        return found

    def save_state(self, path: Path, epochs: int) -> None:
        """Write all that a resumed run needs, whole or not at all."""
        state = {
            "network": _facts(self._network),
            "outputs": [asdict(output) for output in self._network.outputs],
            "parent": self._parent,
            "settings": asdict(self._settings),
            "epochs": epochs,
            "steps": self._steps,
            "module": self._module.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "best": {
                "epoch": self._best.epoch,
                "value": self._best.value,
                "state": self._best.state,
            },
        }
        part = path.with_name(f".{path.name}.part")
        try:
            torch.save(state, part)
            flush(part)
            put_in_place(part, path)
        except (OSError, RuntimeError) as error:
            part.unlink(missing_ok=True)
            # torch reports a write that was cut short as a RuntimeError without a reason.
            reason = why(error if isinstance(error, OSError) else OSError())
            raise OutputError(
                f"The state of the training could not be written to {path}: {reason}. The last "
                "saved state is untouched."
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
            wanted = (_facts(self._network), [asdict(o) for o in self._network.outputs])
            # States of before 0.1 say neither the outputs nor what they began with.
            parent = state.get("parent", self._parent).get("sha256")
            if (dict(state["network"]), state.get("outputs", wanted[1])) != wanted or (
                parent != self._parent.get("sha256")
            ):
                raise SettingsError(
                    f"{path} belongs to the training of another network. Remove it, or choose "
                    "another file to write."
                )
            self._refuse_changed(path, state.get("settings", {}))
            self._module.load_state_dict(state["module"])
            self._average.load_state_dict(state["average"])
            self._take_up(state["optimiser"])
            self._scaler.load_state_dict(state["scaler"])
            self._steps = int(state["steps"])
            if "best" in state:
                self._best = Best(**state["best"])
            return int(state["epochs"])
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise damaged_state(path, error) from error
        except (pickle.UnpicklingError, EOFError) as error:
            raise damaged_state(path, error) from error

    def _refuse_changed(self, path: Path, before: Mapping[str, Any]) -> None:
        """Refuse another optimiser, whose memory of the steps before is another one."""
        for name in FIXED:
            now = getattr(self._settings, name)
            if before.get(name, now) != now:
                raise SettingsError(
                    f"{path} belongs to a training with {name} {before[name]}, which cannot go on "
                    f"with {now}. Set {name} to {before[name]}, or remove that file to begin anew."
                )

    def _take_up(self, before: dict[str, Any]) -> None:
        """Go on with the memory of an optimiser, and with what is wished now."""
        wished = [dict(group) for group in self._optimiser.param_groups]
        self._optimiser.load_state_dict(before)
        for group, wish in zip(self._optimiser.param_groups, wished, strict=True):
            group.update({k: v for k, v in wish.items() if k != "params"})

    def _answered(
        self, module: nn.Module, batch: list[Crop], old: nn.Module | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return raw answers ``(n, channel, [z,] y, x)`` float32, and their loss."""
        pixels, targets, trusted = (
            torch.from_numpy(np.stack(parts)).to(self._device)
            for parts in zip(*((c.pixels, c.targets, c.trusted) for c in batch), strict=True)
        )
        if self._device.type == "cpu" and pixels.ndim == 4:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        enabled = self._dtype is not None
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=enabled):
            if self._network.task == "instance":
                return targets, self._detection_loss(module, pixels, batch)
            answer = self._maps.maps(module, pixels)
        answer = answer.float()
        loss = self._loss(answer, targets, trusted)
        if old is not None:
            loss = loss + self._settings.replay * self._replayed(old, pixels, answer, trusted)
        return answer, loss

    @property
    def _maps(self) -> TrainableFamily:
        return cast("TrainableFamily", self._family)

    def _detection_loss(
        self, module: nn.Module, pixels: torch.Tensor, batch: list[Crop]
    ) -> torch.Tensor:
        # Of the step, so that a run that was resumed draws the same boxes.
        generator = torch.Generator().manual_seed(self._settings.seed * 1_000_003 + self._steps)
        return cast("TrainableInstanceFamily", self._family).detection_loss(
            module,
            pixels,
            [crop.labels for crop in batch],
            [crop.trusted[0] for crop in batch],
            [crop.kinds for crop in batch],
            generator,
        )

    def _loss(
        self, answer: torch.Tensor, targets: torch.Tensor, trusted: torch.Tensor
    ) -> torch.Tensor:
        kind: Any = self._settings.loss
        return self._maps.loss(answer, targets, trusted, self._network, kind)

    def _replayed(
        self, old: nn.Module, pixels: torch.Tensor, answer: torch.Tensor, trusted: torch.Tensor
    ) -> torch.Tensor:
        """Return how far the answer is from what the old network is sure of, where nobody looked.

        Hinton et al. 2015 (arXiv 1503.02531) call it distillation; only sure answers count, as
        in Sohn et al. 2020 (arXiv 2001.07685).
        """
        with torch.no_grad():
            raw = self._maps.maps(old, pixels).float()
            parts, sure, first = [], torch.ones_like(trusted), 0
            for output in self._network.outputs:
                part = raw[:, first : first + output.channels]
                first += output.channels
                if output.activation == "softmax":
                    part = part.softmax(1)
                    sure = sure * (part.amax(1, keepdim=True) > SURE)
                else:
                    part = part.sigmoid() if output.activation == "sigmoid" else part.clamp(0, 1)
                    if output.role != "distance":
                        far = (part - 0.5).abs().amin(1, keepdim=True)
                        sure = sure * (far > SURE - 0.5)
                parts.append(part)
        return self._loss(answer, torch.cat(parts, 1), sure * (1 - trusted))

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


def _facts(network: Checkpoint) -> dict[str, Any]:
    """Return what tells one network from another, as plain values."""
    facts: dict[str, Any] = json.loads(json.dumps(dict(network.hparams)))
    return {**facts, "classes": network.classes} if network.task == "instance" else facts


def _parent(begun: Start) -> dict[str, str]:
    """Return which file a training begins with; nothing for a network from nothing."""
    if not begun.learned:
        return {}
    return {"path": str(begun.parent.path.absolute()), "sha256": begun.parent.sha256}


def decisive(scores: Figures) -> float | None:
    """Return the figure that tells which round was best: the higher the better."""
    values = dict(scores)
    for name in ("val_ap50", "val_dice"):
        if name in values and not math.isnan(values[name]):
            return values[name]
    return None
