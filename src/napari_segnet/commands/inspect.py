"""``napari-segnet inspect``: what a weights file is, and how we know it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.card import can_be_told, card_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.commands._words import SOURCE, file_name, some_text
from napari_segnet.settings import parse_pairs

if TYPE_CHECKING:
    from napari_segnet.inference import PredictSettings

__all__ = ["Inspect"]


class Inspect:
    """Tell what a weights file is."""

    name = "inspect"
    help = "tell what a weights file is, without running it"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        parser.add_argument(
            "weights",
            type=some_text,
            metavar="WEIGHTS",
            help="a weights file, or the name of a built-in network",
        )
        parser.add_argument(
            "image", nargs="?", type=file_name, metavar="IMAGE", help="an image to check it with"
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="tell what the file does not say, or a setting of the run to check the image with",
        )
        parser.add_argument("--source", type=some_text, metavar="FILE", help=SOURCE)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace) -> int:
        """Print the network's identity card; 1 if the image does not fit it."""
        from napari_segnet.commands._plan import checked_settings, identified
        from napari_segnet.commands._wishes import sort_wishes

        wishes = sort_wishes(parse_pairs(args.set))
        predict, _ = checked_settings(wishes)
        told = wishes.told if args.source is None else {**wishes.told, "source": args.source}
        checkpoint = identified(args.weights, told)
        card = card_of(checkpoint)
        if args.image is not None:
            card["image"] = _checked(checkpoint, args.image, wishes.axes, predict)
        if args.json:
            print(json.dumps(card, allow_nan=False))
        else:
            print("\n".join(_lines(card, checkpoint)))
        if args.image is None or card["image"]["fits"]:
            return 0
        print(f"{args.image} does not fit: {card['image']['why']}", file=sys.stderr)
        return 1


def _checked(
    checkpoint: Checkpoint, path: Path, axes: str | None, settings: PredictSettings
) -> dict[str, Any]:
    """Verify with an image what an image can verify."""
    from napari_segnet.errors import SegnetError
    from napari_segnet.plan.input import prepare_input
    from napari_segnet.readers import open_image

    seen: dict[str, Any] = {"source": str(path)}
    try:
        image = open_image(path, axes)
        seen |= {
            "axes": image.axes,
            "shape": [int(n) for n in image.data.shape],
            "dtype": str(image.dtype),
            "pixel_size_um": dict(image.pixel_size_um),
            "channel_names": list(image.channel_names),
            "rgb": image.rgb,
        }
        given = prepare_input(checkpoint, image, settings)
    except SegnetError as error:
        return {**seen, "fits": False, "why": str(error)}
    figures = {
        "channels": given.channels.to_json(),
        "normalize": given.how,
        "normalize_over": given.over,
        "scale": given.scale,
        "notes": list(given.notes),
    }
    return {**seen, "fits": True, "why": "its channels and axes are what it takes", **figures}


def _lines(card: dict[str, Any], checkpoint: Checkpoint) -> list[str]:
    from napari_segnet.programs import title_of
    from napari_segnet.recognition import family_of

    title = title_of(checkpoint) or family_of(checkpoint).title
    lines = [f"{checkpoint.path.name}: {title}", ""]
    width = max(len(name) for name in card["facts"])
    for name, fact in card["facts"].items():
        lines.append(f"  {name:{width}}  {_shown(fact['value'])}")
        lines.append(f"  {'':{width}}  {fact['source']}: {fact['why']}")
    lines += ["", *(f"note: {note}" for note in card["notes"])] if card["notes"] else []
    if suggested := card["card"].get("suggested"):
        lines += ["", "suggested by the code beside it, not taken:"]
        lines += [
            f"  {one['name']}: {_shown(one['value'])} ({one['where']}: {one['code']})"
            for one in suggested
        ]
    own = [n for n, f in card["facts"].items() if f["source"] == "assumed"]
    if tellable := [name for name in own if can_be_told(checkpoint, name)]:
        lines += ["", f"What is assumed of {', '.join(tellable)} you may know better. Tell it:"]
        lines += [f"  napari-segnet segment IMAGE -c WEIGHTS --set {tellable[0]}=VALUE"]
    if "image" in card:
        image = card["image"]
        lines += ["", f"{image['source']} {'fits' if image['fits'] else 'does not fit'}"]
        if "axes" in image:
            lines += [f"  axes {image['axes']}, shape {image['shape']}, {image['dtype']}"]
        if image["fits"]:
            lines += [f"  normalised by {image['normalize']}, scale {image['scale']:g}"]
            lines += [f"  note: {note}" for note in image["notes"]]
    return lines


def _shown(value: Any) -> str:
    if value in (None, [], {}, ()):
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value)
