"""What an engine is, and what every kind of it asks of a wish for a device or a precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari_segnet.errors import Remedy, SettingsError
from napari_segnet.settings import suggestion

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.families import Look
    from napari_segnet.segmentation import Detected

__all__ = [
    "PRECISIONS",
    "AnswersParts",
    "Engine",
    "EngineKind",
    "choose_device",
    "require_precision",
]

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
"""What a device may compute in, most exact first."""


class Engine(Protocol):
    """A network with its weights on one device, ready to answer."""

    @property
    def name(self) -> str:
        """Return the name of its kind."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Return what the network is."""

    @property
    def device(self) -> str:
        """Return where it runs: ``cpu``, or another of its kind's devices."""

    @property
    def threads(self) -> int:
        """Return how many threads of the CPU it takes while it answers; 0: as many as it likes."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return what it can compute in on its device; ``fp32`` is always among them."""

    @property
    def depends_on_offset(self) -> bool:
        """Tell if the answer depends on where a tile lies in the whole.

        All tiles of a batch must then begin at one place.
        """

    def maps(
        self,
        batch: npt.NDArray[np.float32],
        *,
        precision: str = "fp32",
        offset: tuple[int, ...] | None = None,
        whole: tuple[int, ...] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Answer a batch of a network that answers with maps.

        Parameters
        ----------
        batch : ndarray
            ``(n, c, [z,] y, x)`` float32, prepared, of an allowed size.
        precision : str
            One of ``precisions``.
        offset, whole : tuple of int, optional
            Where the batch begins in the frame, and the frame's size ``([z,] y, x)`` in
            pixels, for networks whose answer depends on it.

        Returns
        -------
        ndarray
            ``(n, channel, [z,] y, x)`` float32, after the activations.
        """

    def detect(self, batch: npt.NDArray[np.float32], *, precision: str = "fp32") -> list[Detected]:
        """Return the objects of each picture of ``batch`` ``(n, c, y, x)`` float32."""

    def look(self, picture: npt.NDArray[np.float32], *, precision: str = "fp32") -> Look | None:
        """Return what an instance network sees in a picture ``(c, y, x)``, to be prompted.

        None if it cannot be asked about a box: then only what it detects is known.
        """

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Estimate the memory for ``batch`` inputs of ``([z,] y, x)`` pixels."""

    def free_bytes(self) -> int:
        """Return the bytes that can be taken on its device now."""

    def release(self) -> None:
        """Give memory that is held but not used back to the system."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell if an error of this engine means that memory ran out."""


@runtime_checkable
class AnswersParts(Protocol):
    """An engine that spares what a part of an answer does not need."""

    def part(
        self, batch: npt.NDArray[np.float32], keep: tuple[slice, ...], *, precision: str = "fp32"
    ) -> npt.NDArray[np.float32]:
        """Answer a part of a batch: what ``maps`` says there, but for its rounding.

        Parameters
        ----------
        batch : ndarray
            ``(n, c, [z,] y, x)``, as of :meth:`Engine.maps`.
        keep : tuple of slice
            The part, per axis ``([z,] y, x)``, in pixels of the answer.
        precision : str
            As of :meth:`Engine.maps`.
        """


class EngineKind(Protocol):
    """A way to run networks; it holds no network."""

    @property
    def name(self) -> str:
        """Return a short and stable name, such as ``"torch"``."""

    def runs(self, checkpoint: Checkpoint) -> bool:
        """Tell if it can run this network."""

    def devices(self) -> tuple[str, ...]:
        """Return the devices of this machine, the best first; ``cpu`` is the last."""

    def precisions(self, device: str) -> tuple[str, ...]:
        """Return what can be computed in on a device; ``fp32`` is always among them."""

    def load(self, checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> Engine:
        """Read the weights and put them on a device.

        ``auto``: the best device; the CPU, if the best one has no room for the weights.
        ``threads``: of the CPU, that it takes while it answers; 0: as many as it likes.

        Raises
        ------
        SettingsError
            If the device is not there.
        MemoryExhaustedError
            If there is no room for the weights.
        WeightsError
            If the file has changed since it was recognised.
        """


def choose_device(wish: str, there: Sequence[str]) -> str:
    """Return the device for a wish: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Parameters
    ----------
    wish : str
        The setting ``device``.
    there : sequence of str
        An engine's devices, the best first.

    Raises
    ------
    SettingsError
        If the device is not there; the message says what is.
    """
    if wish == "auto":
        return there[0]
    device = "cuda:0" if wish == "cuda" else wish
    if device not in there:
        auto = Remedy("device", "auto")
        # Who writes gpu does not mean cpu.
        near = suggestion(wish, [name for name in there if name != "cpu" or "c" in wish.lower()])
        raise SettingsError(
            f"The device {wish!r} is not available here{near}. Available: "
            f"{', '.join(there)}; or leave it to {auto}.",
            remedies=(auto,),
        )
    return device


def require_precision(precision: str, device: str, there: Sequence[str]) -> None:
    """Refuse a precision that a device does not have.

    Parameters
    ----------
    precision : str
        One of ``PRECISIONS``.
    device : str
        For the message.
    there : sequence of str
        What the engine can compute in on that device.

    Raises
    ------
    SettingsError
        If it is none of ``fp32``, ``tf32``, ``fp16`` and ``bf16``, or needs a GPU.
    """
    if precision not in PRECISIONS:
        raise SettingsError(
            f"precision is {precision!r}, but can be auto, {', '.join(PRECISIONS)}."
        )
    if precision not in there:
        raise SettingsError(
            f"precision {precision!r} needs a GPU of NVIDIA; on {device} it is slower than fp32 or "
            "not there. Leave precision at auto."
        )
