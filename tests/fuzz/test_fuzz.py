"""Damaged and hostile files of every kind: nothing runs, our own errors, within time and memory.

pytest -m fuzz tests/fuzz                                     # 2,000 files of each kind
SEGNET_FUZZ=100 SEGNET_FUZZ_SEED=5000 pytest -m fuzz -k ONNX  # so many, from this seed on
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.hostile.attack import attack
from support.hostile.kinds import KINDS

FEW = 6
"""Of each kind in a daily run."""
SLOW = ("torch.export", "source", "Keras source", "TorchScript")
"""Kinds whose files take many seconds to write or read; ``tests/programs`` has traps of each."""
MANY = int(os.environ.get("SEGNET_FUZZ", "2000"))
FIRST = int(os.environ.get("SEGNET_FUZZ_SEED", "1000"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SLOW])
def test_a_few(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = attack(KINDS[kind], FEW, 0, tmp_path)
    assert not report.faults
    assert report.opened + report.refused >= FEW


@pytest.mark.fuzz
@pytest.mark.subprocess
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_many(kind: str, root: Path) -> None:
    command = [sys.executable, "-m", "support.hostile.attack", kind, str(MANY), str(FIRST)]
    path = os.pathsep.join([str(root / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    print({name: value for name, value in report.items() if name != "faults"})
    assert not report["faults"], "\n".join(report["faults"])
