"""What is kept with a layer: read whatever wrote it, written in one form, plain JSON."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_segnet.widgets.layers.record import (
    VERSION,
    LayerRecord,
    metadata_of,
    metadata_with,
    record_in,
    record_of,
    update,
)

FULL = LayerRecord(
    key="k",
    origin={"rung": "as planned"},
    kind="instance",
    axes="yx",
    class_names=("background", "cell"),
    image_id="5d0e",
    image_digest="ab12",
    image_layer="cells",
    region="layer",
    offset_px=(0, 3),
    review={"locked": [3]},
    highest_id=20,
    dataset={"source": "a.tif", "plane": "z=3"},
    wishes={"threshold": 0.4},
    command="napari-segnet segment",
    summary="3 objects",
    learning=True,
    provisional=True,
    evaluated="missed",
    asked="cells objects",
    maps="k2",
    path="/a.tif",
    source="cells 12ab",
    grid={"dims": "zyx"},
    notes=("One slice is missing.",),
    other={"of another": [1]},
)


def labels(**kwargs):
    return Labels(np.zeros((4, 5), np.int32), **kwargs)


def test_every_field_goes_through_json_and_back():
    assert all(
        getattr(FULL, one.name) != one.default
        for one in fields(FULL)
        if one.name not in ("version",)
    )
    text = json.dumps(FULL.to_json())
    assert LayerRecord.from_json(json.loads(text)) == FULL


def test_what_is_not_known_is_absent():
    assert LayerRecord(highest_id=0).to_json() == {"highest_id": 0, "version": VERSION}


def test_a_script_reads_it_without_this_package():
    layer = labels(metadata=metadata_of(FULL))
    assert layer.metadata["segnet"]["origin"] == {"rung": "as planned"}
    assert layer.metadata["segnet"]["class_names"] == ["background", "cell"]
    assert layer.metadata["segnet"]["version"] == VERSION


def test_a_layer_of_before_there_was_a_version():
    own = {"highest_id": 7, "image_layer": "cells", "offset_px": [1, 2], "review": {"locked": [2]}}
    own |= {"class_names": [], "command": "", "dataset": None}
    layer = labels(metadata={"segnet": dict(own), "mine": 1})
    record = record_of(layer)
    assert (record.highest_id, record.offset_px, record.review) == (7, (1, 2), {"locked": [2]})
    assert layer.metadata["segnet"] == own, "reading changes nothing"
    update(layer, highest_id=8)
    assert layer.metadata["segnet"] == {**own, "highest_id": 8, "version": VERSION}
    assert layer.metadata["mine"] == 1


@pytest.mark.parametrize(("former", "name"), [("segnet_maps", "maps"), ("segnet_path", "path")])
def test_what_earlier_versions_kept_beside_it(former, name):
    image = Image(np.zeros((4, 5)), metadata={former: "x"})
    assert getattr(record_of(image), name) == "x"
    update(image, learning=True)
    assert former not in image.metadata
    assert getattr(record_of(image), name) == "x"


def test_keys_of_a_later_version_are_kept():
    layer = labels(
        metadata={"segnet": {"version": VERSION + 1, "new": {"a": 1}, "kind": "instance"}}
    )
    update(layer, kind="semantic")
    assert layer.metadata["segnet"] == {
        "version": VERSION + 1,
        "new": {"a": 1},
        "kind": "semantic",
    }


@pytest.mark.parametrize(
    "own",
    [
        {"highest_id": "many"},
        {"offset_px": [0, "x"]},
        {"review": [1]},
        {"class_names": "cell"},
        {"learning": 1},
        {"highest_id": True},
    ],
)
def test_a_value_of_a_wrong_type_is_not_believed_and_not_lost(own):
    record = record_in({"segnet": own})
    (name,) = own
    assert getattr(record, name) == getattr(LayerRecord(), name)
    assert record.to_json()[name] == own[name]


def test_metadata_that_hold_something_else_there():
    assert record_in({"segnet": "mine"}) == LayerRecord()
    assert record_in({}) == LayerRecord()
    assert record_in({"segnet": {"highest_id": np.int64(4), "key": None}}).highest_id == 4


def test_only_a_change_is_told():
    layer, told = labels(), []
    layer.events.metadata.connect(told.append)
    update(layer, kind="instance")
    update(layer, kind="instance")
    assert len(told) == 1


def test_metadata_for_a_layer_to_come():
    made = metadata_with(metadata_of(LayerRecord(key="a", kind="instance"), {"mine": 1}), key="b")
    assert made == {"mine": 1, "segnet": {"key": "b", "kind": "instance", "version": VERSION}}
