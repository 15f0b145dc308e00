"""Engines on other machines, or on several devices of this one, by way of a dask scheduler.

:func:`connect` makes every engine of this process such a one, until :func:`disconnect`. Tasks are
plain futures; few are under way at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from napari_segnet.engines.apart import wanted_of
from napari_segnet.engines.apart._engine import ApartEngine
from napari_segnet.engines.elsewhere import run_at
from napari_segnet.errors import WorkerLostError
from napari_segnet.progress import check_cancelled

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.engines.apart._there import Facts, Wanted
    from napari_segnet.engines.cluster._scheduler import Cluster, Pending

__all__ = [
    "ClusterEngine",
    "WorksAhead",
    "connect",
    "disconnect",
    "is_clustered",
    "load_on_cluster",
    "use",
    "workers",
]

_lock = threading.Lock()
"""Held while a connection is made, which takes up to minutes."""
_names = threading.Lock()
"""Held for moments: what follows is read or changed."""
_address: list[str] = []
_connection: list[Cluster] = []
"""Where tasks go, and the connection, which is made again where it was lost."""
_failures: list[str] = []
"""Why connections could not be made."""
LOCK_S = 0.2
"""How often one who waits for a connection looks if the job was cancelled."""


@runtime_checkable
class WorksAhead(Protocol):
    """Optional: an engine that takes tasks before it has answered the ones before."""

    key: str
    """By which functions name it, where it is."""

    @property
    def window(self) -> int:
        """Return how many tasks it takes at once."""

    def begin(self, function: Callable[..., Any], *args: Any) -> Pending:
        """Let a function of this package be called where the network is."""

    def everywhere(self, function: Callable[..., Any], *args: Any) -> bool:
        """Tell if a function returns true wherever the network may be."""


class ClusterEngine(ApartEngine):
    """An engine on the workers of a cluster; what is asked goes to one that is free.

    Parameters
    ----------
    wanted, facts
        As ``ApartEngine`` takes them.
    cluster : Cluster
        The connection.
    """

    def __init__(self, wanted: Wanted, facts: Facts, cluster: Cluster) -> None:
        super().__init__(
            wanted,
            facts,
            cluster.call,
            load=lambda: cluster.introduce(wanted),
            turn=lambda _device: nullcontext(),
        )
        self.key = wanted.key
        self.begin, self.everywhere = cluster.begin, cluster.everywhere
        self._connection = cluster

    @property
    def window(self) -> int:
        """Return how many tasks are under way at once."""
        return self._connection.window

    @property
    def tile(self) -> None:
        """Return nothing: no other engine is tried beside."""


def connect(address: str) -> None:
    """Run networks on a cluster from now on.

    Parameters
    ----------
    address : str
        Of its scheduler; ``local``: workers of this machine.

    Raises
    ------
    MissingExtraError
        If dask.distributed is not installed.
    WorkerLostError
        If no scheduler answers there, or it has no workers.
    """
    use(address)
    try:
        _connected()
    except BaseException:
        if _address == [address]:
            disconnect()
        raise


def use(address: str) -> None:
    """Run networks on a cluster once one is asked for; empty: here again.

    Returns at once: a connection to another one is closed beside what is at work here.
    """
    if _address == ([address] if address else []):
        return
    before = _replaced(address)
    if before is not None:
        threading.Thread(target=before.close, daemon=True).start()


def disconnect() -> None:
    """Run networks here again."""
    before = _replaced("")
    if before is not None:
        before.close()


def _replaced(address: str) -> Cluster | None:
    """Name another scheduler, or none; return the connection to the one before."""
    with _names:
        _address[:] = [address] if address else []
        run_at("cluster", load_on_cluster if address else None)
        return _connection.pop() if _connection else None


def is_clustered() -> bool:
    """Tell if networks are run on a cluster."""
    return bool(_address)


def workers() -> int:
    """Return how many workers there are now."""
    return _connected().workers


def load_on_cluster(
    checkpoint: Checkpoint, device: str = "auto", threads: int = 0, wish: str = "auto"
) -> ClusterEngine:
    """Make a network known there; see ``engine_for``."""
    cluster, wanted = _connected(), wanted_of(checkpoint, device, threads, wish)
    return ClusterEngine(wanted, cluster.introduce(wanted), cluster)


def _connected() -> Cluster:
    """Return the connection: another one, if the scheduler was lost.

    Who waits while somebody else tries in vain fails with it: one after the other they would wait
    as many times as long.
    """
    before = len(_failures)
    while not _lock.acquire(timeout=LOCK_S):
        check_cancelled()
    try:
        with _names:
            address = _address[0] if _address else ""
            lost = bool(_connection) and not _connection[0].lives
            found = _connection.pop() if lost else None
            if found is None and _connection:
                return _connection[0]
        if found is not None:
            found.close()
        if len(_failures) > before:
            raise WorkerLostError(_failures[-1])
        made = _connect(address) if address else None
        with _names:
            if made is not None and _address == [address]:
                _connection.append(made)
                return made
        if made is not None:
            made.close()
        raise WorkerLostError(
            "The address of the dask scheduler was changed while this run waited for it. Run again."
        )
    finally:
        _lock.release()


def _connect(address: str) -> Cluster:
    from napari_segnet.engines.cluster._scheduler import Cluster

    try:
        return Cluster(address)
    except WorkerLostError as error:
        _failures.append(str(error))
        raise
