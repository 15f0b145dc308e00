"""What the window says of errors."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_segnet.errors import OTHER_FOLDER, REPLACE, Remedy, SegnetError
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
    assert "The GPU failed" in lost and "“device” to cpu" in lost


@pytest.mark.parametrize(
    ("remedy", "for_the_command", "for_the_window"),
    [
        (Remedy("scale", "2"), "--set scale=2", "“scale” 2"),
        (Remedy("device", "cpu"), "--device cpu", "“device” cpu"),
        (Remedy("channels", "0,2"), "--set channels=0,2", "“channels” 0,2"),
        (Remedy("axes"), "--set axes=...", "“axes”"),
        (Remedy("min_size_px", "20"), "--set min_size_px=20", "“minimum size (px)” 20"),
        (OTHER_FOLDER, "another folder with -o", "another folder"),
        (REPLACE, "--overwrite", "“replace existing results”"),
    ],
)
def test_options_of_the_command_are_rows_of_the_dock(remedy, for_the_command, for_the_window):
    error = SegnetError(f"Try {remedy}.", remedies=(remedy,))
    assert str(error) == f"Try {for_the_command}."
    assert in_words(error) == f"Try {for_the_window}."


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
