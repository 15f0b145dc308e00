"""The worked examples do what they say: their code is run, and the figures that they print hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[1] / "docs" / "examples"
LEAST = {
    "cells-in-time": {"of": 0.9},
    "cells-in-a-video": {"AP50": 0.9},
    "defects-on-surfaces": {"IoU": 0.3},
    "organs-in-ct": {"Dice": 0.7},
    "plants-in-the-field": {"AP50": 0.6},
    "road-scenes": {"mean IoU": 0.6},
    "tumour-in-mri": {"Dice": 0.6},
}
"""What each prints at least: its words and a number, the last one of several."""
QUICK = ("cells-in-time",)


TRIED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in LEAST]


def test_every_example_is_tried():
    assert {page.stem for page in PAGES.glob("*.md")} == set(LEAST)


@pytest.mark.parametrize("name", TRIED)
def test_a_worked_example(name, tmp_path, monkeypatch, capsys):
    if name == "cells-in-a-video":
        pytest.importorskip("av", reason="the extra [video] is not installed")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", (PAGES / f"{name}.md").read_text("utf-8"), re.S | re.M
    )
    exec(compile(code, name, "exec"), {})
    said = capsys.readouterr().out
    (word, least), *_ = LEAST[name].items()
    if word == "of":
        kept, followed = map(int, re.findall(r"(\d+) of (\d+)", said)[-1])
        assert kept / followed >= least, said
    else:
        numbers = re.findall(r"\d\.\d\d", said[said.index(word) :])
        assert float(numbers[1] if word == "IoU" else numbers[0]) >= least, said
