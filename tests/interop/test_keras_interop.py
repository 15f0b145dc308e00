"""Random networks that Keras writes answer here as they answer there.

Neither Keras nor TensorFlow is needed to read them, and none is installed by the scripts: an
environment of its own has one of both, and a variable says which Python is in it.

    SEGNET_KERAS      Python with Keras 3 and torch (run with KERAS_BACKEND=torch)
    SEGNET_TF_KERAS   Python with tensorflow-cpu and tf_keras
    SEGNET_NETWORKS   how many networks each writes; 30 without
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_segnet as sn
from napari_segnet.graph import Activation, Softmax, needed
from napari_segnet.graph.build import build

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(7200)]

SCRIPT = Path(__file__).with_name("write_keras.py")
COUNT = int(os.environ.get("SEGNET_NETWORKS", "30"))


def written(folder: Path, python: str, backend: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield random networks, and what Keras answered."""
    where = os.environ.get(python)
    if not where:
        pytest.skip(f"set {python} to a Python that has that Keras")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own |= {"KERAS_BACKEND": backend} if backend else {}
    first = "0" if backend else "1000"
    command = [where, str(SCRIPT), str(folder), first, str(COUNT)]
    subprocess.run(command, check=True, env=own, capture_output=True)
    for reference in sorted(folder.glob("*.npz")):
        told = np.load(reference)
        yield folder / str(told["path"]), {name: told[name] for name in told.files}


def raw(module: Any) -> torch.nn.Module:
    """Return the network without its last activation."""
    nodes = {node.name: node for node in module.graph.nodes}
    last = nodes[module.graph.outputs[0]]
    inside = isinstance(last.operation, Activation | Softmax)
    made = build(needed(module.graph, (last.inputs[0] if inside else last.name,)))
    made.load_state_dict(module.state_dict())
    return made.eval()


@pytest.mark.parametrize(
    ("python", "backend"), [("SEGNET_KERAS", "torch"), ("SEGNET_TF_KERAS", "")]
)
def test_random_networks_answer_alike(python: str, backend: str, tmp_path: Path) -> None:
    wrong, count = [], 0
    for path, told in written(tmp_path, python, backend):
        network = raw(sn.load(sn.identify(path), device="cpu").module)
        x, z = torch.from_numpy(told["x"]), told["z"]
        if not bool(told["first"]):
            x, z = x.movedim(-1, 1).contiguous(), np.moveaxis(z, -1, 1)
        with torch.no_grad():
            plain, exact = network(x).numpy(), network.double()(x.double()).numpy()
        # Another runtime may be as far from the truth as we are, three times over.
        limit = max(1e-4, 3 * np.abs(plain - exact).max(), 1e-3 * exact.std())
        count += 1
        if plain.shape != z.shape or np.abs(plain - z).max() > limit:
            wrong.append((path.name, json.loads(str(told["used"]))))
    assert count > 0.9 * COUNT  # Keras refuses some combinations itself
    assert not wrong
