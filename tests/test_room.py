"""How much memory may be used, and where scratch files go."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_segnet import room, sinks
from napari_segnet.errors import MemoryExhaustedError, OutputError, SettingsError
from napari_segnet.room import parse_bytes, require_room, room_bytes, scratch_folder
from napari_segnet.sinks import choose_keep, large_array
from napari_segnet.sinks import file as in_file
from napari_segnet.steps import require_label_room


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


def test_labels_are_refused_before_the_network_runs(monkeypatch):
    monkeypatch.setenv(room.LIMIT, "16GB")
    shape = (2, 40_000, 40_000)
    require_label_room(shape, 2, "components", "slide")
    with pytest.raises(MemoryExhaustedError, match=r"slide .* need at least 19\.2 GB.*16GB"):
        require_label_room(shape, 2, "watershed", "slide")
    monkeypatch.delenv(room.LIMIT)
    with pytest.raises(MemoryExhaustedError, match="GB are free"):
        require_room(10**15, "Labels")


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
