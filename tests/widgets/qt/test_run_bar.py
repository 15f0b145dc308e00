"""The bar and its words."""

import pytest

from napari_segnet.progress import Progress
from napari_segnet.widgets.qt.run_bar import RunBox, time_left


@pytest.mark.parametrize(
    ("spent", "done", "total", "words"),
    [
        (10, 1, 4, ", about 30 s left"),
        (600, 1, 2, ", about 10 min left"),
        (1, 1, 4, ""),
        (10, 0, 4, ""),
        (10, 4, 4, ""),
    ],
)
def test_time_left(spent, done, total, words):
    assert time_left(spent, done, total) == words


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
