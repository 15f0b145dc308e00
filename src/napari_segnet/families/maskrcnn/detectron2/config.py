"""What Detectron2 writes down of a network: ``config.yaml``, and buffers of older files."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.budget import parsed_yaml
from napari_segnet.containers import Weights
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.families.maskrcnn.facts import Recorded

__all__ = ["recorded_in"]

NAMES = ("config.yaml", "config.yml")
"""What Detectron2 calls the file that it writes beside its checkpoints."""
INSIDE = ("cfg", "config")
"""Where programs built on it put the same text (or a dict) beside the tensors."""
_MAX_BYTES = 2**20
_MOST_NUMBERS = 64
_LARGEST = 1e6
"""Pixel values have at most 16 bits, anchors fit in a picture."""

_UNSUPPORTED = (
    # (path in the configuration, what it must be, what any other value means)
    ("MODEL.FPN.FUSE_TYPE", "sum", "levels of the pyramid are averaged"),
    ("MODEL.RESNETS.RES5_DILATION", 1, "the last stage is dilated"),
    ("MODEL.ANCHOR_GENERATOR.OFFSET", 0.0, "anchors are shifted"),
    ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", False, "classes do not exclude each other"),
)


def recorded_in(weights: Weights, classes: int) -> tuple[Recorded, list[str]]:
    """Return what is recorded of a network of ``classes`` classes, and notes on what is not used.

    Raises
    ------
    UnsupportedWeightsError
        If a configuration asks for a step that the shared graph does not have.
    """
    notes = []
    for where, config in _configs(weights):
        if not isinstance(config, Mapping) or not isinstance(config.get("MODEL"), Mapping):
            notes.append(f"{where} was not used: it is no configuration of Detectron2")
            continue
        own = _at(config, "MODEL.ROI_HEADS.NUM_CLASSES")
        if own is not None and own != classes:
            notes.append(f"{where} was not used: it has {own} classes, the tensors {classes}")
            continue
        _refuse_unsupported(weights.path.name, where, config)
        said, odd = _values(config)
        notes += [f"{one} of {where} was not used: it cannot be" for one in odd]
        values = {**_buffers(weights), **said}
        return Recorded(where=where, values=values, scale_why=_scale(where, config)), notes
    values = _buffers(weights)
    return Recorded(where="the file's buffers" if values else "", values=values), notes


def _configs(weights: Weights) -> Iterator[tuple[str, Any]]:
    """Yield what may be a configuration: inside first, then beside."""
    for name in INSIDE:
        found = weights.metadata.get(name)
        if isinstance(found, str):
            yield f"the file's {name}", _parsed(found)
        elif isinstance(found, Mapping):
            yield f"the file's {name}", found
    for name in NAMES:
        path = weights.path.with_name(name)
        text = _text(path)
        if text is not None:
            yield f"{name} beside the file", _parsed(text)


def _text(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # what cannot be read is as good as not there
        return None


def _parsed(text: str) -> Any:
    """Return a YAML text as plain values, or None; tags that would make objects are refused."""
    try:
        return parsed_yaml(text)
    except ValueError:
        return None


def _at(config: Mapping[str, Any], path: str) -> Any:
    """Return a value by its dotted path, or None; Python's tuples are text in YAML."""
    value: Any = config
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    if isinstance(value, str) and value[:1] in {"(", "["} and len(value) < 1000:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None
    return list(value) if isinstance(value, tuple) else value


def _refuse_unsupported(name: str, where: str, config: Mapping[str, Any]) -> None:
    """Refuse what the tensors alone would not show to be different."""
    faults = [
        f"{path}: {_shown(value)} ({what})"
        for path, wanted, what in _UNSUPPORTED
        if (value := _at(config, path)) not in (None, wanted)
    ]
    weights = _at(config, "MODEL.RPN.BBOX_REG_WEIGHTS")
    if weights is not None and any(weight != 1 for weight in _numbers(weights) or (0,)):
        faults.append(f"MODEL.RPN.BBOX_REG_WEIGHTS: {_shown(weights)} (proposals are scaled)")
    poolers = [
        tuple(_at(config, f"MODEL.ROI_{head}_HEAD.POOLER_{what}") for what in _POOLER)
        for head in ("BOX", "MASK")
    ]
    if all(None not in pooler for pooler in poolers) and poolers[0] != poolers[1]:
        faults.append("MODEL.ROI_MASK_HEAD.POOLER_TYPE (another than for boxes)")
    elif poolers[0][0] not in (None, *_ALIGNED):
        faults.append(f"MODEL.ROI_BOX_HEAD.POOLER_TYPE: {_shown(poolers[0][0])}")
    if faults:
        raise UnsupportedWeightsError(
            f"{name} is Detectron2's Mask R-CNN with a step that this version does not have: "
            f"{where} says {'; '.join(faults)}. If that is not so, correct it there."
        )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN = 60
_POOLER = ("TYPE", "SAMPLING_RATIO")
_ALIGNED = {"ROIAlignV2": True, "ROIAlign": False}


def _values(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return hyper-parameters by name where they are what they should be, and the other paths."""
    found, odd = {}, []
    for name, path, understood in _KNOWN:
        value = _at(config, path)
        fits = None if value is None else understood(value)
        if fits is not None:
            found[name] = fits
        elif value is not None:
            odd.append(f"{path}: {_shown(value)}")
    return {**found, **_anchors(config)}, odd


def _anchors(config: Mapping[str, Any]) -> dict[str, Any]:
    sizes = _at(config, "MODEL.ANCHOR_GENERATOR.SIZES")
    ratios = _at(config, "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS")
    levels = _at(config, "MODEL.RPN.IN_FEATURES")
    if not isinstance(sizes, list) or not isinstance(ratios, list) or not sizes:
        return {}
    rows = [_numbers(level) for level in sizes]
    heights = [_numbers(level) for level in ratios]
    if None in rows or not heights or any(h != heights[0] for h in heights):
        return {}
    if len(rows) == 1 and isinstance(levels, list):  # the same for all levels
        rows = rows * len(levels)
    return {"anchor_sizes_px": rows, "anchor_ratios": heights[0]}


def _numbers(value: Any, least: float | None = None) -> list[float] | None:
    """Return a short list of finite numbers, all above ``least``; None if it is none."""
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_NUMBERS:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
        return None
    if not all(abs(v) <= _LARGEST and (least is None or v > least) for v in value):
        return None  # not a number fails the first, too
    return [float(v) for v in value]


def _whole(value: Any) -> int | None:
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    return value if fine else None


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else None


def _flag(value: Any) -> str | None:
    return {True: "1x1", False: "3x3"}[value] if isinstance(value, bool) else None


def _word(words: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda value: words.get(value) if isinstance(value, str) else None


def _above_0(value: Any) -> list[float] | None:
    return _numbers(value, least=0)


_KNOWN: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("stride_in", "MODEL.RESNETS.STRIDE_IN_1X1", _flag),
    ("colours", "INPUT.FORMAT", _word({"BGR": "bgr", "RGB": "rgb"})),
    ("pixel_mean", "MODEL.PIXEL_MEAN", _numbers),
    ("pixel_std", "MODEL.PIXEL_STD", _above_0),
    ("roi_aligned", "MODEL.ROI_BOX_HEAD.POOLER_TYPE", _word(_ALIGNED)),
    ("roi_sampling", "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", _whole),
    ("box_weights", "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", _above_0),
    ("mask_pool_px", "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", _whole),
    ("box_nms", "MODEL.ROI_HEADS.NMS_THRESH_TEST", _share),
    ("proposal_nms", "MODEL.RPN.NMS_THRESH", _share),
)
"""A hyper-parameter, where it stands, and what returns it, or None for what it cannot be."""


def _scale(where: str, config: Mapping[str, Any]) -> str:
    edge = _at(config, "INPUT.MIN_SIZE_TEST")
    if not isinstance(edge, int) or edge <= 0:
        return ""
    return (
        f"{where} says that images were resized to {edge} pixels along their shorter side; here "
        "the setting scale (image pixels per network pixel) decides"
    )


# ---- Buffers of older files --------------------------------------------------------------


def _buffers(weights: Weights) -> dict[str, Any]:
    """Return what older files keep as tensors: a few numbers, so they are read at once."""
    found: dict[str, Any] = {}
    for name in ("pixel_mean", "pixel_std"):
        if name in weights.tensors and len(weights.tensors[name].shape) in (1, 3):
            found[name] = [round(v, 4) for v in weights.tensors[name].load().flatten().tolist()]
    cells: list[list[list[float]]] = []
    key = "proposal_generator.anchor_generator.cell_anchors.{}"
    while (name := key.format(len(cells))) in weights.tensors:
        shape = weights.tensors[name].shape
        if len(shape) != 2 or shape[1] != 4 or shape[0] > 100:
            return found
        cells.append(weights.tensors[name].load().tolist())
    levels = [_sizes_and_ratios(level) for level in cells]
    if levels and all(level and level[1] == levels[0][1] for level in levels if levels[0]):
        sizes = [level[0] for level in levels if level]
        if len(sizes) == len(levels) and levels[0]:
            found |= {"anchor_sizes_px": sizes, "anchor_ratios": levels[0][1]}
    return found


def _sizes_and_ratios(cells: list[list[float]]) -> tuple[list[float], list[float]] | None:
    """Return sizes and ratios (height / width) of anchors that are counted size by size."""
    edges = [(x1 - x0, y1 - y0) for x0, y0, x1, y1 in cells]
    if not edges or any(w <= 0 or h <= 0 for w, h in edges):
        return None
    every = [(round((w * h) ** 0.5, 2), round(h / w, 3)) for w, h in edges]
    sizes = list(dict.fromkeys(size for size, _ in every))
    ratios = list(dict.fromkeys(ratio for _, ratio in every))
    return (sizes, ratios) if every == [(s, r) for s in sizes for r in ratios] else None
