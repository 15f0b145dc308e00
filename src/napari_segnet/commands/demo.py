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
            from napari_segnet.widgets._demo import show_demo

            show_demo()
        return 0


def why_no_window() -> str:
    """Return a sentence why no window can be opened here; empty if one can."""
    if importlib.util.find_spec("napari") is None:
        return f"napari is not installed here. For the window: {INSTALL}"
    if not any(importlib.util.find_spec(name) for name in BINDINGS):
        return f"napari is installed, but no Qt to open a window with. For the window: {INSTALL}"
    if sys.platform.startswith("linux") and not _display():
        return "There is no display here, so no window was opened."
    return ""


def _display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _write(folder: Path) -> None:
    """Segment the sample and write image, labels, origin and overlay."""
    from napari_segnet.builtin import weights_path
    from napari_segnet.commands._bar import Bar
    from napari_segnet.commands._overlay import write_overlay
    from napari_segnet.inference import segment
    from napari_segnet.readers import open_image
    from napari_segnet.recognition import identify
    from napari_segnet.results import check_output, write_segmentation

    check_output(folder, STEM, overwrite=True)
    image = _write_image(folder / f"{STEM}.tif")
    picture = folder / f"{STEM}.overlay.png"
    bar = Bar(STEM)
    made = bar.follow(segment(identify(weights_path(NETWORK)), open_image(image)))
    files = write_segmentation(made, folder, STEM, overwrite=True)
    write_overlay(picture, open_image(image).read()[0, 0, 0], made.labels)
    bar.end(f"{len(made.label_score)} nuclei found")
    for what, path in zip(
        ("image", "labels", "origin", "overlay"), (image, *files, picture), strict=True
    ):
        print(f"{what:8} {path}")


def _write_image(path: Path) -> Path:
    """Write the sample as a file like any other: the run can be repeated from its origin."""
    import tifffile

    from napari_segnet.samples import nuclei_2d

    image = nuclei_2d()
    metadata: dict[str, object] = {"axes": image.axes.upper()}
    for axis, size in image.pixel_size_um.items():
        metadata[f"PhysicalSize{axis.upper()}"] = size
        metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, image.data, ome=True, photometric="minisblack", metadata=metadata)
    except OSError as error:
        raise OutputError(
            f"The sample cannot be written to {path.parent}: {error.strerror or error}. Choose "
            "another folder with -o."
        ) from error
    return path
