"""Small networks whose recipe is known, for ``find.py``: trained, kept, and never told apart.

Each is trained for some seconds on crops of one kind of images, shown at a scale, in an order of
colours, with or without light and dark exchanged, and normalised in a way that its file does not
say. What is kept is a file with layers and weights, and beside it a JSON with the recipe.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from structure_margins import KINDS, OPEN, drawn

if TYPE_CHECKING:
    import torch

    from napari_segnet.graph import Graph

Pixels = npt.NDArray[Any]

CROP_PX = 64
BATCH = 6
KEPT_BACK = 4
"""Every fourth training image is kept back for tuning; the val split is for the report."""
NORMALIZE = {
    "divide-255": 0.26, "half": 0.12, "z-score": 0.16, "min-max": 0.12, "percentile": 0.1,
    "none": 0.12, "imagenet": 0.12,
}  # fmt: skip
"""Value of the setting ``normalize`` -> how often."""
SCALES = (0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83)
SHARES = (0.08, 0.14, 0.16, 0.24, 0.16, 0.14, 0.08)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """How a network was shown its images."""

    number: int
    kind: str
    channels: int
    normalize: str
    scale: float
    bgr: bool
    invert: bool
    steps: int


def recipe_of(number: int) -> Recipe:
    """Draw the recipe of a network."""
    rng = np.random.default_rng([16, number])
    kind = str(rng.choice(("fluorescence", "histology"), p=(0.6, 0.4)))
    colour = rng.uniform() < (0.75 if kind == "histology" else 0.1)
    names, shares = zip(*NORMALIZE.items(), strict=True)
    how = str(rng.choice(names, p=shares))
    if how == "imagenet" and not colour:
        how = "divide-255"
    return Recipe(
        number=number,
        kind=kind,
        channels=3 if colour else 1,
        normalize=how,
        scale=float(rng.choice(SCALES, p=SHARES)),
        bgr=bool(colour and rng.uniform() < 0.35),
        invert=bool(rng.uniform() < 0.25),
        steps=int(rng.integers(60, 110)),
    )


def rows_of(data: Path, kind: str, part: str) -> list[dict[str, str]]:
    """Return images of a kind: ``train``, ``tune`` (kept back of these) or ``val``."""
    with (data / "nuclei/index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == kind]
    if part == "val":
        return [row for row in rows if row["split"] == "val"]
    rows = [row for row in rows if row["split"] == "train"]
    back = rows[::KEPT_BACK]
    return back if part == "tune" else [row for row in rows if row not in back]


def pixels_of(data: Path, name: str) -> Pixels:
    """Return ``(y, x)`` or ``(y, x, 3)`` uint8."""
    from PIL import Image as Picture

    picture = Picture.open(data / "nuclei/images" / f"{name}.png")
    return np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))


def shown(pixels: Pixels, recipe: Recipe) -> Pixels:
    """Return ``(c, y, x)`` float32: a whole image as the training of a network shows it.

    Written anew for this benchmark, from the recipe's words alone.
    """
    if recipe.channels == 1:
        grey = pixels if pixels.ndim == 2 else pixels @ np.array((0.299, 0.587, 0.114))
        x = np.asarray(grey, np.float32)[None]
    else:
        colours = np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels
        x = colours.astype(np.float32).transpose(2, 0, 1)
        x = x[::-1].copy() if recipe.bgr else x
    x = 255 - x if recipe.invert else x
    x = normalized(x, recipe.normalize)
    return resized(x, recipe.scale)


def normalized(x: Pixels, how: str) -> Pixels:
    """Normalise ``(c, y, x)``, each channel for itself."""
    axes = (1, 2)
    if how == "none":
        return x
    if how == "z-score":
        return (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-6)
    if how in ("min-max", "percentile"):
        ends = (0, 100) if how == "min-max" else (1, 99.8)
        low, high = (np.percentile(x, q, axes, keepdims=True) for q in ends)
        return np.asarray((np.clip(x, low, high) - low) / np.maximum(high - low, 1), np.float32)
    unit = x / 255
    if how == "half":
        return (unit - 0.5) / 0.5
    if how == "imagenet":
        mean, std = (np.array(n, np.float32)[:, None, None] for n in (MEAN, STD))
        return np.asarray((unit - mean) / std, np.float32)
    return unit


def resized(x: Pixels, scale: float) -> Pixels:
    """Resize ``(c, y, x)`` as Pillow does it: what most loaders of images use."""
    from PIL import Image as Picture

    if scale == 1:
        return x
    size = tuple(max(1, round(n / scale)) for n in (x.shape[2], x.shape[1]))
    planes = [Picture.fromarray(p).resize(size, Picture.Resampling.BILINEAR) for p in x]
    return np.stack([np.asarray(p) for p in planes])


def train(number: int, data: Path, folder: Path) -> None:
    """Train one network and keep it."""
    import torch

    from napari_segnet.checkpoint import Output, Store
    from napari_segnet.families.graph import StoredGraph, describe_graph

    recipe = recipe_of(number)
    torch.manual_seed(number)
    torch.set_num_threads(1)
    rng = np.random.default_rng([17, number])
    graph, taken = _drawn_graph(number, recipe, rng)
    module, loss = _learned(graph, _pairs(data, recipe, rng), recipe, rng)
    path = folder / f"{number:03}.safetensors"
    path.unlink(missing_ok=True)
    end = (Output(role="foreground", channels=1, activation="sigmoid"),)
    store = Store(container="safetensors")
    described = describe_graph(path=path, graph=graph, store=store, outputs=end)
    StoredGraph().save(module.eval(), described, path)
    truth_of = {**asdict(recipe), "loss": round(loss, 4), "taken": taken}
    (folder / f"{number:03}.json").write_text(json.dumps(truth_of))


def _drawn_graph(
    number: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[Graph, dict[str, str]]:
    """Return a U-Net of the grammar that takes the recipe's channels, and its open choices."""
    fit = [k for k in KINDS if k.inputs == recipe.channels]
    taken = {name: values[0] for name, values in OPEN.items()}
    if rng.uniform() < 0.25:
        taken["norm_place"] = "after-activation"
    if rng.uniform() < 0.25:
        taken["activation"] = str(rng.choice(("leaky-0.01", "elu", "gelu", "silu")))
    return drawn(fit[number % len(fit)], taken), taken


def _pairs(data: Path, recipe: Recipe, rng: np.random.Generator) -> list[tuple[Pixels, Pixels]]:
    """Return images ``(c, y, x)`` as the recipe shows them, and their masks ``(y, x)``."""
    from PIL import Image as Picture

    rows = rows_of(data, recipe.kind, "train")
    pairs = []
    for place in rng.choice(len(rows), min(48, len(rows)), replace=False):
        name = rows[place]["name"]
        x = shown(pixels_of(data, name), recipe)
        truth = Picture.open(next((data / "nuclei/labels").glob(f"{name}.*")))
        small = Picture.fromarray((np.asarray(truth) > 0).astype(np.uint8) * 255)
        y = np.asarray(small.resize((x.shape[2], x.shape[1]))) > 127
        if min(y.shape) < CROP_PX:
            ends = [(0, max(0, CROP_PX - n)) for n in y.shape]
            x, y = np.pad(x, [(0, 0), *ends], "reflect"), np.pad(y, ends, "reflect")
        pairs.append((x, y))
    return pairs


def _batch(
    pairs: list[tuple[Pixels, Pixels]], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw crops of images and masks, some of them mirrored."""
    import torch

    images, masks = [], []
    for _ in range(BATCH):
        x, y = pairs[int(rng.integers(len(pairs)))]
        top, left = (int(rng.integers(0, n - CROP_PX + 1)) for n in y.shape)
        box = np.s_[top : top + CROP_PX, left : left + CROP_PX]
        flip = slice(None, None, -1 if rng.uniform() < 0.5 else 1)
        images.append(x[(slice(None), *box)][..., flip])
        masks.append(y[box][..., flip])
    made = np.ascontiguousarray(np.stack(images), np.float32)
    return torch.from_numpy(made), torch.from_numpy(np.stack(masks)[:, None].astype(np.float32))


def _learned(
    graph: Graph, pairs: list[tuple[Pixels, Pixels]], recipe: Recipe, rng: np.random.Generator
) -> tuple[torch.nn.Module, float]:
    """Return the trained network, and its last loss."""
    import torch
    from torch.nn import functional

    from napari_segnet.graph.build import build

    module = build(graph).train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    loss = torch.zeros(())
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / recipe.steps) + 1e-5
        x, y = _batch(pairs, rng)
        loss = functional.binary_cross_entropy_with_logits(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # A real training ends slowly, so that the statistics are those of the weights that are kept.
    with torch.no_grad():
        for _ in range(30):
            module(_batch(pairs, rng)[0])
    return module, float(loss)
