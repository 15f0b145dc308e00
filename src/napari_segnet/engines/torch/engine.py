"""TorchEngine: a network with its weights on one device, run by torch."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.openvino.choice import middle
from napari_segnet.engines.protocol import require_precision
from napari_segnet.engines.torch.device import (
    free_bytes,
    is_out_of_memory,
    on_threads,
    precisions,
    release,
)
from napari_segnet.engines.torch.dry import DryRun, activated
from napari_segnet.engines.torch.fast import fast_copy, watch_cancel
from napari_segnet.engines.turns import turn
from napari_segnet.families import (
    InstanceFamily,
    Look,
    MapFamily,
    PromptableFamily,
)
from napari_segnet.families.kit.blocks import depends_on_place, place, unplace
from napari_segnet.recognition import family_of
from napari_segnet.segmentation import Detected

__all__ = ["Network", "TorchEngine", "check_precision"]

PRECISIONS = {"fp32": None, "tf32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
"""And what torch's autocast makes of them."""


class TorchEngine:
    """A network with its weights on one device; see :class:`napari_segnet.engines.Engine`.

    Attributes
    ----------
    checkpoint : Checkpoint
        What it is.
    module : torch.nn.Module
        The network itself, in evaluation mode, on ``device``.
    device : str
        ``cpu``, ``mps`` or ``cuda:N``.
    threads : int
        Of the CPU, while it answers; 0: all that torch would take.
    """

    name = "torch"
    threads = 0

    def __init__(self, checkpoint: Checkpoint, module: nn.Module, device: str) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.module = module.to(device).eval()
        self._family = family_of(checkpoint)
        self._fast = fast_copy(self.module, device)
        if device == "cpu" and checkpoint.ndim == 2 and isinstance(self._family, MapFamily):
            # Twice as fast on a CPU: oneDNN's own layout.
            self._fast = self._fast.to(memory_format=torch.channels_last)
        watch_cancel(self._fast)
        self._placed = depends_on_place(self._fast)
        self._dry = DryRun(checkpoint)
        self._tile: npt.NDArray[np.float32] | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the weights, those of the copy that answers included."""
        tensors = itertools.chain.from_iterable(
            (*m.parameters(), *m.buffers()) for m in (self.module, self._fast)
        )
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(storages.values())

    def on_threads(self, threads: int) -> TorchEngine:
        """Return the same network, which takes so many threads while it answers; 0: all."""
        if threads == self.threads:
            return self
        other = copy.copy(self)  # module and weights are shared
        other.threads = threads
        return other

    @property
    def depends_on_offset(self) -> bool:
        """Tell if layers look at where a tile lies: those of a batch then begin at one place."""
        return self._placed

    @property
    def tile(self) -> npt.NDArray[np.float32] | None:
        """Return ``(1, c, [z,] y, x)``: a part of what it answered on a CPU."""
        return self._tile

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return what the device computes in."""
        return precisions(self.device)

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
        if self.device == "cpu":
            self._keep_tile(batch)
        with self._turn(), torch.inference_mode(), self._precision(precision):
            tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
            if self.device == "cpu" and tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            if self._placed and offset is not None and whole is not None:
                place(self._fast, offset, whole)
            try:
                answer = self._map_family.maps(self._fast, tensor)
            finally:
                if self._placed:
                    unplace(self._fast)
            result: npt.NDArray[np.float32] = (
                activated(self.checkpoint, answer).float().cpu().numpy()
            )
            return result

    def detect(self, batch: npt.NDArray[np.float32], *, precision: str = "fp32") -> list[Detected]:
        """Detect the objects of each picture of ``batch`` ``(n, c, y, x)`` float32."""
        family = self._family
        if not isinstance(family, InstanceFamily):
            raise TypeError(f"{family.title} does not detect objects")
        with self.at_work(precision) as module:
            tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
            return family.detections(module, tensor)

    def look(self, picture: npt.NDArray[np.float32], *, precision: str = "fp32") -> Look | None:
        """Return what the network sees in a picture ``(c, y, x)`` float32, to be prompted.

        None where its family has no such thing: then there are only the objects it detects.
        """
        from napari_segnet.engines.torch.look import InTurn

        family = self._family
        if not isinstance(family, PromptableFamily):
            return None
        with self.at_work(precision) as module:
            tensor = torch.from_numpy(np.ascontiguousarray(picture[None])).to(self.device)
            return InTurn(family.look(module, tensor), lambda: self.at_work(precision))

    @contextlib.contextmanager
    def at_work(self, precision: str) -> Iterator[nn.Module]:
        """Hold the device, set the precision, and give the module that answers."""
        with self._turn(), torch.inference_mode(), self._precision(precision):
            yield self._fast

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Estimate the memory for ``batch`` inputs of ``([z,] y, x)`` pixels."""
        return self._dry.peak_bytes(batch, lengths)

    def free_bytes(self) -> int:
        """Return the bytes that can really be taken on the device now."""
        return free_bytes(self.device)

    def release(self) -> None:
        """Give unused memory of the device back to the driver."""
        release(self.device)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell if an error of torch, or of Python, means that memory ran out."""
        return is_out_of_memory(error)

    def _keep_tile(self, batch: npt.NDArray[np.float32]) -> None:
        tile = middle(batch, self.checkpoint.size)
        if tile is not None and (self._tile is None or tile.size > self._tile.size):
            self._tile = tile

    @property
    def _map_family(self) -> MapFamily:
        if not isinstance(self._family, MapFamily):
            raise TypeError(f"{self._family.title} does not answer with maps")
        return self._family

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until the device is free; TF32, too, is switched for all of a process."""
        with turn(self.device), on_threads(self.threads):
            yield

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


Network = TorchEngine
"""The public name: ``sn.Network``."""


def check_precision(precision: str, device: str) -> None:
    """Refuse a precision that a device does not have; see :func:`require_precision`."""
    require_precision(precision, device, precisions(device))
