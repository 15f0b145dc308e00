"""A file, a picture, labels: the same pixels as torchvision's pasted masks, painted by score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.maskrcnns import calibrated
from support.networks import pictures
from torch.nn import BatchNorm2d
from torchvision.ops import FrozenBatchNorm2d

import napari_segnet as sn

SCORE = 0.3
SIZE = (96, 128)
LIMITS = {"rpn_pre_nms_top_n_test": 200, "rpn_post_nms_top_n_test": 200}
TOLD = {"most_proposals": 200, "most_detections": 60}
BUILDS: dict[str, dict[str, Any]] = {
    "version 1": {},
    "version 2": {
        "rpn_layers": 2,
        "box_convs": (40, 24),
        "box_fcs": (36,),
        "head_norm": BatchNorm2d,
    },
    "MobileNet": {
        "mobilenet": "mobilenet_v3_large",
        "sizes": ((32, 64, 128, 256, 512),) * 3,
        "norm": FrozenBatchNorm2d,
    },
}
Labels = npt.NDArray[np.int32]


def painted(module: Any, rgb: torch.Tensor) -> Labels:
    """Return what torchvision's own answer comes to: masks of full size, the surest on top."""
    module.transform.min_size, module.transform.max_size = (min(SIZE),), 10_000
    with torch.no_grad():
        (answer,) = module([rgb])
    labels = np.zeros(SIZE, np.int32)
    masks, scores = answer["masks"].numpy(), answer["scores"].numpy()
    for k in reversed(range(len(scores))):  # they come with the surest first
        if scores[k] >= SCORE:
            labels[masks[k, 0] >= 0.5] = k + 1
    return labels


def shared(one: Labels, two: Labels) -> float:
    """Return the part of the pixels that agree; objects are paired where they share most."""
    pairs, counts = np.unique(np.stack([one.ravel(), two.ravel()]), axis=1, return_counts=True)
    taken: set[tuple[int, int]] = {(0, 0)}
    for a, b in pairs.T[np.argsort(-counts)].tolist():
        if a and b and not any(a == p or b == q for p, q in taken):
            taken.add((a, b))
    agree = [tuple(pair) in taken for pair in pairs.T.tolist()]
    return float(counts[agree].sum() / one.size)


def both(folder: Path, classes: int, seed: int, how: dict[str, Any]) -> tuple[Any, Labels]:
    """Return our prediction from a file, and torchvision's painted labels."""
    module = calibrated(seed=seed, classes=classes, **LIMITS, **how)
    path = folder / "network.pth"
    torch.save(module.state_dict(), path)
    # One of those that it was calibrated on: on others a random MobileNet grows beyond measure.
    pixels = (255 * pictures(2, 3, SIZE, seed=seed)[0]).round().to(torch.uint8)
    image = sn.Image(data=pixels.permute(1, 2, 0).numpy(), axes="yxc", name="rgb", rgb=True)
    prediction = sn.run(
        sn.predict(sn.identify(path, TOLD), image, sn.PredictSettings(device="cpu"))
    )
    return prediction, painted(module, pixels / 255)


@pytest.mark.sample(2)
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (5, 1), (91, 2)])
def test_labels_are_those_of_pasted_masks(
    build: str, classes: int, seed: int, tmp_path: Path
) -> None:
    prediction, expected = both(tmp_path, classes, seed, BUILDS[build])
    assert len(np.unique(expected)) > 9, "torchvision finds next to nothing"
    # Their painting has no second suppression, and ours none where nms is 1.
    made = sn.run(sn.label(prediction, sn.LabelSettings(score=SCORE, nms=1.0)))
    assert shared(made.labels, expected) >= 0.995


@pytest.mark.sample(1)
@pytest.mark.parametrize("wrong", [{"mask_threshold": 0.6}, {"score": 0.8}, {"nms": 0.1}])
def test_other_settings_are_other_pixels(wrong: dict[str, float], tmp_path: Path) -> None:
    """The comparison can fail."""
    prediction, expected = both(tmp_path, 2, 0, {})
    how = sn.LabelSettings(**{"score": SCORE, "nms": 1.0, **wrong})
    assert shared(sn.run(sn.label(prediction, how)).labels, expected) < 0.99
