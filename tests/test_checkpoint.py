"""A checkpoint has one JSON form, which leads back to it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from support.examples import EXAMPLES
from support.networks import weights_of

from napari_segnet.checkpoint import OF_THE_FILE, Checkpoint, fields_from_json
from napari_segnet.families import FAMILIES

CASES = [
    pytest.param(family, EXAMPLES[family.name][0], id=family.name)
    for family in FAMILIES
    if family.name in EXAMPLES
]


@pytest.mark.parametrize(("family", "example"), CASES)
def test_every_family_s_checkpoint_comes_back(family, example):
    weights = weights_of(example.make(), example.metadata, closed=True)
    checkpoint = family.describe(weights, example.told)
    form = checkpoint.to_json()
    assert set(form) == {field.name for field in fields(Checkpoint)} - set(OF_THE_FILE)
    text = json.dumps(form, allow_nan=False)
    again = Checkpoint.from_json(json.loads(text), checkpoint.path)
    assert json.dumps(again.to_json()) == text
    for name in set(form) - {"hparams", "prepare"}:  # lists and tuples are the same there
        assert getattr(again, name) == getattr(checkpoint, name), name


STRANGE = {
    "task": "guess",
    "answer_kind": 3,
    "program": 3,
    "ndim": True,
    "channels": 10**9,
    "classes": 0,
    "outputs": [{"role": "class", "channels": 1, "activation": "swish"}],
    "size": {"minimum": [1]},
    "store": {"container": "zip"},
    "parameters": -1,
    "halo_px": [1.5],
    "exact": "yes",
    "prepare": [{"name": 3, "options": {}}],
    "class_names": "cell",
    "pixel_size_um": {"x": 0},
    "members": [1],
    "known": {"task": {"source": "guessed", "why": ""}},
    "card": {"label": 3},
    "hparams": [],
    "family": 1,
}


def test_every_field_is_checked():
    assert set(STRANGE) == {field.name for field in fields(Checkpoint)} - set(OF_THE_FILE)


@pytest.mark.parametrize("name", STRANGE)
def test_a_value_that_makes_no_sense_is_refused(name):
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        fields_from_json(STRANGE, [name])
    with pytest.raises(KeyError):
        fields_from_json({}, [name])


def test_a_form_without_a_field_is_refused():
    with pytest.raises(KeyError):
        Checkpoint.from_json({"family": "toy"}, Path("a.pth"))
