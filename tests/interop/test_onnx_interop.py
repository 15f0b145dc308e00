"""Networks of public libraries, exported by torch, answer here as in ONNX Runtime.

Neither ``onnx`` nor a runtime is needed to read them, and none is installed by the scripts: an
environment of its own has them, and a variable says which Python is in it.

    SEGNET_ONNX       Python with torch, onnx, onnxruntime, onnxscript, monai, torchvision and
                      segmentation-models-pytorch
    SEGNET_NETWORKS   words, with spaces between: only networks with one of them in their name
    SEGNET_EXPORTS    a folder that holds the exports already
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from support.answers import difference
from support.onnx_taught import taught_onnx

import napari_segnet as sn
from napari_segnet.errors import UnsupportedWeightsError

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(7200)]

SCRIPT = Path(__file__).with_name("write_onnx.py")
RUNTIME = Path(__file__).with_name("onnx_runtime.py")
REFUSED = {
    "monai_unetr": "attention over tokens of a fixed size",
    "smp_segformer": "attention",
    "smp_unet_mit_b0": "attention",
    "smp_pspnet": "pooling to several windows of an image of any size",
    "smp_upernet": "the same",
}
"""Networks that may be refused by name, and why; all others must be read."""


def exported(folder: Path) -> Path:
    """Return the folder of exports, written now unless told where they lie."""
    there = os.environ.get("SEGNET_EXPORTS")
    if there:
        return Path(there)
    where = os.environ.get("SEGNET_ONNX")
    if not where:
        pytest.skip("set SEGNET_ONNX to a Python that has onnxruntime, monai, ...")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = os.environ.get("SEGNET_NETWORKS", "").split()
    subprocess.run([where, str(SCRIPT), str(folder), *words], check=True, env=own)
    return folder


def test_exports_answer_alike(tmp_path: Path) -> None:
    wrong, refused, equal, sizes = [], {}, 0, 0
    folder = exported(tmp_path)
    for reference in sorted(folder.glob("*.npz")):
        told = np.load(reference)
        path = reference.with_suffix(".onnx")
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
            equal, sizes = equal + 1, sizes + len(found)
    said = {"equal": equal, "sizes": sizes, "refused": refused, "wrong": wrong}
    print(json.dumps(said, indent=1))
    assert equal
    assert not wrong
    assert not [name for name in refused if not name.startswith(tuple(REFUSED))]


@pytest.mark.trains
def test_what_was_taught_answers_alike(tmp_path: Path) -> None:
    """After an actual training, the new file in ONNX Runtime answers as it does here."""
    if "SEGNET_ONNX" not in os.environ:
        pytest.skip("set SEGNET_ONNX to a Python that has onnxruntime")
    lesson = taught_onnx(tmp_path)
    image = np.random.default_rng(0).random((2, 1, 36, 44), "float32")
    np.save(tmp_path / "image.npy", image)
    answers = []
    for number, path in enumerate((lesson.taught.path, lesson.path)):
        made = tmp_path / f"answer{number}.npy"
        command = [os.environ["SEGNET_ONNX"], str(RUNTIME), str(path), str(tmp_path / "image.npy")]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([*command, str(made)], check=True, env=own)
        answers.append(np.load(made))
    module = sn.load(sn.identify(lesson.taught.path), device="cpu").module
    with torch.no_grad():
        ours = module(torch.from_numpy(image)).numpy()
    assert np.abs(ours - answers[0]).max() < 1e-5
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    assert lesson.path.read_bytes() == lesson.before
