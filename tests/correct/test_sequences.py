"""Whatever is edited in whatever order: all of it can be taken back, and done again."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.correct import (
    copy_slice,
    delete,
    fill_holes,
    grow,
    interpolate,
    merge,
    new_object,
    redraw,
    separate,
    set_class,
    shrink,
    smooth,
    split_at,
    split_by_line,
)
from napari_segnet.errors import EditError

EDITS = 200
SHAPES = [(40, 50), (6, 24, 26), (2, 4, 18, 20)]


class Bench:
    """Labels, a table of classes, and a hand that edits them at random."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.labels = np.zeros(shape, np.int32)
        self.axes = tuple(range(len(shape)))[-3:]
        for number in range(1, 9):
            self.labels[self.somewhere()] = number
        self.classes: dict[int, int] = {}
        self.highest = 8
        self.ever = set(np.unique(self.labels).tolist())
        self.locked = frozenset({2})

    def somewhere(self):
        shape = np.array(self.labels.shape)
        size = np.minimum(self.rng.integers(2, 12, shape.size), shape)
        start = [int(self.rng.integers(0, n - s + 1)) for n, s in zip(shape, size, strict=True)]
        return tuple(slice(a, a + int(s)) for a, s in zip(start, size, strict=True))

    def some(self, count: int) -> list[int]:
        there = [one for one in np.unique(self.labels).tolist() if one]
        return self.rng.choice(there, min(count, len(there)), replace=False).tolist()

    def edit(self):
        """Return a random edit of the labels as they are."""
        labels, rng, locked = self.labels, self.rng, self.locked
        new, yx = self.highest + 1, tuple(range(labels.ndim))[-2:]
        box = self.somewhere()
        mask = rng.random(labels[box].shape) < 0.8
        if not labels.any():
            return new_object(labels, new, box, mask, locked=locked)
        one, *_ = self.some(1)
        pixels = np.argwhere(labels == one)
        line = pixels[rng.integers(0, len(pixels), 2)].astype(float)
        line[:, : labels.ndim - 2] = line[0, : labels.ndim - 2]
        near = int(line[0, 0]), int(line[0, 0]) + int(rng.choice([-1, 1]))
        acts = [
            lambda: merge(labels, self.some(int(rng.integers(2, 4))), locked=locked),
            lambda: delete(labels, [one], locked=locked),
            lambda: new_object(labels, new, box, mask, locked=locked),
            lambda: new_object(labels, new, box, mask, locked=locked),
            lambda: redraw(labels, one, box, mask, locked=locked),
            lambda: split_by_line(labels, one, line, new, axes=yx, locked=locked),
            lambda: split_at(
                labels,
                one,
                pixels[rng.integers(0, len(pixels), 3)],
                new,
                axes=self.axes,
                locked=locked,
            ),
            lambda: separate(labels, one, new, locked=locked),
            lambda: fill_holes(labels, [one], axes=yx, locked=locked),
            lambda: smooth(labels, [one], axes=self.axes, radius_px=1, locked=locked),
            lambda: grow(labels, self.some(2), axes=yx, locked=locked),
            lambda: shrink(labels, [one], axes=yx, locked=locked),
            lambda: copy_slice(labels, one, 0, *near, locked=locked),
            lambda: interpolate(labels, one, 0, locked=locked),
            lambda: set_class(self.some(2), int(rng.integers(1, 4)), self.classes, locked=locked),
        ]
        return acts[rng.integers(len(acts))]()

    def do(self, edit) -> None:
        edit.apply(self.labels)
        for one, (before, after) in edit.classes.items():
            assert self.classes.get(one) == before
            if after is None:
                del self.classes[one]
            else:
                self.classes[one] = after

    def next_edit(self):
        """Return an edit that is possible, done already."""
        while True:
            try:
                edit = self.edit()
            except EditError:
                continue
            self.do(edit)
            return edit


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(SHAPES))
@settings(max_examples=8)
def test_all_edits_are_taken_back_and_done_again(seed, shape):
    bench = Bench(seed, shape)
    first, held = bench.labels.copy(), bench.labels == 2
    states, edits = [first], []
    for _ in range(EDITS):
        before = set(np.unique(bench.labels).tolist())
        edit = bench.next_edit()
        edits.append(edit)
        states.append(bench.labels.copy())
        np.testing.assert_array_equal(held, bench.labels == 2)
        # An id that comes new has never been there: neither now nor before it was deleted.
        new = set(np.unique(bench.labels).tolist()) - before
        assert not new & bench.ever, edit.what
        bench.ever |= new
        bench.highest = max(bench.highest, *new, 0)
        assert edit.changed.any() or edit.classes, edit.what
    table = dict(bench.classes)
    for edit, state in zip(reversed(edits), reversed(states[:-1]), strict=True):
        bench.do(edit.inverse())
        np.testing.assert_array_equal(state, bench.labels, edit.what)
    assert bench.classes == {}
    for edit, state in zip(edits, states[1:], strict=True):
        bench.do(edit.inverse().inverse())
        np.testing.assert_array_equal(state, bench.labels, edit.what)
    assert table == bench.classes


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(SHAPES))
@settings(max_examples=20)
def test_what_is_split_is_whole_again_when_merged(seed, shape):
    bench = Bench(seed, shape)
    for _ in range(5):
        bench.next_edit()
    before = bench.labels.copy()
    bench.highest = int(before.max())
    for one in np.unique(before[before > 0]).tolist():
        pixels = np.argwhere(before == one)
        seeds = pixels[bench.rng.integers(0, len(pixels), 3)]
        line = seeds[:2].astype(float)
        for act in (
            lambda: split_at(before, one, seeds, 100, axes=bench.axes),  # noqa: B023
            lambda: split_by_line(before, one, line, 100, axes=(-2 % len(shape), len(shape) - 1)),  # noqa: B023
            lambda: separate(before, one, 100),  # noqa: B023
        ):
            labels = before.copy()
            try:
                edit = act()
            except EditError:
                continue
            edit.apply(labels)
            parts = [i for i in edit.ids if i != one]
            assert parts == list(range(100, 100 + len(parts)))
            assert (labels == one).sum() >= max((labels == p).sum() for p in parts)
            merge(labels, [one, *parts]).apply(labels)
            np.testing.assert_array_equal(before, labels)
