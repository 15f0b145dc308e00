"""Write networks of public libraries as TorchScript, traced and scripted, and their answers.

    python write_torchscript.py FOLDER [WORD ...]

Run by ``test_torchscript_interop.py`` in an environment of its own; the networks are those of
``write_onnx.py``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from write_onnx import SIZES, monai, random_numbers, smp, torchvision

warnings.filterwarnings("ignore")
torch.set_num_threads(1)


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    failed = {}
    for kind in (monai, smp, torchvision):
        for name, make, channels, ndim in kind():
            if words and not any(word in name for word in words):
                continue
            x, x2 = (torch.rand(1, channels, *size) for size in SIZES[ndim])
            for way in ("traced", "scripted", "frozen"):
                path = folder / f"{name}-{way}.pt"
                if path.with_suffix(".npz").exists():
                    continue
                try:
                    module = make()
                    random_numbers(module, channels, ndim)
                    with torch.no_grad():
                        made = (
                            torch.jit.trace(module, x, check_trace=False)
                            if way == "traced"
                            else torch.jit.script(module)
                        )
                        made = torch.jit.freeze(made) if way == "frozen" else made
                        made.save(str(path))
                        said = {"x": x.numpy(), "y": made(x).numpy()}
                        try:
                            said |= {"y2": made(x2).numpy(), "x2": x2.numpy()}
                        except Exception as error:
                            failed[f"{path.stem}, second size"] = str(error)[-200:]
                    np.savez(path.with_suffix(".npz"), **said)
                except Exception as error:
                    failed[path.stem] = f"{type(error).__name__}: {str(error)[:200]}"
                    path.unlink(missing_ok=True)
    (folder / "failed.json").write_text(json.dumps(failed, indent=1))


if __name__ == "__main__":
    main()
