"""``napari-segnet segment``: images become labels."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.commands._words import SOURCE, file_name, some_text
from napari_segnet.errors import SettingsError
from napari_segnet.settings import parse_pairs

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.commands._bar import Bar
    from napari_segnet.commands._plan import Plan
    from napari_segnet.commands._wishes import Wishes
    from napari_segnet.find import Likeness
    from napari_segnet.image import Image
    from napari_segnet.inference import PredictSettings
    from napari_segnet.measure import Table
    from napari_segnet.progress import Job
    from napari_segnet.segmentation import Segmentation

__all__ = ["Segment"]

FOLDER = Path("segmented")
MEMORY = (
    "most memory of this machine, such as 8GB (default what is free); what is larger lies in "
    "temporary files"
)
SCRATCH_HELP = "folder of temporary files (default that of the system)"
IMAGES = "pictures, or folders of them; * and ? stand for any letters"
KEYS = (
    "axes, normalize, normalize_over, channels, invert, scale, object_px, object_um, tile_px, "
    "batch_size, precision, seams, mirror, maps, device, threads, engine, threshold, instances, "
    "min_size_px, fill_holes, clear_border, seed_threshold, flow_threshold, flow_steps, link, "
    "steps, score, nms, mask_threshold, mask_overlap, max_objects, overlap, classes"
)
"""Written out, since the classes that they come from take numpy to import; a test compares."""


class Segment:
    """Make labels of images."""

    name = "segment"
    help = "make labels of images with a network"
    examples = (
        ("segment cells.tif -o results", "with the built-in network"),
        ("segment folder/ -c unet.pth -o results --table", "a folder, with measurements"),
        ("segment cells.tif -c unet.pth --set threshold=0.4 --set scale=2", "with settings"),
        ("segment other.tif --settings results/cells.json", "as an earlier run"),
        ("segment slide.zarr -o labels.zarr", "OME-Zarr in and out"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add("images", nargs="+", type=file_name, metavar="IMAGE", help=IMAGES)
        add(
            "-c",
            "--checkpoint",
            type=some_text,
            metavar="WEIGHTS|NAME",
            help="weights file or built-in network (default nuclei)",
        )
        add(
            "-o",
            "--output",
            type=file_name,
            default=FOLDER,
            metavar="DIR|NAME.zarr",
            help=f"folder of the results (default {FOLDER}), or the labels of one image as "
            "OME-Zarr: a new one, or the image itself, which gets them among its labels",
        )
        add("--save-maps", action="store_true", help="also write what the network says")
        add("--table", action="store_true", help="also measure the objects: a row of CSV for each")
        add(
            "--export",
            type=some_text,
            metavar="NAMES",
            help="also write the objects for other programs, with commas between: roi (ImageJ), "
            "geojson (QuPath), coco, cellpose, outlines (a picture)",
        )
        add("--device", type=some_text, help="auto, cpu, mps, cuda or cuda:N")
        add("--memory", type=some_text, metavar="LIMIT", help=MEMORY)
        add("--scratch", type=file_name, metavar="DIR", help=SCRATCH_HELP)
        add(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a setting, or a fact of the network that its file does not say. Settings: "
            f"{KEYS}; inspect names the facts",
        )
        add(
            "--settings",
            type=file_name,
            metavar="FILE.json",
            help="settings as a JSON object, or the .json of an earlier run, which is repeated",
        )
        add("--source", type=some_text, metavar="FILE", help=SOURCE)
        add("--overwrite", action="store_true", help="replace results that are there already")
        add("--json", action="store_true", help="print one JSON object per image")

    def run(self, args: argparse.Namespace) -> int:
        """Check everything that can be checked first, then go through the images."""
        from napari_segnet.commands._bar import Bar
        from napari_segnet.commands._failure import in_words
        from napari_segnet.commands._plan import make_plan
        from napari_segnet.readers import skipped_files

        _set_room(args.memory, args.scratch)
        plan = make_plan(
            _wishes(args),
            args.images,
            args.output,
            save_maps=args.save_maps,
            table=args.table,
            exports=args.export,
            overwrite=args.overwrite,
        )
        for path in skipped_files(args.images):
            print(f"Skipped {path}: it is of a kind that does not open here.", file=sys.stderr)
        failed: list[tuple[Path, str]] = []
        for number, (stem, path) in enumerate(plan.images.items(), 1):
            bar = Bar(f"[{number}/{len(plan.images)}] {path.name}")
            try:
                done, predict = _one(plan, stem, path, bar)
                plan = replace(plan, predict=predict)
            except KeyboardInterrupt:
                bar.end("stopped")
                raise
            except Exception as error:
                # The others go on; each failure is in the table at the end.
                bar.end("failed")
                failed.append((path, in_words(error)))
                done = {"image": str(path), "error": failed[-1][1]}
            if args.json:
                print(json.dumps(done, allow_nan=False), flush=True)
        if not args.json:
            good = len(plan.images) - len(failed)
            where = plan.zarr.folder if plan.zarr else plan.folder
            print(f"{good} of {len(plan.images)} images are in {where}")
        if failed:
            print(_table(failed, len(plan.images)), file=sys.stderr)
        return 1 if failed else 0


def _set_room(memory: str | None, scratch: Path | None) -> None:
    """Set what holds for this process and those that it starts."""
    from napari_segnet.room import LIMIT, SCRATCH, parse_bytes

    if memory is not None:
        parse_bytes(memory)
        os.environ[LIMIT] = memory
    if scratch is not None:
        if not scratch.is_dir():
            raise SettingsError(f"{scratch} is no folder. Make it first, or name another one.")
        os.environ[SCRATCH] = str(scratch.absolute())


def _wishes(args: argparse.Namespace) -> Wishes:
    """Join a file of settings with what was typed, which wins."""
    from napari_segnet.commands._wishes import Wishes, read_wishes, sort_wishes

    filed = read_wishes(args.settings, args.checkpoint) if args.settings else Wishes()
    typed = parse_pairs(args.set)
    if "checkpoint" in typed:
        raise SettingsError("The network is not a setting. Name it with -c instead.")
    named = Wishes(
        weights=args.checkpoint,
        predict={} if args.device is None else {"device": args.device},
        told={} if args.source is None else {"source": args.source},
    )
    return filed.updated(sort_wishes(typed)).updated(named)


def _one(plan: Plan, stem: str, path: Path, bar: Bar) -> tuple[dict[str, Any], PredictSettings]:
    """Segment one image and write its files; return what to print, and how to go on."""
    from napari_segnet.answers import instances_of, maps_of
    from napari_segnet.detective import light_dark_doubt
    from napari_segnet.inference import label, predict, same_engine
    from napari_segnet.plan import settle
    from napari_segnet.writers import write_segmentation

    begun = time.perf_counter()
    bar.say("reading")
    image = _opened(plan, stem, path)
    settings = plan.earlier.pinned(plan.predict, image) if plan.earlier else plan.predict
    _forecast(plan, image)
    settled = bar.follow(settle(plan.checkpoint, image, settings))
    like = _likeness(plan.checkpoint, image, settled.settings, bar)
    prediction = bar.follow(predict(plan.checkpoint, image, settled))
    made = bar.follow(label(prediction, plan.label))
    origin = replace(made.origin, image={**made.origin.image, "axes_told": plan.axes})
    maps = maps_of(prediction) if plan.save_maps else None
    instances = instances_of(prediction) if plan.save_maps else None
    table = bar.follow(_measured(made, image)) if plan.table else None
    del prediction  # maps of a large image need room that writing may need
    bar.say("writing")
    files = write_segmentation(
        replace(made, origin=origin),
        plan.folder,
        stem,
        overwrite=plan.overwrite,
        maps=maps,
        instances=instances,
        table=table,
        exports=plan.exports,
        image=image,
        zarr=plan.zarr,
    )
    seconds = time.perf_counter() - begun
    count = len(made.label_score)
    what = {("instance", 1): "object", ("instance", 0): "objects", ("semantic", 1): "class"}
    noun = what.get((made.kind, int(count == 1)), "classes")
    bar.end(f"{count} {noun}, {seconds:.1f} s on {made.origin.device}")
    for note in made.origin.notes:
        print(f"  note: {note}", file=sys.stderr)
    if doubt := light_dark_doubt(plan.checkpoint, plan.predict, made):
        print(f"  note: {doubt} For those, add --set invert=yes.", file=sys.stderr)
    done = {
        "image": str(path),
        "files": [str(file) for file in files],
        "kind": made.kind,
        "n_labels": count,
        "device": made.origin.device,
        "rung": made.origin.rung,
        "notes": list(made.origin.notes),
        "seconds": round(seconds, 3),
        "unlike": None if like is None else like.to_json(),
    }
    return done, same_engine(plan.predict, made.origin)


def _likeness(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, bar: Bar
) -> Likeness | None:
    """Warn before the run of an image that is unlike those of the training."""
    from napari_segnet.find import likeness
    from napari_segnet.plan import way_of
    from napari_segnet.progress import run

    found = run(likeness(checkpoint, image, way_of(checkpoint, image, settings)))
    if found is not None and found.says:
        bar.clear()
        print(f"  warning: {found.says}", file=sys.stderr)
    return found


def _forecast(plan: Plan, image: Image) -> None:
    """Refuse labels that memory cannot hold before the network runs, perhaps for hours."""
    from napari_segnet.answers import answer_of
    from napari_segnet.steps import require_label_room

    advice = plan.checkpoint.card.get("label", {})
    label = answer_of(plan.checkpoint).settings(plan.label, plan.checkpoint.outputs, advice)
    shape = [image.sizes[axis] for axis in image.label_axes]
    require_label_room(shape, plan.checkpoint.ndim, label.instances, image.name)


def _opened(plan: Plan, stem: str, path: Path) -> Image:
    """Open an image, whose channels may lie in files of their own."""
    from napari_segnet.joined import join_channels
    from napari_segnet.readers import open_image

    files = plan.channel_files.get(stem)
    if files is None:
        return open_image(path, plan.axes)
    return join_channels([open_image(file, plan.axes) for file in files], stem)


def _measured(made: Segmentation, image: Image) -> Job[Table]:
    from napari_segnet.measure import measure

    return measure(
        made.labels,
        made.axes,
        image,
        label_class=made.label_class,
        label_score=made.label_score,
        class_names=made.class_names,
    )


def _table(failed: list[tuple[Path, str]], total: int) -> str:
    """Return which images failed and why, one a line."""
    width = min(40, max(len(str(path)) for path, _ in failed))
    rows = [f"  {path!s:{width}}  {why}" for path, why in failed]
    return "\n".join([f"{len(failed)} of {total} images failed:", *rows])
