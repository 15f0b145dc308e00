"""CONTRIBUTING.md does what it says: one file or folder and one name in a list, and it runs.

The code blocks of that page are added to a copy of the package and of its contract tests, in
the way the page tells; then the contracts are run, and the newcomers are tried together
through the public names and the command, in a fresh interpreter.
"""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_segnet

pytestmark = pytest.mark.subprocess

LISTS = {
    "readers": "READERS",
    "containers": "CONTAINERS",
    "families": "ENTRIES",
    "prepare": "NORMALIZERS",
    "steps": "REFINERS",
    "writers": "WRITERS",
    "formats": "FORMATS",
}
NEWCOMERS = ("PGM", "numpy", "two-layers", "unit-mean", "shrink", "object-sizes", "raw-gt")
COMMAND = "from napari_segnet.__main__ import main"
SHOW = ["inspect", "toy.npz", "cells.pgm"]
SEGMENT = """segment . -c toy.npz -o done --save-maps --set normalize=unit-mean --set steps=shrink
--set tile_px=16 --set fill_holes=false""".split()
MEMBER = re.compile(r"```python\n# src/(napari_segnet/(\w+)/([\w/]+)\.py)\n(.*?)```", re.DOTALL)
SAMPLE = re.compile(r"```python\n# (tests/[\w/]+\.py)(?:, at the end)?\n(.*?)```", re.DOTALL)
LINES = re.compile(r"```\w+\n# (src/[\w./]+), first in (\w+)\n(.*?)```", re.DOTALL)
ROOM = ('"correct | ', '"correct | count | ')


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def extended(page: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with every example of CONTRIBUTING.md added."""
    folder = tmp_path_factory.mktemp("extended")
    package = Path(napari_segnet.__file__).parent
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, folder / "src" / "napari_segnet", ignore=skip)
    shutil.copytree(root / "tests", folder / "tests", ignore=skip)
    shutil.copy(root / "pyproject.toml", folder)
    members = MEMBER.findall(page)
    assert sorted({kind for _, kind, _, _ in members}) == sorted([*LISTS, "widgets"])
    for path, kind, module, code in members:
        assert not (folder / "src" / path).exists()
        write(folder / "src" / path, code)
        init = "members.py" if kind == "steps" else "__init__.py"
        if kind not in ("families", "widgets"):  # these have a line of their own
            register(folder / "src/napari_segnet" / kind / init, LISTS[kind], module, code)
    write(folder / "src/napari_segnet/widgets/count/__init__.py", '"""Counting objects."""\n')
    for path, entries, lines in LINES.findall(page):
        file = folder / path
        if file.suffix == ".py":  # one value of a tuple, without its comma on the page
            lines = indent(lines.rstrip(), "    ") + ",\n"
        start = re.compile(rf"^( *{entries}:.*[=:].*\n|  {entries}:\n)", re.MULTILINE)
        text, done = start.subn(lambda found: found[0] + lines, file.read_text("utf-8"), count=1)  # noqa: B023
        assert done == 1, (path, entries)
        file.write_text(text, encoding="utf-8")
    for path, code in SAMPLE.findall(page):
        old = (folder / path).read_text("utf-8") + "\n\n" if (folder / path).exists() else ""
        write(folder / path, old + code)
    rooms = (folder / "pyproject.toml").read_text("utf-8")
    assert rooms.count(ROOM[0]) == 1
    write(folder / "pyproject.toml", rooms.replace(*ROOM))
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def register(file: Path, entries: str, module: str, code: str) -> None:
    """Import the class of an example in the file of a list and name it there."""
    (name,) = re.findall(r"^class (\w+)", code, re.MULTILINE)
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign | ast.Assign)
        and entries in ast.unparse(node).split("=")[0]
    ]
    (value,) = values
    assert isinstance(value, ast.Tuple), f"{entries} is not a plain tuple"
    first, lines = value.elts[0], text.splitlines(keepends=True)
    line, column = lines[first.lineno - 1], first.col_offset
    lines[first.lineno - 1] = f"{line[:column]}{name}(), {line[column:]}"
    imports = max(n.end_lineno for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    lines.insert(imports, f"from napari_segnet.{file.parent.name}.{module} import {name}\n")
    file.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def python(extended: Path, tmp_path: Path) -> Callable[..., str]:
    """Run Python in the extended package, with ``tmp_path`` as working folder."""

    def go(*words: str, folder: Path = tmp_path) -> str:
        paths = {"PYTHONPATH": str(extended / "src")}
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return go


@pytest.fixture
def run(python: Callable[..., str]) -> Callable[[str], str]:
    return lambda code: python("-W", "error", "-c", f"import napari_segnet as sn\n{code}")


def test_the_examples_are_written_like_the_house(python, extended: Path, page: str):
    files = [f"src/{path}" for path, *_ in MEMBER.findall(page)]
    files += [path for path, _ in SAMPLE.findall(page)]
    for command in (["check"], ["format", "--check"]):
        python("-m", "ruff", *command, "--no-cache", *files, folder=extended)


@pytest.mark.long
@pytest.mark.timeout(300)  # a second run of pytest, beside the first
def test_the_contracts_find_every_newcomer_and_it_keeps_them(python, extended: Path):
    chosen = " or ".join(NEWCOMERS)
    words = ["-m", "pytest", "tests/contracts", "-v", "-k", chosen, "-p", "no:cacheprovider"]
    report = python(*words, folder=extended)
    assert "skipped" not in report.splitlines()[-1], report
    passed = re.findall(r"^tests/contracts/.*\[(.*)\] PASSED", report, re.MULTILINE)
    counts = {name: sum(name in case for case in passed) for name in NEWCOMERS}
    assert min(counts.values()) >= 5, counts


@pytest.mark.long
def test_the_types_hold(python, extended: Path, page: str):
    pytest.importorskip("qtpy")  # the page adds a dock
    files = [f"src/{path}" for path, *_ in MEMBER.findall(page)]
    python("-m", "mypy", "--no-incremental", "--follow-imports=silent", *files, folder=extended)


def test_the_newcomers_run_together_from_the_command(python, tmp_path: Path):
    """A picture and a network of new kinds, normalised and improved in new ways."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    names = ["first.weight", "first.bias", "second.weight", "second.bias"]
    values = [parameter.detach().numpy() for parameter in plain.parameters()]
    np.savez(tmp_path / "toy.npz", **dict(zip(names, values, strict=True)))
    pixels = np.random.default_rng(0).integers(1, 256, (70, 45), np.uint8)
    header = b"P5\n# by hand\n45 70\n255\n"
    (tmp_path / "cells.pgm").write_bytes(header + pixels.tobytes())
    batch = torch.from_numpy(pixels / np.float32(pixels.mean(dtype=float)))[None, None]
    with torch.inference_mode():
        expected = plain(batch).sigmoid()[0, 0].numpy()

    shown = python("-c", f"{COMMAND}\nassert main({SHOW}) == 0\nassert main({SEGMENT}) == 0")
    assert re.search(r"family +two-layers\n", shown)
    assert re.search(r"halo_px +\[2, 2\]\n", shown)
    assert re.search(r"parameters +77\n", shown)
    maps = tifffile.imread(tmp_path / "done" / "cells.maps.tif")
    assert np.abs(maps.reshape(70, 45) - expected).max() < 1e-4
    labels = tifffile.imread(tmp_path / "done" / "cells.labels.tif")
    assert labels.shape == (70, 45)
    assert labels.any()
    assert not labels[expected < 0.5].any()
    origin = json.loads((tmp_path / "done" / "cells.json").read_text(encoding="utf-8"))
    assert origin["predict"]["normalize"] == "unit-mean"
    assert origin["label"]["steps"] == ["shrink"]
    rows = list(csv.DictReader((tmp_path / "done/cells.sizes.csv").read_text("utf-8").splitlines()))
    assert [int(row["label"]) for row in rows] == [row["label"] for row in origin["labels"]]
    assert sum(int(row["size_px"]) for row in rows) == (labels > 0).sum()


def test_imports_point_down_with_every_newcomer(python, extended: Path):
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    assert "0 broken" in python("-c", lint, "--no-cache", folder=extended)


def test_the_dock_is_found_by_napari_and_works(python, extended: Path):
    npe2 = pytest.importorskip("npe2")
    pytest.importorskip("napari")
    found = npe2.PluginManifest.from_file(extended / "src/napari_segnet/napari.yaml").contributions
    (command,) = (one for one in found.commands if one.id == "napari-segnet.count")
    assert command.python_name == "napari_segnet.widgets.count.dock:CountDock"
    assert command.id in [widget.command for widget in found.widgets]
    words = ["-m", "pytest", "tests/widgets/count", "-q", "-p", "no:cacheprovider"]
    assert "1 passed" in python(*words, folder=extended)


def test_the_reader_opens_its_files(run):
    run("""
from pathlib import Path
Path("cells.pgm").write_bytes(b"P5\\n3 2\\n255\\n" + bytes(range(6)))
Path("cut.pgm").write_bytes(b"P5\\n3 2\\n65535\\n" + bytes(6))
image = sn.open_image("cells.pgm")
assert (image.axes, image.name, image.data.tolist()) == ("yx", "cells", [[0, 1, 2], [3, 4, 5]])
from napari_segnet.readers import image_paths
assert [p.name for p in image_paths([Path(".")])] == ["cells.pgm", "cut.pgm"]
try:
    sn.open_image("cut.pgm")
except sn.SegnetError as error:
    assert str(error) == "cut.pgm is cut off: 6 bytes are missing. Copy it again."
else:
    raise AssertionError("a cut-off file was opened")
""")


def test_the_normalizer_is_a_value_of_the_setting(run):
    run("""
import numpy as np
from napari_segnet.prepare import ArrayStatistics, parse_normalizer
pixels = np.array([[1.0, 3.0]], np.float32)
affine = parse_normalizer("unit-mean").affine(ArrayStatistics(pixels), 0)
assert affine.apply(pixels).tolist() == [[0.5, 1.5]]
""")


def test_the_step_is_a_value_of_the_setting(run):
    run("""
import numpy as np
from napari_segnet.steps import REFINERS, LabelSettings
from napari_segnet.steps.resolve import check
settings = LabelSettings(steps=("shrink",))
check(settings)
labels = np.zeros((9, 9), np.int32)
labels[2:7, 2:7] = 5
(shrink,) = [step for step in REFINERS if step.name == "shrink"]
shrunk = shrink.refine(labels, settings)
assert shrunk.dtype == np.int32 and (shrunk[3:6, 3:6] == 5).all() and (shrunk > 0).sum() == 9
""")
