"""What is installed: the wheel holds the data files, and nothing of the repository beside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.subprocess

PARTS = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        shutil.copy(root / part, folder)
    shutil.copytree(root / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "dist").iterdir()
    return zipfile.Path(built)


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_all_its_data(wheel: zipfile.Path, root: Path):
    inside = {n for n in wheel.root.namelist() if ".dist-info/" not in n and not n.endswith("/")}
    assert files(root / "src") == inside
    assert "napari_segnet/py.typed" in inside
    assert "napari_segnet/napari.yaml" in inside


def test_the_wheel_installs_the_command_and_says_its_licence(wheel: zipfile.Path):
    (info,) = (path for path in wheel.iterdir() if path.name.endswith(".dist-info"))
    entries = (info / "entry_points.txt").read_text(encoding="utf-8")
    assert "napari-segnet = napari_segnet.__main__:main" in entries
    assert "[napari.manifest]\nnapari-segnet = napari_segnet:napari.yaml" in entries
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert (info / "licenses" / "LICENSE").exists()
