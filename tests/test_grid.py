"""The grid of a medical image: how it lies, what labels on it have, and its JSON form."""

from __future__ import annotations

import itertools
import json
import pickle

import nibabel
import numpy as np
import pytest

from napari_segnet.grid import Grid


def grid(affine=None, dims="zyx", shape=(4, 5, 6), **more) -> Grid:
    rows = np.eye(4) if affine is None else np.asarray(affine, float)
    header = bytes(nibabel.Nifti1Header(endianness="<").binaryblock)
    affine = tuple(tuple(map(float, row)) for row in rows)
    return Grid(affine=affine, dims=dims, shape=shape, header=header, **more)


def test_every_orientation_has_the_letters_that_nibabel_gives_it():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((-2.0, 2.0), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = np.diag(signs)[:, order]
            assert grid(affine).orientation == "".join(nibabel.aff2axcodes(affine))


def test_an_oblique_grid_has_the_letters_of_the_nearest_axes():
    affine = np.eye(4)
    affine[:3, :3] = [[0.9, 0.4, 0], [-0.4, 0.9, 0], [0, 0, -3]]
    assert grid(affine).orientation == "RAI"
    assert grid(np.zeros((4, 4))).orientation == "???"


def test_labels_have_no_channels():
    assert grid(dims="ctzyx", shape=(3, 2, 4, 5, 6)).label_dims == {"t": 2, "z": 4, "y": 5, "x": 6}
    # Where channels stand for a dimension of space, the affine keeps its meaning.
    assert grid(dims="cyx", shape=(3, 5, 6)).label_dims == {"c": 1, "y": 5, "x": 6}


def test_parts_of_parts():
    part = grid().part({"z": 1, "x": 2}).part({"z": 1})
    assert part.offset_px == (2, 0, 2)
    assert grid().part({}).offset_px == (0, 0, 0)


def test_json_and_pickle_give_the_same_grid():
    one = grid(np.diag([-0.7, 0.7, 3, 1])).part({"y": 3})
    assert Grid.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize("values", [{}, {"affine": 3}, {**grid().to_json(), "nifti_header": "?"}])
def test_other_values_are_refused(values):
    with pytest.raises(ValueError, match=r"grid|base64|padding|character"):
        Grid.from_json(values)
