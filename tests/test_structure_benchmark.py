"""The table of bare files is counted as its page says."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest


@pytest.fixture
def structure(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "benchmarks")
    known = set(sys.modules)
    yield importlib.import_module("structure")
    if "structure" not in known:
        sys.modules.pop("structure", None)


def run(structure, monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["structure.py", *words])
    assert structure.main() == 0
    return capsys.readouterr()


def test_random_networks_are_counted_by_kind(structure, monkeypatch, capsys):
    words = ("--part", "random", "--kinds", "no norm", "--count", "2", "--prior", "--failures")
    said = run(structure, monkeypatch, capsys, *words).out
    (row,) = (line for line in said.splitlines() if line.startswith("| no norm |"))
    tried, first, three, _, _, wrong = (int(cell) for cell in row.split("|")[2:-1])
    assert tried == 2
    assert first <= three <= 2
    assert wrong == 0
    assert said.count("\n- no norm | seed ") + said.startswith("- no norm") == 2 - first


def test_a_run_goes_on_where_it_ended(structure, monkeypatch, capsys, tmp_path):
    lines = tmp_path / "lines.jsonl"
    words = ("--part", "random", "--kinds", "no norm", "--prior", "--lines", str(lines))
    run(structure, monkeypatch, capsys, *words, "--count", "1")
    monkeypatch.setattr("support.unets.draw.draw", lambda *_: pytest.fail("it is tried again"))
    said = run(structure, monkeypatch, capsys, *words, "--count", "1").out
    assert "| **all random** | 1 |" in said
    assert len(lines.read_text().splitlines()) == 1


def test_facts_that_are_left_assumed_are_counted(structure):
    known = {"join": "decided", "norm_place": "assumed", "up_activation": "read"}
    verdict = SimpleNamespace(opened=SimpleNamespace(known=known, untraced=()))
    one = structure.Tried("no norm", "seed 1", "", verdict, normed=True)
    other = structure.Tried("no norm", "seed 2", "", verdict)
    assert "of 2 facts that statistics can decide 1 are assumed" in structure.left_assumed(
        [one, other]
    )


def test_facts_that_no_norm_can_tell_are_counted_apart(structure, tmp_path):
    known = {"join": "assumed", "norm_place": "decided", "up_activation": "assumed"}
    opened = SimpleNamespace(known=known, untraced=("join", "norm_place", "padding"))
    verdict = SimpleNamespace(
        opened=opened, place=0, asked=False, refused=False, silently_wrong=False, false_claims=(),
    )  # fmt: skip
    one = structure.Tried("ResNet encoder", "seed 1", "", verdict, normed=True)
    structure.write_line(tmp_path / "lines.jsonl", one)
    for tried in ([one], structure.read_lines(tmp_path / "lines.jsonl")):
        said = structure.left_assumed(tried)
        assert "of 2 facts that statistics can decide 1 are assumed, and 1 that change" in said


def test_without_a_folder_of_real_files_they_are_left_out(structure, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("SEGNET_WILD", raising=False)
    said = run(structure, monkeypatch, capsys, "--part", "wild")
    assert "no folder of real files" in said.err
    said = run(structure, monkeypatch, capsys, "--part", "wild", "--wild", str(tmp_path))
    assert "0 with a fact that is called read or decided" in said.out


def test_a_line_of_a_failure_names_what_is_claimed(structure):
    opened = SimpleNamespace(
        choices={"join": "none", "layout": "3-levels-0-skips-aa"}, known={"join": "read"},
        refused="", family="structure",
    )  # fmt: skip
    verdict = SimpleNamespace(
        opened=opened, blamed=("join",), place=None, silently_wrong=True, false_claims=("join",),
        why="differs by 3",
    )  # fmt: skip
    line = structure.failure(structure.Tried("skips added", "seed 1", "join=add", verdict))
    assert "WRONG AND NOT MARKED" in line
    assert "join=none (read)" in line
    assert "FALSE CLAIM join" in line
