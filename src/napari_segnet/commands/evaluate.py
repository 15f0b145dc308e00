"""``napari-segnet evaluate``: scores of labels against truth."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.commands._words import file_name
from napari_segnet.errors import MismatchError, OutputError

if TYPE_CHECKING:
    from napari_segnet.evaluate import Scores

__all__ = ["Evaluate"]

SHOWN = ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice", "mean_iou")
WORDS = ("auto", "foreground", "numbers")
LARGE_UM = 1000.0
"""From here on a distance is shown in mm."""


def classes(text: str) -> str | tuple[int, ...]:
    """Return what ``--classes`` says: a word, or numbers."""
    if text in WORDS:
        return text
    return numbers(text)


def numbers(text: str) -> tuple[int, ...]:
    """Return whole numbers that are joined by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not understood: give whole numbers joined by commas, such as 1,2"
        ) from error


class Evaluate:
    """Score labels against truth."""

    name = "evaluate"
    help = "score labels against truth"
    examples = (
        ("evaluate results/ truth/ --csv scores.csv", "two folders, paired by name"),
        ("evaluate a.labels.tif a_mask.png --labels pieces", "a truth that is a mask"),
        ("evaluate seg.nii.gz truth.nii.gz --classes 1,2", "Dice, IoU and HD95 of two classes"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add("predicted", type=file_name, metavar="PREDICTED", help="a label file, or a folder")
        add(
            "truth",
            type=file_name,
            metavar="TRUTH",
            help="the true labels: a file, or a folder, which may have fewer images",
        )
        add(
            "--labels",
            choices=("objects", "pieces"),
            default="objects",
            help="objects (default): each number is an object; pieces: each separate piece is an "
            "object, for masks",
        )
        add(
            "--classes",
            type=classes,
            default="auto",
            metavar="auto|foreground|numbers|1,2,...",
            help="the classes of Dice, IoU and surface distance: the foreground as one class, "
            "each number, or these numbers; auto (default): numbers if they look like "
            "classes",
        )
        add(
            "--ignore",
            type=numbers,
            default=(),
            metavar="NUMBERS",
            help="numbers of undecided pixels in the truth, such as 255",
        )
        add(
            "--within",
            type=file_name,
            metavar="FILE|FOLDER",
            help=(
                "a mask that is not 0 where labels are scored, or a folder with one for each image"
            ),
        )
        add(
            "--csv", type=file_name, metavar="FILE", help="also write a table, a row for each image"
        )
        add("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace) -> int:
        """Print pooled scores, and with ``--json`` those of each image.

        An image that cannot be read or compared is left out of the scores, and named: in
        a table at the end, and under ``failed``.
        """
        from napari_segnet.commands._failure import in_words
        from napari_segnet.evaluate import pairing, pool

        found = pairing(args.predicted, args.truth)
        scored, failed = [], list(found.failed)
        within = _parts(args.within, found.pairs)
        for stem, predicted, truth in found.pairs:
            try:
                scored.append(_scores(stem, predicted, truth, within, args))
            except Exception as error:
                failed.append((stem, in_words(error)))
        pooled = pool(scored)
        notes = (*found.notes, *pooled.notes)
        if args.json:
            reasons = [{"name": name, "error": why} for name, why in failed]
            print(
                json.dumps({**pooled.to_json(), "notes": notes, "failed": reasons}, allow_nan=False)
            )
        elif scored:
            print(*_lines(pooled), sep="\n")
        for note in notes:
            print(f"Note: {note}", file=sys.stderr)
        if failed:
            rows = [f"  {name}  {why}" for name, why in failed]
            total = len(scored) + len(failed)
            print(f"{len(failed)} of {total} images failed:", *rows, sep="\n", file=sys.stderr)
        if args.csv and scored:  # last: a disk that refuses costs no score
            try:
                _write_table(args.csv, pooled)
            except OutputError as error:
                print(in_words(error), file=sys.stderr)
                return 1
        return 1 if failed else 0


def _parts(
    within: Path | None, pairs: Sequence[tuple[str, Path, Path]]
) -> Mapping[str, Path] | None:
    """Return the picture of what is judged by stem; None where all is."""
    from napari_segnet.evaluate import pairing

    if within is None:
        return None
    if not within.is_dir():
        return {stem: within for stem, _, _ in pairs}
    found = pairing(pairs[0][2].parent, within).pairs if pairs else ()
    of_truth = {truth: part for _, truth, part in found}
    return {stem: of_truth[truth] for stem, _, truth in pairs if truth in of_truth}


def _part(within: Mapping[str, Path], stem: str, folder: Path) -> Path:
    if stem not in within:
        raise MismatchError(
            f"{folder} has no mask for {stem}. Add one of the same name that is not 0 where "
            "labels are scored."
        )
    return within[stem]


def _scores(
    stem: str,
    predicted: Path,
    truth: Path,
    within: Mapping[str, Path] | None,
    args: argparse.Namespace,
) -> Scores:
    from napari_segnet.dataset import pieces_of
    from napari_segnet.evaluate import evaluate, read_label_file, read_labels

    ours, theirs = read_label_file(predicted), read_label_file(truth)
    labels, true = ours.pixels, theirs.pixels
    if args.labels == "pieces":
        labels, true = pieces_of(labels), pieces_of(true)
    return evaluate(
        labels,
        true,
        name=stem,
        classes=args.classes,
        where=None if within is None else read_labels(_part(within, stem, args.within)),
        ignore=args.ignore,
        axes=theirs.axes,
        pixel_size_um={**ours.pixel_size_um, **theirs.pixel_size_um},
    )


def _lines(scores: Scores) -> list[str]:
    figures = [(name, getattr(scores, name)) for name in SHOWN]
    lines = [f"{name:12} {_text(value)}" for name, value in figures]
    lines.append(f"{'objects':12} {scores.n_pred} found, {scores.n_true} true")
    lines.append(f"{'images':12} {len(scores.images)}")
    lines.append(f"{'class':12} {'dice':8}{'iou':8}hd95")
    for one in scores.classes:
        distance = _text(one.hd95_px, "px")
        if not math.isnan(one.hd95_um):
            large = one.hd95_um >= LARGE_UM
            distance += f" ({one.hd95_mm:.4g} mm)" if large else f" ({one.hd95_um:.4g} µm)"
        if one.one_sided:
            distance += f"; without {one.one_sided} where one side has none"
        lines.append(f"{one.key:12} {_text(one.dice):8}{_text(one.iou):8}{distance}")
    return lines


def _text(value: float, unit: str = "") -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.4g} {unit}" if unit else f"{value:.4f}"


def _write_table(path: Path, scores: Scores) -> None:
    import csv
    import io

    from napari_segnet.atomic import why, write_text, write_whole
    from napari_segnet.evaluate import rows_of

    text = io.StringIO()
    rows: Any = csv.writer(text, lineterminator="\n")
    rows.writerows(rows_of(scores))
    try:
        write_whole(path, lambda part: write_text(part, text.getvalue()), make_folder=False)
    except OSError as error:
        raise OutputError(f"The table could not be written to {path}: {why(error)}.") from error
