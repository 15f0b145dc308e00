"""What a graphics processor answers, how fast, and what happens where its memory ends.

::

    python benchmarks/gpu.py [--device cuda:0] [--parts equality ladder speed train] [--small]
                             [--minutes 6] [--data NUCLEI] [--out FOLDER]

Each part fits into six minutes on one card (``--minutes``): what is not begun by then is named as
left out, and the parts can be run one by one.

* equality: networks of each family, and of files of Keras and ONNX, answer the same pictures on
  the CPU and on the device, in fp32 and in every lower precision. fp32 has to agree within
  1e-4 (or a thousandth of the answer's standard deviation); of fp16 it is said whether ``auto``
  would take it.
* ladder: memory really runs out: first for large tiles, then for all. The answer must stay.
* speed: ``benchmarks/speed.py``, the built-in network and a U-Net beside raw forward and MONAI.
* train: ``scripts/train_nuclei.py --resume`` on DATA (default ``$SEGNET_DATA/nuclei``) for the time
  that is left; called again with the same ``--out``, it goes on. The file, once the training is
  done, is measured by ``benchmarks/nuclei.py``.

``--device cpu --small`` proves without a card that it runs. It exits with 1 if something does not
agree, and writes ``gpu.json`` into the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import napari_segnet as sn
from napari_segnet import cache
from napari_segnet.answers.detections.run import DetectionAgreement
from napari_segnet.answers.maps.run import MapAgreement
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch import TorchEngine
from napari_segnet.families import FAMILIES, InstanceFamily

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
TOLERANCE = 1e-4
SPARE_S = 20.0
"""Kept for the end of a part."""

Row = dict[str, Any]


class Clock:
    """Tells how much of the time is left."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def left_s(self) -> float:
        return self._end - time.monotonic()


# ---- Equality ----


def networks(small: bool) -> Iterator[tuple[str, Checkpoint, torch.nn.Module]]:
    """Yield a name, what a network is, and the network on the CPU: of each family, then files."""
    from support.examples import EXAMPLES
    from support.networks import assemble, calibrate, pictures, weights_of

    for family in FAMILIES:
        examples = EXAMPLES[family.name]
        for example in examples[:1] if small else examples:
            torch.manual_seed(3)
            module = example.make().eval()
            if not isinstance(family, InstanceFamily):
                images = pictures(4, example.channels, example.sizes[-1])
                module = calibrate(module, seed=3, images=images)
            weights = weights_of(module, example.metadata)
            checkpoint = family.describe(weights, example.told)
            yield f"{family.name}: {example}", checkpoint, assemble(family, checkpoint, weights)
    with tempfile.TemporaryDirectory() as folder:
        for path in program_files(Path(folder)):
            checkpoint = sn.identify(path)
            yield f"file: {path.name}", checkpoint, sn.load(checkpoint, "cpu").module


def program_files(folder: Path) -> list[Path]:
    """Write a network of Keras and one of ONNX."""
    from support import keras_files, onnx_files

    config, weights = keras_files.small()
    rng = np.random.default_rng(0)
    kernels = {"k": rng.normal(0, 0.3, (8, 2, 3, 3)), "l": rng.normal(0, 0.3, (1, 8, 1, 1))}
    nodes = [
        onnx_files.node("Conv", ["image", "k"], ["a"], pads=[1, 1, 1, 1]),
        onnx_files.node("Relu", ["a"], ["b"]),
        onnx_files.node("Conv", ["b", "l"], ["c"]),
        onnx_files.node("Sigmoid", ["c"], ["out"]),
    ]
    single = {name: kernel.astype(np.float32) for name, kernel in kernels.items()}
    return [
        keras_files.h5(folder / "keras.h5", weights, config),
        onnx_files.network(folder / "network.onnx", nodes, single),
    ]


def engines(args: argparse.Namespace) -> Iterator[Row]:
    """Compare OpenVINO with torch on the CPU, where it is installed."""
    from napari_segnet.engines import ENGINES

    checkpoint = sn.identify("nuclei")
    batch = picture_for(checkpoint, args.small)
    right = sn.load(checkpoint, "cpu").maps(batch)
    for kind in ENGINES[1:]:
        if not importlib.util.find_spec(kind.name):
            yield {"part": "equality", "engine": kind.name, "left out": "absent", "good": True}
            continue
        error = float(np.abs(kind.load(checkpoint, "cpu").maps(batch) - right).max())
        yield {"part": "equality", "engine": kind.name, "error": error, "good": error <= TOLERANCE}


def equality(args: argparse.Namespace, clock: Clock) -> Iterator[Row]:
    """Compare the device with the CPU, network by network."""
    yield from engines(args)
    left_out = 0
    for name, checkpoint, module in networks(args.small):
        if clock.left_s < SPARE_S:
            left_out += 1
            continue
        ours = TorchEngine(checkpoint, module, "cpu")
        theirs = TorchEngine(checkpoint, _copied(module), args.device)
        batch = picture_for(checkpoint, args.small)
        for precision in theirs.precisions:
            yield {"part": "equality", "network": name, "precision": precision} | (
                _objects(ours, theirs, batch, precision)
                if isinstance(_family(checkpoint), InstanceFamily)
                else _maps(ours, theirs, batch, precision)
            )
    if left_out:
        yield {"part": "equality", "left out": left_out, "good": True}


def picture_for(checkpoint: Checkpoint, small: bool) -> np.ndarray:
    """Return noise with bright discs ``(1, c, [z,] y, x)``, of a size that the network takes."""
    edge = {2: 64 if small else 256, 3: 24 if small else 64}[checkpoint.ndim]
    lengths = checkpoint.size.next_allowed((edge,) * checkpoint.ndim)
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(1, checkpoint.channels, *lengths)).astype(np.float32)
    grid = np.indices(lengths)
    for _ in range(6):
        middle = [rng.integers(0, n) for n in lengths]
        far = sum((g - m) ** 2 for g, m in zip(grid, middle, strict=True))
        noise[:, :, far < 64] += 2
    return noise


def _copied(module: torch.nn.Module) -> torch.nn.Module:
    import copy

    return copy.deepcopy(module)


def _family(checkpoint: Checkpoint) -> object:
    from napari_segnet.recognition import family_of

    return family_of(checkpoint)


def _maps(ours: TorchEngine, theirs: TorchEngine, batch: np.ndarray, precision: str) -> Row:
    how = {"offset": (0,) * (batch.ndim - 2), "whole": batch.shape[2:]}
    exact, said = ours.maps(batch, **how), theirs.maps(batch, precision=precision, **how)
    error = float(np.abs(exact - said).max())
    if precision == "fp32":
        good = error <= max(TOLERANCE, 1e-3 * float(exact.std()))
        return {"error": error, "good": bool(good)}
    taken = MapAgreement().compare(exact, said).agrees
    return {"error": error, "taken by auto": bool(taken), "good": True}


def _objects(ours: TorchEngine, theirs: TorchEngine, batch: np.ndarray, precision: str) -> Row:
    exact, said = ours.detect(batch), theirs.detect(batch, precision=precision)
    agrees = bool(DetectionAgreement().compare(exact, said).agrees)
    counts = [len(one.instances.scores) for one in (*exact, *said)]
    if precision == "fp32":
        return {"objects": counts, "good": agrees}
    return {"objects": counts, "taken by auto": agrees, "good": True}


# ---- The memory ladder ----


@contextlib.contextmanager
def only_bytes(device: str, more: int) -> Iterator[None]:
    """Let so many bytes more be taken than are now; beyond, memory runs out in truth."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        _, total = torch.cuda.mem_get_info(device)
        taken = torch.cuda.memory_allocated(device) + more
        torch.cuda.set_per_process_memory_fraction(min(1.0, taken / total), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def ladder(args: argparse.Namespace, clock: Clock) -> Iterator[Row]:
    """Run the built-in network while memory ends, and compare with a run that has all."""
    from speed import picture

    edge = 1536 if args.small else 4096
    image = sn.Image(data=picture(edge), axes="yx")
    checkpoint = sn.identify("nuclei")
    engine = sn.load(checkpoint, args.device)
    how = sn.PredictSettings(device=args.device, precision="fp32", engine="torch")
    right = sn.run(sn.predict(checkpoint, image, how))
    limits = [(engine.peak_bytes(1, (edge, edge)) // 2, args.device, "halved")]
    if args.device != "cpu":  # "auto" may leave the device, and only then
        limits.append((2**20, "auto", "moved to the CPU"))
    for more, device, expected in limits:
        cache.rungs.clear()
        wish = sn.PredictSettings(device=device, precision="fp32", engine="torch")
        with only_bytes(args.device, more):
            made = sn.run(sn.predict(checkpoint, image, wish))
        error = float(np.abs(made.answer.data - right.answer.data).max())
        yield {
            "part": "ladder",
            "MB more": round(more / 1e6),
            "rung": made.origin.rung,
            "error": error,
            "good": error <= TOLERANCE and (expected in made.origin.rung or device == "cpu"),
        }
    cache.rungs.clear()


# ---- Speed and training ----


def speed(args: argparse.Namespace, clock: Clock) -> Iterator[Row]:
    """Print the rows of ``speed.py``."""
    import speed as bench

    with tempfile.TemporaryDirectory() as folder:
        found = bench.networks("nuclei", 4 if args.small else 32, Path(folder))
        for case in bench.cases(found, args.small):
            if clock.left_s < SPARE_S:
                yield {"part": "speed", "left out": f"{case.name} {case.edge}", "good": True}
                continue
            medians = bench.compare(case, args.device, 1 if args.small else 5, False)
            row = {"part": "speed", "network": case.name, "edge": case.edge, "good": True}
            yield row | {name: round(value, 4) for name, value in medians.items()}


def train(args: argparse.Namespace, clock: Clock) -> Iterator[Row]:
    """Train for the time that is left; what was done is gone on with."""
    if args.data is None or not (args.data / "index.csv").exists():
        yield {"part": "train", "left out": "no --data with an index.csv", "good": True}
        return
    out = args.out / "nuclei.safetensors"
    if not out.exists():
        words = [sys.executable, str(ROOT / "scripts" / "train_nuclei.py"), str(args.data)]
        words += ["--out", str(out), "--device", args.device, "--resume"]
        words += ["--epochs", "1", "--steps", "1", "--crop-px", "32"] if args.small else []
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                said, _ = process.communicate(timeout=max(30.0, clock.left_s - SPARE_S))
            except subprocess.TimeoutExpired:
                process.terminate()
                said, _ = process.communicate()
        print(said, end="")
    done = out.exists()
    state = out.with_name(out.name + ".state").exists()
    yield {"part": "train", "done": done, "to go on with": state, "good": done or state}


PARTS: dict[str, Callable[[argparse.Namespace, Clock], Iterator[Row]]] = {
    "equality": equality,
    "ladder": ladder,
    "speed": speed,
    "train": train,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="tiny networks and images")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    args = parser.parse_args()
    if args.data is None and "SEGNET_DATA" in os.environ:
        args.data = Path(os.environ["SEGNET_DATA"]) / "nuclei"
    args.out.mkdir(parents=True, exist_ok=True)
    clock, rows = Clock(args.minutes), []
    for name in args.parts:
        if clock.left_s < SPARE_S:
            print(f"{name}: left out, the time is over")
            continue
        begun = time.monotonic()
        for row in PARTS[name](args, clock):
            rows.append(row)
            print("ok " if row["good"] else "BAD", _words(row), flush=True)
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    about = {"device": args.device, "torch": torch.__version__, "rows": rows}
    if args.device.startswith("cuda"):
        about["card"] = torch.cuda.get_device_name(args.device)
    (args.out / "gpu.json").write_text(json.dumps(about, indent=1), "utf-8")
    return 0 if all(row["good"] for row in rows) else 1


def _words(row: Row) -> str:
    return "  ".join(
        f"{name} {value:.2g}" if isinstance(value, float) and math.isfinite(value) else
        f"{name} {value}"
        for name, value in row.items()
        if name != "good"
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
