"""Anchors of a Mask R-CNN: told, recorded or assumed, as many as the tensors say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segnet.checkpoint import Known
from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.hparams import list_of
from napari_segnet.families.maskrcnn.shapes import level_strides

__all__ = ["settle_anchors"]

ANCHOR_EDGES = 8
"""Edge of an anchor in strides of its level: 32 pixels at stride 4, up to 512 at 64
(Lin et al. 2017; the defaults of torchvision, Detectron2 and MMDetection alike)."""

RATIOS = (0.5, 1.0, 2.0)
"""Height / width of their anchors."""

_ODD = "a guess: {} boxes per place are not those of the usual three ratios; better tell them"


def settle_anchors(
    read: Mapping[str, Any],
    overrides: Mapping[str, Any],
    recorded: Mapping[str, Any],
    where: str,
    usual_ratios: tuple[float, ...] = RATIOS,
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Return sizes for each level and ratios that make all anchors of a place.

    ``usual_ratios`` are the three of the program, in its order.
    """
    per_place, levels = int(read["anchors_per_pixel"]), len(read["levels"]) + 1
    fits = _fitting(recorded, per_place, levels)
    if "anchor_ratios" in overrides:
        ratios = list_of("anchor_ratios", overrides["anchor_ratios"])
        known = {"anchor_ratios": Known(source="told", why="by the user")}
    elif fits:
        ratios = recorded["anchor_ratios"]
        known = {"anchor_ratios": Known(source="read", why=f"recorded in {where}")}
    else:
        usual = per_place % len(RATIOS) == 0
        ratios = list(usual_ratios) if usual else [1.0]
        why = "the default" if usual else _ODD.format(per_place)
        known = {"anchor_ratios": Known(source="assumed", why=why)}
    if per_place % len(ratios) or any(isinstance(ratio, list) for ratio in ratios):
        raise SettingsError(
            f"The network proposes {per_place} boxes per place, which {len(ratios)} anchor_ratios "
            "cannot make. Tell as many ratios as were used in training, such as "
            "anchor_ratios=0.5,1,2."
        )
    count = per_place // len(ratios)
    if "anchor_sizes_px" in overrides:
        sizes = _sizes_of(overrides["anchor_sizes_px"], count, levels)
        known["anchor_sizes_px"] = Known(source="told", why="by the user")
    elif fits and ratios == recorded["anchor_ratios"]:
        sizes = recorded["anchor_sizes_px"]
        known["anchor_sizes_px"] = Known(source="read", why=f"recorded in {where}")
    else:
        sizes, why = _assumed_sizes(count, _anchor_edges(read), len(ratios) == len(RATIOS))
        known["anchor_sizes_px"] = Known(source="assumed", why=why)
    return {"anchor_ratios": ratios, "anchor_sizes_px": sizes}, known


def _fitting(values: Mapping[str, Any], per_place: int, levels: int) -> bool:
    """Tell if recorded anchors are as many as the tensors say."""
    sizes, ratios = values.get("anchor_sizes_px"), values.get("anchor_ratios")
    if not sizes or not ratios or len(sizes) != levels:
        return False
    return all(len(level) * len(ratios) == per_place for level in sizes)


def _anchor_edges(read: Mapping[str, Any]) -> list[int]:
    """Return the usual edge of each level's anchors in pixels."""
    strides = level_strides(read)
    return [ANCHOR_EDGES * stride for stride in (*strides, 2 * strides[-1])]


def _assumed_sizes(count: int, edges: list[int], usual: bool) -> tuple[list[list[float]], str]:
    """Return ``count`` sizes for each level, in pixels."""
    if count == 5 and usual:
        every: list[float] = [32, 64, 128, 256, 512]
        why = "all five default sizes of torchvision on every level, as its MobileNet has them"
        return [list(every) for _ in edges], why
    if count == 1:
        why = "the default; networks for small cells were often trained with smaller ones"
        return [[edge] for edge in edges], why
    why = f"a guess: {count} sizes per level, evenly between one level and the next; better tell it"
    return [[edge * 2 ** (i / count) for i in range(count)] for edge in edges], why


def _sizes_of(given: Any, count: int, levels: int) -> list[list[float]]:
    sizes = list_of("anchor_sizes_px", given)
    if not any(isinstance(size, list) for size in sizes):
        flat = sizes
        # One list for every level, or one size for each level.
        sizes = [flat] * levels if count > 1 else [[size] for size in flat]
    if len(sizes) != levels or any(
        not isinstance(level, list) or len(level) != count for level in sizes
    ):
        flat = [8.0 * 2**i for i in range(levels)]
        example = (
            [[size] * count for size in flat] if count > 1 else ",".join(f"{s:g}" for s in flat)
        )
        raise SettingsError(
            f"anchor_sizes_px must have {count} for each of the {_word(levels)} levels, such as "
            f"{example}, not {given!r}. Correct the setting."
        )
    return sizes


def _word(count: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five"}.get(count, str(count))
