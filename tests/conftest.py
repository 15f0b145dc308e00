"""What every test shares: the real data, one thread, an empty working folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before anybody imports torch or numpy: the test run has one worker per core already.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
# Before anybody imports napari: what it is told in a test is no setting of the user's.
NAPARI = Path(tempfile.mkdtemp(prefix="napari-segnet-test-"))
os.environ["NAPARI_CONFIG"] = str(NAPARI / "settings.yaml")
os.environ["NAPARI_SEGNET_DATA"] = str(NAPARI / "data")

import hypothesis  # noqa: E402
import hypothesis.configuration  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SEGNET_DATA") or ROOT.parent / "shared" / "data")

# No deadline: the machine is shared. No database: a run depends on nothing but the code.
hypothesis.settings.register_profile("segnet", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("segnet")
hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".hypothesis")

WINDOW = {
    "pytestqt": ("qt_api",),
    "pytest_xvfb": ("xvfb_width", "xvfb_height", "xvfb_colordepth"),
}
"""Plugins of pytest for the window, and what pyproject.toml tells them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the names that pyproject.toml speaks of, also where napari is not installed."""
    for plugin, names in WINDOW.items():
        if importlib.util.find_spec(plugin) is None:
            for name in names:
                parser.addini(name, f"for {plugin}, which is not installed")


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Skip the tests of the window as a whole where there can be none."""
    if path == ROOT / "tests" / "widgets" and lacking():
        return NoWindow.from_parent(parent, path=path)
    return None


def lacking() -> list[str]:
    """Return what the tests of the window need and is not installed."""
    return [name for name in ("napari", *WINDOW) if importlib.util.find_spec(name) is None]


class NoWindow(pytest.Dir):
    """The folder of the window's tests, where they cannot run."""

    def collect(self) -> Iterator[pytest.Collector]:
        pytest.skip(f"no {', '.join(lacking())}: pip install '.[test,test-window]'")


def pytest_unconfigure() -> None:
    shutil.rmtree(NAPARI, ignore_errors=True)


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
