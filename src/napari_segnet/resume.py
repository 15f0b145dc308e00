"""Is the result that lies there the one that this run would make? Then the run goes on behind it.

What is compared is what changes labels: the network and what was told of it, the settings, that the
picture is no other one, and that its files have the size and time that they had then.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_segnet.answers import answer_of
from napari_segnet.budget import parsed_json
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.inference import LabelSettings, network_record
from napari_segnet.plan import PredictSettings
from napari_segnet.plan.found import normalize_by_source
from napari_segnet.plan.input import multiscale
from napari_segnet.plan.settings import FIND, FORMER_RUNS, SOURCE
from napari_segnet.readers import address_of
from napari_segnet.stamp import is_changed
from napari_segnet.steps import FORMERLY

__all__ = ["Run", "difference", "read_record"]

HEAD_BYTES = 2**18
"""The part of a record before its rows of labels is shorter."""
CUT = {"boundary", "distance"}
"""Outputs of networks that the setting ``cut_by`` is for."""
ROWS = '\n "labels": ['
"""Where the rows of labels begin in a record that this package wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run asks for, of every image.

    Attributes
    ----------
    checkpoint : Checkpoint
        The network.
    predict, label : PredictSettings, LabelSettings
        How it is run, and how labels are made.
    axes : str or None
        What is told of the axes of the images.
    """

    checkpoint: Checkpoint
    predict: PredictSettings
    label: LabelSettings
    axes: str | None = None


def read_record(path: Path) -> Mapping[str, Any] | None:
    """Return the record of a result, perhaps without its rows of labels; None if it is none."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(HEAD_BYTES)
            head, rows, _ = text.partition(ROWS)
            text = f"{head}{ROWS}]}}" if rows else text + file.read()
        found = parsed_json(text, file_names=True)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def difference(
    run: Run, record: Mapping[str, Any], files: Iterable[Path], images: Iterable[Path]
) -> str | None:
    """Return in what a result is another than that of a run; None if it is the same.

    Parameters
    ----------
    run : Run
        What is asked for.
    record : mapping
        What lies there; see :func:`read_record`.
    files : iterable of Path
        All that the result has to have; the record is the last.
    images : iterable of Path
        The picture, or the files of its channels.

    Returns
    -------
    str or None
        The part of a sentence behind "it": ``"was made with threshold = 0.4 instead of 0.5"``.
    """
    files = list(files)
    lacking = [file.name for file in files if not file.exists()]
    if lacking:
        return f"lacks {' and '.join(lacking)}"
    made, mine = _part(record, "checkpoint"), network_record(run.checkpoint)
    if made.get("sha256") != mine["sha256"]:
        return f"was made with another network ({Path(str(made.get('path'))).name})"
    if made.get("told") != _plain(mine["told"]):
        return "was made with something else told of the network"
    if _part(record, "image").get("axes_told") != run.axes:
        return "was made with other axes"
    other = _other_predict(run, record) or _other_label(run, record)
    if other is not None:
        return "was made with {} = {} instead of {}".format(*other)
    images = list(images)
    for old, new in zip(_made_of(record), images, strict=False):
        if _is_other_picture(old, new):
            return f"was made of {old}"
    changed = _changed(_part(record, "image").get("stamps"), images, files[-1])
    return f"was made before {changed} changed" if changed else None


def _changed(kept: Any, images: list[Path], record: Path) -> str | None:
    """Return the name of a file of the picture that changed since; None if none did.

    Records of earlier versions know no stamps: there a file that is newer has changed.
    """
    written = record.stat().st_mtime_ns
    stamps = kept if isinstance(kept, list) and len(kept) == len(images) else [None] * len(images)
    for path, stamp in zip(images, stamps, strict=True):
        if not path.is_file():
            continue
        pair = isinstance(stamp, list) and [type(part) for part in stamp] == [int, int]
        if is_changed(path, stamp) if pair else path.stat().st_mtime_ns > written:
            return path.name
    return None


def _made_of(record: Mapping[str, Any]) -> list[Path]:
    """Return the files of the picture, as they were called then."""
    image = _part(record, "image")
    parts = image.get("channels_from")
    names = parts if isinstance(parts, list) else [image.get("source")]
    return [Path(name) for name in names if isinstance(name, str)]


def _is_other_picture(old: Path, new: Path) -> bool:
    """Tell if two paths are two pictures; one that is not there any more has moved."""
    if (address := address_of(new)) or address_of(old):
        return bool(address) and address_of(old) not in (None, address)
    if {_kind(old), _kind(new)} == {".hdr", ".img"}:  # the two files of one volume
        return False
    try:
        alike = old.is_file() if new.is_file() else old.is_dir() and old.name == new.name
        return alike and not old.samefile(new)
    except OSError:
        return False


def _kind(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _other_predict(run: Run, record: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return name, old and new value of the first setting that differs."""
    made = _part(record, "predict")
    found = _part(_part(_part(record, "engine"), "found"), "settings")
    wishes = _plain(dataclasses.asdict(run.predict))
    several = multiscale(run.checkpoint, run.predict)
    formerly = FORMER_RUNS if several else {"multiscale": run.predict.multiscale}
    for name, wish in wishes.items():
        had = made.get(name, formerly.get(name))
        if name == "normalize" and wish == SOURCE:
            wish = normalize_by_source(run.checkpoint)
        if had == wish or (wish == FIND and name in found):
            continue
        if name == "engine" and wish == "auto" and isinstance(had, str):
            continue  # what auto came to
        return name, had, wish
    return None


def _other_label(run: Run, record: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    made, checkpoint = _part(record, "label"), run.checkpoint
    advice = checkpoint.card.get("label", {})
    asked = answer_of(checkpoint).settings(run.label, checkpoint.outputs, advice)
    cut = asked.instances == "watershed" and CUT <= {o.role for o in checkpoint.outputs}
    formerly = FORMERLY if cut else {"cut_by": asked.cut_by}
    for name, wish in _plain(dataclasses.asdict(asked)).items():
        had = made.get(name, formerly.get(name))
        if had != wish and not (name == "flow_steps" and not wish):  # 0: as the image asks for
            return name, had, wish
    return None


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _plain(value: Any) -> Any:
    """Return a value as a record has it: JSON knows no tuples."""
    return json.loads(json.dumps(value, default=str))
