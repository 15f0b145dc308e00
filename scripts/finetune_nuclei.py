"""Train a built-in network further: ``nuclei`` for other laboratories, ``nuclei-dark`` from it.

::

    python scripts/finetune_nuclei.py DATA [--network NAME|FILE] [--out FILE] [--minutes M]
                                      [--dark KIND ...] [--dark-share X] [--mix-colours]
                                      [--touching X] [--dark-light X] [--hold-out N] [--seed N]
                                      [--resume]

``nuclei`` as it is built in was made with ``--minutes 62 --batch-size 8 --dark brightfield
--dark-share 0.06`` (7,581 steps) from the network of ``train_nuclei.py``. CONTRIBUTING.md has the
commands of ``nuclei-dark``: it was trained three times, and averaged with the one before it twice.

DATA is the folder of ``train_nuclei.py``. Beside the fluorescence images of the ``train`` split,
the network is shown the histology and bright-field images of that split, inverted (``--dark``
names which of them). These things differ from ``train_nuclei.py``:

* Images of the same size, brightness and size of nuclei are one group, and a group is drawn in
  proportion to the square root of its number of images; a fifth of all crops are inverted ones
  (``--dark-share``).
* Sizes change by half to twice, and light by what tissue and other microscopes do to it: haze,
  blurred nuclei above or below the plane, an uneven background, saturation, coarse pixels, shot
  noise.
* With ``--mix-colours`` each crop of dark nuclei is another mixture of red, green and blue: stains
  differ between laboratories. With ``--touching`` pixels where two nuclei nearly touch count more
  in the loss (Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28, weigh them as well).
* The learning rate is that of a network that has learned, and falls to zero with the minutes.

At the end the statistics of the norms become those of unchanged crops (of fluorescence, or of dark
nuclei where most crops are such), and weights take up the difference: which images are unlike the
training is told by them. A network of mostly dark nuclei inverts images by itself.

The ``val`` split is never seen, nor the ``train`` images that are held out (one in ten;
``--hold-out``). The state is saved every hundred steps; a run that was stopped goes on with
``--resume``.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage.io import imread

from napari_segnet.builtin import weights_path
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.crops import Augmentation, Crop, Crops
from napari_segnet.dataset import Sample, held_out
from napari_segnet.engines.torch import best_device, identify
from napari_segnet.engines.torch.device import on_threads
from napari_segnet.train import TrainSettings
from napari_segnet.train._batches import unchanged
from napari_segnet.train._begin import start
from napari_segnet.train._learner import Learner

DARK_SHARE = 0.2
"""Share of the crops that are inverted histology and bright-field."""
DARK = ("histology", "brightfield")
DATA = "BBBC038v1 (Data Science Bowl 2018), corrected masks, train split"
SAVE_EVERY = 100
COLOURS = (1.0, 0.7, 0.4)
"""Of the Dirichlet distribution of the shares of red, green and blue."""
REACH_PX = 2
"""Two nuclei nearly touch where both are within so many pixels along either axis."""
UNCHANGED = 1200
"""Crops of which the norms remember the statistics."""
CHANGES = Augmentation(
    on_objects=0.75,
    flip=True,
    rotate=True,
    scale_range=(0.6, 2.2),
    gamma=2.0,
    gain=1.3,
    offset=0.1,
    noise=0.1,
    blur_px=2.0,
)
LARGE_PX, LARGE_SCALES = 28.0, (0.4, 1.3)
"""Images whose median nucleus is larger than this are made smaller rather than larger: a crop
should hold more than a part of one."""

Pixels = npt.NDArray[np.float32]


def samples(root: Path, kinds: tuple[str, ...], one_in: int = 10) -> tuple[Sample, ...]:
    """Return the images of some kinds of the ``train`` split; about one in ``one_in`` is not."""
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        Sample(
            image=_file(root / "images", row["name"]),
            labels=_file(root / "labels", row["name"]),
            source=row["name"],
        )
        for row in rows
        if row["split"] == "train"
        and row["kind"] in kinds
        and held_out(row["name"], one_in) == "train"
    )


def _file(folder: Path, stem: str) -> Path:
    (path,) = folder.glob(f"{stem}.*")
    return path


class Source:
    """Crops of some samples, drawn by groups that look alike.

    Parameters
    ----------
    network : Checkpoint
        Says how pixels are prepared and what it should answer.
    chosen : tuple of Sample
        What to draw from.
    crop_px : int
        Edge of a crop.
    invert : str
        As in ``PredictSettings``.
    mix : bool
        Whether each crop is another mixture of red, green and blue.
    touching : float
        By how much more pixels count where two nuclei nearly touch.
    light : float
        Share of the crops that ``other_light`` may change.
    """

    def __init__(
        self,
        network: Checkpoint,
        chosen: tuple[Sample, ...],
        crop_px: int,
        invert: str,
        mix: bool = False,
        touching: float = 0.0,
        light: float = 1.0,
    ) -> None:
        self._mix, self._touching, self._light = mix, touching, light
        network = dataclasses.replace(network, channels=3) if mix else network
        looks = [_look(sample) for sample in chosen]
        self._crops: list[Crops] = []
        groups: defaultdict[tuple[str, int, int], list[tuple[int, int]]] = defaultdict(list)
        for large in (False, True):
            of_size = [i for i, look in enumerate(looks) if (look[1] > LARGE_PX) is large]
            changes = dataclasses.replace(CHANGES, scale_range=LARGE_SCALES) if large else CHANGES
            part = tuple(chosen[i] for i in of_size)
            crops = Crops(part, network, (crop_px, crop_px), changes, "auto", invert)
            if part and any(crops.check()):
                raise ValueError("A training image cannot be read.")
            self._crops.append(crops)
            for index, i in enumerate(of_size):
                series, diameter, ground = looks[i]
                key = (series, round(2 * np.log2(diameter)), round(np.log2(ground + 1) / 2))
                groups[key].append((int(large), index))
        self.groups = [groups[key] for key in sorted(groups)]
        share = np.sqrt([len(members) for members in self.groups])
        self._shares = share / share.sum()

    def draw(self, rng: np.random.Generator) -> Crop:
        """Return a crop of a random image of a random group."""
        members = self.groups[int(rng.choice(len(self.groups), p=self._shares))]
        large, index = members[int(rng.integers(len(members)))]
        crop = self._crops[large].draw(rng, sample=index)
        pixels = mixed(crop.pixels, rng) if self._mix else crop.pixels
        weight = 1 + self._touching * nearly_touching(crop.labels)
        if self._light >= 1 or rng.random() < self._light:
            pixels = other_light(pixels, rng)
        return dataclasses.replace(crop, pixels=pixels, trusted=crop.trusted * weight)


def _look(sample: Sample) -> tuple[str, float, float]:
    """Return the series of an image, its median diameter in px, and the grey of its background."""
    pixels = np.asarray(imread(sample.image), np.float32)
    grey = pixels[..., :3].mean(-1) if pixels.ndim == 3 else pixels
    labels = np.asarray(imread(sample.labels))
    areas = np.bincount(labels.ravel())[1:]
    diameter = 2 * np.sqrt(np.median(areas[areas > 0]) / np.pi) if areas.any() else 1.0
    return str(pixels.shape), float(diameter), float(np.median(grey[labels == 0]))


def mixed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a random mixture ``(1, y, x)`` of red, green and blue ``(3, y, x)``."""
    shares = rng.dirichlet(COLOURS).astype(np.float32)
    return np.tensordot(shares, pixels, 1)[np.newaxis]


def nearly_touching(labels: npt.NDArray[np.int32]) -> Pixels:
    """Return ``(y, x)``: 1 where two objects of ``labels`` are within ``REACH_PX``, else 0."""
    size, ground = 2 * REACH_PX + 1, np.iinfo(labels.dtype).max
    highest = ndimage.maximum_filter(labels, size)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, ground), size)
    return ((highest > 0) & (lowest != highest)).astype(np.float32)


def other_light(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Change a crop ``(c, y, x)`` by what other microscopes and thick samples do to the light.

    The 1st and 99.8th percentiles stay where they are, as those of a whole image would.
    """
    x = pixels
    if rng.random() < 0.25:  # out-of-focus light of everything around
        x = x + rng.uniform(0.2, 1.0) * _blurred(x, rng.uniform(6, 20))
    if rng.random() < 0.2:  # nuclei above or below the plane
        other = np.roll(x[:, ::-1, ::-1], tuple(rng.integers(0, x.shape[1], 2)), (1, 2))
        x = np.maximum(x, rng.uniform(0.3, 0.8) * _blurred(other, rng.uniform(2, 6)))
    if rng.random() < 0.3:  # uneven background or illumination
        field = _smooth_field(x.shape[1:], rng)
        if rng.random() < 0.5:
            x = x + rng.uniform(0.1, 0.5) * field
        else:
            x = x * (1 - rng.uniform(0.2, 0.7) * field)
    if rng.random() < 0.1:  # coarse pixels
        by = rng.uniform(1.5, 2.5)
        small = ndimage.zoom(x, (1, 1 / by, 1 / by), order=1)
        back = [a / b for a, b in zip(x.shape, small.shape, strict=True)]
        x = ndimage.zoom(small, back, order=1)
    if x is not pixels:
        low, high = np.percentile(x, (1, 99.8))
        least, most = np.percentile(pixels, (1, 99.8))
        x = (x - low) * min((most - least) / max(high - low, 1e-3), 1.5) + least
    if rng.random() < 0.15:  # shot noise
        photons = np.exp(rng.uniform(np.log(15), np.log(200)))
        x = (rng.poisson(np.clip(x, 0, None) * photons + 1) - 1) / photons
    if rng.random() < 0.1:  # saturation
        x = np.minimum(x, np.percentile(x, rng.uniform(85, 99)))
        x = x / max(float(np.percentile(x, 99.8)), 0.2)
    return np.ascontiguousarray(x, np.float32)


def _blurred(x: Pixels, sigma: float) -> Pixels:
    return np.stack([ndimage.gaussian_filter(plane, sigma, truncate=2.5) for plane in x])


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Return a smooth random field ``(1, y, x)`` from 0 to 1."""
    knots = rng.random((3, 3)).astype(np.float32)
    field = ndimage.zoom(knots, [n / 3 for n in shape], order=1)
    field = field - field.min()
    return (field / max(float(field.max()), 1e-6))[None]


def main() -> None:
    """Train, print one line every hundred steps, and write the running average."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--out", type=Path, default=Path("runs/nuclei.safetensors"))
    parser.add_argument("--minutes", type=float, default=60, help="of steps; the rate falls to 0")
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.0015)
    parser.add_argument("--dark", nargs="+", choices=DARK, default=DARK)
    parser.add_argument("--dark-share", type=float, default=DARK_SHARE)
    parser.add_argument("--mix-colours", action="store_true")
    parser.add_argument("--touching", type=float, default=0.0, help="0: count as all others")
    parser.add_argument("--dark-light", type=float, default=1.0, help="share of other light")
    parser.add_argument("--hold-out", type=int, default=10, help="one image in so many")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other crops")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    network = identify(weights_path(args.network))
    settings = TrainSettings(
        minutes=args.minutes,
        steps_per_epoch=SAVE_EVERY,
        batch_size=args.batch_size,
        crop_px=args.crop_px,
        learning_rate=args.learning_rate,
        threads=1,
        anchor=0,
        mirror=False,
        seed=args.seed,
        **{name: getattr(CHANGES, name) for name in CHANGES.__dataclass_fields__},
    )
    torch.manual_seed(settings.seed)
    begun = start(network, settings)
    learner = Learner(begun, settings, best_device(args.device))
    state = args.out.with_name(args.out.name + ".state")
    epoch = learner.restore(state) if args.resume and state.exists() else 0
    source = partial(Source, network, crop_px=args.crop_px, touching=args.touching)
    bright = source(samples(args.data, ("fluorescence",), args.hold_out), invert="auto")
    dark = source(
        samples(args.data, tuple(args.dark), args.hold_out),
        invert="yes",
        mix=args.mix_colours,
        light=args.dark_light,
    )
    print(f"{len(bright.groups)} bright groups, {len(dark.groups)} dark", flush=True)
    whole = 60 * args.minutes
    while learner.seconds < whole:
        losses = []
        since = time.monotonic()
        for batch in batches(bright, dark, args.dark_share, settings, epoch):
            losses.append(learner.step(batch, min(1.0, learner.seconds / whole)))
            now = time.monotonic()
            learner.seconds, since = learner.seconds + now - since, now
            if learner.seconds >= whole:
                break
        epoch += 1
        learner.save_state(state, epoch)
        print(
            f"{(epoch - 1) * SAVE_EVERY + len(losses)} steps  loss {np.mean(losses):.4f}  "
            f"{learner.seconds / 60:.1f} min",
            flush=True,
        )
    # Which images the network is for.
    kinds, invert = (args.dark, "yes") if args.dark_share > 0.5 else (("fluorescence",), "auto")
    size = args.crop_px
    shown = Crops(
        samples(args.data, tuple(kinds), args.hold_out),
        network,
        (size, size),
        Augmentation(),
        "auto",
        invert,
    )
    if any(shown.check()):
        raise ValueError("A training image cannot be read.")
    for _ in learner.restate(unchanged(shown, settings, UNCHANGED // settings.batch_size)):
        pass
    card = {name: value for name, value in network.card.items() if name not in ("scores", "note")}
    card["name"] = args.out.stem
    card["data"] = f"{DATA}: fluorescence; inverted {' and '.join(args.dark)}"
    if invert == "yes":
        card["title"], card["invert"] = "Dark nuclei (stained tissue, bright field)", "yes"
    card["parent"] = {"name": network.path.name, "sha256": network.sha256}
    card["training"] = {"settings": dataclasses.asdict(settings)}
    begun.family.save(learner.result(), dataclasses.replace(network, card=card), args.out)


def batches(
    bright: Source, dark: Source, dark_share: float, settings: TrainSettings, epoch: int
) -> Iterator[list[Crop]]:
    """Yield the batches of one epoch; a thread draws the next one meanwhile."""

    def drawn(step: int) -> list[Crop]:
        rng = np.random.default_rng((settings.seed, epoch, step))
        with on_threads(1):
            return [
                (dark if rng.random() < dark_share else bright).draw(rng)
                for _ in range(settings.batch_size)
            ]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(drawn, 0)
        for step in range(1, settings.steps_per_epoch + 1):
            batch = coming.result()
            if step < settings.steps_per_epoch:
                coming = pool.submit(drawn, step)
            yield batch


if __name__ == "__main__":
    sys.exit(main())
