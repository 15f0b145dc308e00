"""The features table of a layer: what is read of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels

from napari_segnet.widgets.layers.features import classes_of, highest_class, highest_id, scores_of


@pytest.mark.parametrize(
    ("index", "classes", "expected"),
    [
        ([1, 2], ["cell", "debris"], {}),
        ([1, 2, 3], pd.array([1, None, 3], dtype="Int64"), {1: 1, 3: 3}),
        ([1, 2, 3], [1, "debris", None], {1: 1}),
        (["a", 2.0, None], [1, 4, 5], {2: 4}),
    ],
    ids=["text", "missing", "mixed", "ids"],
)
def test_what_is_no_number_is_no_class(index, classes, expected):
    layer = Labels(np.zeros((4, 4), np.int32), features={"index": index, "class": classes})
    assert classes_of(layer) == expected
    assert classes_of(layer, [2, 3]) == {i: n for i, n in expected.items() if i in (2, 3)}
    assert highest_class(layer) == max(expected.values(), default=0)
    assert highest_id(layer) == max(expected, default=0)
    assert scores_of(layer) == {}
