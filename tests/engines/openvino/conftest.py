"""A small network that OpenVINO runs, and nothing of it kept from one test to the next."""

from __future__ import annotations

import pytest
from support.engines import small_network

from napari_segnet import cache


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    cache.networks.clear()
    cache.rungs.clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return small_network(tmp_path_factory.mktemp("net"))
