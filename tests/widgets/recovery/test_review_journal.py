"""The journal holds a review as it is, however it came to be so."""

from __future__ import annotations

import copy
import uuid

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_segnet.correct import delete
from napari_segnet.journal import replay
from napari_segnet.review import Review, State
from napari_segnet.widgets.layers.editing import apply_edit
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.recovery.recorder import keep_journal
from napari_segnet.widgets.recovery.reviews import reviews

review_acts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["accept", "wrong", "lock", "unsay"]), st.integers(1, 6)),
        st.sampled_from(["delete", "paint", "undo", "redo", "undo step", "redo step", "script"]),
    ),
    max_size=8,
)


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts=review_acts)
def test_the_journal_holds_the_review_after_each_act(qapp, tmp_path, monkeypatch, acts):
    """However it was changed: only what differs is written, and nothing is lost."""
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / uuid.uuid4().hex))
    viewer = ViewerModel()
    layer = viewer.add_labels(np.kron(np.arange(7), np.ones((4, 4))).astype(np.int32))
    kept, keeper = reviews(viewer), keep_journal(viewer)
    layer.paint((1, 1), 3)
    for act in acts:
        take(kept, layer, act)
        record = record_of(layer).review or {}
        assert Review.from_json(copy.deepcopy(dict(record))) == kept.of(layer)
        keeper.flush()
        (path,) = keeper.folder.glob("*.journal")
        told = replay(path).document["segnet"].get("review") or {}
        assert told == record
        assert Review.from_json(told) == kept.of(layer)
    keeper.close()


def take(kept, layer, act):
    """Do one act on a layer and its review."""
    review = kept.of(layer)
    states = {"accept": State.ACCEPTED, "wrong": State.WRONG, "unsay": State.UNSEEN}
    if act == "undo step":
        layer.undo()
    elif act == "redo step":
        layer.redo()
    elif act == "paint":
        layer.paint((1, 9), 2)
    elif act == "delete":
        there = [one for one in np.unique(layer.data).tolist() if one]
        apply_edit(layer, delete(layer.data, there[-1:]))
    elif act in ("undo", "redo"):
        getattr(kept, act)(layer)
    elif act == "script":  # another program writes the record, and tells so
        stored = {"states": {"1": "wrong", "5": "accepted"}, "locked": [2]}
        layer.metadata = {**layer.metadata, "segnet": {"review": stored}}
        kept.change(layer, kept.of(layer).with_state([4], State.CONFLICT))
    elif act[0] == "lock":
        kept.change(layer, review.with_locked([act[1]]))
    else:
        kept.change(layer, review.with_state([act[1]], states[act[0]]))
