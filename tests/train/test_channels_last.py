"""Modules that are trained in channels-last order."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from napari_segnet.train._channels_last import channels_last, has_dilation


def strided() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 12, 1, stride=2, bias=False),
        nn.Conv2d(12, 4, 1, stride=(1, 3), groups=2),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
    )


@pytest.mark.parametrize("shape", [(1, 3, 24, 24), (2, 3, 61, 90)])
def test_a_module_answers_and_learns_as_before(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = strided().double()
    learned = channels_last(copy.deepcopy(plain))
    answers = []
    for module in (plain, learned):
        image = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        image.requires_grad_()
        answer = module(image)
        (answer**2).sum().backward()
        answers.append((answer, image.grad, *(p.grad for p in module.parameters())))
    for mine, own in zip(*answers, strict=True):
        torch.testing.assert_close(mine, own)
    assert learned.state_dict().keys() == plain.state_dict().keys()


def test_a_dilated_convolution_is_found() -> None:
    assert not has_dilation(strided())
    assert has_dilation(nn.Sequential(strided(), nn.ConvTranspose2d(4, 4, 3, dilation=(1, 2))))


def test_onednn_gets_no_strided_1x1_convolution_to_learn() -> None:
    # With less than 16 channels and AVX-512, it writes behind the end of its memory.
    learned = channels_last(strided())
    strides = [layer.stride for layer in learned]
    assert strides == [(1, 1), (1, 1), (1, 1), (2, 2)]
    assert channels_last(learned) is learned
    assert learned(torch.rand(1, 3, 24, 24)).shape == (1, 4, 6, 2)


@pytest.mark.subprocess
def test_memory_is_whole_after_learning(tmp_path) -> None:
    """Fails without the mend only on Linux with AVX-512; the strides above are looked at on any."""
    script = tmp_path / "learn.py"
    script.write_text(LEARNS)
    guard = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"}
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **guard},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "learned\n"


LEARNS = """
import torch
from torch import nn
from napari_segnet.train._channels_last import channels_last
module = channels_last(nn.Conv2d(8, 12, 1, stride=2))
for _ in range(20):
    image = torch.rand(2, 8, 96, 96).contiguous(memory_format=torch.channels_last)
    module(image.requires_grad_()).sum().backward()
print("learned")
"""
