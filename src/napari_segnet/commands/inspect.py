"""``napari-segnet inspect``: what a weights file is, and how we know it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.card import can_be_overridden, card_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.commands._words import SOURCE, file_name, some_text, unlike_in_words
from napari_segnet.errors import SettingsError
from napari_segnet.settings import parse_pairs

if TYPE_CHECKING:
    from napari_segnet.inference import PredictSettings

__all__ = ["Inspect"]


class Inspect:
    """Tell what a weights file is."""

    name = "inspect"
    help = "describe a weights file, without executing anything in it"
    examples = (
        ("inspect unet.pth", "family, channels, classes, size, and the source of each"),
        ("inspect unet.pth cells.tif --json", "the same as JSON, checked with an image"),
        ("inspect unet.pth --picture unet.svg", "a drawing of its levels"),
    )

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
            help=(
                "override an assumed fact of the network, or a setting for the check of the image"
            ),
        )
        parser.add_argument("--source", type=some_text, metavar="FILE", help=SOURCE)
        add = parser.add_argument
        add("--json", action="store_true", help="print one JSON object")
        add(
            "--quick",
            action="store_true",
            help="read names and shapes alone, also of a bare file; do not test its statistics",
        )
        add(
            "--prove",
            action="store_true",
            help="test assumed facts by the statistics in the file, also of a network with known "
            "names, which may be a changed copy; segment always does this",
        )
        add(
            "--keep",
            action="store_true",
            help="keep the overrides of the network (--set) in a card beside the file",
        )
        add(
            "--picture",
            type=file_name,
            metavar="FILE",
            help="draw the network: a .png or a .svg",
        )
        add(
            "--save-as",
            type=file_name,
            metavar="FILE",
            help="write the network with its graph as a .safetensors that needs no code, or as a "
            "model package of bioimage.io (.zip)",
        )
        for name, what in (
            ("--author", "an author of the package"),
            ("--license", "its license, such as CC-BY-4.0"),
            ("--cite", "what to cite: a DOI or a web address"),
        ):
            add(name, default="", metavar="TEXT", help=f"of a .zip: {what}")

    def run(self, args: argparse.Namespace) -> int:
        """Print the network's identity card; 1 if the image does not fit it."""
        from napari_segnet.commands._plan import checked_settings, identified
        from napari_segnet.commands._wishes import sort_wishes

        wishes = sort_wishes(parse_pairs(args.set))
        predict, _ = checked_settings(wishes)
        overrides = (
            wishes.overrides if args.source is None else {**wishes.overrides, "source": args.source}
        )
        if args.keep and not overrides:
            raise SettingsError(
                "There is nothing to keep. Set a fact of the network with --set NAME=VALUE; "
                "settings of a run, such as normalize, are in its .json: segment --settings "
                "repeats them."
            )
        _check_names(args)
        checkpoint = identified(args.weights, overrides)
        others: list[dict[str, Any]] = []
        if args.prove or not args.quick:
            checkpoint, others = _proven(checkpoint, args.image, wishes.axes, args.prove)
        if args.keep:
            checkpoint = _kept(checkpoint, overrides)
        card = card_of(checkpoint)
        if others:
            card["candidates"] = others
        if args.image is not None:
            card["image"] = _checked(checkpoint, args.image, wishes.axes, predict, args.prove)
        own = args.save_as
        if own is not None and _is_package(own):
            card["package"], own = _published(checkpoint, args), None
        _write(checkpoint, args.picture, own)
        if args.json:
            print(json.dumps(card, allow_nan=False))
        else:
            print("\n".join(_lines(card, checkpoint)))
        if args.image is None or card["image"]["fits"]:
            return 0
        print(f"{args.image} does not fit: {card['image']['why']}", file=sys.stderr)
        return 1


def _is_package(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _published(checkpoint: Checkpoint, args: argparse.Namespace) -> dict[str, Any]:
    """Write the network as a package of bioimage.io."""
    from napari_segnet.publish import write_package

    authors = (args.author,) if args.author else ()
    path: Path = args.save_as
    made = write_package(checkpoint, path, authors=authors, license=args.license, cite=args.cite)
    return {"path": str(made.path), "notes": list(made.notes)}


def _check_names(args: argparse.Namespace) -> None:
    """Refuse names of files before anything is read."""
    if args.picture is not None:
        from napari_segnet.diagram import check_name

        check_name(args.picture)
    if args.save_as is not None and not _is_package(args.save_as):
        from napari_segnet.own_file import check_own_name

        check_own_name(args.save_as)


def _proven(
    checkpoint: Checkpoint, image: Path | None, axes: str | None, asked: bool
) -> tuple[Checkpoint, list[dict[str, Any]]]:
    """Prove what is open; return the network, and what else it may be.

    What a known network is, its names say at once: there the proof has to be ``asked`` for.
    """
    from napari_segnet.proof import is_bare, is_open

    if not is_open(checkpoint) or not (asked or is_bare(checkpoint)):
        return checkpoint, []
    from napari_segnet.commands._proof import proven, shown_image

    found = proven(checkpoint, None if image is None else shown_image(image, axes))
    others = [
        {"differs_in": one.differs, "told": dict(one.choices), "score": one.score}
        for one in found.candidates
    ]
    return found.checkpoint, others


def _kept(checkpoint: Checkpoint, overrides: Mapping[str, Any]) -> Checkpoint:
    """Keep what was told for the next time; return the network as it opens then."""
    from napari_segnet.recognition import identify
    from napari_segnet.sidecar import keep_choice

    path = keep_choice(checkpoint, overrides)
    print(f"Kept in {path}. Remove that file to forget it.", file=sys.stderr)
    after = identify(checkpoint.path)
    kept = {name: fact for name, fact in after.known.items() if name in overrides}
    return replace(checkpoint, known={**checkpoint.known, **kept})


def _write(checkpoint: Checkpoint, picture: Path | None, own: Path | None) -> None:
    if picture is not None:
        from napari_segnet.diagram import write_diagram

        write_diagram(checkpoint, picture)
    if own is not None:
        from napari_segnet.own_file import save_own

        save_own(checkpoint, own)


def _checked(
    checkpoint: Checkpoint,
    path: Path,
    axes: str | None,
    settings: PredictSettings,
    prove: bool,
) -> dict[str, Any]:
    """Verify with an image what an image can verify; only ``prove`` runs the network's layers."""
    from napari_segnet.errors import SegnetError
    from napari_segnet.find import likeness
    from napari_segnet.plan import settle, way_of
    from napari_segnet.plan.input import inverted, prepare_input
    from napari_segnet.progress import run
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
        settled = run(settle(checkpoint, image, settings))
        given = prepare_input(checkpoint, image, settled.settings)
        way = way_of(checkpoint, image, settled.settings)
        like = run(likeness(checkpoint, image, way, where=True)) if prove else None
    except SegnetError as error:
        return {**seen, "fits": False, "why": str(error)}
    figures = {
        "channels": given.channels.to_json(),
        "normalize": given.how,
        "normalize_over": given.over,
        "scale": given.scale,
        "invert": "yes" if inverted(checkpoint, settled.settings) else "no",
        "found": None if settled.found is None else settled.found.to_json(),
        "unlike": None if like is None else like.to_json(),
        "notes": [
            *given.notes,
            *settled.notes,
            *([unlike_in_words(like, settings)] if like and like.says else []),
        ],
    }
    return {**seen, "fits": True, "why": "its channels and axes are what it takes", **figures}


def _lines(card: dict[str, Any], checkpoint: Checkpoint) -> list[str]:
    from napari_segnet.recognition import title_of

    title = title_of(checkpoint)
    lines = [f"{checkpoint.path.name}: {title}", ""]
    width = max(len(name) for name in card["facts"])
    for name, fact in card["facts"].items():
        lines.append(f"  {name:{width}}  {_fact(name, fact['value'])}")
        lines.append(f"  {'':{width}}  {fact['source']}: {fact['why']}")
    lines += ["", *(f"note: {note}" for note in card["notes"])] if card["notes"] else []
    if suggested := card["card"].get("suggested"):
        lines += ["", "suggested by the code beside it, not applied:"]
        lines += [
            f"  {one['name']}: {_shown(one['value'])} ({one['where']}: {one['code']})"
            for one in suggested
        ]
    if "candidates" in card:
        lines += ["", "Several networks fit this file, and nothing in it decides between them:"]
        for one in card["candidates"]:
            words = " ".join(f"--set {name}={value}" for name, value in one["told"].items())
            lines += [f"  {one['differs_in']}", f"    {words}"]
    own = [n for n, f in card["facts"].items() if f["source"] == "assumed"]
    if overridable := [name for name in own if can_be_overridden(checkpoint, name)]:
        lines += ["", f"What is assumed of {', '.join(overridable)} you may know better. Tell it:"]
        lines += [f"  napari-segnet segment IMAGE -c WEIGHTS --set {overridable[0]}=VALUE"]
    if "package" in card:
        lines += ["", f"written: {card['package']['path']}"]
        lines += [f"  note: {note}" for note in card["package"]["notes"]]
    if "image" in card:
        image = card["image"]
        lines += ["", f"{image['source']} {'fits' if image['fits'] else 'does not fit'}"]
        if "axes" in image:
            lines += [f"  axes {image['axes']}, shape {image['shape']}, {image['dtype']}"]
        if image["fits"]:
            lines += [f"  normalised by {image['normalize']}, scale {image['scale']:g}"]
            lines += [f"  note: {note}" for note in image["notes"]]
    return lines


def _fact(name: str, value: Any) -> str:
    """Return a value as it is told, and in words where it is none."""
    from napari_segnet.proof import fact_in_words

    words = fact_in_words(name, value) if isinstance(value, str) else ""
    return f"{_shown(value)} ({words})" if words else _shown(value)


def _shown(value: Any) -> str:
    if value in (None, [], {}, ()):
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value)
