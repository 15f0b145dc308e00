"""What is done when Qt has deleted an object."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject

__all__ = ["when_deleted"]


def when_deleted(sender: QObject, call: Callable[[], object]) -> None:
    """Call something once, when Qt has deleted an object.

    A lambda or partial that is connected to ``destroyed`` itself ends the process with a
    segmentation fault: the Python object of a widget may be collected as garbage before Qt
    deletes the widget (after ``deleteLater``, after its window was closed). The function, which
    only the connection holds, is collected along with it: Python empties it, and Qt calls what
    is left. So this module holds the function until it was called.

    Parameters
    ----------
    sender : QObject
        Whose deletion is awaited.
    call : callable
        Holds neither the sender nor anything that leads to it, but by weak references: it would
        keep the sender from being collected, and so from being deleted.
    """
    waiting = _Waiting(call)
    _all_waiting.add(waiting)
    sender.destroyed.connect(waiting.end)


class _Waiting:
    """A call that waits for a deletion."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def end(self, gone: object = None) -> None:
        """Make the call; a bound method, which Qt's bindings refer to weakly."""
        _all_waiting.discard(self)
        self._call()


_all_waiting: set[_Waiting] = set()
