"""What came of a training: figures before and after, and what to do with the new network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGroupBox, QTableWidget, QVBoxLayout, QWidget

from napari_segnet.widgets.qt.named import fill_row, named_button, named_label
from napari_segnet.widgets.qt.plot import Plot
from napari_segnet.widgets.train.cross_fit_box import CrossFitBox
from napari_segnet.widgets.train.curves import learning_curve
from napari_segnet.widgets.train.session import TrainSession, figure_rows, outcome

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.train import TrainingResult

__all__ = ["OutcomeBox", "StopBox"]


class OutcomeBox(QGroupBox):
    """Figures on what was held out; buttons to see and to use the new network.

    Parameters
    ----------
    session : TrainSession
        What was trained.
    viewer : napari.viewer.Viewer
        Whose theme the learning curve follows.
    """

    def __init__(
        self, session: TrainSession, viewer: napari.viewer.Viewer, parent: QWidget | None = None
    ) -> None:
        super().__init__("On the held-out images", parent)
        self.cross_fit = CrossFitBox(session)
        self.verdict = named_label("segnet_train_verdict")
        self.figures = QTableWidget(0, 3)
        self.figures.setObjectName("segnet_train_figures")
        self.figures.setHorizontalHeaderLabels(["", "before", "after"])
        self.figures.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.figures.setShowGrid(False)
        side = self.figures.verticalHeader()
        if side is not None:
            side.hide()
        self.use = named_button(
            "Use the new network", "segnet_train_use", "Choose it in the Segment dock"
        )
        self.changes = named_button(
            "Show what changed",
            "segnet_train_changes",
            "Each held-out image with outlines: white found before and after, green gained, pink "
            "lost, yellow never found, blue false",
        )
        self.curve = Plot(viewer, x_label="corrected images", y_label="likely score", parent=self)
        self.curve.setObjectName("segnet_train_forecast")
        self.curve.setToolTip(
            "Expected score with more corrected images of this kind; the shaded band holds the "
            "score in nine of ten cases"
        )
        layout = QVBoxLayout(self)
        rows = (self.verdict, self.curve, self.cross_fit, self.figures, self.changes, self.use)
        for widget in rows:
            layout.addWidget(widget)
        self.hide()

    def show_outcome(self, trained: TrainingResult) -> None:
        """Show whether the new network is better."""
        rows = figure_rows(trained)
        self.figures.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            fill_row(self.figures, row, texts)
        self.figures.setVisible(bool(rows))
        self.figures.resizeRowsToContents()
        head = self.figures.horizontalHeader()
        high = sum(self.figures.rowHeight(row) for row in range(len(rows)))
        self.figures.setFixedHeight(high + (head.height() if head is not None else 0) + 6)
        self.verdict.setText(outcome(trained))
        self.curve.setVisible(trained.forecast is not None)
        if trained.forecast is not None:
            self.curve.show_lines(learning_curve(trained.forecast))
        self.cross_fit.offer(trained)
        self.use.setVisible(not trained.promoted)
        self.changes.setVisible(bool(trained.after.labels))
        self.show()


class StopBox(QGroupBox):
    """What shall become of a training that ended early."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Stopped", parent)
        self.keep_best = named_button(
            "Keep the best so far",
            "segnet_train_keep",
            "Save the network of the best epoch on the held-out images, and compare it with the "
            "old one",
        )
        self.drop = named_button(
            "Keep the old network", "segnet_train_drop", "Discard this training"
        )
        self.go_on = named_button(
            "Continue training", "segnet_train_go_on", "Train further from the last epoch"
        )
        layout = QVBoxLayout(self)
        for button in (self.keep_best, self.drop, self.go_on):
            layout.addWidget(button)
        self.hide()
