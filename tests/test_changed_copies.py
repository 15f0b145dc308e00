"""Copies of networks that are known by name, with a forward that is edited without a trace."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.forks import JvanvugtFork, MateuszbudaFork, MilesialFork
from support.networks import calibrate
from support.unets.judge import judge, opened

import napari_segnet as sn

COPIES = {
    "milesial-unet": lambda: MilesialFork(width=4, depth=3),
    "mateuszbuda-unet": lambda: MateuszbudaFork(width=4),
    "jvanvugt-unet": lambda: JvanvugtFork(
        padding=True, batch_norm=True, depth=3, width=4, classes=1
    ),
}
PLACE = {"milesial-unet": 0, "mateuszbuda-unet": 1, "jvanvugt-unet": 1}
"""Where the skip connection stands in a join."""


def smoothed(skip):
    return F.interpolate(F.avg_pool2d(skip, 2), size=skip.shape[2:])


EDITS = {
    "smoothed": smoothed,
    "halved": lambda skip: 0.5 * skip,
    "negated": lambda skip: -skip,
    "mirrored": lambda skip: skip.flip(-1),
    "dropped": torch.zeros_like,
    "detail": lambda skip: skip - smoothed(skip),
}
"""By what is done to each skip connection before it is joined."""


@pytest.mark.parametrize(
    ("family", "what"),
    [
        pytest.param(family, what, marks=[] if (n + m) % 6 == 0 else pytest.mark.long)
        for n, family in enumerate(COPIES)
        for m, what in enumerate(EDITS)
    ],
)
def test_a_changed_way_through_forward_is_marked(family, what, tmp_path, monkeypatch):
    join, place = torch.cat, PLACE[family]

    def changed(parts, dim=0):
        parts = list(parts)
        if len(parts) == 2 and parts[0].ndim == 4:
            parts[place] = EDITS[what](parts[place])
        return join(parts, dim)

    torch.manual_seed(7)
    module = COPIES[family]()
    batch = torch.rand(1, next(module.parameters()).shape[1], 64, 64)
    module.raw = True
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(torch, "cat", changed)
        calibrate(module, seed=5)
        raw = module(batch)
    path = tmp_path / "copy.pth"
    torch.save(module.state_dict(), path)
    before = sn.identify(path)
    assert {before.known[n].source for n in ("graph", "halo_px", "exact", "size")} == {"assumed"}
    verdict = judge(opened(path), batch, raw, 0.0, {"forward": what})
    assert verdict.place is None and not verdict.silently_wrong
    assert verdict.opened.known["graph"] == "assumed"
    assert verdict.opened.known["halo_px"] == "assumed"
