"""What every worker of a cluster is told of a network, those that join later as well."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_segnet.engines.apart._there import Wanted, introduce

try:
    from distributed import WorkerPlugin
except ModuleNotFoundError:  # without the extra [cluster] nobody makes one
    WorkerPlugin = object

__all__ = ["Introduce"]


class Introduce(WorkerPlugin):  # type: ignore[misc]  # dask has no types
    """Puts the weights on a worker's disk, and names the engine.

    Parameters
    ----------
    wanted : Wanted
        Which engine.
    weights : bytes or None
        The file of the weights; None where each worker sees them under the same path.
    """

    def __init__(self, wanted: Wanted, weights: bytes | None) -> None:
        self.name = f"napari-segnet {wanted.key}"
        self._wanted, self._weights = wanted, weights

    def setup(self, worker: Any) -> None:
        """Do it on a worker; a plugin does this once for each."""
        wanted = self._wanted
        if self._weights is not None:
            network = wanted.checkpoint  # whose own file need not be on this machine
            file = Path(worker.local_directory, f"{wanted.sha256}{network.path.suffix}")
            file.write_bytes(self._weights)
            wanted = replace(wanted, checkpoint=replace(network, path=file, stamp=None))
        introduce(replace(wanted, device=_own_device(wanted.device, str(worker.name))))


def _own_device(wish: str, worker: str) -> str:
    """Return the device of a worker: of several graphics processors one, by its number."""
    from napari_segnet.engines.torch.device import devices

    chips = [name for name in devices() if name.startswith("cuda")]
    if wish not in ("auto", "cuda") or len(chips) < 2:
        return wish
    number = re.search(r"\d+$", worker)
    return chips[int(number[0]) % len(chips)] if number else chips[0]
