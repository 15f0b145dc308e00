"""How large a margin proves what no tensor shows: networks whose truth is known are judged.

::

    python benchmarks/structure_margins.py DATA --train FOLDER   # once: some minutes on one core
    python benchmarks/structure_margins.py DATA FOLDER           # the table, by choice and by kind

Small U-Nets of many kinds are trained on crops of ``DATA/nuclei`` for a while, so that their
norms hold the statistics of real pictures; each is drawn with choices of its own (order of the
join, activation, pooling, ...). Then the evidence is asked, which sees the tensors only. The
margins of ``napari_segnet.evidence`` are set on the kinds with an even number and reported on the
others. No network here knows of the pictures that the evidence shows it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.evidence import decide
from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Concatenate,
    Convolution,
    Graph,
    GraphBuilder,
    Identity,
    Pooling,
    Resize,
    TransposedConvolution,
)
from napari_segnet.programs.structure import Candidate
from napari_segnet.progress import run

EDGE = 96
OPEN: Mapping[str, tuple[str, ...]] = {
    "join": ("up-skip", "skip-up"),
    "up_activation": ("none", "relu"),
    "norm_place": ("after-convolution", "after-activation"),
    "activation": ("relu", "leaky-0.01", "leaky-0.1", "leaky-0.2", "elu", "gelu", "silu", "none"),
    "pooling": ("max", "average", "max-3"),
    "resize": ("nearest", "bilinear", "bilinear-aligned"),
    "padding": ("same", "reflect"),
    "dilation": ("1", "2"),
    "epsilon": ("1e-05", "0.001"),
}
"""What leaves no trace, the likeliest first."""
SHARES = {"join": 0.5, "up_activation": 0.3, "norm_place": 0.3, "activation": 0.5, "pooling": 0.4,
          "resize": 0.7, "padding": 0.2, "dilation": 0.12, "epsilon": 0.2}  # fmt: skip
"""How often a network is drawn otherwise than likeliest."""
NORMALIZATIONS = ("unit", "raw", "zscore", "minmax", "half", "imagenet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the shapes show of a network."""

    inputs: int = 1
    widths: tuple[int, ...] = (8, 16, 32)
    convolutions: int = 2
    up: str = "transposed"
    kernel: int = 3

    @property
    def open(self) -> dict[str, tuple[str, ...]]:
        """What leaves no trace in it."""
        left = dict(OPEN)
        if self.up == "transposed":
            del left["resize"]
        else:
            del left["up_activation"]
        return left


KINDS = (
    Kind(),
    Kind(inputs=3, widths=(8, 16, 32)),
    Kind(up="resize"),
    Kind(inputs=3, up="resize", widths=(8, 12, 24)),
    Kind(convolutions=1, widths=(12, 24, 48)),
    Kind(inputs=3, convolutions=1, widths=(8, 16, 32, 48)),
    Kind(up="resize-convolution", widths=(8, 16, 32)),
    Kind(inputs=3, up="resize-convolution", widths=(10, 20, 40)),
    Kind(widths=(8, 16, 24, 32)),
    Kind(inputs=3, widths=(6, 12, 24, 32)),
    Kind(kernel=5, widths=(8, 16)),
    Kind(inputs=3, convolutions=3, widths=(8, 16)),
)


def drawn(kind: Kind, choices: Mapping[str, str]) -> Graph:
    """Return the network of a kind with these choices."""
    draw = GraphBuilder(kind.inputs, 2)
    dilation = int(choices["dilation"])
    fill: Any = "reflect" if choices["padding"] == "reflect" else "zeros"

    def convolution(name: str, x: str, outputs: int, kernel: int, dilation: int = 1) -> str:
        margin = (kernel // 2 * dilation,) * 2
        layer = Convolution(
            outputs=outputs, kernel=(kernel,) * 2, stride=(1, 1), before=margin, after=margin,
            dilation=(dilation,) * 2, fill=fill if kernel > 1 else "zeros",
        )  # fmt: skip
        return draw.add(name, layer, x)

    def block(name: str, x: str, outputs: int) -> str:
        for i in range(kind.convolutions):
            x = convolution(f"{name}.conv{i}", x, outputs, kind.kernel, dilation)
            norm = BatchNorm(epsilon=float(choices["epsilon"]))
            if choices["norm_place"] == "after-convolution":
                x = draw.add(f"{name}.norm{i}", norm, x)
                x = draw.add(f"{name}.act{i}", activation(choices["activation"]), x)
            else:
                x = draw.add(f"{name}.act{i}", activation(choices["activation"]), x)
                x = draw.add(f"{name}.norm{i}", norm, x)
        return x

    *levels, bottom = kind.widths
    x, skips = draw.image, []
    for i, width in enumerate(levels):
        x = block(f"down{i}", x, width)
        skips.append(x)
        x = draw.add(f"pool{i}", pooling(choices["pooling"]), x)
    x = block("bottom", x, bottom)
    for i, width in reversed(list(enumerate(levels))):
        if kind.up == "transposed":
            zeros, ones, twos = (0, 0), (1, 1), (2, 2)
            layer = TransposedConvolution(
                outputs=width, kernel=twos, stride=twos, before=zeros, after=zeros, extra=zeros,
                dilation=ones,
            )  # fmt: skip
            x = draw.add(f"up{i}", layer, x)
            if choices["up_activation"] == "relu":
                x = draw.add(f"up{i}.act", Activation(function="relu"), x)
        else:
            x = draw.add(f"up{i}.resize", resize(choices["resize"]), x)
            if kind.up == "resize-convolution":
                x = convolution(f"up{i}", x, width, 3)
        parts = (x, skips[i]) if choices["join"] == "up-skip" else (skips[i], x)
        x = block(f"dec{i}", draw.add(f"join{i}", Concatenate(), *parts), width)
    return draw.graph(convolution("out", x, 1, 1))


def activation(word: str) -> Any:
    """Return the operation of a word."""
    if word == "none":
        return Identity()
    if word.startswith("leaky-"):
        return Activation(function="leaky-relu", slope=float(word.removeprefix("leaky-")))
    return Activation(function=word, slope=1.0)  # type: ignore[arg-type]


def pooling(word: str) -> Pooling:
    """Return the operation of a word."""
    edge, padding = (3, 1) if word == "max-3" else (2, 0)
    return Pooling(
        kind="average" if word == "average" else "max", kernel=(edge,) * 2, stride=(2, 2),
        padding=(padding,) * 2, dilation=(1, 1),
    )  # fmt: skip


def resize(word: str) -> Resize:
    """Return the operation of a word."""
    grid: Any = "corners" if word == "bilinear-aligned" else "half-pixel"
    return Resize(factor=(2, 2), mode="nearest" if word == "nearest" else "linear", grid=grid)


def truth_of(number: int) -> tuple[Kind, dict[str, str], str]:
    """Return kind, choices and normalisation of a network of the set."""
    rng = np.random.default_rng([2026, number])
    kind = KINDS[number % len(KINDS)]
    taken = {}
    for name, values in OPEN.items():
        other = rng.uniform() < SHARES[name]
        taken[name] = str(rng.choice(values[1:])) if other else values[0]
    return kind, taken, str(rng.choice(NORMALIZATIONS, p=(0.4, 0.12, 0.12, 0.12, 0.12, 0.12)))


def normalized(pictures: np.ndarray, how: str) -> np.ndarray:
    """Return pictures ``(n, c, y, x)`` uint8 as a network is shown them, float32."""
    x = pictures.astype(np.float32)
    if how == "raw":
        return x
    if how == "unit":
        return x / 255
    axes = (1, 2, 3)
    if how == "zscore":
        return (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-6)
    if how == "minmax":
        low, high = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
        return (x - low) / np.maximum(high - low, 1)
    if how == "half":
        return (x / 255 - 0.5) / 0.5
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    if x.shape[1] == 1:
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    return ((x / 255 - mean[:, None, None]) / std[:, None, None]).astype(np.float32)


def crops(data: Path, kept: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return crops ``(n, 3, y, x)`` uint8 of training images and where nuclei are ``(n, y, x)``."""
    if kept.exists():
        with np.load(kept) as file:
            return file["pictures"], file["labels"]
    import csv

    from PIL import Image as Picture

    rng = np.random.default_rng(0)
    rows = [r for r in csv.DictReader((data / "nuclei/index.csv").open()) if r["split"] == "train"]
    pictures, labels = [], []
    for kind, count in (("fluorescence", 50), ("histology", 50)):
        of = [row for row in rows if row["kind"] == kind]
        for row in rng.choice(len(of), count, replace=False):
            name = of[row]["name"]
            image = next((data / "nuclei/images").glob(f"{name}.*"))
            label = next((data / "nuclei/labels").glob(f"{name}.*"))
            pixels = np.asarray(Picture.open(image).convert("RGB"))
            truth = np.asarray(Picture.open(label)) > 0
            for _ in range(2):
                y, x = (int(rng.integers(0, n - EDGE + 1)) for n in truth.shape)
                box = np.s_[y : y + EDGE, x : x + EDGE]
                pictures.append(pixels[box].transpose(2, 0, 1))
                labels.append(truth[box])
    found = np.stack(pictures), np.stack(labels)
    np.savez_compressed(kept, pictures=found[0], labels=found[1])
    return found


def train(number: int, data: Path, folder: Path, steps: int) -> None:
    """Train one network of the set and keep its state dict, and nothing else of it."""
    import torch
    from torch.nn import functional

    from napari_segnet.graph.build import build

    torch.manual_seed(number)
    kind, taken, how = truth_of(number)
    pictures, labels = crops(data, folder / "crops.npz")
    rng = np.random.default_rng([7, number])
    half = len(pictures) // 2  # fluorescence first
    domain = slice(0, half) if rng.uniform() < 0.5 else slice(half, None)
    pictures, labels = pictures[domain], labels[domain]
    if kind.inputs == 1:
        pictures = pictures.mean(1, keepdims=True).astype(np.uint8)
    module = build(drawn(kind, taken)).train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    loss = torch.zeros(())
    for _ in range(steps):
        chosen = rng.choice(len(pictures), 6, replace=False)
        x = torch.from_numpy(normalized(pictures[chosen], how))
        y = torch.from_numpy(labels[chosen][:, None].astype(np.float32))
        loss = functional.binary_cross_entropy_with_logits(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # A real training ends slowly, so that the statistics are those of the weights that are kept.
    with torch.no_grad():
        for _ in range(25):
            chosen = rng.choice(len(pictures), 6, replace=False)
            module(torch.from_numpy(normalized(pictures[chosen], how)))
    torch.save(module.state_dict(), folder / f"{number:03}.pth")
    truth = {"truth": taken, "normalization": how, "loss": round(loss.item(), 4)}
    (folder / f"{number:03}.json").write_text(json.dumps(truth))


class Space:
    """All networks of a kind; see ``napari_segnet.programs.structure``."""

    layouts = ("u",)

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network with these choices."""
        open_ = self.kind.open
        taken = {name: values[0] for name, values in OPEN.items()} | dict(choices)
        prior = 0.0
        for name, values in open_.items():
            usual = taken[name] == values[0]
            prior += math.log(0.8 if usual else 0.2 / (len(values) - 1))
        return Candidate(
            graph=drawn(self.kind, taken),
            choices={"layout": layout, **{name: taken[name] for name in open_}},
            open={"layout": (layout,), **open_},
            prior=prior,
            why={},
        )

    def first(self, n: int) -> tuple[Candidate, ...]:
        """Return the likeliest one."""
        return (self.candidate("u", {}),)


def judge(number: int, folder: Path) -> list[dict[str, Any]]:
    """Return, for each open choice of a network, truth and verdict."""
    import torch

    kind, truth, how = truth_of(number)
    tensors = torch.load(folder / f"{number:03}.pth")
    begun = time.perf_counter()
    decision = run(decide(Space(kind), tensors))
    seconds = time.perf_counter() - begun
    rows = []
    for name, verdict in decision.verdicts.items():
        # What the truth itself would be told, if it were the only candidate left.
        rows.append(
            {
                "number": number,
                "kind": number % len(KINDS),
                "name": name,
                "truth": truth[name],
                "taken": verdict.value,
                "decided": verdict.decided,
                "margin": round(verdict.margin, 3),
                "against": verdict.against,
                "seconds": round(seconds, 2),
                "input": next(iter(decision.inputs)),
                "normalized": how,
                "typical": round(decision.fit.typical, 4) if decision.fit else None,
            }
        )
    return rows


def table(rows: list[dict[str, Any]], kinds: str) -> None:
    """Print how often each choice was decided, right and wrong."""
    print(f"{kinds:<18}{'networks':>9}{'decided':>9}{'wrong':>7}{'assumed right':>15}{'wrong':>7}")
    for name in OPEN:
        of = [row for row in rows if row["name"] == name]
        right = [row["taken"] == row["truth"] for row in of]
        sure = [row["decided"] for row in of]
        both = list(zip(right, sure, strict=True))
        counts = (
            sum(sure), both.count((False, True)), both.count((True, False)),
            both.count((False, False)),
        )  # fmt: skip
        print(f"{name:<18}{len(of):>9}{counts[0]:>9}{counts[1]:>7}{counts[2]:>15}{counts[3]:>7}")


def main() -> int:
    """Train or judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--steps", type=int, default=45)
    own = parser.parse_args()
    own.folder.mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(1)
    if own.train:
        for number in range(own.first, own.count):
            if not (own.folder / f"{number:03}.json").exists():
                begun = time.perf_counter()
                train(number, own.data, own.folder, own.steps)
                print(number, f"{time.perf_counter() - begun:.1f} s", flush=True)
        return 0
    rows = []
    for number in range(own.first, own.count):
        rows += judge(number, own.folder)
        (own.folder / "verdicts.json").write_text(json.dumps(rows, indent=1))
    table([row for row in rows if not row["kind"] % 2], "calibrated on")
    table([row for row in rows if row["kind"] % 2], "reported")
    wrong = [row for row in rows if row["decided"] and row["taken"] != row["truth"]]
    for row in wrong:
        print("WRONG", row)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
