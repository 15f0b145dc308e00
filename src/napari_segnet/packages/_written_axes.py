"""The axes of both tensors of a package of bioimage.io that is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_segnet.checkpoint import Checkpoint

__all__ = ["WrittenAxes", "shared_px"]

LARGEST_HALO = 256
"""Wider halos are left out: programs that cut tiles would have to make them too large."""


@dataclass(frozen=True, slots=True)
class WrittenAxes:
    """The axes of both tensors."""

    checkpoint: Checkpoint
    any_size: bool
    shape: tuple[int, ...]

    def inputs(self) -> list[dict[str, Any]]:
        """Return those of the image."""
        size, rows = self.checkpoint.size.steady(), []
        # The specification wants something to be left between the halos.
        least = size.next_allowed(tuple(2 * edge + 1 for edge in self._halo()))
        for place, name in enumerate("zyx"[-self.checkpoint.ndim :]):
            length: Any = self.shape[place]
            if self.any_size:
                length = {"min": least[place], "step": size.multiple[place]}
            row = {"type": "space", "id": name, "size": length}
            pixel = self.checkpoint.pixel_size_um.get(name)
            rows.append({**row, "scale": pixel, "unit": "micrometer"} if pixel else row)
        return [*self._first([f"channel{n}" for n in range(self.checkpoint.channels)]), *rows]

    def outputs(self) -> list[dict[str, Any]]:
        """Return those of the maps."""
        size, halo, rows = self.checkpoint.size, self._halo(), []
        names = [
            name
            for output in self.checkpoint.outputs
            for name in (
                [output.role]
                if output.channels == 1
                else [f"{output.role}{n}" for n in range(output.channels)]
            )
        ]
        own = self.checkpoint.class_names
        names = list(own) if len(own) == len(names) else names
        for place, name in enumerate("zyx"[-self.checkpoint.ndim :]):
            follows = {"tensor_id": "image", "axis_id": name, "offset": -size.loss[place]}
            length: Any = follows if self.any_size else self.shape[place] - size.loss[place]
            row: dict[str, Any] = {"type": "space", "id": name, "size": length}
            if halo[place]:
                row["halo"] = halo[place]
            rows.append(row)
        return [*self._first(names), *rows]

    def _halo(self) -> tuple[int, ...]:
        """Return pixels at each edge that tiles share; 0 where the package has none."""
        return shared_px(self.checkpoint) if self.any_size else (0,) * self.checkpoint.ndim

    @staticmethod
    def _first(names: list[str]) -> list[dict[str, Any]]:
        return [{"type": "batch"}, {"type": "channel", "channel_names": names}]


def shared_px(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Return the halo that a package says, ``([z,] y, x)``; 0 where it says none.

    It is a multiple of the step of the sizes: bioimageio.core pads an image by the halo at each
    edge, and so sizes remain allowed.
    """
    halo = checkpoint.halo_px
    if halo is None or max(halo) > LARGEST_HALO:
        return (0,) * checkpoint.ndim
    multiple = checkpoint.size.steady().multiple
    return tuple(-(-edge // step) * step for edge, step in zip(halo, multiple, strict=True))
