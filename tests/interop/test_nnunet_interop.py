"""Labels are those of ``nnunetv2``, which is in an environment of its own.

``SEGNET_NNUNET`` names its Python. Networks are not trained, so that classes lie close together:
what is compared beside plain labels is those of a network whose classes are as frequent as can be.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import napari_segnet as sn
from napari_segnet.joined import join_channels

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).with_name("write_nnunet.py")


@pytest.mark.parametrize("kind", ["2d", "3d", "regions"])
def test_labels_are_those_of_nnunetv2(kind, tmp_path):
    python = os.environ.get("SEGNET_NNUNET")
    if not python:
        pytest.skip("set SEGNET_NNUNET to a Python that has nnunetv2")
    nibabel = pytest.importorskip("nibabel")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own |= {f"nnUNet_{name}": "unused" for name in ("raw", "preprocessed", "results")}
    command = [python, str(SCRIPT), str(tmp_path / "there"), kind]
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    there = tmp_path / "there"
    files = sorted((there / "images").glob("*.nii.gz"))
    image = join_channels([sn.open_image(file) for file in files])
    prediction = sn.run(sn.predict(there / "trained", image, {"device": "cpu"}))
    labels = sn.run(sn.label(prediction)).labels
    truth = np.asarray(nibabel.load(there / "labels" / "case.nii.gz").dataobj).transpose()
    assert (labels == truth).mean() > 0.999
    theirs = np.load(there / "labels" / "case.npz")["probabilities"]
    ours = np.asarray(prediction.answer.data)
    assert np.abs(ours - theirs).max() < 0.02
    inside = theirs[0] < 1
    logits = [np.log(np.clip(one, 1e-7, 1)) for one in (theirs, ours)]
    middle = np.array([np.median(one[inside]) for one in logits[0]])[:, None, None, None]
    first, second = ((one - middle).argmax(0) for one in logits)
    assert (first == second).mean() > 0.999
