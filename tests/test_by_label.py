"""A value for each label in two arrays is what a dict of the same is."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segnet import by_label
from napari_segnet.by_label import ByLabel, values_of
from napari_segnet.segmentation import Instances, Origin, Segmentation
from napari_segnet.writers import write_segmentation

VALUES = st.dictionaries(st.integers(1, 60), st.sampled_from([0.25, 0.1, 1.0, float("nan")]))


def of(values):
    labels = np.array(sorted(values), np.int32)
    return ByLabel(labels, np.array([values[one] for one in labels.tolist()], np.float64))


@given(values=VALUES, part=st.integers(1, 9), asked=st.integers(-2, 63))
def test_it_is_a_dict_to_whoever_reads(values, part, asked) -> None:
    made = of(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_label, "PART", part)
        assert list(made) == sorted(values)
        assert [label for label, _ in made.items()] == sorted(values)
        found = dict(zip(made, made.values(), strict=True))
        np.testing.assert_equal(found, values)
    np.testing.assert_equal(made.get(asked), values.get(asked))
    assert (asked in made, len(made)) == (asked in values, len(values))
    assert all(type(label) is int for label in made)
    labels = np.array([asked, 7, 3, asked])
    np.testing.assert_equal(values_of(made, labels, 2.5), values_of(values, labels, 2.5))
    assert values_of(made, labels, 2.5).tolist()[0] == pytest.approx(
        values.get(asked, 2.5), nan_ok=True
    )
    np.testing.assert_equal(dict(pickle.loads(pickle.dumps(made))), values)


def test_it_equals_a_dict_and_knows_no_other_keys() -> None:
    made = of({2: 0.5, 5: 0.25})
    assert made == {2: 0.5, 5: 0.25}
    assert made != {2: 0.5}
    assert made[np.int64(5)] == 0.25
    assert "2" not in made
    with pytest.raises(KeyError, match="3"):
        made[3]
    assert repr(made) == "{2: 0.5, 5: 0.25}"
    assert repr(of(dict.fromkeys(range(1, 13), 1.0))).endswith("10: 1.0, ... 12}")


@pytest.mark.parametrize("arrays", [True, False])
@pytest.mark.parametrize("detected", [True, False])
def test_rows_are_written_as_json_has_them(tmp_path, arrays, detected) -> None:
    scores = {1: 0.5, 2: float("nan"), 7: 0.1} if arrays else {1: np.float32(0.25), 3: 1.0}
    classes = dict.fromkeys(scores, 1) if arrays else {2: 2}
    found = {"boxes": np.ones((1, 4), np.float32), "masks": np.ones((1, 2, 2), np.float32)}
    found |= {"plane": np.zeros(1, int), "scores": np.ones(1, np.float32)}
    instances = Instances(**found, classes=np.ones(1, int), shape=(4, 4), axes="yx")
    made = Segmentation(
        labels=np.zeros((4, 4), np.int32), axes="yx", pixel_size_um={}, kind="instance",
        label_class=ByLabel(of(scores).labels, np.ones(3, np.int32)) if arrays else classes,
        label_score=of(scores) if arrays else scores, class_names=(),
        origin=Origin(checkpoint={"labels": []}, image={"name": '\n "labels": []'}, predict={}),
    )  # fmt: skip
    write_segmentation(made, tmp_path, "x", instances=instances if detected else None)
    text = (tmp_path / "x.json").read_text()
    read = json.loads(text)
    assert text == json.dumps(read, indent=1) + "\n"
    assert [row["label"] for row in read["labels"]] == sorted({*scores, *classes})
    for row in read["labels"]:
        score = scores.get(row["label"])
        assert row["class"] == classes.get(row["label"])
        assert row["score"] == (None if score != score else score)
    assert ("detections" in read) == detected
