"""Detectron2's stored answers, computed anew; asked for with ``-m detectron2``.

Needs Detectron2 (its source on the path is enough; nothing of it has to be compiled).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.detectron2_reference import CASES, answer, build, read, weights_of_case

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


@pytest.mark.parametrize("name", CASES)
def test_no_answer_hangs_on_a_tie(name: str) -> None:
    """Rounding differs from machine to machine: a little noise must not change what is found."""
    pytest.importorskip("detectron2", reason="Detectron2 is not installed")
    stored, noise = read(), np.random.default_rng(0)

    def shaken(value: Any) -> Any:
        return value * (1 + 1e-6 * noise.standard_normal(value.shape)).astype(np.float32)

    weights = {key: shaken(value) for key, value in weights_of_case(name, stored).items()}
    found = answer(build(name, weights), stored["picture"], name)
    apart = np.abs(stored[f"{name}/boxes"][:, None] - found["boxes"][None]).max(axis=2)
    # Equal scores may change places.
    assert apart.min(axis=0).max() < 0.05
    assert apart.min(axis=1).max() < 0.05
