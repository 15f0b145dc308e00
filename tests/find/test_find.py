"""What a small network was trained with is found on an image that it never saw."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from support.calibrated import drawn
from support.prepared import cells, image, stained, trained

from napari_segnet.__main__ import main
from napari_segnet.checkpoint import Store
from napari_segnet.errors import Cancelled, MismatchError
from napari_segnet.families.graph import StoredGraph, describe_graph
from napari_segnet.find import Way, find_settings, likeness, remembers, suggestions_of
from napari_segnet.find._like import FIRST_NORMS
from napari_segnet.find._network import witness_of
from napari_segnet.graph.build import build
from napari_segnet.image import Image
from napari_segnet.inference import predict
from napari_segnet.plan import PredictSettings, resolve, settle
from napari_segnet.progress import run
from napari_segnet.recognition import identify
from napari_segnet.writers import plain_grid

FIND = PredictSettings(normalize="find", scale="find", invert="find", channels="find")


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """Return a network that saw dark cells on a bright ground, by (x / 255 - 0.5) / 0.5."""
    path = tmp_path_factory.mktemp("find") / "grey.safetensors"
    return trained(path, 1, lambda pixels: ((255 - pixels) / 255.0 - 0.5)[None] / 0.5)


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """Return a network that saw blue cells first, as cv2 reads them, raw."""
    path = tmp_path_factory.mktemp("find") / "colour.safetensors"
    return trained(path, 3, lambda pixels: stained(pixels).transpose(2, 0, 1)[::-1].copy())


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """Return a network that saw bright cells from 0 to 1."""
    path = tmp_path_factory.mktemp("find") / "unit.safetensors"
    return trained(path, 1, lambda pixels: (pixels / 255.0)[None])


def test_normalisation_and_light_are_found_and_the_origin_repeats_the_run(grey):
    shown = image(cells(40))
    prediction = run(predict(grey, shown, replace(FIND, scale=1.0, channels="auto")))
    origin = prediction.origin
    assert origin.predict["normalize"] == "half"
    assert origin.predict["invert"] == "yes"
    found = origin.engine["found"]
    assert found["by"] == "statistics"
    assert found["settings"] == {"normalize": "half", "invert": "yes"}
    assert found["margin"] > 0.2
    assert found["runner_up"]["normalize"] != "half" or found["runner_up"]["invert"] == "no"
    assert found["says"] in origin.notes
    json.dumps(found, allow_nan=False)
    again = run(predict(grey, shown, PredictSettings(**{**origin.predict, "tile_px": ()})))
    np.testing.assert_array_equal(again.answer.data, prediction.answer.data)


def test_the_scale_is_found_within_half_an_octave(grey):
    large = cells(41).repeat(2, axis=0).repeat(2, axis=1)
    wish = PredictSettings(normalize="half", invert="yes", scale="find")
    found = run(settle(grey, image(large), wish)).found
    assert abs(math.log2(found.way.scale / 2)) <= 0.51
    assert found.names == ("scale",)
    assert "scale" in found.says


def test_one_odd_image_does_not_decide_of_the_scale(grey):
    given = Way(normalize="half", invert="yes")
    odd, *usual = [image(cells(seed, radius=12.0 if seed == 60 else 6.0)) for seed in range(60, 64)]
    alone = run(find_settings(grey, odd, given, ("scale",)))
    assert alone.way.scale >= 1.4
    unlike = replace(usual[0], pixel_size_um={"y": 0.5, "x": 0.5})
    found = run(find_settings(grey, odd, given, ("scale",), [*usual, unlike]))
    assert found.way.scale < alone.way.scale
    assert "for the scale 3 more images of its kind were looked at" in found.says


def test_images_after_the_fourth_tell_of_the_scale_alone(grey, monkeypatch):
    from napari_segnet.find import _search

    monkeypatch.setattr(_search, "FEW", 1)
    shown: list[tuple[str, float, int]] = []
    mean = _search._Look._mean

    def noted(look, way, places):
        shown.extend((way.invert, way.scale, place) for place in places)
        return mean(look, way, places)

    monkeypatch.setattr(_search._Look, "_mean", noted)
    odd, *usual = [image(cells(seed, radius=12.0 if seed == 60 else 6.0)) for seed in range(60, 63)]
    given = Way(normalize="half", invert="no")
    found = run(find_settings(grey, odd, given, ("scale", "invert"), usual))
    assert found.way.invert == "yes"
    assert {invert for invert, _, place in shown if place == 0} == {"yes", "no"}
    rest = {(invert, scale, place) for invert, scale, place in shown if place > 0}
    assert {invert for invert, *_ in rest} == {"yes"}
    assert len(rest) == len({scale for _, scale, _ in shown}) * len(usual)
    assert found.way.scale < 1.4  # what the first one says, see above


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_an_unlikely_scale_costs_the_same_for_any_number_of_images(count, monkeypatch):
    from napari_segnet.find import _search

    monkeypatch.setattr(_search._Look, "_mean", lambda look, way, places: 0.0)
    tried = _search.Hypotheses(
        normalize=("none",), channels=("auto",), invert=("no",), scale=(1.0, 4.0), over="image"
    )
    look = _search._Look([None] * count, None, tried)
    way = Way(normalize="none", scale=4.0)
    few = run(look.own(way))
    assert few == pytest.approx(4 * _search.UNLIKELY)
    assert run(look.wide(way, few)) == pytest.approx(few)


@pytest.mark.long
def test_a_run_of_several_images_looks_for_the_scale_on_them_all(grey, tmp_path):
    from PIL import Image as Picture

    paths = [str(tmp_path / f"{seed}.png") for seed in (70, 71)]
    for seed, path in zip((70, 71), paths, strict=True):
        Picture.fromarray(cells(seed)).save(path)
    fixed = ["--set", "normalize=half", "--set", "invert=yes", "--set", "scale=find"]
    assert main(["segment", *paths, "-c", str(grey.path), "-o", str(tmp_path / "out"), *fixed]) == 0
    said = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")]
    for one in said:
        assert "1 more image of its kind" in one["engine"]["found"]["says"]
    assert len(said) == 2


@pytest.mark.long
def test_the_order_of_colours_is_found(colour):
    found = run(settle(colour, image(stained(cells(43))), replace(FIND, scale=None))).found
    assert found.way.channels == "2,1,0"
    assert found.way.normalize == "none"
    assert "blue, green, red" in found.says


def test_what_does_the_same_is_called_by_its_usual_name(grey):
    # From black to white, min-max does what ÷255 does.
    pixels = 255 - cells(44)
    pixels[0, :2] = 0, 255
    given = Way(normalize="divide-255")
    found = run(find_settings(grey, image(pixels), given, ("normalize",)))
    ways = [one.way.normalize for one in found.ranked]
    assert ways[0] == "half"
    assert "divide-255" in ways and "min-max" not in ways
    assert found.ranked[0].misfit < found.ranked[1].misfit
    assert found.margin == pytest.approx(found.ranked[1].misfit - found.ranked[0].misfit)


def test_a_picture_of_another_kind_is_unlike_and_says_where(grey):
    way = Way(normalize="half", invert="yes")
    like = run(likeness(grey, image(cells(45, edge=256)), way, where=True))
    assert not like.unlike and like.says == ""
    stripes = np.tile(np.repeat([0, 255], 3), 64)[:256].astype(np.uint8)
    unlike = run(likeness(grey, image(np.tile(stripes, (256, 1))), way, where=True))
    assert unlike.score > 3 * max(like.score, 0.01)
    assert unlike.unlike and "unlike the training images" in unlike.says
    assert unlike.heat.scores.shape == like.heat.scores.shape
    assert unlike.heat.scores.min() > like.heat.scores.max()
    half = np.concatenate([cells(46, edge=256)[:, :128], np.tile(stripes, (256, 1))[:, 128:]], 1)
    where = run(likeness(grey, image(half), way, where=True)).heat.scores
    assert where[:, -1].mean() > 2 * where[:, 0].mean()
    assert set(json.loads(json.dumps(unlike.to_json()))) == {"unlike", "score", "limit", "share"}
    alone = run(likeness(grey, image(np.tile(stripes, (256, 1))), way))
    assert alone.heat is None and "share" not in alone.to_json()
    assert (alone.score, alone.says) == (unlike.score, unlike.says)


def test_the_first_layers_tell_it_and_are_loaded_once_for_a_folder(grey, monkeypatch):
    way, loaded = Way(normalize="half", invert="yes"), []

    def counted(checkpoint, first=None):
        loaded.append(first)
        return witness_of(checkpoint, first)

    monkeypatch.setattr("napari_segnet.find._like.witness_of", counted)
    monkeypatch.setattr("napari_segnet.find._like._kept", [])
    for seed in (53, 54):
        run(likeness(identify(grey.path), image(cells(seed, edge=96)), way))
    assert loaded == [FIRST_NORMS]
    for seed in (53, 54):
        run(likeness(identify("nuclei"), image(cells(seed, edge=96)), way))
        run(likeness(identify(grey.path), image(cells(seed, edge=96)), way))
    assert loaded == [FIRST_NORMS] * 2, "each network once, also in turns"
    few, every = witness_of(grey, FIRST_NORMS).norms, witness_of(grey).norms
    assert len(few.graph.nodes) < len(every.graph.nodes) / 2
    tiles = np.random.default_rng(0).normal(size=(2, 1, 96, 96)).astype(np.float32)
    means = every.show(tiles, own=True).means[:FIRST_NORMS]
    for one, other in zip(few.show(tiles, own=True).means, means, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_network_without_statistics_says_so(tmp_path):
    graph = drawn({}, norm=False)
    path = tmp_path / "plain.safetensors"
    described = describe_graph(path=path, graph=graph, store=Store(container="safetensors"))
    plain = StoredGraph().save(build(graph).eval(), described, path)
    assert not remembers(plain)
    shown = image(cells(47, edge=64))
    assert run(likeness(plain, shown, Way(normalize="none"))) is None
    found = run(settle(plain, shown, FIND)).found
    assert found.by == "nothing"
    assert found.way.normalize == "none" and found.way.scale == 1.0
    assert {"divide-255", "z-score"} <= {one.way.normalize for one in found.ranked}
    scan = 4 * cells(47, edge=64).astype(np.int16)
    grid = plain_grid("yx", scan.shape, {})
    for lowest, offered in ((-1024, True), (0, False)):  # a CT, a MR
        taken = Image(data=scan + np.int16(lowest), axes="yx", grid=grid)
        ways = [one.way.normalize for one in run(settle(plain, taken, FIND)).found.ranked]
        assert ("window:-200,300" in ways) == offered
    gap = np.stack([scan - 1024.0, np.full(scan.shape, np.nan)]).astype(np.float32)
    taken = Image(data=gap, axes="zyx", grid=plain_grid("zyx", gap.shape, {}))
    ways = [one.way.normalize for one in run(settle(plain, taken, FIND)).found.ranked]
    assert "window:-200,300" not in ways  # the plane in the middle holds no numbers
    assert "Neither the file nor code" in found.says
    told = replace(plain, card={"suggested": SUGGESTED})
    said = run(settle(told, shown, FIND)).found
    assert said.by == "code" and said.way.normalize == "imagenet"
    assert "predict.py:7" in said.says
    assert run(settle(told, shown, PredictSettings(normalize="source"))).settings.normalize == (
        "imagenet"
    )
    with pytest.raises(MismatchError, match=r"No code beside plain\.safetensors"):
        resolve(plain, shown, PredictSettings(normalize="source"))


def row(name, value, line=7):
    return {"name": name, "value": value, "where": f"predict.py:{line}", "code": "…"}


SUGGESTED = [
    row("normalize", "divide by 255 (ToTensor)", 3),
    row("mean", [0.485, 0.456, 0.406]),
    row("std", [0.229, 0.224, 0.225]),
    row("colour_order", "BGR (cv2.imread)"),
    row("threshold", 0.3),
    row("activation", "sigmoid (the loss has it inside)"),
    row("size_px", [80, 80]),
]


def test_suggestions_become_settings(colour):
    told = replace(colour, card={"suggested": SUGGESTED})
    shown = image(stained(cells(48)))
    found = [(one.setting, one.value) for one in suggestions_of(told, shown)]
    assert found == [
        ("normalize", "imagenet"),
        ("normalize", "divide-255"),
        ("channels", "2,1,0"),
        ("threshold", 0.3),
        ("activation", "sigmoid"),
        ("scale", 2.0),
    ]


@pytest.mark.parametrize(
    ("mean", "std", "value"),
    [
        ([0.5], [0.5], "half"),
        ([0.2335], [0.1712], "divide-255 then mean-std:0.2335,0.1712"),
        ([0.0], [1.0], None),
        ([0.5], [0.0], None),
        ([0.5, 0.5], [0.5], None),
        ("mean", "std", None),
    ],
)
def test_means_and_deviations_of_code(colour, mean, std, value):
    rows = [row("mean", mean), row("std", std)]
    found = suggestions_of(replace(colour, card={"suggested": rows}))
    assert [one.value for one in found] == ([] if value is None else [value])


def test_a_card_that_is_no_list_of_findings_suggests_nothing(colour):
    for odd in ([1], [{"name": "mean"}], [{"name": 1, "value": 2, "where": 3, "code": 4}]):
        assert suggestions_of(replace(colour, card={"suggested": odd})) == ()


@pytest.mark.parametrize(
    ("made", "want"),
    [
        (lambda pixels: pixels.astype(np.uint16) * 257, "divide-65535"),
        (lambda pixels: (pixels / 255).astype(np.float32), "none"),
    ],
)
def test_other_types_of_numbers_have_normalisations_of_their_own(unit, made, want):
    pixels = cells(50)
    pixels[0, 0] = 255  # the brightest that there is, as in most images of the training
    wish = PredictSettings(normalize="find", invert="find")
    way = run(settle(unit, image(made(pixels)), wish)).found.way
    assert (way.normalize, way.invert) == (want, "no")


def test_a_volume_is_looked_at_in_depth(tmp_path):
    def volume(seed):
        return np.stack([cells(seed, edge=48)] * 8)

    path = tmp_path / "volume.safetensors"
    solid = trained(path, 1, lambda v: (v / 255.0)[None], ndim=3, shown=volume)
    shown = Image(data=volume(51), axes="zyx")
    wish = PredictSettings(normalize="divide-255", invert="find")
    found = run(settle(solid, shown, wish)).found
    assert (found.by, found.way.invert) == ("statistics", "no")
    other = Image(data=255 - volume(51), axes="zyx")
    assert run(settle(solid, other, wish)).found.way.invert == "yes"


def test_a_search_stops_on_request(grey):
    steps = settle(grey, image(cells(52)), FIND)
    for _ in range(3):
        assert next(steps).what == "settings"
    steps.cancel()
    with pytest.raises(Cancelled):
        run(steps)


@pytest.mark.long
def test_a_repeated_search_finds_the_same(grey):
    shown, wish = image(cells(49)), PredictSettings(normalize="find")
    one, other = (run(settle(grey, shown, wish)).found for _ in range(2))
    assert one == other


def test_the_file_opens_as_it_was_written(grey):
    assert remembers(identify(grey.path))
