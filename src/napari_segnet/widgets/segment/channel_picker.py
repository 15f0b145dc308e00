"""Which image channels the network gets."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["ChannelBox"]

AUTOMATIC = -1
STAINS = ("hematoxylin", "eosin", "dab")
"""Those of :mod:`napari_segnet.prepare.channels`, for a network of one channel."""
GREY_REPEATED = 3
"""A network of so many channels takes one of grey three times."""
MOST_INPUTS = 8
"""More network channels than that are not mapped one by one."""


class ChannelBox(QWidget):
    """One choice per channel of the network; hidden where there is nothing to choose."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_channels")
        self._names: tuple[str, ...] = ()
        self._wanted = 0
        self._layers = False
        self._combos: list[QComboBox] = []
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self.hide()

    def offer(
        self,
        names: Sequence[str],
        wanted: int,
        rgb: bool,
        *,
        layers: bool = False,
        in_view: int = 0,
    ) -> None:
        """Offer the channels of an image to a network.

        Parameters
        ----------
        names : sequence of str
            Of the image's channels.
        wanted : int
            Channels that the network takes.
        rgb : bool
            The image is a colour picture.
        layers : bool
            The names are those of layers of one channel each, the chosen one first.
        in_view : int
            The channel that is looked at: it is proposed where one is to be chosen of several.
        """
        fits = len(names) == wanted or len(names) == 1 or (rgb and wanted in (1, 3))
        if layers:
            fits = wanted == GREY_REPEATED
        if (tuple(names), wanted, layers) == (self._names, self._wanted, self._layers):
            return
        self._names, self._wanted, self._layers = tuple(names), wanted, layers
        while self._form.rowCount():
            self._form.removeRow(0)
        self._combos = []
        if len(names) < 2 or wanted > MOST_INPUTS:
            self.hide()
            return
        what = f"The image has {len(names)} channels, the network takes {wanted}. "
        if layers:
            what = f"The network takes {wanted} channels. {len(names)} layers have one each. "
        head = QLabel(
            what + ("Change this if the order differs:" if fits else "Choose the channels:")
        )
        head.setWordWrap(True)
        self._form.addRow(head)
        for index in range(wanted):
            first = in_view if wanted == 1 else index
            combo = self._combo(first, fits=fits, stains=rgb and wanted == 1)
            combo.setObjectName(f"segnet_channel_{index}")
            self._form.addRow("gets" if wanted == 1 else f"channel {index + 1}", combo)
            self._combos.append(combo)
        self.show()

    def _combo(self, first: int, *, fits: bool, stains: bool) -> QComboBox:
        """Return the list of channels for one input; ``first`` is proposed where none fits."""
        combo = without_wheel(QComboBox())
        if fits:
            automatic = "automatic" if not self._layers else "automatic (the chosen layer)"
            combo.addItem(automatic, AUTOMATIC)
        for number, name in enumerate(self._names):
            combo.addItem(name, number)
        for stain in STAINS if stains else ():
            combo.addItem(f"{stain} (stain)", stain)
        combo.setCurrentIndex(0 if fits else min(first, len(self._names) - 1))
        combo.currentIndexChanged.connect(self._sync)
        return combo

    def value(self) -> str:
        """Return the setting ``channels``: ``auto``, or indices such as ``0,2``.

        Of layers that are joined, each channel of the joined image has its place already.
        """
        chosen = [combo.currentData() for combo in self._combos]
        if not chosen or AUTOMATIC in chosen:
            return "auto"
        if self._layers:
            return ",".join(str(number) for number in range(len(chosen)))
        return ",".join(str(number) for number in chosen)

    def layers(self) -> tuple[int, ...]:
        """Return which of the layers each channel comes from; empty where only one is read."""
        chosen = [combo.currentData() for combo in self._combos]
        if not self._layers or not chosen or AUTOMATIC in chosen:
            return ()
        return tuple(int(number) for number in chosen)

    def take(self, setting: str) -> None:
        """Choose: ``auto``, or numbers of channels and stains with commas between them.

        A single one is taken for all channels of the network.
        """
        words = setting.split(",") if "," in setting else [setting] * len(self._combos)
        for combo, word in zip(self._combos, words, strict=False):
            wanted = AUTOMATIC if word == "auto" else word
            place = combo.findData(int(wanted) if word.isdecimal() else wanted)
            with QSignalBlocker(combo):
                combo.setCurrentIndex(place)
        self.changed.emit()

    def _sync(self) -> None:
        """Automatic is for all or for none."""
        sender = self.sender()
        if isinstance(sender, QComboBox):
            automatic = sender.currentData() == AUTOMATIC
            for place, combo in enumerate(self._combos):
                if combo is not sender and (combo.currentData() == AUTOMATIC) != automatic:
                    with QSignalBlocker(combo):
                        index = 0 if automatic else 1 + min(place, len(self._names) - 1)
                        combo.setCurrentIndex(index)
        self.changed.emit()
