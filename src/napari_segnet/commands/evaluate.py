"""``napari-segnet evaluate``: scores of labels against truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["Evaluate"]

SHOWN = ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")


class Evaluate:
    """Score labels against truth."""

    name = "evaluate"
    help = "score labels against truth"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        parser.add_argument("predicted", type=Path, help="a label file, or a folder of them")
        parser.add_argument("truth", type=Path, help="the true labels, or a folder of them")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace) -> int:
        """Print pooled scores, and with ``--json`` those of each image."""
        from napari_segnet.evaluate import evaluate_paths
        from napari_segnet.progress import run

        scores = run(evaluate_paths(args.predicted, args.truth)).to_json()
        if args.json:
            print(json.dumps(scores, allow_nan=False))
            return 0
        for name in SHOWN:
            value = scores[name]
            print(f"{name:12} {'-' if value is None else f'{value:.4f}'}")
        print(f"{'objects':12} {scores['n_pred']} found, {scores['n_true']} true")
        print(f"{'images':12} {len(scores['images'])}")
        return 0
