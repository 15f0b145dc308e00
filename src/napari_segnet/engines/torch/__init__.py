"""Networks run by torch; it is imported when something is asked of them, not before.

The names of this package come from its files on first use: ``from napari_segnet.engines.torch
import load`` imports torch, ``from napari_segnet.engines.torch import TorchKind`` does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.engines.torch.device import best_device as best_device
    from napari_segnet.engines.torch.device import free_bytes as free_bytes
    from napari_segnet.engines.torch.device import is_out_of_memory as is_out_of_memory
    from napari_segnet.engines.torch.engine import Network as Network
    from napari_segnet.engines.torch.engine import TorchEngine as TorchEngine
    from napari_segnet.engines.torch.engine import check_precision as check_precision
    from napari_segnet.engines.torch.weights import load as load
    from napari_segnet.recognition import family_of as family_of
    from napari_segnet.recognition import identify as identify

__all__ = [
    "Network",
    "TorchEngine",
    "TorchKind",
    "best_device",
    "check_precision",
    "family_of",
    "free_bytes",
    "identify",
    "is_out_of_memory",
    "load",
]

# Public name -> the module it is in.
_HOMES = {
    "Network": "engines.torch.engine",
    "TorchEngine": "engines.torch.engine",
    "best_device": "engines.torch.device",
    "check_precision": "engines.torch.engine",
    "family_of": "recognition",
    "free_bytes": "engines.torch.device",
    "identify": "recognition",
    "is_out_of_memory": "engines.torch.device",
    "load": "engines.torch.weights",
}


class TorchKind:
    """Runs every family, since each builds a ``torch.nn.Module``; see ``engines.EngineKind``."""

    name = "torch"

    def runs(self, checkpoint: Checkpoint) -> bool:
        """Tell if a network is of a family that builds a module; all of them do."""
        return True

    def devices(self) -> tuple[str, ...]:
        """Return the devices that torch has here, the best first."""
        from napari_segnet.engines.torch.device import devices

        return devices()

    def precisions(self, device: str) -> tuple[str, ...]:
        """Return what can be computed in on a device: lower ones on GPUs of NVIDIA only."""
        from napari_segnet.engines.torch.device import precisions

        return precisions(device)

    def load(self, checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> TorchEngine:
        """Read the weights and put them on a device; loaded networks are kept for a while."""
        from napari_segnet.engines.torch.weights import load

        return load(checkpoint, device, threads)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: Any = getattr(importlib.import_module(f"napari_segnet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
