"""Choosing a network: which file, what it is, what is proven of it, what is to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MissingFactError
from napari_segnet.widgets.checkpoint.card import CardView
from napari_segnet.widgets.checkpoint.chosen import ChosenNetwork
from napari_segnet.widgets.checkpoint.missing_fact import MissingFactBox
from napari_segnet.widgets.checkpoint.picker import WeightsBox
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.recent import remember_last_network, remember_network
from napari_segnet.widgets.qt.scroll_column import scroll_into_view
from napari_segnet.widgets.segment.network_proof import NetworkProof
from napari_segnet.widgets.segment.request import RunRequest
from napari_segnet.widgets.segment.session import SegmentSession

__all__ = ["NetworkBox"]


class NetworkBox(QWidget):
    """Where a network is chosen, and what is known of it.

    Parameters
    ----------
    session : SegmentSession
        Which takes the network.
    chosen : ChosenNetwork
        By which other docks hear of it.
    folder : Path or None
        The user's folder of networks.
    request : callable
        See ``NetworkProof``.

    Attributes
    ----------
    began : Signal
        A file is looked at; none is known meanwhile.
    known : Signal of Checkpoint
        What it is: at once, and again when more of it is proven.
    settled : Signal
        Nothing more will become known by itself; the file may have been refused.
    said : Signal of str
        Something that was done.
    failed : Signal of BaseException
        Why a file is refused.
    """

    began = Signal()
    known = Signal(object)
    settled = Signal()
    said = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        session: SegmentSession,
        chosen: ChosenNetwork,
        folder: Path | None,
        request: Callable[..., RunRequest],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._chosen = session, chosen
        self.looker = JobRunner(self)
        self.weights = WeightsBox(folder)
        self.card = CardView()
        self.missing_fact = MissingFactBox()
        self.proof = NetworkProof(request)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.weights, self.card, self.proof.rethink, self.proof.picture):
            layout.addWidget(widget)
        self.card.put_below_title(self.missing_fact, self.proof)
        self.weights.chosen.connect(self.choose)
        for teller in (self.card.overridden, self.missing_fact.answered, self.proof.chosen):
            teller.connect(self.tell)
        self.proof.forgotten.connect(self._look_anew)
        self._chosen.wanted.connect(self._take)
        self.looker.succeeded.connect(self._recognised)
        self.looker.failed.connect(self._refused)
        self.looker.finished.connect(self._settle)
        self.proof.refined.connect(self._show)
        self.proof.finished.connect(self._settle)
        self.proof.said.connect(self.said)
        self.proof.failed.connect(self.failed)

    @property
    def busy(self) -> bool:
        """True while a file is looked at, or something of it is proven."""
        return self.looker.busy or self.proof.busy

    def runners(self) -> tuple[JobRunner, ...]:
        """Return what works off the GUI thread."""
        return self.looker, *self.proof.runners()

    def choose(self, choice: str) -> None:
        """Look at a weights file, or at the built-in network of that name."""
        self._session.choose(str(choice))
        self.weights.show_choice(self._session.choice)
        self.card.wait(Path(self._session.choice).name)
        self._look()

    def _take(self, choice: str) -> None:
        """Choose a network that another dock has made."""
        self.weights.refresh()
        self.choose(choice)

    def _look_anew(self) -> None:
        """Look at the same file, without what was said of it."""
        self.choose(self._session.choice)

    def tell(self, facts: Mapping[str, str]) -> None:
        """Take facts of the network that the user says, name -> text."""
        self._session.override(facts)
        self._look()

    def _look(self) -> None:
        self._chosen.choice = ""
        self.missing_fact.clear()
        self.proof.clear()
        self.looker.start(self._session.look())
        self.began.emit()

    def _recognised(self, checkpoint: Checkpoint) -> None:
        self._chosen.choice = self._session.choice
        remember_last_network(self._session.choice)
        file = self._session.own_file
        if file is not None:
            remember_network(file)
            self.weights.refresh()
            self.weights.show_choice(self._session.choice)
        self._show(checkpoint)
        self.proof.begin(checkpoint)

    def _show(self, checkpoint: Checkpoint) -> None:
        self._session.checkpoint = checkpoint
        self.card.set_checkpoint(checkpoint)
        self.known.emit(checkpoint)

    def _refused(self, error: BaseException) -> None:
        if isinstance(error, MissingFactError):
            self.card.clear("One more thing is needed:")
            self.missing_fact.ask(error)
            scroll_into_view(self.missing_fact)
        else:
            self.card.clear()
            self.weights.show_choice("")
            self.failed.emit(error)

    def _settle(self) -> None:
        if not self.busy:
            self.settled.emit()
