"""Network: weights on a device. ``identify(path)`` tells what a file is, ``load`` runs it."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_segnet import cache
from napari_segnet.builtin import builtin_models, weights_path
from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Weights, open_weights
from napari_segnet.engines.torch.device import best_device, free_bytes, is_out_of_memory
from napari_segnet.engines.torch.fast import fast_copy, watch_cancel
from napari_segnet.engines.torch.memory import peak_bytes
from napari_segnet.engines.torch.sidecar import read_sidecar
from napari_segnet.errors import (
    BrokenWeightsError,
    MemoryExhaustedError,
    SettingsError,
    UnknownNetworkError,
)
from napari_segnet.families import FAMILIES, Family, InstanceFamily, MapFamily
from napari_segnet.families._blocks import PlacedUpsample, place, unplace
from napari_segnet.progress import check_cancelled
from napari_segnet.receptive import receptive_field
from napari_segnet.segmentation import Instances

if TYPE_CHECKING:
    from napari_segnet.engines.torch.look import Look
    from napari_segnet.engines.torch.objects import Objects

__all__ = [
    "Network",
    "best_device",
    "builtin_models",
    "check_precision",
    "family_of",
    "free_bytes",
    "identify",
    "is_out_of_memory",
    "load",
]

KERNEL_SHARE = 1.25
"""Layers take workspace of their own; measured 1.1 to 1.2 with oneDNN on a CPU."""
PRECISIONS = {"fp32": None, "tf32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
"""And what torch's autocast makes of them."""
LOOK_SECONDS = 0.1
"""How often a job that waits for a device looks whether it was cancelled."""

_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""One network at a time on a device: two would each take the memory that was free for one,
and TF32 is switched for all of a process."""


def identify(path: str | Path, told: Mapping[str, Any] | None = None) -> Checkpoint:
    """Tell what a weights file is, without reading its tensors.

    Parameters
    ----------
    path : str or Path
        A weights file, or the name of a built-in network.
    told : mapping, optional
        What you know of the network that its file does not say: hyper-parameters of its
        family by name.

    Raises
    ------
    WeightsError
        If the file cannot be used; ``UnknownNetworkError`` lists what was seen in it.
    SettingsError
        If something is told that the family does not have.
    """
    path = weights_path(path)
    views = open_weights(path)
    beside = read_sidecar(path)
    told = {**(beside.told if beside else {}), **(told or {})}
    refusal: UnknownNetworkError | None = None
    for weights in views:
        for family in FAMILIES:
            if not family.detect(weights):
                continue
            try:
                found = family.describe(weights, told)
                found = replace(found, stamp=weights.stamp, notes=weights.notes)
                return _with_halo(family, beside.added_to(found) if beside else found)
            except UnknownNetworkError as error:
                # The first view is the plainest one, so its refusal says the most.
                refusal = refusal or error
    raise refusal or UnknownNetworkError(_not_recognised(path, views[0]))


def family_of(checkpoint: Checkpoint) -> Family:
    """Return the family that a checkpoint belongs to."""
    for family in FAMILIES:
        if family.name == checkpoint.family:
            return family
    raise UnknownNetworkError(
        f"The family {checkpoint.family!r} is not known to this version. Update napari-segnet."
    )


def load(checkpoint: Checkpoint, device: str = "auto") -> Network:
    """Read the weights and put them on a device; loaded networks are kept for a while.

    Parameters
    ----------
    checkpoint : Checkpoint
        What :func:`identify` returned.
    device : str
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``. If it is ``auto`` and the best
        device has no room for the weights, they go to the CPU.

    Raises
    ------
    MemoryExhaustedError
        If there is no room for the weights.
    WeightsError
        If the file has changed since it was recognised.
    """
    best = best_device(device)
    try:
        return _kept(checkpoint, best)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if device == "auto" and best != "cpu":
        return load(checkpoint, "cpu")
    raise MemoryExhaustedError(
        f"There is not enough memory on {best} for the weights of {checkpoint.path.name} "
        f"({4 * checkpoint.parameters / 1e9:.1f} GB). Close other programs or choose another "
        "device."
    )


def _kept(checkpoint: Checkpoint, device: str) -> Network:
    """Return the network out of the cache, or load it into it."""
    key = (checkpoint.sha256, _facts(checkpoint), device)
    kept = cache.networks.get(key)
    if kept is not None:
        return cast("Network", kept)
    network = Network(checkpoint, _filled(checkpoint), device)
    cache.networks.put(key, network, network.bytes)
    return network


class Network:
    """A network with its weights on one device, ready to answer.

    Attributes
    ----------
    checkpoint : Checkpoint
        What it is.
    module : torch.nn.Module
        The network itself, in evaluation mode, on ``device``.
    device : str
        ``cpu``, ``mps`` or ``cuda:N``.
    """

    def __init__(self, checkpoint: Checkpoint, module: nn.Module, device: str) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.module = module.to(device).eval()
        self._family = family_of(checkpoint)
        self._fast = fast_copy(self.module, device)
        if device == "cpu" and checkpoint.ndim == 2 and checkpoint.task == "semantic":
            # Twice as fast on a CPU: oneDNN's own layout.
            self._fast = self._fast.to(memory_format=torch.channels_last)
        watch_cancel(self._fast)
        self._placed = any(isinstance(m, PlacedUpsample) for m in self._fast.modules())
        self._bytes: dict[tuple[int, ...], int] = {}
        self._bare: nn.Module | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the weights, those of the copy that answers included."""
        tensors = itertools.chain.from_iterable(
            (*m.parameters(), *m.buffers()) for m in (self.module, self._fast)
        )
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(storages.values())

    @property
    def one_place(self) -> bool:
        """True if all tiles of a batch must lie at the same place of the frame."""
        return self._placed

    def maps(
        self,
        batch: npt.NDArray[np.float32],
        *,
        precision: str = "fp32",
        offset: tuple[int, ...] | None = None,
        whole: tuple[int, ...] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Answer a batch.

        Parameters
        ----------
        batch : ndarray
            ``(n, c, [z,] y, x)`` float32, prepared, of an allowed size.
        precision : str
            ``fp32``, ``tf32``, ``fp16`` or ``bf16``.
        offset, whole : tuple of int, optional
            Where the batch begins in the frame, and the frame's size ``([z,] y, x)`` in
            pixels, for networks whose answer depends on it.

        Returns
        -------
        ndarray
            ``(n, channel, [z,] y, x)`` float32, after the activations.
        """
        family = cast("MapFamily", self._family)
        with self._turn(), torch.inference_mode(), self._precision(precision):
            tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
            if self.device == "cpu" and tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            if self._placed and offset is not None and whole is not None:
                place(self._fast, offset, whole)
            try:
                answer = family.maps(self._fast, tensor)
            finally:
                if self._placed:
                    unplace(self._fast)
            result: npt.NDArray[np.float32] = self._activated(answer).float().cpu().numpy()
            return result

    def detections(
        self, batch: npt.NDArray[np.float32], *, precision: str = "fp32"
    ) -> list[Instances]:
        """Detect the objects of each picture of ``batch`` ``(n, c, y, x)`` float32."""
        family = cast("InstanceFamily", self._family)
        with self._turn(), torch.inference_mode(), self._precision(precision):
            tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
            return family.detections(self._fast, tensor)

    def objects(self, batch: npt.NDArray[np.float32], *, precision: str = "fp32") -> list[Objects]:
        """Detect as :meth:`detections` does, with limits that grow with what is there."""
        from napari_segnet.engines.torch.objects import find_all

        with self.at_work(precision) as module:
            tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
            return find_all(module, tensor)

    def look(self, picture: npt.NDArray[np.float32], *, precision: str = "fp32") -> Look:
        """Return what an instance network sees in a picture ``(c, y, x)`` float32, to ask of."""
        from napari_segnet.engines.torch.look import Look

        return Look(self, picture, precision)

    @contextlib.contextmanager
    def at_work(self, precision: str) -> Iterator[nn.Module]:
        """Hold the device, set the precision, and give the module that answers."""
        with self._turn(), torch.inference_mode(), self._precision(precision):
            yield self._fast

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Estimate the memory for ``batch`` inputs of ``([z,] y, x)`` pixels.

        Found by a dry run of the same size, which takes no memory, since layers shrink and
        grow with the pixels, but not in proportion where they lose their border.
        """
        if lengths not in self._bytes:
            if self._bare is None:
                with torch.device("meta"):
                    self._bare = fast_copy(self._family.build(self.checkpoint).eval(), "cpu")
            shape = (1, self.checkpoint.channels, *lengths)
            self._bytes[lengths] = peak_bytes(self._bare, self._dry, shape)
        return int(KERNEL_SHARE * self._bytes[lengths] * batch)

    def _dry(self, module: nn.Module, batch: torch.Tensor) -> Any:
        """Do what takes the memory: of instance networks the backbone, heads go by parts."""
        if self.checkpoint.task == "instance":
            from napari_segnet.families._maskrcnn_module import features

            return features(module, batch)
        return self._activated(cast("MapFamily", self._family).maps(module, batch))

    def _activated(self, answer: torch.Tensor) -> torch.Tensor:
        parts, first = [], 0
        for output in self.checkpoint.outputs:
            part = answer[:, first : first + output.channels]
            first += output.channels
            if output.activation == "sigmoid":
                part = part.float().sigmoid()
            elif output.activation == "softmax":
                part = part.float().softmax(1)
            parts.append(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until the device is free, unless the job is cancelled meanwhile."""
        lock = _turns[self.device]
        while not lock.acquire(timeout=LOOK_SECONDS):
            check_cancelled()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _precision(self, precision: str) -> Iterator[None]:
        """Set the precision for a while; TF32 is off unless it is asked for."""
        check_precision(precision, self.device)
        dtype = PRECISIONS[precision]
        if not self.device.startswith("cuda"):
            yield
            return
        convolution, product = (
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
        )
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        try:
            with torch.autocast("cuda", dtype=dtype, enabled=dtype is not None):
                yield
        finally:
            torch.backends.cudnn.allow_tf32 = convolution
            torch.backends.cuda.matmul.allow_tf32 = product


def check_precision(precision: str, device: str) -> None:
    """Refuse a precision that a device does not have.

    Raises
    ------
    SettingsError
        If it is none of ``fp32``, ``tf32``, ``fp16`` and ``bf16``, or needs a GPU.
    """
    if precision not in PRECISIONS:
        raise SettingsError(
            f"precision is {precision!r}, but can be auto, {', '.join(PRECISIONS)}."
        )
    if precision != "fp32" and not device.startswith("cuda"):
        raise SettingsError(
            f"precision {precision!r} needs a GPU of NVIDIA; on {device} it is slower than fp32 or "
            "not there. Leave precision at auto."
        )


def _facts(checkpoint: Checkpoint) -> str:
    """Return all that decides how the weights are used, as text."""
    store = (checkpoint.store.wrapper, checkpoint.store.prefix)
    how = (checkpoint.outputs, checkpoint.size, checkpoint.halo_px, checkpoint.exact)
    return repr((sorted(checkpoint.hparams.items()), store, *how))


def _with_halo(family: Family, checkpoint: Checkpoint) -> Checkpoint:
    """Add the receptive field, which needs the built network but not its weights."""
    if checkpoint.task != "semantic":
        return checkpoint
    with torch.device("meta"):
        module = family.build(checkpoint).eval()
    maps = cast("MapFamily", family).maps
    halo = receptive_field(module, maps, checkpoint.channels, checkpoint.size)
    if halo is None:
        why = "some layer looks at the whole image, so tiles are blended"
    else:
        why = "computed from the network's layers"
    fact = Known(source="read", why=why)
    known = {**checkpoint.known, "halo_px": fact, "exact": fact}
    return replace(checkpoint, halo_px=halo, exact=halo is not None, known=known)


def _filled(checkpoint: Checkpoint) -> nn.Module:
    """Build the network and give it the tensors of its file."""
    with torch.device("meta"):
        module = family_of(checkpoint).build(checkpoint)
    weights = _same_view(checkpoint)
    state: dict[str, torch.Tensor] = {}
    for file_key, key in checkpoint.store.keys.items():
        if file_key in weights.tensors:
            tensor = weights.tensors[file_key].load()
            state[key] = tensor.float() if tensor.is_floating_point() else tensor
            if not bool(torch.isfinite(state[key]).all()):
                raise BrokenWeightsError(
                    f"The tensor {file_key} of {checkpoint.path.name} holds numbers that are not "
                    "finite (NaN or infinity), so the network answers nothing. Its training went "
                    "astray: use a file saved earlier."
                )
    for key in module.state_dict():
        # Written since torch 0.4.1, and of no use for answering.
        if key.endswith("num_batches_tracked") and key not in state:
            state[key] = torch.zeros((), dtype=torch.int64)
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise BrokenWeightsError(
            f"The tensors of {checkpoint.path.name} no longer fit what was recognised. Has the "
            f"file changed? Open it again. ({str(error).splitlines()[-1].strip()})"
        ) from error
    return module.requires_grad_(False)


def _same_view(checkpoint: Checkpoint) -> Weights:
    store = checkpoint.store
    for weights in open_weights(checkpoint.path):
        if (weights.wrapper, weights.prefix) == (store.wrapper, store.prefix):
            if checkpoint.stamp in (None, weights.stamp):
                return weights
            break
    raise BrokenWeightsError(
        f"{checkpoint.path.name} has changed since it was recognised. Open it again."
    )


def _not_recognised(path: Path, seen: Weights) -> str:
    keys = list(seen.tensors)
    shown = ", ".join(f"{k} {seen.tensors[k].shape}" for k in keys[:4])
    names = "; ".join(family.title for family in FAMILIES)
    return (
        f"No known kind of network has the tensors of {path.name}: {len(keys)} of them, first "
        f"{shown}. Known kinds: {names}. Ask the sender which code wrote the file."
    )
