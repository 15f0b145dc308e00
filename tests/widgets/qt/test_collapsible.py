"""Parts of a dock that open and close."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_segnet.widgets.qt.collapsible import Section


@pytest.fixture
def section(qtbot):
    made = Section("More", QLabel("one line"))
    window = QWidget()
    layout = QVBoxLayout(window)
    layout.addWidget(made)
    layout.addStretch(1)
    window.resize(160, 600)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    yield made
    window.hide()


def test_it_opens_and_closes(qtbot, section):
    assert section.button.text() == "▸ More"
    assert not section.inside.isVisible()
    qtbot.mouseClick(section.button, Qt.MouseButton.LeftButton)
    assert section.isExpanded()
    assert section.inside.isVisible()
    assert section.button.text() == "▾ More"
    qtbot.mouseClick(section.button, Qt.MouseButton.LeftButton)
    assert not section.isExpanded()
    assert not section.inside.isVisible()


def test_what_grows_in_it_is_not_cut_off(qtbot, section):
    section.expand()
    inside = section.inside
    inside.setWordWrap(True)
    inside.setText("a sentence that needs many lines " * 8)
    qtbot.waitUntil(lambda: inside.height() >= inside.heightForWidth(inside.width()))
