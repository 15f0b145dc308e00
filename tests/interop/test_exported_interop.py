"""Networks of public libraries in files of torch.export answer here as in torch.

SEGNET_ONNX       Python with torch, monai, torchvision, segmentation-models-pytorch (and what
                  ``test_onnx_interop.py`` needs)
SEGNET_NETWORKS   words, with spaces between: only networks with one of them in their name
SEGNET_PROGRAMS   a folder that holds the files already
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.answers import difference

import napari_segnet as sn
from napari_segnet.errors import UnsupportedWeightsError

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(7200)]

SCRIPT = Path(__file__).with_name("write_exported.py")


def test_programs_answer_alike(tmp_path: Path) -> None:
    """Whatever opens is right; what is refused is listed."""
    folder = Path(os.environ.get("SEGNET_PROGRAMS") or tmp_path)
    if folder == tmp_path:
        if "SEGNET_ONNX" not in os.environ:
            pytest.skip("set SEGNET_ONNX to a Python that has onnxruntime, monai, ...")
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        words = os.environ.get("SEGNET_NETWORKS", "").split()
        command = [os.environ["SEGNET_ONNX"], str(SCRIPT), str(folder), *words]
        subprocess.run(command, check=True, env=own)
    wrong, refused, equal = [], {}, 0
    for reference in sorted(folder.glob("*.npz")):
        told, path = np.load(reference), reference.with_suffix(".pt2")
        try:
            module = sn.load(sn.identify(path), device="cpu").module
        except UnsupportedWeightsError as error:
            refused[path.stem] = str(error)
            continue
        found = [difference(module, told[x], told[y]) for x, y in (("x", "y"), ("x2", "y2"))
                 if y in told]  # fmt: skip
        if any(distance > limit for distance, limit in found):
            wrong.append((path.stem, found))
        else:
            equal += 1
    print(json.dumps({"equal": equal, "refused": refused, "wrong": wrong}, indent=1))
    assert equal
    assert not wrong
