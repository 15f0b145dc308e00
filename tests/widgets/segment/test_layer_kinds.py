"""Every kind of layer and region, run through the dock: the labels are those of the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dask.array
import numpy as np
import pytest
import torch
import zarr
from napari.components import ViewerModel
from napari.layers import Labels
from support.networks import Milesial, calibrate

import napari_segnet as sn
from napari_segnet import cache
from napari_segnet.samples import nuclei_2d, nuclei_stack
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 60_000


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """One small network per (dimensions, channels)."""
    folder = tmp_path_factory.mktemp("networks")
    paths = {}
    for ndim, channels in ((2, 1), (2, 2), (2, 3), (3, 1)):
        module = calibrate(Milesial(channels=channels, classes=1, width=4, depth=1, ndim=ndim))
        paths[ndim, channels] = folder / f"unet{ndim}d{channels}.pth"
        torch.save(module.state_dict(), paths[ndim, channels])
    return paths


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def dock(viewer, qtbot):
    dock = SegmentDock(viewer)
    qtbot.addWidget(dock)
    return dock


def choose(dock, qtbot, path):
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(path))
    # What of it is proven is looked at in the background.
    qtbot.waitUntil(lambda: not dock.network.busy, timeout=WAIT_MS)


def no_fault(dock):
    """Tell if nothing went wrong; an untrained network finds nothing, or everything."""
    said = "" if dock.message.isHidden() else dock.message.text.text()
    return not said or said.startswith(("Nothing was found.", "Objects cover "))


def run(dock, qtbot):
    dock.run()
    qtbot.waitUntil(lambda: not dock._runner.busy, timeout=WAIT_MS)
    assert no_fault(dock)
    return dock.result


def choose_region(dock, kind):
    dock.region.setCurrentIndex(dock.region.findData(kind))


def labels_of(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


NUCLEI = (np.asarray(nuclei_2d().data)[:64, :64] // 16).astype(np.uint8)
STACK = (np.asarray(nuclei_stack().data)[:8, 30:54, 30:50] // 8).astype(np.uint8)


def plane(y=40, x=36):
    return NUCLEI[:y, :x].copy()


def stack(z=5):
    return STACK[:z].copy()


def series():
    return np.stack([STACK[:3], STACK[1:4]])


@dataclass
class Kind:
    """A layer, and what the core is to be given."""

    data: Any
    axes: str
    pixels: Any = None
    network: tuple[int, int] = (2, 1)
    layer: dict[str, Any] = field(default_factory=dict)
    channels: str = "auto"

    @property
    def image(self) -> sn.Image:
        data = np.asarray(self.data if self.pixels is None else self.pixels)
        return sn.Image(data=data, axes=self.axes, rgb=bool(self.layer.get("rgb")))


PLACED = {"scale": (0.3, 0.7), "translate": (5, -8), "rotate": 30, "units": "um"}


def kinds() -> dict[str, Kind]:
    two = np.stack([plane(), plane()[::-1]])
    colours = np.stack([plane(), plane()[::-1], plane() // 2], axis=-1)
    large = plane(64, 64)
    return {
        "uint8": Kind(plane(), "yx"),
        "uint16": Kind(plane().astype(np.uint16) * 200, "yx"),
        "float32": Kind(plane().astype(np.float32) / 255, "yx"),
        "float with gaps": Kind(np.where(plane() > 40, np.nan, plane() / 255), "yx"),
        "int16": Kind(plane().astype(np.int16) - 100, "yx"),
        "bool": Kind(plane() > 20, "yx"),
        "rgb": Kind(colours, "yxc", network=(2, 3), layer={"rgb": True}),
        "rgb to grey": Kind(colours, "yxc", layer={"rgb": True}),
        "channels": Kind(two, "cyx", network=(2, 2), layer={"axis_labels": ("c", "y", "x")}),
        "channels last": Kind(
            np.moveaxis(two, 0, -1), "yxc", network=(2, 2), layer={"axis_labels": ("y", "x", "c")}
        ),
        "one of two channels": Kind(
            two, "cyx", layer={"axis_labels": ("c", "y", "x")}, channels="1"
        ),
        "stack by planes": Kind(stack(), "zyx", layer={"scale": (2, 0.5, 0.5)}),
        "stack by volumes": Kind(stack(8), "zyx", network=(3, 1), layer={"scale": (2, 0.5, 0.5)}),
        "series": Kind(stack(3), "tyx", layer={"axis_labels": ("t", "y", "x")}),
        "series of stacks": Kind(series(), "tzyx"),
        "series of volumes": Kind(series(), "tzyx", network=(3, 1)),
        "multiscale": Kind([large, large[::2, ::2]], "yx", pixels=large),
        "dask": Kind(dask.array.from_array(stack(), chunks=(1, 12, 12)), "zyx"),
        "zarr": Kind(zarr.array(stack(), chunks=(2, 12, 12)), "zyx"),
        "placed": Kind(plane(), "yx", layer=PLACED),
        "sheared": Kind(plane(), "yx", layer={"shear": [0.4], "affine": np.diag([2.0, 3.0, 1.0])}),
        "one row": Kind(plane(1, 30), "yx"),
        "constant": Kind(np.zeros((20, 20), np.uint8), "yx"),
    }


@pytest.mark.sample(6)
@pytest.mark.parametrize("name", list(kinds()))
def test_labels_are_those_of_the_core_and_lie_on_the_image(viewer, dock, qtbot, networks, name):
    kind = kinds()[name]
    image = viewer.add_image(kind.data, name="cells", **kind.layer)
    choose(dock, qtbot, networks[kind.network])
    if kind.channels != "auto":
        box = dock.channels.findChildren(type(dock.layer))[0]
        box.setCurrentIndex(box.findData(int(kind.channels)))
    assert dock.image_box.letters() == kind.axes
    result = run(dock, qtbot)
    expected = sn.run(
        sn.segment(
            sn.identify(networks[kind.network]),
            kind.image,
            sn.PredictSettings(channels=kind.channels),
        )
    )
    assert result.data.dtype == np.int32
    np.testing.assert_array_equal(result.data.squeeze(), expected.labels.squeeze())
    end = [n - 1 for n in kind.image.data.shape[: image.ndim]]
    mine = [n - 1 for n in result.data.shape]
    where = [i for i, a in enumerate(kind.axes[: image.ndim]) if a != "c"]
    last = image.data_to_world(end)
    ours = result.data_to_world(mine)
    shift = image.ndim - result.ndim
    np.testing.assert_allclose(
        [ours[i - shift] for i in where], [last[i] for i in where], atol=1e-6
    )
    assert result.units == image.units[shift:]


def test_what_the_user_says_of_the_axes_counts(viewer, dock, qtbot, networks):
    """A stack that is none: its planes are channels, also for the current plane."""
    viewer.add_image(np.stack([plane(), plane()[::-1]]), name="two")
    choose(dock, qtbot, networks[2, 2])
    assert dock.image_box.letters() == "zyx"
    dock.image_box.choose_axes("cyx")
    choose_region(dock, "plane")
    result = run(dock, qtbot)
    assert result.data.shape == (40, 36)


def test_a_network_for_volumes_gets_all_planes_around_the_current_one(
    viewer, dock, qtbot, networks
):
    viewer.add_image(stack(8), name="stack")
    choose(dock, qtbot, networks[3, 1])
    choose_region(dock, "plane")
    assert run(dock, qtbot).data.shape == (8, 24, 20)


@pytest.mark.sample(2)
@pytest.mark.parametrize("layer", [{}, PLACED], ids=["plain", "placed"])
@pytest.mark.parametrize("region", ["visible", "rectangle"])
def test_a_part_lies_where_it_was_cut(viewer, dock, qtbot, networks, region, layer):
    image = viewer.add_image(plane(64, 64), name="cells", **layer)
    corners = [[10, 12], [10, 40], [30, 40], [30, 12]]
    if region == "rectangle":
        viewer.add_shapes([corners], shape_type="polygon", **layer)
    else:
        viewer.scene.camera.center = image.data_to_world((20, 26))
        viewer.canvas.size = (200, 280)
        viewer.scene.camera.zoom = 10 / min(layer.get("scale", (1, 1)))
    choose(dock, qtbot, networks[2, 1])
    dock.layer.setCurrentText("cells")
    choose_region(dock, region)
    result = run(dock, qtbot)
    origin = np.round(image.world_to_data(result.data_to_world((0, 0)))).astype(int)
    cut = tuple(slice(o, o + n) for o, n in zip(origin, result.data.shape, strict=True))
    assert result.data.shape < (64, 64)
    expected = sn.run(
        sn.segment(sn.identify(networks[2, 1]), sn.Image(data=plane(64, 64)[cut], axes="yx"))
    )
    np.testing.assert_array_equal(result.data, expected.labels)


def test_a_rectangle_is_asked_for_in_words(viewer, dock, qtbot, networks):
    viewer.add_image(plane(), name="cells")
    viewer.add_shapes(ndim=2)
    choose(dock, qtbot, networks[2, 1])
    choose_region(dock, "rectangle")
    dock.run()
    assert "There is no rectangle" in dock.message.text.text()
    assert dock.run_box.button.isEnabled()


def change(viewer, layer):
    layer.data = np.zeros((9, 9), np.uint8)


def rename(viewer, layer):
    layer.name = "another"


def remove(viewer, layer):
    viewer.layers.remove(layer)


def move(viewer, layer):
    layer.translate = (100, 100)


@pytest.mark.sample(2)
@pytest.mark.parametrize("act", [change, rename, remove, move])
def test_a_run_is_of_the_layer_as_it_was(viewer, dock, qtbot, networks, act):
    layer = viewer.add_image(plane(), name="cells")
    choose(dock, qtbot, networks[2, 1])
    dock.run()
    act(viewer, layer)
    qtbot.waitUntil(lambda: not dock._runner.busy, timeout=WAIT_MS)
    assert no_fault(dock)
    (result,) = labels_of(viewer)
    expected = sn.run(sn.segment(sn.identify(networks[2, 1]), sn.Image(data=plane(), axes="yx")))
    np.testing.assert_array_equal(result.data, expected.labels)
    np.testing.assert_allclose(result.translate, (0, 0))
    assert result.name == "cells · unet2d1"


def test_a_result_removed_while_the_sliders_move_is_no_error(viewer, dock, qtbot, networks):
    viewer.add_image(plane(), name="cells")
    choose(dock, qtbot, networks[2, 1])
    result = run(dock, qtbot)
    dock.shown.relabel()
    viewer.layers.remove(result)
    qtbot.waitUntil(lambda: not dock.shown.live.runner.busy, timeout=WAIT_MS)
    assert no_fault(dock)
    assert labels_of(viewer) == []


def test_sliders_act_on_the_result_that_is_selected(viewer, dock, qtbot, networks):
    """Also if another one is selected while labels are being made."""
    choose(dock, qtbot, networks[2, 1])
    for name in ("a", "b"):
        viewer.add_image(plane(), name=name)
        run(dock, qtbot)
    first, second = labels_of(viewer)
    before = second.data.copy()
    dock.labels.set_value(sn.LabelSettings(threshold=0.99))
    dock.shown.relabel()
    viewer.layers.selection.active = first
    qtbot.waitUntil(lambda: not dock.shown.live.runner.busy, timeout=WAIT_MS)
    assert dock.result is first
    np.testing.assert_array_equal(second.data, before)
    np.testing.assert_array_equal(first.data, before)
    dock.labels.set_value(sn.LabelSettings(threshold=0.99))
    dock.shown.relabel()
    qtbot.waitUntil(lambda: not dock.shown.live.runner.busy, timeout=WAIT_MS)
    assert np.count_nonzero(first.data) < np.count_nonzero(before)
    np.testing.assert_array_equal(second.data, before)


def test_settings_moved_during_the_run_count(viewer, dock, qtbot, networks):
    viewer.add_image(plane(), name="cells")
    choose(dock, qtbot, networks[2, 1])
    dock.run()
    dock.labels.set_value(sn.LabelSettings(threshold=0.99))
    dock.labels.changed.emit()
    qtbot.waitUntil(lambda: not dock._runner.busy, timeout=WAIT_MS)
    expected = sn.run(
        sn.segment(
            sn.identify(networks[2, 1]),
            sn.Image(data=plane(), axes="yx"),
            label_settings=sn.LabelSettings(threshold=0.99),
        )
    )
    qtbot.waitUntil(
        lambda: np.array_equal(labels_of(viewer)[0].data, expected.labels), timeout=WAIT_MS
    )


def test_another_image_at_the_same_place_gets_a_result_of_its_own(viewer, dock, qtbot, networks):
    """Python may give a new layer the address of one that is gone."""
    choose(dock, qtbot, networks[2, 1])
    for _ in range(3):
        layer = viewer.add_image(plane(), name="cells")
        run(dock, qtbot)
        viewer.layers.remove(layer)
        del layer
    assert len(labels_of(viewer)) == 3


def test_two_viewers_run_at_once(qtbot, networks):
    viewers = ViewerModel(), ViewerModel()
    docks = [SegmentDock(viewer) for viewer in viewers]
    for viewer, dock in zip(viewers, docks, strict=True):
        qtbot.addWidget(dock)
        viewer.add_image(plane(), name="cells")
        choose(dock, qtbot, networks[2, 1])
    for dock in docks:
        dock.run()
    assert all(dock._runner.busy for dock in docks)
    qtbot.waitUntil(lambda: not any(dock._runner.busy for dock in docks), timeout=WAIT_MS)
    first, second = (labels_of(viewer)[0] for viewer in viewers)
    np.testing.assert_array_equal(first.data, second.data)
    assert first is not second
    docks[0].labels.set_value(sn.LabelSettings(threshold=0.99))
    docks[0].shown.relabel()
    qtbot.waitUntil(lambda: not docks[0].shown.live.runner.busy, timeout=WAIT_MS)
    assert np.count_nonzero(first.data) < np.count_nonzero(second.data)
