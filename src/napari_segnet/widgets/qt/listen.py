"""Listening to napari for as long as a widget lives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import WeakMethod

from qtpy.QtWidgets import QWidget

from napari_segnet.widgets.qt.deletion import when_deleted

__all__ = ["listen"]


def listen(widget: QWidget, emitters: Iterable[Any], method: Callable[..., None]) -> None:
    """Call a method of a widget at events of napari, and no more when Qt has deleted it.

    napari forgets a listener with its Python object, which may outlive the Qt object behind
    it: the next event would then be an error.

    Parameters
    ----------
    widget : QWidget
        Whose end is the end of listening.
    emitters : iterable of EventEmitter
        Of napari.
    method : callable
        A bound method; it is not kept alive.
    """
    known = tuple(emitters)
    for emitter in known:
        emitter.connect(method)
    when_deleted(widget, partial(_forget, known, WeakMethod(method)))


def _forget(emitters: tuple[Any, ...], method: WeakMethod[Any]) -> None:
    listener = method()
    if listener is not None:
        for emitter in emitters:
            emitter.disconnect(listener)
