"""Keys of a viewer that act for a widget while it is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod, ref

__all__ = ["SharedKeys", "ViewerKeys", "shared_keys"]


class ViewerKeys:
    """The keys that a widget has taken in a viewer.

    They are keys of the viewer: every key of the selected layer goes before them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Not a stand-in.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer_ref = ref(
            viewer
        )  # who shares keys is kept by the viewer, and must not keep it
        self._bound: list[str] = []

    @property
    def _viewer(self) -> Any:
        viewer = self._viewer_ref()
        assert viewer is not None  # its docks have ended with it
        return viewer

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
        viewer = self._viewer_ref()
        if viewer is not None:
            for key in self._bound:
                viewer.bind_key(key, None, overwrite=True)
        self._bound.clear()


class SharedKeys:
    """Keys that act while any of several docks is seen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Not a stand-in.
    """

    def __init__(self, viewer: Any) -> None:
        self._keys = ViewerKeys(viewer)
        self._seen: set[str] = set()

    def hold(self, dock: str, acts: Mapping[str, Callable[[], None]]) -> None:
        """Let the keys act: a dock of that name is seen.

        Parameters
        ----------
        dock : str
            Name of the dock.
        acts : mapping of str to callable
            Key -> a bound method; only weak references are kept.
        """
        self._seen.add(dock)
        for key, method in acts.items():
            self._keys.bind(key, method)

    def release(self, dock: str) -> None:
        """Give the keys back if no other dock is seen."""
        self._seen.discard(dock)
        if not self._seen:
            self._keys.release()


_shared: WeakKeyDictionary[Any, SharedKeys] = WeakKeyDictionary()


def shared_keys(viewer: Any) -> SharedKeys:
    """Return the keys that all docks of a viewer share; the viewer is not a stand-in."""
    if viewer not in _shared:
        _shared[viewer] = SharedKeys(viewer)
    return _shared[viewer]


def _presser(method: WeakMethod[Any], arguments: tuple[Any, ...]) -> Callable[[Any], None]:
    """Return a function for a key; napari asks for its ``__name__``."""

    def pressed(viewer: Any) -> None:
        do = method()
        if do is not None:
            do(*arguments)

    return pressed
