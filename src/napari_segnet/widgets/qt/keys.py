"""Keys of a viewer that act for a widget while it is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

__all__ = ["ViewerKeys"]


class ViewerKeys:
    """The keys that a widget has taken in a viewer.

    They are keys of the viewer: every key of the selected layer goes before them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Not a stand-in.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._bound: list[str] = []

    def bind(self, key: str, method: Callable[..., None], *arguments: Any) -> None:
        """Let a key call a method; a key that another plugin has taken stays with it.

        Parameters
        ----------
        key : str
            As napari writes it.
        method : callable
            A bound method; only a weak reference is kept.
        *arguments
            What it is called with.
        """
        from napari.utils.key_bindings import coerce_keybinding

        if key in self._bound or coerce_keybinding(key) in self._viewer.keymap:
            return
        self._viewer.bind_key(key, _presser(WeakMethod(method), arguments))
        self._bound.append(key)

    def release(self) -> None:
        """Give the keys back."""
        for key in self._bound:
            self._viewer.bind_key(key, None, overwrite=True)
        self._bound.clear()


def _presser(method: WeakMethod[Any], arguments: tuple[Any, ...]) -> Callable[[Any], None]:
    """Return a function for a key; napari asks for its ``__name__``."""

    def pressed(viewer: Any) -> None:
        do = method()
        if do is not None:
            do(*arguments)

    return pressed
