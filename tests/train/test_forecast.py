"""What one more image is going to bring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_segnet.dataset import Dataset, Sample
from napari_segnet.evaluate import pool, score_objects
from napari_segnet.train import Forecast, HeldOut
from napari_segnet.train._forecast import forecast


def test_each_further_image_brings_less_and_is_surer():
    few, many = Forecast(images=1, score=0.5), Forecast(images=16, score=0.5)
    for more in (1, 4):
        low, likely, high = few.gain(more)
        assert low < likely < high <= 0.5
        assert likely > many.gain(more)[1] > 0
        assert high - low > many.gain(more)[2] - many.gain(more)[0]
    assert few.gain(4)[1] > few.gain(1)[1]
    assert Forecast(images=1, score=0.99).gain(1)[2] == pytest.approx(0.01)
    said = few.sentence()
    assert said.startswith("One more corrected image of this kind: score +0.02 (between ")
    assert "; four more: score +" in said
    form = few.to_json()
    assert (form["images"], form["says"]) == (1, said)
    assert [row[0] for row in form["more_images_low_likely_high"]] == list(range(1, 9))


def test_images_are_counted_by_their_source_and_classes_are_not_forecast():
    labels = np.arange(1, 5, dtype=np.int32).reshape(2, 2)
    held = HeldOut(scores=pool([score_objects(labels, labels)]), kind="instance", images=1)
    planes = [
        Sample(image=Path(f"{i}.tif"), labels=Path(f"{i}.tif"), source=source, split=side)
        for i, (source, side) in enumerate(
            (("a", "train"), ("a", "train"), ("b", "train"), ("c", "val"))
        )
    ]
    data = Dataset(root=Path(), samples=tuple(planes))
    assert forecast(held, data) == Forecast(images=2, score=1.0)
    assert forecast(replace(held, kind="semantic"), data) is None
    assert forecast(replace(held, scores=pool([])), data) is None
