"""What a layer's history tells of: strokes, undo, redo, and where it breaks off."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels
from support import painter

from napari_segnet.journal import Change
from napari_segnet.widgets.layers.history import history_of, unfinished


class Heard:
    """Follows a layer's history, and does to a copy what it is told."""

    def __init__(self, layer):
        self.layer, self.steps, self.breaks = layer, [], []
        self.copy = np.array(layer.data)
        history_of(layer).follow(self.step, self.broken)

    def step(self, step):
        self.steps.append(step)
        for change in step.changes():
            change.apply(self.copy)

    def broken(self, why):
        self.breaks.append(why)

    @property
    def kinds(self):
        return [step.kind for step in self.steps]

    def agrees(self):
        history_of(self.layer).look()
        np.testing.assert_array_equal(self.layer.data, self.copy)


@pytest.fixture
def layer():
    return Labels(np.zeros((40, 50), np.int32))


@pytest.fixture
def heard(layer):
    return Heard(layer)


def quietly(layer, *acts):
    """Do what napari tells nobody of until the next look."""
    with layer.events.paint.blocker(), layer.events.set_data.blocker():
        for act in acts:
            act()


def at(y, x):
    return np.array([y]), np.array([x])


def dots(layer, count):
    """Return acts that set a pixel each, none of the first row."""
    where = [at(1 + n % 30, n % 50) for n in range(count)]
    return [lambda n=n: layer.data_setitem(where[n], n + 1) for n in range(count)]


def test_a_stroke_its_undo_and_its_redo_are_one_step(layer, heard):
    layer.paint((5, 5), 3)
    layer.undo()
    layer.redo()
    layer.undo()
    layer.paint((9, 9), 4)
    assert heard.kinds == ["edit", "undo", "redo", "undo", "edit"]
    *same, other = [step.token for step in heard.steps]
    assert len(set(same)) == 1
    assert other not in same
    heard.agrees()


def test_a_step_tells_ids_box_and_pixels(layer, heard):
    layer.data_setitem((np.array([3, 8]), np.array([6, 4])), np.array([7, 9]))
    layer.undo()
    for step in heard.steps:
        ids, box = step.touched()
        assert (ids.tolist(), box) == ([7, 9], (slice(3, 9), slice(4, 7)))
    ((done, values),) = heard.steps[0].points()
    assert done.tolist() == [[3, 6], [8, 4]]
    assert values.tolist() == [7, 9]
    ((_, values),) = heard.steps[1].points()
    assert values.tolist() == [0, 0]


def test_undo_in_a_hidden_layer_is_found_at_the_next_look(layer, heard):
    layer.paint((5, 5), 3)
    layer.visible = False
    layer.undo()
    heard.agrees()
    assert heard.kinds == ["edit", "undo"]
    assert not heard.breaks


def test_a_history_that_napari_forgets_is_no_undo(layer, heard):
    layer.paint((5, 5), 3)
    layer.editable = False
    layer.editable = True
    assert heard.kinds == ["edit"]
    assert heard.breaks == ["new history"]
    layer.paint((20, 20), 4)
    assert heard.kinds == ["edit", "edit"]
    heard.agrees()


def test_other_labels_are_a_break(layer, heard):
    layer.paint((5, 5), 3)
    layer.data = np.ones((40, 50), np.int32)
    assert heard.kinds == ["edit"]
    assert heard.breaks == ["other labels"]


def test_a_full_history_forgets_its_oldest_steps(layer, heard):
    for n in range(130):
        layer.data_setitem(at(n % 40, n % 50), n + 1)
    for _ in range(40):
        layer.undo()
    assert heard.kinds == ["edit"] * 130 + ["undo"] * 40
    assert not heard.breaks
    heard.agrees()


def test_more_steps_between_two_looks_than_napari_keeps_are_no_undo(layer, heard):
    layer.data_setitem(at(0, 0), 5)
    quietly(
        layer, *[lambda n=n: layer.data_setitem(at(1 + n % 30, n % 50), n) for n in range(1, 121)]
    )
    history_of(layer).look()
    assert "undo" not in heard.kinds
    assert heard.breaks == ["overflow"]
    assert heard.copy[0, 0] == 5 == layer.data[0, 0]


def test_an_overflow_that_was_undone_is_no_undo_of_what_was_before(layer, heard):
    layer.data_setitem(at(0, 0), 5)
    quietly(
        layer,
        *dots(layer, 120),
        *[layer.undo] * 100,
    )
    history_of(layer).look()
    assert heard.kinds == ["edit"]
    assert heard.breaks == ["overflow"]


def test_a_step_that_was_undone_and_drawn_over_between_two_looks(layer, heard):
    layer.data_setitem(at(0, 0), 5)
    quietly(layer, layer.undo, lambda: layer.data_setitem(at(1, 1), 6))
    heard.agrees()
    assert heard.kinds == ["edit", "undo", "edit"]


@given(seed=st.integers(0, 10**9))
@settings(max_examples=25)
def test_whoever_does_what_he_is_told_has_the_same_labels(seed):
    rng = np.random.default_rng(seed)
    layer = Labels(rng.integers(0, 9, (24, 30)).astype(np.int32))
    heard = Heard(layer)
    for _ in range(int(rng.integers(1, 40))):
        act = lambda: painter.any_act(layer, rng)  # noqa: E731
        if rng.uniform() < 0.4:
            quietly(layer, *[act] * int(rng.integers(1, 6)))
        else:
            act()
    heard.agrees()


def test_one_who_acts_when_told_hears_of_that_too(layer):
    class Answering(Heard):
        def step(self, step):
            super().step(step)
            if len(self.steps) == 1:
                self.layer.data_setitem(at(30, 30), 8)

    heard = Answering(layer)
    layer.paint((5, 5), 3)
    assert heard.kinds == ["edit", "edit"]
    heard.agrees()


def test_followers_are_told_in_order_and_not_kept_alive(layer):
    order = []

    class Named:
        def __init__(self, name):
            self.name = name

        def step(self, step):
            order.append(self.name)

    second, first, gone = Named("second"), Named("first"), Named("gone")
    history_of(layer).follow(second.step)
    history_of(layer).follow(first.step, first=True)
    history_of(layer).follow(gone.step)
    del gone
    gc.collect()
    layer.paint((5, 5), 3)
    assert order == ["first", "second"]
    history_of(layer).leave(first)
    layer.undo()
    assert order == ["first", "second", "second"]
    reference = weakref.ref(layer)
    assert history_of(layer) is history_of(reference())


def test_an_edit_that_is_expected_needs_no_reading(layer, heard):
    told = (
        Change(box=(slice(0, 1), slice(0, 1)), mask=None, before=np.zeros(1), after=np.ones(1)),
    )
    with history_of(layer).expecting(told):
        layer.data_setitem(at(0, 0), 1)
    layer.undo()
    layer.redo()
    assert heard.steps[0].changes() is told
    assert [step.known for step in heard.steps[1:]] == [None, None]
    heard.agrees()


def test_a_stroke_that_is_not_complete_is_taken_back(layer):
    layer.paint((5, 5), 3)
    before = layer.data.copy()
    with layer.block_history():
        layer.paint((20, 20), 4)
        layer.paint((21, 20), 5)
        now = layer.data.copy()
        for change in unfinished(layer):
            change.apply(now)
        np.testing.assert_array_equal(before, now)
    assert not unfinished(layer)
