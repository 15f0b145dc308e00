"""Settings through magicgui: every field of every settings class comes back as it went in."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache

import magicgui.type_map
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from magicgui.widgets import create_widget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox

from napari_segnet.errors import SettingsError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.train import TrainSettings
from napari_segnet.widgets.qt.form import form_type
from napari_segnet.widgets.qt.form_rows import Hint
from napari_segnet.widgets.qt.setting_rows import HINTS, LABEL_HINTS
from napari_segnet.widgets.qt.value_widgets import TYPES, SettingWidget
from napari_segnet.widgets.train.hints import TRAIN_HINTS

CLASSES = {PredictSettings: HINTS, LabelSettings: LABEL_HINTS, TrainSettings: TRAIN_HINTS}
FIELDS = [
    pytest.param(form_type(kind), hints.get(name, Hint()), id=f"{cls.__name__}.{name}")
    for cls, hints in CLASSES.items()
    for name, kind in typing.get_type_hints(cls).items()
]
SMALL = (1e-5, 1e-4, 1e-12, 0.1 + 0.2)
WORDS = ("", "auto", "yes", "percentile:1,99", "größer 1e-5")


@cache
def values_of(kind) -> st.SearchStrategy:
    """Every value that a field of this type may have."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return st.one_of(*(values_of(part) for part in typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if parts[-1] is Ellipsis:
            return st.lists(values_of(parts[0]), max_size=4).map(tuple)
        return st.tuples(*(values_of(part) for part in parts))
    return {
        type(None): st.none(),
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**63),
        float: st.sampled_from(SMALL) | st.floats(allow_nan=False),
        str: st.sampled_from(WORDS) | st.text(max_size=20),
    }[kind]


def test_every_settings_class_has_its_fields_here():
    names = {cls.__name__ for cls in CLASSES}
    assert {case.id.split(".")[0] for case in FIELDS} == names
    assert sum(len(dataclasses.fields(cls)) for cls in CLASSES) == len(FIELDS)


@pytest.mark.sample(25)
@pytest.mark.parametrize(("kind", "hint"), FIELDS)
def test_every_field_comes_back_as_it_went_in(qtbot, kind, hint):
    widget = TYPES.create_widget(annotation=kind, name="field", options={"hint": hint})
    assert isinstance(widget, SettingWidget)
    qtbot.addWidget(widget.native)
    told = []
    widget.changed.connect(told.append)

    @settings(
        max_examples=25,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(value=values_of(kind))
    def come_back(value):
        widget.value = value
        assert (widget.value, type(widget.value)) == (value, type(value))

    come_back()
    assert told == [], "only the user's hand changes a setting"


def test_what_magicgui_alone_does_is_still_wrong():
    """The reason of our own widgets; when this fails, look whether they are needed."""
    with pytest.raises(ValueError, match="No widget found for type"):
        create_widget(annotation=tuple[int, ...], value=(1, 2, 3))
    with pytest.raises(TypeError, match="setChecked"):
        create_widget(annotation=bool | None, value=None)
    assert create_widget(annotation=float, value=1e-4).value == 0.0
    assert create_widget(annotation=float | None, value=None).value == 0.0


def test_other_plugins_keep_the_widgets_of_magicgui():
    for kind in (bool, int, float, str, float | None):
        assert not isinstance(create_widget(annotation=kind), SettingWidget)
        made, _ = magicgui.type_map.get_widget_class(annotation=kind)
        assert not issubclass(made, SettingWidget)


@pytest.fixture
def small(qtbot):
    """A learning rate as the Train dock shows it."""
    hint = TRAIN_HINTS["learning_rate"]
    widget = TYPES.create_widget(1e-5, annotation=float, name="rate", options={"hint": hint})
    qtbot.addWidget(widget.native)
    return widget


def test_a_small_number_is_shown_typed_and_stepped(small, qtbot):
    box, told = small.native.findChild(QDoubleSpinBox), []
    small.changed.connect(told.append)
    assert box.text() == "1e-05"
    for text, value in (("3e-6", 3e-6), ("0,0002", 2e-4), ("0.5", 0.5)):
        box.selectAll()
        qtbot.keyClicks(box, text)
        qtbot.keyClick(box, Qt.Key.Key_Return)
        assert (small.value, told[-1]) == (value, value)
    small.value = 1e-5
    box.stepUp()
    assert small.value == pytest.approx(1.1e-5)
    box.selectAll()
    qtbot.keyClicks(box, "2x")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert small.value == 2.0  # a letter is not taken


@pytest.mark.parametrize("typed", ["e", "1e999", "-3", "nan", "50"])
def test_what_is_no_number_in_the_range_changes_nothing(small, qtbot, typed):
    box = small.native.findChild(QDoubleSpinBox)
    box.selectAll()
    qtbot.keyClicks(box, typed)
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert small.native.value() == pytest.approx(1e-5) or typed == "nan"


def test_a_choice_that_is_taken_is_told_once(qtbot):
    widget = TYPES.create_widget(None, annotation=bool | None, name="flag", options={})
    qtbot.addWidget(widget.native)
    told = []
    widget.changed.connect(told.append)
    for index, value in ((1, True), (2, False), (0, None)):
        widget.native.combo.setCurrentIndex(index)
        widget.native.combo.activated.emit(index)
        assert widget.value is value
    assert told == [True, False, None]


def test_a_list_that_is_none_is_not_told(qtbot):
    widget = TYPES.create_widget((3,), annotation=tuple[int, ...], name="tile_px")
    qtbot.addWidget(widget.native)
    told = []
    widget.changed.connect(told.append)
    widget.native.line.setText("3,wide")
    widget.native.line.editingFinished.emit()
    with pytest.raises(SettingsError, match="tile_px=3,wide is not a list of whole numbers"):
        _ = widget.value
    widget.native.line.setText("3, 4")
    widget.native.line.editingFinished.emit()
    assert (widget.value, told) == ((3, 4), [(3, 4)])


def test_a_number_beyond_the_box_is_kept(qtbot):
    widget = TYPES.create_widget(2**40, annotation=int, name="seed")
    qtbot.addWidget(widget.native)
    box = widget.native.findChild(QSpinBox)
    assert widget.value == 2**40
    box.stepDown()
    assert widget.value == box.value() < 2**31
