"""Networks of Keras answer here as they answer there, and there again once they are written back.

Neither Keras nor TensorFlow is needed to read them, and none is installed by the scripts: an
environment of its own has one of both, and a variable says which Python is in it.

    SEGNET_KERAS      Python with Keras 3 and torch (run with KERAS_BACKEND=torch)
    SEGNET_TF_KERAS   Python with tensorflow-cpu and tf_keras
    SEGNET_NETWORKS   how many networks each writes; 30 without
    SEGNET_WILD       a folder with real networks (*keras*.h5, *keras*.keras); else none are tried
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_segnet as sn
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import open_tree
from napari_segnet.graph import Activation, Softmax, needed
from napari_segnet.graph.build import build
from napari_segnet.programs import writer_of

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(7200)]

SCRIPT = Path(__file__).with_name("write_keras.py")
COUNT = int(os.environ.get("SEGNET_NETWORKS", "30"))
WILD = os.environ.get("SEGNET_WILD", "")
BACKENDS = {"SEGNET_KERAS": "torch", "SEGNET_TF_KERAS": ""}

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Keras:
    """One Keras in an environment of its own; ``python`` is the variable that says where."""

    python: str

    def __call__(self, *arguments: object) -> None:
        """Run the script with it."""
        where = os.environ.get(self.python)
        if not where:
            pytest.skip(f"set {self.python} to a Python that has that Keras")
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        own |= {"KERAS_BACKEND": BACKENDS[self.python]} if BACKENDS[self.python] else {}
        command = [where, str(SCRIPT), *map(str, arguments)]
        done = subprocess.run(command, env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module", params=BACKENDS)
def keras(request: pytest.FixtureRequest) -> Keras:
    return Keras(request.param)


@pytest.fixture(scope="module")
def networks(keras: Keras, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with random networks, and what Keras answered."""
    folder: Path = tmp_path_factory.mktemp("keras")
    keras(folder, 1000 * list(BACKENDS).index(keras.python), COUNT)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A file of Keras and an image as Keras takes it; ``first`` tells where its channels are."""

    path: Path
    x: Array
    first: bool = False
    told: Mapping[str, Any] = field(default_factory=dict)

    def ours(self, array: Array) -> Array:
        """Return an image or an answer with its channels first."""
        return array if self.first else np.ascontiguousarray(np.moveaxis(array, -1, 1))


def random_networks(folder: Path) -> Iterator[Network]:
    for reference in sorted(folder.glob("*.npz")):
        held = np.load(reference)
        told = {name: held[name] for name in held.files}
        path = folder / str(told["path"])
        yield Network(path=path, x=told["x"], first=bool(told["first"]), told=told)


def raw(module: Any) -> torch.nn.Module:
    """Return the network without its last activation."""
    nodes = {node.name: node for node in module.graph.nodes}
    last = nodes[module.graph.outputs[0]]
    inside = isinstance(last.operation, Activation | Softmax)
    made = build(needed(module.graph, (last.inputs[0] if inside else last.name,)))
    made.load_state_dict(module.state_dict())
    return made.eval()


def is_equal(network: Network, module: Any, z: Array) -> bool:
    """Tell if an answer of Keras before the last activation is ours."""
    x, z = torch.from_numpy(network.ours(network.x)), network.ours(z)
    made = raw(module)
    with torch.no_grad():
        plain, exact = made(x).numpy(), made.double()(x.double()).numpy()
    # Another runtime may be as far from the truth as we are, three times over.
    limit = max(1e-4, 3 * np.abs(plain - exact).max(), 1e-3 * exact.std())
    return plain.shape == z.shape and bool(np.abs(plain - z).max() <= limit)


def test_random_networks_answer_alike(networks: Path) -> None:
    wrong, count = [], 0
    for network in random_networks(networks):
        count += 1
        module = sn.load(sn.identify(network.path), device="cpu").module
        if not is_equal(network, module, network.told["z"]):
            wrong.append((network.path.name, json.loads(str(network.told["used"]))))
    assert count > 0.9 * COUNT  # Keras refuses some combinations itself
    assert not wrong


# ---- Written back ----------------------------------------------------------------------


def taught(checkpoint: Checkpoint) -> Any:
    """Return the network with other weights, as far from the old ones as a training goes."""
    module: Any = copy.deepcopy(sn.load(checkpoint, device="cpu").module)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.mul_(1 + 0.2 * torch.rand(value.shape, generator=source))
    return module


def check_written_back(networks: Sequence[Network], keras: Keras, folder: Path) -> None:
    """Write networks back with other weights, and let Keras load them strictly and answer."""
    modules = []
    for network in networks:
        found, new = sn.identify(network.path), folder / network.path.name
        modules.append(taught(found))
        writer = writer_of(found, new)
        assert writer is not None
        writer.save(modules[-1], found, new)
        np.save(f"{new}.x.npy", network.x)
    keras(folder, "answer")
    assert not {file.name: file.read_text() for file in folder.glob("*.error")}
    answers = [np.load(folder / f"{network.path.name}.z.npy") for network in networks]
    assert not [
        network.path.name
        for network, module, z in zip(networks, modules, answers, strict=True)
        if not is_equal(network, module, z)
    ]


def test_random_networks_are_loaded_again(networks: Path, keras: Keras, tmp_path: Path) -> None:
    every = list(random_networks(networks))
    loaded = [network for network in every if network.told["again"]]
    assert len(loaded) > 0.8 * len(every)  # Keras does not load all that it saves itself
    check_written_back(loaded, keras, tmp_path)


@pytest.mark.parametrize(("python", "third"), [("SEGNET_KERAS", True), ("SEGNET_TF_KERAS", False)])
def test_real_networks_are_loaded_again(python: str, third: bool, tmp_path: Path) -> None:
    networks = []
    for path in sorted(Path(WILD).glob("*keras*")) if WILD else ():
        if path.suffix not in (".h5", ".hdf5", ".keras"):
            continue
        about = open_tree(path).metadata
        if about["model_config"] is None or about["keras_version"].startswith("3") != third:
            continue
        found = sn.identify(path)
        lengths = (64, 48, 32)[: found.ndim]  # a fixed size is lifted there as well
        x = np.random.default_rng(0).uniform(size=(1, *lengths, found.channels))
        networks.append(Network(path=path, x=x.astype("float32")))
    if not networks:
        pytest.skip("set SEGNET_WILD to a folder with real networks of that Keras")
    check_written_back(networks, Keras(python), tmp_path)
