"""A network that learns: module, optimiser and running average on one device."""

from __future__ import annotations

import copy
import math
import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from napari_segnet.answers import answer_of
from napari_segnet.answers.objective import Batch, Crop
from napari_segnet.atomic import why, write_whole
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch import is_out_of_memory
from napari_segnet.engines.torch.device import on_threads
from napari_segnet.engines.torch.fast import watch_cancel
from napari_segnet.errors import MemoryExhaustedError, OutputError, SettingsError
from napari_segnet.progress import check_cancelled
from napari_segnet.segmentation import NetworkAnswer
from napari_segnet.train._begin import Start
from napari_segnet.train._channels_last import channels_last, has_dilation
from napari_segnet.train._optimise import autocast_dtype, frozen, highest_rate, optimiser, schedule
from napari_segnet.train._statistics import RestatedNorms
from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import damaged_state

__all__ = ["Best", "Figures", "Learner", "decisive"]

MOST_NORM = 5.0
"""Gradients are scaled down to this norm: one odd batch should not throw the weights off."""

WORSE = 0.05
"""Old weights count no longer where they cost more of the Dice of held-out crops than this: what is
taught may be something else than what the network knew. (Tumours in slices of a head, nine with one
each, taught to ``nuclei``: a Dice of 0.00 of a new head with the old weights, 0.96 without.)"""

LEFT_OUT = "The old weights are not averaged into the new ones (anchor): "
COST = LEFT_OUT + "with them, the held-out part has a clearly lower score."
UNPROVEN = LEFT_OUT + "without a held-out part, no score shows whether that makes it worse."

UNMEASURED = (
    "There is not enough memory to measure the statistics of the layers on the training images as "
    "they are, so the file has those of changed crops: unlike images are told less well."
)
HALF_MOST = float(torch.finfo(torch.float16).max)
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


class Settled(NamedTuple):
    """What :meth:`Learner.settle` decided.

    Attributes
    ----------
    others : bool
        Whether the weights are others than the last ones.
    note : str
        A sentence for the user where the old weights were left out; mostly empty.
    """

    others: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Anchor:
    """The old weights, and the share with which they count in what is kept."""

    share: float = 0.0
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, begun: Start, settings: TrainSettings, objects: int) -> _Anchor:
        if not (begun.learned and objects and settings.anchor and settings.head == "keep"):
            return cls()
        old = {k: v.detach().clone().cpu() for k, v in begun.module.state_dict().items()}
        worth = settings.anchor**2
        return cls(share=worth / (worth + objects**2), weights=old)

    @torch.no_grad()
    def pull(self, module: nn.Module) -> None:
        """Move the weights of a module towards the old ones by the share."""
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.lerp_(self.weights[name].to(value), self.share)


class Learner:
    """A module, its optimiser and its running average on one device.

    Parameters
    ----------
    begun : Start
        The network before its first step.
    settings : TrainSettings
        How to train.
    device : str
        Where.
    objects : int
        How many it learns from; 0: not known, then the old weights count for nothing (``anchor``).

    Attributes
    ----------
    seconds : float
        How long its steps took; kept in the saved state.
    """

    def __init__(
        self, begun: Start, settings: TrainSettings, device: str, objects: int = 0
    ) -> None:
        self._family, self._network, self._settings = begun.family, begun.checkpoint, settings
        self._device = torch.device(device)
        module = begun.module
        self._objective = answer_of(self._network).objective(
            self._family, self._network, settings.loss, settings.replay
        )
        plain = self._network.ndim == 2 and self._objective.channels_last
        self._dtype = autocast_dtype(
            settings.precision, self._device, convolutions=plain, dilated=has_dilation(module)
        )
        if self._device.type == "cpu" and plain:
            module = channels_last(module)
        self._module = module.to(self._device).train()
        self._still = frozen(begun, settings, self._module)
        self._average = copy.deepcopy(self._module).eval().requires_grad_(False)
        self._old = copy.deepcopy(self._average) if settings.replay and begun.learned else None
        self._anchor = _Anchor.of(begun, settings, objects)
        watch_cancel(self._module)
        self._rate = highest_rate(begun, settings)
        self._optimiser = optimiser(self._module, settings, self._rate)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._parent = _parent(begun)
        self._steps = 0
        self.seconds = 0.0
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
            with on_threads(self._settings.threads):
                return self._step(batch, fraction)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        size = " x ".join(str(n) for n in batch[0].pixels.shape[1:])
        raise MemoryExhaustedError(
            f"There is not enough memory on {self._device} to train on {len(batch)} crops of "
            f"{size} pixels at once. Choose a smaller batch_size or crop_px."
        )

    def _step(self, batch: list[Crop], fraction: float) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * schedule(fraction, self._settings)
        self._module.train()
        for part in self._still:
            part.eval()
        _, loss = self._answered(self._module, self._batch(batch), old=self._old)
        if not torch.isfinite(loss):
            raise SettingsError(
                "The training loss is no longer a number: the learning rate "
                f"{self._rate} is too high for this network. Set a smaller one, "
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
        losses: list[float] = []
        sums: defaultdict[str, float] = defaultdict(float)
        for crops in batches:
            check_cancelled()
            with on_threads(self._settings.threads):
                batch = self._batch(crops)
                answer, loss = self._answered(self._average, batch)
                losses.append(float(loss))
                for name, value in self._objective.sums(answer, batch).items():
                    sums[name] += value
        return (("val_loss", float(np.mean(losses))), *self._objective.figures(sums))

    def settle(self, held: list[list[Crop]]) -> Settled:
        """Decide which weights are kept.

        The last, or the best where that counts; averaged with the old ones (``anchor``), where
        ``held``, batches of held-out crops, are not answered clearly worse so.
        """
        others = bool(self._settings.patience and self._best.state)
        if others:
            self._average.load_state_dict(self._best.state)
        if self._anchor.share and held:
            new = copy.deepcopy(self._average.state_dict())
            alone = _quality(self.score(held))
            self._anchor.pull(self._average)
            if _quality(self.score(held)) >= alone - WORSE:
                return Settled(others=True)
            self._average.load_state_dict(new)
            return Settled(others, COST)
        return Settled(others, UNPROVEN if self._anchor.share else "")

    @torch.no_grad()
    def restate(self, drawn: Iterable[list[Crop]]) -> Iterator[int]:
        """Let the norms remember batches of unchanged crops; the answers stay the same.

        Yields how many are done. Frozen norms stay as they are; all do if the memory ends.
        """
        still = {id(part) for one in self._still for part in one.modules()}
        learned = dict(self._module.named_modules())
        norms = RestatedNorms(
            norm
            for name, norm in self._average.named_modules()
            if id(learned[name]) not in still
            and all(weight.requires_grad for weight in learned[name].parameters(recurse=False))
        )
        for done, crops in enumerate(drawn if len(norms) else (), start=1):
            check_cancelled()
            try:
                with norms.batch():
                    for crop in crops:
                        self.predict(crop)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise MemoryExhaustedError(UNMEASURED) from error
            yield done
        norms.settle(HALF_MOST if self._network.store.dtype == "float16" else torch.inf)

    def result(self) -> nn.Module:
        """Return the running average, or what was settled on, on the CPU."""
        return self._average.to("cpu").eval()

    @torch.no_grad()
    def predict(self, crop: Crop) -> NetworkAnswer:
        """Return what the running average says of a crop."""
        pixels = torch.from_numpy(crop.pixels)[None].to(self._device)
        with on_threads(self._settings.threads):
            return self._objective.predict(self._average, pixels)

    def save_state(self, path: Path, epochs: int) -> None:
        """Write all that a resumed run needs, whole or not at all."""
        state = {
            "network": _facts(self._network),
            "outputs": self._network.to_json()["outputs"],
            "parent": self._parent,
            "settings": asdict(self._settings),
            "epochs": epochs,
            "steps": self._steps,
            "seconds": self.seconds,
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
        try:
            # It holds what was learned from the user's images, which need not be for everybody.
            write_whole(path, lambda part: torch.save(state, part), make_folder=False, private=True)
        except (OSError, RuntimeError) as error:
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
            wanted = (_facts(self._network), self._network.to_json()["outputs"])
            # States of before 0.1 say neither the outputs nor what they began with.
            parent = state.get("parent", self._parent).get("sha256")
            # States of before 0.2 lack hyper-parameters that no tensor shows.
            there = {**_assumed(self._network), **state["network"]}
            if (there, state.get("outputs", wanted[1])) != wanted or (
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
            self.seconds = float(state.get("seconds", 0.0))
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

    def _batch(self, crops: list[Crop]) -> Batch:
        """Return crops as tensors on the device."""
        pixels, targets, trusted = (
            torch.from_numpy(np.stack(parts)).to(self._device)
            for parts in zip(*((c.pixels, c.targets, c.trusted) for c in crops), strict=True)
        )
        if self._device.type == "cpu" and pixels.ndim == 4:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        # Of the step, so that a run that was resumed draws the same boxes.
        generator = torch.Generator().manual_seed(self._settings.seed * 1_000_003 + self._steps)
        return Batch(
            crops=crops, pixels=pixels, targets=targets, trusted=trusted, generator=generator
        )

    def _answered(
        self, module: nn.Module, batch: Batch, old: nn.Module | None = None
    ) -> tuple[Any, torch.Tensor]:
        """Return what the loss of a batch is made of, and the loss."""
        enabled = self._dtype is not None
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=enabled):
            answer = self._objective.forward(module, batch)
        return answer, self._objective.loss(answer, batch, old)

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
    form = network.to_json()
    facts: dict[str, Any] = form["hparams"]
    # Where there are outputs, these say how many classes there are.
    return facts if network.outputs else {**facts, "classes": form["classes"]}


def _assumed(network: Checkpoint) -> dict[str, Any]:
    """Return the hyper-parameters that are as they are where nobody says anything."""
    sources = {name: known.source for name, known in network.known.items()}
    facts = _facts(network)
    return {n: value for n, value in facts.items() if sources.get(n) in ("assumed", "decided")}


def _parent(begun: Start) -> dict[str, str]:
    """Return which file a training begins with; nothing for a network from nothing."""
    if not begun.learned:
        return {}
    return {"path": str(begun.parent.path.absolute()), "sha256": begun.parent.sha256}


def _quality(scores: Figures) -> float:
    """Return the Dice of held-out crops; of networks that have none, the loss turned round."""
    values = dict(scores)
    return values["val_dice"] if "val_dice" in values else -values["val_loss"]


def decisive(scores: Figures) -> float | None:
    """Return the figure that tells which round was best: the higher the better."""
    values = dict(scores)
    for name in ("val_ap50", "val_dice"):
        if name in values and not math.isnan(values[name]):
            return values[name]
    return None
