"""A plot of lines in a dock, drawn by matplotlib in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.widgets.qt.listen import listen

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["Line", "Plot"]

HEIGHT_PX = 170
COLOURS = ("#4c9be8", "#f5a142", "#5fbf77", "#d9667b")
"""Readable on dark and on light grounds, and told apart without red and green."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one line shows.

    Attributes
    ----------
    name : str
        For the legend.
    x, y : sequence of float
        Its points; NaN leaves a gap.
    right : bool
        On an axis of its own at the right.
    mark : bool
        Show its points, too.
    band : tuple of sequence of float or None
        Lower and upper end at each point, shaded between.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    right: bool = False
    mark: bool = False
    band: tuple[Sequence[float], Sequence[float]] | None = None


class Plot(QWidget):
    """Empty, and without matplotlib, until lines are shown.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose theme gives the colours.
    x_label, y_label, right_label : str
        Of the axes.
    y_range : tuple of float, optional
        Lowest and highest value; as wide as the lines need otherwise.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        *,
        x_label: str,
        y_label: str,
        right_label: str = "",
        y_range: tuple[float, float] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._labels = (x_label, y_label, right_label)
        self._y_range = y_range
        self._lines: tuple[Line, ...] = ()
        self._canvas: Any = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(HEIGHT_PX)
        listen(self, [viewer.events.theme], self._theme_changed)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown."""
        return self._lines

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Draw lines instead of what was there."""
        self._lines = tuple(lines)
        if self._canvas is None:
            self._canvas = _canvas()
            layout = self.layout()
            assert layout is not None
            layout.addWidget(self._canvas)
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self._lines = ()
        if self._canvas is not None:
            self._draw()

    def _theme_changed(self, event: object = None) -> None:
        if self._canvas is not None:
            self._draw()

    def _draw(self) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        text = theme.text.as_hex()
        figure = self._canvas.figure
        figure.clear()
        left = figure.add_subplot()
        axes = [left]
        if any(line.right for line in self._lines):
            axes.append(left.twinx())
        for line, colour in zip(self._lines, COLOURS, strict=False):
            where = axes[-1] if line.right else left
            where.plot(
                line.x, line.y, color=colour, label=line.name, marker="o" if line.mark else "", ms=3
            )
            if line.band is not None:
                where.fill_between(line.x, *line.band, color=colour, alpha=0.25, linewidth=0)
        left.set_xlabel(self._labels[0])
        left.set_ylabel(self._labels[1])
        if len(axes) > 1:
            axes[1].set_ylabel(self._labels[2])
        if self._y_range is not None:
            axes[-1].set_ylim(*self._y_range)
        for each in axes:
            _dress(each, text)
        if len(self._lines) > 1:
            handles = [h for each in axes for h in each.get_lines()]
            # Above the axes, where no line can be.
            left.legend(
                handles=handles, fontsize=8, labelcolor=text, frameon=False, ncols=len(handles),
                loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.2, handlelength=1.5,
            )  # fmt: skip
        self._canvas.draw_idle()


def _canvas() -> Any:
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", facecolor="none")
    canvas = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]  # has no types
    canvas.setStyleSheet("background-color: transparent;")
    return canvas


def _dress(axes: Any, text: str) -> None:
    axes.set_facecolor("none")
    axes.tick_params(colors=text, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(text)
        label.set_fontsize(9)
    for spine in axes.spines.values():
        spine.set_color(text)
        spine.set_alpha(0.4)
    axes.grid(visible=True, color=text, alpha=0.12)
