"""Cluster: what a dask scheduler does for this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_segnet.engines.apart._there import Facts, Wanted, facts
from napari_segnet.errors import Remedy, SettingsError, WorkerLostError
from napari_segnet.extras import distributed_package
from napari_segnet.progress import check_cancelled

__all__ = ["Cluster", "Pending"]

LOCAL = "local"
"""In place of an address: workers of this machine, which end with this process."""
CONNECT_S = 20.0
"""How long a scheduler is waited for."""
WORKERS_S = 300.0
"""How long its workers are waited for: they may be jobs in a queue."""
LOOK_S = 0.2
"""How often one who waits looks if the job was cancelled, and if the scheduler is there."""
TRIES = 3
"""How often a task is sent again that was lost with a worker."""
QUIET = {"distributed.admin.large-graph-warning-threshold": "1GB"}
"""A tile is sent with its task, so that another worker can do it as well; few at a time are."""


class Pending:
    """An answer that is awaited.

    Parameters
    ----------
    cluster : Cluster
        Who is asked.
    send : callable
        Sends the task and returns its future.
    """

    def __init__(self, cluster: Cluster, send: Callable[[], Any]) -> None:
        self._cluster, self._send = cluster, send
        self._future = send()

    def result(self) -> Any:
        """Wait for the answer.

        Raises
        ------
        WorkerLostError
            If the scheduler is gone, or worker after worker ended over this task.
        Cancelled
            If the job at work was cancelled.
        """
        for _ in range(TRIES):
            self._cluster.wait(self._future)
            if self._future.status in ("finished", "error"):
                break
            self._future = self._send()  # it was lost with who had it
        if self._future.status == "finished":
            return self._future.result()
        raise self._cluster.failure(self._future)

    def cancel(self) -> None:
        """Want it no more."""
        self._future.release()


class Cluster:
    """A connection to a dask scheduler.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://127.0.0.1:8786``; ``local`` for workers of this machine.

    Raises
    ------
    MissingExtraError
        If dask.distributed is not installed.
    WorkerLostError
        If no scheduler answers there, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        distributed_package()
        import dask
        from distributed import Client

        self.address = address
        self._known: set[str] = set()
        self._introducing = threading.Lock()
        self._home: Any = None
        dask.config.set(QUIET)
        try:
            self._home = _local() if address == LOCAL else None
            self._client = Client(self._home or address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise WorkerLostError(
                f"No dask scheduler answers at {address} ({said}). Start it "
                "with 'dask scheduler', and check the address and the SSH tunnel; then run again."
            ) from error
        try:
            self._await_workers()
            self._require_same_version()
        except BaseException:  # also where the run is cancelled: nobody has this connection
            self.close()
            raise

    @property
    def lives(self) -> bool:
        """Tell if the scheduler is there."""
        return str(self._client.status) == "running"

    @property
    def window(self) -> int:
        """Return how many tasks are sent before the first is answered."""
        threads = sum(int(one["nthreads"]) for one in self._workers().values())
        return max(2, threads + len(self._workers()))

    @property
    def workers(self) -> int:
        """Return how many workers there are now."""
        return len(self._workers())

    def begin(self, function: Callable[..., Any], *args: Any, **more: Any) -> Pending:
        """Let a worker call a function of this package; its arguments pickle."""

        def send() -> Any:
            if not self.lives:
                raise self.gone()
            return self._client.submit(function, *args, **more, pure=False)

        return Pending(self, send)

    def call(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Do the same and wait for what it returns."""
        return self.begin(function, *args, **more).result()

    def everywhere(self, function: Callable[..., Any], *args: Any) -> bool:
        """Tell if a function returns true on each worker, with nobody failing."""
        answers = self._client.run(function, *args, on_error="return")
        return bool(answers) and all(answer is True for answer in answers.values())

    def introduce(self, wanted: Wanted) -> Facts:
        """Make an engine known to all workers; the weights go to each once."""
        from napari_segnet.engines.cluster._plugin import Introduce

        with self._introducing:  # images at work at once have one network
            if wanted.key not in self._known:
                weights = None if self._home is not None else self._bytes_of(wanted.checkpoint.path)
                self._client.register_plugin(Introduce(wanted, weights))
                self._known.add(wanted.key)
        found: Facts = self.call(facts, wanted.key)
        return found

    def _bytes_of(self, path: Path) -> bytes | None:
        """Return the weights; None for a folder, where each worker sees it."""
        if path.is_file():
            return path.read_bytes()
        if self.everywhere(os.path.isdir, str(path)):
            return None
        raise SettingsError(
            f"{path.name} is a folder, which is not sent to other machines. Put it where each "
            "worker sees it under the same path."
        )

    def wait(self, future: Any) -> None:
        """Wait for the end of a task, whatever that is."""
        from distributed import CancelledError, TimeoutError, wait

        while True:
            check_cancelled()
            if not self.lives:
                raise self.gone()
            try:
                with self._client.as_current():
                    wait(future, timeout=LOOK_S)
            except TimeoutError:
                continue
            except CancelledError:  # the status says so, too
                pass
            return

    def failure(self, future: Any) -> BaseException:
        """Return what a task failed by."""
        from distributed import KilledWorker

        if not self.lives:
            return self.gone()
        error = future.exception() if future.status == "error" else None
        if error is None or isinstance(error, KilledWorker):
            tile = Remedy("tile_px", "256")
            return WorkerLostError(
                "Several workers ended while they worked on one tile, most likely since memory ran "
                f"out. Let the network see less at once with {tile}; then run again.",
                remedies=(tile,),
            )
        plain: BaseException = error
        return plain

    def gone(self) -> WorkerLostError:
        """Return what to say where the scheduler is no more."""
        return WorkerLostError(
            f"The dask scheduler at {self.address} is gone. What is finished is kept, and nothing "
            "is half written. Start it and its workers again, then run again with --resume."
        )

    def close(self) -> None:
        """Let go of the scheduler; workers of this machine end."""
        self._client.close(timeout=2)
        if self._home is not None:
            self._home.close(timeout=5)

    def _workers(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _await_workers(self) -> None:
        until = time.monotonic() + WORKERS_S
        while not self._workers():
            check_cancelled()
            if time.monotonic() > until:
                raise WorkerLostError(
                    f"The dask scheduler at {self.address} has had no worker for "
                    f"{WORKERS_S / 60:.0f} minutes. Start some with 'dask worker ADDRESS'; then "
                    "run again."
                )
            time.sleep(LOOK_S)

    def _require_same_version(self) -> None:
        mine = version("napari-segnet")
        there = self._client.run(_version, on_error="return")
        other = [str(found) for found in there.values() if found != mine]
        if other:
            raise SettingsError(
                f"Workers of {self.address} need napari-segnet {mine}, as it is here, but one "
                f"says: {other[0]}. Install the same version in their Python."
            )


def _local() -> Any:
    """Start workers of this machine: one for each graphics processor, else for two cores."""
    from distributed import LocalCluster

    from napari_segnet.engines import ENGINES

    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    chips = sum(name.startswith("cuda") for name in ENGINES[0].devices())
    workers = chips or max(2, cores // 2)
    threads = str(max(1, cores // workers))
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=50,
        env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
    )


def _version() -> str:
    return version("napari-segnet")
