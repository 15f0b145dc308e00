"""No edit that leaves no trace in names and shapes opens wrong without a mark."""

from __future__ import annotations

import pytest
import torch
from support.unets.draw import KINDS, draw, write
from support.unets.judge import judge, opened
from support.unets.mutated import EDITS

NORMED = next(kind for kind in KINDS if kind.name.endswith("transposed 2×2"))
SEEDS = (3, 8)


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", EDITS)
def test_what_is_edited_without_a_trace_is_marked(name, seed, tmp_path):
    plain = draw(seed, (NORMED,), taught=False)
    case = draw(seed, (NORMED,), taught=False, edit=EDITS[name])
    assert case.net.state_dict().keys() == plain.net.state_dict().keys()
    assert not torch.allclose(case.raw, plain.raw, atol=0.01)
    verdict = judge(
        opened(write(case, tmp_path / "edited.pth", "bare")), case.batch, case.raw, case.apart,
        case.facts,
    )  # fmt: skip
    assert not verdict.silently_wrong
    assert verdict.false_claims == ()
