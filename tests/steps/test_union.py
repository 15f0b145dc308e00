"""Numbers that belong together are those of scipy's connected components."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.steps._union import joined


def by_scipy(count, a, b):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(a.size), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)


@pytest.mark.parametrize("seed", range(20))
def test_groups_and_their_order_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    count, pairs = (int(rng.integers(1, 10 ** (1 + seed % 4))) for _ in range(2))
    a, b = rng.integers(0, count, (2, pairs))
    groups, group = joined(count, a, b)
    expected = by_scipy(count, a, b)
    assert groups == expected[0]
    assert np.array_equal(group, expected[1])


def test_a_long_chain_in_any_order_is_one():
    way = np.random.default_rng(0).permutation(50_000)
    groups, group = joined(way.size, way[:-1], way[1:])
    assert groups == 1
    assert not group.any()


def test_without_pairs_each_is_a_group_and_of_none_there_is_none():
    none = np.zeros(0, np.intp)
    assert joined(3, none, none)[1].tolist() == [0, 1, 2]
    assert joined(0, none, none)[0] == 0
