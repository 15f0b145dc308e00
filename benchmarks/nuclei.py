"""How well the built-in network labels nuclei that it never saw.

::

    python benchmarks/nuclei.py [DATA] [--network NAME|FILE] [--device auto] [--kind KIND]
                                [--label NAME=VALUE ...]

DATA (default: the environment variable SEGNET_DATA) holds ``nuclei/`` with ``images/``,
``labels/`` and ``index.csv`` (columns name, split, kind). Every image of the ``val`` split
of that kind is labelled with default settings (and those given with ``--label``, such as
``--label nms=0.2``), as ``napari-segnet segment`` does it, and
the scores are pooled, as ``napari-segnet evaluate`` does it.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import time
from pathlib import Path

import napari_segnet as sn
from napari_segnet.evaluate import evaluate, pool, read_labels
from napari_segnet.settings import parse_pairs, settings_from

FIGURES = ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")


def pairs(root: Path, kind: str, split: str | None = None) -> list[tuple[Path, Path]]:
    """Return image and labels of one kind, of one split or of all, in the order of the names."""
    with (root / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == kind]
    names = sorted(row["name"] for row in rows if split in (None, row["split"]))
    return [(_file(root / "images", name), _file(root / "labels", name)) for name in names]


def _file(folder: Path, stem: str) -> Path:
    (path,) = folder.glob(f"{stem}.*")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("SEGNET_DATA"))
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kind", default="fluorescence")
    parser.add_argument("--label", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--worst", type=int, default=0, help="also list so many images")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name the folder of the data, or set SEGNET_DATA")
    checkpoint = sn.identify(args.network)
    settings = sn.PredictSettings(device=args.device)
    labels = settings_from(sn.LabelSettings, parse_pairs(args.label))
    scores, seconds = [], []
    for image, truth in pairs(Path(args.data) / "nuclei", args.kind, "val"):
        begun = time.perf_counter()
        found = sn.run(sn.segment(checkpoint, sn.open_image(image), settings, labels))
        seconds.append(time.perf_counter() - begun)
        scores.append(evaluate(found.labels, read_labels(truth), name=image.stem))
    table = pool(scores).to_json()
    print(f"network      {args.network} ({checkpoint.parameters / 1e6:.2f} M parameters)")
    print(f"images       {len(scores)} ({args.kind}, val split)")
    for name in FIGURES:
        print(f"{name:12} {table[name]:.4f}")
    print(f"objects      {table['n_pred']} found, {table['n_true']} true")
    print(
        f"seconds      {sum(seconds):.1f} in all, {statistics.median(seconds):.2f} per image "
        f"(median), on {found.origin.device}"
    )
    for score in sorted(scores, key=lambda s: s.ap50)[: args.worst]:
        print(f"  {score.ap50:.3f}  {score.n_pred:4} found {score.n_true:4} true  {score.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
