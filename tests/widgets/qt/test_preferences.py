"""What is set in napari's preferences reaches the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from npe2 import PluginManifest

from napari_segnet import cache
from napari_segnet.plan.settings import PRECISIONS, PredictSettings
from napari_segnet.widgets.qt.preferences import Preferences, preferences


def properties():
    manifest = PluginManifest.from_distribution("napari-segnet")
    return manifest.contributions.configurations["engine"].properties


def test_the_defaults_of_the_manifest_are_ours(preferences_file):
    assert preferences() == Preferences()
    assert cache.predictions.limit_bytes == 8_000_000_000


def test_what_is_set_is_returned_and_kept(preferences_file, tmp_path):
    preferences_file.engine.device = "cpu"
    preferences_file.engine.precision = "fp16"
    preferences_file.engine.networks_folder = str(tmp_path)
    assert preferences() == Preferences(device="cpu", precision="fp16", folder=tmp_path)
    assert "device: cpu" in Path(preferences_file.config_path).read_text()


def test_the_cache_gets_its_size(preferences_file):
    preferences_file.engine.cache_gb = 0.5
    assert preferences().cache_gb == 0.5
    assert cache.predictions.limit_bytes == 500_000_000


def test_networks_get_a_process_of_their_own(preferences_file, monkeypatch):
    asked = []
    monkeypatch.setattr("napari_segnet.widgets.qt.preferences.keep_apart", asked.append)
    assert not preferences().own_process
    preferences_file.engine.own_process = True
    assert preferences().own_process
    assert asked == [False, True]


def test_networks_run_where_a_scheduler_is_named(preferences_file):
    from napari_segnet.engines import cluster

    preferences_file.engine.scheduler = " tcp://127.0.0.1:1 "
    assert preferences().scheduler == "tcp://127.0.0.1:1"
    assert cluster.is_clustered()  # nobody is asked before a network runs
    preferences_file.engine.scheduler = ""
    preferences()
    assert not cluster.is_clustered()


def test_a_folder_in_the_home_folder_may_be_written_short(preferences_file, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    preferences_file.engine.networks_folder = " ~/networks "
    assert preferences().folder == Path("/home/ada/networks")


@pytest.mark.parametrize(
    ("name", "value"), [("device", "tpu"), ("precision", "8"), ("cache_gb", 0)]
)
def test_napari_refuses_what_is_none(preferences_file, name, value):
    with pytest.raises(ValueError, match=name):
        setattr(preferences_file.engine, name, value)


def test_where_napari_has_not_heard_of_us_nothing_is_set(plugin_settings):
    assert preferences() == Preferences()


def test_the_choices_are_those_of_a_run():
    assert tuple(properties()["precision"].enum) == PRECISIONS
    for device in properties()["device"].enum:
        assert PredictSettings(device=device).device == device
