"""Before any training: how are the corrected images best shown to the network?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from support.engines import SecondKind, put_first
from support.teaching import FOREGROUND, QUICK, fresh, photograph, write

from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import PrepareStep
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.errors import SettingsError
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.image import Image
from napari_segnet.plan import PredictSettings
from napari_segnet.plan.input import channels_of, inverted, recipe, scale_of
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.recognition import identify
from napari_segnet.train import _start_well, other_built_in, score_held_out, start_well
from napari_segnet.train._begin import as_run, shown


@pytest.fixture
def network(tmp_path):
    made = fresh(tmp_path / "old.safetensors", FOREGROUND)
    return SegnetUNet().save(SegnetUNet().build(made).eval(), made, made.path)


def dark_objects(root, count=2, dark=True):
    samples = []
    for i in range(count):
        labels = np.zeros((64, 64), np.int32)
        for number, (y, x) in enumerate(np.ndindex(4, 4), start=1):
            labels[16 * y + 3 : 16 * y + 12, 16 * x + 3 : 16 * x + 12] = number
        pixels = photograph(labels, seed=i)
        samples.append(
            Sample(
                image=write(root / "images" / f"{i}.tif", 255 - pixels if dark else pixels),
                labels=write(root / "labels" / f"{i}.tif", labels),
                source=str(i),
            )
        )
    return Dataset(root=root, samples=tuple(samples))


def finds_bright(monkeypatch):
    put_first(monkeypatch, maps=lambda batch, **_: (batch[:, :1] > 0.3) * 0.8 + 0.1)


def test_dark_objects_are_found_with_light_and_dark_exchanged(tmp_path, network, monkeypatch):
    finds_bright(monkeypatch)
    found = run(start_well(network, dark_objects(tmp_path / "d"), QUICK, device="cpu"))
    assert found.offered
    assert dict(found.chosen.changes) == {"invert": "yes"}
    assert found.chosen.score > found.now.score + 0.3
    assert found.ways[0].score >= found.chosen.score
    assert found.comparison.verdict == "better"
    assert found.taken(QUICK) == replace(QUICK, invert="yes")
    assert dict(found.for_a_run) == dict(found.untrained.changes), "no others were given"
    said = found.sentence()
    assert said.startswith("Before any training, on ")
    assert "with inversion." in said
    assert ("training is often unnecessary" in said) == (found.chosen.score >= 0.8)
    form = found.to_json()
    assert form["offered"] == {"invert": "yes"}
    assert len(form["ways"]) == len(found.ways) > 5


def test_nothing_is_offered_where_images_are_shown_rightly(tmp_path, network, monkeypatch):
    finds_bright(monkeypatch)
    data = dark_objects(tmp_path / "d", dark=False)
    found = run(start_well(network, data, QUICK, device="cpu"))
    assert (found.offered, found.chosen, found.comparison) == (False, found.now, None)
    assert found.taken(QUICK) == QUICK
    assert "no other settings are significantly better." in found.sentence()
    assert found.averaged is None, "averaged outputs find no more"


def finds_bright_on_the_left(batch, **_):
    left = np.arange(batch.shape[-1]) < batch.shape[-1] / 2
    return (batch[:, :1] > 0.3) * np.where(left, 0.8, 0.35) + 0.1


def test_averaged_outputs_are_offered_where_they_find_more(tmp_path, network, monkeypatch):
    put_first(monkeypatch, maps=finds_bright_on_the_left)
    data = dark_objects(tmp_path / "d", dark=False)
    found = run(start_well(network, data, QUICK, device="cpu"))
    averaged = found.averaged
    assert found.untrained is averaged and averaged in found.ways
    # Half the size is tried, too, and adds nothing.
    assert dict(averaged.changes) == {**found.chosen.changes, "mirror": "yes"}
    assert any("multiscale" in way.changes for way in found.ways)
    assert averaged.score > found.chosen.score + 0.3
    assert averaged.pairs.endswith("mirror=yes")
    assert averaged.title.endswith("also on mirrored images")
    assert found.taken(QUICK).mirror is QUICK.mirror, "how the new network runs is its own setting"
    assert "4 times the time" in found.sentence()
    assert found.to_json()["averaged"] == dict(averaged.changes)


def test_what_a_network_averages_already_is_not_tried(tmp_path, network, monkeypatch):
    put_first(monkeypatch, maps=finds_bright_on_the_left)
    data = dark_objects(tmp_path / "d", dark=False)
    known = replace(network, card={"mirror": "yes", "multiscale": "yes"})
    how = replace(QUICK, normalize="min-max")
    found = run(start_well(known, data, how, device="cpu"))
    assert found.averaged is None and found.untrained is found.chosen
    assert found.for_a_run == {"normalize": "min-max", **found.chosen.changes}
    usual = {"invert": "auto", "channels": "auto", "scale": None}
    assert found.input_of_a_run == {**usual, **found.for_a_run}


def test_slow_networks_are_tried_in_fewer_ways(tmp_path, network, monkeypatch):
    finds_bright(monkeypatch)
    monkeypatch.setattr(_start_well, "MOST_S", 0)
    found = run(start_well(network, dark_objects(tmp_path / "d"), QUICK, device="cpu"))
    assert found.ways == (found.now,)


def test_no_more_ways_are_tried_than_a_training_takes(tmp_path, network, monkeypatch):
    finds_bright(monkeypatch)
    clock = iter(range(0, 10_000, 50))  # 50 s between two looks at it
    monkeypatch.setattr(_start_well, "perf_counter", lambda: next(clock))
    data = dark_objects(tmp_path / "d")
    tried = {
        minutes: len(run(start_well(network, data, replace(QUICK, minutes=minutes))).ways)
        for minutes in (0.1, 3, 60)
    }
    assert 1 < tried[0.1] < tried[3] < tried[60]


def test_ways_that_do_not_fit_all_images_are_left_out(tmp_path, network, monkeypatch):
    finds_bright(monkeypatch)
    data = dark_objects(tmp_path / "d")
    first = data.samples[0].image
    tifffile.imwrite(
        first, np.stack([open_image(first).read()[0, 0, 0]] * 3, -1), photometric="rgb"
    )
    how = replace(QUICK, scale=90.0)
    found = run(start_well(network, data, how, device="cpu"))
    tried = [dict(way.changes) for way in found.ways]
    assert {"invert": "yes"} in tried
    assert not any("channels" in one for one in tried), "only the first is a picture in colour"
    assert {one.get("scale", 45.0) for one in tried} == {45.0, 63.6}


@pytest.mark.parametrize("damaged", [0, 1])
def test_an_image_that_cannot_be_read_is_left_out(tmp_path, network, monkeypatch, damaged):
    finds_bright(monkeypatch)
    data = dark_objects(tmp_path / "d", count=3)
    data.samples[damaged].image.write_bytes(b"no picture")
    found = run(start_well(network, data, QUICK, device="cpu"))
    assert found.now.held.images == 2
    assert dict(found.chosen.changes) == {"invert": "yes"}


def test_where_no_image_can_be_read_nothing_can_be_tried(tmp_path, network):
    data = dark_objects(tmp_path / "d", count=2)
    for sample in data.samples:
        sample.image.write_bytes(b"no picture")
    with pytest.raises(SettingsError, match="no corrected object to score settings with"):
        run(start_well(network, data, QUICK, device="cpu"))


def test_without_a_corrected_object_nothing_can_be_tried(tmp_path, network):
    data = dark_objects(tmp_path / "d", count=1)
    write(tmp_path / "d" / "labels" / "0.tif", np.zeros((64, 64), np.int32))
    with pytest.raises(SettingsError, match="no corrected object to score settings with"):
        run(start_well(network, data, QUICK, device="cpu"))
    with pytest.raises(SettingsError, match="is untrained"):
        run(start_well(fresh(tmp_path / "none.safetensors"), data, QUICK))


def test_a_network_is_shown_images_as_it_was_taught(network):
    trained = shown(network, replace(QUICK, normalize="min-max", scale=2.0))
    assert recipe(trained) == ("min-max", "volume")
    picture = Image(data=np.zeros((8, 8, 3), np.uint8), axes="yxc", rgb=True)
    assert scale_of(trained, picture, PredictSettings())[0] == 2.0
    sized = replace(trained, pixel_size_um={"y": 0.5, "x": 0.5})
    assert not shown(sized, replace(QUICK, scale=2.0)).pixel_size_um, "it would say another scale"
    assert shown(network, QUICK) is network
    volume = PrepareStep(name="volume", options={"schemes": [["z-score"]]})
    whole = replace(network, prepare=(*network.prepare, volume))
    assert volume in shown(whole, QUICK).prepare
    assert volume not in shown(whole, replace(QUICK, normalize="min-max")).prepare
    stained = replace(network, card={"channels": "hematoxylin", "invert": "yes"})
    plain = PredictSettings()
    assert channels_of(stained, picture, plain) == "hematoxylin"
    assert inverted(stained, plain)
    assert channels_of(stained, picture, PredictSettings(channels="0")) == "0"
    grey = Image(data=np.zeros((8, 8), np.uint8), axes="yx")
    assert channels_of(stained, grey, plain) == "auto"


# ---- Other networks ----


@pytest.fixture
def knows_dark(tmp_path, network, monkeypatch):
    """Another network of the same shape, which finds dark objects; the first one finds nothing."""
    made = fresh(tmp_path / "dark.safetensors", FOREGROUND)
    other = SegnetUNet().save(SegnetUNet().build(made).eval(), made, made.path)

    def runs_it(checkpoint):
        return checkpoint.path == other.path

    put_first(monkeypatch, maps=lambda batch, **_: np.full_like(batch[:, :1], 0.1))
    kind = SecondKind(maps=lambda batch, **_: (batch[:, :1] < 0.3) * 0.8 + 0.1, runs_it=runs_it)
    put_first(monkeypatch, kind)
    return other


def test_another_network_that_is_better_is_offered_to_begin_with(tmp_path, network, knows_dark):
    data, how = dark_objects(tmp_path / "d"), replace(QUICK, scale=45.0)
    found = run(start_well(network, data, how, device="cpu", others=[knows_dark]))
    assert found.chosen is found.now and found.untrained.score < 0.1
    assert found.other.name == "dark" and found.other.comparison.verdict == "better"
    assert found.best == found.other.way.score > 0.3
    assert "The built-in network dark has a score of " in found.sentence()
    assert ("training is often unnecessary" in found.sentence()) == (found.best >= 0.8)
    form = found.to_json()
    assert form["other_network"]["name"] == "dark" and not form["offered"]
    assert found.as_its_card_says(replace(how, epochs=7)) == replace(QUICK, epochs=7)


def test_a_higher_score_that_may_be_chance_is_said_to_be_that(tmp_path, network, knows_dark):
    """Formerly nobody with one corrected image heard of a network that fits better."""
    data, how = dark_objects(tmp_path / "d"), replace(QUICK, scale=45.0, promote_at=0.9999)
    found = run(start_well(network, data, how, device="cpu", others=[knows_dark]))
    assert found.other.name == "dark" and not found.other.is_certain
    assert "dark has a higher score without a training, " in found.sentence()
    assert "but this may be chance: it is better with a probability of " in found.sentence()
    assert found.best == found.untrained.score, "it counts for nothing yet"
    assert found.to_json()["other_network"]["certain"] is False


def test_another_network_that_is_not_better_is_not_mentioned(tmp_path, network, knows_dark):
    data = dark_objects(tmp_path / "d")
    found = run(start_well(knows_dark, data, QUICK, device="cpu", others=[network]))
    assert found.other is None and found.to_json()["other_network"] is None
    assert found.best == found.untrained.score and "built-in" not in found.sentence()


def test_labels_that_are_its_own_answer_speak_for_no_other_network(tmp_path, network, knows_dark):
    data = dark_objects(tmp_path / "d")
    held = replace(data, samples=tuple(replace(one, split="val") for one in data.samples))
    made = run(score_held_out(knows_dark, held, as_run(QUICK, "cpu")))
    for path, labels in made.labels.items():
        (sample,) = (one for one in data.samples if str(one.image) == path)
        write(sample.labels, labels[0, 0])
    found = run(start_well(network, data, replace(QUICK, scale=45.0), others=[knows_dark]))
    assert found.other is None
    assert found.now.held.scores.n_true > 0


def test_a_network_that_the_images_cannot_be_shown_to_is_left_out(tmp_path, network, knows_dark):
    two = replace(knows_dark, channels=2)
    data = dark_objects(tmp_path / "d")
    assert run(start_well(network, data, QUICK, device="cpu", others=[two])).other is None


def test_the_other_built_in_networks_are_those_with_as_many_axes(network):
    names = [other.path.stem for other in other_built_in(network)]
    assert names == list(builtin_models())
    assert [o.path.stem for o in other_built_in(identify(names[0]))] == names[1:]
    assert other_built_in(replace(network, ndim=3)) == ()
