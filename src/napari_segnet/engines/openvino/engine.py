"""OpenVinoEngine: a converted network on one device, run by OpenVINO."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.facts import deciding_facts
from napari_segnet.engines.openvino.convert import converted, first_line
from napari_segnet.engines.openvino.cut import graph_of
from napari_segnet.engines.openvino.device import (
    compiled,
    core,
    devices,
    is_out_of_memory,
    plain_threads,
)
from napari_segnet.engines.protocol import choose_device, require_precision
from napari_segnet.engines.torch.device import free_bytes
from napari_segnet.engines.torch.dry import DryRun
from napari_segnet.engines.turns import at_once, turn
from napari_segnet.errors import Cancelled, EngineError, MemoryExhaustedError, SegnetError
from napari_segnet.families import Look
from napari_segnet.graph import Cuts, Graph, cuts_for
from napari_segnet.progress import check_cancelled
from napari_segnet.segmentation import Detected

__all__ = ["OpenVinoEngine", "load"]

MOST_KEPT = 0.9
"""Of the pixels of a tile; where more of its answer are kept, to cut it spares too little."""
LOOK_MS = 20
"""How often a tile at work looks whether the job was cancelled."""
HELD_BYTES = 256 * 1024**2
"""What tiles leave taken for good; of larger ones memory is given back after ``IDLE_S``."""
SMALL_PX = 512**2
"""An answer of so many pixels is small: two of one thread beside each other took 0.55 s where one
after the other by two threads took 0.60 s, and 0.69 times as long beside other programs."""
IDLE_S = 60.0
"""Without a tile for so long, memory is given back. To get it anew for each tile took 0.11 s of the
0.74 s of a tile of 1024 x 1024 pixels of the built-in network."""


def load(checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> OpenVinoEngine:
    """Compile a network for a device; loaded ones are kept for a while.

    See :meth:`napari_segnet.engines.EngineKind.load`.
    """
    best = choose_device(device, devices())
    taken = threads or plain_threads()
    key = ("openvino", checkpoint.sha256, deciding_facts(checkpoint), best, taken)
    kept = cast("OpenVinoEngine | None", cache.networks.get(key))
    if kept is None:
        try:
            kept = _compiled(checkpoint, best, taken)
        except (SegnetError, Cancelled):
            raise
        except Exception as error:  # of OpenVINO, in any of its parts
            if not is_out_of_memory(error):
                raise _failed(checkpoint, error) from error
        else:
            cache.networks.put(key, kept, kept.bytes)
    if kept is not None:
        return kept.with_threads(threads)
    if device == "auto" and best != "cpu":
        return load(checkpoint, "cpu", threads)
    raise MemoryExhaustedError(
        f"There is not enough memory on {best} for the weights of {checkpoint.path.name} "
        f"({4 * checkpoint.parameters / 1e9:.1f} GB). Close other programs or choose another "
        "device."
    )


def _compiled(checkpoint: Checkpoint, device: str, threads: int) -> OpenVinoEngine:
    home = converted(checkpoint)
    if not home.is_sound():
        home.discard()
        raise EngineError(
            f"The converted network of {checkpoint.path.name} was damaged on disk and has been "
            "removed"
        )
    home.touch()
    with turn(device):
        program = _Program(core().read_model(home.model), device, threads)
    cut = None
    if home.cut is not None and (graph := graph_of(checkpoint)) is not None:
        # Read now: another program may remove the files before a part is asked for.
        cut = _Cut(graph, core().read_model(home.cut), device, threads)
    return OpenVinoEngine(checkpoint, program, device, cut=cut)


def _failed(checkpoint: Checkpoint, error: BaseException) -> EngineError:
    said = first_line(error)
    return EngineError(f"The engine openvino failed on {checkpoint.path.name} ({said})")


class _Program:
    """A network that is compiled, and can be compiled anew.

    Parameters
    ----------
    model : openvino.Model
        As it was read; its weights stay in their file.
    device, threads : str and int
        What it is compiled for.

    Attributes
    ----------
    held_bytes : int
        What it holds for the next tile, as estimated.
    """

    def __init__(self, model: Any, device: str, threads: int) -> None:
        self._make = functools.partial(compiled, model, device, threads)
        self._device, self._threads = device, threads
        self._several: tuple[int, Any] = (1, None)
        self._requests: list[Any] = []
        self.network: Any = self._make()
        self.held_bytes, self._used = 0, 0.0
        self._idle: threading.Timer | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def request(self, count: int) -> Iterator[Any]:
        """Lend a request of the network for ``count`` at once; with a turn held.

        One of several waits for the next tile, unless this one raised something: to make a request
        often waits for the tile at work beside it. One that is alone would hold a large tile.
        """
        if count == 1:
            yield self.network.create_infer_request()
            return
        with self._lock:
            if self._several[0] != count:
                self._requests.clear()
                self._several = (count, self._make(streams=count))
            network = self._several[1]
            request = self._requests.pop() if self._requests else network.create_infer_request()
        yield request
        with self._lock:
            if network is self._several[1]:
                self._requests.append(request)

    def most_at_once(self, batch: npt.NDArray[np.float32]) -> int:
        """Return how many such batches may be answered at once, each by threads of its own."""
        is_small = batch.size // batch.shape[1] <= SMALL_PX
        return min(at_once(), self._threads) if is_small and self._device == "cpu" else 1

    def renew(self, count: int) -> None:
        """Compile it again: once cancelled, OpenVINO 2026.4 repeats old answers.

        The network of several requests is compiled when it is needed; whoever is answered by it at
        this moment is cancelled, too.
        """
        if count > 1:
            with self._lock:
                self._requests.clear()
                self._several = (1, None)
            return
        self.network = None
        self.network = self._make()
        self.held_bytes = 0

    def hold(self, needed: int) -> None:
        """Keep the memory of a tile for the next one, if that comes soon; with its turn held."""
        with self._lock:
            self.held_bytes, self._used = max(self.held_bytes, needed), time.monotonic()
            much = self.held_bytes > HELD_BYTES or self._several[1] is not None
            if much and self._idle is None:
                self._look_in(IDLE_S)

    def _look_in(self, seconds: float) -> None:
        """See later if it rests; with its lock held. One look waits, however many tiles come."""
        self._idle = threading.Timer(seconds, self._rest)
        self._idle.daemon = True
        self._idle.start()

    def release(self) -> None:
        """Give memory that is held between two tiles back to the system."""
        with turn(self._device):
            self._let_go()

    def _rest(self) -> None:
        with turn(self._device):
            with self._lock:
                left = self._used + IDLE_S - time.monotonic()
                self._idle = None
                if left > 0:  # a tile was at work meanwhile
                    self._look_in(left)
            if left <= 0:
                self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            self._requests.clear()
            self._several = (1, None)
        self.network.release_memory()
        self.held_bytes = 0


class _Cut:
    """A network that is cut for parts of its answer; compiled for the first of them.

    Parameters
    ----------
    graph : Graph
        The network.
    model : openvino.Model
        As it was read; its weights stay in their file.
    device, threads : str and int
        What it is compiled for.
    """

    def __init__(self, graph: Graph, model: Any, device: str, threads: int) -> None:
        self._graph = graph
        self._make = functools.partial(_Program, model, device, threads)
        self._known: dict[tuple[tuple[int, ...], str], Cuts | None] = {}
        self.program: _Program | None = None
        self._lock = threading.Lock()

    def compiled(self) -> _Program:
        """Return what runs it; with its turn held, which others may share."""
        with self._lock:
            if self.program is None:
                self.program = self._make()
            return self.program

    def at(self, lengths: tuple[int, ...], keep: tuple[slice, ...]) -> Cuts | None:
        """Return where it is cut; None where little of a tile is left out, or it cannot be."""
        kept = math.prod(part.stop - part.start for part in keep)
        if kept > MOST_KEPT * math.prod(lengths):
            return None
        key = (lengths, repr(keep))
        if key not in self._known:  # tiles of an image have few sizes
            self._known[key] = cuts_for(self._graph, lengths, keep)
        return self._known[key]


def _answered(
    program: _Program, given: list[npt.NDArray[Any]], most: int, keep: tuple[slice, ...]
) -> npt.NDArray[np.float32]:
    """Return what a request answers; one that was cancelled is of no use any more."""
    with program.request(most) as request:
        # Shared: what is given must stay as it is until it is answered, and does.
        request.start_async(given, share_inputs=True)
        try:
            while not request.wait_for(LOOK_MS):
                check_cancelled()
        except Cancelled:
            request.cancel()
            with contextlib.suppress(RuntimeError):  # says that it was cancelled
                request.wait()
            raise
        request.wait()  # raises what went wrong, which wait_for keeps to itself
        return np.array(request.get_output_tensor(0).data[keep], np.float32)


class OpenVinoEngine:
    """A network with its weights on one device; see :class:`napari_segnet.engines.Engine`.

    Parameters
    ----------
    checkpoint : Checkpoint
        What it is.
    program : _Program
        Compiled for the device, and for a number of threads.
    device : str
        ``cpu`` or ``xpu:N``.
    threads : int
        What was asked for; 0: all.
    dry : DryRun, optional
        What estimates its memory.
    cut : _Cut, optional
        The same network, cut for parts of its answer.
    """

    name = "openvino"
    precisions = ("fp32",)
    depends_on_offset = False
    """Networks that look at where a tile lies are not converted."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        program: _Program,
        device: str,
        threads: int = 0,
        dry: DryRun | None = None,
        cut: _Cut | None = None,
    ) -> None:
        self.checkpoint, self.device, self.threads = checkpoint, device, threads
        self._program, self._cut = program, cut
        self._dry = dry or DryRun(checkpoint)

    @property
    def bytes(self) -> int:
        """Bytes of the weights, as they are laid out for the device; once more where it is cut."""
        return 4 * self.checkpoint.parameters * (1 if self._cut is None else 2)

    def with_threads(self, threads: int) -> OpenVinoEngine:
        """Return the same network under the number of threads that was asked for."""
        if threads == self.threads:
            return self
        own = self._program, self.device, threads, self._dry, self._cut
        return OpenVinoEngine(self.checkpoint, *own)

    def maps(
        self,
        batch: npt.NDArray[np.float32],
        *,
        precision: str = "fp32",
        offset: tuple[int, ...] | None = None,
        whole: tuple[int, ...] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Answer a batch ``(n, c, [z,] y, x)``; see :meth:`napari_segnet.engines.Engine.maps`."""
        require_precision(precision, self.device, self.precisions)
        return self._in_turn(lambda: self._program, batch)

    def part(
        self, batch: npt.NDArray[np.float32], keep: tuple[slice, ...], *, precision: str = "fp32"
    ) -> npt.NDArray[np.float32]:
        """Answer a part of a batch; see :meth:`napari_segnet.engines.AnswersParts.part`."""
        lengths = tuple(batch.shape[2:])
        cuts = None if self._cut is None else self._cut.at(lengths, keep)
        if self._cut is None or cuts is None:
            return self.maps(batch, precision=precision)[(slice(None), slice(None), *keep)]
        require_precision(precision, self.device, self.precisions)
        return self._in_turn(
            self._cut.compiled, batch[(slice(None), slice(None), *cuts.image)], cuts
        )

    def _in_turn(
        self,
        program_of: Callable[[], _Program],
        batch: npt.NDArray[np.float32],
        cuts: Cuts | None = None,
    ) -> npt.NDArray[np.float32]:
        most = self._program.most_at_once(batch)
        with turn(self.device, most):
            check_cancelled()
            try:
                program, given = program_of(), [np.ascontiguousarray(batch, np.float32)]
                if cuts is not None:
                    given.append(np.array(cuts.bounds, np.int64))
                keep = () if cuts is None else (slice(None), slice(None), *cuts.keep)
                answer = self._answer(program, given, most, keep)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                raise _failed(self.checkpoint, error) from error
            program.hold(most * self.peak_bytes(len(batch), batch.shape[2:]))
        return answer

    def _answer(
        self,
        program: _Program,
        given: list[npt.NDArray[Any]],
        most: int,
        keep: tuple[slice, ...] = (),
    ) -> npt.NDArray[np.float32]:
        try:
            return _answered(program, given, most, keep)
        except Cancelled as error:
            # They hold the request, which holds the network and the memory of its tile.
            traceback.clear_frames(error.__traceback__)
            program.renew(most)
            raise

    def detect(self, batch: npt.NDArray[np.float32], *, precision: str = "fp32") -> list[Detected]:
        """Refuse: only networks that answer with maps are converted."""
        raise TypeError(f"{self.checkpoint.family} does not detect objects by OpenVINO")

    def look(self, picture: npt.NDArray[np.float32], *, precision: str = "fp32") -> Look | None:
        """Return None: a network of maps is not asked about boxes."""
        return None

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Estimate the memory for ``batch`` inputs of ``([z,] y, x)`` pixels.

        As for torch: OpenVINO was measured to take 0.81 to 0.87 of that for tiles of 512² to 1536²,
        0.96 for 2048².
        """
        return self._dry.peak_bytes(batch, tuple(lengths))

    def free_bytes(self) -> int:
        """Return the bytes that can be taken now, those that it holds unused among them.

        Graphics of Intel share the main memory.
        """
        return free_bytes("cpu") + sum(program.held_bytes for program in self._programs)

    def release(self) -> None:
        """Give memory that is held between two tiles back to the system."""
        for program in self._programs:
            program.release()

    @property
    def _programs(self) -> list[_Program]:
        cut = None if self._cut is None else self._cut.program
        return [self._program] if cut is None else [self._program, cut]

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell if an error of OpenVINO, or of Python, means that memory ran out."""
        return is_out_of_memory(error)
