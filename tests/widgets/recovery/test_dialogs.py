"""The window offers what was found, and asks before corrections are left behind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Labels
from napari.settings import get_settings
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QPushButton
from support import hand, painter

from napari_segnet.errors import OutputError
from napari_segnet.journal import summary
from napari_segnet.journal._format import HEAD, MAGIC
from napari_segnet.readers import open_image
from napari_segnet.review import State
from napari_segnet.widgets.recovery.dialogs import CloseQuestion, RecoveryBar, save_labels
from napari_segnet.widgets.recovery.journal_folder import saved_in, unsaved_acts
from napari_segnet.widgets.recovery.recorder import keep_journal, left_behind
from napari_segnet.widgets.recovery.reviews import reviews


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "journals"


def corrected(viewer):
    """Return a keeper and a layer with two corrections."""
    keeper = keep_journal(viewer)
    viewer.add_image(painter.image(), name="cells")
    layer = viewer.add_labels(painter.objects(), name="nuclei")
    layer.paint((5, 5), 30)
    layer.paint((25, 5), 30)
    return keeper, layer


def bars(viewer):
    QApplication.processEvents()
    return viewer.window._qt_window.findChildren(RecoveryBar)


def press(bar, name):
    bar.findChild(QPushButton, name).click()
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, 52)  # what was to be deleted later


def reopened(viewer):
    viewer.layers.clear()
    viewer.add_image(painter.image(), name="cells")
    hand.until(lambda: bars(viewer), 20)  # a thread identifies the image
    (bar,) = bars(viewer)
    return bar


def test_a_bar_offers_what_was_found(viewer, folder):
    _, layer = corrected(viewer)
    expected = layer.data.copy()
    bar = reopened(viewer)
    assert "of “nuclei” on “cells” were found: 2 corrections, the last on" in bar.text.text()
    press(bar, "segnet_recover")
    assert not bars(viewer)
    np.testing.assert_array_equal(expected, viewer.layers["nuclei"].data)


@pytest.mark.parametrize("selected", [True, False])
def test_what_napari_has_saved_is_not_offered_nor_asked_for(viewer, folder, tmp_path, selected):
    keeper, layer = corrected(viewer)
    viewer.layers.selection.active = layer
    file = tmp_path / "mine" / "nuclei.tif"
    file.parent.mkdir()
    assert viewer.layers.save(str(file if selected else file.parent), selected=selected)
    assert not keeper.unsaved() and keeper.guard.may_close()
    keeper.flush()
    (journal,) = folder.glob("*.journal")
    kept = journal.read_bytes()
    viewer.layers.clear()
    assert not list(folder.glob("*.journal"))
    # Killed instead, the journal stays; what was saved is known.
    journal.write_bytes(kept)
    assert not list(left_behind(folder))
    file.write_bytes(b"another file")
    assert [2] == [offer.acts for offer in left_behind(folder)]
    file.unlink()
    assert list(left_behind(folder))


def test_review_marks_are_in_no_file_of_napari(viewer, folder, tmp_path):
    keeper, layer = corrected(viewer)
    seen = reviews(viewer)
    seen.change(layer, seen.of(layer).with_state([30], State.WRONG))
    viewer.layers.selection.active = layer
    viewer.layers.save(str(tmp_path / "mine.tif"), selected=True)
    assert keeper.unsaved() == [layer] and keeper.acts(layer) == 1
    bar = reopened(viewer)
    assert "were found: 1 correction since they were saved to mine.tif" in bar.text.text()
    press(bar, "segnet_recover")
    again = viewer.layers["nuclei"]
    assert seen.of(again).state(30) == State.WRONG
    viewer.layers.selection.active = again
    viewer.layers.save(str(tmp_path / "again.tif"), selected=True)
    assert keeper.acts(again) == 1, "it is known after a crash, too"


@pytest.mark.parametrize("odd", ["two", None, -3, [], 1.5, True])
def test_an_odd_number_of_marks_in_a_journal_is_none(viewer, folder, tmp_path, odd):
    keeper, layer = corrected(viewer)
    watched = keeper._watched[id(layer)]
    watched._about["marks"] = odd
    watched.saved_to(tmp_path / "mine.tif")
    assert keeper.acts(layer) == 0
    watched.note("review")


@pytest.mark.parametrize("name", ["mine.svg", "mine.pgm"])
def test_a_picture_of_labels_saves_no_corrections(viewer, folder, tmp_path, name):
    keeper, layer = corrected(viewer)
    viewer.layers.selection.active = layer
    assert viewer.layers.save(str(tmp_path / name), selected=True)
    assert keeper.unsaved() == [layer]
    viewer.layers.clear()
    assert [2] == [offer.acts for offer in left_behind(folder)]


@pytest.mark.parametrize(
    "change",
    [{"acts": "two"}, {"acts": None}, {"acts": -1}, {"path": "\0"}, {"path": None}, {"mark": ""}],
)
def test_a_journal_with_an_odd_word_of_a_save_is_offered(tmp_path, change):
    file = tmp_path / "mine.tif"
    file.write_bytes(b"labels")
    good = saved_in(file, 3)
    assert unsaved_acts(SimpleNamespace(acts=5, document={"saved": good})) == 2
    assert unsaved_acts(SimpleNamespace(acts=5, document={"saved": {**good, **change}})) == 5
    assert unsaved_acts(SimpleNamespace(acts=5, document={"saved": "mine.tif"})) == 5


def test_corrections_after_napari_has_saved_are_counted_from_there(viewer, folder, tmp_path):
    keeper, layer = corrected(viewer)
    viewer.layers.selection.active = layer
    viewer.layers.save(str(tmp_path / "mine.tif"), selected=True)
    layer.paint((5, 25), 31)
    assert keeper.unsaved() == [layer] and keeper.acts(layer) == 1
    bar = reopened(viewer)
    assert "were found: 1 correction since they were saved to mine.tif" in bar.text.text()
    press(bar, "segnet_recover")
    again = viewer.layers["nuclei"]
    assert again.data[5, 25] == 31 and keeper.acts(again) == 1
    viewer.layers.selection.active = again
    viewer.layers.save(str(tmp_path / "again.tif"), selected=True)
    viewer.layers.clear()
    assert not list(folder.glob("*.journal"))


def test_a_save_of_another_layer_saves_no_corrections(viewer, folder, tmp_path):
    keeper, layer = corrected(viewer)
    viewer.layers.selection.active = viewer.layers["cells"]
    viewer.layers.save(str(tmp_path / "cells.tif"), selected=True)
    assert keeper.unsaved() == [layer]


def test_later_keeps_it(viewer, folder):
    corrected(viewer)
    press(reopened(viewer), "segnet_recover_later")
    assert not bars(viewer)
    assert [2] == [summary(path).acts for path in folder.iterdir()]


@pytest.mark.parametrize("by", ["later", "cross"])
def test_several_are_offered_one_after_the_other(viewer, folder, by):
    keeper, _ = corrected(viewer)
    other = viewer.add_labels(painter.objects(), name="more nuclei")
    other.paint((5, 5), 30)
    bar = reopened(viewer)
    hand.until(lambda: len(keeper.found_so_far) == 2, 20)
    (bar,) = bars(viewer)
    first = bar.offer
    assert bar.text.text().endswith("1 more after this one.")
    if by == "later":
        press(bar, "segnet_recover_later")
    else:  # the cross of its dock
        viewer.window.remove_dock_widget(bar)
        bar.deleteLater()
    hand.until(lambda: [one.offer.path for one in bars(viewer)] not in ([], [first.path]), 5)
    (bar,) = [one for one in bars(viewer) if one.parent() is not None]
    assert bar.offer.path != first.path
    assert "more after" not in bar.text.text()
    press(bar, "segnet_recover")
    assert not bars(viewer)


def test_discard_deletes_it(viewer, folder):
    corrected(viewer)
    press(reopened(viewer), "segnet_recover_drop")
    assert not bars(viewer)
    assert not list(folder.iterdir())


def test_a_journal_that_is_damaged_is_told_of(viewer, folder, monkeypatch):
    corrected(viewer)
    bar = reopened(viewer)
    (path,) = folder.iterdir()
    path.write_bytes(b"something else entirely")
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    press(bar, "segnet_recover")
    assert ["is no journal of corrections"] == [text[text.index("is no") :][:28] for text in told]
    assert path.exists()


def test_a_loss_is_told_with_the_offer_and_after_it(viewer, folder, monkeypatch):
    corrected(viewer)
    viewer.layers.clear()
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    place, kind = len(MAGIC), b""
    while kind != b"A":  # a correction
        length, _, kind = HEAD.unpack_from(data, place)
        place += HEAD.size + length
    data[place - length // 2] ^= 1
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", told.append)
    path.write_bytes(data)
    bar = reopened(viewer)
    assert "Their file is damaged; the readable part is offered." in bar.text.text()
    press(bar, "segnet_recover")
    assert [True] == [
        text.startswith("The file with these corrections is damaged") for text in told
    ]


@pytest.fixture
def shown(make_viewer):
    return make_viewer(show=True)


def close(viewer):
    """Close as a user does, but leave it to the fixture to take the window apart."""
    guard, event = keep_journal(viewer).guard, QCloseEvent()
    held = guard.eventFilter(viewer.window._qt_window, event)
    assert held == (not event.isAccepted())
    return not held


def answer(keeper, choice):
    """Let the question be answered so; return what was asked."""
    asked = []

    def ask(unsaved):
        asked.append([(layer.name, acts) for layer, acts in unsaved])
        return choice

    keeper.guard.ask = ask
    return asked


@pytest.mark.sample(1)
@pytest.mark.parametrize(("choice", "left"), [("keep", 1), ("discard", 0)])
def test_a_window_asks_once_before_it_closes(shown, folder, choice, left):
    keeper, _ = corrected(shown)
    asked = answer(keeper, choice)
    assert close(shown)
    assert [[("nuclei", 2)]] == asked
    assert left == len(list(folder.iterdir()))


def test_a_window_that_shall_not_close_stays(shown, folder):
    keeper, layer = corrected(shown)
    asked = answer(keeper, "cancel")
    assert not close(shown)
    layer.paint((5, 50), 30)
    answer(keeper, "keep")
    assert close(shown)
    assert [[("nuclei", 2)]] == asked
    assert [3] == [summary(path).acts for path in folder.iterdir()]


def test_saved_labels_are_not_kept_twice(shown, folder, tmp_path):
    import tifffile

    keeper, layer = corrected(shown)
    expected = layer.data.copy()
    answer(keeper, "save")
    keeper.guard.ask_path = lambda layer: None
    assert not close(shown)
    keeper.guard.ask_path = lambda layer: str(tmp_path / "nuclei.tif")
    assert close(shown)
    np.testing.assert_array_equal(expected, tifffile.imread(tmp_path / "nuclei.tif"))
    assert not list(folder.iterdir())


def test_nobody_is_asked_where_nothing_was_changed(shown):
    keeper = keep_journal(shown)
    shown.add_labels(painter.objects())
    asked = answer(keeper, "cancel")
    assert close(shown)
    assert not asked


def test_a_program_that_closes_a_window_is_not_asked_and_loses_nothing(make_viewer, folder):
    viewer = make_viewer(show=True)
    keeper, _ = corrected(viewer)
    asked = answer(keeper, "cancel")
    viewer.close()
    assert not asked
    assert [2] == [summary(path).acts for path in folder.iterdir()]


@pytest.mark.parametrize("choice", ["save", "keep", "discard", "cancel"])
def test_each_button_of_the_question_is_a_choice(choice, qtbot):
    question = CloseQuestion([(SimpleNamespace(name="nuclei"), 1)])
    qtbot.addWidget(question)
    QTimer.singleShot(0, question.buttons[choice].click)
    question.exec()
    assert question.choice == choice


def test_enter_keeps_and_escape_closes_nothing(qtbot):
    question = CloseQuestion([(SimpleNamespace(name="nuclei"), 1)])
    qtbot.addWidget(question)
    assert question.buttons["keep"].isDefault()
    QTimer.singleShot(0, question.reject)
    question.exec()
    assert question.choice == "cancel"


def test_labels_that_cannot_be_written_stay_unsaved(viewer, tmp_path):
    layer = viewer.add_labels(painter.objects(), name="nuclei")
    with pytest.raises(OutputError, match="“nuclei” could not be written"):
        save_labels(layer, tmp_path / "no such folder" / "x.tif")


@pytest.mark.parametrize(
    ("shape", "layer", "axes", "sizes"),
    [
        ((20, 30), {"scale": (0.5, 0.25), "units": ("um", "um")}, "yx", {"y": 0.5, "x": 0.25}),
        ((20, 30), {"scale": (0.5, 0.25)}, "yx", {}),  # pixels are no length
        (
            (3, 20, 30),
            {"axis_labels": ("t", "y", "x"), "scale": (1, 2, 2), "units": ("s", "mm", "mm")},
            "tyx",
            {"y": 2000.0, "x": 2000.0},
        ),
        ((3, 20, 30), {}, "zyx", {}),
        ((30, 20), {"axis_labels": ("x", "y"), "scale": (3, 1), "units": ("um",) * 2}, "yx",
         {"y": 1.0, "x": 3.0}),
        ((3, 4), {"axis_labels": ("t", "z")}, "yx", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint16, np.int64])
def test_saved_labels_keep_axes_and_pixel_size(shape, layer, axes, sizes, dtype, tmp_path):
    numbers = (np.arange(np.prod(shape)) % 200).reshape(shape).astype(dtype)
    save_labels(Labels(numbers, **layer), tmp_path / "a.tif")
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.pixel_size_um) == (axes, pytest.approx(sizes))
    turned = layer.get("axis_labels") == ("x", "y")
    np.testing.assert_array_equal(image.data, numbers.T if turned else numbers)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.tif"]


def test_large_ids_are_saved_as_they_are(tmp_path):
    numbers = np.array([[0, 2**31], [7, 2**40]])
    save_labels(Labels(numbers), tmp_path / "a.tif")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, numbers)


def test_labels_of_too_many_dimensions_are_not_saved(tmp_path):
    with pytest.raises(OutputError, match="has 6 dimensions, but labels in a TIFF have 2 to 5"):
        save_labels(Labels(np.zeros((1, 1, 1, 1, 2, 2), np.int32)), tmp_path / "a.tif")


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
def test_closed_by_the_keyboard_without_saving_and_recovered(make_napari_viewer, folder):
    # A window that its user closes leaves widgets behind that napari itself forgets.
    viewer = make_napari_viewer(show=True, strict_qt=False, show_welcome_screen=False)
    keeper, layer = corrected(viewer)
    expected = layer.data.copy()
    asked = answer(keeper, "keep")
    get_settings().application.confirm_close_window = False  # napari's own question
    user = hand.Hand()
    user.click(viewer.window._qt_viewer.canvas.native)
    user.key("ctrl+w")
    hand.until(lambda: asked, 20)
    user.rest(0.3)
    del viewer.window._qt_window  # gone; the fixture must not close it again
    assert [[("nuclei", 2)]] == asked
    second = make_napari_viewer(show=True, strict_qt=False, show_welcome_screen=False)
    keep_journal(second)
    second.add_image(painter.image(), name="cells")
    hand.until(lambda: bars(second), 20)  # a thread identifies the image
    (bar,) = bars(second)
    user.click(bar.recover)
    hand.until(lambda: "nuclei" in second.layers, 20)
    np.testing.assert_array_equal(expected, second.layers["nuclei"].data)
