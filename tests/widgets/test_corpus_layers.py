"""Layers and journals of earlier versions are understood by the docks of today."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from napari_segnet.correct import delete, find_places
from napari_segnet.progress import run
from napari_segnet.review import State
from napari_segnet.widgets.layers.editing import apply_edit, editing_of, locked_ids, next_id
from napari_segnet.widgets.plugin.docks import CorrectDock, SegmentDock
from napari_segnet.widgets.recovery.recorder import keep_journal
from napari_segnet.widgets.recovery.reviews import reviews

FIRST = Path(__file__).parents[1] / "corpus" / "9254ae3"
DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty folder for the user's data."""
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def told(name):
    return json.loads((FIRST / "layers" / f"{name}.json").read_text(encoding="utf8"))


@pytest.fixture
def arrays():
    with np.load(FIRST / "layers" / "dock.npz") as found:
        return {key: found[key] for key in found.files}


def add_both(viewer, arrays, metadata):
    """Add the image, and labels with what a layer of then said of itself."""
    about = told("dock-layer")
    viewer.add_image(arrays["image"], name="cells", scale=(0.5, 0.5), units=("um", "um"))
    return viewer.add_labels(
        arrays["labels"],
        name=about["layer"]["name"],
        scale=about["layer"]["scale"],
        units=about["layer"]["units"],
        features=about["features"],
        metadata={"segnet": metadata},
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["dock", "edited"])
def test_what_a_layer_says_of_itself_is_kept(viewer, arrays, name):
    """Through every dock, and through an edit with its undo."""
    metadata = told(name)
    layer = add_both(viewer, arrays, metadata)
    for make in (SegmentDock, CorrectDock):
        viewer.window.add_dock_widget(make(viewer), name=make.__name__)
    viewer.layers.selection.active = layer
    kept = editing_of(layer)
    data = kept.begin_looking()
    kept.found(data, run(find_places(data)))
    rows = layer.features.to_dict()
    gone = int(arrays["labels"].max())
    apply_edit(layer, delete(layer.data, [gone]))
    assert gone not in layer.data
    layer.undo()
    np.testing.assert_array_equal(layer.data, arrays["labels"])
    assert layer.features.to_dict() == rows
    now = layer.metadata["segnet"]
    lasting = {k: v for k, v in metadata.items() if k not in ("review", "highest_id")}
    assert {key: now[key] for key in lasting} == lasting


def test_locks_reviews_and_spent_ids_are_known(viewer, arrays):
    layer = add_both(viewer, arrays, told("edited"))
    kept = editing_of(layer)
    data = kept.begin_looking()
    kept.found(data, run(find_places(data)))
    review = reviews(viewer).of(layer)
    assert [review.state(i) for i in (1, 2, 3, 8)] == [
        State.ACCEPTED,
        State.ACCEPTED,
        State.FIXED,
        State.UNSEEN,
    ]
    assert locked_ids(layer) == {1}
    assert next_id(layer) == max(8, int(arrays["labels"].max())) + 1


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["strokes", "unfinished", "edits"])
def test_corrections_are_offered_and_recovered(viewer, home, name):
    journals = home / "journals"
    journals.mkdir(parents=True)
    path = Path(shutil.copy(FIRST / "journals" / f"{name}.journal", journals))
    # Another computer wrote it, which gets a day to go on.
    os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    keeper = keep_journal(viewer)
    with np.load(FIRST / "journals" / "expected.npz") as expected:
        image, labels = expected["image"], expected[name]
    if name == "edits":
        with np.load(FIRST / "layers" / "dock.npz") as arrays:
            image = arrays["image"]
    viewer.add_image(image, name="another name")
    (offer,) = keeper.offers
    layer = keeper.recover(offer)
    np.testing.assert_array_equal(layer.data, labels)
    assert layer.name == "cells · nuclei"
    scale = (0.5, 0.5) if name == "edits" else (0.5, 0.25)
    np.testing.assert_array_equal(layer.scale, scale)
    if name == "edits":
        assert reviews(viewer).of(layer).locked == {1}
        assert layer.metadata["segnet"]["key"] == told("dock")["key"]
        assert set(layer.features["index"]) == set(np.unique(labels)) - {0}
    keeper.forget(layer)
