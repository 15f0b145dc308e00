"""What the window says of errors."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_segnet.errors import SegnetError
from napari_segnet.widgets.qt.message_bar import MessageBar, in_words


def test_our_errors_speak_for_themselves(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.fail(SegnetError("Choose a network first."))
    assert not bar.isHidden()
    assert bar.text.text() == "Choose a network first."
    assert bar._details.isHidden()


def test_a_mistake_of_ours_can_be_reported(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        bar.fail(error)
    assert "ZeroDivisionError: division by zero" in bar.text.text()
    bar._details.click()
    assert "Traceback" in QApplication.clipboard().text()


def test_memory_and_disk_have_a_way_out():
    assert "choose a region" in in_words(MemoryError())
    assert "No space left" in in_words(OSError(28, "No space left on device", "/tmp/x"))
    lost = in_words(RuntimeError("CUDA error: unknown error"))
    assert "The graphics processor failed" in lost and "“device” to cpu" in lost


@pytest.mark.parametrize(
    ("for_the_command", "for_the_window"),
    [
        ("Shrink the image with --set scale=2.", "Shrink the image with “scale” 2."),
        ("Run it elsewhere (--device cpu).", "Run it elsewhere (“device” cpu)."),
        ("Choose with --set channels=0,2.", "Choose with “channels” 0,2."),
        ("Name them with --set axes=...", "Name them with “axes”"),
        ("For example --set min_size_px=20", "For example “minimum size (px)” 20"),
        ("Try --set threshold=0.4.", "Try “threshold” 0.4."),
    ],
)
def test_options_of_the_command_are_rows_of_the_dock(for_the_command, for_the_window):
    assert in_words(SegnetError(for_the_command)) == for_the_window


def test_an_offer_is_taken_at_one_click(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.show()
    bar.offer("Nothing was found.", "Try light and dark", "try")
    assert bar.action.isVisible()
    with qtbot.waitSignal(bar.acted) as acted:
        qtbot.mouseClick(bar.action, Qt.MouseButton.LeftButton)
    assert acted.args == ["try"]
    assert bar.isHidden()
    bar.say("Something else.")
    assert bar.action.isHidden()
