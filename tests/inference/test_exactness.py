"""Tiles equal the whole: what predict() says against the network's own forward."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.networks import Jvanvugt, Mateuszbuda, Milesial, Segnet, calibrate, pictures, save_as
from support.whole import own_answer

from napari_segnet.__main__ import main
from napari_segnet.checkpoint import Checkpoint, PrepareStep
from napari_segnet.engines.torch import identify
from napari_segnet.errors import SettingsError
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.plan import input as network_input
from napari_segnet.plan.input import stands_scales
from napari_segnet.prepare import normalization
from napari_segnet.progress import SHARE_DONE, run
from napari_segnet.sinks import KeptPlace


@dataclass(frozen=True, kw_only=True)
class Net:
    """A reference network and what a user has to know of it."""

    kind: Any
    how: dict[str, Any]
    activation: str
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def ndim(self) -> int:
        return self.how.get("ndim", 2)

    @property
    def channels(self) -> int:
        return self.how["channels"]


def net(kind, activation, told=None, **how):
    return Net(kind=kind, how=how, activation=activation, told=told or {})


NETS = {
    "milesial": net(Milesial, "sigmoid", channels=1, classes=1, width=4, depth=4),
    "milesial bilinear": net(
        Milesial, "softmax", channels=2, classes=3, width=4, depth=3, bilinear=True
    ),
    "milesial old bilinear": net(
        Milesial, "sigmoid", channels=1, classes=1, width=3, depth=4, bilinear=True, old=True
    ),
    "milesial odd": net(
        Milesial, "softmax", channels=3, classes=2, widths=(3, 5, 7), depth=2, kernel=5, order="crn"
    ),
    # Its forward ends with a sigmoid of its own.
    "mateuszbuda": net(Mateuszbuda, "none", channels=3, classes=1, width=3),
    "jvanvugt paper": net(Jvanvugt, "softmax", channels=1, classes=2, width=3, depth=4),
    "jvanvugt valid upsample": net(
        *(Jvanvugt, "softmax"),
        **{"channels": 2, "classes": 4, "width": 3, "depth": 3},
        **{"up_mode": "upsample", "batch_norm": True},
    ),
    "jvanvugt padded": net(
        *(Jvanvugt, "softmax", {"padding": True}),
        **{"channels": 1, "classes": 2, "width": 3, "depth": 4, "padding": True},
        batch_norm=True,
    ),
    "jvanvugt padded upsample": net(
        *(Jvanvugt, "sigmoid", {"padding": True, "pooling": "average"}),
        **{"channels": 1, "classes": 1, "width": 4, "depth": 3, "padding": True},
        **{"up_mode": "upsample", "pooling": "average"},
    ),
    "our own": net(
        Segnet, "sigmoid", channels=2, widths=(4, 6, 8), strides=((2, 2), (2, 2)), outputs=2
    ),
    "our own, thick sections": net(
        *(Segnet, "sigmoid"),
        **{"ndim": 3, "channels": 1, "widths": (3, 4, 5), "outputs": 2},
        strides=((1, 2, 2), (2, 2, 2)),
    ),
    "milesial bilinear 3D": net(
        *(Milesial, "softmax"),
        **{"ndim": 3, "channels": 1, "classes": 2, "width": 3, "depth": 2, "bilinear": True},
    ),
    "jvanvugt valid 3D": net(Jvanvugt, "softmax", ndim=3, channels=1, classes=2, width=3, depth=2),
}
FLAT = [name for name, one in NETS.items() if one.ndim == 2]
DEEP = [name for name, one in NETS.items() if one.ndim == 3]


@functools.cache
def reference(name):
    one = NETS[name]
    shape = (12, 24, 24) if one.ndim == 3 else (96, 96)
    if one.kind is Jvanvugt and one.ndim == 3:
        shape = (24, 24, 24)
    return calibrate(one.kind(**one.how), seed=11, images=pictures(2, one.channels, shape))


@functools.cache
def checkpoint_of(name) -> Checkpoint:
    """The network in a file, as its family knows it."""
    one = NETS[name]
    path = Path(tempfile.mkdtemp()) / "network.pth"
    write(name, path)
    return identify(path, one.told)


def write(name, path, wrapper="bare"):
    if NETS[name].kind is not Segnet:
        return save_as(reference(name), path, wrapper)
    from safetensors.torch import save_file

    how = {k: v for k, v in NETS[name].how.items() if k != "outputs"}
    one = {"channels": 1, "activation": "sigmoid"}
    text = {
        "format": 1,
        "family": "segnet-unet",
        "hparams": {"ndim": 2, **how},
        "outputs": [{"role": "foreground", **one}, {"role": "boundary", **one}],
        "prepare": [{"name": "normalize", "options": {"how": "none"}}],
    }
    state = {k: v.contiguous() for k, v in reference(name).state_dict().items()}
    save_file(state, path, metadata={"napari_segnet": json.dumps(text)})
    return path


def picture(name, shape, seed=3):
    return pictures(1, NETS[name].channels, shape, seed)[0].numpy()


def image_of(pixels):
    """``(c, [z,] y, x)`` as an image."""
    return Image(data=pixels, axes="c" + "zyx"[-(pixels.ndim - 1) :])


def settings(**how):
    return PredictSettings(normalize="none", device="cpu", **how)


def assert_equal_to_whole(name, shape, **how):
    pixels = picture(name, shape)
    expected, tolerance = own_answer(reference(name), pixels, NETS[name].activation)
    prediction = run(predict(checkpoint_of(name), image_of(pixels), settings(**how)))
    maps = prediction.answer
    assert expected.shape == maps.data.shape
    assert maps.data.dtype == np.float32
    assert np.abs(expected - maps.data).max() <= tolerance
    assert prediction.origin.engine["exact"]
    if min(shape) > 30:
        assert expected.std() > 0.05, "the network says the same everywhere"
    return prediction


CUTS = {
    f"{shape[0]}x{shape[1]}, {'whole' if not tile else tile[0]}": (shape, tile)
    for shape in [(1, 1), (17, 53), (83, 131)]
    for tile in [(), (64,), (1,)]
    if tile != (1,) or shape != (83, 131)  # hundreds of tiles that show nothing more
}


@pytest.mark.sample(16)
@pytest.mark.parametrize(("shape", "tile_px"), CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("name", FLAT)
def test_a_plane_equals_the_whole_plane(name, shape, tile_px):
    prediction = assert_equal_to_whole(name, shape, tile_px=tile_px)
    if tile_px == ():
        assert prediction.origin.engine["tiles"] == 1
    elif tile_px == (64,) and shape == (83, 131):
        assert prediction.origin.engine["tiles"] == 6


@pytest.mark.sample(8)
@pytest.mark.parametrize("tile_px", [(), (8,), (64,), (4, 16, 8)], ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 23, 31), (13, 20, 9)], ids=str)
@pytest.mark.parametrize("name", DEEP)
def test_a_volume_equals_the_whole_volume(name, shape, tile_px):
    prediction = assert_equal_to_whole(name, shape, tile_px=tile_px, seams="exact")
    if tile_px == (8,) and shape == (5, 23, 31):
        assert prediction.origin.engine["tiles"] > 4


@pytest.mark.parametrize("name", ["milesial", "milesial bilinear"])
def test_half_the_halo_would_fail(name):
    # Else the networks would be too blunt to show any mistake at a seam.
    pixels = picture(name, (300, 40))
    expected, _ = own_answer(reference(name), pixels, NETS[name].activation)
    checkpoint = checkpoint_of(name)
    short = replace(checkpoint, halo_px=tuple(n // 2 for n in checkpoint.halo_px))
    maps = run(predict(short, image_of(pixels), settings(tile_px=(64,)))).answer
    assert np.abs(expected - maps.data).max() > 0.01


@pytest.mark.parametrize("tile_px", [(), (32,)])
def test_mirror_images_are_turned_back_and_averaged(tile_px):
    name = next(one for one in FLAT if NETS[one].kind is Segnet)
    pixels, network = picture(name, (64, 96)), checkpoint_of(name)

    def maps(shown, **how):
        return run(predict(network, image_of(np.ascontiguousarray(shown)), settings(**how)))

    ways = [(), (-1,), (-2,), (-2, -1)]
    mean = np.mean([np.flip(maps(np.flip(pixels, w)).answer.data, w) for w in ways], axis=0)
    made = maps(pixels, mirror="yes", tile_px=tile_px)
    assert np.abs(made.answer.data - mean).max() <= 1e-5
    assert made.origin.engine["mirrored"] == ["y", "x"]
    assert np.abs(made.answer.data - maps(pixels).answer.data).max() > 1e-3
    advised = replace(network, card={"mirror": "yes"})
    again = run(predict(advised, image_of(pixels), settings()))
    assert np.abs(again.answer.data - mean).max() <= 1e-5


@pytest.mark.parametrize("name", FLAT)
def test_tiles_of_mirror_images_equal_the_whole_at_any_size(name):
    # Networks that pad by themselves, or to the size of a skip, or that look at their place, too.
    pixels, network = picture(name, (101, 75)), checkpoint_of(name)

    def maps(shown, **how):
        return run(predict(network, image_of(np.ascontiguousarray(shown)), settings(**how)))

    whole = maps(pixels, mirror="yes").answer.data
    tiles = maps(pixels, mirror="yes", tile_px=(32,))
    assert tiles.origin.engine["tiles"] > 4
    assert np.abs(tiles.answer.data - whole).max() <= 1e-4
    # Of a size that no pooling leaves pixels of, that is the mean of four answers.
    more = [n - m for n, m in zip(steady_lengths(network, (101, 75)), (101, 75), strict=True)]
    padded = np.pad(pixels, ((0, 0), (0, more[0]), (0, more[1])), mode="reflect")
    ways = [(), (-1,), (-2,), (-2, -1)]
    mean = np.mean([np.flip(maps(np.flip(padded, w)).answer.data, w) for w in ways], axis=0)
    if not any(network.size.loss):  # the frame of these pads on all sides
        assert np.abs(whole - mean[:, :101, :75]).max() <= 1e-4


def steady_lengths(network: Checkpoint, lengths: tuple[int, int]) -> tuple[int, ...]:
    return tuple(n + -n % s for n, s in zip(lengths, network.size.stride, strict=True))


@pytest.mark.parametrize("how", [{}, {"tile_px": (32,)}, {"maps": "float16"}])
def test_answers_at_two_scales_are_averaged(how):
    name = next(one for one in FLAT if NETS[one].kind is Segnet)
    network, image = checkpoint_of(name), image_of(picture(name, (64, 96)))

    def maps(network=network, **more):
        return run(predict(network, image, settings(**how, **more)))

    ways = [maps(scale=scale).answer.data.astype(np.float32) for scale in (1.0, 2.0)]
    mean = np.mean(ways, axis=0)
    made = maps(multiscale="yes")
    assert made.answer.data.shape == ways[0].shape
    assert np.abs(made.answer.data - mean).max() <= (1e-3 if how.get("maps") else 1e-5)
    assert made.origin.engine["scales"] == [1.0, 2.0]
    assert np.abs(made.answer.data - ways[0]).max() > 1e-3
    advised = maps(replace(network, card={"multiscale": "yes"}))
    np.testing.assert_array_equal(advised.answer.data, made.answer.data)
    plain = maps(replace(network, card={"multiscale": "yes"}), multiscale="no")
    assert "scales" not in plain.origin.engine


def test_scales_count_from_the_usual_one_and_progress_never_goes_back(monkeypatch):
    name = next(one for one in FLAT if NETS[one].kind is Segnet)
    network, image = checkpoint_of(name), image_of(picture(name, (64, 96)))
    measured = []
    monkeypatch.setattr(
        network_input, "fit", lambda *args: measured.append(args) or normalization.fit(*args)
    )
    steps = predict(network, image, settings(multiscale="yes", scale=0.5, tile_px=(32,)))
    shares = []
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            made = stop.value
            break
        assert report.done <= report.total
        shares += [dict(report.values).get(SHARE_DONE, report.done / report.total)]
    assert made.origin.engine["scales"] == [0.5, 1.0]
    assert len(measured) == 1  # the pixels of a large image are not measured twice
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_a_run_at_two_scales_goes_on_with_the_tiles_of_a_run_at_one(tmp_path):
    name = next(one for one in FLAT if NETS[one].kind is Segnet)
    network, image = checkpoint_of(name), image_of(picture(name, (64, 96)))
    how, kept = settings(tile_px=(32,)), KeptPlace(folder=tmp_path / "kept")
    run(predict(network, image, how, kept))
    both = replace(how, multiscale="yes")
    made = run(predict(network, image, both, kept))
    assert "6 of 6 tiles are from" in made.origin.notes[-1]
    np.testing.assert_array_equal(made.answer.data, run(predict(network, image, both)).answer.data)


def test_scales_are_refused_where_answers_cannot_be_averaged():
    flat = checkpoint_of(FLAT[0])
    volume = PrepareStep(name="volume", options={})
    assert [stands_scales(flat), stands_scales(replace(flat, prepare=(volume,)))] == [True, False]
    name = DEEP[0]
    network, image = checkpoint_of(name), image_of(picture(name, (16, 32, 32)))
    with pytest.raises(SettingsError, match=r"at several scales.*multiscale=auto"):
        run(predict(network, image, settings(multiscale="yes")))
    advised = replace(network, card={"multiscale": "yes"})
    assert "scales" not in run(predict(advised, image, settings())).origin.engine


def test_half_the_halo_would_fail_without_padding():
    # Such a network refuses a smaller tile, so half of the halo is there and the other half
    # is mirrored, as if the tile were an image of its own.
    name = "jvanvugt paper"
    pixels = picture(name, (300, 40))
    expected, _ = own_answer(reference(name), pixels, NETS[name].activation)
    checkpoint = checkpoint_of(name)
    (stride, _), (halo, _) = checkpoint.size.stride, checkpoint.halo_px
    half = halo // 2 // stride * stride
    start, stop = 16 * stride, 24 * stride
    cut = image_of(pixels[:, start - half : stop + half])
    maps = run(predict(checkpoint, cut, settings())).answer.data[:, half : half + stop - start]
    assert np.abs(expected[:, start:stop] - maps).max() > 0.01
    # The same cut with all of it is right.
    whole = -(-halo // stride) * stride
    cut = image_of(pixels[:, start - whole : stop + whole])
    maps = run(predict(checkpoint, cut, settings())).answer.data[:, whole : whole + stop - start]
    assert np.abs(expected[:, start:stop] - maps).max() < 1e-4


def test_up_sampling_of_a_cut_out_by_itself_would_fail(monkeypatch):
    from napari_segnet.engines.torch import Network

    name = "milesial bilinear"
    pixels = picture(name, (150, 90))
    expected, _ = own_answer(reference(name), pixels, NETS[name].activation)
    plain = Network.maps
    monkeypatch.setattr(
        Network, "maps", lambda self, batch, *, precision="fp32", **_place: plain(self, batch)
    )
    maps = run(predict(checkpoint_of(name), image_of(pixels), settings(tile_px=(64,)))).answer
    assert np.abs(expected - maps.data).max() > 0.05


@pytest.mark.parametrize("name", ["milesial bilinear", "jvanvugt paper"])
def test_planes_of_a_stack_are_answered_one_by_one(name):
    pixels = np.stack([picture(name, (33, 70), seed) for seed in range(6)])  # n c y x
    stack = pixels.reshape(2, 3, *pixels.shape[1:]).transpose(2, 0, 1, 3, 4)
    image = Image(data=stack, axes="ctzyx")
    maps = run(predict(checkpoint_of(name), image, settings(tile_px=(32,)))).answer
    assert maps.axes == "ctzyx"
    for n, plane in enumerate(pixels):
        expected, tolerance = own_answer(reference(name), plane, NETS[name].activation)
        assert np.abs(expected - maps.data[:, n // 3, n % 3]).max() <= tolerance


def test_volumes_of_a_series_are_answered_one_by_one():
    name = "our own, thick sections"
    pixels = np.stack([picture(name, (5, 23, 17), seed)[0] for seed in range(2)])
    image = Image(data=pixels, axes="tzyx")
    maps = run(predict(checkpoint_of(name), image, settings())).answer
    assert maps.axes == "ctzyx"
    assert maps.ndim == 3
    for volume, answer in zip(pixels, np.moveaxis(maps.data, 1, 0), strict=True):
        expected, tolerance = own_answer(reference(name), volume[None], "sigmoid")
        assert np.abs(expected - answer).max() <= tolerance


def test_axes_may_stand_in_any_order():
    name = "milesial odd"
    pixels = picture(name, (40, 51))
    expected, tolerance = own_answer(reference(name), pixels, NETS[name].activation)
    image = Image(data=pixels.transpose(2, 0, 1)[:, :, None], axes="xczy")
    maps = run(predict(checkpoint_of(name), image, settings())).answer
    assert maps.axes == "czyx"
    assert np.abs(expected - maps.data[:, 0]).max() <= tolerance


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tile_px", [(), (64,)], ids=["whole", "64"])
@pytest.mark.parametrize("shape", [(1, 1), (17, 503), (640, 1000)], ids=str)
@pytest.mark.parametrize("name", FLAT)
def test_a_large_plane_equals_the_whole_plane(name, shape, tile_px):
    assert_equal_to_whole(name, shape, tile_px=tile_px)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tile_px", [(), (64,)], ids=["whole", "64"])
@pytest.mark.parametrize("name", DEEP)
def test_a_large_volume_equals_the_whole_volume(name, tile_px):
    assert_equal_to_whole(name, (37, 130, 143), tile_px=tile_px)


# ---- The same through files and the command line ----

WRAPPERS = ("lightning", "ddp", "legacy", "training", "whole-module", "safetensors")


@pytest.mark.sample(2)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_command_writes_the_same_maps_whatever_the_file_looks_like(wrapper, tmp_path, capsys):
    name = "milesial bilinear"
    pixels = picture(name, (83, 97))
    weights = write(name, tmp_path / "network.pth", wrapper)
    command(weights, pixels, "CYX", tmp_path)
    expected, tolerance = own_answer(reference(name), pixels, NETS[name].activation)
    maps = tifffile.imread(tmp_path / "out" / "x.maps.tif")
    assert maps.dtype == np.float32
    assert expected.shape == maps.shape
    assert np.abs(expected - maps).max() <= tolerance
    origin = json.loads((tmp_path / "out" / "x.json").read_text())
    assert origin["engine"]["exact"] is True
    assert origin["engine"]["tiles"] == 4


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["jvanvugt padded upsample", "jvanvugt paper", "mateuszbuda"])
def test_what_a_file_does_not_say_is_told_on_the_command_line(name, tmp_path, capsys):
    pixels = picture(name, (70, 41))
    told = [f"--set={key}={str(value).lower()}" for key, value in NETS[name].told.items()]
    command(write(name, tmp_path / "n.pth"), pixels, "CYX", tmp_path, *told)
    expected, tolerance = own_answer(reference(name), pixels, NETS[name].activation)
    maps = tifffile.imread(tmp_path / "out" / "x.maps.tif").reshape(expected.shape)
    assert np.abs(expected - maps).max() <= tolerance


def test_a_volume_through_the_command_line(tmp_path, capsys):
    name = "our own, thick sections"
    pixels = picture(name, (6, 40, 33))
    command(write(name, tmp_path / "n.safetensors"), pixels[0], "ZYX", tmp_path)
    expected, tolerance = own_answer(reference(name), pixels, NETS[name].activation)
    maps = tifffile.imread(tmp_path / "out" / "x.maps.tif").reshape(expected.shape)
    assert np.abs(expected - maps).max() <= tolerance


def command(weights, pixels, axes, folder, *words):
    tifffile.imwrite(folder / "x.tif", pixels, metadata={"axes": axes}, ome=True)
    code = main(
        [
            *("segment", str(folder / "x.tif"), "-c", str(weights), "-o", str(folder / "out")),
            *("--save-maps", "--device", "cpu", "--set", "normalize=none", "--set", "tile_px=64"),
            *words,
        ]
    )
    assert code == 0
