"""The network's identity card in plain words, and where the user tells what it does not say."""

from __future__ import annotations

import json
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.answers import answer_of
from napari_segnet.card import can_be_overridden, card_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.widgets.qt.collapsible import Section

__all__ = ["CardView", "headline"]

VALUE = 1
"""Column of the facts' values."""

SOURCES = {
    "read": "read from the file",
    "decided": "decided by the statistics of the file",
    "assumed": "assumed",
    "told": "set by you",
}
GROUPS = {
    "told": "Set by you",
    "assumed": "Assumed; change what is wrong",
    "decided": "Decided by the statistics of the file",
    "read": "Read from the file",
}
"""In the order of the card: what the user may change comes first."""


def headline(checkpoint: Checkpoint) -> str:
    """Return what a network is in two or three short lines."""
    from napari_segnet.recognition import title_of

    channels = f"{checkpoint.channels} channel{'s' * (checkpoint.channels != 1)}"
    size = _count(checkpoint.parameters)
    title = title_of(checkpoint)
    lines = [
        f"{title[0].upper()}{title[1:]}",
        f"{checkpoint.ndim}D, {channels} in, {size} parameters",
    ]
    lines.append(answer_of(checkpoint).headline(checkpoint))
    return "\n".join(lines)


def _count(number: int) -> str:
    if number >= 1_000_000:
        return f"{number / 1e6:.1f} million"
    return f"{number / 1e3:.0f} thousand" if number >= 1000 else str(number)


class CardView(QWidget):
    """What is known of a network, fact by fact."""

    overridden = Signal(dict)
    """Facts that the user sets, name -> text; all that were set so far."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_card")
        self._overrides: dict[str, str] = {}
        self._filling = False
        self.title = QLabel("No network is chosen.")
        self.title.setObjectName("segnet_card_title")
        self.title.setWordWrap(True)
        self.caution = QLabel()
        self.caution.setObjectName("segnet_card_caution")
        self.caution.setWordWrap(True)
        self.caution.hide()
        self.notes = QLabel()
        self.notes.setObjectName("segnet_card_notes")
        self.notes.setWordWrap(True)
        self.notes.hide()
        self.tree = QTreeWidget()
        self.tree.setObjectName("segnet_facts")
        self.tree.setHeaderLabels(["Fact", "Value"])
        self.tree.setRootIsDecorated(False)
        self.tree.setIndentation(8)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tree.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.tree.setMinimumHeight(180)
        self.tree.setItemDelegateForColumn(VALUE, _InWords(self.tree))
        self.tree.itemDoubleClicked.connect(self._edit)
        self.tree.itemChanged.connect(self._changed)
        header = self.tree.header()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            header.setStretchLastSection(True)
        inside = QWidget()
        box = QVBoxLayout(inside)
        box.setContentsMargins(0, 0, 0, 0)
        hint = QLabel("Rows with a pencil can be changed: double-click the value.")
        hint.setWordWrap(True)
        hint.setEnabled(False)
        box.addWidget(hint)
        box.addWidget(self.tree)
        self.more = Section("Details", inside)
        self.more.setObjectName("segnet_card_more")
        self.more.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.title)
        layout.addWidget(self.caution)
        layout.addWidget(self.notes)
        layout.addWidget(self.more)

    def put_below_title(self, *widgets: QWidget) -> None:
        """Put what has to be answered in front of what is known and assumed."""
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        for place, widget in enumerate(widgets, start=layout.indexOf(self.title) + 1):
            layout.insertWidget(place, widget)

    def wait(self, name: str) -> None:
        """Show that a file is being looked at."""
        self._overrides = {}
        self.title.setText(f"Reading {name} …")
        self._hide_details()

    def clear(self, said: str = "No network is chosen.") -> None:
        """Show that there is no network."""
        self.title.setText(said)
        self._hide_details()

    def _hide_details(self) -> None:
        for widget in (self.caution, self.notes, self.more):
            widget.hide()

    def set_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Show a network."""
        self.title.setText(headline(checkpoint))
        self.notes.setText("\n".join(checkpoint.notes))
        self.notes.setVisible(bool(checkpoint.notes))
        card = card_of(checkpoint)
        facts: dict[str, dict[str, Any]] = card["facts"]
        assumed = [n for n, f in facts.items() if f["source"] == "assumed"]
        overridable = [n for n in assumed if can_be_overridden(checkpoint, n)]
        self._show_caution(facts, overridable)
        self._filling = True
        self.tree.clear()
        for source, title in GROUPS.items():
            rows = [
                _row(name, fact, source != "read" and can_be_overridden(checkpoint, name))
                for name, fact in facts.items()
                if fact["source"] == source
            ]
            if rows:
                self._add_group(title, rows)
        self.tree.expandAll()
        self.tree.resizeColumnToContents(0)
        self.tree.setColumnWidth(0, min(self.tree.columnWidth(0), 130))
        self._filling = False
        self.more.show()

    def _add_group(self, title: str, rows: list[QTreeWidgetItem]) -> None:
        # Those that can be told stand in front of those that follow from them.
        rows.sort(key=lambda row: not row.flags() & Qt.ItemFlag.ItemIsEditable)
        group = QTreeWidgetItem([title])
        font = group.font(0)
        font.setBold(True)
        group.setFont(0, font)
        self.tree.addTopLevelItem(group)
        group.setFirstColumnSpanned(True)
        group.addChildren(rows)

    def _show_caution(self, facts: dict[str, dict[str, Any]], overridable: list[str]) -> None:
        """Name in front of all what decides the result and is only assumed."""
        if "normalize" in overridable or facts["prepare"]["source"] == "assumed":
            self.caution.setText(
                "The file does not say how images were normalised, so this is assumed. If the "
                "result looks wrong, try another normalisation below."
            )
            self.caution.show()
        else:
            self.caution.hide()

    def _edit(self, item: QTreeWidgetItem, column: int) -> None:
        if item.flags() & Qt.ItemFlag.ItemIsEditable:
            self.tree.editItem(item, VALUE)

    def _changed(self, item: QTreeWidgetItem, column: int) -> None:
        if self._filling or column != VALUE:
            return
        text = item.text(VALUE).strip()
        if text:
            self._overrides = {**self._overrides, str(item.data(0, Qt.ItemDataRole.UserRole)): text}
            self.overridden.emit(dict(self._overrides))


class _InWords(QStyledItemDelegate):
    """Shows a value in words of the field; what is edited is the value as it is told."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Put the words in place of the value."""
        from napari_segnet.proof import fact_in_words

        super().initStyleOption(option, index)
        if option is not None:
            name = str(index.siblingAtColumn(0).data(Qt.ItemDataRole.UserRole))
            option.text = fact_in_words(name, option.text or "") or option.text


def _in_words(name: str, value: Any) -> str:
    """Return a fact's value as a person would write it."""
    if value in (None, [], {}, ()):
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "outputs":
        return ", ".join(f"{o['channels']} × {o['role']} ({o['activation']})" for o in value)
    if name == "prepare":
        return "; ".join(
            " ".join(str(part) for part in (step["name"], *_options(step))) for step in value
        )
    if isinstance(value, list) and not any(isinstance(v, list | dict) for v in value):
        return " × ".join(map(str, value)) if name.endswith("_px") else ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _options(step: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in step.items() if key != "name"]


def _row(name: str, fact: dict[str, Any], can: bool) -> QTreeWidgetItem:
    text = _in_words(name, fact["value"])
    item = QTreeWidgetItem([name.replace("_", " "), text])
    item.setData(0, Qt.ItemDataRole.UserRole, name)
    for column in range(2):
        item.setToolTip(column, f"{name}: {text}\n{SOURCES[fact['source']]}: {fact['why']}")
    if can:
        item.setText(0, f"✎ {item.text(0)}")
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
    return item
