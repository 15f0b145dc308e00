"""What becomes of raw maps: each output gets its own activation."""

from __future__ import annotations

from dataclasses import replace

import torch
from support.networks import Milesial, save_as

from napari_segnet.checkpoint import Output
from napari_segnet.engines.torch import identify
from napari_segnet.engines.torch.dry import activated

PLAIN = {
    "none": lambda x: x,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: x.softmax(1),
    "tanh": torch.tanh,
}


def outputs_of(*parts):
    return tuple(
        Output(role="other", channels=channels, activation=activation)
        for activation, channels in parts
    )


def test_each_output_has_its_own_activation_beside_any_neighbour(tmp_path):
    module = Milesial(channels=1, classes=1, width=3, depth=1)
    checkpoint = identify(save_as(module, tmp_path / "network.pth", "bare"))
    parts = [("sigmoid", 2), ("sigmoid", 1), ("softmax", 2), ("softmax", 3), ("softmax", 2)]
    parts += [("tanh", 1), ("tanh", 1), ("none", 1), ("none", 2), ("sigmoid", 1)]
    raw = torch.randn(2, sum(n for _, n in parts), 5, 7, generator=torch.manual_seed(3))
    split = raw.split([n for _, n in parts], 1)
    right = torch.cat([PLAIN[name](x) for (name, _), x in zip(parts, split, strict=True)], 1)
    checkpoint = replace(checkpoint, outputs=outputs_of(*parts))
    torch.testing.assert_close(activated(checkpoint, raw), right, rtol=0, atol=1e-6)
    for part, x in zip(parts, split, strict=True):
        checkpoint = replace(checkpoint, outputs=outputs_of(part))
        assert torch.equal(activated(checkpoint, x.contiguous()), PLAIN[part[0]](x.contiguous()))
