"""Files that an attack from outside made: each is a sentence within the budget, or right.

They are no part of the repository: they lie in the folder ``faults/hostile`` beside the real data.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from support.hostile.attack import MOST_BYTES, MOST_SECONDS
from support.hostile.guard import watched
from support.hostile.kinds import KINDS

from napari_segnet.errors import SegnetError
from napari_segnet.families.maskrcnn.detectron2.config import recorded_in


def _configuration(path: Path) -> Any:
    beside = path.parent / "config.yaml"
    shutil.copy(path, beside)
    weights: Any = SimpleNamespace(path=path.with_name("w.pth"), metadata={}, tensors={})
    return recorded_in(weights, 3)[1]


READ: dict[str, Callable[[Path], Any]] = {
    ".tif": KINDS["TIFF"].read,
    ".journal": KINDS["journals"].read,
    ".json": KINDS["COCO"].read,
    ".yaml": _configuration,
}
WHOLE = {"img_ome_set_second_file_missing.ome.tif", "bomb_prefix_30000_dots.safetensors"}
"""What is no fault of its format: a set of which a file lacks is said in a note, and tensors of
any name can be read. Of configurations, whatever is not used is said."""


def test_each_is_a_sentence_within_the_budget(data: Path, tmp_path: Path) -> None:
    folder = data.parent / "faults" / "hostile"
    if not folder.is_dir():
        pytest.skip(f"no hostile files at {folder}")
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((8, 8), np.uint8))
    opened, count = set(), 0
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        read, copy = READ.get(path.suffix, KINDS["torch zip"].read), tmp_path / path.name
        shutil.copy(path, copy)
        with warnings.catch_warnings(), watched() as watch:
            warnings.simplefilter("ignore")
            try:
                found = read(copy)
            except SegnetError as error:
                assert len(str(error)) > 30, path
            else:
                assert path.suffix != ".yaml" or any(len(said) > 20 for said in found), path
                opened.add(path.name)
        count += 1
        assert not watch.seen or path.suffix == ".yaml", path
        assert watch.seconds < MOST_SECONDS and watch.nbytes < MOST_BYTES, path
    assert count > 15
    assert {name for name in opened if not name.endswith(".yaml")} == WHOLE
