"""Run a map network over whole volumes as the program of its training does."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.run import MapAgreement, run_maps
from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.engines import Engine, engine_for
from napari_segnet.errors import MemoryExhaustedError, Remedy, SegnetError
from napari_segnet.half import halved
from napari_segnet.image import Image
from napari_segnet.plan import InferencePlan, RunResult, resolve
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.prepare.volumes import Volume, VolumeRecipe
from napari_segnet.progress import Progress
from napari_segnet.segmentation import Maps
from napari_segnet.sinks import open_sink
from napari_segnet.stamp import stamp_of
from napari_segnet.stitch.windows import Windows

__all__ = ["run_volumes"]

HALF, ONE = np.float16(0.5), np.float16(1)

Floats = npt.NDArray[np.float32]


def run_volumes(
    engine: Engine, plan: InferencePlan, recipe: VolumeRecipe
) -> Generator[Progress, None, RunResult]:
    """Answer every time point as a whole: prepared, in windows, by all members, and back.

    Parameters
    ----------
    engine : Engine
        The network: the first member of an ensemble.
    plan : InferencePlan
        What was resolved for it and the image.
    recipe : VolumeRecipe
        Of its checkpoint.
    """
    if plan.keep is None:
        raise SegnetError(f"{plan.checkpoint.path.name} answers with objects, not with maps.")
    sink = open_sink(plan.keep)
    run = _Run(engine, plan, recipe)
    times = plan.image.sizes["t"]
    for t in range(times):
        volume = _prepared(plan, recipe, t)
        share = yield from run.answered(volume, (t, times))
        maps = recipe.returned(share, volume)
        whole = _placed(_activated(maps, plan.checkpoint.outputs), volume, plan.checkpoint.outputs)
        _write(sink, plan, recipe.turned_back(whole), t)
    answer = Maps(
        data=sink.finish(),
        axes="c" + plan.axes,
        outputs=plan.checkpoint.outputs,
        ndim=plan.input.ndim,
    )
    return RunResult(
        answer=answer,
        device=run.engine.device,
        rung="as planned" if run.engine.device == engine.device else "moved to the CPU",
        notes=(*run.notes,),
        engine={**plan.input_facts(), **run.facts()},
    )


class _Run:
    """One run: its engine may move to the CPU where memory runs out."""

    def __init__(self, engine: Engine, plan: InferencePlan, recipe: VolumeRecipe) -> None:
        self.plan, self.recipe = plan, recipe
        own = plan.checkpoint
        self.members = (own, *(_member(own, path) for path in own.members))
        self.engine = engine
        self.precision = PrecisionChoice(plan.settings.precision, MapAgreement())
        axes = recipe.mirror
        if plan.settings.mirror == "yes":
            axes = axes or tuple(range(len(recipe.window_px)))
        self.mirror = () if plan.settings.mirror == "no" else axes
        self.notes: list[str] = []
        self.inner: dict[str, Any] = {}
        # As in the training; other tiles where the user wants some.
        self.in_windows = plan.settings.seams == "auto" and not plan.settings.tile_px

    def answered(
        self, volume: Volume, place: tuple[int, int]
    ) -> Generator[Progress, None, npt.NDArray[np.floating]]:
        """Return the mean of all members' raw maps ``(channel, *)`` of a volume."""
        channels = sum(output.channels for output in self.plan.checkpoint.outputs)
        # Half precision, as there.
        dtype = np.float16 if self.in_windows else np.float32
        total = np.zeros((channels, *volume.pixels.shape[1:]), dtype)
        t, times = place
        for number, member in enumerate(self.members):
            before, steps = t * len(self.members) + number, times * len(self.members)
            if self.in_windows:
                yield from self._windows(member, volume, total, before, steps)
            else:
                total += yield from self._tiles(member, volume)
        total /= len(self.members)
        return total

    def _windows(
        self, member: Checkpoint, volume: Volume, total: Any, before: int, steps: int
    ) -> Generator[Progress, None, None]:
        windows = Windows(volume.pixels, self.recipe.window_px, self.mirror)
        count = len(windows.boxes)
        while True:
            own, batch = self._loaded(member), max(1, self.plan.settings.batch_size)
            part = np.zeros_like(total)
            yield Progress(what="tile", done=before * count, total=steps * count)
            try:
                for done in windows.answer(own, self.precision, part, batch):
                    yield Progress(what="tile", done=before * count + done, total=steps * count)
                break
            except Exception as error:
                if not own.is_out_of_memory(error):
                    raise
            # Outside the except block: the error holds the tensors of the failed forward.
            self._give_up(own)
        total += part

    def _tiles(self, member: Checkpoint, volume: Volume) -> Generator[Progress, None, Floats]:
        """Return raw maps made of the same pixels in our own tiles."""
        image = Image(data=volume.pixels, axes="czyx", name=self.plan.image.name)
        chosen = self.plan.settings
        same = (
            *("tile_px", "batch_size", "precision", "seams", "mirror"),
            *("device", "threads", "engine"),
        )
        settings = replace(
            type(chosen)(), normalize="none", **{name: getattr(chosen, name) for name in same}
        )
        raw = replace(_raw(member), prepare=(), pixel_size_um={}, members=())
        ran = yield from run_maps(self._loaded(member), resolve(raw, image, settings))
        self.notes += [note for note in ran.notes if note not in self.notes]
        self.inner = {k: v for k, v in ran.engine.items() if k not in self.plan.input_facts()}
        assert isinstance(ran.answer, Maps)
        return np.asarray(ran.answer.data, np.float32)

    def _loaded(self, member: Checkpoint) -> Engine:
        """Return a member's engine, on the device of the first."""
        now = self.engine
        return engine_for(_raw(member), now.device, now.threads, now.name)

    def _give_up(self, failed: Engine) -> None:
        """Move to the CPU after memory ran out."""
        failed.release()
        settings, window = self.plan.settings, " x ".join(map(str, self.recipe.window_px))
        if failed.device == "cpu" or settings.device != "auto":
            cpu = Remedy("device", "cpu")
            raise MemoryExhaustedError(
                f"There is not enough memory on {failed.device} for windows of {window} pixels. "
                f"Close other programs, or run on the CPU with {cpu}.",
                remedies=(cpu,),
            )
        self.engine = engine_for(failed.checkpoint, "cpu", failed.threads, failed.name)
        self.precision = PrecisionChoice("fp32", MapAgreement())
        self.notes.append(
            f"There was not enough memory on {failed.device} for windows of {window} pixels, so "
            "the network ran on the CPU."
        )

    def facts(self) -> dict[str, Any]:
        """Return what was done, plain JSON values for the origin."""
        said: dict[str, Any] = {"volume": dict(self.recipe.to_step().options), **self.inner}
        if self.in_windows:
            said |= {
                "windows": True,
                "mirrored": list(self.mirror),
                "precision": self.precision.chosen or "fp32",
            }
        if len(self.members) > 1:
            said["members"] = [
                {"path": str(one.path), "sha256": one.sha256} for one in self.members
            ]
        return said


def _member(first: Checkpoint, path: Path) -> Checkpoint:
    """Return another file of an ensemble: the same network with other numbers."""
    return replace(
        first,
        path=path,
        stamp=stamp_of(path.stat()),
        members=(),
        store=replace(first.store, member=""),
    )


def _raw(checkpoint: Checkpoint) -> Checkpoint:
    """Return the same network without the activation behind it."""
    ends = tuple(replace(output, activation="none") for output in checkpoint.outputs)
    return replace(checkpoint, outputs=ends)


def _prepared(plan: InferencePlan, recipe: VolumeRecipe, t: int) -> Volume:
    """Return a time point as the network sees it; what the user says of it wins."""
    settings, image = plan.settings, plan.image
    affines = None if settings.normalize == "auto" else plan.input.normalization.affines(t, 0)
    scaled = any(getattr(settings, n) is not None for n in ("scale", "object_px", "object_um"))
    return recipe.prepared(
        plan.input.channels.read(image, t),
        [image.pixel_size_um.get(axis) for axis in "zyx"],
        own=affines,
        scale=plan.input.scale if scaled else None,
    )


def _activated(maps: npt.NDArray[np.floating], outputs: tuple[Output, ...]) -> Floats:
    """Return maps ``(channel, *)`` float32 behind the activations of their outputs."""
    made = maps.astype(np.float32)
    first = 0
    for output in outputs:
        part = made[first : first + output.channels]
        if output.activation == "softmax":
            part -= part.max(axis=0)
            np.exp(part, out=part)
            part /= part.sum(axis=0)
            _keep_first(part)
        elif output.activation == "sigmoid":
            part[...] = 0.5 + 0.5 * np.tanh(0.5 * part)  # never overflows
            part[(part > 0.5) & (part.astype(np.float16) == 0.5)] = np.nextafter(HALF, ONE)
        first += output.channels
    return made


def _keep_first(part: Floats) -> None:
    """See that the most probable class stays so in half precision, of which labels are made."""
    first = part.argmax(axis=0)[None]
    half = halved(part)
    best = np.take_along_axis(half, first, 0)
    tie = (half == best).sum(axis=0, keepdims=True) > 1
    more = np.nextafter(best, ONE).astype(np.float32)
    own = np.take_along_axis(part, first, 0)
    np.put_along_axis(part, first, np.where(tie, more, own), 0)


def _placed(maps: Floats, volume: Volume, outputs: tuple[Output, ...]) -> Floats:
    """Return maps of the whole image: outside of the box there is nothing but background."""
    whole = np.zeros((len(maps), *volume.shape), np.float32)
    first = 0
    for output in outputs:
        if output.activation == "softmax":
            whole[first] = 1
        first += output.channels
    whole[(slice(None), *volume.box)] = maps
    return whole


def _write(sink: Any, plan: InferencePlan, maps: Floats, t: int) -> None:
    lengths = dict(zip("zyx", maps.shape[1:], strict=True))
    where = [slice(t, t + 1) if axis == "t" else slice(0, lengths[axis]) for axis in plan.axes]
    shape = [1 if axis == "t" else lengths[axis] for axis in plan.axes]
    sink.write((slice(0, len(maps)), *where), maps.reshape(len(maps), *shape))
