"""A settings instance as a form: one settings class makes the form, the command and the JSON."""

from __future__ import annotations

import dataclasses
import html
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_segnet.errors import SettingsError
from napari_segnet.widgets.qt.form_rows import Hint, Row
from napari_segnet.widgets.qt.value_widgets import TYPES, SettingWidget

__all__ = ["Form", "Hint", "explanations", "form_type"]

S = TypeVar("S")


class Form(QWidget, Generic[S]):
    """A settings instance as a form.

    What is not shown keeps the value that it was given. A text that cannot be used is marked,
    and the form keeps the last value that could.

    Parameters
    ----------
    settings : dataclass instance
        What is shown first.
    hints : mapping of str to Hint
        By name of the setting; one without a hint is shown as well as its type allows.
    only : sequence of str, optional
        The settings that have a row, in this order; otherwise all.
    parent : QWidget, optional
        As Qt has it.

    Attributes
    ----------
    changed : Signal
        The user has changed a value; never sent for ``set_value``.
    refused : Signal of str
        Why what the user entered cannot be used; empty when it can again.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(
        self,
        settings: S,
        *,
        hints: Mapping[str, Hint],
        only: Sequence[str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._settings = settings
        self._problems: dict[str, str] = {}
        names = tuple(only) if only is not None else tuple(_names(settings))
        self._visible = set(names)
        self._widgets = _value_widgets(settings, names, hints)
        self._rows: dict[str, Row] = {name: one.native for name, one in self._widgets.items()}
        self._layout = QFormLayout(self)
        self._more = _more_button()
        self._lay_out(explanations(type(settings)))
        self.set_value(settings)

    # ---- What others ask ----

    def value(self) -> S:
        """Return the settings as they are now; always valid."""
        return self._settings

    def set_value(self, settings: S) -> None:
        """Show other settings of the same class; ``changed`` is not sent."""
        if type(settings) is not type(self._settings):
            raise TypeError(
                f"expected {type(self._settings).__name__}, got {type(settings).__name__}"
            )
        self._settings = settings
        for name, widget in self._widgets.items():
            widget.value = getattr(settings, name)
            self._say(name, "")

    def set_defaults(self, resolved: S) -> None:
        """Show what "auto" comes to, such as ``auto (0.4)``.

        Parameters
        ----------
        resolved : dataclass instance
            The same settings with nothing left open.
        """
        for name, row in self._rows.items():
            row.show_default(getattr(resolved, name))

    def show_only(self, names: Sequence[str]) -> None:
        """Show these rows and hide the others; what they hold stays."""
        self._visible = set(names)
        self._show_rows()

    def problems(self) -> dict[str, str]:
        """Return why an entered text cannot be used, by name of the setting."""
        return dict(self._problems)

    def row(self, name: str) -> QWidget:
        """Return the editor of a setting."""
        return self._rows[name]

    # ---- Layout ----

    def _lay_out(self, texts: Mapping[str, str]) -> None:
        layout = self._layout
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        plain = [n for n, row in self._rows.items() if not row.hint.advanced]
        advanced = [n for n in self._rows if n not in plain]
        for name in plain:
            self._add_row(name, texts)
        layout.addRow(self._more)
        for name in advanced:
            self._add_row(name, texts)
        self._more.toggled.connect(self._show_rows)
        self._show_rows()

    def _add_row(self, name: str, texts: Mapping[str, str]) -> None:
        row = self._rows[name]
        label = QLabel(row.hint.label or name.replace("_", " "))
        label.setBuddy(row)
        row.setObjectName(name)
        tip = _rich(name, texts.get(name, ""))
        for widget in (label, row, *row.findChildren(QWidget)):
            widget.setToolTip(tip)
        self._layout.addRow(label, row)
        row.edited.connect(lambda: self._take(name))

    def _show_rows(self) -> None:
        shown = {name: row for name, row in self._rows.items() if name in self._visible}
        some = any(row.hint.advanced for row in shown.values())
        _set_visible(self._layout, self._more, some)
        self._more.setArrowType(
            Qt.ArrowType.DownArrow if self._more.isChecked() else Qt.ArrowType.RightArrow
        )
        for name, row in self._rows.items():
            open_ = self._more.isChecked() or not row.hint.advanced
            _set_visible(self._layout, row, name in shown and open_)

    # ---- What the user enters ----

    def _take(self, name: str) -> None:
        try:
            settings = self._with(name)
        except SettingsError as error:
            self._say(name, str(error))
            return
        self._say(name, "")
        if settings != self._settings:
            self._settings = settings
            self.changed.emit()

    def _with(self, name: str) -> S:
        """Return the settings with what is entered in a row.

        Raises
        ------
        SettingsError
            If it cannot be used.
        """
        value, check = self._widgets[name].value, self._rows[name].hint.check
        if check is not None:
            check(value)
        changed: S = dataclasses.replace(self._settings, **{name: value})  # type: ignore[type-var]
        return changed

    def _say(self, name: str, problem: str) -> None:
        self._rows[name].show_problem(problem)
        if problem:
            self._problems[name] = problem
            self.refused.emit(problem)
        elif self._problems.pop(name, None) is not None:
            self.refused.emit(next(iter(self._problems.values()), ""))


def _value_widgets(
    settings: Any, names: Iterable[str], hints: Mapping[str, Hint]
) -> dict[str, SettingWidget]:
    """Return the editor of each setting, as magicgui makes it of the type."""
    kinds, usual = get_type_hints(type(settings)), type(settings)()
    made: dict[str, SettingWidget] = {}
    for name in names:
        given = {"hint": hints.get(name, Hint()), "default": getattr(usual, name)}
        value = getattr(settings, name)
        widget = TYPES.create_widget(
            value, annotation=form_type(kinds[name]), name=name, options=given
        )
        assert isinstance(widget, SettingWidget), kinds[name]
        made[name] = widget
    return made


def form_type(kind: Any) -> Any:
    """Return a type without the words beside it, which are typed on the command line alone."""
    parts = [part for part in get_args(kind) if get_origin(part) is not Literal]
    return Union[tuple(parts)] if get_origin(kind) is Union else kind  # noqa: UP007


def explanations(cls: type[Any]) -> dict[str, str]:
    """Return what the docstring of a settings class says of each setting.

    Reads the "Attributes" section of a numpy docstring, where ``a, b : float`` explains two.
    """
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    if "Attributes" not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Attributes") + 2 :]:
        head = re.match(r"(\w+(?:, \w+)*) : ", line)
        if head:
            names = head[1].split(", ")
        elif line and not line.startswith(" "):
            break
        else:
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def _names(settings: Any) -> Iterable[str]:
    return (field.name for field in dataclasses.fields(settings))


def _rich(name: str, text: str) -> str:
    """Return a tooltip; rich, because Qt breaks the lines of no other."""
    marked = re.sub(r"``(.+?)``", r"<b>\1</b>", html.escape(text))
    return f"<qt><i>{html.escape(name)}</i><br>{marked}</qt>"


def _more_button() -> QToolButton:
    button = QToolButton()
    button.setObjectName("more")
    button.setText("more settings")
    button.setCheckable(True)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _set_visible(layout: QFormLayout, widget: QWidget, visible: bool) -> None:
    if hasattr(layout, "setRowVisible"):  # from Qt 6.4 on: hidden rows take no room
        layout.setRowVisible(widget, visible)
        return
    label = layout.labelForField(widget)
    for part in (widget, label) if label is not None else (widget,):
        part.setVisible(visible)
