"""What an error says to do stands in it as data, too."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest

import napari_segnet as sn
from napari_segnet.errors import ImageError, MismatchError, MissingFactError, Remedy
from napari_segnet.plan.memory import _exhausted

WRITES_COMMANDS = ("commands", "families", "programs", "evidence", "widgets")
"""Who speaks the command line's language, and the rooms that do not keep this yet."""


def test_a_remedy_reads_as_the_command_line_takes_it():
    assert str(Remedy("scale", "2")) == "--set scale=2"
    assert str(Remedy("axes")) == "--set axes=..."
    assert str(Remedy("device", "cpu")) == "--device cpu"


def test_whoever_shows_an_error_says_its_remedies_in_words_of_their_own():
    error = _exhausted("cuda:0", "64")
    assert "run on the CPU (--device cpu), or shrink the image with --set scale=2." in str(error)
    said = error.phrased(lambda remedy: f"[{remedy.setting}: {remedy.value}]")
    assert "run on the CPU ([device: cpu]), or shrink the image with [scale: 2]." in said


def test_remedies_survive_the_way_between_processes():
    error = ImageError("Say --set axes=zyx.", remedies=(Remedy("axes", "zyx"),))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.remedies) == (str(error), error.remedies)
    assert pickle.loads(pickle.dumps(MissingFactError("a", "b", (), ()))).remedies == ()


@pytest.mark.parametrize(
    ("do", "kind", "remedy"),
    [
        (lambda: sn.Image(data=np.zeros((3, 4, 5)), axes="yx"), ImageError, Remedy("axes", "zyx")),
        (lambda: sn.Image(data=np.zeros((3, 4)), axes="tz"), ImageError, Remedy("axes")),
        (
            lambda: sn.segment_image("nuclei", sn.Image(data=np.zeros((2, 9, 9)), axes="cyx")),
            MismatchError,
            Remedy("channels", "0"),
        ),
    ],
)
def test_errors_name_their_remedies(do, kind, remedy):
    with pytest.raises(kind) as found:
        do()
    assert found.value.remedies == (remedy,)
    assert str(remedy) in str(found.value)


def test_no_text_of_the_core_is_written_for_the_command_line_alone(root: Path):
    """A setting in an error is a Remedy; its words for the command line stand in one place."""
    package, found = root / "src" / "napari_segnet", []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name.startswith(WRITES_COMMANDS) or name in ("errors.py", "settings.py", "repeat.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        raised = (node for node in ast.walk(tree) if isinstance(node, ast.Raise))
        texts = (
            each for node in raised for each in ast.walk(node) if isinstance(each, ast.Constant)
        )
        found += [(name, t.value) for t in texts if "--set " in str(t.value)]
    assert found == []
