"""``napari-segnet demo``: the first minute, in a window or as files."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from napari_segnet.commands._words import file_name
from napari_segnet.errors import OutputError

__all__ = ["Demo"]

FOLDER = Path("napari-segnet-demo")
STEM = "demo-nuclei"
"""No file of a user's has this name, so that the demo may replace its own."""
NETWORK = "nuclei"
BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
INSTALL = "pip install 'napari-segnet[all]'"


class Demo:
    """Segment the sample image."""

    name = "demo"
    help = "segment a sample image: in napari, or as files where there is no display"
    examples = (
        ("demo", "in napari"),
        ("demo --headless -o out", "as files, without a window"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add(
            "-o",
            "--output",
            type=file_name,
            metavar="DIR",
            help=f"also write the result there (without a window: default {FOLDER})",
        )
        add("--headless", action="store_true", help="write files and open no window")

    def run(self, args: argparse.Namespace) -> int:
        """Write the files, open the window, or both."""
        why = "" if args.headless else why_no_window()
        windowless = args.headless or bool(why)
        if windowless or args.output:
            _write(args.output or FOLDER)
        if why:
            print(why, file=sys.stderr)
        if not windowless:
            from napari_segnet.widgets.plugin.demo import show_demo

            show_demo()
        return 0


def why_no_window() -> str:
    """Return a sentence why no window can be opened here; empty if one can."""
    if importlib.util.find_spec("napari") is None:
        return f"napari is not installed here. For the window: {INSTALL}"
    if not any(importlib.util.find_spec(name) for name in BINDINGS):
        return f"napari is installed, but no Qt to open a window with. For the window: {INSTALL}"
    if sys.platform.startswith("linux") and not _display():
        return "There is no display, so no window opens."
    return ""


def _display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _write(folder: Path) -> None:
    """Segment the sample and write image, labels, origin and overlay."""
    from napari_segnet.commands._bar import Bar
    from napari_segnet.inference import segment
    from napari_segnet.overlay import write_overlay
    from napari_segnet.proof import recognise
    from napari_segnet.readers import open_image
    from napari_segnet.writers import WRITERS, check_output, write_segmentation

    check_output(folder, STEM, overwrite=True)
    image = _write_image(folder / f"{STEM}.tif")
    picture = folder / f"{STEM}.overlay.png"
    bar = Bar(STEM)
    network = bar.follow(recognise(NETWORK)).checkpoint
    made = bar.follow(segment(network, open_image(image)))
    files = write_segmentation(made, folder, STEM, overwrite=True)
    write_overlay(picture, open_image(image).read()[0, 0, 0], made.labels)
    bar.end(f"{len(made.label_score)} nuclei found")
    kinds = {writer.ending: writer.name for writer in WRITERS}
    written = [(kinds[path.name.removeprefix(STEM)], path) for path in files]
    for what, path in (("image", image), *written, ("overlay", picture)):
        print(f"{what:8} {path}")


def _write_image(path: Path) -> Path:
    """Write the sample as a file like any other: the run can be repeated from its origin."""
    from napari_segnet.atomic import reason, write_whole
    from napari_segnet.samples import nuclei_2d
    from napari_segnet.writers.ome_tiff import write_image

    try:
        write_whole(path, lambda part: write_image(part, nuclei_2d()))
    except OSError as error:
        what, _ = reason(error)
        raise OutputError(
            f"The sample cannot be written to {path.parent}: {what}. Choose another folder with -o."
        ) from error
    return path
