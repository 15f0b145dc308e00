"""``napari-segnet segment``: images become labels."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.commands._words import SOURCE, count, file_name, part, some_text
from napari_segnet.errors import SettingsError
from napari_segnet.settings import parse_pairs

if TYPE_CHECKING:
    from napari_segnet.commands._plan import Plan
    from napari_segnet.commands._show import Show
    from napari_segnet.commands._wishes import Wishes

__all__ = ["Segment"]

FOLDER = Path("segmented")
MEMORY = "memory limit, such as 8GB (default what is free); larger arrays go to temporary files"
SCRATCH_HELP = "folder of temporary files (default that of the system)"
RESUME = (
    "resume an earlier run: results of the same network and settings are kept; with --overwrite, "
    "other results are made again"
)
JOBS = "segment N images at once, in processes that share cores, memory and GPUs"
SCHEDULER = (
    "run the network on the workers of a dask scheduler, such as tcp://127.0.0.1:8786; local: "
    "workers on this machine, one for each GPU"
)
MOST_AT_ONCE = 8
"""Images that are read, labelled and written here while their tiles are elsewhere."""
PART = "only every N-th image, from the K-th on: for N runs on N machines"
IMAGES = (
    "images, or folders of images; * and ? match any characters; OME-Zarr also by address, such "
    "as https://host/cells.zarr"
)
KEYS = (
    "axes, normalize, normalize_over, channels, invert, scale, object_px, object_um, tile_px, "
    "batch_size, precision, seams, mirror, multiscale, maps, device, threads, engine, threshold, "
    "instances, min_size_px, fill_holes, clear_border, seed_threshold, cut_by, flow_threshold, "
    "flow_steps, link, steps, score, nms, mask_threshold, mask_overlap, max_objects, overlap, "
    "classes"
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
        ("segment other.tif --settings results/cells.json", "repeat an earlier run"),
        ("segment slide.zarr -o labels.zarr", "OME-Zarr in and out"),
        ("segment folder/ --resume --jobs 4", "resume a folder, four images at once"),
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
            help=f"folder of the results (default {FOLDER}), or an OME-Zarr for the labels of one "
            "image: a new one, or the image itself, to which the labels are added",
        )
        add("--save-maps", action="store_true", help="also write the probability maps")
        add("--table", action="store_true", help="also write a CSV table of the objects")
        add(
            "--export",
            type=some_text,
            metavar="NAMES",
            help="also write the objects for other programs, separated by commas: roi (ImageJ), "
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
            help=f"a setting, or an override of an assumed fact of the network. Settings: {KEYS}; "
            "inspect lists the facts",
        )
        add(
            "--settings",
            type=file_name,
            metavar="FILE.json",
            help="settings as a JSON object, or the .json of an earlier run, which is repeated",
        )
        add("--source", type=some_text, metavar="FILE", help=SOURCE)
        add("--overwrite", action="store_true", help="replace existing results")
        add("--resume", action="store_true", help=RESUME)
        add("--jobs", type=count, default=1, metavar="N", help=JOBS)
        add("--scheduler", type=some_text, metavar="ADDRESS|local", help=SCHEDULER)
        add("--part", type=part, metavar="K/N", help=PART)
        add("--json", action="store_true", help="print one JSON object per image")

    def run(self, args: argparse.Namespace) -> int:
        """Check everything that can be checked first, then go through the images."""
        from napari_segnet.commands._plan import make_plan
        from napari_segnet.commands._show import Show
        from napari_segnet.readers import skipped_files
        from napari_segnet.writers.full_disk import untried_in_words

        _set_room(args.memory, args.scratch)
        if args.scheduler is not None and args.jobs > 1:
            raise SettingsError(
                "--jobs and --scheduler are two ways to use several processes. Choose one of them."
            )
        plan = make_plan(
            _wishes(args),
            args.images,
            args.output,
            save_maps=args.save_maps,
            table=args.table,
            exports=args.export,
            overwrite=args.overwrite,
            resume=args.resume,
            part=args.part,
            elsewhere=args.jobs > 1 or args.scheduler is not None,
        )
        for path in skipped_files(args.images):
            print(f"Skipped {path}: this kind of file does not open.", file=sys.stderr)
        show = Show(args.json)
        try:
            with _cluster(args.scheduler):
                _do(
                    replace(plan, as_json=args.json),
                    show,
                    args.jobs,
                    clustered=args.scheduler is not None,
                )
        finally:
            show.ended()
        if not args.json:
            good = len(plan.images) - len(show.failed) - len(show.untried)
            where = plan.zarr.folder if plan.zarr else plan.folder
            print(f"Labels of {good} of {len(plan.images)} images are in {where}")
        if show.failed:
            print(_table(show.failed, len(plan.images)), file=sys.stderr)
        if show.untried:
            said = untried_in_words(len(show.untried))
            print(f"{said} run the same command again with --resume.", file=sys.stderr)
        return 1 if show.failed else 0


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Let networks run on the workers of a scheduler, if there is one."""
    if address is None:
        yield
        return
    from napari_segnet.engines.cluster import connect, disconnect

    try:
        connect(address)
        yield
    finally:
        disconnect()


def _do(plan: Plan, show: Show, jobs: int, *, clustered: bool) -> None:
    """Go through the images; those that are done already are only named."""
    from napari_segnet.commands._bar import Bar
    from napari_segnet.commands._in_turn import in_turn
    from napari_segnet.commands._side_by_side import on_cluster, side_by_side
    from napari_segnet.engines import cluster

    show.kept(plan.images, plan.kept)
    total = len(plan.images)
    todo = [
        (Bar(f"[{number}/{total}] {path.name}"), stem, path)
        for number, (stem, path) in enumerate(plan.images.items(), 1)
        if stem not in plan.kept
    ]
    if clustered and len(todo) > 1:
        on_cluster(plan, todo, show, min(len(todo), cluster.workers() + 1, MOST_AT_ONCE))
    elif jobs > 1 and len(todo) > 1:
        side_by_side(plan, todo, show, min(jobs, len(todo)))
    else:
        in_turn(plan, todo, show)


def _set_room(memory: str | None, scratch: Path | None) -> None:
    """Set what holds for this process and those that it starts."""
    from napari_segnet.room import LIMIT, SCRATCH, parse_bytes

    if memory is not None:
        parse_bytes(memory)
        os.environ[LIMIT] = memory
    if scratch is not None:
        if not scratch.is_dir():
            raise SettingsError(f"{scratch} is not a folder. Make it first, or name another one.")
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
        overrides={} if args.source is None else {"source": args.source},
    )
    return filed.updated(sort_wishes(typed)).updated(named)


def _table(failed: list[tuple[Path, str]], total: int) -> str:
    """Return which images failed and why, one a line."""
    from napari_segnet.readers import named

    width = min(40, max(len(named(path)) for path, _ in failed))
    rows = [f"  {named(path):{width}}  {why}" for path, why in failed]
    return "\n".join([f"{len(failed)} of {total} images failed:", *rows])
