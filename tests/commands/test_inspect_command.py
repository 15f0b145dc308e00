"""``napari-segnet inspect``: what is printed of a network, and of an image that it is to see."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest
import tifffile
import torch
from support.bare_networks import BARE as BARE_NETWORKS
from support.bare_networks import settled
from support.examples import EXAMPLES
from support.forks import MilesialFork
from support.networks import Milesial, calibrate, save_as

from napari_segnet.commands.inspect import card_of
from napari_segnet.engines.torch import identify
from napari_segnet.programs import UNASKED_COPY

PROMISED = (
    "family", "task", "ndim", "channels", "classes", "outputs", "size_multiple_px", "halo_px",
    "prepare", "parameters", "sha256",
)  # fmt: skip
"""What scripts rely on."""


def test_every_promised_key_with_how_it_is_known(run, shop):
    done = run("inspect", shop / "unet.pth", "--json")
    assert (done.code, done.err) == (0, "")
    card = done.json
    assert set(PROMISED) <= card.keys()
    for name in PROMISED:
        fact = card["facts"][name]
        assert set(fact) == {"value", "source", "why"}
        assert fact["value"] == card[name]
        assert fact["source"] in ("read", "decided", "assumed", "told")
        assert fact["why"]
    assert (card["family"], card["task"], card["ndim"]) == ("milesial-unet", "semantic", 2)
    assert card["channels"] == 1
    assert card["outputs"] == [{"role": "foreground", "channels": 1, "activation": "sigmoid"}]
    assert card["size_multiple_px"] == [1, 1]
    assert len(card["halo_px"]) == 2
    assert card["sha256"] == hashlib.sha256((shop / "unet.pth").read_bytes()).hexdigest()
    module = Milesial(channels=1, width=4, depth=2)
    assert card["parameters"] == sum(p.numel() for p in module.parameters())
    # The family's own hyper-parameters, too.
    checkpoint = identify(shop / "unet.pth")
    assert set(checkpoint.hparams) <= card["facts"].keys()


BARE = [name for name, examples in EXAMPLES.items() if not examples[0].metadata]


@pytest.mark.parametrize("family", BARE)
def test_every_family_has_all_facts(run, tmp_path, family):
    example = EXAMPLES[family][0]
    path = save_as(example.make(), tmp_path / "n.pth", "training")
    told = [word for k, v in (example.told or {}).items() for word in ("--set", f"{k}={v}")]
    done = run("inspect", path, "--json", *told)
    assert done.code == 0, done.err
    assert set(PROMISED) <= done.json["facts"].keys()
    plain = run("inspect", path, *told)
    assert plain.code == 0
    for name in PROMISED:
        assert f"\n  {name} " in plain.out


def test_a_volume_has_three_lengths(run, shop):
    card = run("inspect", shop / "volume.pth", "--json").json
    assert (card["ndim"], len(card["halo_px"]), len(card["size_multiple_px"])) == (3, 3, 3)


def test_for_people(run, shop):
    done = run("inspect", shop / "padded.pth")
    assert done.code == 0
    assert done.out.startswith("padded.pth: the U-Net of jvanvugt/pytorch-unet\n\n  family ")
    assert "assumed: " in done.out
    assert "What is assumed of padding, pooling, " in done.out
    assert "napari-segnet segment IMAGE -c WEIGHTS --set padding=VALUE" in done.out


def test_what_is_told_is_marked_so(run, shop):
    card = run("inspect", shop / "padded.pth", "--set", "padding=true", "--json").json
    assert card["facts"]["padding"] == {"value": True, "source": "told", "why": "by the user"}
    assert card["size_multiple_px"] == [2, 2]


def test_a_built_in_network_by_its_name(run):
    card = run("inspect", "nuclei", "--json").json
    assert (card["family"], card["channels"]) == ("segnet-unet", 1)
    assert {"foreground"} <= {output["role"] for output in card["outputs"]}
    assert card["card"]["scores"]["ap50"] > 0.7


def test_a_network_of_our_own(run, own_network):
    card = run("inspect", own_network, "--json").json
    assert card["facts"]["pixel_size_um"] == {
        "value": {"y": 0.5, "x": 0.5},
        "source": "read",
        "why": "written in the file's header",
    }
    assert card["class_names"] == ["background", "nucleus"]


# ---- With an image ----


def test_an_image_that_fits(run, shop):
    done = run("inspect", shop / "unet.pth", shop / "cells.tif", "--json")
    assert (done.code, done.err) == (0, "")
    image = done.json["image"]
    assert (image["fits"], image["axes"], image["shape"]) == (True, "yx", [60, 52])
    assert (image["dtype"], image["scale"], image["notes"]) == ("uint8", 1.0, [])
    plain = run("inspect", shop / "unet.pth", shop / "cells.tif")
    assert f"{shop / 'cells.tif'} fits\n  axes yx, shape [60, 52], uint8\n" in plain.out


def test_an_image_that_does_not_fit(run, shop):
    done = run("inspect", shop / "unet.pth", shop / "five.tif", "--json")
    assert done.code == 1
    image = done.json["image"]
    assert image["fits"] is False
    assert image["why"] == (
        "This network takes 1 channel, but five has 5 channels. Choose with --set channels=0; they "
        "are numbered from 0 to 4."
    )
    assert image["why"] in done.err
    assert done.err.count("\n") == 1
    done = run("inspect", shop / "unet.pth", shop / "five.tif", "--set", "channels=0", "--json")
    assert (done.code, done.json["image"]["fits"]) == (0, True)


def test_an_image_whose_axes_must_be_named(run, shop):
    words = ("inspect", shop / "volume.pth", shop / "stack.npy", "--json")
    done = run(*words)
    assert (done.code, done.json["image"]["fits"]) == (1, False)
    assert "--set axes=zyx" in done.err
    assert run(*words, "--set", "axes=zyx").json["image"]["axes"] == "zyx"


def test_an_image_of_another_pixel_size(run, own_network, tmp_path):
    image = tmp_path / "coarse.ome.tif"
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm",
    }  # fmt: skip
    tifffile.imwrite(image, np.eye(40, dtype=np.uint8), metadata=metadata)
    seen = run("inspect", own_network, image, "--json").json["image"]
    assert seen["pixel_size_um"] == {"y": 0.25, "x": 0.25}
    assert seen["scale"] == 2.0
    assert "trained at 0.5 µm per pixel and the image has 0.25 µm" in seen["notes"][0]


@pytest.mark.parametrize(
    ("content", "says"), [(None, "There is no file"), (b"", "empty"), (b"GIF89a", "does not open")]
)
def test_an_image_that_cannot_be_read(run, shop, tmp_path, content, says):
    path = tmp_path / "odd.gif"
    if content is not None:
        path.write_bytes(content)
    done = run("inspect", shop / "unet.pth", path, "--json")
    assert (done.code, done.json["image"]["fits"]) == (1, False)
    assert says in done.json["image"]["why"]
    assert "Traceback" not in done.err


def test_settings_that_make_no_sense_are_refused(run, shop):
    words = ("inspect", shop / "unet.pth", "--set")
    assert "scale=nan is not a number" in run(*words, "scale=nan").refused()
    assert "(did you mean 'channels'?)" in run(*words, "chanels=1").refused()


def test_a_fact_that_needs_a_run_is_null_with_why(shop):
    """A family whose halo nobody knows yet; the JSON says so."""
    checkpoint = dataclasses.replace(identify(shop / "unet.pth"), halo_px=None)
    card = card_of(checkpoint)
    assert card["halo_px"] is None
    assert card["facts"]["halo_px"]["value"] is None
    assert card["facts"]["halo_px"]["why"]


# ---- What is open, and what is drawn and written ----


@pytest.fixture
def bare(tmp_path):
    """A network without statistics: the order of the join and the resizing leave no trace."""
    path = tmp_path / "bare.pth"
    torch.save(settled(BARE_NETWORKS["resizing"][0]()).state_dict(), path)
    return path


def test_the_networks_that_a_file_may_be(run, bare):
    card = run("inspect", bare, "--json").json
    assert card["program"] == "structure"
    assert "join" in card["assumed"]
    assert [set(one) for one in card["candidates"]] == [{"score", "differs_in", "told"}] * 3
    assert card["candidates"][1]["told"]["join"] == "skip-up"
    scores = [one["score"] for one in card["candidates"]]
    assert scores == sorted(scores, reverse=True)
    plain = run("inspect", bare).out
    assert "Several networks fit this file, and nothing in it decides between them:" in plain
    assert re.search(r"  skip connection joined first.*\n    --set .*join=skip-up", plain)
    words = "3 levels with 2 skip connections"
    assert re.search(rf"  layout +3-levels-2-skips-\w+ \({words}\)\n", plain)
    assert f"note: Assumed of the network: {words}" in plain
    quick = run("inspect", bare, "--quick", "--json").json
    assert "candidates" not in quick
    assert [note.rpartition("; ")[2] for note in quick["notes"]] == [
        "from Python, recognise() does."
    ]
    assert not any("recognise()" in note for note in card["notes"])


def test_what_is_told_is_kept_on_request(run, bare):
    done = run("inspect", bare, "--set", "join=skip-up", "--json")
    assert done.json["facts"]["join"]["source"] == "told"
    assert run("inspect", bare, "--json").json["facts"]["join"]["value"] == "up-skip"
    done = run("inspect", bare, "--set", "join=skip-up", "--keep", "--json")
    assert f"Kept in {bare}.card.json. Remove that file to forget it." in done.err
    kept = run("inspect", bare, "--json").json
    for card in (done.json, kept):
        assert card["facts"]["join"] == {
            "value": "skip-up",
            "source": "told",
            "why": "chosen by you, kept in bare.pth.card.json",
        }
    assert "nothing to keep" in run("inspect", bare, "--keep").refused()


def test_a_picture_and_a_file_of_our_own(run, bare, tmp_path):
    done = run(
        "inspect", bare, "--set", "join=skip-up", "--picture", tmp_path / "n.svg",
        "--save-as", tmp_path / "own.safetensors",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (tmp_path / "n.svg").read_text().startswith("<svg ")
    own = run("inspect", tmp_path / "own.safetensors", "--json").json
    assert (own["family"], own["channels"]) == ("graph", 3)
    assert own["card"]["converted"]["from"] == "bare.pth"
    refused = run("inspect", bare, "--picture", tmp_path / "n.gif").refused()
    assert "drawn as .png or .svg, not as 'n.gif'" in refused
    assert (
        "exists already"
        in run("inspect", bare, "--save-as", tmp_path / "own.safetensors").refused()
    )


def test_a_run_says_what_is_assumed_and_can_be_repeated(run, bare, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 36, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", pixels, photometric="rgb")
    done = run("segment", tmp_path / "rgb.tif", "-c", bare, "-o", tmp_path / "a", "--json")
    assert done.code == 0, done.err
    assert any("Assumed of the network: " in note for note in done.json["notes"])
    origin = json.loads((tmp_path / "a" / "rgb.json").read_text())
    assert any("Assumed of the network: " in note for note in origin["notes"])


def test_a_known_network_is_proven_where_that_is_asked_for(run, tmp_path):
    fork = calibrate(MilesialFork(width=4, depth=2))
    fork.skip_first = False
    path = save_as(calibrate(fork), tmp_path / "fork.pth", "bare")
    at_once = run("inspect", path, "--json").json
    quick = run("inspect", path, "--quick", "--json").json
    assert at_once["facts"]["join"] == quick["facts"]["join"]
    assert at_once["facts"]["join"]["value"] == "skip-first"
    assert at_once["notes"] == quick["notes"] == [UNASKED_COPY]
    card = run("inspect", path, "--prove", "--json").json
    assert card["facts"]["join"]["value"] == "skip-last"
    assert card["facts"]["join"]["source"] == "decided"
    assert [one["differs_in"] for one in card["candidates"]] == [
        "changed: skip connection joined last",
        "as published",
    ]
