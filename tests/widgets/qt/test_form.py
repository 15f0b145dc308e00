"""A settings instance as a form: what is put in comes out, to the last digit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSlider, QApplication, QCheckBox, QLabel, QLineEdit, QScrollArea

from napari_segnet.errors import SettingsError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.train import TrainSettings
from napari_segnet.widgets.qt.form import Form, Hint, explanations

HINTS = {
    "threshold": Hint(label="threshold", minimum=0.0, maximum=1.0, step=0.01),
    "instances": Hint(choices=("auto", "none", "components", "watershed")),
    "min_size_px": Hint(label="smallest (px)", minimum=0, maximum=100_000),
    "max_objects": Hint(minimum=0, special="no limit"),
    "normalize": Hint(choices=("auto", "none", "percentile"), editable=True),
    "scale": Hint(minimum=0.01, maximum=100.0, step=0.1),
    "precision": Hint(choices=("auto", "fp32")),
    "score": Hint(minimum=0.0, maximum=1.0),
    "device": Hint(choices=("auto", "cpu", "cuda"), names=(("cuda", "graphics card"),)),
    "seams": Hint(choices=("auto", "exact", "blend"), advanced=True),
    "maps": Hint(advanced=True),
}

probability = st.floats(0, 1)
label_settings = st.builds(
    LabelSettings,
    threshold=st.none() | st.floats(-1, 3),
    instances=st.sampled_from(["auto", "none", "watershed", "of-a-later-version"]),
    min_size_px=st.none() | st.integers(-5, 10**9),
    fill_holes=st.none() | st.booleans(),
    clear_border=st.booleans(),
    seed_threshold=st.none() | probability,
    link=st.sampled_from(["none", "z", "tz"]),
    steps=st.lists(st.sampled_from(["smooth", "fill_holes"]), max_size=3).map(tuple),
    score=probability,
    nms=probability,
    mask_threshold=probability,
    mask_overlap=st.none() | probability,
    max_objects=st.integers(0, 2**40),
)
predict_settings = st.builds(
    PredictSettings,
    normalize=st.sampled_from(["auto", "percentile", "percentile:0.5,99", "mean-std:1,2"]),
    normalize_over=st.sampled_from(["auto", "volume", "plane", "series"]),
    channels=st.sampled_from(["auto", "0,2"]),
    scale=st.none() | st.floats(0.01, 100),
    tile_px=st.lists(st.integers(1, 10**6), max_size=3).map(tuple),
    batch_size=st.integers(0, 10**6),
    precision=st.sampled_from(["auto", "fp32", "bf16"]),
    seams=st.sampled_from(["auto", "blend"]),
    maps=st.sampled_from(["auto", "float16"]),
    device=st.sampled_from(["auto", "cuda:1"]),
)
many = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@pytest.fixture
def make(qtbot):
    def form(value, **given) -> Form:
        made = Form(value, **{"hints": HINTS, **given})
        qtbot.addWidget(made)
        return made

    return form


def changes_of(form: Form) -> list[object]:
    told: list[object] = []
    form.changed.connect(lambda: told.append(form.value()))
    return told


@many
@given(value=label_settings)
def test_label_settings_come_back_to_the_last_digit(make, value) -> None:
    form = make(LabelSettings())
    told = changes_of(form)
    form.set_value(value)
    assert form.value() == value
    assert told == []


@many
@given(value=predict_settings)
def test_predict_settings_come_back_to_the_last_digit(make, value) -> None:
    form = make(PredictSettings())
    told = changes_of(form)
    form.set_value(value)
    assert form.value() == value
    assert told == []


def test_training_settings_too_without_any_hint(make) -> None:
    value = TrainSettings(seed=2**62, learning_rate=1e-7, scale_range=(0.5, 2.0), flip=False)
    assert make(value, hints={}).value() == value


@many
@given(value=label_settings, entered=st.integers(0, 100))
def test_entering_one_value_changes_that_one_alone(make, value, entered) -> None:
    form = make(value)
    form.row("score").slider.setValue(entered / 100)
    assert form.value() == dataclasses.replace(value, score=form.value().score)
    assert form.value().score == pytest.approx(entered / 100, abs=0.006)


def test_settings_of_another_class_are_refused(make) -> None:
    with pytest.raises(TypeError, match="expected LabelSettings, got PredictSettings"):
        make(LabelSettings()).set_value(PredictSettings())


# ---- Each kind of row, by the user's hand ----


def test_a_slider_with_auto(make) -> None:
    form = make(LabelSettings())
    row, told = form.row("threshold"), changes_of(form)
    assert row.auto.isChecked()
    assert not row.slider.isEnabled()  # nobody knows yet where auto lies
    form.set_defaults(dataclasses.replace(LabelSettings(), threshold=0.4))
    assert row.slider.isEnabled()
    assert row.slider.value() == pytest.approx(0.4)
    assert form.value().threshold is None
    row.slider.setValue(0.3)
    assert not row.auto.isChecked()
    assert form.value().threshold == 0.3
    row.auto.click()
    assert form.value().threshold is None
    assert row.slider.value() == pytest.approx(0.4)
    row.auto.click()
    assert form.value().threshold == 0.4
    assert [x.threshold for x in told] == [0.3, None, 0.4]


def test_the_default_of_auto_moves_only_what_is_auto(make) -> None:
    form = make(LabelSettings(threshold=0.7))
    told = changes_of(form)
    form.set_defaults(LabelSettings(threshold=0.2))
    assert form.row("threshold").slider.value() == pytest.approx(0.7)
    assert form.value().threshold == 0.7
    assert told == []


def test_a_number_with_auto(make, qtbot) -> None:
    form = make(LabelSettings())
    box, told = form.row("min_size_px").box, changes_of(form)
    assert box.text() == "auto"
    form.set_defaults(LabelSettings(min_size_px=50))
    assert box.text() == "auto (50)"
    assert form.value().min_size_px is None
    box.stepUp()  # from auto to what it comes to
    assert form.value().min_size_px == 50
    box.stepUp()
    assert form.value().min_size_px == 51
    box.setValue(0)
    assert form.value().min_size_px == 0
    box.stepDown()
    assert form.value().min_size_px is None
    assert len(told) == 4


def test_a_typed_number_is_one_change(make, qtbot) -> None:
    form = make(LabelSettings(min_size_px=7))
    box, told = form.row("min_size_px").box, changes_of(form)
    box.selectAll()
    qtbot.keyClicks(box, "150")
    assert told == []
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert [x.min_size_px for x in told] == [150]


def test_a_number_whose_least_value_has_a_name(make) -> None:
    form = make(LabelSettings())
    box = form.row("max_objects").box
    assert box.text() == "no limit"
    box.setValue(3)
    assert form.value().max_objects == 3
    box.setValue(0)
    assert form.value().max_objects == 0


def test_a_float_in_a_box_with_auto(make) -> None:
    form = make(PredictSettings())
    box = form.row("scale").box
    assert box.text() == "auto"
    box.setValue(2.5)
    assert form.value().scale == 2.5
    box.setValue(0.01)
    assert form.value().scale == 0.01
    box.setValue(box.minimum())
    assert form.value().scale is None


def test_yes_no_or_auto(make) -> None:
    form = make(LabelSettings())
    combo, told = form.row("fill_holes").combo, changes_of(form)
    assert [combo.itemText(i) for i in range(combo.count())] == ["auto", "yes", "no"]
    for index, value in ((1, True), (2, False), (0, None)):
        combo.setCurrentIndex(index)
        combo.activated.emit(index)
        assert form.value().fill_holes is value
    form.set_defaults(LabelSettings(fill_holes=True))
    assert combo.currentText() == "auto (yes)"
    assert form.value().fill_holes is None
    assert len(told) == 3


def test_yes_or_no(make) -> None:
    form = make(LabelSettings())
    form.row("clear_border").check.click()
    assert form.value().clear_border is True


def test_choices_and_what_auto_comes_to(make) -> None:
    form = make(LabelSettings())
    combo = form.row("instances").combo
    form.set_defaults(LabelSettings(instances="watershed"))
    assert combo.currentText() == "auto (watershed)"
    assert form.value().instances == "auto"
    combo.setCurrentIndex(2)
    combo.activated.emit(2)
    assert form.value().instances == "components"
    form.set_defaults(LabelSettings(instances="components"))
    assert combo.currentText() == "components"
    assert combo.itemText(0) == "auto (components)"


def test_a_default_that_is_auto_itself_is_not_repeated(make) -> None:
    form = make(LabelSettings())
    form.set_defaults(LabelSettings())
    assert form.row("instances").combo.currentText() == "auto"


def test_choices_may_have_other_names_in_the_window(make) -> None:
    form = make(PredictSettings(device="cuda"))
    assert form.row("device").combo.currentText() == "graphics card"
    form.set_defaults(PredictSettings(device="cuda"))
    assert form.row("device").combo.itemText(0) == "auto (graphics card)"
    assert form.value().device == "cuda"


def test_a_value_that_is_no_choice_is_shown_and_kept(make) -> None:
    form = make(LabelSettings(instances="of-a-later-version"))
    assert form.row("instances").combo.currentText() == "of-a-later-version"


def test_another_text_may_be_typed_where_that_is_allowed(make, qtbot) -> None:
    form = make(PredictSettings())
    form.set_defaults(PredictSettings(normalize="percentile"))
    combo = form.row("normalize").combo
    assert combo.currentText() == "auto (percentile)"
    type_into(qtbot, combo.lineEdit(), "percentile:2,99")
    assert form.value().normalize == "percentile:2,99"
    type_into(qtbot, combo.lineEdit(), "auto")
    assert form.value().normalize == "auto"
    type_into(qtbot, combo.lineEdit(), "auto (percentile)")
    assert form.value().normalize == "auto"


def type_into(qtbot, line: QLineEdit, text: str) -> None:
    line.selectAll()
    line.del_()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


# ---- What cannot be used ----


def test_a_list_that_is_none_keeps_the_last_valid_one_and_says_why(make, qtbot) -> None:
    form = make(PredictSettings(tile_px=(512,)))
    line, told, refused = form.row("tile_px").line, changes_of(form), []
    form.refused.connect(refused.append)
    usual = line.toolTip()
    assert line.text() == "512"
    type_into(qtbot, line, "32,wide")
    assert form.value().tile_px == (512,)
    assert told == []
    assert "tile_px=32,wide is not a list of whole numbers, such as 1,2" in line.toolTip()
    assert form.problems() == {"tile_px": line.toolTip()}
    assert refused == [line.toolTip()]
    (sign,) = line.actions()
    assert sign.isVisible()
    type_into(qtbot, line, "0")  # understood, but refused by the settings class
    assert "needs one length above 0" in line.toolTip()
    assert form.value().tile_px == (512,)
    type_into(qtbot, line, "32, 256,256")
    assert form.value().tile_px == (32, 256, 256)
    assert form.problems() == {}
    assert refused[-1] == ""
    assert not sign.isVisible()
    assert line.toolTip() == usual
    assert [x.tile_px for x in told] == [(32, 256, 256)]


def test_set_value_takes_a_bad_text_away(make, qtbot) -> None:
    form = make(PredictSettings())
    type_into(qtbot, form.row("tile_px").line, "wide")
    assert form.problems()
    form.set_value(PredictSettings(tile_px=(64,)))
    assert form.row("tile_px").line.text() == "64"
    assert form.problems() == {}


def test_an_empty_list_is_the_default(make, qtbot) -> None:
    form = make(PredictSettings(tile_px=(64,)))
    type_into(qtbot, form.row("tile_px").line, "")
    assert form.value().tile_px == ()


def test_a_check_of_the_hint_refuses_what_the_class_lets_pass(make, qtbot) -> None:
    def known(value: str) -> None:
        if value != "auto":
            raise SettingsError(f"There is no normalizer {value!r}.")

    hint = Hint(choices=("auto",), editable=True, check=known)
    form = make(PredictSettings(), hints={"normalize": hint})
    line = form.row("normalize").combo.lineEdit()
    type_into(qtbot, line, "magic")
    assert form.value().normalize == "auto"
    assert form.problems() == {"normalize": "There is no normalizer 'magic'."}
    type_into(qtbot, line, "auto")
    assert form.problems() == {}


def test_other_settings_can_be_changed_while_one_text_is_bad(make, qtbot) -> None:
    form = make(PredictSettings(tile_px=(64,)))
    type_into(qtbot, form.row("tile_px").line, "wide")
    form.row("scale").box.setValue(3.0)
    assert form.value() == PredictSettings(tile_px=(64,), scale=3.0)
    assert list(form.problems()) == ["tile_px"]


# ---- Layout and words ----


def test_rows_can_be_chosen_ordered_hidden_and_shown(make) -> None:
    form = make(LabelSettings(), only=("score", "threshold"))
    form.show()
    labels = [x.text() for x in form.findChildren(QLabel) if x.buddy() is not None]
    assert labels == ["score", "threshold"]
    form.show_only(["score"])
    assert form.row("score").isVisible()
    assert not form.row("threshold").isVisible()
    before = form.sizeHint().height()
    form.show_only(["score", "threshold"])
    assert form.row("threshold").isVisible()
    assert form.sizeHint().height() > before


def test_what_has_no_row_keeps_its_value(make) -> None:
    form = make(LabelSettings(link="z", nms=0.123), only=("score",))
    form.row("score").slider.setValue(0.9)
    assert form.value() == LabelSettings(link="z", nms=0.123, score=0.9)


def test_advanced_rows_wait_for_a_click(make) -> None:
    form = make(PredictSettings())
    form.show()
    more = form.findChild(object, "more")
    assert more.isVisible()
    assert not form.row("seams").isVisible()
    more.click()
    assert form.row("seams").isVisible()
    assert form.row("maps").isVisible()
    form.show_only(["seams", "scale"])
    assert form.row("seams").isVisible()
    assert not form.row("maps").isVisible()
    form.show_only(["scale"])
    assert not more.isVisible()


def test_rows_are_found_by_the_names_of_their_settings(make) -> None:
    form = make(LabelSettings())
    assert form.findChild(object, "threshold") is form.row("threshold")


def test_every_row_explains_itself_in_the_words_of_the_docstring(make) -> None:
    form = make(LabelSettings())
    for name in ("threshold", "score", "nms", "link"):
        assert name in form.row(name).toolTip()
    assert "Foreground probability above which" in form.row("threshold").slider.toolTip()
    assert "<b>tz</b>" in form.row("link").line.toolTip()
    assert "``" not in form.row("link").toolTip()


@pytest.mark.parametrize("cls", [LabelSettings, PredictSettings, TrainSettings])
def test_the_docstring_explains_every_setting(cls) -> None:
    texts = explanations(cls)
    assert set(texts) == {field.name for field in dataclasses.fields(cls)}
    assert all(len(text) > 8 for text in texts.values()), texts


def test_a_class_without_a_docstring_has_no_explanations(make) -> None:
    @dataclass(frozen=True)
    class Bare:
        size: int = 1

    Bare.__doc__ = None
    assert explanations(Bare) == {}


def test_explanations_end_with_their_section() -> None:
    class Described:
        """One.

        Attributes
        ----------
        a, b : int
            Both ``x``
            and y.
        c : str
            Third.

        Notes
        -----
        d : not a setting
        """

    assert explanations(Described) == {
        "a": "Both ``x`` and y.",
        "b": "Both ``x`` and y.",
        "c": "Third.",
    }


def test_it_fits_a_narrow_dock(make) -> None:
    assert make(LabelSettings()).minimumSizeHint().width() <= 300
    assert make(PredictSettings()).minimumSizeHint().width() <= 300


def test_the_wheel_scrolls_the_dock_and_changes_nothing_on_its_way(make, qtbot) -> None:
    form = make(LabelSettings(max_objects=5, score=0.5))
    area = QScrollArea()
    qtbot.addWidget(area)
    area.setWidget(form)
    area.resize(300, 80)
    area.show()
    box, told = form.row("max_objects").box, changes_of(form)
    form.row("threshold").slider.setFocus()
    QApplication.sendEvent(box, wheel())
    for part in form.row("score").findChildren(QAbstractSlider):
        QApplication.sendEvent(part, wheel())
    QApplication.sendEvent(form.row("instances").combo, wheel())
    assert form.value() == LabelSettings(max_objects=5, score=0.5)
    box.setFocus()
    QApplication.sendEvent(box, wheel())
    assert form.value().max_objects == 5
    assert not told


def wheel() -> QWheelEvent:
    return QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )


def test_the_keyboard_reaches_every_row(make) -> None:
    form = make(LabelSettings())
    for field in dataclasses.fields(LabelSettings):
        assert form.row(field.name).focusProxy() is not None
    assert form.row("threshold").findChild(QCheckBox).focusPolicy() & Qt.FocusPolicy.TabFocus
