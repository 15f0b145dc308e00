"""``napari-segnet import`` and ``export``: datasets from and for other programs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from napari_segnet.commands._words import file_name, some_text

if TYPE_CHECKING:
    from napari_segnet.export import Report

__all__ = ["Export", "Import"]

NAMES = (
    "coco, coco-polygons, label-studio, cvat, labelme, via, geojson, imagej-roi, nnunet, monai, "
    "yolo-seg, rgb-masks, indexed-masks, cellpose, dsb2018, stardist, tiff"
)
"""Of the formats; a test compares, so that the help need not import them."""
MEANINGS = ("auto", "objects", "pieces")
"""The same of what labels mean."""


class Import:
    """Add images with labels of another program to a dataset."""

    name = "import"
    help = "add images with labels of another program to a dataset"
    examples = (
        ("import masks/ -o dataset", "images with labels of another program; the format is found"),
        ("import annotations.json -o dataset --format coco", "a COCO file"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add("path", type=file_name, metavar="FOLDER|FILE", help="a folder, or a COCO .json")
        _output(parser, "DATASET", "the dataset's folder; its images stay")
        add(
            "--format",
            type=some_text,
            metavar="NAME",
            help=f"{NAMES}; by default detected by the names of the files",
        )
        add(
            "--labels",
            choices=MEANINGS,
            default="auto",
            help="meaning of the numbers of label images: objects: each number is an object; "
            "pieces: each separate piece is an object, and each of several numbers is a "
            "class; by default one number in several pieces is a mask",
        )

    def run(self, args: argparse.Namespace) -> int:
        """Import; an image that cannot be used is named at the end."""
        from napari_segnet.commands._bar import Bar
        from napari_segnet.export import import_

        report = Bar("import").follow(import_(args.path, args.output, args.format, args.labels))
        return _printed(report, f"added to {args.output}")


class Export:
    """Write a dataset in the format of another program."""

    name = "export"
    help = "write a dataset in the format of another program"
    examples = (
        ("export dataset/ --format coco -o out", "for another program"),
        ("export dataset/ --format cellpose -o out", "for Cellpose"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add("dataset", type=file_name, metavar="DATASET", help="the dataset's folder")
        add("--format", type=some_text, required=True, metavar="NAME", help=NAMES)
        _output(parser, "DIR", "the folder to write; new or empty")

    def run(self, args: argparse.Namespace) -> int:
        """Export; an image that cannot be used is named at the end."""
        from napari_segnet.commands._bar import Bar
        from napari_segnet.dataset import Dataset
        from napari_segnet.export import export

        dataset = Dataset.open(args.dataset)
        report = Bar("export").follow(export(dataset, args.format, args.output))
        return _printed(report, f"written to {args.output}")


def _output(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    parser.add_argument("-o", "--output", type=file_name, required=True, metavar=metavar, help=text)


def _printed(report: Report, where: str) -> int:
    count = len(report.done)
    print(f"{count} image{'' if count == 1 else 's'} {where}")
    for note in report.notes:
        print(f"Note: {note}", file=sys.stderr)
    if report.failed:
        rows = [f"  {name}  {why}" for name, why in report.failed]
        total = count + len(report.failed)
        print(f"{len(report.failed)} of {total} images failed:", *rows, sep="\n", file=sys.stderr)
    return 0 if report.complete else 1
