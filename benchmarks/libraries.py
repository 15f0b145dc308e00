"""Networks of libraries, drawn at random and saved by them: how many answer as they do there.

    python benchmarks/libraries.py FOLDER --python ENV/bin/python [--python OTHER/bin/python]

Each ``--python`` is an environment of its own with some of segmentation-models-pytorch, MONAI,
torchvision and dynamic-network-architectures (nnU-Net); this one needs none of them. Rows are
appended to ``FOLDER/rows.jsonl``, so that a run that was cut off goes on; weights are removed.

* **equal**: maps differ by no more than 1e-4, or a thousandth of their standard deviation
* **assumed**: they differ, what the file does not say is marked, and are equal once it is told
* **rounded**: they differ in numbers of 32 bits, by rounding: in numbers of 64 bits they are equal
* **refused**: an error says why
* **wrong**: none of these
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import napari_segnet as sn
from napari_segnet.errors import SegnetError
from napari_segnet.recognition import family_of

SHARES = {"smp": 60, "monai": 25, "torchvision": 8, "nnunet": 7}
"""Of a hundred networks, about as often as their files are met."""
MAKER = Path(__file__).with_name("_library_draws.py")


def maps_of(checkpoint, image):
    with torch.no_grad():
        module = sn.load(checkpoint, "cpu").module
        module = module.double() if image.dtype == np.float64 else module
        return family_of(checkpoint).maps(module, torch.from_numpy(image)).numpy()


def same(ours, theirs):
    far = max(1e-4, 1e-3 * float(theirs.std()))
    return ours.shape == theirs.shape and float(np.abs(ours - theirs).max()) <= far


def verdict(made):
    """Compare one network with its library; return the word and why."""
    path = Path(made["path"])
    folder = path.parent
    with np.load(folder / "answer.npz") as stored:
        image, answer = stored["image"], stored["answer"]
    try:
        found = sn.identify(path)
        if same(maps_of(found, image), answer):
            return "equal", ""
        assumed = {name for name, known in found.known.items() if known.source == "assumed"}
        told = {name: value for name, value in made["told"].items() if name in assumed}
        if told and same(maps_of(sn.identify(path, told), image), answer):
            return "assumed", ", ".join(f"{k}={v}" for k, v in told.items())
        return "wrong", f"program {found.program}, assumed {sorted(assumed)}"
    except SegnetError as error:
        return "refused", str(error)[:300]


class Maker:
    """A process with libraries, which makes one network at a time."""

    def __init__(self, python):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([python, str(MAKER)], text=True, **pipes)
        self.libraries = json.loads(self._process.stdout.readline())

    def make(self, task):
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", action="append", required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    rows_path, began = given.folder / "rows.jsonl", time.monotonic()
    rows = [json.loads(s) for s in rows_path.read_text().splitlines()] if rows_path.exists() else []
    done = {row["seed"] for row in rows}
    makers = [Maker(python) for python in given.python]
    of = {name: maker for maker in reversed(makers) for name in maker.libraries}
    names = [name for name in SHARES if name in of]
    for n in range(given.count):
        seed = given.seed * 100_000 + n
        if seed in done or time.monotonic() - began > given.seconds:
            continue
        library = random.Random(seed).choices(names, [SHARES[name] for name in names])[0]
        folder = given.folder / str(seed)
        made = of[library].make({"seed": seed, "library": library, "folder": str(folder)})
        row = {"seed": seed, "library": library, **made}
        row["verdict"], row["why"] = (
            ("not made", made["failed"]) if "failed" in made else verdict(made)
        )
        if row["verdict"] == "wrong":
            again = {"seed": seed, "library": library, "folder": str(folder), "double": True}
            if verdict(of[library].make(again))[0] in ("equal", "assumed"):
                row["verdict"] = "rounded"
        shutil.rmtree(folder, ignore_errors=True)
        rows.append(row)
        with rows_path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            seed,
            library,
            row["verdict"],
            row.get("wrapper"),
            row.get("what"),
            row["why"],
            flush=True,
        )
    for maker in makers:
        maker.close()
    counts = Counter(row["verdict"] for row in rows)
    print(f"tried {len(rows) - counts['not made']}: {dict(counts)}")
    for library in names:
        print(" ", library, dict(Counter(r["verdict"] for r in rows if r["library"] == library)))


if __name__ == "__main__":
    main()
