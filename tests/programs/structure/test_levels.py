"""Which convolutions stand at which level, and what dilations of a chain are tried."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.programs.structure import Space, read_structure
from napari_segnet.programs.structure._branches import doublings


def space_of(network: nn.Module, path: Path) -> Space:
    torch.save(network.state_dict(), path)
    return read_structure(open_weights(path)[0])


class Short(nn.Module):
    """Blocks of two convolutions, and one step up fewer than down."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        widths = (3, first, second, 16, 32)
        for at, (before, after) in enumerate(pairwise(widths), 1):
            setattr(self, f"enc{at}", self.block(before, after))
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.dec2 = self.block(32, 16)
        self.up1 = nn.ConvTranspose2d(16, second, 2, 2)
        self.dec1 = self.block(2 * second, second)
        self.out = nn.Conv2d(second, 2, 1)

    @staticmethod
    def block(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
        )  # fmt: skip


def test_a_first_level_of_two_widths_is_no_likelier_than_a_smaller_answer(tmp_path: Path) -> None:
    widening, even = (space_of(Short(a, 8), tmp_path / "net.pth") for a in (4, 8))

    def lead(space: Space) -> float:
        best: dict[int, float] = {}
        for one in space.layouts:
            best.setdefault(int(one[0]), space.candidate(one, {}).prior)
        return best[3] - best[4]

    assert lead(widening) < 1
    assert lead(even) > 4


def test_a_smaller_answer_is_copied_pixel_by_pixel_first(tmp_path: Path) -> None:
    space = space_of(Short(4, 8), tmp_path / "net.pth")
    half = next(one for one in space.layouts if one.startswith("4-levels-2-skips"))
    one = space.candidate(half, {})
    assert one.choices["output_resize"] == one.open["output_resize"][0] == "nearest"


def test_dilations_double_from_any_layer_on_and_may_end_at_one() -> None:
    assert doublings(3) == ("1,2,4", "1,2,1", "1,1,2")
    assert "1,1,2,4,8,16,1" in doublings(7)
    assert len(set(doublings(9))) == len(doublings(9))
    assert all(len(one.split(",")) == 9 for one in doublings(9))


def test_a_chain_is_more_often_dilated_than_a_lowest_level(tmp_path: Path) -> None:
    layers: list[nn.Module] = []
    for before, after in ((1, 8), (8, 8), (8, 8), (8, 8)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    space = space_of(nn.Sequential(*layers, nn.Conv2d(8, 2, 1)), tmp_path / "net.pth")
    chain = next(one for one in space.layouts if one.startswith("1-levels"))
    plain, dilated = (space.candidate(chain, {"dilation": v}).prior for v in ("1", "1,1,2,1"))
    assert 0 < plain - dilated < 3
