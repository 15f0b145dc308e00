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


def test_faint_answers_are_brightened_by_the_same_factor(tmp_path):
    """Else all pictures are black, and nobody can choose."""
    torch.manual_seed(0)
    module = calibrate(Milesial(channels=1, width=3, depth=1))
    grey = np.asarray(nuclei_2d().data)[:48, :48].astype(np.uint8)
    made = {}
    for name, bias in (("bright", 3.0), ("faint", -3.0), ("black", -30.0)):
        with torch.no_grad():
            last = list(module.parameters())[-1]
            last.fill_(bias)
        checkpoint = identify(save_as(module, tmp_path / f"{name}.pth", "bare"))
        made[name] = checkpoint, run(compare([checkpoint], Image(data=grey, axes="yx")))
    assert [one.faint for _, one in made.values()] == [False, True, False]
    assert made["faint"][1].answers[0].max() == 255
    assert made["black"][1].answers[0].max() == 0
    # Beside a bright one nothing is changed.
    both = [made["bright"][0], made["faint"][0]]
    beside = run(compare(both, Image(data=grey, axes="yx")))
    assert not beside.faint and beside.answers[1].max() < 128
