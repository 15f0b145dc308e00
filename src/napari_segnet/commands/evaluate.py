"""``napari-segnet evaluate``: scores of labels against truth."""

from __future__ import annotations

import argparse
import json
import sys

from napari_segnet.commands._words import file_name

__all__ = ["Evaluate"]

SHOWN = ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")


class Evaluate:
    """Score labels against truth."""

    name = "evaluate"
    help = "score labels against truth"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add("predicted", type=file_name, metavar="PREDICTED", help="a label file, or a folder")
        add("truth", type=file_name, metavar="TRUTH", help="the true labels: a file, or a folder")
        add(
            "--labels",
            choices=("objects", "pieces"),
            default="objects",
            help="objects: each number is one, wherever its pixels lie; pieces: each separate "
            "piece is one, as in a mask",
        )
        add("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace) -> int:
        """Print pooled scores, and with ``--json`` those of each image.

        An image that cannot be read or compared is left out of the scores, and named: in
        a table at the end, and under ``failed``.
        """
        from napari_segnet.commands._failure import in_words
        from napari_segnet.dataset import pieces_of
        from napari_segnet.evaluate import evaluate, pairing, pool, read_labels

        found = pairing(args.predicted, args.truth)
        scored, failed = [], list(found.failed)
        for stem, predicted, truth in found.pairs:
            try:
                labels, true = read_labels(predicted), read_labels(truth)
                if args.labels == "pieces":
                    labels, true = pieces_of(labels), pieces_of(true)
                scored.append(evaluate(labels, true, name=stem))
            except Exception as error:
                failed.append((stem, in_words(error)))
        pooled = pool(scored)
        scores = pooled.to_json()
        if args.json:
            reasons = [{"name": name, "error": why} for name, why in failed]
            told = {**scores, "notes": pooled.notes, "failed": reasons}
            print(json.dumps(told, allow_nan=False))
        elif scored:
            for name in SHOWN:
                value = scores[name]
                print(f"{name:12} {'-' if value is None else f'{value:.4f}'}")
            print(f"{'objects':12} {scores['n_pred']} found, {scores['n_true']} true")
            print(f"{'images':12} {len(scored)}")
        for note in pooled.notes:
            print(f"Note: {note}", file=sys.stderr)
        if failed:
            rows = [f"  {name}  {why}" for name, why in failed]
            total = len(scored) + len(failed)
            print(f"{len(failed)} of {total} images failed:", *rows, sep="\n", file=sys.stderr)
        return 1 if failed else 0
