"""``napari-segnet inspect``: what a weights file is, and how we know it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint

__all__ = ["Inspect", "card_of"]

ALIASES = {"size": "size_multiple_px"}
"""Facts of the JSON that have another name than the field they come from."""


class Inspect:
    """Tell what a weights file is."""

    name = "inspect"
    help = "tell what a weights file is, without running it"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        parser.add_argument("weights", help="a weights file, or the name of a built-in network")
        parser.add_argument("image", nargs="?", type=Path, help="an image to check it with")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="tell what the file does not say (or axes= of the image)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace) -> int:
        """Print the network's identity card."""
        from napari_segnet.network import identify
        from napari_segnet.settings import parse_pairs

        told = parse_pairs(args.set)
        axes = told.pop("axes", None)
        checkpoint = identify(args.weights, told)
        card = card_of(checkpoint)
        if args.image is not None:
            card["image"] = _checked(checkpoint, args.image, axes)
        if args.json:
            print(json.dumps(card, allow_nan=False))
        else:
            print("\n".join(_lines(card, checkpoint)))
        return 0


def card_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all that is known of a network as plain JSON values."""
    halo = list(checkpoint.halo_px) if checkpoint.halo_px is not None else None
    card: dict[str, Any] = {
        "family": checkpoint.family,
        "task": checkpoint.task,
        "ndim": checkpoint.ndim,
        "channels": checkpoint.channels,
        "classes": checkpoint.classes,
        "outputs": [asdict(output) for output in checkpoint.outputs],
        "size_multiple_px": list(checkpoint.size.multiple),
        "halo_px": halo,
        "prepare": [{"name": s.name, **s.options} for s in checkpoint.prepare],
        "parameters": checkpoint.parameters,
        "sha256": checkpoint.sha256,
    }
    extra: dict[str, Any] = {
        "size_minimum_px": list(checkpoint.size.minimum),
        "stride_px": list(checkpoint.size.stride),
        "class_names": list(checkpoint.class_names),
        "pixel_size_um": dict(checkpoint.pixel_size_um),
        "exact": checkpoint.exact,
    }
    values = {**card, **extra, **checkpoint.hparams}
    facts: dict[str, Any] = {}
    for name, value in values.items():
        facts[name] = {"value": value, **_known(checkpoint, name)}
    return {**card, **extra, "facts": facts, "card": dict(checkpoint.card)}


def _known(checkpoint: Checkpoint, name: str) -> dict[str, str]:
    field = next((f for f, alias in ALIASES.items() if alias == name), name)
    if name in ("size_minimum_px", "stride_px"):
        field = "size"
    if name == "sha256":
        return {"source": "read", "why": "computed from the file's bytes"}
    known = checkpoint.known.get(field)
    if known is None:
        return {"source": "read", "why": "from names and shapes of the tensors"}
    return {"source": known.source, "why": known.why}


def _checked(checkpoint: Checkpoint, path: Path, axes: str | None) -> dict[str, Any]:
    """Verify with an image what an image can verify."""
    from napari_segnet.errors import SegnetError
    from napari_segnet.predict import PredictSettings
    from napari_segnet.predict._input import prepare_input
    from napari_segnet.readers import open_image

    image = open_image(path, axes)
    seen: dict[str, Any] = {
        "source": str(path),
        "axes": image.axes,
        "shape": [int(n) for n in image.data.shape],
        "dtype": str(image.dtype),
        "pixel_size_um": dict(image.pixel_size_um),
        "rgb": image.rgb,
    }
    try:
        given = prepare_input(checkpoint, image, PredictSettings())
    except SegnetError as error:
        return {**seen, "fits": False, "why": str(error)}
    figures = {
        "normalize": given.how,
        "normalize_over": given.over,
        "scale": given.scale,
        "notes": list(given.notes),
    }
    return {**seen, "fits": True, "why": "channels and axes fit", **figures}


def _lines(card: dict[str, Any], checkpoint: Checkpoint) -> list[str]:
    from napari_segnet.network import family_of

    lines = [f"{checkpoint.path.name}: {family_of(checkpoint).title}", ""]
    width = max(len(name) for name in card["facts"])
    for name, fact in card["facts"].items():
        lines.append(f"  {name:{width}}  {_shown(fact['value'])}")
        lines.append(f"  {'':{width}}  {fact['source']}: {fact['why']}")
    if any(fact["source"] == "assumed" for fact in card["facts"].values()):
        lines += ["", "What is assumed can be told where it is a setting of the network:"]
        lines += ["  napari-segnet segment IMAGE -c WEIGHTS --set NAME=VALUE"]
    if "image" in card:
        image = card["image"]
        verdict = "fits" if image["fits"] else "does not fit"
        lines += ["", f"{image['source']} {verdict}: {image['why']}"]
        lines += [f"  axes {image['axes']}, shape {image['shape']}, {image['dtype']}"]
    return lines


def _shown(value: Any) -> str:
    if value in ([], {}, ()):
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value)
