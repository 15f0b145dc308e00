"""TorchScript: what modules and constants may be."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_segnet.containers import open_tree
from napari_segnet.errors import UnsupportedWeightsError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning",
                                        "ignore:.*torch.jit:DeprecationWarning")  # fmt: skip


class Placed(nn.Module):
    """Keeps devices, as modules do that make tensors of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.device = torch.device("cpu")
        self.other = torch.jit.Attribute(torch.device("cuda", 1), torch.device | None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x.to(self.device))
        return y


class Counter:
    def __init__(self) -> None:
        self.count = 3

    def more(self) -> int:
        self.count += 1
        return self.count


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.counter = torch.jit.script(Counter)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x) * self.counter.more()
        return y


def test_a_module_may_hold_devices(tmp_path: Path) -> None:
    torch.jit.script(Placed()).save(str(tmp_path / "net.pt"))
    assert "conv" in str(open_tree(tmp_path / "net.pt").root)


def test_an_object_may_be_a_constant_of_frozen_code(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.freeze(torch.jit.script(Counting().eval())).save(str(path))
    with zipfile.ZipFile(path) as archive:
        code = [archive.read(name) for name in archive.namelist() if name.endswith(".py")]
    assert any(re.search(rb"CONSTANTS\.c\d+\)?\.", one) for one in code)
    assert open_tree(path).root


def test_the_parts_are_listed_once_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[Path] = []

    class Counted(zipfile.ZipFile):
        def __init__(self, file: Path) -> None:
            listings.append(file)
            super().__init__(file)

    counts = []
    for layers in (1, 9):
        path = tmp_path / f"{layers}.pt"
        kinds = [nn.Conv2d, nn.Conv1d, nn.Conv3d] * 3
        network = nn.Sequential(*(kind(1, 1, 1 + i) for i, kind in enumerate(kinds[:layers])))
        torch.jit.script(network).save(str(path))
        listings.clear()
        with monkeypatch.context() as patch:
            patch.setattr(zipfile, "ZipFile", Counted)
            open_tree(path)
        counts.append(len(listings))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning")
def test_a_module_may_hold_sparse_tensors(layout: torch.layout, tmp_path: Path) -> None:
    path, network = tmp_path / "net.pt", nn.Sequential(nn.Conv2d(1, 1, 1))
    dense = torch.eye(3, 4, dtype=torch.float64)
    network.register_buffer("graph", dense.to_sparse(layout=layout))
    torch.jit.script(network).save(str(path))
    torch.jit.load(str(path))
    held = open_tree(path).root
    assert (held["graph"].shape, held["graph"].dtype) == ((3, 4), "float64")
    assert held["0.weight"].load().shape == (1, 1, 1, 1)
    with pytest.raises(UnsupportedWeightsError, match=r"sparse.*to_dense\(\)"):
        held["graph"].load()
