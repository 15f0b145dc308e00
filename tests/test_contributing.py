"""CONTRIBUTING.md does what it says: one file and one name in a list, and it runs.

The code blocks of that page are added to a copy of the package, in the way the page tells,
and tried through the public names in a fresh interpreter.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import napari_segnet

LISTS = {
    "readers": "READERS",
    "containers": "CONTAINERS",
    "families": "FAMILIES",
    "prepare": "NORMALIZERS",
    "steps": "REFINERS",
}
BLOCK = re.compile(r"```python\n# src/(napari_segnet/(\w+)/(\w+)\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def extended(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with every example of CONTRIBUTING.md added."""
    folder = tmp_path_factory.mktemp("extended")
    package = Path(napari_segnet.__file__).parent
    shutil.copytree(package, folder / "napari_segnet", ignore=shutil.ignore_patterns("__pycache__"))
    blocks = BLOCK.findall((root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert sorted(kind for _, kind, _, _ in blocks) == sorted(LISTS)
    for path, kind, module, code in blocks:
        assert not (folder / path).exists()
        (folder / path).write_text(code, encoding="utf-8")
        register(folder / "napari_segnet" / kind / "__init__.py", LISTS[kind], module, code)
    return folder


def register(init: Path, entries: str, module: str, code: str) -> None:
    """Import the class of an example in the folder's ``__init__`` and name it in the list."""
    (name,) = re.findall(r"^class (\w+)", code, re.MULTILINE)
    text = init.read_text(encoding="utf-8")
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
    lines.insert(imports, f"from napari_segnet.{init.parent.name}.{module} import {name}\n")
    init.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def run(extended: Path, tmp_path: Path):
    """Run code in the extended package, with ``tmp_path`` as working folder."""

    def run_code(code: str) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", f"import napari_segnet as sn\n{code}"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(extended), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    return run_code


def test_the_examples_are_written_like_the_house(extended: Path, root: Path):
    files = [extended / path for path, *_ in BLOCK.findall((root / "CONTRIBUTING.md").read_text())]
    config = ["--config", str(root / "pyproject.toml")]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *config, *map(str, files)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


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


def test_the_container_and_the_family_run_a_network(run):
    """From arrays of numpy to maps equal to the plain forward, and to labels."""
    run("""
import numpy as np, torch
from torch import nn

torch.manual_seed(0)
plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
names = ["first.weight", "first.bias", "second.weight", "second.bias"]
np.savez("toy.npz", **{n: p.detach().numpy() for n, p in zip(names, plain.parameters())})

checkpoint = sn.identify("toy.npz")
assert (checkpoint.family, checkpoint.store.container) == ("two-layers", "npz")
assert (checkpoint.halo_px, checkpoint.exact) == ((2, 2), True)
assert sum(p.numel() for p in plain.parameters()) == checkpoint.parameters

pixels = np.random.default_rng(0).integers(0, 256, (70, 45), np.uint8)
image = sn.Image(data=pixels, axes="yx")
settings = sn.PredictSettings(tile_px=(16,), device="cpu")
prediction = sn.run(sn.predict(checkpoint, image, settings))
low, high = int(pixels.min()), int(pixels.max())
batch = torch.from_numpy((pixels.astype(np.float32) - low) / (high - low))[None, None]
with torch.inference_mode():
    expected = plain(batch).sigmoid()[0].numpy()
assert prediction.answer.data.shape == (1, 70, 45)
assert np.abs(prediction.answer.data - expected).max() < 1e-4
segmentation = sn.run(sn.label(prediction, sn.LabelSettings(fill_holes=False)))
assert segmentation.labels.shape == (70, 45)
assert ((segmentation.labels > 0) == (expected[0] > 0.5)).mean() > 0.99
""")


def test_the_family_refuses_what_is_not_its_own(run):
    run("""
import torch
one = torch.zeros(1, 1, 3, 3)
torch.save({"first.weight": one, "second.weight": one}, "x.pth")
try:
    sn.identify("x.pth")
except sn.SegnetError as error:
    assert "first.bias" in str(error)
else:
    raise AssertionError("a file with missing tensors was recognised")
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
settings = LabelSettings(steps=("grow",))
check(settings)
labels = np.zeros((9, 9), np.int32)
labels[4, 4] = 5
(grow,) = [step for step in REFINERS if step.name == "grow"]
grown = grow.refine(labels, settings)
assert grown.dtype == np.int32 and set(np.unique(grown)) == {0, 5}
assert (grown == 5).sum() == 29  # a disc of radius 3
""")
