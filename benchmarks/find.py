"""How well "Find settings" finds what a network was trained with, where that is known.

::

    python benchmarks/find.py DATA FOLDER --train 50     # networks whose recipe is known; an hour
    python benchmarks/find.py DATA FOLDER                # judge them on images kept back; minutes
    python benchmarks/find.py DATA FOLDER --images 4     # each with three more images of its kind
    python benchmarks/find.py DATA FOLDER --table        # the figures, from what was judged so far

``DATA/nuclei`` is BBBC038v1 with an index of kinds and splits, see ``_find_networks``. Networks
with an odd number are for tuning and are shown images kept back of the train split; those with an
even number are for the report and are shown images of the val split. All that is done goes on
where it stopped. "Unlike" is measured beside other kinds of microscopy and photographs of
skimage.data.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _find_networks import Pixels, Recipe, pixels_of, recipe_of, rows_of, train

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.find import Found, Way, likeness
from napari_segnet.find._shown import Tile, part_of
from napari_segnet.image import Image
from napari_segnet.plan import PredictSettings, settle
from napari_segnet.progress import run
from napari_segnet.recognition import identify

IMAGES = 2
OTHERS = 4
"""Images of each other kind, for "unlike"."""
PHOTOS = ("camera", "astronaut", "coffee", "chelsea", "coins", "page")
EQUAL = 0.1
"""Of the standard deviation of the input: below it normalisations are equal in effect."""
OCTAVE = 0.51
"""Half of one, and rounding: within √2."""


def image_of(pixels: Pixels) -> Image:
    """Return pixels as an image."""
    return Image(data=pixels, axes="yx" if pixels.ndim == 2 else "yxc", rgb=pixels.ndim == 3)


def opened(folder: Path, number: int) -> Checkpoint:
    """Return a network as if nothing were known of how its images were prepared."""
    return identify(folder / f"{number:03}.safetensors")


def true_way(recipe: Recipe, image: Image) -> Way:
    """Return how a network was taught."""
    colour = recipe.channels == 3 and image.rgb
    return Way(
        normalize=recipe.normalize,
        channels=("2,1,0" if recipe.bgr else "0,1,2") if colour else "auto",
        invert="yes" if recipe.invert else "no",
        scale=recipe.scale,
    )


def apart(recipe: Recipe, image: Image, found: Way, truth: Way) -> float:
    """Return how far the input by the normalisation found is from the true one, in deviations."""
    part = part_of(image, recipe.channels, 2)
    tiles = [Tile(0, 0, *(min(256, n) for n in part.shape))]
    shown = [
        part.read(replace(truth, scale=1.0, normalize=how), tiles, 256)
        for how in (truth.normalize, found.normalize)
    ]
    return float(np.sqrt(np.mean((shown[0] - shown[1]) ** 2)) / max(shown[0].std(), 1e-9))


def judged(recipe: Recipe, name: str, image: Image, found: Found) -> dict[str, Any]:
    """Return what was found beside the truth."""
    truth = true_way(recipe, image)
    scales = [abs(math.log2(one.way.scale / recipe.scale)) for one in found.ranked]
    hows = [one.way.normalize for one in found.ranked]
    return {
        "number": recipe.number, "image": name, "kind": recipe.kind, "truth": recipe.normalize,
        "how": found.way.normalize, "apart": round(apart(recipe, image, found.way, truth), 3),
        "how_among": recipe.normalize in dict.fromkeys(hows), "scale": found.way.scale,
        "octaves": round(scales[0], 3), "octaves_three": round(min(_first(found, recipe)), 3),
        "invert": found.way.invert == truth.invert,
        "colour": truth.channels == "auto" or found.way.channels == truth.channels,
        "coloured": truth.channels != "auto", "margin": round(found.margin, 4),
    }  # fmt: skip


def _first(found: Found, recipe: Recipe) -> list[float]:
    """Return how far the first three scales are from the true one, in octaves."""
    scales = list(dict.fromkeys(one.way.scale for one in found.ranked))[:3]
    return [abs(math.log2(scale / recipe.scale)) for scale in scales]


def likenesses(
    data: Path, checkpoint: Checkpoint, recipe: Recipe, own: str
) -> list[dict[str, Any]]:
    """Return scores of images of the network's own kind and of others, shown as it was taught."""
    import skimage.data

    rng = np.random.default_rng([18, recipe.number])
    items: list[tuple[str, Pixels]] = []
    for kind in ("fluorescence", "histology", "brightfield"):
        rows = rows_of(data, kind, own)
        for place in rng.choice(len(rows), min(OTHERS, len(rows)), replace=False):
            items.append((kind, pixels_of(data, rows[place]["name"])))
    items += [("photograph", getattr(skimage.data, name)()) for name in PHOTOS]
    found = []
    for kind, pixels in items:
        image = image_of(pixels)
        like = run(likeness(checkpoint, image, true_way(recipe, image)))
        assert like is not None
        found.append({"kind": kind, "score": like.score, "limit": like.limit})
    return found


def judge(number: int, data: Path, folder: Path, images: int) -> None:
    """Judge one network and keep what came of it; each image is shown with others."""
    recipe, checkpoint = recipe_of(number), opened(folder, number)
    own = "val" if number % 2 == 0 else "tune"
    rows, found = rows_of(data, recipe.kind, own), []
    rng = np.random.default_rng([19, number])
    wish = PredictSettings(normalize="find", channels="find", invert="find", scale="find")
    for place in rng.choice(len(rows), IMAGES, replace=False):
        name = rows[place]["name"]
        image = image_of(pixels_of(data, name))
        beside = rng.permutation([n for n in range(len(rows)) if n != place])[: images - 1]
        others = [image_of(pixels_of(data, rows[n]["name"])) for n in beside]
        settled = run(settle(checkpoint, image, wish, others))
        assert settled.found is not None
        found.append(judged(recipe, name, image, settled.found))
        print(found[-1], flush=True)
    content = {"found": found, "like": likenesses(data, checkpoint, recipe, own)}
    (folder / f"{number:03}.judged.json").write_text(json.dumps(content))


def auroc(unlike: list[float], like: list[float]) -> float:
    """Return how often one that is unlike has the higher score."""
    pairs = np.subtract.outer(unlike, like)
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def table(folder: Path) -> str:
    """Return the figures of both halves."""
    lines = []
    for half, odd in (("tuning", 1), ("report", 0)):
        paths = sorted(folder.glob("*.judged.json"))
        made = [json.loads(p.read_text()) for p in paths if int(p.name[:3]) % 2 == odd]
        if not made:
            continue
        rows = [row for one in made for row in one["found"]]
        lines.append(f"{half}: {len(made)} networks, {len(rows)} images")

        def share(name: str, values: list[bool]) -> str:
            return f"  {name}: {np.mean(values):.2f} ({sum(values)} of {len(values)})"

        lines += [
            share("normalisation named", [r["how"] == r["truth"] for r in rows]),
            share("normalisation right or equal in effect",
                  [r["how"] == r["truth"] or r["apart"] <= EQUAL for r in rows]),
            share("scale within √2", [r["octaves"] <= OCTAVE for r in rows]),
            share("scale within √2 among the first three",
                  [r["octaves_three"] <= OCTAVE for r in rows]),
            share("light and dark", [r["invert"] for r in rows]),
            share("order of colours", [r["colour"] for r in rows if r["coloured"]]),
        ]  # fmt: skip
        lines += _unlike(made)
    return "\n".join(lines)


def _unlike(made: list[dict[str, Any]]) -> list[str]:
    own = [one["found"][0]["kind"] for one in made]
    each, alarms, missed = [], [], []
    for kind, one in zip(own, made, strict=True):
        like = [row["score"] for row in one["like"] if row["kind"] == kind]
        unlike = [row["score"] for row in one["like"] if row["kind"] != kind]
        each.append(auroc(unlike, like))
        limit = one["like"][0]["limit"]
        alarms += [score > limit for score in like]
        missed += [score <= limit for score in unlike]
    return [
        f"  unlike: AUROC {np.mean(each):.3f} (mean over networks; lowest {min(each):.3f})",
        f"  warned of {1 - np.mean(missed):.2f} of other kinds, {np.mean(alarms):.2f} of its own",
    ]


def main() -> int:
    """Train, judge or print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=0, metavar="N", help="train N networks")
    parser.add_argument("--images", type=int, default=1, help="on which the scale is looked for")
    parser.add_argument("--table", action="store_true", help="print what was judged so far")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for number in range(args.train):
        if not (args.folder / f"{number:03}.json").exists():
            train(number, args.data, args.folder)
            print(number, recipe_of(number), flush=True)
    if not args.train and not args.table:
        for path in sorted(args.folder.glob("[0-9][0-9][0-9].json")):
            if not path.with_name(f"{path.stem}.judged.json").exists():
                judge(int(path.stem), args.data, args.folder, args.images)
    if not args.train:
        print(table(args.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
