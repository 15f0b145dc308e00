"""Layers to images, and results back exactly onto their layers."""

from __future__ import annotations

import json
import pickle
from itertools import product
from pathlib import Path

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Shapes

from napari_segnet.errors import ImageError, SegnetError
from napari_segnet.image import Image
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.widgets.layers.convert import (
    COLOURS,
    Part,
    Source,
    guess_axes,
    image_layer_args,
    labels_layer_args,
    placed,
    placement,
    region_of,
    source_of,
)


def pixels(*shape: int, dtype: object = np.uint8) -> np.ndarray:
    """Every pixel with a value of its own, as far as the dtype goes."""
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def segmentation(source: Source, kind: str = "instance", **given) -> Segmentation:
    """Labels as the core makes them: in the order t, z, y, x, without channels."""
    axes = "".join(a for a in "tzyx" if a in source.image.axes)
    sizes = source.image.sizes
    labels = np.zeros([sizes[a] for a in axes], np.int32)
    labels[..., 0, 0] = 1
    known = {
        "label_class": {1: 1},
        "label_score": {1: 0.9},
        "class_names": (),
        "origin": Origin(checkpoint={"sha256": "ab"}, image={"name": "cells"}, predict={}),
    }
    return Segmentation(labels=labels, axes=axes, pixel_size_um={}, kind=kind, **known | given)


def result_on(viewer: ViewerModel, source: Source, **given) -> Labels:
    data, kwargs = labels_layer_args(source, segmentation(source, **given))
    return viewer.add_layer(Labels(data, **kwargs))


def assert_exactly_on(result: Labels, image: ImageLayer, source: Source) -> None:
    """Each corner of the result lies in the world where the image has that pixel."""
    ends = [(0, n - 1) for n in result.data.shape]
    axes = source.image.axes[: image.ndim]
    for corner in product(*ends):
        at = dict(zip(source.axes, corner, strict=True))
        for channel in range(source.image.sizes["c"] if "c" in axes else 1):
            there = [at.get(a, 0) + o for a, o in zip(axes, source.offset_px, strict=True)]
            if "c" in axes:
                there[axes.index("c")] = channel
            world = np.asarray(image.data_to_world(there))
            # Shown there means: napari takes this pixel of the result for that point.
            index = np.asarray(result.world_to_data(world[-result.ndim :]))
            assert np.abs(index - corner).max() < 0.5
            exact = [i for i, a in enumerate(source.axes) if a != "c"]
            np.testing.assert_allclose(index[exact], np.array(corner)[exact], atol=1e-6)
            mine = np.asarray(result.data_to_world(corner))
            same = [i for i in range(result.ndim) if "c" not in source.axes or axes[i] != "c"]
            np.testing.assert_allclose(mine[same], world[-result.ndim :][same], atol=1e-6)


# ---- Axes ----


@pytest.mark.parametrize(
    ("shape", "labels", "rgb", "axes"),
    [
        ((4, 5), None, False, "yx"),
        ((3, 4, 5), None, False, "zyx"),
        ((2, 3, 4, 5), None, False, "tzyx"),
        ((2, 2, 3, 4, 5), None, False, "tczyx"),
        ((4, 5, 3), None, True, "yxc"),
        ((6, 4, 5, 3), None, True, "zyxc"),
        ((6, 6, 4, 5, 4), None, True, "tzyxc"),
        ((3, 4, 5), ("c", "y", "x"), False, "cyx"),
        ((3, 4, 5), ("Time", "Row", "Column"), False, "tyx"),
        ((3, 4, 5), ("channel", "-2", "-1"), False, "cyx"),
        ((2, 3, 4, 5), ("t", "-3", "-2", "-1"), False, "tzyx"),
        ((2, 3, 4, 5), ("c", "-3", "-2", "-1"), False, "czyx"),
        ((2, 3, 4, 5), ("z", "-3", "-2", "-1"), False, "ztyx"),
        ((2, 3, 4, 5), ("-4", "c", "-2", "-1"), False, "zcyx"),
        ((4, 5, 2), ("y", "x", "c"), False, "yxc"),
        ((4, 5, 2), ("x", "y", "depth"), False, "xyz"),
        ((3, 4, 5), ("y", "y", "x"), False, "zyx"),
        ((6, 4, 5, 3), ("time", "y", "x"), True, "tyxc"),
        ((3, 4, 5), ("position", "angle", "x"), False, "zyx"),
    ],
)
def test_axes_are_taken_from_labels_else_from_custom(shape, labels, rgb, axes) -> None:
    layer = ImageLayer(pixels(*shape), rgb=rgb, axis_labels=labels)
    assert guess_axes(layer) == axes
    assert source_of(layer, None, region_of("layer", layer, ViewerModel())).image.axes == axes


def test_too_many_dimensions_are_refused_in_words() -> None:
    layer = ImageLayer(np.zeros((2, 2, 2, 2, 4, 5)), name="screen")
    with pytest.raises(ImageError, match="“screen” has 6 dimensions, but a network takes at most"):
        guess_axes(layer)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ("zyx", "“cells” has 2 dimensions, but the axes 'zyx' name 3"),
        ("y", "but the axes 'y' name 1"),
        ("tz", "an image needs rows and columns"),
    ],
)
def test_axes_that_do_not_fit_are_refused(axes, words) -> None:
    layer = ImageLayer(pixels(4, 5), name="cells")
    with pytest.raises(ImageError, match=words):
        source_of(layer, axes, region_of("layer", layer, ViewerModel()))


def test_the_colours_of_rgb_stay_channels() -> None:
    layer = ImageLayer(pixels(4, 5, 3), rgb=True, name="tissue")
    region = region_of("layer", layer, ViewerModel())
    with pytest.raises(ImageError, match="is a colour image, so the last of its axes 'cyx'"):
        source_of(layer, "cyx", region)


# ---- Kinds of layers ----


def backed_by_zarr(array: np.ndarray, path: Path) -> object:
    made = zarr.open(str(path / "image.zarr"), mode="w", shape=array.shape, dtype=array.dtype)
    made[...] = array
    return made


KINDS = {
    "grey": lambda _: (pixels(40, 60), {}),
    "float": lambda _: (pixels(40, 60, dtype=np.float32) / 251, {}),
    "bool": lambda _: (pixels(40, 60) > 120, {}),
    "rgb": lambda _: (pixels(40, 60, 3), {"rgb": True}),
    "rgba": lambda _: (pixels(40, 60, 4), {"rgb": True}),
    "rgb stack": lambda _: (pixels(4, 40, 60, 3), {"rgb": True, "scale": (3, 1, 1)}),
    "z": lambda _: (pixels(7, 40, 60), {"scale": (2, 0.5, 0.5), "units": ("um",) * 3}),
    "t": lambda _: (pixels(7, 40, 60), {"axis_labels": ("t", "y", "x")}),
    "t z": lambda _: (pixels(3, 5, 40, 60), {"scale": (1, 2, 0.5, 0.5)}),
    "channels first": lambda _: (pixels(3, 40, 60), {"axis_labels": ("c", "y", "x")}),
    "channels of a stack": lambda _: (pixels(3, 6, 40, 60), {"axis_labels": tuple("czyx")}),
    "channels within": lambda _: (
        pixels(4, 3, 40, 60),
        {"axis_labels": tuple("tcyx"), "scale": (1, 2, 0.5, 0.5), "translate": (0, 5, 1, 2)},
    ),
    "channels and all": lambda _: (pixels(2, 3, 4, 40, 60), {}),
    "channels last": lambda _: (pixels(40, 60, 2), {"axis_labels": tuple("yxc")}),
    "axes in another order": lambda _: (pixels(60, 40, 5), {"axis_labels": tuple("xyz")}),
    "multiscale": lambda _: ([pixels(80, 120), pixels(40, 60)], {"multiscale": True}),
    "multiscale rgb": lambda _: (
        [pixels(80, 120, 3), pixels(40, 60, 3)],
        {"multiscale": True, "rgb": True},
    ),
    "dask": lambda _: (dask.array.from_array(pixels(7, 40, 60), chunks=(1, 20, 20)), {}),
    "zarr": lambda path: (backed_by_zarr(pixels(7, 40, 60), path), {}),
    "scaled and moved": lambda _: (
        pixels(40, 60),
        {"scale": (0.25, 0.5), "translate": (10, -3), "units": ("um", "um")},
    ),
    "rotated": lambda _: (pixels(40, 60), {"rotate": 30, "scale": (0.5, 0.25)}),
    "sheared": lambda _: (pixels(40, 60), {"shear": [0.3], "scale": (2, 3), "translate": (1, 2)}),
    "rotated stack": lambda _: (
        pixels(5, 40, 60),
        {
            "rotate": (10, 20, 30),
            "scale": (2, 1, 1),
            "shear": np.array([[1, 0, 0], [0.2, 1, 0], [0, 0, 1]]),
        },
    ),
    "affine": lambda _: (
        pixels(40, 60),
        {"affine": [[0.5, -0.2, 7], [0.3, 0.8, -4], [0, 0, 1]], "scale": (2, 1), "rotate": 15},
    ),
    "channels, rotated": lambda _: (
        pixels(3, 40, 60),
        {
            "axis_labels": tuple("cyx"),
            "rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
            "affine": [[1, 0, 0, 0], [0, 1, 0.1, 5], [0, 0, 2, 6], [0, 0, 0, 1]],
        },
    ),
}


@pytest.fixture(params=sorted(KINDS))
def layer(request, tmp_path) -> ImageLayer:
    data, given = KINDS[request.param](tmp_path)
    return ImageLayer(data, name="cells", contrast_limits=(0, 255), **given)


# napari says so of every stack that is not turned within its planes.
turned_in_depth = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def draw(viewer: ViewerModel, layer: ImageLayer, box: tuple, **given) -> Shapes:
    """Draw a rectangle around ``(y0, y1, x0, x1)`` in the pixels of a layer, as a user would."""
    y0, y1, x0, x1 = box
    axes = guess_axes(layer)[: layer.ndim]
    here = np.asarray(layer.world_to_data(viewer.dims.point[-layer.ndim :]))
    corners = []
    for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0)):
        at = {"y": y, "x": x}
        data = [at.get(a, here[i]) for i, a in enumerate(axes)]
        corners.append(layer.data_to_world(data))
    shapes = Shapes([np.array(corners)], shape_type="polygon", **given)
    return viewer.add_layer(shapes)


@pytest.mark.sample(20)
@turned_in_depth
@pytest.mark.parametrize("kind", ["layer", "plane", "rectangle"])
def test_a_result_lies_exactly_on_its_image(viewer, layer, kind) -> None:
    viewer.add_layer(layer)
    for axis in range(viewer.dims.ndim - 2):
        viewer.dims.set_current_step(axis, 1)
    if kind == "rectangle":
        draw(viewer, layer, (5.2, 20.3, 10.4, 30.1))
    source = source_of(layer, None, region_of(kind, layer, viewer))
    result = result_on(viewer, source)
    assert result.data.dtype == np.int32
    assert_exactly_on(result, layer, source)
    assert result.units[-2:] == layer.units[-2:] or layer.axis_labels[-1] == "c"
    assert viewer.dims.ndim == layer.ndim + (1 if kind == "rectangle" and layer.ndim < 2 else 0)


@pytest.mark.sample(20)
@turned_in_depth
@pytest.mark.parametrize("kind", ["layer", "plane", "rectangle"])
def test_the_image_holds_exactly_the_pixels_of_the_region(viewer, layer, kind) -> None:
    viewer.add_layer(layer)
    for axis in range(viewer.dims.ndim - 2):
        viewer.dims.set_current_step(axis, 1)
    if kind == "rectangle":
        draw(viewer, layer, (5.2, 20.3, 10.4, 30.1))
    source = source_of(layer, None, region_of(kind, layer, viewer))
    whole = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    if layer.rgb:
        whole = whole[..., :3]
    colours = (slice(None),) if layer.rgb else ()
    expected = whole[(*source.region.box, *colours)]
    assert source.image.data.shape == expected.shape
    given = np.asarray(source.image.data[(slice(None),) * expected.ndim])
    np.testing.assert_array_equal(given, expected)
    read = source.image.read(y=slice(1, 4), x=2)
    order = [source.image.axes.index(a) for a in "tczyx" if a in source.image.axes]
    there = expected.astype(read.dtype).transpose(order)
    missing = [i for i, a in enumerate("tczyx") if a not in source.image.axes]
    np.testing.assert_array_equal(read, np.expand_dims(there, missing)[..., 1:4, 2:3])


@turned_in_depth
def test_the_whole_layer_is_passed_on_untouched(viewer, layer) -> None:
    data = layer.data[0] if layer.multiscale else layer.data
    source = source_of(layer, None, region_of("layer", layer, viewer))
    if layer.rgb and data.shape[-1] == 4:
        assert np.shares_memory(source.image.data, data)
    else:
        assert source.image.data is data


def test_lazy_arrays_are_read_only_where_they_are_needed(viewer) -> None:
    read: list[tuple] = []

    class Watched:
        shape, dtype, ndim = (50, 400, 400), np.dtype(np.uint8), 3

        def __getitem__(self, index):
            read.append(index)
            return np.zeros(self.shape, self.dtype)[index]

    layer = viewer.add_layer(ImageLayer(Watched(), contrast_limits=(0, 1)))
    draw(viewer, layer, (100, 199.4, 10, 59.4))
    read.clear()
    source = source_of(layer, None, region_of("rectangle", layer, viewer))
    assert read == []
    assert source.image.data.shape == (50, 100, 50)
    assert source.image.read(z=7, y=slice(0, 10), x=slice(5, 9)).shape == (1, 1, 1, 10, 4)
    assert read == [(slice(7, 8, 1), slice(100, 110, 1), slice(15, 19, 1))]


index_part = st.one_of(
    st.integers(-4, 3),
    st.builds(
        slice,
        st.none() | st.integers(-6, 6),
        st.none() | st.integers(-6, 6),
        st.none() | st.integers(1, 3),
    ),
)


@given(index=st.tuples(index_part, index_part))
def test_a_part_is_indexed_like_an_array_of_its_own(index) -> None:
    array = pixels(9, 11)
    box = (slice(3, 7), slice(2, 6))
    part = Part(array, box)
    np.testing.assert_array_equal(part[index], array[box][index])
    np.testing.assert_array_equal(part[index[:1]], array[box][index[:1]])


def test_a_part_has_an_end() -> None:
    part = Part(pixels(9), (slice(3, 7),))
    with pytest.raises(IndexError):
        part[(4,)]
    with pytest.raises(IndexError, match="only steps forward"):
        part[(slice(None, None, -1),)]


# ---- What is known of an image ----


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"scale": (0.5, 0.25)}, {}),  # napari's unit is the pixel unless somebody says so
        ({"scale": (0.5, 0.25), "units": ("um", "um")}, {"y": 0.5, "x": 0.25}),
        ({"scale": (65, 65), "units": ("nm", "nm")}, {"y": 0.065, "x": 0.065}),
        ({"scale": (2e-4, 1e-4), "units": ("mm", "mm")}, {"y": 0.2, "x": 0.1}),
        ({"scale": (0.5, 0.5), "units": ("um", "pixel")}, {"y": 0.5}),
        ({"scale": (0.5, 0.5), "units": ("um", "um"), "rotate": 30}, {"y": 0.5, "x": 0.5}),
        ({"scale": (0.5, 0.5), "units": ("um", "pixel"), "rotate": 30}, {}),
        (
            {"scale": (0.5, 0.5), "units": ("um", "um"), "affine": np.diag([2.0, 4.0, 1.0])},
            {"y": 1.0, "x": 2.0},
        ),
    ],
)
def test_pixel_sizes_come_from_scale_and_units(viewer, given, expected) -> None:
    layer = ImageLayer(pixels(40, 60), **given)
    sizes = source_of(layer, None, region_of("layer", layer, viewer)).image.pixel_size_um
    assert sizes == pytest.approx(expected, rel=1e-11)


def test_time_and_channels_have_no_pixel_size(viewer) -> None:
    layer = ImageLayer(
        pixels(2, 3, 4, 5),
        axis_labels=tuple("tcyx"),
        scale=(30, 1, 0.5, 0.5),
        units=("s", "pixel", "um", "um"),
    )
    image = source_of(layer, None, region_of("layer", layer, viewer)).image
    assert image.pixel_size_um == {"y": 0.5, "x": 0.5}


def test_name_colours_and_file_of_the_layer_go_with_the_image(viewer, tmp_path) -> None:
    layer = ImageLayer(pixels(4, 5, 4), rgb=True, name="tissue")
    image = source_of(layer, None, region_of("layer", layer, viewer)).image
    assert (image.name, image.rgb, image.source) == ("tissue", True, None)
    assert image.channel_names == ("red", "green", "blue")
    assert image.sizes["c"] == 3


# ---- Regions ----


def test_the_plane_is_where_the_sliders_stand_and_keeps_channels(viewer) -> None:
    layer = ImageLayer(pixels(4, 3, 5, 40, 60), scale=(1, 1, 2.5, 1, 1), translate=(0, 0, 7, 0, 0))
    viewer.add_layer(layer)
    viewer.dims.set_point((0, 1, 2), (3, 2, 12.0))
    box = region_of("plane", layer, viewer).box
    assert box == (slice(3, 4), slice(0, 3), slice(2, 3), slice(0, 40), slice(0, 60))
    box = region_of("plane", layer, viewer, volume=True).box
    assert box == (slice(3, 4), slice(0, 3), slice(0, 5), slice(0, 40), slice(0, 60))
    box = region_of("plane", layer, viewer, axes="ctzyx").box
    assert box == (slice(0, 4), slice(2, 3), slice(2, 3), slice(0, 40), slice(0, 60))


def test_a_flat_layer_in_a_deep_viewer(viewer) -> None:
    flat = viewer.add_layer(ImageLayer(pixels(40, 60)))
    viewer.add_layer(ImageLayer(pixels(9, 80, 80)))
    viewer.dims.set_current_step(0, 7)
    assert region_of("plane", flat, viewer).box == (slice(0, 40), slice(0, 60))
    draw(viewer, flat, (2, 5, 3, 7))
    assert region_of("rectangle", flat, viewer).box == (slice(2, 6), slice(3, 8))


def test_a_plane_beside_the_image_is_refused(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(5, 40, 60), name="cells"))
    viewer.add_layer(ImageLayer(pixels(50, 40, 60)))
    viewer.dims.set_current_step(0, 30)
    with pytest.raises(SegnetError, match="The plane that is shown lies outside of “cells”"):
        region_of("plane", layer, viewer)
    with pytest.raises(SegnetError, match="lies outside"):
        region_of("visible", layer, viewer)


def look_at(viewer: ViewerModel, center: tuple, zoom: float, size: tuple) -> None:
    viewer.canvas.size = size
    viewer.scene.camera.center = (0, *center)
    viewer.scene.camera.zoom = zoom


def test_the_visible_region_is_what_the_canvas_shows(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(400, 600), scale=(0.5, 0.5)))
    look_at(viewer, (100, 150), zoom=10, size=(400, 800))  # 40 × 80 units, 80 × 160 pixels
    assert region_of("visible", layer, viewer).box == (slice(160, 241), slice(220, 381))


def test_the_visible_region_ends_where_the_image_ends(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(40, 60)))
    look_at(viewer, (0, 59), zoom=10, size=(200, 200))
    assert region_of("visible", layer, viewer).box == (slice(0, 11), slice(49, 60))
    look_at(viewer, (20, 30), zoom=0.1, size=(200, 200))
    assert region_of("visible", layer, viewer).box == (slice(0, 40), slice(0, 60))


def test_the_visible_region_of_a_stack_is_a_part_of_the_current_plane(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(9, 40, 60)))
    viewer.dims.set_current_step(0, 4)
    look_at(viewer, (20, 30), zoom=10, size=(100, 100))
    part = (slice(15, 26), slice(25, 36))
    assert region_of("visible", layer, viewer).box == (slice(4, 5), *part)
    assert region_of("visible", layer, viewer, volume=True).box == (slice(0, 9), *part)


def test_the_visible_region_of_a_turned_layer_is_its_bounding_box(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(400, 400), rotate=45))
    center = layer.data_to_world((200, 200))
    look_at(viewer, center, zoom=1, size=(100, 100))
    half = 50 * np.sqrt(2)
    first, last = round(200 - half), round(200 + half)
    assert region_of("visible", layer, viewer).box == (slice(first, last + 1),) * 2


def test_the_visible_region_in_a_grid_is_that_of_one_cell(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(400, 600)))
    viewer.add_layer(ImageLayer(pixels(400, 600)))
    look_at(viewer, (200, 300), zoom=10, size=(400, 800))
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.shape = (1, 2)
    box = region_of("visible", layer, viewer).box
    assert [part.stop - part.start for part in box] == [41, 41]


def test_the_visible_region_agrees_with_what_napari_draws(make_viewer, qtbot) -> None:
    real = make_viewer(show=True)
    layer = real.add_image(pixels(400, 600), scale=(0.5, 0.5), translate=(3, 4))
    real.scene.camera.zoom, real.scene.camera.center = 12, (0, 100, 150)
    # napari tells a layer which of its pixels are drawn, when it draws them.
    qtbot.waitUntil(lambda: layer.corner_pixels[1][1] < 599 and layer.corner_pixels[0][0] > 0)
    low, high = layer.corner_pixels
    box = region_of("visible", layer, real).box
    for part, first, last in zip(box, low, high, strict=True):
        assert abs(part.start - first) <= 1
        assert abs(part.stop - 1 - last) <= 1


def test_nothing_visible_is_refused(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(40, 60), name="cells"))
    look_at(viewer, (500, 500), zoom=10, size=(100, 100))
    with pytest.raises(SegnetError, match="Nothing of “cells” is visible"):
        region_of("visible", layer, viewer)


def test_the_visible_region_needs_the_flat_view(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(9, 40, 60)))
    viewer.dims.ndisplay = 3
    with pytest.raises(SegnetError, match="Switch to the 2D view"):
        region_of("visible", layer, viewer)
    assert region_of("plane", layer, viewer).box[0] == slice(0, 9)


def test_the_view_from_the_side_keeps_rows_and_columns_whole(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(9, 40, 60)))
    viewer.dims.order = (1, 0, 2)  # z and x are on the canvas
    assert region_of("plane", layer, viewer).box == (slice(0, 9), slice(0, 40), slice(0, 60))
    look_at(viewer, (4, 30), zoom=10, size=(40, 100))
    assert region_of("visible", layer, viewer).box == (slice(2, 7), slice(0, 40), slice(25, 36))


def test_the_rectangle_covers_every_pixel_it_touches_in_all_planes(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(9, 40, 60)))
    draw(viewer, layer, (4.5, 9.5, -20, 7.4))
    assert region_of("rectangle", layer, viewer).box == (slice(0, 9), slice(5, 10), slice(0, 8))


def test_the_selected_shapes_layer_and_shape_count(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(40, 60)))
    first = draw(viewer, layer, (1, 2, 1, 2))
    top = draw(viewer, layer, (3, 4, 3, 4), name="top")
    viewer.layers.selection = {layer}
    assert region_of("rectangle", layer, viewer).box == (slice(3, 5), slice(3, 5))
    viewer.layers.selection = {first, layer}
    assert region_of("rectangle", layer, viewer).box == (slice(1, 3), slice(1, 3))
    viewer.layers.selection = {layer}
    top.add(np.array([[6, 6], [6, 9], [9, 9], [9, 6]]), shape_type="rectangle")
    top.selected_data = {1}
    assert region_of("rectangle", layer, viewer).box == (slice(6, 10), slice(6, 10))
    top.selected_data = {0, 1}
    with pytest.raises(SegnetError, match="“top” holds 2 shapes and 2 of them are selected"):
        region_of("rectangle", layer, viewer)
    top.selected_data = set()
    with pytest.raises(SegnetError, match="“top” holds 2 shapes and none of them is selected"):
        region_of("rectangle", layer, viewer)
    top.visible = False
    assert region_of("rectangle", layer, viewer).box == (slice(1, 3), slice(1, 3))


def test_a_rectangle_is_needed_and_must_touch_the_image(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(40, 60), name="cells"))
    viewer.add_layer(Shapes(ndim=2))
    with pytest.raises(SegnetError, match="There is no rectangle"):
        region_of("rectangle", layer, viewer)
    draw(viewer, layer, (100, 120, 0, 5), name="roi")
    with pytest.raises(SegnetError, match="The rectangle in “roi” lies outside of “cells”"):
        region_of("rectangle", layer, viewer)


def test_a_rectangle_drawn_on_one_layer_counts_for_another_scale(viewer) -> None:
    coarse = viewer.add_layer(ImageLayer(pixels(40, 60), scale=(10, 10)))
    fine = viewer.add_layer(ImageLayer(pixels(400, 600)))
    draw(viewer, fine, (100, 149, 200, 249))
    assert region_of("rectangle", coarse, viewer).box == (slice(10, 16), slice(20, 26))


def test_an_unknown_region_is_a_mistake_of_ours(viewer) -> None:
    layer = ImageLayer(pixels(4, 5))
    with pytest.raises(ValueError, match="unknown kind of region 'moon'"):
        region_of("moon", layer, viewer)


# ---- Results ----


def test_the_place_is_captured_when_the_run_starts(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(40, 60), scale=(2, 2), name="before"))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    layer.name, layer.scale, layer.translate = "after", (1, 1), (50, 50)
    viewer.layers.clear()
    result = result_on(viewer, source)
    assert result.name == "before labels"
    np.testing.assert_allclose(result.scale, 2)
    np.testing.assert_allclose(result.translate, 0)
    assert result.metadata["segnet"]["image_layer"] == "before"


def test_channels_first_are_left_out_and_channels_within_become_one_thick_pixel(viewer) -> None:
    first = ImageLayer(pixels(3, 4, 40, 60), axis_labels=tuple("czyx"))
    source = source_of(first, None, region_of("layer", first, viewer))
    assert labels_layer_args(source, segmentation(source))[0].shape == (4, 40, 60)
    assert source.axes == "zyx"
    within = viewer.add_layer(ImageLayer(pixels(4, 3, 40, 60), axis_labels=tuple("tcyx")))
    source = source_of(within, None, region_of("layer", within, viewer))
    assert source.axes == "tcyx"
    result = result_on(viewer, source)
    assert result.data.shape == (4, 1, 40, 60)
    before = viewer.dims.nsteps
    for channel in range(3):
        viewer.dims.set_current_step(1, channel)
        assert result.get_value((0, channel, 0, 0), world=True) == 1
    assert before == (4, 3, 40, 60)


def test_maps_are_placed_like_labels(viewer) -> None:
    layer = viewer.add_layer(
        ImageLayer(pixels(60, 3, 40), axis_labels=tuple("xcy"), scale=(2, 1, 3))
    )
    source = source_of(layer, None, region_of("layer", layer, viewer))
    maps = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    data, kwargs = placed(source, maps, "yx")
    assert data.shape == (60, 1, 40)
    np.testing.assert_array_equal(data[:, 0], maps.T)
    assert set(kwargs) == set(placement(source))


def test_features_hold_score_and_class_of_each_label(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(4, 5)))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    result = result_on(
        viewer,
        source,
        label_class={7: 2, 1: 1},
        label_score={1: 0.9, 7: 0.25},
        class_names=("background", "cell", "debris"),
    )
    table = result.features
    assert list(table.columns) == ["index", "score", "class", "class name"]
    assert table["index"].tolist() == [1, 7]
    assert table["score"].tolist() == [0.9, 0.25]
    assert table["class name"].tolist() == ["cell", "debris"]
    assert "score: 0.9" in str(result.get_status((0, 0), world=True))


def test_no_object_found_is_a_result_too(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(4, 5)))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    result = result_on(viewer, source, label_class={}, label_score={})
    assert len(result.features) == 0


def test_without_class_names_there_is_no_column_for_them(viewer) -> None:
    layer = ImageLayer(pixels(4, 5))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    _, kwargs = labels_layer_args(source, segmentation(source))
    assert list(kwargs["features"]) == ["index", "score", "class"]
    assert "colormap" not in kwargs


def test_classes_have_the_same_colours_in_every_result(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(4, 5)))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    few = result_on(viewer, source, kind="semantic", label_class={2: 2}, label_score={2: 0.5})
    names = tuple("abcdefghijkl")
    all_ = result_on(viewer, source, kind="semantic", class_names=names)
    np.testing.assert_allclose(few.get_color(2), all_.get_color(2))
    colours = {tuple(np.round(all_.get_color(k), 3)) for k in range(1, len(names))}
    assert len(colours) == len(names) - 1
    assert np.allclose(
        all_.get_color(1)[:3], [int(COLOURS[0][i : i + 2], 16) / 255 for i in (1, 3, 5)], atol=0.01
    )
    assert all_.colormap.color_dict[None][3] == 1  # a class painted by hand is seen


def test_the_metadata_tell_where_a_result_is_from(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(7, 40, 60), name="cells"))
    viewer.dims.set_current_step(0, 3)
    source = source_of(layer, None, region_of("plane", layer, viewer))
    made = segmentation(source)
    known = labels_layer_args(source, made)[1]["metadata"]["segnet"]
    assert known["key"] == made.origin.key
    assert known["origin"]["image"] == {"name": "cells"}
    assert (known["region"], known["offset_px"], known["axes"]) == ("plane", [3, 0, 0], "zyx")
    json.dumps(known)


def test_a_result_can_be_painted_and_undone(viewer) -> None:
    layer = viewer.add_layer(ImageLayer(pixels(4, 3, 40, 60), axis_labels=tuple("tcyx")))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    result = result_on(viewer, source)
    before = result.data.copy()
    result.selected_label = 5
    result.paint((2, 0, 20, 30), 5)
    assert (result.data == 5).any()
    result.undo()
    np.testing.assert_array_equal(result.data, before)


def test_what_a_run_needs_of_a_layer_goes_to_another_process(viewer) -> None:
    layer = ImageLayer(pixels(4, 5), rotate=10, units=("um", "um"))
    source = source_of(layer, None, region_of("layer", layer, viewer))
    again = pickle.loads(pickle.dumps(source))
    assert again.frame.units == source.frame.units
    np.testing.assert_array_equal(again.image.data, source.image.data)


# ---- Pictures from files ----


@pytest.mark.parametrize(
    ("shape", "axes", "given"),
    [
        ((4, 5), "yx", {}),
        ((3, 4, 5), "cyx", {"channel_names": ("a", "b", "c")}),
        ((4, 5, 3), "yxc", {"rgb": True}),
        ((3, 4, 5), "cyx", {"rgb": True}),
        ((2, 3, 4, 5), "tcyx", {"pixel_size_um": {"y": 0.5, "x": 0.5}}),
        ((6, 4, 5), "zyx", {"pixel_size_um": {"z": 2.0, "y": 0.5, "x": 0.5}}),
    ],
)
def test_a_picture_becomes_a_layer_and_the_same_picture_again(viewer, shape, axes, given) -> None:
    image = Image(data=pixels(*shape), axes=axes, name="cells", **given)
    data, kwargs = image_layer_args(image)
    layer = viewer.add_layer(ImageLayer(data, **kwargs))
    again = source_of(layer, None, region_of("layer", layer, viewer)).image
    assert again.name == "cells"
    assert again.rgb == image.rgb
    assert again.pixel_size_um == pytest.approx(dict(image.pixel_size_um))
    np.testing.assert_array_equal(again.read(), image.read())


def test_planar_colours_on_disk_are_shown_as_channels_rather_than_read(tmp_path) -> None:
    image = Image(data=backed_by_zarr(pixels(3, 4, 5), tmp_path), axes="cyx", rgb=True)
    data, kwargs = image_layer_args(image)
    assert data is image.data
    assert kwargs["rgb"] is False
    assert kwargs["axis_labels"] == ["c", "y", "x"]
