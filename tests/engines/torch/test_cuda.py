"""On a GPU of NVIDIA: the answers of the CPU, real lack of memory, training that goes on."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
import torch

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU of NVIDIA"),
]


@pytest.mark.parametrize("part", ["equality", "ladder"])
@pytest.mark.timeout(360)
def test_the_gpu_benchmark_finds_nothing_wrong(part, root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(root / "benchmarks")
    words = ["--device", "cuda:0", "--parts", part, "--minutes", "3", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    code = importlib.import_module("gpu").main()
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row for row in rows if not row["good"]] == []
    assert code == 0
    if part == "equality":
        assert {row.get("precision") for row in rows} >= {"fp32", "tf32", "fp16", "bf16"}
    else:
        assert any("halved" in row["rung"] for row in rows)
        assert any("CPU" in row["rung"] for row in rows)
