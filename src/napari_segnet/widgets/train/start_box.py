"""Before a training: the ways to show the corrected images are tried, and the best is offered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakMethod

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGroupBox, QTableWidget, QVBoxLayout, QWidget

from napari_segnet.errors import SegnetError
from napari_segnet.progress import Progress
from napari_segnet.train.settings import TrainSettings
from napari_segnet.widgets.checkpoint.chosen import chosen_network
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.named import fill_row, named_button, named_label
from napari_segnet.widgets.qt.preferences import preferences
from napari_segnet.widgets.train.session import TrainSession

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.train import StartingPoint

__all__ = ["StartBox"]

ASK = "Try settings on my corrected images"
WHY = (
    "Dark objects, another size or another brightness need no training, only settings. This runs "
    "the network on your corrected images with about ten settings, and the other built-in "
    "networks, in about a minute."
)
SHOWN = 6
"""Ways in the table, the best first."""


class StartBox(QGroupBox):
    """Tries the settings that already bring most, and takes them with one click.

    Parameters
    ----------
    session : TrainSession
        What is chosen.
    settings : method
        Of the dock; returns what the forms of the dock say.
    viewer : napari.viewer.Viewer
        In whose Segment dock the settings can be used without a training.

    Attributes
    ----------
    taken : Signal of TrainSettings
        The settings that are offered, when the user takes them.
    other_taken : Signal of str
        The name of the built-in network that is offered instead, when the user takes it.
    failed : Signal of BaseException
        Why nothing could be tried.
    """

    taken = Signal(object)
    other_taken = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        session: TrainSession,
        settings: Callable[[], TrainSettings],
        viewer: napari.viewer.Viewer,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Start well", parent)
        # Weak: the dock that holds this box would hold itself, and outlive its window.
        self._session, self._weak_settings = session, WeakMethod(settings)
        self._chosen_network = chosen_network(viewer)
        self._tried: tuple[object, ...] | None = None
        self._ready = False
        self.found: StartingPoint | None = None
        self.runner = JobRunner(self)
        self.ask = named_button(ASK, "segnet_train_start", WHY)
        self.words = named_label("segnet_train_start_words")
        self.ways = QTableWidget(0, 2)
        self.ways.setObjectName("segnet_train_ways")
        self.ways.setHorizontalHeaderLabels(["score", "settings of the input"])
        self.ways.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.ways.setShowGrid(False)
        if (side := self.ways.verticalHeader()) is not None:
            side.hide()
        if (head := self.ways.horizontalHeader()) is not None:
            head.setStretchLastSection(True)
        self.take = named_button(
            "Train with these settings",
            "segnet_train_start_take",
            "Train with them; the card of the new network keeps them",
        )
        self.use = named_button(
            "Use them in the Segment dock",
            "segnet_train_start_use",
            "Run this network with the best settings, without a training",
        )
        self.change = named_button(
            "Begin with it",
            "segnet_train_start_other",
            "Choose that network here in place of yours: it labels your corrected images better",
        )
        layout = QVBoxLayout(self)
        for widget in (self.ask, self.words, self.change, self.take, self.use, self.ways):
            layout.addWidget(widget)
        self.ask.clicked.connect(self.try_ways)
        self.take.clicked.connect(self._take)
        self.use.clicked.connect(self._use)
        self.change.clicked.connect(self._change)
        self.runner.progressed.connect(self._progressed)
        self.runner.succeeded.connect(self._found)
        self.runner.failed.connect(self._failed)
        self.runner.cancelled.connect(self._clear)
        self._clear()

    def enable(self, ready: bool) -> None:
        """Enable trying; what was tried for another network or other images is taken away."""
        self._ready = ready
        self.ask.setEnabled(ready and not self.runner.busy)
        if self._tried is not None and self._tried[: len(now := self._chosen())] != now:
            self.runner.cancel()
            self._clear()

    def try_ways(self) -> None:
        """Run the network on the corrected images in several ways."""
        try:
            asked = self._session.request(self._settings(), preferences().device)
        except SegnetError as error:
            self.failed.emit(error)
            return
        if asked is None or self.runner.busy:
            return
        self._clear()
        self._tried = self._chosen()
        self.ask.setEnabled(False)
        self.words.setText("trying …")
        self.words.show()
        self.runner.start(self._session.ways_of(asked))

    def _settings(self) -> TrainSettings:
        """Return what the forms of the dock say now."""
        said = self._weak_settings()
        assert said is not None, "the dock lives while its boxes are used"
        return said()

    def _chosen(self) -> tuple[object, ...]:
        """Return network, training set and its images; without these while they are looked at."""
        session = self._session
        known = (session.checkpoint, session.folder)
        return known if session.contents is None else (*known, session.contents.samples)

    def _clear(self) -> None:
        self.found, self._tried = None, None
        for widget in (self.words, self.ways, self.change, self.take, self.use):
            widget.hide()
        self.ask.setEnabled(self._ready)

    def _progressed(self, progress: Progress) -> None:
        if progress.done:
            self.words.setText(f"trying … {progress.done} ways so far")

    def _failed(self, error: BaseException) -> None:
        self._clear()
        self.failed.emit(error)

    def _found(self, found: StartingPoint) -> None:
        self.found = found
        self.ask.setEnabled(self._ready)
        higher = found.ways[0].score > found.untrained.score
        chance = " Higher scores in the table may be chance." if higher else ""
        self.words.setText(found.sentence() + chance)
        # The best, and in any case those that the sentence names.
        named = {id(way): way for way in (found.now, found.chosen, found.untrained)}.values()
        others = [way for way in found.ways if way not in named][: SHOWN - len(named)]
        shown = [way for way in found.ways if way in named or way in others]
        offered = [way for way in (found.chosen, found.averaged) if way is not found.now]
        rows = [
            (way.score, f"{way.short}{' (offered)' if way in offered else ''}") for way in shown
        ]
        if found.other is not None:
            rows.append((found.other.way.score, f"{found.other.name}, a built-in network"))
            self.change.setText(f"Begin with {found.other.name}")
        self.ways.setRowCount(len(rows))
        for row, (score, words) in enumerate(sorted(rows, key=lambda pair: -pair[0])):
            fill_row(self.ways, row, (f"{score:.2f}", words))
        self.ways.show()
        self.ways.resizeColumnToContents(0)
        self.ways.resizeRowsToContents()
        head = self.ways.horizontalHeader()
        high = sum(self.ways.rowHeight(row) for row in range(len(rows)))
        self.ways.setFixedHeight(high + (head.height() if head is not None else 0) + 6)
        self.change.setVisible(found.other is not None)
        self.take.setVisible(found.offered)
        self.use.setVisible(bool(found.untrained.changes))

    def _take(self) -> None:
        if self.found is None:
            return
        pairs = ", ".join(self.found.chosen.pairs.split())
        self.taken.emit(self.found.taken(self._settings()))
        self.take.hide()
        self.words.setText(f"{self.found.sentence()} The training uses {pairs} now.")

    def _change(self) -> None:
        """Begin with the other network, shown images as its card says."""
        if self.found is not None and self.found.other is not None:
            name = self.found.other.name
            self.taken.emit(self.found.as_its_card_says(self._settings()))
            self.other_taken.emit(name)

    def _use(self) -> None:
        """Run the network as it is with the best settings, in the Segment dock."""
        if self.found is None:
            return
        pairs = ", ".join(f"{name}={value}" for name, value in self.found.for_a_run.items())
        if self._chosen_network.choice:
            if self._chosen_network.choice != self._session.choice:
                self._chosen_network.hand_over(self._session.choice)
            self._chosen_network.hand_over_settings(self.found.input_of_a_run)
            said = f"The Segment dock uses {pairs} now."
        else:
            said = f"Open the Segment dock, choose this network, and set {pairs} there."
        self.words.setText(f"{self.found.sentence()} {said}")
