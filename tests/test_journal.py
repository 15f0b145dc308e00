"""The journal: what was written is read, and a cut leaves whole acts only."""

from __future__ import annotations

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
    changes_at,
    difference,
    patched,
    replay,
    slabs,
    summary,
)
from napari_segnet.journal import _write as module
from napari_segnet.journal._format import MAGIC


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


def test_a_damaged_record_ends_the_journal(path):
    rng = np.random.default_rng(1)
    labels = np.zeros((20, 20), np.int32)
    first, states, acts = labels.copy(), [labels.copy()], []
    for _ in range(5):
        acts.append(act(painted(rng, labels)))
        states.append(labels.copy())
    written(path, first, acts)
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 255
    path.write_bytes(damaged)
    state = replay(path)
    assert not state.whole
    assert state.acts < 5
    np.testing.assert_array_equal(states[state.acts], state.labels)


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
documents = st.dictionaries(st.text(max_size=2), json_values, max_size=4)


@given(documents, documents)
def test_a_patch_makes_one_document_of_another(before, after):
    kept = repr(before)
    assert after == patched(before, difference(before, after))
    assert kept == repr(before)


def test_the_patch_of_one_entry_is_small():
    before = {"review": {"states": {str(i): "unseen" for i in range(10_000)}}}
    after = {"review": {"states": {**before["review"]["states"], "7": "accepted"}}}
    assert [[["review", "states", "7"], "accepted"]] == difference(before, after)
