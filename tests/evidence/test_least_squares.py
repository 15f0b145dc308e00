"""Least squares without negative numbers, beside SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.evidence._least_squares import nonnegative
from napari_segnet.evidence._pictures import _blurred, _tiles


@pytest.mark.parametrize("equations", [3, 12, 40, 120])
@pytest.mark.parametrize("unknowns", [1, 7, 40])
def test_the_numbers_are_those_of_scipy(equations: int, unknowns: int) -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(equations * unknowns)
    for turn in range(6):
        matrix = rng.normal(size=(equations, unknowns))
        matrix = np.abs(matrix) if turn % 2 else matrix
        target = rng.normal(size=equations) + turn % 3
        found = nonnegative(matrix, target)
        assert found.min() >= 0
        np.testing.assert_allclose(found, nnls(matrix, target)[0], atol=1e-9)


def test_equal_columns_end_the_search() -> None:
    matrix = np.ones((5, 4))
    found = nonnegative(matrix, np.full(5, 2.0))
    assert found.min() >= 0
    np.testing.assert_allclose(matrix @ found, 2.0)


def test_what_nothing_explains_is_zero() -> None:
    assert not nonnegative(np.ones((3, 2)), np.full(3, -1.0)).any()
    assert nonnegative(np.zeros((3, 0)), np.ones(3)).shape == (0,)


@pytest.mark.parametrize("sigma", [0.8, 1.0, 1.5])
def test_pictures_are_blurred_as_scipy_does(sigma: float) -> None:
    from scipy.ndimage import gaussian_filter

    tiles = _tiles()[:2, :, :40, :64]
    expected = gaussian_filter(tiles, (0, 0, sigma, sigma))
    np.testing.assert_allclose(_blurred(tiles, sigma), expected, rtol=1e-6, atol=1e-4)
