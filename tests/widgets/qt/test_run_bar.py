"""The bar and its words."""

import pytest

from napari_segnet.progress import Progress
from napari_segnet.widgets.qt.run_bar import RunBox, time_left


@pytest.mark.parametrize(("left_s", "words"), [(30.2, "30 s"), (0.1, "1 s"), (600, "10 min")])
def test_time_left(left_s, words):
    assert time_left(left_s) == f", about {words} left"


def test_tiles_fill_the_bar(qtbot):
    box = RunBox()
    qtbot.addWidget(box)
    box.begin()
    assert box.stop.isEnabled()
    box.show_progress(Progress(what="tile", done=3, total=12))
    assert (box.bar.value(), box.bar.maximum()) == (3, 12)
    assert box.words.text().startswith("tile 3 of 12")
    box.end("done")
    assert not box.stop.isEnabled()
    assert box.words.text() == "done"


def test_what_came_of_a_run_goes_when_something_else_is_chosen(qtbot):
    box = RunBox()
    qtbot.addWidget(box)
    box.begin()
    box.outdated()
    assert box.words.text() == "starting …"  # it still runs
    box.end("done in 3.2 s")
    box.outdated()
    assert box.words.text() == ""
