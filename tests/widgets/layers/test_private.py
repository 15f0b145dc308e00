"""The contract with napari's private names: where one of these fails, napari has changed it."""

from __future__ import annotations

import re
from collections import deque

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_segnet.widgets.layers import private

WORDS = (
    "_undo_history",
    "_redo_history",
    "_staged_history",
    "_history_limit",
    "_reset_history",
    "_qt_window",
    "_qt_viewer",
    "_type_string",
    "__wrapped__",
)
SOURCES = "src/napari_segnet"


def changed(name):
    return (
        f"napari has changed {name} ({private.USED[name]}): mend "
        "widgets/layers/private.py, the only file that uses it."
    )


def sources(root):
    return {path.relative_to(root / SOURCES): path for path in (root / SOURCES).rglob("*.py")}


def files_with(root, pattern):
    found = {
        name.as_posix()
        for name, path in sources(root).items()
        if re.search(pattern, path.read_text(encoding="utf8"))
    }
    return found


# ---- One file for each ----


def test_private_names_of_napari_stand_in_one_file(root):
    found = files_with(root, "|".join(map(re.escape, WORDS)))
    assert found == {"widgets/layers/private.py"}


def test_no_private_module_of_napari_is_imported(root):
    assert not files_with(root, r"(from|import) napari(\.\w+)*\._\w+")


def test_labels_are_changed_by_one_file(root):
    """Whoever needs to change labels makes an Edit and gives it to ``apply_edit``."""
    assert files_with(root, r"\.data_setitem\(") == {"widgets/layers/editing.py"}


def test_the_record_is_read_and_written_by_one_file(root):
    written = r"""metadata\[["']segnet|metadata\.(get|setdefault)\(["']segnet|["']segnet["']: """
    found = files_with(root, written) | files_with(root, "segnet_(maps|path)")
    # A journal's document has a part of that name, too.
    assert found - {"widgets/recovery/document.py"} == {"widgets/layers/record.py"}


# ---- They are what they are taken for ----


@pytest.fixture
def layer():
    return Labels(np.zeros((20, 20), np.int32))


def test_every_name_that_is_used_is_listed():
    listed = {name.rpartition(".")[2] for name in private.USED}
    assert listed == set(WORDS) - {"_type_string"}


def test_the_undo_history(layer):
    layer.data_setitem((np.array([1]), np.array([2])), 7)
    steps = private.steps_done(layer)
    assert isinstance(steps, deque), changed("Labels._undo_history")
    ((atom,),) = steps
    assert isinstance(private.parts_of(atom), private.Pixels), changed("Labels._undo_history")
    layer.undo()
    assert not private.steps_done(layer), changed("Labels._undo_history")


def test_the_redo_history(layer):
    with layer.block_history():
        layer.data_setitem((np.array([1]), np.array([2])), 7)
        layer.data_setitem((np.array([3]), np.array([4])), 8)
    (first,) = private.steps_done(layer)
    layer.undo()
    (back,) = private.steps_undone(layer)
    assert [id(atom) for atom in back] == [id(atom) for atom in reversed(first)], changed(
        "Labels._redo_history"
    )
    layer.redo()
    (again,) = private.steps_done(layer)
    assert [id(atom) for atom in again] == [id(atom) for atom in first], changed(
        "Labels._undo_history"
    )


def test_the_stroke_that_is_not_complete(layer):
    with layer.block_history():
        layer.paint((5, 5), 3)
        assert len(private.staged(layer)) == 1, changed("Labels._staged_history")
    assert private.staged(layer) == [], changed("Labels._staged_history")


def test_the_limit(layer):
    limit = private.history_limit(layer)
    assert limit == private.steps_done(layer).maxlen, changed("Labels._history_limit")


def test_a_new_history_is_another_deque(layer):
    layer.paint((5, 5), 3)
    before = private.steps_done(layer)
    private.reset_history(layer)
    assert private.steps_done(layer) is not before, changed("Labels._reset_history")
    assert not private.steps_done(layer), changed("Labels._reset_history")
    assert (layer.data == 3).any(), changed("Labels._reset_history")
    before = private.steps_done(layer)
    layer.editable = False
    assert private.steps_done(layer) is not before, changed("Labels._reset_history")


@pytest.mark.parametrize(
    "act",
    [
        lambda layer: layer.paint((5, 5), 3),
        lambda layer: layer.fill((5, 5), 3),
        lambda layer: layer.paint_polygon([(2, 2), (2, 9), (9, 9)], 3),
        lambda layer: layer.data_setitem((np.array([1, 2]), np.array([2, 3])), np.array([7, 8])),
    ],
    ids=["paint", "fill", "polygon", "data_setitem"],
)
def test_atoms_hold_the_pixels_before_and_after(layer, act):
    layer.data[4:7, 4:7] = 2
    layer.refresh()
    before = layer.data.copy()
    act(layer)
    after, now = layer.data.copy(), before.copy()
    ((atom,),) = private.steps_done(layer)
    part = private.parts_of(atom)
    if isinstance(part, private.Pixels):
        np.testing.assert_array_equal(before[part.indices], part.before)
        now[part.indices] = part.after
    else:
        mask = np.ones(now[part.where].shape, bool) if part.mask is None else part.mask
        np.testing.assert_array_equal(before[part.where][mask], part.before)
        now[part.where][mask] = part.after
    np.testing.assert_array_equal(after, now, err_msg=changed("Labels._undo_history"))


def test_the_window_and_its_canvas(make_viewer, qtbot):
    from napari.components import ViewerModel

    viewer = make_viewer(show=True)
    window, canvas = private.window_of(viewer), private.canvas_of(viewer)
    assert isinstance(window, QMainWindow), changed("Window._qt_window")
    assert isinstance(canvas, QWidget), changed("Window._qt_viewer")
    assert canvas.window() is window, changed("Window._qt_viewer")
    qtbot.waitUntil(lambda: private.is_shown(window))
    window.hide()
    assert not private.is_shown(window)
    assert private.window_of(ViewerModel()) is None
    assert private.canvas_of(ViewerModel()) is None


def test_the_stand_in_that_plugins_get(layer):
    from napari.utils._proxies import PublicOnlyProxy

    stand_in = PublicOnlyProxy(layer)
    assert stand_in is not layer
    assert private.unwrapped(stand_in) is layer, changed("__wrapped__")
    assert private.unwrapped(layer) is layer
