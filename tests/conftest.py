"""What every test shares: the real data, one thread, an empty working folder, honest marks."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import sys
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

# Before anybody imports OpenVINO: it tells its makers of each import.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# A disk takes ten milliseconds to say that it has a file, and that it keeps what it has cannot be
# tried here. SEGNET_FSYNC=1 waits for it.
if not os.environ.get("SEGNET_FSYNC"):
    os.fsync = lambda file: None

import hypothesis  # noqa: E402
import hypothesis.configuration  # noqa: E402
import pytest  # noqa: E402
from support.sample import outside_samples  # noqa: E402
from support.spent import Spent  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SEGNET_DATA") or ROOT.parent / "shared" / "data")

# No deadline: the machine is shared. No database and no chance: a run depends on nothing but the
# code. Others are tried with --hypothesis-profile=explore.
hypothesis.settings.register_profile(
    "segnet", deadline=None, database=None, print_blob=True, derandomize=True
)
hypothesis.settings.register_profile("explore", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("segnet")
hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".hypothesis")

WINDOW = {
    "pytestqt": ("qt_api",),
    "pytest_xvfb": ("xvfb_width", "xvfb_height", "xvfb_colordepth"),
}
"""Plugins of pytest for the window, and what pyproject.toml tells them."""


COSTLY = ("gui", "subprocess", "trains")
"""Marks of the tests that ``--quick`` leaves out."""
SCREEN = {"make_napari_viewer", "make_viewer", "qapp", "qtbot", "viewer"}
"""Fixtures that need a screen: whatever uses one is marked ``gui``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the names that pyproject.toml speaks of, also where napari is not installed."""
    parser.addoption(
        "--quick",
        action="store_true",
        help="leave out what opens a window, starts a Python process or trains a network",
    )
    for plugin, names in WINDOW.items():
        if importlib.util.find_spec(plugin) is None:
            for name in names:
                parser.addini(name, f"for {plugin}, which is not installed")


def pytest_configure(config: pytest.Config) -> None:
    """Turn ``--quick`` into an expression of marks."""
    if config.getoption("quick"):
        left_out = " and ".join(f"not {mark}" for mark in COSTLY)
        chosen = config.option.markexpr
        config.option.markexpr = f"({chosen}) and {left_out}" if chosen else left_out


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the window by what they use, and the cases outside a sample as long."""
    for item in items:
        if SCREEN.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.gui)
    for item in outside_samples(items):
        item.add_marker(pytest.mark.long)


SPENT = Spent()


def pytest_collection_finish() -> None:
    """Count steps of training. Tests that train import torch at the top, so it is there by now.

    What is loaded by then is no garbage: looking through it takes a tenth of the window's tests.
    """
    if "torch" in sys.modules:
        SPENT.watch_optimisers()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def honest_marks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that starts Python or trains and does not say so by its mark."""
    yield
    lacking = {mark for mark in SPENT.marks() if request.node.get_closest_marker(mark) is None}
    assert not lacking, f"mark the test with {', '.join(f'@pytest.mark.{m}' for m in lacking)}"


WINDOWLESS = {"test_session.py"}
"""Tests of the window's folder that need no window."""


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Skip the tests of the window where there can be none."""
    window = ROOT / "tests" / "widgets"
    if (path == window or window in path.parents) and lacking():
        return NoWindow.from_parent(parent, path=path)
    return None


def lacking() -> list[str]:
    """Return what the tests of the window need and is not installed."""
    return [name for name in ("napari", *WINDOW) if importlib.util.find_spec(name) is None]


class NoWindow(pytest.Dir):
    """A folder of the window's tests, where most of them cannot run."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        if self.path == ROOT / "tests" / "widgets":
            yield Reason.from_parent(self, name="window")
        for node in super().collect():
            if isinstance(node, NoWindow) or node.path.name in WINDOWLESS:
                yield node


class Reason(pytest.Collector):
    """Says why tests of the window are skipped."""

    def collect(self) -> Iterator[pytest.Item]:
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


@pytest.fixture(scope="session")
def working_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that tests start in: one, since thousands take long to number."""
    return tmp_path_factory.mktemp("cwd")


@pytest.fixture(autouse=True)
def empty_working_folder(working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts in an empty folder and must leave it empty: write to ``tmp_path``."""
    working_folder.mkdir(exist_ok=True)
    monkeypatch.chdir(working_folder)
    yield
    left = sorted(path.name for path in working_folder.iterdir())
    if left:
        shutil.rmtree(working_folder)  # the next test starts anew
    assert not left, f"the test left {left} in the working folder; write to tmp_path instead"


@pytest.fixture(autouse=True, scope="session")
def no_trial_of_engines() -> Iterator[None]:
    """Where OpenVINO is installed, runs of the tests start no process that measures it.

    Of the session: fixtures of a module run networks, too, before those of its tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_segnet.engines.begin_trial", lambda *_: None)
        yield


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
