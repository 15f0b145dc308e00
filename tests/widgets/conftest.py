"""Viewers for the tests of the window, and napari's view of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def make_viewer(make_napari_viewer: Callable[..., Any]) -> Callable[..., Any]:
    """Make viewers that are closed after the test; a widget that outlives them is an error.

    No network and no training set was used before.
    """
    from napari_segnet.widgets.qt.recent import store

    store().clear()

    def make(**arguments: Any) -> Any:
        return make_napari_viewer(strict_qt="raise", show_welcome_screen=False, **arguments)

    return make


@pytest.fixture
def viewer(make_viewer: Callable[..., Any]) -> Any:
    """Return a viewer that is not shown: enough wherever no pixel of the screen matters."""
    return make_viewer(show=False)


@pytest.fixture
def preferences_file(plugin_settings: None, npe2pm: Any) -> Iterator[Any]:
    """Return our settings in napari's preferences, at their defaults, for this test alone."""
    from napari.settings import get_plugin_settings
    from npe2 import PluginManifest

    from napari_segnet import cache

    before = cache.predictions.limit_bytes
    npe2pm.register(PluginManifest.from_distribution("napari-segnet"))
    yield get_plugin_settings("napari-segnet")
    cache.predictions.limit_bytes = before
