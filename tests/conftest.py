"""What every test shares: the real data, one thread, an empty working folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Before anybody imports torch or numpy: the test run has one worker per core already.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import hypothesis
import hypothesis.configuration
import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SEGNET_DATA") or ROOT.parent / "shared" / "data")

# No deadline: the machine is shared. No database: a run depends on nothing but the code.
hypothesis.settings.register_profile("segnet", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("segnet")
hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".hypothesis")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images and networks, which is not part of this repository."""
    if not DATA.is_dir():
        pytest.skip(
            f"no real data at {DATA}: set SEGNET_DATA to the folder that holds nuclei/, samples/"
        )
    return DATA


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(autouse=True)
def empty_working_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Each test starts in an empty folder and must leave it empty: write to ``tmp_path``."""
    here = tmp_path_factory.mktemp("cwd")
    monkeypatch.chdir(here)
    yield
    left = sorted(path.name for path in here.iterdir())
    assert not left, f"the test left {left} in the working folder; write to tmp_path instead"


@pytest.fixture
def open_terminal():
    """As in a terminal: a test run under nohup hands an ignored SIGHUP on to its children."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        yield
        return
    before = signal.signal(hangup, signal.SIG_DFL)
    yield
    signal.signal(hangup, before)
