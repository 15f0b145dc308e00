"""What the window says of corrections: found again after a crash, unsaved at the end."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from qtpy.QtCore import QEvent, QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.errors import OutputError, SegnetError
from napari_segnet.journal import Summary
from napari_segnet.widgets.layers.private import is_shown, window_of
from napari_segnet.widgets.qt.message_bar import in_words
from napari_segnet.widgets.recovery.journal_folder import unsaved_acts

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["Choice", "CloseGuard", "CloseQuestion", "RecoveryBar", "guard"]

Choice = Literal["save", "keep", "discard", "cancel"]
"""What becomes of unsaved corrections when the window closes; cancel: it does not close."""


class Keeper(Protocol):
    """What is asked of who keeps the journals of a viewer; a QObject."""

    found: Any
    failed: Any
    noted: Any
    found_so_far: list[Summary]

    def recover(self, offer: Summary) -> object:
        """Show the labels of an offer."""

    def refuse(self, offer: Summary) -> None:
        """Do not offer it again in this session."""

    def drop(self, offer: Summary) -> None:
        """Throw what was found away."""

    def unsaved(self) -> list[Any]:
        """Return the layers with corrections that were never saved."""

    def acts(self, layer: Any) -> int:
        """Return how many corrections of a layer were never saved."""

    def forget(self, layer: Any) -> None:
        """Throw the journal of a layer away."""

    def close(self) -> None:
        """Write everything and stop."""


def guard(viewer: napari.viewer.Viewer, keeper: Keeper) -> CloseGuard:
    """Let a window offer what a keeper finds, and ask before it closes."""
    assert isinstance(keeper, QObject)
    keeper.setParent(window_of(viewer))
    watch = CloseGuard(viewer, keeper)
    watch.setParent(keeper)
    bars = _Bars(viewer, keeper)
    bars.setParent(keeper)
    return watch


class RecoveryBar(QFrame):
    """Offers corrections that were found; small, and gone after any answer.

    Attributes
    ----------
    closed : Signal
        Its dock was closed, by an answer or without one.
    """

    closed = Signal()

    def __init__(self, offer: Summary, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_recovery")
        self.offer = offer
        self.text = QLabel(_found(offer))
        self.text.setObjectName("segnet_recovery_text")
        self.text.setWordWrap(True)
        self.recover = QPushButton("Recover")
        self.recover.setObjectName("segnet_recover")
        self.recover.setToolTip("Add the labels as they were after the last correction")
        self.later = QPushButton("Later")
        self.later.setObjectName("segnet_recover_later")
        self.later.setToolTip("Ask again the next time that this image is opened")
        self.drop = QPushButton("Discard")
        self.drop.setObjectName("segnet_recover_drop")
        self.drop.setToolTip("Delete these corrections for good")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 8, 4)
        row.addWidget(self.text, 1)
        for button in (self.recover, self.later, self.drop):
            row.addWidget(button)

    def tell(self, waiting: int) -> None:
        """Say how many other offers come after this one."""
        more = f" {waiting} more after this one." if waiting else ""
        self.text.setText(_found(self.offer) + more)

    def changeEvent(self, event: QEvent | None) -> None:
        """Tell when the dock is closed: napari then takes this widget out of it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self.closed.emit()


class _Bars(QObject):
    """Shows a bar above the canvas for each offer, one after the other."""

    def __init__(self, viewer: napari.viewer.Viewer, keeper: Keeper) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._keeper = keeper
        self._bar: RecoveryBar | None = None
        self._waiting: list[Summary] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._show_next)
        keeper.found.connect(self._offer)
        keeper.failed.connect(_warn)
        keeper.noted.connect(_note)
        for offer in keeper.found_so_far:
            self._offer(offer)

    def _offer(self, offer: Summary) -> None:
        self._waiting.append(offer)
        if self._bar is None:
            self._show_next()
        else:
            self._bar.tell(len(self._waiting))

    def _show_next(self) -> None:
        viewer = self._viewer()
        if viewer is None or window_of(viewer) is None or not self._waiting:
            return
        self._bar = bar = RecoveryBar(self._waiting.pop(0))
        bar.tell(len(self._waiting))
        docked = viewer.window.add_dock_widget(
            bar, name="Unsaved corrections", area="top", add_vertical_stretch=False
        )
        docked.setMaximumHeight(96)
        bar.recover.clicked.connect(lambda: self._answered(self._keeper.recover))
        bar.later.clicked.connect(lambda: self._answered(self._keeper.refuse))
        bar.drop.clicked.connect(lambda: self._answered(self._keeper.drop))
        bar.closed.connect(self._closed)

    def _answered(self, act: Callable[[Summary], object]) -> None:
        bar, viewer = self._bar, self._viewer()
        if bar is None:
            return
        try:
            act(bar.offer)
        except (SegnetError, OSError) as error:
            _warn(error)
        if viewer is not None:
            viewer.window.remove_dock_widget(bar)
            bar.deleteLater()

    def _closed(self) -> None:
        self._bar = None
        self._soon.start()


class CloseGuard(QObject):
    """Asks once when the user closes a window with unsaved corrections.

    Attributes
    ----------
    ask : callable
        Gets the layers, with the number of corrections of each, and returns a choice;
        a dialog, unless it is replaced.
    ask_path : callable
        Gets a layer and returns where to save it, or None.
    """

    def __init__(self, viewer: napari.viewer.Viewer, keeper: Keeper) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._keeper = keeper
        self._closed = False
        self.ask: Callable[[Sequence[tuple[Any, int]]], Choice] = self._ask
        self.ask_path: Callable[[Any], str | None] = self._ask_path
        window = window_of(viewer)
        assert window is not None  # it is not closed yet
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hold a window that is closed by its user until the question is answered."""
        if event is None or event.type() != QEvent.Type.Close or not isinstance(watched, QWidget):
            return False
        if not self._closed and _by_user(watched) and not self.may_close():
            event.ignore()
            return True
        if not self._closed:
            self._closed = True
            self._keeper.close()
        return False

    @property
    def _window(self) -> Any:
        viewer = self._viewer()
        return window_of(viewer)

    def may_close(self) -> bool:
        """Ask what becomes of unsaved corrections, and do it; false if the window must stay."""
        unsaved = [(layer, self._keeper.acts(layer)) for layer in self._keeper.unsaved()]
        if not unsaved:
            return True
        choice = self.ask(unsaved)
        if choice == "discard":
            for layer, _ in unsaved:
                self._keeper.forget(layer)
        elif choice == "save":
            return all(self._save(layer) for layer, _ in unsaved)
        return choice != "cancel"

    def _save(self, layer: napari.layers.Labels) -> bool:
        path = self.ask_path(layer)
        if not path:
            return False
        viewer = self._viewer()
        try:
            save_labels(layer, Path(path), viewer.layers if viewer is not None else ())
        except OutputError as error:
            _warn(error)
            return False
        self._keeper.forget(layer)
        return True

    def _ask(self, unsaved: Sequence[tuple[Any, int]]) -> Choice:
        question = CloseQuestion(unsaved, self._window)
        question.exec()
        return question.choice

    def _ask_path(self, layer: napari.layers.Labels) -> str | None:
        path, _ = QFileDialog.getSaveFileName(
            self._window, f"Save “{layer.name}”", f"{layer.name}.tif", "TIFF (*.tif *.tiff)"
        )
        return path or None


class CloseQuestion(QDialog):
    """Save, keep or discard; nothing is lost by the button that Enter presses.

    Attributes
    ----------
    choice : Choice
        ``cancel`` until a button is pressed.
    """

    def __init__(self, unsaved: Sequence[tuple[Any, int]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_close_question")
        self.setWindowTitle("Unsaved corrections")
        self.choice: Choice = "cancel"
        names = "\n".join(f"•  {layer.name}: {_count(acts)}" for layer, acts in unsaved)
        text = QLabel(
            f"These corrections are not saved in a file:\n\n{names}\n\nKept ones are offered "
            "again when the same image is opened."
        )
        text.setWordWrap(True)
        buttons = QDialogButtonBox()
        words: dict[Choice, tuple[str, Any]] = {
            "save": ("Save…", QDialogButtonBox.ButtonRole.AcceptRole),
            "keep": ("Keep for next time", QDialogButtonBox.ButtonRole.AcceptRole),
            "discard": ("Discard", QDialogButtonBox.ButtonRole.DestructiveRole),
            "cancel": ("Do not close", QDialogButtonBox.ButtonRole.RejectRole),
        }
        self.buttons: dict[Choice, QPushButton] = {}
        for choice, (word, role) in words.items():
            button = buttons.addButton(word, role)
            assert button is not None
            button.setObjectName(f"segnet_close_{choice}")
            button.clicked.connect(lambda _=False, chosen=choice: self._choose(chosen))
            self.buttons[choice] = button
        self.buttons["keep"].setDefault(True)
        self.buttons["keep"].setFocus()
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)

    def _choose(self, choice: Choice) -> None:
        self.choice = choice
        self.accept()


def save_labels(
    layer: napari.layers.Labels, path: Path, layers: Iterable[napari.layers.Layer] = ()
) -> None:
    """Write labels as TIFF with the axes and pixel size of their layer: whole, or not at all.

    Parameters
    ----------
    layer : Labels
        What is written.
    path : Path
        The file.
    layers : iterable of Layer
        All of the viewer: labels that say nothing of their axes have those of their image.

    Raises
    ------
    OutputError
        If the file cannot be written, or no picture has so many dimensions.
    """
    import numpy as np

    from napari_segnet.atomic import write_whole
    from napari_segnet.image import AXES
    from napari_segnet.widgets.layers.axes import pixel_sizes_um
    from napari_segnet.widgets.layers.subject import axes_of
    from napari_segnet.writers.ome_tiff import write_labels

    if not 2 <= layer.ndim <= len(AXES):
        raise OutputError(
            f"“{layer.name}” has {layer.ndim} dimensions, but labels in a TIFF have 2 to 5. Your "
            "corrections are still kept; save the layer as zarr, or split it."
        )
    data, axes = np.asarray(layer.data), axes_of(layer, layers)
    if not {"y", "x"} <= set(axes):
        axes = AXES[-layer.ndim :]
    sizes = pixel_sizes_um(layer, axes)
    try:
        write_whole(path, lambda part: write_labels(part, data, axes, sizes), make_folder=False)
    except OSError as error:
        raise OutputError(
            f"“{layer.name}” could not be written to {path} ({error.strerror}). Your corrections "
            "are still kept; choose another place."
        ) from error


def _by_user(window: QWidget) -> bool:
    """Tell a user from a program: ``viewer.close()`` hides the canvas first."""
    return is_shown(window)


def _found(offer: Summary) -> str:
    about = offer.document
    name = about.get("layer", {}).get("name", "labels")
    image = about.get("image")
    of = f"“{name}”" + (f" on “{image}”" if image else "")
    when = time.strftime("%d %b %Y, %H:%M", time.localtime(offer.last_at))
    odd = offer.gaps or offer.partial
    damaged = " Their file is damaged; the readable part is offered." if odd else ""
    acts, since = unsaved_acts(offer), ""
    if acts < offer.acts:
        since = f" since they were saved to {Path(about['saved']['path']).name}"
    found = f"{_count(acts)}{since}, the last on {when}"
    return f"Unsaved corrections of {of} were found: {found}.{damaged}"


def _count(acts: int) -> str:
    return f"{acts} correction" + ("" if acts == 1 else "s")


def _note(words: str) -> None:
    from napari.utils.notifications import show_warning

    show_warning(words)


def _warn(error: BaseException) -> None:
    from napari.utils.notifications import show_error

    show_error(in_words(error))
