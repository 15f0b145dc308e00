"""Keys that a widget takes in a viewer, and gives back."""

from __future__ import annotations

import gc

from napari.components import ViewerModel
from napari.utils.key_bindings import coerce_keybinding

from napari_segnet.widgets.qt.keys import ViewerKeys


class Asked:
    """Remembers what it was asked to do."""

    def __init__(self) -> None:
        self.acts: list[str] = []

    def act(self, name: str = "act") -> None:
        self.acts.append(name)


def press(viewer, key):
    viewer.keymap[coerce_keybinding(key)](viewer)


def test_a_key_calls_its_method_until_it_is_given_back():
    viewer, asked = ViewerModel(), Asked()
    keys = ViewerKeys(viewer)
    keys.bind("Shift-J", asked.act)
    keys.bind("J", asked.act, "merge")
    press(viewer, "Shift-J")
    press(viewer, "J")
    assert asked.acts == ["act", "merge"]
    keys.release()
    assert coerce_keybinding("J") not in viewer.keymap


def test_a_key_of_another_plugin_stays_with_it():
    viewer, mine, others = ViewerModel(), Asked(), Asked()
    viewer.bind_key("J", lambda viewer: others.act())
    keys = ViewerKeys(viewer)
    keys.bind("J", mine.act)
    press(viewer, "J")
    assert (mine.acts, others.acts) == ([], ["act"])
    keys.release()
    press(viewer, "J")
    assert others.acts == ["act", "act"]


def test_a_key_keeps_nothing_alive():
    viewer, asked = ViewerModel(), Asked()
    acts = asked.acts
    ViewerKeys(viewer).bind("J", asked.act)
    del asked
    gc.collect()
    press(viewer, "J")
    assert acts == []
