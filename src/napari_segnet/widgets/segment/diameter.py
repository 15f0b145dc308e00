"""How large the objects of an image are, in pixels or micrometres."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["DiameterBox"]

MOST = 100_000.0
TIP = (
    "The usual diameter of the objects in this image. The image is scaled so that they have the "
    "size of the training objects. “auto” uses the pixel sizes of image and network if both are "
    "known, and otherwise does not scale."
)
PX, UM = "px", "µm"


class DiameterBox(QWidget):
    """A number with its unit; hidden where the network does not record its objects' size.

    Attributes
    ----------
    changed : Signal
        The user entered another diameter.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_diameter")
        self.setToolTip(TIP)
        self.number = without_wheel(QDoubleSpinBox())
        self.number.setObjectName("segnet_diameter_number")
        self.number.setDecimals(1)
        self.number.setRange(0.0, MOST)
        self.number.setKeyboardTracking(False)
        self.unit = without_wheel(QComboBox())
        self.unit.setObjectName("segnet_diameter_unit")
        self._trained = ""
        label = QLabel("object diameter")
        label.setBuddy(self.number)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(label)
        layout.addWidget(self.number, 1)
        layout.addWidget(self.unit)
        self.number.valueChanged.connect(self.changed)
        self.unit.currentIndexChanged.connect(self.changed)
        self.offer(None, has_pixel_size=False)

    def offer(self, trained_px: float | None, *, has_pixel_size: bool) -> str:
        """Offer the units that can be used; return what was given up, in words.

        Parameters
        ----------
        trained_px : float or None
            Diameter in pixels of the objects that the network was trained on; None: unknown.
        has_pixel_size : bool
            The image says how large its pixels are.

        Returns
        -------
        str
            Empty where the diameter still fits.
        """
        entered, unit = self.number.value(), self.unit.currentText()
        units = () if trained_px is None else (PX, UM) if has_pixel_size else (PX,)
        with QSignalBlocker(self.unit):
            self.unit.clear()
            self.unit.addItems(units)
            self.unit.setCurrentText(unit)
        self._trained = "" if trained_px is None else f"auto ({trained_px:.0f})"
        self.number.setSpecialValueText(self._trained or "open")
        self.setVisible(bool(units))
        if not entered or unit in units:
            return ""
        with QSignalBlocker(self.number):
            self.number.setValue(0.0)
        if not units:
            return (
                "The object diameter is not used: this network does not record that of its "
                "training."
            )
        return "The object diameter is not used: the pixel size of this image is not known."

    def value(self) -> tuple[float | None, float | None]:
        """Return the settings ``object_px`` and ``object_um``; at most one is not None."""
        entered = self.number.value() or None
        return (entered, None) if self.unit.currentText() != UM else (None, entered)

    def set_value(self, object_px: float | None, object_um: float | None) -> None:
        """Show a diameter without telling of it."""
        with QSignalBlocker(self.number), QSignalBlocker(self.unit):
            if object_um is not None and self.unit.findText(UM) >= 0:
                self.unit.setCurrentText(UM)
                self.number.setValue(object_um)
            else:
                self.unit.setCurrentText(PX)
                self.number.setValue(object_px or 0.0)

    def clear(self) -> None:
        """Leave the diameter open."""
        with QSignalBlocker(self.number):
            self.number.setValue(0.0)
