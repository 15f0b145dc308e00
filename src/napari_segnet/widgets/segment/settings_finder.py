"""One button that finds how the image is shown to the network; a warning where it is unlike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.inference import PredictSettings
from napari_segnet.plan.settings import FIND
from napari_segnet.progress import Progress
from napari_segnet.widgets.checkpoint.contact_sheet import ContactSheet
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.segment.find_jobs import compared_ways, found_settings, likeness_of
from napari_segnet.widgets.segment.request import RunRequest
from napari_segnet.widgets.segment.suggested_box import SuggestedBox

if TYPE_CHECKING:
    from napari_segnet.find import Found, Likeness, Suggestion, Way
    from napari_segnet.image import Image
    from napari_segnet.plan import Settled

__all__ = ["FindBox", "settings_of"]

WAIT_MS = 1000
"""After the last change, before the image is compared with the training by itself."""
TIP = (
    "Try normalisations, scales, inversion and colour orders on the middle of the image, and "
    "take the one that fits the statistics in the file; for files without statistics, take the "
    "settings in the code beside it"
)
QUESTION = "Which of these is right? The file does not say how the training images were prepared."


class FindBox(QWidget):
    """The button, why its choice was made, what code suggests, and the warning.

    Parameters
    ----------
    request : callable
        A bound method that returns what a run of the chosen part is asked for; it raises a
        ``SegnetError`` where something is missing. Only a weak reference is kept.

    Attributes
    ----------
    open_images : WeakMethod or None
        Returns the other images that are open: the scale is looked for on those of one kind.
    began : Signal
        Something is looked for: older messages no longer matter.
    failed : Signal of BaseException
        What went wrong.
    taken : Signal of (Way, tuple of str)
        How the image is to be shown, and which settings of it count.
    overridden : Signal of dict
        A fact of the network that code suggests, name -> value.
    threshold_taken : Signal of float
        A threshold for labels that code suggests.
    heat_asked : Signal of (Likeness, RunRequest)
        The places that are unlike are to be shown.
    """

    began = Signal()
    failed = Signal(object)
    taken = Signal(object, tuple)
    overridden = Signal(dict)
    threshold_taken = Signal(float)
    heat_asked = Signal(object, object)

    def __init__(self, request: Callable[..., RunRequest], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_find")
        self._request = WeakMethod(request)
        self.open_images: Callable[[], Any] | None = None
        self._found: Found | None = None
        self._like: tuple[Likeness, RunRequest] | None = None
        self._compared: RunRequest | None = None
        self._looking_at: RunRequest | None = None
        self._looked_at: RunRequest | None = None
        self._held = False
        self._network: Checkpoint | None = None
        self.finder, self.comparer, self.liker = (JobRunner(self) for _ in range(3))
        self.button = named_button("Find settings", "segnet_find_settings", TIP)
        self.words = named_label("segnet_find_text")
        self.sheet = ContactSheet("segnet_ways", QUESTION, "")
        self.suggested = SuggestedBox()
        self.warning = named_label("segnet_unlike_text")
        self.where = named_button(
            "Show where",
            "segnet_unlike_show",
            "Lay a translucent map over the image: bright where it is unlike the training images",
        )  # fmt: skip
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            *(self.button, self.words, self.sheet, self.suggested, self.warning, self.where),
        ):
            layout.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._connect()
        self.clear()

    def _connect(self) -> None:
        self.button.clicked.connect(self.start)
        self.finder.progressed.connect(self._progressed)
        self.finder.succeeded.connect(self._settled)
        self.finder.failed.connect(self._not_found)
        self.finder.finished.connect(partial(self.button.setEnabled, True))
        self.comparer.succeeded.connect(self.sheet.show_compared)
        self.comparer.failed.connect(self._not_found)
        self.sheet.chosen.connect(self._choose)
        self.sheet.asked.connect(self.compare)
        self.suggested.taken.connect(self._take)
        self.liker.succeeded.connect(self._liked)
        self.liker.failed.connect(self._not_liked)
        self.where.clicked.connect(self._show_where)
        self._timer.timeout.connect(self._look_if_seen)

    def runners(self) -> tuple[JobRunner, ...]:
        """Return what works off the GUI thread."""
        return self.finder, self.comparer, self.liker

    def clear(self) -> None:
        """Forget what was found: it is of another network or image."""
        self._found, self._compared = None, None
        for runner in self.runners():
            runner.cancel()
        self.sheet.clear()
        self.words.hide()
        self._forget_likeness()

    def set_network(self, checkpoint: Checkpoint | None) -> None:
        """Show what code suggests of a network, and compare the image with its training."""
        self._network = checkpoint
        asked = self._asked()
        image = None if asked is None else asked.source.image
        said = () if checkpoint is None else _suggestions(checkpoint, image)
        self.suggested.show_suggestions(said)
        self.look_soon()

    def look_soon(self) -> None:
        """Compare the image with the training as soon as nothing more changes."""
        self._forget_likeness()
        if self._network is not None and _remembers(self._network):
            self._timer.start()

    def give_way_to(self, runner: JobRunner) -> None:
        """Compare nothing while a network is run: a run never shares the processor with it."""
        runner.started.connect(self._hold)
        runner.finished.connect(self._go_on)

    def _hold(self) -> None:
        self._held = True
        self._timer.stop()
        self.liker.cancel()

    def _go_on(self) -> None:
        self._held = False
        if self._looked_at is None:
            self.look_soon()

    def _look_if_seen(self) -> None:
        if self.isVisible() and not self.finder.busy and not self._held:
            self.look()

    def look(self) -> None:
        """Compare the image with the training now, if there is an image."""
        asked = self._asked()
        if asked is not None and _remembers(asked.checkpoint):
            self._like, self._looked_at, self._looking_at = None, None, asked
            self.liker.start(
                partial(likeness_of, asked.checkpoint, asked.source.image, asked.predict)
            )

    def found_for(self, settings: PredictSettings) -> Found | None:
        """Return what speaks for settings, if they are still those that were found."""
        found = self._found
        if found is None or found.by == "nothing":
            return None
        same = all(
            getattr(settings, name) == getattr(found.way, name)
            for name in found.names
            if name != "channels"  # the picker may say the usual order as “auto”
        )
        return found if same else None

    # ---- Finding ----

    def start(self) -> None:
        """Find all settings that can be found."""
        self.clear()
        self.began.emit()
        method: Any = self._request()
        try:
            asked: RunRequest | None = None if method is None else method(None)
        except SegnetError as error:
            self.failed.emit(error)
            return
        if asked is None:
            return
        self._compared = asked
        self.button.setEnabled(False)
        changes: dict[str, Any] = dict.fromkeys(("normalize", "invert", "scale"), FIND)
        if asked.source.image.sizes["c"] == asked.checkpoint.channels:
            changes["channels"] = FIND  # their order; which of more is meant, only the user knows
        wish = replace(asked.predict, **changes, object_px=None, object_um=None)
        self._say("Trying settings …")
        listing = None if self.open_images is None else self.open_images()
        others = () if listing is None else tuple(listing())
        self.finder.start(
            partial(found_settings, asked.checkpoint, asked.source.image, wish, others)
        )

    def compare(self) -> None:
        """Show what the network makes of each way that nothing tells apart."""
        asked, found = self._compared, self._found
        if asked is None or found is None:
            return
        ways = [settings_of(asked.predict, one.way, found.names) for one in found.ranked]
        self.comparer.start(partial(compared_ways, asked.checkpoint, asked.source.image, ways))

    def _asked(self) -> RunRequest | None:
        method: Any = self._request()
        try:
            asked: RunRequest | None = None if method is None else method(None)
        except SegnetError:
            return None  # no image is open yet
        return asked

    def _progressed(self, progress: Progress) -> None:
        if progress.total:
            self._say(f"Trying settings: {progress.done} of {progress.total} …")

    def _settled(self, made: Settled) -> None:
        found = made.found
        if found is None:
            return
        self._found = found
        self._say(f"{found.says[:1].upper()}{found.says[1:]}")
        if found.by == "nothing":
            self.sheet.ask([_words(one.way) for one in found.ranked])
            self.compare()
            return
        self.taken.emit(found.way, found.names)
        self.look_soon()

    def _choose(self, place: int) -> None:
        if self._found is not None:
            self.taken.emit(self._found.ranked[place].way, self._found.names)
            self.sheet.say("The next run uses these settings. Press Run.")

    def _take(self, one: Any) -> None:
        """Take what code suggests."""
        if one.setting == "threshold":
            self.threshold_taken.emit(float(one.value))
        elif one.setting == "activation":
            self.overridden.emit({one.setting: str(one.value)})
        else:
            from napari_segnet.find import Way

            way = replace(Way(normalize="auto"), **{one.setting: one.value})
            self.taken.emit(way, (one.setting,))
        self._say(f"Taken from {one.where}.")

    def _not_found(self, error: BaseException) -> None:
        self.words.hide()
        self.failed.emit(error)

    def _say(self, text: str) -> None:
        self.words.setText(text)
        self.words.show()

    # ---- Like the training? ----

    def _forget_likeness(self) -> None:
        self._timer.stop()
        self.liker.cancel()
        self._like, self._looked_at = None, None
        self.warning.hide()
        self.where.hide()

    def _liked(self, like: Likeness | None) -> None:
        looked, asked = self._looking_at, self._asked()
        if asked is None or looked is None:
            return
        if (asked.subject, asked.predict) != (looked.subject, looked.predict):
            self.look_soon()  # it says nothing of what a run would be of now
            return
        self._looked_at = looked
        if like is None:
            return
        self._like = like, looked
        self.warning.setText(
            like.says if self._found is not None else f"{like.says} Find settings may help."
        )
        for widget in (self.warning, self.where):
            widget.setVisible(like.unlike)

    def _not_liked(self, error: BaseException) -> None:
        """Say nothing where a run would be refused: its own message says why."""
        if not isinstance(error, SegnetError):
            self.failed.emit(error)

    def _show_where(self) -> None:
        if self._like is not None:
            self.heat_asked.emit(*self._like)


# Not imported with the dock: with all programs that it knows, it takes longer than all else.


def _suggestions(checkpoint: Checkpoint, image: Image | None) -> tuple[Suggestion, ...]:
    from napari_segnet.find import suggestions_of

    return suggestions_of(checkpoint, image)


def _remembers(checkpoint: Checkpoint) -> bool:
    from napari_segnet.find import remembers

    return remembers(checkpoint)


def settings_of(settings: PredictSettings, way: Way, names: tuple[str, ...]) -> PredictSettings:
    """Return settings with those of a way that are named."""
    changes: dict[str, Any] = {name: getattr(way, name) for name in names}
    if "scale" in names:
        changes |= {"object_px": None, "object_um": None}
    return replace(settings, **changes)


def _words(way: Way) -> str:
    words = [way.normalize]
    words += ["inverted"] if way.invert == "yes" else []
    words += [f"channels {way.channels.replace(',', ' ')}"] if way.channels != "auto" else []
    return ", ".join(words)
