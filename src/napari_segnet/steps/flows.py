"""Pixels that flow together are an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.errors import MismatchError
from napari_segnet.flows import flow_errors, follow, gathered
from napari_segnet.half import widened
from napari_segnet.segmentation import Kind
from napari_segnet.steps._channels import channel_of, object_map
from napari_segnet.steps._types import filled_in
from napari_segnet.steps.ids import count_pixels, look_up, relabel_raster

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings, Unit

__all__ = ["FlowLabeler"]

STEPS = 200
"""As Cellpose has it for objects of the size that its networks are trained on."""
MOST_OF_IMAGE = 0.4
"""As Cellpose has it: what fills more of an image is no object, unless all are kept."""

Labels = npt.NDArray[np.int32]


class FlowLabeler:
    """Each pixel above ``threshold`` goes ``flow_steps`` along the output ``flow``.

    Those that end together are an object, unless its own flows are further than
    ``flow_threshold`` from what the network says.
    """

    name = "flows"
    kind: Kind = "instance"

    def label(self, unit: Unit, settings: LabelSettings) -> Labels:
        """Return int32 labels ``(y, x)``; ids 1..n in raster order."""
        first = channel_of(unit.outputs, "flow")
        if first is None or unit.maps.ndim != 3:
            raise MismatchError(
                "instances=flows needs a network with an output flow that answers plane by plane. "
                "Set instances to auto."
            )
        threshold = filled_in(settings.threshold, "threshold")
        worst = filled_in(settings.flow_threshold, "flow_threshold")
        labels, errors = _found(unit, first, threshold, settings.flow_steps or STEPS, worst > 0)
        if not worst:
            return relabel_raster(labels.copy())
        kept = (errors <= worst) & (count_pixels(labels) <= MOST_OF_IMAGE * labels.size)
        numbers = np.where(kept, np.arange(kept.size, dtype=np.int32), 0)
        return relabel_raster(look_up(labels.copy(), numbers))


def _found(
    unit: Unit, first: int, threshold: float, steps: int, judged: bool
) -> tuple[Labels, npt.NDArray[np.float64]]:
    """Return all objects and the error of each; those of a kept answer once."""
    key = (unit.key, threshold, steps, judged)
    kept = cache.followed.get(key) if unit.key else None
    if kept is None:
        kept = _followed(unit, first, threshold, steps, judged)
        if unit.key:
            cache.followed.put(key, kept, sum(part.nbytes for part in kept))
    return kept


def _followed(
    unit: Unit, first: int, threshold: float, steps: int, judged: bool
) -> tuple[Labels, npt.NDArray[np.float64]]:
    flows = np.nan_to_num(widened(unit.maps[first : first + 2]))
    inside: npt.NDArray[Any] = object_map(unit, threshold) > 0
    labels = gathered(follow(flows, inside, steps), inside)
    return labels, flow_errors(labels, flows) if judged else np.zeros(1)
