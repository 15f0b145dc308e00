"""MONAI bundles: what their configurations say without running an expression."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.packages import script, zipped

import napari_segnet as sn
from napari_segnet.checkpoint import Output
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError
from napari_segnet.packages._expressions import Config, NotPlain
from napari_segnet.prepare import normalizer_text, parse_normalizer

METADATA = {
    "name": "Small spleen",
    "version": "0.1.0",
    "authors": "A. Author",
    "data_source": "a data set",
    "network_data_format": {
        "inputs": {"image": {"channel_def": {"0": "CT"}}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "spleen"}}},
    },
}
RANGE = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": -57,
    "a_max": 164,
    "b_min": 0,
    "b_max": 1,
    "clip": True,
}


def target(name: str, **values: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": "image", **values}


def bundle(folder: Path, before: list[Any], behind: list[Any] | None = None, **more: Any) -> Path:
    script(folder / "models" / "model.ts", maps=2, ndim=3)
    (folder / "configs").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    config = {
        "spacing": [1.5, 1.5, 2.0],
        "network_def": {"_target_": "UNet", "spatial_dims": 3, "channels": [4, 8]},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": before},
        "postprocessing": {"_target_": "Compose", "transforms": behind or []},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "overlap": 0.5},
        **more,
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    return folder


def test_a_bundle_is_read(tmp_path):
    before = [
        target("LoadImaged", reader="$monai.data.ITKReader()"),
        target("EnsureChannelFirstd"),
        target("Orientationd", axcodes="RAS"),
        target("Spacingd", pixdim="@spacing"),
        RANGE,
        target("EnsureTyped"),
    ]
    behind = [target("Activationsd", softmax=True), target("AsDiscreted", argmax=True)]
    folder = bundle(tmp_path / "spleen", before, behind)
    for place in (folder, zipped(folder, "spleen/"), folder / "models" / "model.ts"):
        found = sn.identify(place)
        (step,) = found.prepare
        assert normalizer_text(parse_normalizer(step.options["how"])) == (
            "mean-std:-57,221 then clip:0,1"
        )
        assert found.known["prepare"].source == "read"
        assert found.pixel_size_um == {"x": 1500.0, "y": 1500.0, "z": 2000.0}
        assert found.outputs == (Output(role="class", channels=2, activation="softmax"),)
        assert found.class_names == ("background", "spleen")
        assert found.card["authors"] == "A. Author"
        assert found.card["package"]["network"]["channels"] == [4, 8]
        assert found.card["package"]["inferer"]["roi_size"] == [96, 96, 96]
        assert not found.notes


RECIPES = {
    "percentiles": (
        target("ScaleIntensityRangePercentilesd", lower=1, upper=99, b_min=0, b_max=1, clip=True),
        "scale-range:1,99,0 then clip:0,1",
    ),
    "to minus one": (
        {**RANGE, "b_min": -1, "clip": False},
        "mean-std:-57,221 then mean-std:0.5,0.5",
    ),
    "min-max": (target("ScaleIntensityd"), "min-max"),
    "z-score": (target("NormalizeIntensityd", channel_wise=True), "z-score"),
    "z-score of all": (target("NormalizeIntensityd"), "pooled-zero-mean-unit-variance:0"),
    "fixed": (target("NormalizeIntensityd", subtrahend=[10], divisor=[4]), "mean-std:10,4"),
    "evaluated": (
        target("NormalizeIntensityd", subtrahend=["$@offset * 2 + 1"], divisor=["$@table#1"]),
        "mean-std:7,8",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_transforms_become_the_preparation(name, tmp_path):
    one, how = RECIPES[name]
    found = sn.identify(bundle(tmp_path / "b", [one], offset=3, table=[4, 8]))
    assert normalizer_text(parse_normalizer(found.prepare[0].options["how"])) == how


NOT_DONE = {
    "unknown": (target("RandGibbsNoised"), "RandGibbsNoise"),
    "expression": (target("ScaleIntensityRanged", a_min="$import_me()"), r"\$import_me\(\)"),
    "non-zero": (target("NormalizeIntensityd", nonzero=True), "NormalizeIntensity"),
    "missing": (target("NormalizeIntensityd", subtrahend="@nowhere"), "@nowhere, which is not"),
}


@pytest.mark.parametrize("name", NOT_DONE)
def test_what_is_not_done_is_named_and_the_rest_assumed(name, tmp_path):
    one, says = NOT_DONE[name]
    found = sn.identify(bundle(tmp_path / "b", [target("LoadImaged"), one]))
    assert found.known["prepare"].source == "assumed"
    assert re.search(says, found.notes[0])
    assert "Set normalize" in found.notes[0]


def test_weights_that_were_not_downloaded_are_named(tmp_path):
    folder = bundle(tmp_path / "b", [])
    (folder / "models" / "model.ts").unlink()
    with pytest.raises(UnsupportedWeightsError, match=r"holds none of models/model\.ts.*Download"):
        sn.identify(folder)


def test_a_damaged_configuration_is_named(tmp_path):
    folder = bundle(tmp_path / "b", [])
    (folder / "configs" / "inference.json").write_text("{")
    with pytest.raises(BrokenWeightsError, match=r"configs/inference.json in b cannot be under"):
        sn.identify(folder)


# ---- Expressions -----------------------------------------------------------------------

VALUES = {"a": 2, "b": [1, {"c": 5}], "sum": "$@a + @b#1#c", "again": "@sum", "loop": "@loop"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1 + 2 * 3", 7),
        ("$-(@a) / 4", -0.5),
        ("$[@a, @b#0]", [2, 1]),
        ("@again", 7),
        ("$@b::1::c // 2", 2),
        ("plain", "plain"),
        ("%a", 2),
    ],
)
def test_the_closed_set_is_evaluated(text, value):
    assert Config(VALUES).value(text) == value


HOSTILE = [
    "$__import__('os').system('touch {trap}')",
    "$open('{trap}', 'w')",
    "$(lambda: open('{trap}', 'w'))()",
    "$[open('{trap}', 'w') for _ in range(2)]",
    "$print",
    "$@a.bit_length()",
    "$@a ** 99999999",
    "$'x' * 99999999999",
    "$9e99 * 9e99",
    "$1 / 0",
    "$@nowhere",
    "@loop",
    "$" + "(" * 500 + ")" * 500,
    "$" + "-" * 1500 + "1",
    "$f'{{@a}}'",
    "$@a if @a else 1",
    "$exec('1')",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_else_is_evaluated(text, tmp_path):
    trap = tmp_path / "trap"
    with pytest.raises(NotPlain):
        Config(VALUES).value(text.replace("{trap}", str(trap)))
    assert not trap.exists()
