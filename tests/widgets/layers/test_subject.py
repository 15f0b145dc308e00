"""Which image labels belong to: by the layer, by its pixels, never by a name that moved on."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_segnet.dataset import Dataset, add
from napari_segnet.errors import DatasetError, ImageError
from napari_segnet.widgets.dataset.pair import image_of, training_pair
from napari_segnet.widgets.layers.convert import Region, source_of
from napari_segnet.widgets.layers.digest import digest_of
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of
from napari_segnet.widgets.layers.subject import bind, subject_of
from napari_segnet.widgets.recovery.recorder import JournalKeeper
from napari_segnet.widgets.review.jobs import network_input

SHAPE = (24, 30)


def picture(value):
    return np.full(SHAPE, value, np.uint8)


def objects():
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 2:8] = 1
    return labels


@pytest.fixture
def viewer():
    return ViewerModel()


def by_name(viewer, name="cells"):
    """Labels as an earlier version made them: with the image's name alone."""
    own = {"image_layer": name, "offset_px": [0, 0]}
    return viewer.add_labels(objects(), name="labels", metadata={"segnet": own})


# ---- In a session ----


def test_the_layer_counts_whatever_it_is_called(viewer):
    image = viewer.add_image(picture(1), name="cells")
    labels = viewer.add_labels(objects())
    bind(labels, image)
    image.name = "DAPI"
    other = viewer.add_image(picture(2), name="cells")
    assert subject_of(labels, viewer.layers) is image
    image.visible = False
    assert image_of(viewer, labels) is image
    assert network_input(labels, viewer, "nuclei").image.data.max() == 1
    assert training_pair(image, labels, False).image.read().max() == 1
    viewer.layers.remove(image)
    assert subject_of(labels, viewer.layers) is None, "another image is no guess"
    viewer.layers.insert(0, image)
    assert subject_of(labels, viewer.layers) is image
    assert other is not image


def test_an_image_that_is_gone_is_asked_for(viewer):
    image = viewer.add_image(picture(1), name="cells")
    labels = viewer.add_labels(objects(), name="mine")
    bind(labels, image)
    viewer.layers.remove(image)
    viewer.add_image(picture(2), name="cells")
    said = "The image of “mine” is not open. Open it or choose the image in the list"
    with pytest.raises(DatasetError, match=said):
        training_pair(image_of(viewer, labels), labels, False)
    with pytest.raises(ImageError, match="The image of “mine” is not open"):
        network_input(labels, viewer, "nuclei")


def test_a_name_of_an_earlier_version_counts_for_an_image_below(viewer):
    image = viewer.add_image(picture(1), name="cells")
    labels = by_name(viewer)
    assert subject_of(labels, viewer.layers) is image
    image.name = "DAPI"
    viewer.add_image(picture(2), name="GFP")
    assert subject_of(labels, viewer.layers) is None


def test_a_name_of_an_earlier_version_is_no_image_that_was_opened_later(viewer):
    image = viewer.add_image(picture(1), name="cells")
    labels = by_name(viewer)
    viewer.layers.remove(image)
    viewer.add_image(picture(2), name="cells")
    assert subject_of(labels, viewer.layers) is None


def test_a_name_of_an_earlier_version_is_no_image_that_is_too_small(viewer):
    viewer.add_image(np.zeros((7, 7), np.uint8), name="cells")
    assert subject_of(by_name(viewer), viewer.layers) is None


def test_labels_of_others_lie_on_the_topmost_visible_image_of_their_size(viewer):
    first = viewer.add_image(picture(1))
    second = viewer.add_image(picture(2))
    viewer.add_image(np.zeros((7, 7), np.uint8))
    maps = viewer.add_image(picture(3), metadata=metadata_of(LayerRecord(maps="key")))
    viewer.add_image(picture(4), metadata=metadata_of(LayerRecord(learning=True)))
    labels = viewer.add_labels(objects())
    assert subject_of(labels, viewer.layers) is second
    second.visible = False
    assert subject_of(labels, viewer.layers) is first
    first.visible = False
    assert subject_of(labels, viewer.layers) is second
    viewer.layers.remove(first)
    viewer.layers.remove(second)
    assert subject_of(labels, viewer.layers) is None
    assert maps in viewer.layers


def test_labels_of_a_plane_lie_on_a_stack(viewer):
    stack = viewer.add_image(np.zeros((5, *SHAPE), np.uint8))
    labels = viewer.add_labels(objects())
    assert subject_of(labels, viewer.layers) is stack
    flat = viewer.add_image(picture(1))
    viewer.layers.move(viewer.layers.index(flat), 0)
    assert subject_of(labels, viewer.layers) is flat


def test_what_a_run_makes_belongs_to_its_layer(viewer):
    image = viewer.add_image(picture(1), name="cells")
    source = source_of(image, "yx", Region(kind="layer", box=(slice(0, 24), slice(0, 30))))
    assert source.layer_id == str(image.unique_id)


# ---- In another session ----


def test_after_a_restart_the_pixels_count(viewer):
    image = viewer.add_image(picture(1), name="cells")
    record = LayerRecord(image_id="of-another-session", image_digest=digest_of(image))
    labels = viewer.add_labels(objects(), metadata=metadata_of(record))
    other = viewer.add_image(picture(2), name="cells")
    digest_of(other)
    assert subject_of(labels, viewer.layers) is image
    viewer.layers.remove(image)
    assert subject_of(labels, viewer.layers) is None
    again = viewer.add_image(picture(1), name="anything")
    digest_of(again)
    assert subject_of(labels, viewer.layers) is again


class Session:
    """A window without a window, whose journals lie in a folder."""

    def __init__(self, folder):
        self.viewer = ViewerModel()
        self.keeper = JournalKeeper(self.viewer, folder)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.keeper.close()


def offered(folder, image, **how):
    with Session(folder) as now:
        now.viewer.add_image(image, **how)
        return len(now.keeper.offers)


def corrected(folder, images, layer_of=by_name, meanwhile=lambda images: None):
    """Correct labels and crash."""
    with Session(folder) as now:
        made = {name: now.viewer.add_image(data, name=name) for name, data in images.items()}
        labels = layer_of(now.viewer)
        meanwhile(made)
        labels.paint((20, 20), 9)
        now.keeper.flush()


def test_corrections_are_offered_for_the_image_they_were_made_on(tmp_path, qapp):
    def rename(made):
        made["cells"].name = "cells, DAPI"

    corrected(tmp_path, {"cells": picture(1), "B": picture(2)}, meanwhile=rename)
    assert offered(tmp_path, picture(2), name="cells") == 0
    assert offered(tmp_path, picture(1), name="B") == 1


def test_an_image_of_another_size_gets_no_corrections(tmp_path, qapp):
    tiny = np.full((7, 7), 3, np.uint8)
    corrected(tmp_path, {"tiny": tiny})
    assert offered(tmp_path, tiny, name="tiny") == 0


def test_pictures_that_agree_almost_everywhere_are_two(tmp_path, qapp):
    one = np.zeros((700, 800), np.uint16)
    other = one.copy()
    one[105:110, 105:110], other[505:510, 305:310] = 900, 900

    def drawn(viewer):
        return viewer.add_labels(np.zeros(one.shape, np.int32))

    corrected(tmp_path, {"Image": one}, layer_of=drawn)
    assert offered(tmp_path, other, name="Image") == 0
    assert offered(tmp_path, one, name="Image") == 1


def test_channels_of_one_file_do_not_share_corrections(tmp_path, qapp):
    from napari.layers._source import layer_source

    file = tmp_path / "two.czi"
    file.write_bytes(b"x")

    def open_channel(now, value):
        with layer_source(path=str(file)):
            return now.viewer.add_image(picture(value), name=f"channel {value}")

    with Session(tmp_path / "j") as now:
        open_channel(now, 1)
        now.viewer.add_labels(objects()).paint((20, 20), 9)
        now.keeper.flush()
    for value, expected in ((2, 0), (1, 1)):
        with Session(tmp_path / "j") as now:
            open_channel(now, value)
            assert len(now.keeper.offers) == expected


def test_labels_that_are_recovered_know_their_image(tmp_path, qapp):
    corrected(tmp_path, {"cells": picture(1)})
    with Session(tmp_path) as now:
        image = now.viewer.add_image(picture(1), name="again")
        now.viewer.add_image(picture(2), name="cells")
        (offer,) = now.keeper.offers
        labels = now.keeper.recover(offer)
        assert subject_of(labels, now.viewer.layers) is image
        labels.paint((10, 10), 5)
        now.keeper.flush()
    assert offered(tmp_path, picture(1)) == 1
    assert offered(tmp_path, picture(2)) == 0


@pytest.mark.parametrize("how", ["file", "memory"])
def test_journals_of_earlier_versions_are_offered(tmp_path, qapp, monkeypatch, how):
    """They have no digest, but a path with size and time, or a sample of the pixels."""
    import tifffile

    from napari_segnet.widgets.recovery import recorded_layer as _recorded

    monkeypatch.setattr(_recorded, "digest_if_known", lambda image: None)
    monkeypatch.setattr(_recorded, "digest_of", lambda image, wait: "")
    monkeypatch.setattr("napari_segnet.widgets.layers.subject.digest_if_known", lambda image: None)
    file = tmp_path / "cells.tif"
    tifffile.imwrite(file, picture(1))

    def opened(now):
        if how == "file":
            from napari.layers._source import layer_source

            with layer_source(path=str(file)):
                return now.viewer.add_image(tifffile.imread(file), name="cells")
        return now.viewer.add_image(picture(1), name="cells")

    with Session(tmp_path / "j") as now:
        opened(now)
        by_name(now.viewer).paint((20, 20), 9)
        now.keeper.flush()
    monkeypatch.undo()
    with Session(tmp_path / "j") as now:
        now.viewer.add_image(picture(2), name="cells")
        assert not now.keeper.offers
        image = opened(now)
        (offer,) = now.keeper.offers
        assert "image_digest" not in offer.document
        labels = now.keeper.recover(offer)
        assert labels.data[20, 20] == 9
        assert subject_of(labels, now.viewer.layers) is image


def test_the_image_is_recorded_before_anything_is_corrected(tmp_path, qapp):
    """So that its labels know it even where it was removed before the first stroke."""
    with Session(tmp_path) as now:
        image = now.viewer.add_image(picture(1), name="cells")
        labels = by_name(now.viewer)
        assert record_of(labels).image_id == str(image.unique_id)
        digest_of(image)
        now.keeper.look()
        assert record_of(labels).image_digest == digest_of(image)
        now.viewer.layers.remove(image)
        labels.paint((20, 20), 9)
        now.keeper.flush()
    assert offered(tmp_path, picture(1)) == 1


# ---- The training set ----


def put(root, image, labels):
    pair = training_pair(image, labels, False)
    return add(root, pair.image, pair.labels, source=pair.source, plane=pair.plane)


def test_a_renamed_image_takes_its_own_place_in_the_training_set(viewer, tmp_path):
    image = viewer.add_image(picture(1), name="cells")
    labels = viewer.add_labels(objects())
    put(tmp_path, image, labels)
    image.name = "DAPI"
    labels.paint((20, 20), 9)
    put(tmp_path, image, labels)
    (sample,) = Dataset.open(tmp_path).samples
    assert sample.source.startswith("cells ")


def test_channels_of_one_file_are_samples_of_one_source(viewer, tmp_path):
    from napari.layers._source import layer_source

    file = tmp_path / "two.czi"
    file.write_bytes(b"x")
    labels = viewer.add_labels(objects())
    for value in (1, 2, 3):
        with layer_source(path=str(file)):
            put(tmp_path / "set", viewer.add_image(picture(value)), labels)
    samples = Dataset.open(tmp_path / "set").samples
    assert len(samples) == 3
    assert {sample.source for sample in samples} == {str(file)}
    assert len({sample.split for sample in samples}) == 1
