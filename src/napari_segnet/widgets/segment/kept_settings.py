"""Settings that were entered for one network, and are still there when another is chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import QObject

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.setting_rows import HINTS, LABEL_HINTS
from napari_segnet.widgets.segment.labels_box import LabelsBox
from napari_segnet.widgets.segment.network_box import NetworkBox
from napari_segnet.widgets.segment.run_settings import RunSettings

__all__ = ["KeptSettings"]

OF_NETWORK = (
    *("normalize", "normalize_over", "invert", "scale", "object_px", "object_um"),
    *("mirror", "multiscale"),
)
"""Settings of a run that another network may need otherwise; those of the machine stay."""
RESET = "settings of the new network"
BUTTON = "Use the settings of this network"


class KeptSettings(QObject):
    """Says which settings stay when another network is chosen, and offers to reset them.

    Parameters
    ----------
    network : NetworkBox
        Where networks are chosen.
    run : RunSettings
        How networks are run.
    labels : LabelsBox
        How labels are made.
    message : MessageBar
        Where it is said.
    """

    def __init__(
        self, network: NetworkBox, run: RunSettings, labels: LabelsBox, message: MessageBar
    ) -> None:
        super().__init__(network)
        self._run, self._labels, self._message = run, labels, message
        self._path: Path | None = None
        network.known.connect(self._known)
        message.acted.connect(self._act)

    def _known(self, checkpoint: Checkpoint) -> None:
        before, self._path = self._path, checkpoint.path
        if before is None or before == checkpoint.path:
            return
        if words := self._in_words(checkpoint):
            self._message.offer(f"Settings from before are still in use: {words}.", BUTTON, RESET)

    def _in_words(self, checkpoint: Checkpoint) -> str:
        """Return what the user set of that which this network uses."""
        run, labels = self._run.value("auto"), self._labels.form.value()
        found = [
            f"{hints[name].label or name} {getattr(now, name)}"
            for now, usual, names, hints in (
                (run, PredictSettings(), OF_NETWORK, HINTS),
                (labels, LabelSettings(), answer_of(checkpoint).label_settings, LABEL_HINTS),
            )
            for name in names
            if getattr(now, name) != getattr(usual, name)
        ]
        return ", ".join(" ".join(one.split()) for one in found)

    def _act(self, act: str) -> None:
        if act == RESET:
            run, usual = self._run.value("auto"), PredictSettings()
            changes = {name: getattr(usual, name) for name in OF_NETWORK}
            self._run.set_value(replace(run, **changes))
            self._labels.form.set_value(LabelSettings())
