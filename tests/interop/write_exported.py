"""Write networks of public libraries with torch.export, and their answers.

    python write_exported.py FOLDER [WORD ...]

Run by ``test_exported_interop.py`` in an environment of its own; the networks are those of
``write_onnx.py``. Each is written for images of any size and of one, and decomposed to core ATen.
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from write_onnx import SIZES, monai, random_numbers, smp, torchvision

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
WAYS = ("dynamic", "fixed", "core")


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    failed = {}
    for kind in (monai, smp, torchvision):
        for name, make, channels, ndim in kind():
            if words and not any(word in name for word in words):
                continue
            for way in WAYS:
                path = folder / f"{name}-{way}.pt2"
                if path.with_suffix(".npz").exists():
                    continue
                try:
                    module = make()
                    random_numbers(module, channels, ndim)
                    np.savez(path.with_suffix(".npz"), **written(module, path, channels, ndim, way))
                except Exception as error:
                    failed[path.stem] = f"{type(error).__name__}: {str(error)[:200]}"
                    path.unlink(missing_ok=True)
    (folder / "failed.json").write_text(json.dumps(failed, indent=1))


def written(
    module: torch.nn.Module, path: Path, channels: int, ndim: int, way: str
) -> dict[str, np.ndarray]:
    """Write a network; return images and answers."""
    images = 1 if way == "fixed" else 2
    x, x2 = (torch.rand(images, channels, *size) for size in SIZES[ndim])
    free = {0: torch.export.Dim.AUTO, **{i + 2: torch.export.Dim.AUTO for i in range(ndim)}}
    shapes = None if way == "fixed" else (free,)
    with torch.no_grad():
        program = torch.export.export(module, (x,), dynamic_shapes=shapes)
        if way == "core":
            program = program.run_decompositions()
        torch.export.save(program, str(path))
        said = {"x": x.numpy(), "y": module(x).numpy()}
        if way != "fixed":
            with contextlib.suppress(Exception):  # what was fixed by the exporter
                said |= {"y2": program.module()(x2).numpy(), "x2": x2.numpy()}
    return said


if __name__ == "__main__":
    main()
