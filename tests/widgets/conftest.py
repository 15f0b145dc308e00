"""Viewers for the tests of the window, and napari's view of this package."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def garbage_at_the_end() -> Iterator[None]:
    """Let Python see all objects again when it ends; libraries in C++ count theirs."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def modules_out_of_sight(garbage_at_the_end: None) -> None:
    """Let the collections of garbage, two for each viewer, pass over all that was imported.

    They look for viewers that outlive their test; among the million objects of torch, napari
    and the tests themselves each would take half a second, half of what a viewer costs.
    """
    import napari._qt.qt_viewer  # what the first viewer would import
    import napari.viewer  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture
def make_viewer(
    modules_out_of_sight: None, make_napari_viewer: Callable[..., Any]
) -> Callable[..., Any]:
    """Make viewers that are closed after the test; a widget that outlives them is an error."""

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
