"""Layouts of networks that many repositories copied: channels tell more than the order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.networks import calibrate
from support.unets.judge import judge, opened
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.programs.structure import read_structure
from napari_segnet.programs.structure._parts import Part


def parts_of(network: nn.Module, folder: Path) -> tuple[Part, ...]:
    torch.save(network.state_dict(), folder / "network.pth")
    space = read_structure(open_weights(folder / "network.pth")[0])
    return space.readings[space.layouts[0]].parts


class NormAndActivation(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(x))


class Unnamed(nn.Module):
    """A block whose shortcut no name tells."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.b1, self.b2 = NormAndActivation(inputs), NormAndActivation(outputs)
        self.c1 = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride)
        self.c2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.s = nn.Conv2d(inputs, outputs, 1, stride=stride)
        order = {name: self._modules.pop(name) for name in ("b2", "c2", "s")}
        self._modules |= {name: order[name] for name in ("b2", "c2", "s")}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.c2(self.b2(self.c1(self.b1(x)))) + self.s(x)
        return answer


class Preactivated(nn.Module):
    """A residual U-Net with norms before the convolutions, and a first block that lies open."""

    def __init__(self) -> None:
        super().__init__()
        self.c11, self.br1 = nn.Conv2d(3, 8, 3, padding=1), NormAndActivation(8)
        self.c12, self.c13 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.r2, self.r3 = Unnamed(8, 16, 2), Unnamed(16, 32, 2)
        self.d2, self.d1 = Unnamed(48, 16), Unnamed(24, 8)
        self.output = nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def up(low: torch.Tensor) -> torch.Tensor:
            mode = {"mode": "bilinear", "align_corners": True}
            return functional.interpolate(low, scale_factor=2, **mode)

        one = self.c12(self.br1(self.c11(x))) + self.c13(x)
        two = self.r2(one)
        x = self.d2(torch.cat([up(self.r3(two)), two], 1))
        answer: torch.Tensor = self.output(self.d1(torch.cat([up(x), one], 1)))
        return answer


class Mirrored(nn.Module):
    """A SegNet without modules of its own for the stages."""

    stages = ((3, 8, 8), (8, 16, 16), (16, 32, 32, 32))

    def __init__(self) -> None:
        super().__init__()
        for level, widths in enumerate(self.stages, 1):
            for turn in range(1, len(widths)):
                self._add(f"en{level}{turn}", widths[turn - 1], widths[turn])
        for level, widths in reversed([*enumerate(self.stages, 1)]):
            for turn in range(len(widths) - 1, 0, -1):
                last = (level, turn) == (1, 1)
                self._add(f"de{level}{turn}", widths[turn], 2 if last else widths[turn - 1], last)

    def _add(self, name: str, inputs: int, outputs: int, bare: bool = False) -> None:
        self.add_module(f"conv_{name}", nn.Conv2d(inputs, outputs, 3, padding=1))
        if not bare:
            self.add_module(f"norm_{name}", nn.BatchNorm2d(outputs))

    def _run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = self.get_submodule(f"conv_{name}")(x)
        bare = name == "de11"
        return x if bare else torch.relu(self.get_submodule(f"norm_{name}")(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = []
        for level, widths in enumerate(self.stages, 1):
            for turn in range(1, len(widths)):
                x = self._run(f"en{level}{turn}", x)
            x, place = functional.max_pool2d(x, 2, return_indices=True)
            places.append(place)
        for level, widths in reversed([*enumerate(self.stages, 1)]):
            x = functional.max_unpool2d(x, places.pop(), 2)
            for turn in range(len(widths) - 1, 0, -1):
                x = self._run(f"de{level}{turn}", x)
        return x


class StepUp(nn.Module):
    """Registers its block before its step up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        one, two = (
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.conv = nn.Sequential(one, nn.ReLU(), two, nn.ReLU())
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.conv(torch.cat([skip, self.up(x)], 1))
        return answer


class BlocksFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            one = nn.Conv2d(inputs, outputs, 3, padding=1)
            two = nn.Conv2d(outputs, outputs, 3, padding=1)
            return nn.Sequential(one, nn.ReLU(), two, nn.ReLU())

        self.conv1, self.conv2, self.center = block(1, 8), block(8, 16), block(16, 32)
        self.up_concat2, self.up_concat1 = StepUp(32, 16), StepUp(16, 8)
        self.final = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.conv1(x)
        two = self.conv2(functional.max_pool2d(one, 2))
        x = self.up_concat2(self.center(functional.max_pool2d(two, 2)), two)
        answer: torch.Tensor = self.final(self.up_concat1(x, one))
        return answer


class UnevenEnd(nn.Module):
    """Ends as a LinkNet does whose last convolutions give and take pixels at the edges."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            one = nn.Conv2d(inputs, outputs, 3, padding=1)
            return nn.Sequential(one, nn.BatchNorm2d(outputs), nn.ReLU())

        self.enc1, self.enc2, self.enc3 = block(3, 8), block(8, 16), block(16, 32)
        self.up, self.dec = nn.ConvTranspose2d(32, 16, 2, 2), block(32, 16)
        self.finaldeconv1 = nn.ConvTranspose2d(16, 4, 3, stride=2)
        self.finalconv2, self.finalconv3 = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 1, 2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        two = self.enc2(functional.max_pool2d(self.enc1(x), 2))
        x = torch.relu(self.up(self.enc3(functional.max_pool2d(two, 2))))
        x = torch.relu(self.finaldeconv1(self.dec(torch.cat([x, two], 1))))
        answer: torch.Tensor = self.finalconv3(torch.relu(self.finalconv2(x)))
        return answer


@pytest.mark.parametrize("kind", [Preactivated, Mirrored, BlocksFirst, UnevenEnd])
def test_such_a_network_is_the_first(kind: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    channels = 1 if kind is BlocksFirst else 3
    batch = torch.rand(2, channels, 64, 64)
    module = calibrate(kind(), 3, batch).eval()
    torch.save(module.state_dict(), tmp_path / "network.pth")
    with torch.no_grad():
        raw = module(batch[:1])
    # Of an activation behind a step up, statistics tell.
    found = opened(tmp_path / "network.pth", statistics=kind is UnevenEnd)
    verdict = judge(found, batch[:1], raw, 0.0, {})
    assert verdict.place == 0, verdict.why


def test_a_shortcut_without_a_telling_name_is_told_by_its_channels(tmp_path: Path) -> None:
    found = parts_of(Preactivated(), tmp_path)
    beside = [part.shortcut.layer.name for part in found if part.shortcut]
    assert beside == ["c13", "r2.s", "r3.s", "d2.s", "d1.s"]
    assert all(unit.norm_first for part in found[1:-1] for unit in part.units)


def test_of_blocks_of_one_class_those_that_keep_the_channels_have_a_shortcut_too(
    tmp_path: Path,
) -> None:
    network = Preactivated()
    network.r2b = Unnamed(16, 16)  # type: ignore[assignment]
    order = [*network._modules]
    at = order.index("r3")
    network._modules = {
        name: network._modules[name] for name in (*order[:at], "r2b", *order[at:-1])
    }
    beside = [part.shortcut.layer.name for part in parts_of(network, tmp_path) if part.shortcut]
    assert "r2b.s" in beside


class TwoAnswers(nn.Module):
    """Two convolutions of a pixel behind one another in a module are no shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.end = nn.Sequential()
        self.end.wide, self.end.narrow = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)


def test_what_runs_behind_the_others_is_no_shortcut(tmp_path: Path) -> None:
    assert not any(part.shortcut for part in parts_of(TwoAnswers(), tmp_path))


class AnotherAnswer(nn.Module):
    """A second answer beside the first one, of as many channels, is no shortcut either."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mid = self.block(3, 8), self.block(8, 16)
        self.up, self.dec = nn.ConvTranspose2d(16, 8, 2, 2), self.block(16, 8)
        self.head = nn.Module()
        self.head.wide, self.head.middle = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.head.seg, self.head.edge = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 1)

    def block(self, inputs: int, outputs: int) -> nn.Module:
        one, two = (nn.Conv2d(n, outputs, 3, padding=1) for n in (inputs, outputs))
        return nn.Sequential(one, nn.BatchNorm2d(outputs), nn.ReLU(), two, nn.BatchNorm2d(outputs))


def test_heads_side_by_side_are_no_shortcut(tmp_path: Path) -> None:
    assert not any(part.shortcut for part in parts_of(AnotherAnswer(), tmp_path))


class WrappedAlone(nn.Module):
    """The first convolution of each block is wrapped, and each norm; the second one lies open."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mid = self.block(3, 8), self.block(8, 16)
        self.up, self.dec = nn.ConvTranspose2d(16, 8, 2, 2), self.block(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def block(self, inputs: int, outputs: int) -> nn.Module:
        made, first = nn.Sequential(), nn.Sequential()
        first.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        made.conv1, made.norm1 = first, NormAndActivation(outputs)
        made.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        made.norm2 = NormAndActivation(outputs)
        return made


def test_a_wrapped_norm_belongs_to_the_wrapped_convolution_before_it(tmp_path: Path) -> None:
    units = [unit for part in parts_of(WrappedAlone(), tmp_path) for unit in part.units]
    normed = {unit.layer.name: unit.norm.name for unit in units if unit.norm}
    assert normed["mid.conv1.conv"] == "mid.norm1.bn"
    assert not any(unit.norm_first for unit in units)


def test_that_the_end_is_uneven_stays_assumed_and_can_be_told(tmp_path: Path) -> None:
    torch.save(UnevenEnd().state_dict(), tmp_path / "network.pth")
    space = read_structure(open_weights(tmp_path / "network.pth")[0])
    first = space.first(1)[0]
    assert first.open["end_padding"] == ("uneven", "same")
    other = space.candidate(first.layout, {**first.choices, "end_padding": "same"})
    assert other.graph != first.graph
