"""Weights of Keras with the code of their model beside them.

What Keras answered stands in ``tests/data/keras_definitions.json``;
``tests/interop/define_keras.py`` makes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.keras_definitions import DEFINITIONS
from support.keras_files import h5

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch import identify
from napari_segnet.engines.torch.weights import _filled
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.recognition import family_of

STORED = json.loads((Path(__file__).parents[1] / "data" / "keras_definitions.json").read_text())
NAMES = list(DEFINITIONS)


def weights_of(name: str) -> dict[str, list[tuple[str, np.ndarray]]]:
    """The numbers that ``tests/interop/define_keras.py`` gave the model."""
    source = np.random.default_rng(NAMES.index(name))
    found: dict[str, list[tuple[str, np.ndarray]]] = {}
    for layer, weights in STORED[name]["layers"]:
        rows = found.setdefault(layer, [])
        for key, shape in weights:
            scale = (1.5 / max(1, np.prod(shape[:-1]))) ** 0.5 if len(shape) > 1 else 0.2
            value = source.normal(size=shape) * scale
            if "variance" in key or "gamma" in key:
                value = 0.5 + np.abs(value)
            rows.append((key, value.astype("f4")))
    return found


def written(folder: Path, name: str, code: str | None = None) -> Path:
    (folder / "network.py").write_text(DEFINITIONS[name][0] if code is None else code)
    return h5(folder / "weights.h5", weights_of(name))


def answer(checkpoint: Checkpoint, name: str) -> np.ndarray:
    source = np.random.default_rng(NAMES.index(name))
    image = source.uniform(size=(1, *STORED[name]["shape"])).astype("f4")
    module = _filled(checkpoint).eval()
    with torch.inference_mode():
        maps = family_of(checkpoint).maps(module, torch.from_numpy(np.moveaxis(image, -1, 1)))
    flat = np.moveaxis(maps.numpy(), 1, -1).ravel()
    return flat[:: max(1, len(flat) // 60)]


@pytest.mark.sample(7)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_answers_as_in_keras(name: str, tmp_path: Path) -> None:
    found = identify(written(tmp_path, name))
    assert found.program == "keras"
    assert "which was read and not run" in found.known["graph"].why
    wanted = np.array(STORED[name]["answer"])
    assert wanted.std() > 1e-3
    assert np.abs(answer(found, name) - wanted).max() < 1e-5


def test_arguments_say_how_they_are_known(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "blocks with classes"))
    assert (found.hparams["class"], found.hparams["n_classes"]) == ("build_unet", 4)
    assert found.known["n_classes"].why == "only so the weights have their shapes"
    assert found.known["class"].why == "line 13 of network.py"
    found = identify(written(tmp_path, "separable and residual"))
    assert found.known["num_classes"].why == "in the call in the code"
    assert found.known["img_size"].source == "read"


def test_an_argument_can_be_told(tmp_path: Path) -> None:
    found = identify(written(tmp_path, "static methods"), {"height": 64, "class": "build"})
    assert found.known["height"].source == "told"
    assert found.hparams["height"] == 64
    with pytest.raises(SettingsError, match="flavour cannot be told"):
        identify(written(tmp_path, "static methods"), {"flavour": "vanilla"})


def test_the_input_is_suggested(tmp_path: Path) -> None:
    code = DEFINITIONS["old style"][0] + "\n\ndef read(path):\n    return load(path) / 255\n"
    found = identify(written(tmp_path, "old style", code))
    (row, *_) = found.card["suggested"]
    assert "network.py" in json.dumps(row)


SMALL = "old style"


def changed(old: str, new: str) -> str:
    code = DEFINITIONS[SMALL][0]
    assert old in code
    return code.replace(old, new)


UNREAD: dict[str, tuple[str, str, str]] = {
    "another layer": ("Dropout(0.5)", "Attention()", "line 14 of network.py"),
    "a layer of the author": ("Dropout(0.5)", "MyDropout(0.5)", "line 14 of network.py"),
    "a function": (
        "Dropout(0.5)(conv2)",
        "keras.resize_images(conv2, 2, 2)",
        "keras.*resize_images",
    ),
    "another width": ("Conv2D(8, 3", "Conv2D(9, 3", "the weights of unet"),
    "a branch on a file": (
        "if(pretrained",
        "if open('x').read():\n        pass\n    if(pretrained",
        "open",
    ),
}


@pytest.mark.parametrize("what", UNREAD)
def test_what_is_not_read_is_named_by_its_line(what: str, tmp_path: Path) -> None:
    old, new, named = UNREAD[what]
    path = written(tmp_path, SMALL, changed(old, new))
    told: dict[str, Any] = {"source": str(tmp_path / "network.py")}
    with pytest.raises(UnsupportedWeightsError, match=named):
        identify(path, told)
    # Without the user's word the order of the layers counts, and the note says why.
    assert any("is not used" in note for note in identify(path).notes)


def test_code_is_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    touch = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    code = f"{touch}\n" + changed("inputs = Input", f"{touch}\n    inputs = Input")
    path = written(tmp_path, SMALL, f"{code}\nmodel = unet()\nopen({str(trap)!r}, 'w')\n")
    identify(path)
    assert not trap.exists()


def test_a_loop_without_end_is_refused(tmp_path: Path) -> None:
    code = changed("inputs = Input", "while True:\n        pass\n    inputs = Input")
    notes = identify(written(tmp_path, SMALL, code)).notes
    assert any("is not used" in note for note in notes)
