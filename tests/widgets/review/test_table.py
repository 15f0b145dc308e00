"""The table of objects follows edits, and what is said, without looking at every object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.review import Review, State, items_of, remeasured, seen_rows
from napari_segnet.widgets.review import table as module
from napari_segnet.widgets.review.queue_table import QueueTable
from napari_segnet.widgets.review.table import COLUMNS, ItemsModel

SIZE = 12
MARGIN_PX, SCROLL_BAR_PX = 4, 16

edits = st.tuples(
    st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.integers(1, 4), st.integers(0, 7)
)
words = st.tuples(st.integers(1, 7), st.sampled_from(list(State)))
acts = st.lists(st.one_of(edits, words, st.sampled_from(["region", "dismissed"])), max_size=8)


@settings(max_examples=30, deadline=None)
@given(edits, acts)
def test_it_shows_what_a_look_at_all_objects_shows(first, acts):
    labels = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((SIZE // 2,) * 2)).astype(np.int32)
    paint(labels, *first)
    model, review = ItemsModel(), Review()
    items = items_of(labels)
    model.show(items, review)
    order = model.items.ids[model.order].tolist()
    for act in acts:
        if act == "region":
            review = review.with_region((slice(0, 7), slice(0, 7)))
            model.say(review)
        elif act == "dismissed":
            review = review.with_dismissed((3, 3))
            model.say(review)
        elif len(act) == 2:
            review = review.with_state([act[0]], act[1])
            model.say(review)
        else:
            touched, box = paint(labels, *act)
            items = remeasured(items, labels, touched, box)
            review = review.with_state(touched[:1].tolist(), State.FIXED)
            model.follow(items, review)
            order = [one for one in order if one in items.ids]
            order += [one for one in items.ids.tolist() if one not in order]
        assert model.items is items
        assert model.review is review
        assert model.items.ids[model.order].tolist() == order
        assert (model.seen == seen_rows(items, review)).all()
        assert (model.seen == seen_one_by_one(items, review)).all()


def paint(labels, y, x, size, label):
    """Paint a square; return the ids in its box before and after, and the box."""
    box = slice(y, min(y + size, SIZE)), slice(x, min(x + size, SIZE))
    touched = np.append(np.unique(labels[box]), label)
    labels[box] = label
    return touched, box


def seen_one_by_one(items, review):
    boxes = [items.box(row) for row in range(len(items))]
    return [
        review.is_seen(int(one), box) for one, box in zip(items.ids.tolist(), boxes, strict=True)
    ]


def test_one_word_is_no_look_at_all_objects(monkeypatch):
    labels = np.arange(1, 401, dtype=np.int32).reshape(20, 20)
    model, review = ItemsModel(), Review(states=dict.fromkeys(range(1, 200), State.ACCEPTED))
    items = items_of(labels)
    model.show(items, review)
    looked = []
    monkeypatch.setattr(module, "seen_rows", lambda i, r: looked.append(len(i)) or seen_rows(i, r))
    review = review.with_state([300, 301], State.WRONG)
    model.say(review)
    model.follow(remeasured(items, labels, [], (slice(0, 1), slice(0, 1))), review)
    labels[0, 0] = 0
    model.follow(remeasured(items, labels, [1], (slice(0, 1), slice(0, 1))), review)
    assert looked == [2]
    other = items_of(labels + 1000)
    model.follow(other, review)
    assert model.items is other
    assert looked == [2, len(other)]


@pytest.mark.parametrize("count", [1, 40])
def test_few_rows_are_looked_up_one_by_one_and_are_the_same(count):
    states = [State.ACCEPTED, State.WRONG, State.FIXED, State.CONFLICT]
    review = Review(states={n: states[n % 4] for n in range(1, 400, 2)})
    labels = np.arange(100, 100 + count, dtype=np.int32).reshape(1, -1)
    items = items_of(labels)
    assert seen_rows(items, review).tolist() == seen_one_by_one(items, review)


def test_in_a_narrow_dock_no_state_is_cut_off(qtbot):
    table = QueueTable(ItemsModel())
    qtbot.addWidget(table)
    table.resize(385, 300)  # as wide as in a window 1280 px wide
    table.show()
    head = table.horizontalHeader()
    for column, title in enumerate(COLUMNS):
        room = table.columnWidth(column)
        assert head.fontMetrics().horizontalAdvance(title) < room, title
    widest = max(map(table.fontMetrics().horizontalAdvance, module.SHOWN.values()))
    assert widest + 2 * MARGIN_PX <= table.columnWidth(COLUMNS.index("state")) - SCROLL_BAR_PX
