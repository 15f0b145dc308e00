"""Small networks and pictures for the commands, and a way to run them in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.networks import Jvanvugt, Milesial, Segnet, calibrate, pictures, save_as

from napari_segnet.__main__ import main


def strict(text: str) -> Any:
    """Read JSON as other programs do, which know no NaN."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@dataclass(frozen=True)
class Done:
    """A command that has run: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        return strict(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON, a line each."""
        return [strict(line) for line in self.out.splitlines()]

    def refused(self) -> str:
        """Return the one sentence of a refusal."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err.startswith("napari-segnet: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        assert "does not foresee" not in self.err
        return self.err.removeprefix("napari-segnet: ").strip()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command line in this process."""

    def go(*words: object) -> Done:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return go


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every test may read: networks and pictures of 60 x 52 pixels."""
    folder = tmp_path_factory.mktemp("shop")
    save_as(calibrate(Milesial(channels=1, width=4, depth=2)), folder / "unet.pth", "bare")
    padded = Jvanvugt(channels=1, classes=2, depth=2, width=4, padding=True)
    save_as(calibrate(padded), folder / "padded.pth", "training")
    volume = Milesial(channels=1, width=3, depth=1, bilinear=True, ndim=3)
    small = pictures(4, 1, (8, 32, 32))
    save_as(calibrate(volume, images=small), folder / "volume.pth", "bare")
    grey = (255 * pictures(1, 1, (60, 52))[0, 0].numpy()).astype(np.uint8)
    tifffile.imwrite(folder / "cells.tif", grey)
    np.save(folder / "stack.npy", np.stack([grey, grey[::-1], grey[:, ::-1]]))
    five = np.stack([grey] * 5)
    tifffile.imwrite(folder / "five.tif", five, imagej=True, metadata={"axes": "CYX"})
    return folder


@pytest.fixture(scope="session")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a header and a card, as training writes it: foreground and boundary."""
    from napari_segnet.checkpoint import Output, PrepareStep
    from napari_segnet.families.segnet_unet import SegnetUNet, describe_new

    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    roles = ("foreground", "boundary")
    checkpoint = describe_new(
        path=path,
        hparams={"ndim": 2, "channels": 1, "widths": [4, 8], "strides": [[2, 2]]},
        outputs=tuple(Output(role=role, channels=1, activation="sigmoid") for role in roles),
        prepare=(PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),),
        pixel_size_um={"y": 0.5, "x": 0.5},
        class_names=("background", "nucleus"),
        card={"title": "Nuclei of a test", "scores": {"ap50": 0.5, "on": "nothing"}},
    )
    module = SegnetUNet().build(checkpoint)
    reference = calibrate(Segnet(channels=1, widths=(4, 8), strides=((2, 2),), outputs=2))
    module.load_state_dict(reference.state_dict())
    SegnetUNet().save(module, checkpoint, path)
    return path
