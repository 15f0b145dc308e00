"""Touching objects are cut apart, whatever the network says of them."""

import dataclasses

import numpy as np
import pytest

from napari_segnet import cache
from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.steps import LabelSettings, Unit, _groups, label_unit, resolve

FOREGROUND = Output(role="foreground", channels=1, activation="sigmoid")
BOUNDARY = Output(role="boundary", channels=1, activation="sigmoid")
DISTANCE = Output(role="distance", channels=1, activation="none")


def discs(shape, centres, radius):
    """Distance to the rim of the disc (or ball) that owns each pixel, in pixels; < 0 outside."""
    grid = np.indices(shape)
    far = [np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, at, strict=True))) for at in centres]
    far = np.stack(far)
    return radius - far.min(axis=0), far.argmin(axis=0) + 1


def unit(outputs, *maps, pixel_size=None):
    maps = np.stack(maps).astype(np.float16)
    return Unit(maps=maps, outputs=outputs, pixel_size=pixel_size or (1.0,) * (maps.ndim - 1))


def watershed(unit, **own):
    settings = resolve(LabelSettings(**own), unit.outputs, {}, "semantic")
    settings = dataclasses.replace(settings, instances="watershed")
    return label_unit(unit, settings)


# Their middle lies between two columns: no pixel is as far from one as from the other.
TWO = discs((40, 60), [(20, 18), (20, 37)], 12)


def check_two(labels, truth):
    distance, owner = truth
    assert labels.max() == 2
    sure = distance > 1
    np.testing.assert_array_equal(labels[sure], owner[sure])


def test_shape_alone_separates_two_discs():
    check_two(watershed(unit((FOREGROUND,), TWO[0] > 0)), TWO)


def test_distance_of_the_network_separates_two_discs():
    distance = (TWO[0] / 12).clip(0)
    check_two(watershed(unit((FOREGROUND, DISTANCE), TWO[0] > 0, distance)), TWO)


def test_boundary_of_the_network_separates_two_discs():
    touching = (TWO[0] > 0) & (abs(np.indices((40, 60))[1] - 27.5) <= 1)
    rim = ((TWO[0] > 0) & (TWO[0] < 2)) | touching
    check_two(watershed(unit((FOREGROUND, BOUNDARY), TWO[0] > 0, rim)), TWO)


def test_cut_by_the_distance_alone_as_earlier_runs_were():
    """A boundary between two objects whose distance has no valley."""
    touching = abs(np.indices((40, 60))[1] - 27.5) <= 2
    inside = TWO[0] > 0
    all_three = unit((FOREGROUND, DISTANCE, BOUNDARY), inside, inside * 0.8, touching)
    check_two(watershed(all_three), TWO)
    alone = watershed(unit((FOREGROUND, DISTANCE), inside, inside * 0.8))
    assert alone.max() == 1
    np.testing.assert_array_equal(watershed(all_three, cut_by="distance"), alone)
    # A boundary without a distance goes on to cut.
    check_two(watershed(unit((FOREGROUND, BOUNDARY), inside, touching), cut_by="distance"), TWO)


def test_a_wide_border_is_cut_in_its_middle():
    """Four columns of exactly 1: the network says the same over all of them."""
    foreground = np.ones((20, 40))
    border = np.zeros((20, 40))
    border[:, 18:22] = 1
    labels = watershed(unit((FOREGROUND, BOUNDARY), foreground, border))
    expected = np.where(np.arange(40) < 20, 1, 2)
    np.testing.assert_array_equal(labels, np.broadcast_to(expected, (20, 40)))


def test_balls_in_an_anisotropic_volume():
    """Two balls above each other: planes are 3 pixels apart, so z counts threefold."""
    grid = np.indices((16, 25, 25)).astype(float)
    grid[0] *= 3
    far = [
        np.sqrt((grid[0] - z) ** 2 + (grid[1] - 12) ** 2 + (grid[2] - 12) ** 2) for z in (12, 33)
    ]
    inside = np.minimum(*far) < 11.5
    labels = watershed(unit((FOREGROUND,), inside, pixel_size=(3.0, 1.0, 1.0)))
    assert labels.max() == 2
    assert labels[4, 12, 12] == 1
    assert labels[11, 12, 12] == 2


@pytest.mark.parametrize("depth", [0.05, 0.35])
def test_the_seed_threshold_decides_how_deep_a_valley_must_be(depth):
    foreground = np.ones((9, 30))
    distance = np.full((9, 30), 0.8)
    distance[:, 15] = 0.6
    labels = watershed(unit((FOREGROUND, DISTANCE), foreground, distance), seed_threshold=depth)
    assert labels.max() == (2 if depth < 0.2 else 1)


def test_a_network_of_boundaries_alone_fills_everything():
    boundary = np.zeros((30, 40))
    boundary[:, 20] = boundary[15] = 0.9
    labels = watershed(unit((BOUNDARY,), boundary))
    assert labels.max() == 4
    assert (labels > 0).all()
    assert len({labels[5, 5], labels[5, 35], labels[25, 5], labels[25, 35]}) == 4


def test_boundaries_below_the_threshold_separate_nothing():
    boundary = np.zeros((30, 40))
    boundary[:, 20] = 0.4
    assert watershed(unit((BOUNDARY,), boundary)).max() == 1
    assert watershed(unit((BOUNDARY,), boundary), threshold=0.3).max() == 2


def test_corners_do_not_join():
    mask = np.zeros((8, 8))
    mask[:4, :4] = mask[4:, 4:] = 1
    labels = watershed(unit((FOREGROUND,), mask))
    assert (labels[0, 0], labels[7, 7]) == (1, 2)


def test_classes_are_cut_each_for_itself():
    maps = np.zeros((3, 10, 20))
    maps[1, 2:8, 2:10] = 1
    maps[2, 2:8, 10:18] = 1
    maps[0] = 1 - maps.sum(axis=0)
    classes = (Output(role="class", channels=3, activation="softmax"),)
    labels = watershed(unit(classes, *maps))
    assert labels.max() == 2
    assert labels[5, 9] == 1
    assert labels[5, 10] == 2


@pytest.mark.parametrize(
    "outputs", [(FOREGROUND,), (FOREGROUND, DISTANCE), (FOREGROUND, BOUNDARY)], ids=len
)
def test_labels_do_not_depend_on_what_is_worked_on_at_once(outputs, monkeypatch):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(3)
    maps = gaussian_filter(rng.random((len(outputs), 90, 110)), (0, 2, 2))
    maps = (maps - maps.min()) / np.ptp(maps)
    whole = watershed(unit(outputs, *maps), seed_threshold=0.02)
    assert whole.max() > 20
    for size in (1, 500):
        monkeypatch.setattr(_groups, "GROUP_PX", size)
        np.testing.assert_array_equal(watershed(unit(outputs, *maps), seed_threshold=0.02), whole)


@pytest.mark.parametrize("outputs", [(FOREGROUND, DISTANCE), (FOREGROUND, BOUNDARY)])
@pytest.mark.parametrize("shape", [(60, 50), (7, 30, 26)])
def test_a_kept_landscape_changes_no_label(outputs, shape):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(3)
    smooth = [gaussian_filter(rng.random(shape), 2) for _ in outputs]
    maps = [(m - m.min()) / (m.max() - m.min()) for m in smooth]
    once = unit(outputs, *maps)
    kept = dataclasses.replace(once, key="an answer 0")
    cache.landscapes.clear()
    for threshold in (0.3, 0.5, 0.6):
        want = watershed(once, threshold=threshold)
        assert want.max() > 1
        np.testing.assert_array_equal(watershed(kept, threshold=threshold), want)
    assert cache.landscapes.bytes == 4 * np.prod(shape)
    cache.landscapes.clear()


def test_a_kept_landscape_is_of_how_it_was_cut():
    rng = np.random.default_rng(3)
    once = unit((FOREGROUND, DISTANCE, BOUNDARY), *rng.random((3, 40, 50)))
    kept = dataclasses.replace(once, key="an answer 0")
    for cut_by in ("auto", "distance"):
        want = watershed(once, cut_by=cut_by)
        np.testing.assert_array_equal(watershed(kept, cut_by=cut_by), want)
    assert (watershed(once) != want).any()
    cache.landscapes.clear()


def test_an_object_at_the_edge_is_not_thinner():
    """Half a disc, cut by the edge, keeps its middle at the edge: one object."""
    distance, _ = discs((40, 60), [(20, 0)], 14)
    assert watershed(unit((FOREGROUND,), distance > 0), seed_threshold=0.02).max() == 1


def test_affinities_are_refused_by_name():
    outputs = (Output(role="affinity", channels=2, activation="sigmoid"),)
    with pytest.raises(MismatchError, match=r"this one has: affinity"):
        watershed(unit(outputs, np.ones((4, 4)), np.ones((4, 4))))
