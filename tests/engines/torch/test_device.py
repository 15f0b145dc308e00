"""Where a network runs, and how much memory is there."""

from __future__ import annotations

import psutil
import pytest
import torch

from napari_segnet.engines.torch import best_device, free_bytes, is_out_of_memory
from napari_segnet.engines.torch import device as device_module
from napari_segnet.errors import SettingsError


@pytest.fixture
def machine(monkeypatch):
    """Set which accelerators there are."""

    def have(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return have


@pytest.mark.parametrize(
    ("there", "wish", "chosen"),
    [
        ({}, "auto", "cpu"),
        ({}, "cpu", "cpu"),
        ({"cuda": 2}, "auto", "cuda:0"),
        ({"cuda": 2}, "cuda", "cuda:0"),
        ({"cuda": 2}, "cuda:1", "cuda:1"),
        ({"cuda": 1}, "cpu", "cpu"),
        ({"mps": True}, "auto", "mps"),
        ({"mps": True}, "mps", "mps"),
        ({"cuda": 1, "mps": True}, "auto", "cuda:0"),
    ],
)
def test_the_best_device_that_is_there_is_chosen(machine, there, wish, chosen):
    machine(**there)
    assert best_device(wish) == chosen


@pytest.mark.parametrize("wish", ["cuda", "cuda:0", "mps", "tpu", ""])
def test_a_device_that_is_not_there_is_refused(machine, wish):
    machine()
    with pytest.raises(SettingsError, match=rf"'{wish}' is not available here. Available: cpu;"):
        best_device(wish)


def test_a_second_gpu_is_not_made_up(machine):
    machine(cuda=1)
    with pytest.raises(SettingsError, match=r"'cuda:1' is not available here .*: cuda:0, cpu"):
        best_device("cuda:1")


def test_free_memory_is_no_more_than_the_machine_has():
    assert 0 < free_bytes("cpu") <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("files", "free"),
    [
        # Version 2, with 30 of the 80 bytes in a page cache that can go.
        (
            {
                "memory.max": "100",
                "memory.current": "80",
                "memory.stat": "anon 50\ninactive_file 30",
            },
            50,
        ),
        ({"memory.max": "max", "memory.current": "80", "memory.stat": ""}, 1000),
        ({"memory.max": "100", "memory.current": "120", "memory.stat": "anon 1"}, 0),
        # Version 1; its "no limit" is a huge number.
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.usage_in_bytes": "80",
                "memory/memory.stat": "inactive_file 5",
            },
            1000,
        ),
        ({}, 1000),
        ({"memory.max": "rubbish"}, 1000),
    ],
)
def test_the_limit_of_a_container_counts(files, free, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(device_module, "CONTROL_GROUP", tmp_path)

    class Memory:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert free_bytes("cpu") == free


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("could not create a primitive"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_a_lack_of_memory_is_known_by_all_its_names(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("size mismatch"), ValueError("out of memory"), KeyboardInterrupt()],
    ids=repr,
)
def test_other_errors_are_no_lack_of_memory(error):
    assert not is_out_of_memory(error)
