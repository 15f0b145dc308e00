"""How much memory may be used, and where scratch files go."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from napari_segnet import room, sinks
from napari_segnet.errors import MemoryExhaustedError, OutputError, SettingsError
from napari_segnet.room import parse_bytes, room_bytes, scratch_folder
from napari_segnet.sinks import choose_keep, large_array
from napari_segnet.sinks import file as in_file
from napari_segnet.steps import forecast, require_label_room
from napari_segnet.steps.forecast import require_object_room


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("8GB", 8 * 2**30), ("512 MiB", 2**29), ("1.5g", 3 * 2**29), ("1t", 2**40)],
)
def test_sizes_as_people_write_them(text, nbytes):
    assert parse_bytes(text) == nbytes


def test_what_is_no_size_is_said():
    with pytest.raises(SettingsError, match="is no amount of memory"):
        parse_bytes("much")
    with pytest.raises(SettingsError, match="are too few"):
        parse_bytes("8")


def test_a_limit_leaves_what_the_process_does_not_hold_yet(monkeypatch):
    monkeypatch.delenv(room.LIMIT, raising=False)
    assert room_bytes(10**15) == 10**15
    monkeypatch.setenv(room.LIMIT, "64GB")
    assert 2**35 < room_bytes(10**15) < 2**36
    assert room_bytes(1000) == 1000


def test_labels_are_refused_before_the_network_runs(monkeypatch, tmp_path):
    monkeypatch.setenv(room.LIMIT, "")
    monkeypatch.setenv(room.SCRATCH, str(tmp_path))
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=30 * 10**9))
    assert require_label_room((2, 9000, 9000), 2, "watershed", "slide") == ""
    said = require_label_room((1, 40_000, 40_000), 2, "watershed", "slide")
    assert said.startswith("Labels of slide take 14.4 GB while they are made, so they are made in")
    assert require_label_room((40_000, 40_000), 2, "none", "slide").startswith(
        "Labels of slide take"
    )
    words = r"Labels of slide need 40\.0 GB .*where 30\.0 GB are free\. .*with --scratch"
    with pytest.raises(OutputError, match=words):
        require_label_room((4, 40_000, 40_000), 2, "components", "slide")


def test_more_objects_than_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr(forecast, "MANY_OBJECTS", 10)
    monkeypatch.setattr(forecast, "room_bytes", lambda free: 5000)
    require_object_room(10, each=10_000)
    require_object_room(50)
    words = r"51 objects were found, whose tables take .* raise the threshold, .*\(--memory\)"
    with pytest.raises(MemoryExhaustedError, match=words):
        require_object_room(51)


def test_what_is_large_lies_in_the_chosen_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(room.SCRATCH, str(tmp_path))
    assert scratch_folder() == str(tmp_path)
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 99)
    assert isinstance(large_array((30, 40), np.int32).base, np.memmap)
    assert large_array((3, 4), np.int32).base is None
    monkeypatch.setenv(room.SCRATCH, str(tmp_path / "gone"))
    with pytest.raises(OutputError, match="Name another folder with --scratch"):
        large_array((30, 40), np.int32)


def test_under_a_limit_maps_lie_in_a_file_with_the_same_digits(monkeypatch):
    shape = (2, 8000, 8000)
    assert choose_keep(shape, "auto").place == "memory"
    monkeypatch.setenv(room.LIMIT, "2GB")
    keep = choose_keep(shape, "auto")
    assert (keep.place, keep.dtype) == ("file", "float32")
    assert math.prod(shape) * 4 < sinks.IN_MEMORY_BYTES
