"""``napari-segnet segment``: images become labels."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import SegnetError, SettingsError
from napari_segnet.settings import field_names, parse_pairs, settings_from, suggestion

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.predict import LabelSettings, PredictSettings
    from napari_segnet.progress import Progress

__all__ = ["Segment"]

BUILT_IN = "nuclei"
FOLDER = Path("segmented")
REPORT_S = 2.0
"""Where the output is no terminal, a line of progress so often."""


class Segment:
    """Make labels of images."""

    name = "segment"
    help = "make labels of images with a network"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add("images", nargs="+", type=Path, metavar="IMAGE", help="pictures, or folders of them")
        add("-c", "--checkpoint", help=f"weights file or built-in network (default {BUILT_IN})")
        add("-o", "--output", type=Path, default=FOLDER, help=f"folder (default {FOLDER})")
        add("--save-maps", action="store_true", help="also write what the network says")
        add("--device", help="auto, cpu, mps, cuda or cuda:N")
        add(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a setting, or a fact of the network that its file does not say",
        )
        add("--settings", type=Path, help="a JSON file: settings, or the .json of an earlier run")
        add("--overwrite", action="store_true", help="replace results that are there already")
        add("--json", action="store_true", help="print one JSON object per image")

    def run(self, args: argparse.Namespace) -> int:
        """Check everything that can be checked first, then go through the images."""
        plan = _plan(args)
        failed: list[tuple[Path, str]] = []
        for number, (stem, path) in enumerate(plan.images.items(), 1):
            bar = _Bar(f"[{number}/{len(plan.images)}] {path.name}")
            try:
                done = _one(plan, stem, path, bar)
            except SegnetError as error:
                bar.end("failed")
                failed.append((path, str(error)))
                done = {"image": str(path), "error": str(error)}
            if args.json:
                print(json.dumps(done, allow_nan=False), flush=True)
        if not args.json:
            good = len(plan.images) - len(failed)
            print(f"{good} of {len(plan.images)} images are in {plan.folder}")
        if failed:
            print(_table(failed), file=sys.stderr)
        return 1 if failed else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A run, checked as far as it can be without reading an image."""

    checkpoint: Checkpoint
    images: Mapping[str, Path]
    folder: Path
    axes: str | None
    predict: PredictSettings
    label: LabelSettings
    save_maps: bool
    overwrite: bool


def _plan(args: argparse.Namespace) -> _Plan:
    """Refuse what cannot work before any image is read."""
    from napari_segnet.network import best_device, check_precision, load
    from napari_segnet.predict import LabelSettings, PredictSettings
    from napari_segnet.prepare import parse_normalizer
    from napari_segnet.results import check_output
    from napari_segnet.steps import resolve

    earlier = _earlier(args.settings)
    given = parse_pairs(args.set)
    axes = given.pop("axes", earlier.get("axes"))
    predict = dict(earlier["predict"])
    label = dict(earlier["label"])
    told = dict(earlier["told"])
    for key, value in given.items():
        if key in field_names(PredictSettings):
            predict[key] = value
        elif key in field_names(LabelSettings):
            label[key] = value
        else:
            told[key] = value
    if args.device is not None:
        predict["device"] = args.device
    if args.save_maps:
        predict.setdefault("maps", "float32")
    predict_settings = settings_from(PredictSettings, predict)
    label_settings = settings_from(LabelSettings, label)
    device = best_device(predict_settings.device)
    if predict_settings.precision != "auto":
        check_precision(predict_settings.precision, device)
    if predict_settings.normalize != "auto":
        parse_normalizer(predict_settings.normalize)
    images = _stems(args.images)
    checkpoint = _identified(args.checkpoint or earlier["checkpoint"] or BUILT_IN, told)
    resolve(label_settings, checkpoint.outputs, checkpoint.card.get("label", {}), checkpoint.task)
    for stem in images:
        check_output(args.output, stem, overwrite=args.overwrite, save_maps=args.save_maps)
    # Weights that are cut off show now, not after the first image was read.
    load(checkpoint, predict_settings.device)
    return _Plan(
        checkpoint=checkpoint,
        images=images,
        folder=args.output,
        axes=axes,
        predict=predict_settings,
        label=label_settings,
        save_maps=args.save_maps,
        overwrite=args.overwrite,
    )


def _one(plan: _Plan, stem: str, path: Path, bar: _Bar) -> dict[str, Any]:
    """Segment one image and write its files."""
    from napari_segnet.predict import label, predict
    from napari_segnet.readers import open_image
    from napari_segnet.results import write_segmentation
    from napari_segnet.segmentation import Instances, Maps

    begun = time.perf_counter()
    image = open_image(path, plan.axes)
    prediction = bar.follow(predict(plan.checkpoint, image, plan.predict))
    made = bar.follow(label(prediction, plan.label))
    answer = prediction.answer
    files = write_segmentation(
        made,
        plan.folder,
        stem,
        overwrite=plan.overwrite,
        maps=answer if plan.save_maps and isinstance(answer, Maps) else None,
        instances=answer if plan.save_maps and isinstance(answer, Instances) else None,
    )
    seconds = time.perf_counter() - begun
    count = len(made.label_score)
    what = "objects" if made.kind == "instance" else "classes"
    bar.end(f"{count} {what}, {seconds:.1f} s on {made.origin.device}")
    for note in made.origin.notes:
        print(f"  note: {note}", file=sys.stderr)
    return {
        "image": str(path),
        "files": [str(file) for file in files],
        "kind": made.kind,
        "n_labels": count,
        "device": made.origin.device,
        "rung": made.origin.rung,
        "notes": list(made.origin.notes),
        "seconds": round(seconds, 3),
    }


def _identified(weights: str, told: Mapping[str, Any]) -> Checkpoint:
    """Recognise the network; an unknown key of ``--set`` may also be a mistyped setting."""
    from napari_segnet.network import identify
    from napari_segnet.predict import LabelSettings, PredictSettings

    try:
        return identify(weights, told)
    except SettingsError as error:
        known = ["axes", *field_names(PredictSettings), *field_names(LabelSettings)]
        strange = [f"{key!r}{suggestion(key, known)}" for key in told]
        raise SettingsError(
            f"{', '.join(strange)}: not a setting of the run. {error} Settings of the run: "
            f"{', '.join(known)}."
        ) from error


def _earlier(path: Path | None) -> dict[str, Any]:
    """Read settings from a file: the ``.json`` of an earlier run, or a flat object."""
    from napari_segnet.predict import LabelSettings, PredictSettings

    found: dict[str, Any] = {
        "predict": {},
        "label": {},
        "told": {},
        "checkpoint": None,
        "axes": None,
    }
    if path is None:
        return found
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The settings file {path} cannot be read ({error}). Give the .json file that an "
            'earlier run wrote, or one like {"threshold": 0.4}.'
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"The settings file {path} holds no JSON object with settings.")
    if isinstance(content.get("predict"), dict):
        origin = content.get("checkpoint") or {}
        found.update(predict=content["predict"], label=content.get("label") or {})
        found.update(told=origin.get("told") or {}, checkpoint=_same(origin, path))
        return found
    for key, value in content.items():
        if key in ("axes", "checkpoint"):
            found[key] = value
        elif key in field_names(PredictSettings):
            found["predict"][key] = value
        elif key in field_names(LabelSettings):
            found["label"][key] = value
        else:
            found["told"][key] = value
    return found


def _same(origin: Mapping[str, Any], path: Path) -> str | None:
    """Return the weights of an earlier run, if they are still those."""
    from napari_segnet.network import builtin_models, identify

    weights = origin.get("path")
    if weights is None:
        return None
    for name, built_in in builtin_models().items():
        if built_in.name == Path(weights).name and identify(name).sha256 == origin.get("sha256"):
            return name
    if not Path(weights).exists():
        return None
    told = origin.get("told") or {}
    if identify(weights, told).sha256 != origin.get("sha256"):
        raise SettingsError(
            f"{weights} is no longer the file that {path} was made with, so the run would not be "
            "repeated. Name the weights yourself with -c."
        )
    return str(weights)


def _stems(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the images by the stem of their results."""
    from napari_segnet.readers import image_paths

    stems: dict[str, Path] = {}
    for path in image_paths(list(paths)):
        stem = path.name.removesuffix(path.suffix)
        for ending in (".ome",):
            stem = stem.removesuffix(ending)
        if stem in stems:
            raise SettingsError(
                f"{stems[stem]} and {path} would both be written as {stem}.labels.tif. Segment "
                "them in two runs with different folders (-o)."
            )
        stems[stem] = path
    return stems


class _Bar:
    """One line of progress on standard error."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._terminal = sys.stderr.isatty()
        self._last = -REPORT_S

    def follow(self, steps: Any) -> Any:
        """Do a job, show how far it is, and return its result."""
        while True:
            try:
                self._show(next(steps))
            except StopIteration as stop:
                return stop.value
            except KeyboardInterrupt:
                steps.close()
                self.end("stopped")
                raise

    def end(self, text: str) -> None:
        """Close the line with what came of it."""
        start = "\r\033[K" if self._terminal else ""
        print(f"{start}{self._title}: {text}", file=sys.stderr, flush=True)

    def _show(self, report: Progress) -> None:
        now = time.monotonic()
        if not self._terminal and now - self._last < REPORT_S:
            return
        self._last = now
        text = f"{self._title}: {report.what} {report.done} of {report.total}"
        if self._terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def _table(failed: list[tuple[Path, str]]) -> str:
    rows = [f"  {path}: {why}" for path, why in failed]
    return "\n".join([f"{len(failed)} failed:", *rows])
