"""Nested U-Nets whose names do not place their nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.candidates import far, opened
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)))


class Nested(nn.Module):
    """Three levels: the encoder, and then the other nodes column by column."""

    def __init__(self, transposed: bool) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = Block(3, 4), Block(4, 8), Block(8, 16)
        self.ups, self.others = nn.ModuleList(), nn.ModuleList()
        for width, below, column in ((8, 16, 1), (4, 8, 1), (4, 8, 2)):
            up = nn.ConvTranspose2d(below, width, 2, 2)
            self.ups.append(up if transposed else nn.Upsample(scale_factor=2))
            self.others.append(Block(column * width + (width if transposed else below), width))
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.down1(x)
        two = self.down2(functional.max_pool2d(one, 2))
        three = self.bottom(functional.max_pool2d(two, 2))
        again = self.others[0](torch.cat([two, self.ups[0](three)], 1))
        first = self.others[1](torch.cat([one, self.ups[1](two)], 1))
        answer = self.others[2](torch.cat([one, first, self.ups[2](again)], 1))
        head: torch.Tensor = self.out(answer)
        return head


@pytest.mark.parametrize("transposed", [False, True])
def test_channels_place_the_nodes(transposed: bool, tmp_path: Path) -> None:
    network = Nested(transposed).eval()
    space = opened(network, tmp_path)
    given = {} if transposed else {"resize": "nearest"}
    assert far(space, network, join="skip-up", **given) < 1e-4


class Rows(nn.Module):
    """Four levels of one convolution each: in a row, inputs grow as those of a dense block do."""

    def __init__(self, listed: bool) -> None:
        super().__init__()
        wide = (4, 8, 16, 32)
        named, rows = nn.ModuleDict(), [nn.ModuleList() for _ in wide]
        self.at: dict[tuple[int, int], nn.Module] = {}
        for row, width in enumerate(wide):
            for column in range(4 - row):
                inputs = column * width + wide[row + 1] if column else (3, *wide)[row]
                layer = nn.Conv2d(inputs, width, 3, padding=1)
                node = nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU())
                self.at[row, column] = node
                named[f"{row}_{column}"] = node
                rows[row].append(node)
        self.nodes = nn.ModuleList(rows) if listed else named
        self.out = nn.Conv2d(4, 2, 1)

    def node(self, row: int, column: int, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.at[row, column](x)
        return answer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [[self.node(0, 0, x)]]
        for row in range(1, 4):
            rows.append([self.node(row, 0, functional.max_pool2d(rows[row - 1][0], 2))])
        for column in range(1, 4):
            for row in range(4 - column):
                below = functional.interpolate(rows[row + 1][column - 1], scale_factor=2.0)
                rows[row].append(self.node(row, column, torch.cat([*rows[row], below], 1)))
        head: torch.Tensor = self.out(rows[0][3])
        return head


@pytest.mark.parametrize("listed", [False, True])
def test_a_row_of_single_convolutions_is_no_dense_block(listed: bool, tmp_path: Path) -> None:
    network = Rows(listed).eval()
    space = opened(network, tmp_path)
    assert far(space, network, join="skip-up", resize="nearest") < 1e-4
