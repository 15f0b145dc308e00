"""The training set: corrected images go in, and it shows what is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QFileDialog,
    QListWidgetItem,
    QWidget,
)

from napari_segnet.dataset import Dataset, Sample, remove, set_split
from napari_segnet.errors import DatasetError, SegnetError
from napari_segnet.progress import Job
from napari_segnet.widgets.dataset.form import DatasetForm
from napari_segnet.widgets.dataset.jobs import (
    Listed,
    Row,
    change_samples,
    export_set,
    import_into,
    list_samples,
    write_pair,
)
from napari_segnet.widgets.dataset.pair import (
    image_of,
    is_reviewed,
    open_again,
    review_is_informative,
    training_pair,
)
from napari_segnet.widgets.layers.digest import digest_if_known
from napari_segnet.widgets.layers.subject import images_in, is_recorded, labels_in
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.pixmaps import pixmap_of
from napari_segnet.widgets.qt.recent import (
    last_training_set,
    remember_training_set,
    training_set_news,
)
from napari_segnet.widgets.recovery.reviews import reviews

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["DatasetPanel"]

MOST_PROBLEMS = 10
"""Are named; of more, the number is said."""
UNTOUCHED = (
    "These labels are the network's own output; nobody reviewed or corrected them. A network "
    "learns little from them, and they cannot show which of two networks is better. Review or "
    "correct them, then add them again."
)
SIDES = {"train": "for training", "val": "held out"}


class DatasetPanel(DatasetForm):
    """Add the selected labels to a training set, and see what is in it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are added, and samples are opened in it again.
    """

    changed = Signal()
    """The training set has another content."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._rows: tuple[Row, ...] = ()
        self._dataset: Dataset | None = None
        self._chosen_for: Callable[[], Any] = lambda: None
        self._reviewed_of: Callable[[], Any] = lambda: None
        """The layer that has a review, and was asked about already."""
        self._runner = JobRunner(self)
        self._runner.succeeded.connect(self._done)
        self._runner.failed.connect(self._failed)
        self._runner.finished.connect(self._refresh)
        self._connect()
        last = last_training_set()
        self.folder: Path | None = None
        listen(self, _layer_events(viewer), self._refresh)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._refresh)
        reviews(viewer).changed.connect(self._review_changed)
        self._runner.end_with(self)
        if last is not None:
            self.choose_folder(last)
        self._refresh()

    def _connect(self) -> None:
        self.list.itemSelectionChanged.connect(self._refresh)
        self.list.itemDoubleClicked.connect(lambda _item: self.open_again())
        self.exchange.import_asked.connect(self.import_from)
        self.exchange.export_asked.connect(self.export_to)
        self.add_button.clicked.connect(self.add)
        self.where.clicked.connect(self._ask_folder)
        self.open_button.clicked.connect(self.open_again)
        self.side_button.clicked.connect(self.change_side)
        self.remove_button.clicked.connect(self.remove)

    # ---- What can be done ----

    def choose_folder(self, folder: Path) -> None:
        """Show a training set; a folder that is empty or not there yet begins a new one."""
        self.folder = Path(folder)
        remember_training_set(self.folder)
        self._reload()

    def add(self) -> None:
        """Write the selected labels with their image."""
        try:
            image, labels = self._layers()
            pair = training_pair(image, labels, self.only_reviewed.isChecked())
        except SegnetError as error:
            self.message.fail(error)
            return
        if self.folder is None and not self._ask_folder():
            return
        folder = self.folder
        assert folder is not None
        self.message.hide()
        self._runner.start(lambda: write_pair(folder, pair))
        self._refresh()

    def remove(self) -> None:
        """Take the marked samples out; their files stay in the folder ``history``."""
        self._change([lambda root, s=s: remove(root, s) for s in self._marked()])

    def change_side(self) -> None:
        """Hold the marked samples out, or learn from them; all parts of an image go along."""
        marked = self._marked()
        if not marked:
            return
        side: Any = "train" if marked[0].split == "val" else "val"
        sources = sorted({s.source for s in marked})
        self._change([lambda root, s=s: set_split(root, s, side) for s in sources])

    def open_again(self) -> None:
        """Show the marked samples in the viewer for more correction."""
        names = () if self._dataset is None else self._dataset.class_names
        for sample in self._marked():
            try:
                layer = open_again(self._viewer, sample, names)
            except SegnetError as error:
                self.message.fail(error)
                return
            self._viewer.layers.selection.active = layer

    def import_from(self, path: Path) -> None:
        """Add images with labels of another program, from a folder or a file."""
        if self.folder is None and not self._ask_folder():
            return
        folder = self.folder
        assert folder is not None
        self._start(lambda: import_into(folder, path))

    def export_to(self, format: str, target: Path) -> None:
        """Write the training set into a new folder, in a format of ``napari_segnet.formats``."""
        folder = self.folder
        if folder is not None:
            self._start(lambda: export_set(folder, format, target))

    # ---- What is shown ----

    def _refresh(self, _event: object = None) -> None:
        """Show what can be done now."""
        labels, busy = self._labels(), self._runner.busy
        self.labels_name.setText("select a Labels layer" if labels is None else labels.name)
        self._list_images(labels)
        self._propose_part(labels)
        fits = labels is not None and self.images.count() > 0
        self.add_button.setEnabled(fits and not busy)
        self.add_button.setText("Writing…" if busy else "Add to training set")
        self.where.setText("Choose…" if self.folder is None else self.folder.name)
        self.where.setToolTip("" if self.folder is None else str(self.folder))
        name = "" if self.folder is None else self.folder.name
        self.exchange.show_what_can_be_done(name, self._dataset is not None, busy)
        marked = self._marked()
        for button in (self.open_button, self.side_button, self.remove_button):
            button.setEnabled(bool(marked) and not busy)
        held = bool(marked) and marked[0].split == "val"
        self.side_button.setText("Train on it" if held else "Hold out")
        self.side_button.setToolTip(
            "Use it for training"
            if held
            else "Never train on it; it is used to score a trained network"
        )

    def _review_changed(self, _layer: object) -> None:
        """Follow a review; once more when the stroke is written, which napari tells of before."""
        self._refresh()
        self._soon.start(0)

    def _propose_part(self, labels: Any) -> None:
        """Propose what was reviewed as soon as anything was; what the user then says stays."""
        has_review = labels is not None and is_reviewed(labels)
        informative = has_review and review_is_informative(labels)  # not so after a deletion alone
        before = self._reviewed_of()
        if not has_review or (before is labels and not informative):
            self.whole.setChecked(True)
        elif informative and before is not labels:
            self.only_reviewed.setChecked(True)  # who began a review has not seen the rest
        self.only_reviewed.setEnabled(has_review)
        self._reviewed_of = ref(labels) if informative else lambda: None

    def _list_images(self, labels: Any) -> None:
        """List the images; the labels' own is chosen, or none where that is not known."""
        there = {str(image.unique_id): image for image in images_in(self._viewer.layers)}
        chosen = self.images.currentData()
        shown = [self.images.itemData(i) for i in range(self.images.count())]
        if shown != list(there):
            self.images.clear()
            for key, image in there.items():
                self.images.addItem(image.name, key)
        for row, image in enumerate(there.values()):  # a layer may have got another name
            self.images.setItemText(row, image.name)
        own = None if labels is None else image_of(self._viewer, labels)
        if own is not None:
            digest_if_known(own)  # begun here, so that nobody waits for it when it is added
        again = self._chosen_for() is labels
        wanted = str(own.unique_id) if own is not None else chosen if again else None
        asked = labels is not None and is_recorded(labels)  # another image would be a guess
        index = list(there).index(wanted) if wanted in there else -1 if asked else 0
        self.images.setCurrentIndex(index)
        self._chosen_for = ref(labels) if labels is not None else lambda: None

    def _show_rows(self) -> None:
        self.list.clear()
        for row in self._rows:
            item = QListWidgetItem(_row_text(row))
            if row.picture is not None:
                item.setIcon(QIcon(pixmap_of(row.picture)))
            item.setToolTip(row.problem or f"{row.sample.source} {row.sample.plane}".strip())
            item.setData(Qt.ItemDataRole.UserRole, row.sample)
            self.list.addItem(item)
        self.summary.setText(_summary(self._rows, self._dataset))

    # ---- What is chosen ----

    def _labels(self) -> Any:
        there = labels_in(self._viewer.layers)
        chosen = self._viewer.layers.selection.active
        if chosen in there:
            return chosen
        return there[0] if len(there) == 1 else None

    def _layers(self) -> tuple[Any, Any]:
        labels = self._labels()
        if labels is None:
            raise DatasetError("Select the Labels layer for the training, then add it.")
        chosen = self.images.currentData()
        for image in images_in(self._viewer.layers):
            if str(image.unique_id) == chosen:
                return image, labels
        raise DatasetError(f"Choose the image that “{labels.name}” was made on.")

    def _marked(self) -> list[Sample]:
        return [item.data(Qt.ItemDataRole.UserRole) for item in self.list.selectedItems()]

    def _ask_folder(self) -> bool:
        start = str(self.folder or Path.home())
        title = "Folder of the training set (an empty one begins a new set)"
        chosen = QFileDialog.getExistingDirectory(self, title, start)
        if chosen:
            self.choose_folder(Path(chosen))
        return bool(chosen)

    # ---- Work ----

    def _change(self, acts: list[Any]) -> None:
        folder = self.folder
        if acts and folder is not None:
            self._start(lambda: change_samples(folder, acts))

    def _start(self, make: Callable[[], Job[Listed]]) -> None:
        self.message.hide()
        self._runner.start(make)
        self._refresh()

    def _reload(self) -> None:
        folder = self.folder
        if folder is not None:
            self._runner.start(lambda: list_samples(folder))
            self._refresh()

    def _done(self, result: Any) -> None:
        outcome, self._dataset, self._rows = result
        added = outcome if isinstance(outcome, Sample) else None
        self._show_rows()
        if added is not None:
            for i in range(self.list.count()):
                item = self.list.item(i)
                if item is not None and item.data(Qt.ItemDataRole.UserRole) == added:
                    self.list.setCurrentItem(item)
        self._tell(added, outcome if isinstance(outcome, list) else [])
        self.changed.emit()
        training_set_news().changed.emit()

    def _tell(self, added: Sample | None, report: list[str]) -> None:
        """Say what of the folder is left out, and what a new sample is not good for."""
        lines = [*report]
        lines += [UNTOUCHED] if added is not None and added.untouched else []
        problems = () if self._dataset is None else self._dataset.problems
        lines += [f"Left out: {problem}" for problem in problems[:MOST_PROBLEMS]]
        if len(problems) > MOST_PROBLEMS:
            lines.append(f"And {len(problems) - MOST_PROBLEMS} more are left out.")
        if lines:
            self.message.say("\n".join(lines))

    def _failed(self, error: BaseException) -> None:
        self.message.fail(error)


def _layer_events(viewer: Any) -> tuple[Any, ...]:
    layers = viewer.layers
    return (layers.selection.events.changed, layers.events.inserted, layers.events.removed)


# ---- Words ----


def _row_text(row: Row) -> str:
    sample = row.sample
    name = f"{sample.name}  {sample.plane}".strip()
    if row.problem:
        return f"{name}\ncannot be read"
    objects = f"{row.objects} object{'' if row.objects == 1 else 's'}"
    seen = "" if row.reviewed == 1 else f", {row.reviewed:.0%} reviewed"
    seen = ", not reviewed" if sample.untouched else seen
    return f"{name}\n{objects}{seen}\n{SIDES[sample.split]}"


def _summary(rows: tuple[Row, ...], dataset: Dataset | None) -> str:
    if dataset is None:
        return "The training set is empty."
    objects = sum(row.objects for row in rows)
    learn, held = (sum(row.sample.split == s for row in rows) for s in ("train", "val"))
    text = (
        f"{len(rows)} image{'' if len(rows) == 1 else 's'} with {objects} objects: {learn} for "
        f"training, {held} held out."
    )
    return text if held else f"{text} A part of them is held out to score the trained network."
