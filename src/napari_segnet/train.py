"""Teach a network from approved labels: a dataset in, a checkpoint out.

:func:`train` is a job: it yields progress after every step and epoch, can be cancelled at
any step, writes its state after every epoch, and goes on from there when it is resumed.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.crops import Augmentation, Crop, Crops
from napari_segnet.dataset import Dataset
from napari_segnet.errors import DatasetError, OutputError, SettingsError
from napari_segnet.families import TRAINABLE, TrainableFamily
from napari_segnet.network import best_device, load
from napari_segnet.progress import Progress, check_cancelled, job

__all__ = ["TrainSettings", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a network is taught.

    Attributes
    ----------
    epochs : int
        Rounds; after each the held-out part is scored and the state is saved.
    steps_per_epoch : int
        Optimiser steps in a round.
    batch_size : int
        Crops per step.
    crop_px : int
        Edge of a crop in y and x.
    crop_z_px : int
        Depth of a crop for 3D networks.
    learning_rate : float
        The highest; it warms up over the first 5 % and falls to zero as a cosine.
    weight_decay : float
        Of AdamW (Loshchilov and Hutter 2019).
    average : float
        Share of the old weights in the running average that is kept as the result; 0: the
        last weights.
    on_objects : float
        Share of the crops that are centred on an object.
    flip, rotate : bool
        Augmentation by mirror images and by any angle in the plane.
    scale_range : tuple of float
        Objects are shown smaller and larger by a factor between these two.
    gamma, gain, offset, noise, blur_px : float
        Greatest change of brightness curve (factor of the exponent), contrast (factor),
        level, noise (standard deviation; both in units of the normalised image), and blur
        (sigma in pixels).
    precision : str
        ``auto`` (fp16 or bf16 on a GPU, fp32 on a CPU), ``fp32``, ``fp16`` or ``bf16``.
    seed : int
        Makes a run on a CPU repeatable.
    """

    epochs: int = 50
    steps_per_epoch: int = 100
    batch_size: int = 8
    crop_px: int = 192
    crop_z_px: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    average: float = 0.998
    on_objects: float = 0.5
    flip: bool = True
    rotate: bool = True
    scale_range: tuple[float, float] = (0.6, 1.6)
    gamma: float = 1.8
    gain: float = 1.3
    offset: float = 0.1
    noise: float = 0.08
    blur_px: float = 1.5
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch_size", "crop_px", "crop_z_px"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if not 0 <= self.average < 1:
            raise SettingsError(f"average is {self.average}, but must be from 0 to below 1.")
        low, high = self.scale_range
        if not 0 < low <= high:
            raise SettingsError(
                f"scale_range is {low},{high}, but needs two factors above 0, the smaller first."
            )
        if self.precision not in ("auto", "fp32", "fp16", "bf16"):
            raise SettingsError(
                f"precision is {self.precision!r}, but training knows auto, fp32, fp16 and bf16."
            )


@job
def train(
    network: Checkpoint,
    dataset: Dataset,
    out: Path,
    settings: TrainSettings | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
) -> Generator[Progress, None, Checkpoint]:
    """Teach a network.

    Parameters
    ----------
    network : Checkpoint
        What to begin with: its weights if its file exists, else fresh ones.
    dataset : Dataset
        Approved pairs; those held out (``val``) are only scored.
    out : Path
        The file to write. Beside it lies ``<out>.state`` while the training runs.
    settings : TrainSettings
        How to teach.
    device : str
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    resume : bool
        Go on from ``<out>.state`` if it exists.

    Yields
    ------
    Progress
        ``step`` with the training loss after every step, ``epoch`` with ``train_loss``,
        ``val_loss`` and ``val_dice`` after every epoch.

    Returns
    -------
    Checkpoint
        The network written to ``out``.

    Raises
    ------
    DatasetError
        If there is nothing to learn from.
    SettingsError
        If the family cannot be trained.
    OutputError
        If ``out`` cannot be written; nothing is half written.
    """
    settings = settings or TrainSettings()
    family = _trainable(network)
    torch.manual_seed(settings.seed)
    device = best_device(device)
    learner = _Learner(family, network, settings, device)
    crops = _crops(dataset, network, settings)
    held = _held_out_crops(dataset, network, settings)
    state = out.with_name(out.name + ".state")
    first = learner.restore(state) if resume and state.exists() else 0
    for epoch in range(first, settings.epochs):
        rng = np.random.default_rng((settings.seed, epoch))
        losses: list[float] = []
        for step in range(settings.steps_per_epoch):
            check_cancelled()
            batch = [crops.draw(rng) for _ in range(settings.batch_size)]
            fraction = (epoch + step / settings.steps_per_epoch) / settings.epochs
            losses.append(learner.step(batch, fraction))
            done = epoch * settings.steps_per_epoch + step + 1
            yield Progress(
                what="step",
                done=done,
                total=settings.epochs * settings.steps_per_epoch,
                values=(("train_loss", losses[-1]),),
            )
        scores = learner.score(held)
        learner.save_state(state, epoch + 1)
        yield Progress(
            what="epoch",
            done=epoch + 1,
            total=settings.epochs,
            values=(("train_loss", float(np.mean(losses))), *scores),
        )
    card = {**network.card, "training": _training_card(dataset, settings)}
    result = family.save(learner.result(), replace(network, card=card), out)
    state.unlink(missing_ok=True)
    return result


class _Learner:
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
        module = _start(family, network)
        if self._device.type == "cpu" and network.ndim == 2:
            # Twice as fast on a CPU (oneDNN's own layout).
            module = module.to(memory_format=torch.channels_last)
        self._module = module.to(self._device).train()
        self._average = copy.deepcopy(self._module).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self._module.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._dtype = _autocast_dtype(settings.precision, self._device)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._steps = 0

    def step(self, batch: list[Crop], fraction: float) -> float:
        """Learn from one batch; ``fraction`` of the training is done."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._settings.learning_rate * _schedule(fraction)
        self._module.train()
        loss = self._loss(self._module, batch)
        if not torch.isfinite(loss):
            raise SettingsError(
                "The training loss is no longer a number: the learning rate "
                f"{self._settings.learning_rate} is too high for this network. Set a smaller one, "
                "for example a tenth."
            )
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self._module.parameters(), 5.0)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._steps += 1
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def score(self, batches: list[list[Crop]]) -> tuple[tuple[str, float], ...]:
        """Score the running average on held-out crops; empty where there are none."""
        if not batches:
            return ()
        losses, both, either = [], 0.0, 0.0
        for batch in batches:
            check_cancelled()
            losses.append(float(self._loss(self._average, batch)))
            found, truth = self._foreground(batch)
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
        """Go on from a saved state; return how many epochs it has done."""
        state = torch.load(path, map_location=self._device, weights_only=True)
        if state["network"] != dict(self._network.hparams):
            raise SettingsError(
                f"{path.name} belongs to a training of another network. Remove it, or choose "
                "another file to write."
            )
        self._module.load_state_dict(state["module"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self._steps = int(state["steps"])
        return int(state["epochs"])

    def _loss(self, module: nn.Module, batch: list[Crop]) -> torch.Tensor:
        pixels, targets, trusted = (
            torch.from_numpy(np.stack(parts)).to(self._device)
            for parts in zip(*((c.pixels, c.targets, c.trusted) for c in batch), strict=True)
        )
        if self._device.type == "cpu" and pixels.ndim == 4:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        enabled = self._dtype is not None
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=enabled):
            answer = self._family.maps(module, pixels)
        return self._family.loss(answer.float(), targets, trusted, self._network)

    def _foreground(self, batch: list[Crop]) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.from_numpy(np.stack([c.pixels for c in batch])).to(self._device)
        targets = torch.from_numpy(np.stack([c.targets for c in batch])).to(self._device)
        answer = self._family.maps(self._average, pixels)
        trusted = torch.from_numpy(np.stack([c.trusted for c in batch])).to(self._device) > 0
        first = self._network.outputs[0]
        if first.activation == "softmax":
            last = first.channels
            found = answer[:, :last].argmax(1, keepdim=True) > 0
            truth = targets[:, :last].argmax(1, keepdim=True) > 0
        else:
            level = 0.5 if first.activation == "none" else 0.0
            found, truth = answer[:, :1] > level, targets[:, :1] > 0.5
        return found & trusted, truth & trusted

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


def _trainable(network: Checkpoint) -> TrainableFamily:
    for family in TRAINABLE:
        if family.name == network.family:
            return family
    names = ", ".join(family.title for family in TRAINABLE)
    raise SettingsError(
        f"Networks of the family {network.family!r} cannot be trained here yet. Can be trained: "
        f"{names}."
    )


def _start(family: TrainableFamily, network: Checkpoint) -> nn.Module:
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


def _crops(dataset: Dataset, network: Checkpoint, settings: TrainSettings) -> Crops:
    samples = dataset.of("train")
    if not samples:
        raise DatasetError(
            f"All {len(dataset.samples)} samples of {dataset.root} are held out, so there is "
            'nothing to learn from. Give some of them "split": "train".'
        )
    return Crops(samples, network, _crop_shape(network, settings), _augmentation(settings))


def _held_out_crops(
    dataset: Dataset, network: Checkpoint, settings: TrainSettings
) -> list[list[Crop]]:
    """Return fixed, unchanged crops of the held-out part: at most 16 batches."""
    samples = dataset.of("val")
    if not samples:
        return []
    still = Augmentation(on_objects=1.0)
    crops = Crops(samples, network, _crop_shape(network, settings), still)
    rng = np.random.default_rng(0)
    drawn = [crops.draw(rng, sample=i) for i in range(len(samples))]
    size = settings.batch_size
    return [drawn[i : i + size] for i in range(0, len(drawn), size)][:16]


def _crop_shape(network: Checkpoint, settings: TrainSettings) -> tuple[int, ...]:
    want = (settings.crop_z_px, settings.crop_px, settings.crop_px)[-network.ndim :]
    shape = network.size.next_allowed(want)
    if any(network.size.loss):
        raise SettingsError(
            "Networks with valid convolutions (smaller output than input) cannot be trained here "
            "yet. Choose a network with padded convolutions."
        )
    return shape


def _augmentation(settings: TrainSettings) -> Augmentation:
    names = Augmentation.__dataclass_fields__
    return Augmentation(**{n: getattr(settings, n) for n in names})


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
    return {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def _training_card(dataset: Dataset, settings: TrainSettings) -> Mapping[str, Any]:
    return {
        "samples": len(dataset.of("train")),
        "held_out": len(dataset.of("val")),
        "settings": asdict(settings),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "torch": torch.__version__,
    }
