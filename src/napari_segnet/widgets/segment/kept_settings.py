"""Settings that were entered for a network, before another is chosen or napari is closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SettingsError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.widgets.qt.form_rows import Hint
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.recent import last_settings, remember_settings
from napari_segnet.widgets.qt.setting_rows import HINTS, LABEL_HINTS
from napari_segnet.widgets.segment.labels_box import LabelsBox
from napari_segnet.widgets.segment.network_box import NetworkBox
from napari_segnet.widgets.segment.run_settings import RunSettings

__all__ = ["KeptSettings"]

USUAL = PredictSettings()
OF_NETWORK = (
    *("normalize", "normalize_over", "invert", "scale", "object_px", "object_um"),
    *("mirror", "multiscale"),
)
"""Settings of a run that another network may need otherwise; those of the machine stay."""
OF_INPUT = ("normalize", "normalize_over", "invert")
"""Of these, what holds of the next image, too, and is not in most files."""
RESET = "settings of the new network"
BUTTON = "Use the settings of this network"
REPEAT = "settings of the last run"
REPEAT_BUTTON = "Use this again"


class KeptSettings(QObject):
    """Says which settings stay when another network is chosen, and offers to reset them.

    Where none was entered, it offers those of the last run of this network, also of another day.

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
        if before == checkpoint.path:
            return
        if before is not None and (words := self._in_words(checkpoint)):
            said = f"Settings from before are still in use: {words}."
            self._message.offer(said, BUTTON, RESET, lasts=True)
            return
        now, last = self._run.value("auto"), self._of_last_run(checkpoint.path)
        if last is not None and all(getattr(now, n) == getattr(USUAL, n) for n in OF_INPUT):
            said = ", ".join(_words(last, USUAL, OF_INPUT, HINTS))
            words = f"This network last ran with {said}."
            self._message.offer(words, REPEAT_BUTTON, REPEAT, lasts=True)

    def remember(self, path: Path, ran: PredictSettings) -> None:
        """Remember how the input of a network was prepared for a run that has ended."""
        entered = {
            n: str(getattr(ran, n)) for n in OF_INPUT if getattr(ran, n) != getattr(USUAL, n)
        }
        remember_settings(path, entered)

    def _of_last_run(self, path: Path) -> PredictSettings | None:
        """Return the settings with those of the last run; None where it had none of its own."""
        kept: dict[str, Any] = {n: v for n, v in last_settings(path).items() if n in OF_INPUT}
        try:
            return replace(self._run.value("auto"), **kept) if kept else None
        except SettingsError:
            return None  # of another version

    def _in_words(self, checkpoint: Checkpoint) -> str:
        """Return what the user set of that which this network uses."""
        run, labels = self._run.value("auto"), self._labels.form.value()
        names = answer_of(checkpoint).label_settings
        return ", ".join(
            (
                *_words(run, USUAL, OF_NETWORK, HINTS),
                *_words(labels, LabelSettings(), names, LABEL_HINTS),
            )
        )

    def _act(self, act: str) -> None:
        if act == RESET:
            changes = {name: getattr(USUAL, name) for name in OF_NETWORK}
            self._run.set_value(replace(self._run.value("auto"), **changes))
            self._labels.form.set_value(LabelSettings())
        elif act == REPEAT and self._path is not None:
            last = self._of_last_run(self._path)
            if last is not None:
                self._run.set_value(last)


def _words(now: Any, usual: Any, names: Iterable[str], hints: Mapping[str, Hint]) -> list[str]:
    """Return the settings that are not as usual, each in words."""
    return [
        " ".join(f"{hints[name].label or name} {getattr(now, name)}".split())
        for name in names
        if getattr(now, name) != getattr(usual, name)
    ]
