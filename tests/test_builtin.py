"""The networks that ship with the package, by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_segnet import builtin
from napari_segnet.builtin import builtin_models, weights_path
from napari_segnet.errors import WeightsError


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    for name in ("nuclei-dark", "nuclei", "cells"):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    monkeypatch.setattr(builtin, "MODELS", tmp_path)
    return tmp_path


def test_every_safetensors_file_is_one(shelf):
    assert list(builtin_models()) == ["cells", "nuclei", "nuclei-dark"]
    assert builtin_models()["cells"] == shelf / "cells.safetensors"


def test_a_name_means_the_file_that_ships(shelf, tmp_path, monkeypatch):
    assert weights_path("nuclei") == shelf / "nuclei.safetensors"
    assert weights_path(Path("nuclei")) == shelf / "nuclei.safetensors"


def test_anything_else_is_a_path(shelf):
    for path in ("unet.pth", "./nuclei", "a/b", "/x"):
        assert weights_path(path) == Path(path)


def test_a_file_without_an_ending_is_no_mistyped_name(shelf, tmp_path):
    (tmp_path / "unet").touch()
    assert weights_path(tmp_path / "unet") == tmp_path / "unet"


def test_a_mistyped_name_is_refused_with_the_nearest_one(shelf):
    with pytest.raises(
        WeightsError, match=r"nuceli is neither .*did you mean 'nuclei'.*cells, nuc"
    ):
        weights_path("nuceli")


def test_without_any_the_refusal_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "MODELS", tmp_path / "none")
    assert builtin_models() == {}
    with pytest.raises(WeightsError, match="None is built in"):
        weights_path("nuclei")


def test_what_ships_is_small_and_known_by_name():
    shipped = builtin_models()
    assert "nuclei" in shipped
    assert all(path.stat().st_size <= 8_000_000 for path in shipped.values())


@pytest.mark.subprocess
def test_names_cost_no_torch():
    code = "import sys; from napari_segnet.builtin import *; builtin_models(); weights_path('a.pt')"
    code += "; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
