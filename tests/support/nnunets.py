"""Training folders of nnU-Net, and its arithmetic in a few lines of numpy, to compare with."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.transform import resize
from tests.support.library_networks import nnunet, randomised
from tests.support.tutorials import Taught

LABELS = {"background": 0, "liver": 1, "tumour": 2}
FIGURES = {"mean": 90.0, "std": 30.0, "percentile_00_5": 20.0, "percentile_99_5": 170.0}


def networks(ndim: int, count: int = 1) -> list[torch.nn.Module]:
    """Return networks of two channels and three answers, each as if trained on another fold."""
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(randomised(Taught(partial(nnunet, ndim=ndim))))
    return made


def plans(ndim: int, **changes: Any) -> dict[str, Any]:
    """Return plans of one configuration; ``order`` is its ``transpose_forward``."""
    order = changes.pop("order", [0, 1, 2])
    own = {
        "patch_size": [4, 16, 16][-ndim:],
        "spacing": [3.0, 1.0, 1.0][-ndim:],
        "normalization_schemes": ["ZScoreNormalization", "CTNormalization"],
        "use_mask_for_norm": [True, False],
        **changes,
    }
    return {
        "dataset_name": "Dataset001_Test",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": order,
        "transpose_backward": [order.index(axis) for axis in range(3)],
        "foreground_intensity_properties_per_channel": {"0": FIGURES, "1": FIGURES},
        "configurations": {"own": own},
    }


def training(
    folder: Path,
    modules: list[torch.nn.Module],
    said: dict[str, Any],
    dataset: dict[str, Any] | None = None,
    mirror: tuple[int, ...] | None = None,
    name: str = "checkpoint_final.pth",
) -> Path:
    """Write a folder as a training leaves it."""
    dataset = dataset or {"labels": LABELS, "channel_names": {"0": "T1", "1": "CT"}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(said))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for number, module in enumerate(modules):
        (folder / f"fold_{number}").mkdir(exist_ok=True)
        arguments = {"plans": said, "configuration": "own", "dataset_json": dataset}
        state = {
            "network_weights": module.state_dict(),
            "init_args": arguments,
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": mirror,
        }
        torch.save(state, folder / f"fold_{number}" / name)
    return folder


def answer(
    modules: list[torch.nn.Module],
    said: dict[str, Any],
    pixels: np.ndarray,
    spacing: tuple[float, float, float],
    mirror: tuple[int, ...] = (),
    regions: tuple[int, ...] = (),
) -> np.ndarray:
    """Return labels ``(z, y, x)`` as nnU-Net makes them of ``(c, z, y, x)``."""
    own, order = said["configurations"]["own"], said["transpose_forward"]
    data = pixels.transpose(0, *(1 + axis for axis in order)).astype(np.float32)
    have = [spacing[axis] for axis in order]
    want = [have[0]] * (3 - len(own["spacing"])) + own["spacing"]
    mask = ndimage.binary_fill_holes((data != 0).any(0))
    box = ndimage.find_objects(mask.astype(int))[0]
    whole, data, mask = data.shape[1:], data[(slice(None), *box)].copy(), mask[box]
    for number, scheme in enumerate(own["normalization_schemes"]):
        one = data[number]
        if scheme == "ZScoreNormalization":
            inside = mask if own["use_mask_for_norm"][number] else np.ones_like(mask)
            one[inside] = (one[inside] - one[inside].mean()) / max(one[inside].std(), 1e-8)
        elif scheme == "CTNormalization":
            low, high = FIGURES["percentile_00_5"], FIGURES["percentile_99_5"]
            data[number] = (one.clip(low, high) - FIGURES["mean"]) / FIGURES["std"]
        elif scheme == "RescaleTo01Normalization":
            data[number] = (one - one.min()) / (one.max() - one.min())
        elif scheme == "RGBTo01Normalization":
            data[number] = one / 255
    small = data.shape[1:]
    lengths = [round(n * a / b) for n, a, b in zip(small, have, want, strict=True)]
    data = _resampled(data, lengths, 3, have, want)
    logits = np.zeros((3, *data.shape[1:]), np.float16)  # as there
    for one in modules:
        logits += _sliding(one, data, own["patch_size"], mirror)
    logits /= len(modules)
    logits = _resampled(logits, small, 1, want, have)
    if regions:
        found = np.zeros(small, int)
        for channel, number in zip(logits, regions, strict=True):
            found[channel > 0] = number
    else:
        found = logits.argmax(0)
    labels = np.zeros(whole, int)
    labels[box] = found
    return labels.transpose(said["transpose_backward"])


def _resampled(data: np.ndarray, lengths: Any, order: int, have: Any, want: Any) -> np.ndarray:
    if list(data.shape[1:]) == list(lengths):
        return data
    flat = [one for one in (have, want) if max(one) / min(one) > 3]
    longest = [a for a in range(3) if flat and flat[0][a] == max(flat[0])]
    rows = []
    for one in data.astype(float):
        if len(longest) != 1:
            rows.append(resize(one, lengths, order, mode="edge", anti_aliasing=False))
            continue
        axis = longest[0]
        plane = [n for a, n in enumerate(lengths) if a != axis]
        many = [resize(p, plane, order, mode="edge", anti_aliasing=False)
                for p in np.moveaxis(one, axis, 0)]  # fmt: skip
        step = one.shape[axis] / lengths[axis]
        near = [min(int((n + 0.5) * step), one.shape[axis] - 1) for n in range(lengths[axis])]
        rows.append(np.stack([many[n] for n in near], axis))
    return np.stack(rows).astype(data.dtype)


def _sliding(module: torch.nn.Module, data: np.ndarray, edge: list[int], mirror: Any) -> np.ndarray:
    planes = len(edge) == 2
    full = [1] * planes + edge
    lack = [max(0, e - n) for e, n in zip(full, data.shape[1:], strict=True)]
    padded = np.pad(data, [(0, 0), *((n // 2, n - n // 2) for n in lack)])
    bell = np.zeros(edge)
    bell[tuple(e // 2 for e in edge)] = 1
    bell = ndimage.gaussian_filter(bell, [e / 8 for e in edge], 0, mode="constant")
    bell = (bell / bell.max() * 10).astype(np.float16)
    bell[bell == 0] = bell[bell > 0].min()
    starts = []
    for length, e in zip(padded.shape[1:], full, strict=True):
        count = length if e == 1 else int(np.ceil((length - e) / (e / 2))) + 1
        stride = (length - e) / max(count - 1, 1)
        starts.append([round(stride * n) for n in range(count)])
    total = np.zeros((3, *padded.shape[1:]), np.float16)
    weight = np.zeros(padded.shape[1:], np.float16)
    flips = [f for n in range(len(mirror) + 1) for f in itertools.combinations(mirror, n)]
    for place in itertools.product(*starts):
        box = tuple(slice(a, a + e) for a, e in zip(place, full, strict=True))
        x = torch.from_numpy(padded[(slice(None), *box)].astype(np.float32))[None]
        x = x[:, :, 0] if planes else x
        with torch.no_grad():
            dims = [[axis + 2 for axis in one] for one in flips]
            answers = [torch.flip(module(torch.flip(x, d)), d) for d in dims]
        found = np.mean([one[0].numpy() for one in answers], 0) * bell.astype(np.float32)
        total[(slice(None), *box)] += found.reshape(3, *full)
        weight[box] += bell.reshape(full)
    inside = tuple(slice(n // 2, n // 2 + m) for n, m in zip(lack, data.shape[1:], strict=True))
    return (total / weight)[(slice(None), *inside)]
