"""Settings as value widgets of magicgui: what goes in comes out, None and 1e-5 included.

magicgui's own turn ``float | None = None`` and ``1e-4`` into 0.0, and fail for
``bool | None`` and ``tuple[int, ...]``. Ours are registered in a copy of its type map, since the
global one belongs to all plugins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from magicgui.backends._qtpy.widgets import QBaseValueWidget
from magicgui.type_map import TypeMap
from magicgui.types import Undefined
from magicgui.widgets import bases, protocols
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_segnet.errors import SettingsError
from napari_segnet.settings import parse_value
from napari_segnet.widgets.qt.form_rows import CheckRow, ChoiceRow, Hint, Row, TextRow
from napari_segnet.widgets.qt.number_rows import NumberRow, SliderRow, is_slider

__all__ = ["TYPES", "ChoiceOrText", "Flag", "Number", "SettingWidget", "Several"]


class _Backend(QBaseValueWidget):
    """What magicgui asks of a row; its own classes for Qt know the rest."""

    def __init__(self, row: Row, parent: QWidget | None = None) -> None:
        make: Any = lambda parent: row  # noqa: E731  # magicgui wants to make it itself
        super().__init__(make, "value", "set_value", "edited", parent=parent)
        self._row = row

    def _mgui_bind_change_callback(self, callback: Callable[[Any], object]) -> None:
        def tell() -> None:
            try:
                value = self._mgui_get_value()
            except SettingsError:  # the form shows why
                return
            callback(value)

        self._row.edited.connect(tell)


class SettingWidget(bases.ValueWidget[Any]):
    """A setting that keeps the exact value it was given.

    Parameters
    ----------
    value : Any
        What is shown first.
    annotation : type
        Such as ``float | None``.
    hint : Hint
        How it is shown.
    default : Any
        What "auto" stands for where a text is typed.
    name, nullable, **rest
        As in magicgui.
    """

    _widget: protocols.ValueWidgetProtocol

    def __init__(
        self,
        value: Any = Undefined,
        *,
        annotation: Any = None,
        name: str = "",
        nullable: bool = False,
        hint: Hint | None = None,
        default: Any = None,
        **rest: Any,
    ) -> None:
        parse = partial(parse_value, name, kind=annotation, default=default)
        row = self.row(hint or Hint(), annotation, nullable, parse)
        row.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        super().__init__(
            value,
            annotation=annotation,
            name=name,
            nullable=nullable,
            widget_type=_Backend,
            backend_kwargs={"row": row},
            **rest,
        )

    @staticmethod
    def row(hint: Hint, kind: Any, optional: bool, parse: Callable[[str], Any]) -> Row:
        """Return the editor of a type such as ``int`` or ``float | None``."""
        raise NotImplementedError


class Flag(SettingWidget):
    """Yes, no, and auto where that is allowed."""

    @staticmethod
    def row(hint: Hint, kind: Any, optional: bool, parse: Callable[[str], Any]) -> Row:
        """Return a box to tick, or three choices."""
        if optional:
            return ChoiceRow(hint, (None, True, False), (hint.special or "auto", "yes", "no"))
        return CheckRow(hint)


class Number(SettingWidget):
    """A number, however small, and auto where that is allowed."""

    @staticmethod
    def row(hint: Hint, kind: Any, optional: bool, parse: Callable[[str], Any]) -> Row:
        """Return a slider for a float between bounds, else a box."""
        whole = kind in (int, int | None)
        if not whole and is_slider(hint):
            return SliderRow(hint, optional)
        return NumberRow(hint, int if whole else float, optional)


class ChoiceOrText(SettingWidget):
    """One of some texts, or any."""

    @staticmethod
    def row(hint: Hint, kind: Any, optional: bool, parse: Callable[[str], Any]) -> Row:
        """Return a list of the choices, else a line."""
        if not hint.choices:
            return TextRow(hint, parse)
        names = dict(hint.names)
        return ChoiceRow(hint, hint.choices, tuple(names.get(c, c) for c in hint.choices))


class Several(SettingWidget):
    """A tuple of numbers or texts."""

    @staticmethod
    def row(hint: Hint, kind: Any, optional: bool, parse: Callable[[str], Any]) -> Row:
        """Return a line with commas between the parts."""
        return TextRow(hint, parse)


TYPES = TypeMap.global_instance().copy()
"""From types to our value widgets; a bool is asked before an int, which it is as well."""
for _kind, _widget in (
    (bool, Flag),
    (int, Number),
    (float, Number),
    (str, ChoiceOrText),
    (tuple, Several),
):
    TYPES.register_type(_kind, widget_type=_widget)
