"""``--set normalize=find`` and the warning of an image that is unlike, on the command line."""

from __future__ import annotations

import json

import numpy as np
import tifffile
from support.prepared import cells, trained

from napari_segnet.__main__ import main


def test_what_is_found_repeats_the_run_and_an_unlike_image_is_named(tmp_path, capsys):
    network = trained(tmp_path / "half.safetensors", 1, lambda x: (x / 255.0 - 0.5)[None] / 0.5)
    tifffile.imwrite(tmp_path / "cells.tif", cells(50, edge=128))
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 3), (128, 22))[:, :128]
    tifffile.imwrite(tmp_path / "stripes.tif", stripes)
    images = [str(tmp_path / name) for name in ("cells.tif", "stripes.tif")]
    wrong = ["segment", images[1], "-c", str(network.path), "-o", str(tmp_path / "wrong")]
    assert main(wrong) == 0
    assert "--set normalize=find looks for the normalisation" in capsys.readouterr().err
    ask = ["segment", *images, "-c", str(network.path), "-o", str(tmp_path / "out"), "--json"]
    assert main([*ask, "--set", "normalize=find"]) == 0
    said = capsys.readouterr()
    assert "looks for the normalisation" not in said.err
    first, second = (json.loads(line) for line in said.out.splitlines())
    assert first["unlike"]["unlike"] is False and second["unlike"]["unlike"] is True
    assert second["unlike"]["score"] > second["unlike"]["limit"]
    assert said.err.count("warning: This image is unlike the training images") == 1
    origin = json.loads((tmp_path / "out/cells.json").read_text())
    assert origin["predict"]["normalize"] == "half"
    assert origin["engine"]["found"]["settings"] == {"normalize": "half"}
    again = ["segment", images[0], "-o", str(tmp_path / "again"), "--json"]
    assert main([*again, "--settings", str(tmp_path / "out/cells.json")]) == 0
    one, other = (
        tifffile.imread(tmp_path / folder / "cells.labels.tif") for folder in ("out", "again")
    )
    np.testing.assert_array_equal(one, other)
    repeated = json.loads((tmp_path / "again/cells.json").read_text())
    assert "found" not in repeated["engine"]
