"""Detectron2's stored answers, computed anew; asked for with ``-m detectron2``.

Needs Detectron2 (its source on the path is enough; nothing of it has to be compiled).
"""

from __future__ import annotations

import numpy as np
import pytest
from detectron2_reference import CASES, answer, build, read, weights_of_case

pytestmark = [
    pytest.mark.detectron2,
    # Of Detectron2 and its dependencies, which are not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("name", CASES)
def test_the_stored_answers_are_those_of_detectron2(name: str) -> None:
    pytest.importorskip("detectron2", reason="Detectron2 is not installed")
    stored = read()
    found = answer(build(name, weights_of_case(name, stored)), stored["picture"], name)
    for what, limit in (("boxes", 1e-2), ("scores", 1e-3), ("masks", 1e-3), ("classes", 0)):
        expected = stored[f"{name}/{what}"].astype(float)
        assert expected.shape == found[what].shape
        assert np.abs(expected - found[what].astype(float)).max() <= limit
