"""The journal: what was written is read, and a cut leaves whole acts only."""

from __future__ import annotations

import copy
import os
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.errors import JournalError
from napari_segnet.journal import (
    Act,
    Change,
    Journal,
    apply_patch,
    changes_at,
    difference,
    replay,
    slabs,
    summary,
)
from napari_segnet.journal import _format as format_module
from napari_segnet.journal import _write as module
from napari_segnet.journal._format import HEAD, MAGIC, pack_box, pack_json, record
from napari_segnet.ownership import is_held


def painted(rng, labels):
    """Change a random box of the labels in place; return the change."""
    low = [int(rng.integers(0, n)) for n in labels.shape]
    box = tuple(
        slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(low, labels.shape, strict=True)
    )
    inside = labels[box]
    mask = rng.uniform(size=inside.shape) < 0.5
    if rng.uniform() < 0.3 or not mask.any():
        mask = None
    before = inside.reshape(-1) if mask is None else inside[mask]
    after = np.array([int(rng.integers(0, 9))], labels.dtype)
    if rng.uniform() < 0.4:
        after = rng.integers(0, 9, before.size).astype(labels.dtype)
    change = Change(box=box, mask=mask, before=before.copy(), after=after)
    change.apply(labels)
    return change


def act(*changes, what="stroke", patch=None):
    made = Act(what=what, at=time.time(), changes=changes, patch=patch)
    return lambda: made


def snapshot(journal, labels):
    journal.begin_snapshot(labels.shape, labels.dtype)
    for box in slabs(labels.shape):
        journal.snapshot_box([part.start for part in box], labels[box].copy())
    journal.end_snapshot()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "cells.journal"


def written(path, labels, acts, document=None):
    journal = Journal(path)
    journal.document(difference({}, document or {"name": "cells"}))
    snapshot(journal, labels)
    for one in acts:
        journal.act(one)
    journal.close()
    assert journal.error is None
    return path


@given(st.integers(0, 10**9), st.sampled_from([(7,), (5, 9), (3, 4, 5), (2, 2, 3, 4)]))
@settings(max_examples=40)
def test_a_change_is_what_it_says_and_has_an_inverse(seed, shape):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, shape).astype(np.int32)
    first = labels.copy()
    changes = [painted(rng, labels) for _ in range(4)]
    again = first.copy()
    for change in changes:
        change.apply(again)
    np.testing.assert_array_equal(labels, again)
    for change in reversed(changes):
        change.inverse().apply(again)
    np.testing.assert_array_equal(first, again)


@given(st.integers(0, 10**9), st.sampled_from([(40,), (20, 30), (6, 9, 11)]))
@settings(max_examples=30)
def test_a_change_acts_on_a_box_of_an_array_as_on_the_array(seed, shape):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, shape).astype(np.int32)
    before, change = labels.copy(), painted(rng, labels)
    low = [int(rng.integers(0, n)) for n in shape]
    box = tuple(slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(low, shape, strict=True))
    part = before[box].copy()
    change.apply(part, low)
    np.testing.assert_array_equal(labels[box], part)


@given(st.integers(0, 10**9), st.integers(1, 60))
@settings(max_examples=30)
def test_scattered_pixels_are_as_numpy_sets_them(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, (300, 4000)).astype(np.int32)
    at = tuple(rng.integers(0, n, count) for n in labels.shape)
    after = rng.integers(5, 9, count) if seed % 2 else 7
    changes = changes_at(at, labels[at].copy(), after)
    expected, made = labels.copy(), labels.copy()
    expected[at] = after
    for change in changes:
        change.apply(made)
    np.testing.assert_array_equal(expected, made)
    space = sum(int(np.prod(change.mask.shape)) for change in changes)
    assert space <= max(2**16 * len(changes), 64 * count)
    for change in changes:
        change.inverse().apply(made)
    np.testing.assert_array_equal(labels, made)


@pytest.mark.parametrize("shape", [(7,), (5, 9), (3, 4, 5), (2, 3, 4, 5)])
def test_slabs_cover_each_pixel_once(shape):
    covered = np.zeros(shape, int)
    for box in slabs(shape, 6):
        covered[box] += 1
        assert covered[box].size <= 6
    assert (covered == 1).all()


def test_what_was_written_is_read(path):
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 5, (60, 20)), 4, axis=1).astype(np.int32)
    first = labels.copy()
    acts = [act(painted(rng, labels)) for _ in range(10)]
    state = replay(written(path, first, acts))
    np.testing.assert_array_equal(labels, state.labels)
    assert labels.dtype == state.labels.dtype
    assert (10, True, {"name": "cells"}) == (state.acts, state.whole, state.document)
    told = summary(path)
    assert (10, True, {"name": "cells"}) == (told.acts, told.complete, told.document)
    assert told.last_at == state.last_at > 0


@given(st.integers(0, 10**9))
@settings(max_examples=25)
def test_a_cut_anywhere_leaves_whole_acts(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("cut") / "x.journal"
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, (12, 10)).astype(np.int32)
    first, states, acts = labels.copy(), [labels.copy()], []
    for _ in range(6):
        acts.append(act(painted(rng, labels), painted(rng, labels)))
        states.append(labels.copy())
    written(path, first, acts)
    whole = path.read_bytes()
    start = whole.index(b"E", len(MAGIC))
    for place in sorted(rng.integers(start, len(whole), 8)):
        path.write_bytes(whole[:place])
        try:
            state = replay(path)
        except JournalError:
            assert not summary(path).complete
            continue
        np.testing.assert_array_equal(states[state.acts], state.labels)
        assert summary(path).acts == state.acts


# ---- Damage ----

ROWS = 2
"""Of each act below, so that no two touch."""


def banded(path, count=30, most_px=160):
    """Write a journal of acts that do not touch each other; return the labels behind them."""
    rng = np.random.default_rng(count)
    labels = rng.integers(1, 5, (count * ROWS, 16)).astype(np.int32)
    journal = Journal(path)
    journal.document(difference({}, {"name": "cells"}))
    journal.begin_snapshot(labels.shape, labels.dtype)
    for box in slabs(labels.shape, most_px):
        journal.snapshot_box([part.start for part in box], labels[box].copy())
    journal.end_snapshot()
    for number in range(count):
        band = labels[number * ROWS : (number + 1) * ROWS]
        before = band.reshape(-1).copy()
        band[:] = rng.integers(5, 99, band.shape)
        box = (slice(number * ROWS, (number + 1) * ROWS), slice(0, 16))
        change = Change(box=box, mask=None, before=before, after=band.reshape(-1).copy())
        journal.act(act(change, what=f"act {number}", patch=[[["last"], number]]))
    journal.close()
    return labels


def places(path):
    """Return kind and place of each record of a whole journal."""
    found, place = [], len(MAGIC)
    data = path.read_bytes()
    while place < len(data):
        length, _, kind = HEAD.unpack_from(data, place)
        found.append((kind, place, place + HEAD.size + length))
        place = found[-1][2]
    return found


def flip(path, place, bits=0x10):
    data = bytearray(path.read_bytes())
    data[place] ^= bits
    path.write_bytes(data)


@pytest.mark.parametrize("where", [0, 5, 8, 9, 30, -1])
def test_acts_behind_a_damaged_one_are_done_again(path, where):
    labels = banded(path)
    _, start, end = [place for place in places(path) if place[0] == b"A"][14]
    flip(path, start + where if where >= 0 else end + where)
    told, state = summary(path), replay(path)
    assert (29, 1, True) == (told.acts, told.gaps, told.complete)
    assert (29, 1, 0, 0, True) == (
        *(state.acts, state.gaps, state.left_out, state.missing_px),
        state.whole,
    )
    assert state.document == told.document == {"name": "cells", "last": 29}
    lost = slice(14 * ROWS, 15 * ROWS)
    assert (state.labels[lost] < 5).all(), "as before the act that is lost"
    state.labels[lost] = labels[lost]
    np.testing.assert_array_equal(labels, state.labels)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 255))
@settings(max_examples=60)
def test_one_wrong_byte_costs_what_it_stands_in_and_no_more(tmp_path_factory, which, where, bits):
    path = tmp_path_factory.mktemp("flip") / "x.journal"
    labels = banded(path, 6, 48)
    whole = path.read_bytes()
    there = places(path)
    kind, start, end = there[which % len(there)]
    flip(path, start + where % (end - start), bits)
    last = end == len(whole)
    state = replay(path)
    different = state.labels != labels
    assert 6 - (kind == b"A") == state.acts
    assert (not last, 0 if last else 1) == (state.whole, state.gaps)
    if kind == b"C":
        # What the acts say of the lost box does not fit what is there instead.
        assert state.missing_px == 48
        assert different.sum() <= 48 + ROWS * 16
    elif kind == b"A":
        assert 0 < different.sum() <= ROWS * 16
    else:
        assert not different.any()


def test_an_act_that_no_longer_fits_is_left_out_and_counted(path):
    labels = np.zeros((4, 4), np.int32)

    def paint(box, before, after):
        return act(
            Change(
                box=box,
                mask=None,
                before=np.array([before], np.int32),
                after=np.array([after], np.int32),
            )
        )

    top, corner, bottom = (slice(0, 1), slice(0, 4)), (slice(0, 1), slice(0, 1)), (slice(3, 4),) * 2
    written(
        path,
        labels,
        [
            paint(top, 0, 1),
            paint(corner, 1, 2),  # lost
            paint(corner, 2, 3),  # on what is lost
            paint(bottom, 0, 4),
            paint((slice(0, 1), slice(2, 3)), 1, 5),
        ],
    )
    kept = path.read_bytes()
    lost = [place for place in places(path) if place[0] == b"A"][1]
    flip(path, lost[1] + 20)
    state = replay(path)
    assert (4, 1, 1) == (state.acts, state.left_out, state.gaps)
    np.testing.assert_array_equal(state.labels[0], [1, 1, 5, 1])
    assert state.labels[3, 3] == 4
    path.write_bytes(kept)
    np.testing.assert_array_equal(replay(path).labels[0], [3, 1, 5, 1])


def test_an_act_of_two_changes_is_done_whole_or_not_at_all(path):
    labels = np.zeros((2, 4), np.int32)
    one, two = (slice(0, 1), slice(0, 4)), (slice(1, 2), slice(0, 4))
    value = [np.array([n], np.int32) for n in range(5)]

    def change(box, a, b):
        return Change(box=box, mask=None, before=value[a], after=value[b])

    written(
        path,
        labels,
        [act(change(two, 0, 1)), act(change(one, 0, 2), change(two, 1, 3), what="merge")],
    )
    flip(path, next(place for place in places(path) if place[0] == b"A")[1] + 20)
    state = replay(path)
    assert (1, 1) == (state.acts, state.left_out)
    assert not state.labels.any()


def test_a_whole_snapshot_behind_the_damage_heals_it(path):
    labels = banded(path)
    flip(path, [place for place in places(path) if place[0] == b"A"][3][1] + 20)
    journal = Journal(path)
    snapshot(journal, labels)
    journal.close()
    state = replay(path)
    np.testing.assert_array_equal(labels, state.labels)
    assert (0, 0, 29) == (state.gaps, state.left_out, state.acts)


def test_what_is_written_behind_damage_is_read_and_cuts_nothing_off(path):
    banded(path)
    flip(path, [place for place in places(path) if place[0] == b"A"][3][1] + 20)
    before = replay(path).labels
    journal = Journal(path)
    rng = np.random.default_rng(3)
    journal.act(act(painted(rng, before)))
    journal.close()
    state = replay(path)
    assert (30, 1, 0) == (state.acts, state.gaps, state.left_out)
    np.testing.assert_array_equal(before, state.labels)


def test_labels_that_lie_elsewhere_keep_what_the_journal_lost(path):
    """They hold all acts already, also the one that cannot be read."""
    journal = Journal(path)
    labels = np.zeros((1, 4), np.int32)
    for number in range(1, 5):
        change = Change(
            box=(slice(0, 1), slice(0, number)),
            mask=None,
            before=labels[0, :number].copy(),
            after=np.array([number], np.int32),
        )
        change.apply(labels)
        journal.act(act(change))
    journal.close()
    flip(path, places(path)[2][1] + 20)
    np.testing.assert_array_equal(labels, replay(path, labels.copy()).labels)


def test_without_any_of_the_first_labels_the_acts_are_laid_on_what_is_known(path):
    """All boxes of the only snapshot are damaged: the pixels that acts tell are there."""
    labels = np.arange(1, 1 + 8 * 8, dtype=np.int32).reshape(8, 8)
    rows = [slice(n, n + 1) for n in range(8)]

    def paint(row, before, after):
        values = [np.asarray(before, np.int32).reshape(-1), np.array([after], np.int32)]
        box = (rows[row], slice(0, 8))
        return act(Change(box=box, mask=None, before=values[0], after=values[1]))

    written(path, labels, [paint(2, labels[2], 70), paint(5, labels[5], 71), paint(2, 70, 72)])
    kept = path.read_bytes()
    wanted = np.zeros((8, 8), np.int32)
    wanted[2], wanted[5] = 72, 71
    for lost in ("C", "SC", "SCE", "CE"):
        path.write_bytes(kept)
        for kind, start, _ in places(path):
            if kind.decode() in lost:
                flip(path, start + 4)
        told, state = summary(path), replay(path)
        assert (told.acts, told.complete, told.partial, told.gaps > 0) == (3, False, True, True)
        assert (state.acts, state.left_out) == (3, 0)
        shape = told.shape
        assert shape == ((8, 8) if "S" not in lost else (6, 8)), "as far as the acts reach"
        np.testing.assert_array_equal(state.labels, wanted[: shape[0]])
        assert state.missing_px == shape[0] * 8


def test_a_snapshot_that_was_cut_off_shows_what_is_there(path):
    labels = np.full((4, 4), 3, np.int32)
    journal = Journal(path)
    journal.begin_snapshot(labels.shape, labels.dtype)
    journal.snapshot_box((0, 0), labels[:2].copy())
    box = (slice(0, 4), slice(0, 1))
    one = Change(box=box, mask=None, before=np.array([3], np.int32), after=np.array([4], np.int32))
    journal.act(act(one))
    journal.close()
    told, state = summary(path), replay(path)
    assert (told.complete, told.partial, told.shape, told.gaps) == (False, True, (4, 4), 0)
    assert state.missing_px == 8
    np.testing.assert_array_equal(state.labels, [[4, 3, 3, 3]] * 2 + [[4, 0, 0, 0]] * 2)


@pytest.mark.parametrize("place", range(0, len(MAGIC), 3))
def test_behind_a_damaged_first_line_all_is_read(path, place):
    labels = banded(path, 6)
    flip(path, place, 0xFF)
    told, state = summary(path), replay(path)
    assert (told.acts, told.complete, told.gaps) == (6, True, 1)
    np.testing.assert_array_equal(labels, state.labels)
    journal = Journal(path)  # and goes on behind it
    journal.act(act(painted(np.random.default_rng(3), labels)))
    journal.close()
    np.testing.assert_array_equal(labels, replay(path).labels)
    path.write_bytes(b"\0" * (len(MAGIC) + 9) + path.read_bytes()[len(MAGIC) + 9 :])
    assert summary(path).acts == 7


def test_a_search_goes_on_over_its_own_borders(path, monkeypatch):
    labels = banded(path, 12)
    monkeypatch.setattr(format_module, "SEARCH_BYTES", 64)
    for kind, start, _ in places(path)[:-1]:
        kept = path.read_bytes()
        flip(path, start + 1)
        assert replay(path).acts == 12 - (kind == b"A")
        path.write_bytes(kept)
    np.testing.assert_array_equal(labels, replay(path).labels)


@pytest.mark.parametrize("payload", [b"\0", b"", b"\x05\0\0\0\x05\0\0\0short", b"\xff" * 40])
@pytest.mark.parametrize("kind", [b"A", b"P", b"S", b"C"])
def test_a_record_whose_content_is_wrong_is_left_out(path, kind, payload):
    labels = banded(path, 4)
    whole = path.read_bytes()
    place = places(path)[-2][1]
    path.write_bytes(whole[:place] + record(kind, payload) + whole[place:])
    state = replay(path)
    assert (4, 1) == (state.acts, state.gaps)
    np.testing.assert_array_equal(labels, state.labels)
    path.write_bytes(MAGIC + record(kind, payload))
    assert summary(path).acts == 0
    with pytest.raises(JournalError, match=r"cells\.journal is damaged: neither labels nor"):
        replay(path)


def test_boxes_that_belong_to_no_snapshot_change_nothing(path):
    labels = banded(path, 4)
    whole = path.read_bytes()
    first = places(path)[2][1]
    strange = [pack_box((0, 0, 0), np.ones((1, 2, 2), np.int32)), pack_box((7, 15), labels[:2, :2])]
    added = b"".join(record(b"C", box) for box in strange)
    path.write_bytes(whole[:first] + added + whole[first:])
    state = replay(path)
    np.testing.assert_array_equal(labels, state.labels)
    assert (4, 0) == (state.acts, state.left_out)


def test_a_shape_that_no_memory_holds_is_refused(path):
    head = pack_json({"shape": [2**40, 2**40], "dtype": "<i4"})
    box = pack_box((0, 0), np.ones((2, 2), np.int32))
    path.parent.mkdir()
    path.write_bytes(MAGIC + record(b"S", head) + record(b"C", box) + record(b"E", b""))
    with pytest.raises(JournalError, match=r"which cannot be made here"):
        replay(path)


# ---- Owners ----

WRITER = """
import sys, time
from pathlib import Path
from napari_segnet.journal import Act, Journal
journal = Journal(Path(sys.argv[1]))
journal.act(lambda: Act(what="stroke", at=time.time()))
journal.flush()
print("written", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def writer(root, path):
    """Let another process write the journal until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )
    assert process.stdout.readline() == b"written\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.subprocess
def test_a_journal_is_written_by_one_process_and_free_when_that_is_killed(path, writer):
    assert is_held(path)
    with pytest.raises(JournalError, match=r"cells\.journal are being written by another window"):
        Journal(path)
    writer.kill()
    writer.wait()
    assert not is_held(path)
    journal = Journal(path)
    journal.act(act())
    journal.close()
    assert summary(path).acts == 2
    assert [path] == list(path.parent.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX")
def test_a_journal_is_read_by_its_owner_only(path, monkeypatch):
    def modes():
        return [stat.S_IMODE(p.stat().st_mode) for p in (path.parent, path)]

    path.parent.mkdir(mode=0o755)
    path.write_bytes(MAGIC)
    path.chmod(0o644)  # of an earlier version
    monkeypatch.setattr(module, "COMPACT_BYTES", 1000)
    rng, labels = np.random.default_rng(5), np.zeros((30, 30), np.int32)
    journal = Journal(path)
    snapshot(journal, labels)
    journal.flush()
    assert modes() == [0o700, 0o600]
    for _ in range(60):
        journal.act(act(painted(rng, labels)))
    journal.close()
    assert replay(path).document["acts before"], "it was written anew"
    assert modes() == [0o700, 0o600]


# ---- Snapshots and acts ----


def test_boxes_that_were_taken_between_acts_are_one_state(path):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 5, (8, 6)).astype(np.int32)
    journal = Journal(path)
    journal.begin_snapshot(labels.shape, labels.dtype)
    for row in range(8):
        journal.act(act(painted(rng, labels)))
        journal.snapshot_box((row, 0), labels[row : row + 1].copy())
    journal.end_snapshot()
    journal.act(act(painted(rng, labels)))
    journal.close()
    np.testing.assert_array_equal(labels, replay(path).labels)


def test_labels_that_are_replaced_count_when_they_are_complete(path):
    first, second = np.full((4, 5), 1, np.int32), np.full((4, 5), 2, np.int32)
    journal = Journal(path)
    snapshot(journal, first)
    journal.begin_snapshot(second.shape, second.dtype)
    journal.snapshot_box((0, 0), second[:2].copy())
    journal.flush()
    np.testing.assert_array_equal(first, replay(path).labels)
    journal.snapshot_box((2, 0), second[2:].copy())
    journal.end_snapshot()
    journal.close()
    np.testing.assert_array_equal(second, replay(path).labels)


def test_a_journal_is_continued_behind_its_last_whole_record(path):
    rng = np.random.default_rng(3)
    labels = np.zeros((9, 9), np.int32)
    first = labels.copy()
    acts = [act(painted(rng, labels)) for _ in range(3)]
    kept = labels.copy()
    lost = act(painted(rng, labels))
    written(path, first, [*acts, lost])
    path.write_bytes(path.read_bytes()[:-1])
    labels[:] = kept
    journal = Journal(path)
    journal.act(act(painted(rng, labels)))
    journal.close()
    state = replay(path)
    np.testing.assert_array_equal(labels, state.labels)
    assert (4, True) == (state.acts, state.whole)


def test_without_a_snapshot_the_acts_apply_to_what_is_given(path):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 5, (9, 9)).astype(np.int32)
    first = labels.copy()
    journal = Journal(path)
    journal.act(act(painted(rng, labels)))
    journal.close()
    with pytest.raises(JournalError, match=r"cells\.journal holds corrections but not the labels"):
        replay(path)
    np.testing.assert_array_equal(labels, replay(path, first).labels)


def test_what_ended_before_its_labels_has_no_correction(path):
    journal = Journal(path)
    journal.document([[["name"], "cells"]])
    journal.close()
    assert summary(path).acts == 0
    with pytest.raises(
        JournalError, match=r"cells\.journal holds no correction: the program ended"
    ):
        replay(path)


def test_a_large_journal_is_written_anew(path, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_BYTES", 4000)
    rng = np.random.default_rng(5)
    labels = np.zeros((30, 30), np.int32)
    journal = Journal(path)
    journal.document([[["name"], "cells"]])
    snapshot(journal, labels)
    sizes = []
    for number in range(40):
        journal.act(act(painted(rng, labels), patch=[[["number"], number]]))
        journal.flush()
        sizes.append(path.stat().st_size)
    journal.close()
    assert min(np.diff(sizes)) < 0
    state = replay(path)
    np.testing.assert_array_equal(labels, state.labels)
    assert (40, 39, "cells") == (state.acts, state.document["number"], state.document["name"])
    assert [path] == list(path.parent.iterdir())


def test_what_is_no_journal_is_refused(path):
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(JournalError, match=r"cells\.journal is no journal of corrections"):
        summary(path)


def test_a_full_disk_is_told(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    journal = Journal(tmp_path / "taken" / "cells.journal")
    journal.act(act())
    journal.flush()
    assert "Corrections can no longer be kept safe" in str(journal.error)
    journal.close()


def test_acts_are_written_while_their_caller_goes_on(path):
    journal = Journal(path)
    journal.act(act())
    until = time.monotonic() + 5
    while not (path.exists() and summary(path).acts):
        assert time.monotonic() < until
        time.sleep(0.01)
    journal.delete()
    assert not path.exists()


def test_a_journal_has_its_first_line_when_it_has_its_name(path, monkeypatch):
    """Whoever is killed while it is made leaves no empty journal."""
    seen = []

    def opened(file):
        seen.append(file.read_bytes())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "open_private", opened)
    journal = Journal(path)
    journal.document([[["name"], "nuclei"]])
    journal.close()
    assert seen == [MAGIC]
    assert journal.error is not None
    assert not summary(path).acts


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
documents = st.dictionaries(st.text(max_size=2), json_values, max_size=4)


@settings(max_examples=50)
@given(documents, documents)
def test_a_patch_makes_one_document_of_another(before, after):
    kept, patch = repr(before), difference(before, after)
    made = copy.deepcopy(before)
    apply_patch(made, copy.deepcopy(patch))
    assert after == made
    assert kept == repr(before)


def test_the_patch_of_one_entry_is_small():
    before = {"review": {"states": {str(i): "unseen" for i in range(10_000)}}}
    after = {"review": {"states": {**before["review"]["states"], "7": "accepted"}}}
    assert [[["review", "states", "7"], "accepted"]] == difference(before, after)


def test_a_journal_that_nobody_closes_ends_with_its_last_reference(tmp_path):
    """As of a viewer that is gone without having been closed: no thread, file or lock is left."""
    path = tmp_path / "a.journal"
    journal = Journal(path)
    snapshot(journal, np.zeros((4, 5), np.int32))
    thread = journal._thread
    assert is_held(path)
    del journal
    thread.join(10)
    assert not thread.is_alive()
    assert not is_held(path)
    assert replay(path).labels.shape == (4, 5)


def test_a_clock_that_goes_back_changes_no_order(path, monkeypatch):
    """Acts are replayed as they were written, whatever time they say."""
    rng = np.random.default_rng(4)
    labels = np.zeros((20, 30), np.int32)
    first, acts = labels.copy(), []
    for back in range(6):
        monkeypatch.setattr(time, "time", lambda back=back: 1e9 - 3600.0 * back)
        acts.append(act(painted(rng, labels)))
    state = replay(written(path, first, acts))
    np.testing.assert_array_equal(state.labels, labels)
    assert summary(path).acts == 6
