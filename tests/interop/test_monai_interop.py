"""SwinUNETR and UNETR, saved by MONAI, answer here as there.

MONAI is not installed by the scripts: an environment of its own has it.

    SEGNET_MONAI      Python with torch, monai and einops
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_segnet as sn
from napari_segnet.families.graph import StoredGraph

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).with_name("write_monai.py")


def test_transformers_answer_as_in_monai(tmp_path: Path) -> None:
    where = os.environ.get("SEGNET_MONAI")
    if not where:
        pytest.skip("set SEGNET_MONAI to a Python that has monai and einops")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([where, str(SCRIPT), str(tmp_path)], check=True, env=own)
    far = {}
    for reference in sorted(tmp_path.glob("*.npz")):
        kept = np.load(reference)
        found = sn.identify(reference.with_suffix(".pth"), json.loads(str(kept["told"])))
        with torch.no_grad():
            module = sn.load(found, "cpu").module
            ours = StoredGraph().maps(module, torch.from_numpy(kept["image"])).numpy()
        far[reference.stem] = float(np.abs(ours - kept["answer"]).max() / kept["answer"].std())
    assert len(far) == 7
    assert max(far.values()) < 1e-4, far
