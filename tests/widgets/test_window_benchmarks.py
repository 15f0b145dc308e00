"""The benchmarks of the window run; what they measure is in benchmarks/README.md."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.subprocess, pytest.mark.long]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("smooth.py", "--edge", "128", "--seconds", "1"), ("idle", "loading", "predict", "label")),
        (("live.py", "--edge", "128", "--runs", "2"), ("slider 128²", "2 runs")),
        (
            ("correct.py", "--objects", "400", "--accepted", "100", "--times", "1"),
            ("merge", "undo", "review opens", "review accept", "journal"),
        ),
    ],
    ids=["smooth", "live", "correct"],
)
def test_it_prints_its_figures(root, words, expected):
    done = subprocess.run(
        [sys.executable, str(root / "benchmarks" / words[0]), *words[1:]],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # 1 tells that a limit was missed, which a busy machine may make of any of them.
    assert done.returncode in (0, 1), done.stderr
    begun = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    for beginning in expected:
        assert any(line.startswith(beginning) for line in begun), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
