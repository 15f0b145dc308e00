"""Progress on standard error: a line that changes in a terminal, few lines in a log."""

from __future__ import annotations

import io
import sys

import pytest

from napari_segnet.commands import _bar
from napari_segnet.commands._bar import Bar
from napari_segnet.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(*dones, total, closed=None, fails=None):
    try:
        for done in dones:
            yield Progress(what="tile", done=done, total=total)
        if fails:
            raise fails
        return "result"
    finally:
        if closed is not None:
            closed.append(True)


def test_a_log_hears_of_the_first_tile_once_and_of_the_end(monkeypatch, capsys):
    bar = Bar("[1/1] cells.tif")
    # The end of one plane's only tile is the beginning of the next.
    assert bar.follow(work(0, 1, 1, 2, 2, 3, total=3)) == "result"
    bar.end("7 objects")
    assert capsys.readouterr().err.splitlines() == [
        "[1/1] cells.tif: tile 0 of 3",
        "[1/1] cells.tif: tile 1 of 3",
        "[1/1] cells.tif: 7 objects",
    ]


def test_a_log_hears_of_long_work_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(_bar, "REPORT_S", 0.0)
    Bar("a").follow(work(0, 1, 2, 3, total=4))
    assert capsys.readouterr().err.count("\n") == 4


def test_a_terminal_keeps_one_line(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "20")
    bar = Bar("cells with a long name.tif")
    bar.follow(work(0, 1, 2, total=2))
    assert "\n" not in screen.getvalue()
    for line in screen.getvalue().split("\r\033[K")[1:]:
        assert len(line) < 20
    bar.end("done")
    assert screen.getvalue().endswith("\r\033[Kcells with a long name.tif: done\n")


def test_what_is_followed_is_closed_whatever_happens(capsys):
    closed = []
    with pytest.raises(ZeroDivisionError):
        Bar("a").follow(work(0, total=1, closed=closed, fails=ZeroDivisionError()))
    assert closed == [True]
