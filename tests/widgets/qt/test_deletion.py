"""Calls at the deletion of a widget: made once, and never into what was collected as garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from weakref import ref

import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_segnet import widgets
from napari_segnet.progress import job
from napari_segnet.widgets.qt.deletion import when_deleted
from napari_segnet.widgets.qt.job_runner import JobRunner

COLLECTED_FIRST = """
import gc
from weakref import ref
from napari.utils.events import EmitterGroup
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QWidget
from napari_segnet.widgets.qt.listen import listen

app = QApplication([])
gc.disable()

class Panel(QWidget):
    def heard(self, event=None):
        pass

older = []  # collected before the panel, whose last reference it is
parent = QWidget()
panel = Panel(parent)
panel.older = older
older.append(panel)
events = EmitterGroup(source=None, changed=None)
listen(panel, [events.changed], panel.heard)
gone = ref(panel)
parent.deleteLater()
del older, panel, parent
assert gone() is not None
gc.collect()
assert gone() is None
loop = QEventLoop()
QTimer.singleShot(50, loop.quit)
loop.exec()
print("deleted")
"""
"""A widget whose Python object is collected as garbage before Qt deletes it."""


def deleted(widget):
    """Let Qt delete a widget now, as its event loop would."""
    widget.deleteLater()
    QApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)


@pytest.mark.subprocess
def test_a_widget_collected_as_garbage_before_its_deletion_ends_no_process(root):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COLLECTED_FIRST], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "deleted\n"


def test_it_is_called_once(qapp):
    calls, widget = [], QWidget()
    when_deleted(widget, lambda: calls.append("gone"))
    assert not calls
    deleted(widget)
    assert calls == ["gone"]
    gc.collect()
    QApplication.processEvents()
    assert calls == ["gone"]


def test_it_is_called_where_the_python_object_is_gone_already(qapp):
    calls, parent = [], QWidget()
    child = QWidget(parent)
    when_deleted(child, lambda: calls.append("gone"))
    del child
    gc.collect()
    assert not calls
    deleted(parent)
    assert calls == ["gone"]


def test_the_one_who_waits_keeps_no_widget_alive(qapp):
    calls, widget = [], QWidget()
    when_deleted(widget, lambda: calls.append("gone"))
    gone = ref(widget)
    del widget
    gc.collect()
    assert gone() is None
    assert calls == ["gone"]


def test_the_job_of_a_runner_that_was_collected_is_stopped(qapp, qtbot):
    parent, seen = QObject(), []

    @job
    def endless():
        try:
            while True:
                seen.append("at work")
                yield
        finally:
            seen.append("stopped")

    runner = JobRunner(parent)
    runner.start(endless)
    runner.itself = runner  # a cycle, as every panel is in one
    runner.end_with(parent)
    qtbot.waitUntil(lambda: bool(seen))
    del runner
    gc.collect()
    deleted(parent)
    assert seen[-1] == "stopped"


def test_nothing_else_is_connected_to_the_deletion_of_an_object():
    folder = Path(widgets.__file__).parent
    places = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if "destroyed.connect" in path.read_text(encoding="utf-8")
    }
    assert places == {"qt/deletion.py"}
