"""Networks put together from small classes, as repositories write them: each without statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.networks import calibrate
from support.unets.judge import judge, opened, runner
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.programs.structure import read_structure


class Unit(nn.Module):
    """A convolution with its norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))


def pair(inputs: int, outputs: int, *before: nn.Module) -> nn.Sequential:
    return nn.Sequential(*before, Unit(inputs, outputs), Unit(outputs, outputs))


class EndsBare(nn.Module):
    """Blocks have a norm behind the first of two convolutions alone."""

    def __init__(self) -> None:
        super().__init__()

        def block(a: int, b: int) -> nn.Sequential:
            one, two = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1)
            return nn.Sequential(one, nn.ReLU(), nn.BatchNorm2d(b), two, nn.ReLU())

        self.first = block(3, 8)
        self.enc = nn.ModuleList([block(8, 16), block(16, 32)])
        self.ups = nn.ModuleList(
            [nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)]
        )
        self.dec = nn.ModuleList([block(32, 16), block(16, 8)])
        self.head = nn.Conv2d(8, 1, 1)


def test_blocks_whose_last_convolution_has_no_norm_are_whole(tmp_path: Path) -> None:
    torch.save(EndsBare().state_dict(), tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    parts = space.readings[space.layouts[0]].parts
    assert [len(part.units) for part in parts] == [2, 2, 2, 1, 1, 2, 2, 1]


class EndsInSteps(nn.Module):
    """Blocks end in their step up, of which one keeps its channels; each layer has a norm."""

    def __init__(self) -> None:
        super().__init__()

        def normed(layer: nn.Module, width: int) -> tuple[nn.Module, ...]:
            return layer, nn.BatchNorm2d(width), nn.ReLU()

        def block(a: int, b: int, c: int, up: int = 0) -> nn.Sequential:
            layers = normed(nn.Conv2d(a, b, 3, padding=1), b)
            layers += normed(nn.Conv2d(b, c, 3, padding=1), c)
            if up:
                layers += normed(nn.ConvTranspose2d(c, up, 3, 2, 1, output_padding=1), up)
            return nn.Sequential(*layers)

        self.enc1, self.enc2 = block(3, 8, 8), block(8, 16, 16)
        self.bottleneck = block(16, 32, 16, 16)
        self.dec2, self.final = block(32, 16, 16, 8), block(16, 8, 2)


def test_a_step_up_that_keeps_its_channels_is_known_by_others_of_its_number(
    tmp_path: Path,
) -> None:
    torch.save(EndsInSteps().state_dict(), tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    steps = space.found[space.layouts[0]].steps
    parts = space.readings[space.layouts[0]].parts
    assert [len(part.units) for part in parts] == [2, 2, 2, 1, 2, 1, 2]
    assert [step.part for step in steps if step.transposed] == [3, 5]


class UnitsInLists(nn.Module):
    """Poolings stand first in the elements of a list; the last level keeps its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Module()
        self.start.both = pair(3, 8)
        self.down = nn.ModuleList(pair(a, b, nn.MaxPool2d(2)) for a, b in ((8, 16), (16, 16)))
        self.up = nn.ModuleList()
        for a, b in ((32, 8), (16, 8)):
            level = nn.Module()
            level.both = pair(a, b)
            self.up.append(level)
        self.head = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        x = self.start.both(x)
        for level in self.down:
            skips.append(x)
            x = level(x)
        for level in self.up:
            x = functional.interpolate(x, None, 2, "bilinear", align_corners=True)
            x = level.both(torch.cat([x, skips.pop()], 1))
        answer: torch.Tensor = self.head(x)
        return answer


class Ordinals(nn.Module):
    """Blocks of ``first_conv`` and ``second_conv``, which are no transposed convolutions."""

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            for name, one in (("first_conv", inputs), ("second_conv", outputs)):
                layer = nn.Conv2d(one, outputs, 3, padding=1)
                self.add_module(name, nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.second_conv(self.first_conv(x))
            return answer

    def __init__(self) -> None:
        super().__init__()
        self.part1, self.part2 = self.Block(3, 8), self.Block(8, 16)
        self.part3 = self.Block(16, 16)
        self.expand1, self.expand2 = self.Block(32, 8), self.Block(16, 8)
        self.output = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.part1(x)
        two = self.part2(functional.max_pool2d(one, 2))
        x = self.part3(functional.max_pool2d(two, 2))
        x = functional.interpolate(x, None, 2, "bilinear", align_corners=True)
        x = self.expand1(torch.cat([x, two], 1))
        x = functional.interpolate(x, None, 2, "bilinear", align_corners=True)
        x = self.expand2(torch.cat([x, one], 1))
        answer: torch.Tensor = self.output(x)
        return answer


class NarrowedBehind(nn.Module):
    """A bare convolution narrows what a bare transposed one has brought up."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = pair(3, 8), pair(8, 16), pair(16, 32)
        self.up2, self.thin2 = nn.ConvTranspose2d(32, 32, 2, 2), nn.Conv2d(32, 16, 3, padding=1)
        self.dec2 = pair(32, 16)
        self.up1, self.thin1 = nn.ConvTranspose2d(16, 16, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.dec1, self.head = pair(16, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.mid(functional.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.thin2(self.up2(x)), two], 1))
        x = self.dec1(torch.cat([self.thin1(self.up1(x)), one], 1))
        answer: torch.Tensor = self.head(x)
        return answer


class Decoder(nn.Module):
    def __init__(self, heads: bool) -> None:
        super().__init__()
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), pair(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), pair(16, 8)
        self.out_conv = nn.Conv2d(8, 2, 3, padding=1)
        if heads:
            self.out_conv_dp2 = nn.Conv2d(32, 2, 3, padding=1)
            self.out_conv_dp1 = nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, one: torch.Tensor, two: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        answer: torch.Tensor = self.out_conv(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


class Consistent(nn.Module):
    """Decoders beside the main one, as for few labels; or a head at each level."""

    def __init__(self, others: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.inc, self.encoder.down1 = pair(3, 8), pair(8, 16)
        self.encoder.down2 = pair(16, 32)
        for name in ("aux_decoder1", "main_decoder", "aux_decoder2")[not others : 2 + bool(others)]:
            self.add_module(name, Decoder(not others))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.encoder.inc(x)
        two = self.encoder.down1(functional.max_pool2d(one, 2))
        low = self.encoder.down2(functional.max_pool2d(two, 2))
        answer: torch.Tensor = self.main_decoder(one, two, low)
        return answer


def supervised() -> Consistent:
    return Consistent(others=0)


class Unpooling(nn.Module):
    """A small SegNet."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder1, self.encoder2 = pair(3, 8), pair(8, 16)
        self.decoder2 = nn.Sequential(Unit(16, 16), Unit(16, 8))
        self.decoder1, self.classifier = pair(8, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, one = functional.max_pool2d(self.encoder1(x), 2, return_indices=True)
        x, two = functional.max_pool2d(self.encoder2(x), 2, return_indices=True)
        x = self.decoder2(functional.max_unpool2d(x, two, 2))
        answer: torch.Tensor = self.classifier(self.decoder1(functional.max_unpool2d(x, one, 2)))
        return answer


def settled(kind, folder: Path) -> tuple[Path, torch.Tensor, torch.Tensor]:
    """Save a network whose norms saw a batch; return the file, an image and the answer."""
    torch.manual_seed(0)
    batch = torch.rand(2, 3, 64, 64)
    module = calibrate(kind(), 3, batch).eval()
    torch.save(module.state_dict(), folder / "network.pth")
    with torch.no_grad():
        return folder / "network.pth", batch[:1], module(batch[:1])


@pytest.mark.parametrize("kind", [UnitsInLists, Ordinals, NarrowedBehind, Consistent, supervised])
def test_such_a_network_is_the_first(kind, tmp_path: Path) -> None:
    path, image, raw = settled(kind, tmp_path)
    verdict = judge(opened(path, statistics=False), image, raw, 0.0, {})
    assert verdict.place == 0, verdict.why


def test_values_go_back_to_their_places_where_no_skip_connection_is(tmp_path: Path) -> None:
    path, image, raw = settled(Unpooling, tmp_path)
    weights = open_weights(path)[0]
    space = read_structure(weights)
    layout = next(
        one
        for one in space.layouts
        if one.startswith("3-levels-0-skips")
        and "unpooled" in space.candidate(one, {}).open["resize"]
    )
    found = space.candidate(layout, {"resize": "unpooled"})
    tensors = {name: tensor.load() for name, tensor in weights.tensors.items()}
    torch.testing.assert_close(runner(found.graph, tensors)(image), raw, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="max pooling"):
        space.candidate(layout, {"resize": "unpooled", "pooling": "average"})


def test_a_network_with_skip_connections_never_unpools(tmp_path: Path) -> None:
    path, _, _ = settled(UnitsInLists, tmp_path)
    space = read_structure(open_weights(path)[0])
    joined = space.first(1)[0]
    assert joined.choices["join"] != "none"
    assert "unpooled" not in joined.open["resize"]
