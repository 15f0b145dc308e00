"""``napari-segnet models``: the networks that ship with the package."""

from __future__ import annotations

import argparse
import json

__all__ = ["Models"]


class Models:
    """List the built-in networks."""

    name = "models"
    help = "list the built-in networks"
    examples = (
        ("models", "names, and their purpose"),
        ("models --json", "the same for a script"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        parser.add_argument("--json", action="store_true", help="print one JSON list")

    def run(self, args: argparse.Namespace) -> int:
        """Print name, what it is for, and its scores."""
        from napari_segnet.builtin import builtin_models
        from napari_segnet.recognition import identify

        cards = {name: dict(identify(path).card) for name, path in builtin_models().items()}
        if args.json:
            print(json.dumps([{"name": name, **card} for name, card in cards.items()]))
            return 0
        for name, card in cards.items():
            scores = card.get("scores", {})
            figures = ", ".join(f"{k} {v}" for k, v in scores.items() if k != "on")
            on = f" on {scores['on']}" if "on" in scores else ""
            print(f"{name}\n  {card.get('title', '')}")
            print(f"  trained on: {card.get('data', 'unknown')}")
            print(f"  licence: {card.get('licence', 'unknown')}")
            print(f"  scores: {figures or 'none'}{on}")
        if not cards:
            print("This installation has no built-in networks.")
        return 0
