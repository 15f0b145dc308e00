"""Networks run by OpenVINO, the extra ``[fast]``; it is imported when something is asked of them.

A network is converted once, from the module that torch runs, and kept on disk (``store.py``). On
processors of Intel and AMD it answers two to four times as fast as torch, and differs from it by
rounding alone, which is measured before a converted network is used (``convert.py``).
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from napari_segnet.errors import MissingExtraError

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.engines.openvino.engine import OpenVinoEngine

__all__ = ["OpenVinoKind"]


class OpenVinoKind:
    """Runs networks that answer with maps, where OpenVINO is there; see ``engines.EngineKind``."""

    name = "openvino"

    def installed(self) -> bool:
        """Tell if the package is there; it is not imported."""
        return importlib.util.find_spec("openvino") is not None

    def require(self) -> None:
        """Refuse to work without the package.

        Raises
        ------
        MissingExtraError
            If it is not installed; names the extra that brings it.
        """
        if not self.installed():
            raise MissingExtraError(
                "The engine openvino needs the package openvino, which is not installed. Install "
                "the extra [fast]: pip install 'napari-segnet[fast]', or set engine=auto."
            )

    def runs(self, checkpoint: Checkpoint) -> bool:
        """Tell if a network answers with maps and is not known not to convert."""
        if not self.installed():
            return False
        from napari_segnet.engines.openvino.store import kept_network
        from napari_segnet.families import MapFamily
        from napari_segnet.recognition import family_of

        if not isinstance(family_of(checkpoint), MapFamily):
            return False
        return kept_network(checkpoint).refusal is None

    def devices(self) -> tuple[str, ...]:
        """Return graphics of Intel as ``xpu:N``, as torch calls them, and ``cpu``."""
        self.require()
        from napari_segnet.engines.openvino.device import devices

        return devices()

    def precisions(self, device: str) -> tuple[str, ...]:
        """Return what can be computed in: full precision, on every device."""
        return ("fp32",)

    def load(
        self, checkpoint: Checkpoint, device: str = "auto", threads: int = 0
    ) -> OpenVinoEngine:
        """Compile the converted network for a device; it is converted if it never was."""
        self.require()
        from napari_segnet.engines.openvino.engine import load

        return load(checkpoint, device, threads)
