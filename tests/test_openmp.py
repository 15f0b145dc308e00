"""Threads wait awake for a moment only, unless the user says how they wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_segnet.openmp import ASKED, WAIT, bound_waiting


def said(code, **environ):
    """Return what a fresh interpreter prints, which knows only this of OpenMP."""
    kept = {k: v for k, v in os.environ.items() if k not in ASKED}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **environ}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.subprocess
def test_it_is_said_before_torch_is_there():
    names = "print(*(os.environ.get(name) for name in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME')))"
    code = f"import os, sys, napari_segnet; print('torch' in sys.modules); {names}"
    assert said(code) == ["False", WAIT["GOMP_SPINCOUNT"], WAIT["KMP_BLOCKTIME"]]


@pytest.mark.parametrize("name", ASKED)
def test_what_the_user_says_stays(name, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    environ = {name: "passive", "OTHER": "1"}
    bound_waiting(environ)
    assert environ == {name: "passive", "OTHER": "1"}
    nothing = {}
    bound_waiting(nothing)
    assert nothing == WAIT


@pytest.mark.long
@pytest.mark.subprocess
def test_where_torch_is_loaded_already_nothing_is_said():
    code = "import os, torch, napari_segnet; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert said(code) == ["None"]


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp comes with torch on Linux")
@pytest.mark.subprocess
def test_the_openmp_of_torch_hears_it():
    """libgomp prints what it was told when it is loaded."""
    code = "import napari_segnet, torch"
    kept = {k: v for k, v in os.environ.items() if k not in ASKED}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**kept, "OMP_DISPLAY_ENV": "verbose"},
    )
    assert f"GOMP_SPINCOUNT = '{WAIT['GOMP_SPINCOUNT']}'" in done.stderr
