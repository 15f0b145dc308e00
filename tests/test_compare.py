"""Networks on the same part of an image, side by side."""

from __future__ import annotations

import numpy as np
import torch
from support.bare_networks import BARE, settled
from support.networks import Milesial, calibrate, save_as

from napari_segnet.compare import EDGE_PX, compare
from napari_segnet.image import Image
from napari_segnet.progress import run
from napari_segnet.recognition import identify
from napari_segnet.samples import nuclei_2d


def test_each_answer_beside_the_image(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(settled(BARE["resizing"][0]()).state_dict(), path)
    grey = np.asarray(nuclei_2d().data)[:300, :96].astype(np.uint8)
    rgb = np.stack([grey, grey[::-1], grey], axis=-1)
    image = Image(data=rgb, axes="yxc", rgb=True)
    networks = [identify(path), identify(path, {"join": "skip-up"}), identify(path)]
    made = run(compare(networks, image))
    assert made.image.shape == (EDGE_PX, 96, 3)
    assert [a.shape for a in made.answers] == [(EDGE_PX, 96, 3)] * 3
    assert made.same == (True, False, True)
    np.testing.assert_array_equal(made.answers[0], made.answers[2])
    assert (made.answers[0] != made.answers[1]).any()


def test_the_middle_plane_of_a_stack(tmp_path):
    module = calibrate(Milesial(channels=1, width=3, depth=1))
    checkpoint = identify(save_as(module, tmp_path / "u.pth", "bare"))
    stack = np.zeros((3, 40, 40), np.uint8)
    stack[1, 10:30, 10:30] = 200
    made = run(compare([checkpoint], Image(data=stack, axes="zyx")))
    assert made.image.shape == (40, 40)
    assert made.image[20, 20] == 255 and made.image[0, 0] == 0
