"""Keys for labels on and off, outlines, next and previous image."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.utils.key_bindings import coerce_keybinding

from napari_segnet.errors import ImageError
from napari_segnet.widgets.layers.neighbours import is_covered, show_neighbour, uncover
from napari_segnet.widgets.layers.subject import bind
from napari_segnet.widgets.layers.view_acts import VIEW_KEYS, view_acts
from napari_segnet.widgets.qt.keys import shared_keys


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 10):
        pixels = np.full((8, 9 + number), number, np.uint8)
        tifffile.imwrite(tmp_path / f"well_{number}.tif", pixels)
    return tmp_path


def press(viewer, key):
    viewer.keymap[coerce_keybinding(key)](viewer)


def test_keys_hide_labels_and_show_outlines_while_a_dock_is_seen(viewer):
    labels = viewer.add_labels(np.ones((4, 4), np.int32))
    keys = shared_keys(viewer)
    assert shared_keys(viewer) is keys
    for dock in ("one", "two"):
        keys.hold(dock, view_acts(viewer).keys())
    press(viewer, "Shift-V")
    assert not labels.visible
    press(viewer, "Shift-V")
    press(viewer, "Shift-L")
    assert (labels.visible, labels.contour) == (True, 2)
    press(viewer, "Shift-L")
    assert labels.contour == 0
    keys.release("one")
    assert coerce_keybinding("Shift-V") in viewer.keymap
    keys.release("two")
    gc.collect()
    assert not any(coerce_keybinding(key) in viewer.keymap for key in VIEW_KEYS)


def test_the_next_image_of_the_folder_is_shown_alone_with_its_labels(viewer, folder):
    viewer.open(folder / "well_1.tif", plugin="napari")
    first = viewer.layers[0]
    mine = viewer.add_labels(np.ones((8, 10), np.int32))
    bind(mine, first)
    second = show_neighbour(viewer, 1)
    assert second.data.shape == (8, 11)
    assert [layer.visible for layer in (first, mine, second)] == [False, False, True]
    third = show_neighbour(viewer, 1)
    assert third.data.shape == (8, 19), "10 comes after 2"
    with pytest.raises(ImageError, match=r"well_10\.tif is the last image of its folder"):
        show_neighbour(viewer, 1)
    show_neighbour(viewer, -1)
    assert show_neighbour(viewer, -1) is first
    assert viewer.layers.selection.active is mine
    assert [layer.visible for layer in (first, mine, second)] == [True, True, False]
    with pytest.raises(ImageError, match=r"well_1\.tif is the first image"):
        show_neighbour(viewer, -1)


def test_an_image_in_no_file_has_no_neighbour(viewer):
    viewer.add_image(np.zeros((4, 4)))
    with pytest.raises(ImageError, match="This image is not in a file"):
        show_neighbour(viewer, 1)
    view_acts(viewer).next_image()
    assert "This image is not in a file" in viewer.status


def three_images(viewer, **changes):
    """Return three images of one place, as napari opens a folder, and labels of each."""
    images = [viewer.add_image(np.full((20, 30), n), **changes) for n in range(3)]
    labels = [viewer.add_labels(np.ones((20, 30), np.int32)) for _ in images]
    for mine, image in zip(labels, images, strict=True):
        bind(mine, image)
    return images, labels


def test_an_image_below_another_one_is_shown_alone_with_its_labels(viewer):
    images, labels = three_images(viewer)
    assert [is_covered(viewer, image) for image in images] == [True, True, False]
    uncover(viewer, images[0])
    assert [layer.visible for layer in [*images, *labels]] == [True, False, False] * 2
    assert viewer.layers.selection.active is labels[0]
    images[0].visible, images[1].visible = False, True
    assert is_covered(viewer, images[0]), "another one is seen in its place"


def test_a_plane_and_a_volume_are_compared_where_both_extend(viewer):
    plane = viewer.add_image(np.zeros((20, 30)))
    volume = viewer.add_image(np.zeros((4, 20, 30)))
    viewer.dims.ndisplay = 3
    assert is_covered(viewer, plane)
    uncover(viewer, plane)
    assert not volume.visible
    volume.visible = True
    viewer.layers.reverse()
    assert is_covered(viewer, volume)


def test_images_that_cover_nothing_stay(viewer):
    images, labels = three_images(viewer, blending="additive")  # channels
    images[2].blending, images[2].opacity = "translucent", 0.5
    images.append(viewer.add_image(np.zeros((20, 30)), translate=(0, 25)))  # a mosaic
    for image in images:
        uncover(viewer, image)
    assert all(layer.visible for layer in [*images, *labels])
    viewer.layers.remove(images[0])
    assert not is_covered(viewer, images[0])
    uncover(viewer, None)
