"""Which result layers may be replaced."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import DirectLabelColormap

from napari_segnet.widgets.segment.result_layers import Result, Results

SUBJECT = (1, ((0, 4), (0, 5)), "unet.pth")


def kwargs(name="cells · unet"):
    return {"name": name, "features": {"index": [0]}, "metadata": {"segnet": {}}}


def labels(value):
    return np.full((4, 5), value, np.int32)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def results(viewer):
    return Results(viewer)


def put(results, value, key="k", subject=SUBJECT):
    return results.put(Result(subject=subject, key=key), labels(value), kwargs())


def test_an_untouched_result_is_replaced(viewer, results):
    first = put(results, 1)
    second = put(results, 2, key="other")
    assert second is first
    assert len(viewer.layers) == 1
    assert (first.data == 2).all()
    assert results.of(first).key == "other"


def test_another_subject_gets_a_layer_of_its_own(viewer, results):
    put(results, 1)
    put(results, 2, subject=(2, *SUBJECT[1:]))
    assert len(viewer.layers) == 2


def test_the_answer_of_another_network_hides_what_it_would_be_mixed_with(viewer, results):
    of_other_image = put(results, 1, subject=(2, *SUBJECT[1:]))
    first = put(results, 1)
    second = put(results, 2, subject=(*SUBJECT[:2], "trained.pth"))
    assert (of_other_image.visible, first.visible, second.visible) == (True, False, True)
    second.paint((1, 1), 7)
    third = put(results, 3, subject=(*SUBJECT[:2], "again.pth"))
    assert (second.visible, third.visible) == (True, True), "corrections stay in sight"


@pytest.mark.parametrize(
    "edit",
    [
        lambda layer: layer.paint((1, 1), 7),
        lambda layer: layer.fill((1, 1), 7),
        lambda layer: layer.data_setitem((np.array([0]), np.array([0])), 9),
        lambda layer: setattr(layer, "data", labels(5)),
    ],
)
def test_an_edited_result_is_never_overwritten(viewer, results, edit):
    first = put(results, 1)
    edit(first)
    kept = first.data.copy()
    second = put(results, 2)
    assert second is not first
    np.testing.assert_array_equal(first.data, kept)
    assert put(results, 3) is second


def test_live_labels_go_beside_an_edited_result(viewer, results):
    first = put(results, 1)
    first.paint((1, 1), 7)
    second = results.update(first, Result(subject=SUBJECT, key="k"), labels(2), kwargs())
    assert second is not first
    third = results.update(second, Result(subject=SUBJECT, key="k"), labels(3), kwargs())
    assert third is second


def test_a_correction_that_was_undone_leaves_nothing_to_lose(viewer, results):
    first = put(results, 1)
    first.data_setitem((np.array([0]), np.array([0])), 9)
    assert results.is_edited(first)
    first.undo()
    assert not results.is_edited(first)
    assert results.corrected(SUBJECT, (4, 5)) is None
    first.redo()
    assert results.is_edited(first)
    first.undo()
    assert put(results, 2) is first
    first.redo()  # of labels that are no more
    np.testing.assert_array_equal(first.data, labels(2))
    first.data_setitem((np.array([0]), np.array([0])), 9)
    assert results.is_edited(first)
    np.testing.assert_array_equal(results.base(first), labels(2))


def test_a_removed_result_is_forgotten(viewer, results):
    first = put(results, 1)
    viewer.layers.remove(first)
    assert results.of(first) is None
    assert put(results, 2) is not first


def test_undo_does_not_bring_back_what_was_before_a_replacement(viewer, results):
    first = put(results, 1)
    put(results, 2)
    first.undo()
    assert (first.data == 2).all()


def test_objects_instead_of_classes_have_colours_of_their_own(viewer, results):
    """As when the user switches from classes to components."""
    colours = {None: "gray", 0: "transparent", 1: "red"}
    classes = {**kwargs(), "colormap": DirectLabelColormap(color_dict=colours)}
    first = results.put(Result(subject=SUBJECT, key="k"), labels(1), classes)
    put(results, 5)
    shown = [tuple(first.colormap.map(value)) for value in (5, 6)]
    assert shown[0] != shown[1]
    results.put(Result(subject=SUBJECT, key="k"), labels(1), classes)
    assert tuple(first.colormap.map(1)) == (1, 0, 0, 1)
