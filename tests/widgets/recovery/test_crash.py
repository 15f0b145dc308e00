"""A window that is killed: what is a second old is there, nothing is half there.

The law is that nothing older than a second is lost. Two things follow from it:

* A second is one of the program's: what it waits for a processor on a machine that is busy does
  not count, neither for the journal nor against it (``painter.waited``).
* A journal whose program dies within the first second may hold acts and not yet the snapshot of
  the labels that they were done to. It tells so itself, and what it tells is right: each pixel is
  as after the last act, or 0 where no act has changed it. After a second it is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from support import painter

from napari_segnet.journal import replay, summary
from napari_segnet.widgets.recovery.recorder import keep_journal

pytestmark = pytest.mark.subprocess


def paint_and_die(root, folder, seed, seconds):
    """Let another program paint for so long, kill it.

    Returns the number and state of each act that it told, and those that were a second old.
    """
    program = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            str(root / "tests" / "support" / "painter.py"),
            str(folder),
            str(seed),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )
    lines = []
    try:
        assert program.stdout.readline() == "ready\n"
        # Read all the while: a full pipe would hold it up.
        reader = threading.Thread(target=lambda: lines.extend(program.stdout), daemon=True)
        reader.start()
        time.sleep(seconds)
    finally:
        died, waited = time.time(), painter.waited(program.pid)
        program.kill()
        program.wait()
    reader.join(10)
    program.stdout.close()
    return told_by(lines, died, waited)


def told_by(lines, died, waited):
    """Return the acts that a program told, and the last one that was a second old at its end."""
    said = [line.split() for line in lines if line.endswith("\n") and len(line.split()) == 4]
    old = [int(n) for n, at, by_then, _ in said if died - float(at) - waited + float(by_then) > 1]
    return [(int(n), state) for n, _, _, state in said], max(old, default=0)


@contextlib.contextmanager
def forking(root):
    """Yield what lets programs paint that are forked from one with an open window.

    Each has a copy of the window, and a journal and threads of its own. A program that begins from
    nothing takes ten times as long. They paint for so many seconds of their own: those in which
    they wait for a processor do not count.
    """
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(root / "tests" / "support" / "painter.py"), "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )

    def paint(_root, folder, seed, seconds):
        out = folder.with_suffix(".told")
        parent.stdin.write(f"{folder}\t{seed}\t{out}\n")
        parent.stdin.flush()
        child = int(parent.stdout.readline())
        while not (out.exists() and out.read_text().startswith("ready\n")):
            os.kill(child, 0)  # it is there
            time.sleep(0.01)
        begin = painter.own_time(child)
        while painter.own_time(child) - begin < seconds:
            time.sleep(0.01)
        died, waited = time.time(), painter.waited(child)
        os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(child, 0)
                time.sleep(0.005)
        return told_by(out.read_text().splitlines(keepends=True), died, waited)

    try:
        assert parent.stdout.readline() == "ready\n"
        yield paint
    finally:
        parent.kill()
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()


def check(root, folder, seed, seconds, paint=paint_and_die):
    said, old = paint(root, folder, seed, seconds)
    found = list((folder / "journals").glob("*.journal")) if folder.exists() else []
    if not found:
        assert old == 0, "a second after the first act there is a journal"
        return None
    (path,) = found
    if not summary(path).acts:
        assert old == 0, "a second after the first act it is in the journal"
        return None
    state = replay(path)
    known = {}
    for number, hashed in said:
        known.setdefault(hashed, []).append(number)
    # The last act may have been written, but not told, when the program was killed.
    told = painter.digest(state.labels)
    latest = max(known[told]) if told in known else None
    if latest is None:
        again = repeated(seed, len(said) + 1)
        assert state.labels.shape == painter.SHAPE
        same = [number for number, one in enumerate(again) if tells(state, again[0], one)]
        assert same and (state.missing_px or same[-1] >= len(said)), "an act is half there"
        latest = len(said) if same[-1] >= len(said) else same[-1]
    assert latest >= old, "an act of a second ago is lost"
    assert old == 0 or not state.missing_px, "the labels of a second ago are lost"
    return path


def tells(state, first, labels):
    """Tell if a journal says that labels were so, as far as it goes."""
    untold = (state.labels == 0) & (labels == first) if state.missing_px else False
    return bool(((state.labels == labels) | untold).all())


def repeated(seed, count):
    """Return the states that a painter of this seed goes through."""
    from napari.layers import Labels

    layer, rng = Labels(painter.objects()), np.random.default_rng(seed)
    states = [layer.data.copy()]
    for _ in range(count):
        painter.any_act(layer, rng)
        states.append(layer.data.copy())
        rng.exponential(0.03)
    return states


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_window_loses_nothing(root, tmp_path, seed, qapp):
    assert check(root, tmp_path / "data", seed, 1.6 + seed) is not None


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_killed_window_loses_nothing_many_times(root, tmp_path, qapp):
    rng, journals = np.random.default_rng(0), 0
    kills = int(os.environ.get("SEGNET_KILLS", "50"))
    with forking(root) as paint:
        for number in range(kills):
            folder, seconds = tmp_path / str(number), float(rng.uniform(0.05, 3))
            found = check(root, folder, 100 + number, seconds, paint)
            journals += found is not None
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"{kills} kills, {journals} journals\n")
    assert journals > kills / 2


def test_the_same_image_brings_it_back(root, tmp_path, viewer, monkeypatch):
    path = check(root, tmp_path / "data", 5, 1.8)
    expected = replay(path)
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "data"))
    keeper = keep_journal(viewer)
    viewer.add_image(painter.image()[:, ::-1].copy(), name="another one")
    assert not keeper.offers
    viewer.add_image(painter.image(), name="cells again")
    (offer,) = keeper.offers
    assert offer.acts == expected.acts > 3
    layer = keeper.recover(offer)
    assert layer in viewer.layers
    assert layer.name == "labels"
    np.testing.assert_array_equal(expected.labels, layer.data)


@pytest.mark.long
def test_two_windows_on_one_image_keep_journals_of_their_own(root, tmp_path):
    """Two programs paint at the same time and are killed: neither journal holds the other's."""
    seeds, told = (900, 901), {}

    def work(seed):
        told[seed] = paint_and_die(root, tmp_path, seed, 3.0)

    both = [threading.Thread(target=work, args=(seed,)) for seed in seeds]
    for one in both:
        one.start()
    for one in both:
        one.join()
    states = [replay(path) for path in (tmp_path / "journals").glob("*.journal")]
    assert len(states) == 2
    owners = []
    for seed in seeds:
        said, old = told[seed]
        again = repeated(seed, len(said) + 1)
        reached = [
            max((n for n, one in enumerate(again) if tells(state, again[0], one)), default=-1)
            for state in states
        ]
        assert sorted(reached)[0] < old <= max(reached), "acts are lost, or of the other window"
        owners.append(reached.index(max(reached)))
    assert sorted(owners) == [0, 1]
