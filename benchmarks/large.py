"""Labels of images that are larger than memory: peak memory, and processor time by stage.

::

    python benchmarks/large.py [--edge 2000 4000 8000] [--memory 4GB] [--scratch DIR]
                               [--network FILE] [--instances components watershed] [--kill]

Writes an OME-Zarr image (uint8) of uneven tissue with one bright object in 1,600 pixels, labels it
with the command ``napari-segnet segment``, and prints nanoseconds of processor time for each pixel
by stage, beside the peaks of memory: anonymous (what a limit of memory is about) and resident (with
the pages of temporary files that the system keeps as long as there is room). Without ``--network``
it trains a small U-Net for it, some seconds.

With ``--kill`` each run is repeated under another name, killed in the middle of each of ``KILLS``
and begun again; in the end its labels have to be those of the run that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

EVERY_S = 0.1
BLOCK = 4000
"""Edge of the texture that a larger image repeats, turned over, shifted and with noise."""
CHUNK = 1000
STAGES = (
    ("reading", "napari_segnet.commands._in_turn", "", "answered"),
    ("the network", "napari_segnet.answers.maps.run", "", "_run"),
    ("components", "napari_segnet.answers.maps.label", "", "label_unit"),
    ("cutting", "napari_segnet.steps.watershed", "", "_cut_components"),
    ("numbers", "napari_segnet.steps.watershed", "", "relabel_raster"),
    ("holes", "napari_segnet.steps.fill_holes", "FillHoles", "refine"),
    ("sizes", "napari_segnet.steps.min_size", "MinSize", "refine"),
    ("scores", "napari_segnet.answers.maps.label", "", "_add_scores"),
    ("writing", "napari_segnet.writers", "", "write_segmentation"),
)
"""Each begins where the function (of a module, or of a class in it) is called first."""

KILLS = (
    ("reading", 0.5), ("the network", 0.1), ("the network", 0.7), ("holes", 0.5), ("writing", 0.5)
)  # fmt: skip
"""Stages, and after which share of the time that they took in the whole run."""


# ---- The image and the network ----


def spot(rng: np.random.Generator) -> np.ndarray:
    """Return how deep in an ellipse each pixel of a box lies; below 0.4 is outside."""
    y, x = np.mgrid[-14:14, -14:14]
    (a, b), turn = rng.uniform(4, 9, 2), rng.uniform(0, np.pi)
    u = (x * np.cos(turn) + y * np.sin(turn)) / a
    v = (y * np.cos(turn) - x * np.sin(turn)) / b
    return 1.4 - np.hypot(u, v)


def tissue(edge: int, seed: int, each: int = 1600) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pixels of uneven brightness with objects, and where these are."""
    from scipy.ndimage import zoom

    rng = np.random.default_rng(seed)
    ground = zoom(rng.normal(60, 10, (edge // 40 + 2,) * 2).astype(np.float32), 40, order=1)
    pixels = ground[:edge, :edge] + rng.normal(0, 6, (edge, edge)).astype(np.float32)
    inside = np.zeros((edge, edge), bool)
    for _ in range(edge * edge // each):
        (top, left), deep = rng.integers(0, edge - 28, 2), spot(rng)
        box = slice(top, top + 28), slice(left, left + 28)
        pixels[box] += deep.clip(0, 0.6) * rng.uniform(100, 220)
        inside[box] |= deep > 0.3
    return pixels.clip(0, 255).astype(np.uint8), inside


def blocks(edge: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield boxes of an image and their pixels."""
    rng, size = np.random.default_rng(7), min(edge, BLOCK)
    pixels, _ = tissue(size, 0)
    for top in range(0, edge, size):
        for left in range(0, edge, size):
            turned = np.rot90(pixels, rng.integers(4))[:: rng.choice([1, -1])]
            moved = np.roll(turned, tuple(rng.integers(0, size, 2)), (0, 1))
            box = slice(top, min(top + size, edge)), slice(left, min(left + size, edge))
            noisy = moved ^ rng.integers(0, 4, moved.shape, np.uint8)
            yield box, noisy[: box[0].stop - top, : box[1].stop - left]


def write_image(folder: Path, edge: int) -> None:
    """Write an OME-Zarr image of one level."""
    import zarr

    scale = {"type": "scale", "scale": [0.5, 0.5]}
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    multiscales = [{"version": "0.4", "name": folder.stem, "axes": axes, "datasets": [dataset]}]
    group = zarr.open_group(folder, mode="w-", zarr_format=2)
    array = group.create_array(
        "0", shape=(edge, edge), chunks=(min(edge, CHUNK),) * 2, dtype="uint8",
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    group.attrs["multiscales"] = multiscales
    for box, pixels in blocks(edge):
        array[box] = pixels


def write_network(path: Path, steps: int = 150) -> None:
    """Train a U-Net of three levels on such tissue, and save it."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as loss_of

    from napari_segnet.checkpoint import Output, PrepareStep
    from napari_segnet.families.segnet_unet import SegnetUNet
    from napari_segnet.families.segnet_unet.family import describe_new

    torch.manual_seed(0)
    checkpoint = describe_new(
        path=path,
        hparams={"ndim": 2, "channels": 1, "widths": [4, 8, 16], "strides": [[2, 2]] * 2},
        outputs=(Output(role="foreground", channels=1, activation="sigmoid"),),
        prepare=(PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),),
        pixel_size_um={},
        class_names=(),
        card={},
    )
    module = SegnetUNet().build(checkpoint)
    pixels, inside = (torch.from_numpy(one.astype(np.float32)) for one in tissue(1024, 1))
    low, high = np.percentile(pixels, (1, 99.8))
    pixels = ((pixels - low) / (high - low)).clip(0, 1)
    optimizer, rng = torch.optim.Adam(module.parameters(), 1e-2), np.random.default_rng(0)
    for _ in range(steps):
        places = [tuple(slice(a, a + 128) for a in rng.integers(0, 896, 2)) for _ in range(4)]
        shown, truth = (
            torch.stack([one[box] for box in places])[:, None] for one in (pixels, inside)
        )
        optimizer.zero_grad()
        loss_of(module(shown), truth).backward()
        optimizer.step()
    SegnetUNet().save(module.eval(), checkpoint, path)


# ---- A run, in a process of its own ----


def child(words: list[str]) -> int:
    """Run the command; write the processor and wall seconds of each stage into ``STAGES_FILE``."""
    from napari_segnet.__main__ import main as segnet

    spent: dict[str, list[float]] = {}
    now: tuple[str, float, float] = ("starting", 0.0, time.perf_counter())
    last_stage, _, last_s = os.environ.get("KILL_AT", "").partition(":")

    def begin(stage: str) -> None:
        nonlocal now, last_stage
        before, now = now, (stage, time.process_time(), time.perf_counter())
        known = spent.setdefault(before[0], [0.0, 0.0])
        spent[before[0]] = [known[0] + now[1] - before[1], known[1] + now[2] - before[2]]
        if last_stage and stage == last_stage:
            last_stage = ""
            threading.Timer(float(last_s), os.kill, (os.getpid(), signal.SIGKILL)).start()

    for stage, module, owner, name in STAGES:
        place: Any = __import__(module, fromlist=["_"])
        _told(getattr(place, owner) if owner else place, name, stage, begin)
    code = segnet(words)
    begin("")
    Path(os.environ["STAGES_FILE"]).write_text(json.dumps(spent))
    return code


def _told(place: Any, name: str, stage: str, begin: Callable[[str], None]) -> None:
    real = getattr(place, name)

    def beginning(*args: Any, **more: Any) -> Any:
        begin(stage)
        return real(*args, **more)

    setattr(place, name, beginning)


def watched(words: list[str], environment: dict[str, str], log: Path) -> tuple[int, int]:
    """Run a child; return its peaks of anonymous and of resident memory, in bytes."""
    anonymous = resident = 0
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", *words],
            env={**os.environ, **environment}, stdout=said, stderr=said,
        )  # fmt: skip
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            known = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if "RssAnon" in known:  # a process that ends has none
                anonymous = max(anonymous, int(known["RssAnon"].split()[0]) * 1024)
                resident = max(resident, int(known["VmRSS"].split()[0]) * 1024)
            time.sleep(EVERY_S)
    killed = process.wait() == -signal.SIGKILL and "KILL_AT" in environment
    if process.returncode and not killed:
        raise SystemExit(log.read_text()[-2000:])
    return anonymous, resident


@contextmanager
def workplace(scratch: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch, prefix="large-") as folder:
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, nargs="+", default=[2000, 4000, 8000])
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--network", type=Path)
    parser.add_argument("--image", type=Path, help="made before; its edge is the only --edge")
    parser.add_argument("--instances", nargs="+", default=["components", "watershed"])
    parser.add_argument("--kill", action="store_true")
    args = parser.parse_args()
    with workplace(args.scratch) as folder:
        network = args.network or folder / "small.safetensors"
        if args.network is None:
            write_network(network)
        for edge in args.edge:
            image = args.image or folder / f"tissue{edge}.zarr"
            if args.image is None:
                write_image(image, edge)
            for instances in args.instances:
                run = Run(image, edge, network, instances, args.memory, folder)
                run.measure()
                if args.kill:
                    run.repeat_killed()
    return 0


class Run:
    """The command on one image.

    Parameters
    ----------
    image, network : Path
        What is segmented with what.
    edge : int
        Of the image in pixels.
    instances, memory : str
        The settings.
    folder : Path
        Of results and temporary files.
    """

    def __init__(
        self, image: Path, edge: int, network: Path, instances: str, memory: str, folder: Path
    ) -> None:
        self._edge, self._instances, self._folder = edge, instances, folder
        self._words = ["segment", str(image), "-c", str(network), "--memory", memory, "--json"]
        self._words += ["--scratch", str(folder), "--device", "cpu"]
        self._words += ["--set", f"instances={instances}"]
        self._out = folder / f"labels-{edge}-{instances}.zarr"
        self._wall: dict[str, float] = {}

    def measure(self) -> None:
        """Print the costs of a run."""
        stages = self._folder / "stages.json"
        anonymous, resident = self._go(self._out, STAGES_FILE=str(stages))
        spent: dict[str, list[float]] = json.loads(stages.read_text())
        starting, _ = spent.pop("starting")
        self._wall = {stage: wall for stage, (_, wall) in spent.items()}
        each = {stage: 1e9 * cpu / self._edge**2 for stage, (cpu, _) in spent.items()}
        print(
            f"{self._edge}² {self._instances}: {len(record(self._out)['labels']):,} objects, "
            f"starting {starting:.1f} s\n  "
            + ", ".join(f"{stage} {ns:.0f}" for stage, ns in each.items())
            + f", all {sum(each.values()):.0f} ns a pixel\n"
            f"  peak memory {anonymous / 1e9:.2f} GB anonymous, {resident / 1e9:.2f} GB resident",
            flush=True,
        )

    def repeat_killed(self) -> None:
        """Run again, be killed five times, and compare."""
        import zarr

        again, said = self._folder / "killed.zarr", self._folder / "said.txt"
        for stage, share in KILLS:
            self._go(again, KILL_AT=f"{stage}:{share * self._wall[stage]}", STAGES_FILE=os.devnull)
            if again.exists():
                raise SystemExit(f"It was not killed in {stage}:\n{said.read_text()[-2000:]}")
            print(f"  killed in {stage}", flush=True)
        self._go(again, STAGES_FILE=os.devnull)
        notes = [note for note in record(again)["notes"] if "went on" in note]
        a, b = (zarr.open_array(out / "0", mode="r") for out in (self._out, again))
        rows = range(0, self._edge, 1024)
        same = all(np.array_equal(a[row : row + 1024], b[row : row + 1024]) for row in rows)
        same &= record(self._out)["labels"] == record(again)["labels"]
        shutil.rmtree(again)
        again.with_suffix(".json").unlink()
        print(f"  the same labels, scores and classes: {same}. {' '.join(notes)}", flush=True)
        if not same:
            raise SystemExit("Labels of the run that was killed are others.")

    def _go(self, out: Path, **environment: str) -> tuple[int, int]:
        return watched([*self._words, "-o", str(out)], environment, self._folder / "said.txt")


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return found


if __name__ == "__main__":
    sys.exit(child(sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main())
