"""Pictures that networks saw: real microscopy, real photographs; norms take their statistics."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from torch import nn

__all__ = ["accumulate", "batch_of", "draw_weights", "sources", "train"]

PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png",
               "coins.png", "grass.png", "gravel.png", "ihc.png", "moon.png",
               "retina.jpg")  # fmt: skip
"""Of those that lie in scikit-image without a download; one that lacks is left out."""
WAYS = ("÷255", "z-score", "min-max", "half")


@functools.cache
def sources(kind: str, data: Path | None) -> tuple[np.ndarray, ...]:
    """Return pictures ``(y, x, 3)`` of 0 to 1: ``nuclei`` of the data, or ``photographs``."""
    import skimage
    from skimage.io import imread

    if kind == "nuclei" and data is not None and (data / "nuclei" / "images").is_dir():
        paths = sorted((data / "nuclei" / "images").iterdir())[:400:10]
    else:
        folder = Path(skimage.__file__).parent / "data"
        paths = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
    found = []
    for path in paths:
        picture = np.asarray(imread(path), dtype=np.float32)[..., :3]
        if picture.ndim == 2 or picture.shape[-1] == 1:
            picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
        most = 65535 if picture.max() > 255 else 255
        found.append(picture / most)
    return tuple(found)


def batch_of(
    rng: np.random.Generator, pictures: tuple[np.ndarray, ...], way: str, channels: int,
    shape: tuple[int, ...], count: int,
) -> torch.Tensor:  # fmt: skip
    """Return crops ``(n, c, [z,] y, x)`` float32, prepared in one of ``WAYS``."""
    made = []
    while len(made) < count:
        picture = pictures[int(rng.integers(len(pictures)))]
        every = int(rng.choice([1, 1, 2]))
        picture = picture[::every, ::every]
        if min(picture.shape[:2]) < max(shape[-2:]):
            continue
        y, x = (
            int(rng.integers(0, n - m + 1)) for n, m in zip(picture.shape, shape[-2:], strict=False)
        )
        crop = picture[y : y + shape[-2], x : x + shape[-1]]
        if crop.std() < 0.02 and rng.random() < 0.9:
            continue
        crop = np.stack([crop[..., i % 3] for i in range(channels)])
        if channels == 1:
            crop = picture[y : y + shape[-2], x : x + shape[-1]].mean(-1)[None]
        if len(shape) == 3:  # a volume: the same picture, fading out along z
            fade = 0.3 + 0.7 * np.exp(
                -(((np.arange(shape[0]) - shape[0] / 2) / (shape[0] / 3)) ** 2)
            )
            crop = crop[:, None] * fade[None, :, None, None]
        made.append(_prepare(crop, way))
    return torch.from_numpy(np.stack(made).astype(np.float32))


def _prepare(crop, way):
    if way == "z-score":
        return (crop - crop.mean()) / (crop.std() + 1e-6)
    if way == "min-max":
        return (crop - crop.min()) / (np.ptp(crop) + 1e-6)
    return (crop - 0.5) / 0.5 if way == "half" else crop


def draw_weights(module: nn.Module, seed: int) -> None:
    """Give every tensor values as sharp as trained ones."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter):
            continue
        if weight.ndim >= 2:
            back = isinstance(layer, nn.modules.conv._ConvTransposeNd)
            fan = weight[0].numel() if not back else weight.numel() / weight.shape[1]
            if back:
                fan /= float(np.prod(layer.stride))
            weight.data.normal_(0, (2 / fan) ** 0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.data.normal_(0, 0.1, generator=generator)
        elif isinstance(layer, nn.PReLU):
            weight.data.uniform_(0.05, 0.4, generator=generator)
        else:
            weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.normal_(0, 0.3, generator=generator)


def accumulate(module: nn.Module, batches: list[torch.Tensor]) -> None:
    """Let norms take the statistics of these batches, all weighing the same."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [n.momentum for n in norms]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None
    module.train()
    with torch.no_grad():
        for batch in batches:
            module(batch)
    for one, momentum in zip(norms, before, strict=True):
        one.momentum = momentum
    module.eval()


def train(module: nn.Module, batches: list[torch.Tensor], steps: int) -> None:
    """Teach a network what is bright, for a few steps of Adam, as a beginner would."""
    adam = torch.optim.Adam(module.parameters(), lr=3e-3)
    module.train()
    for step in range(steps):
        batch = batches[step % len(batches)]
        raw = module(batch, raw=True)
        wanted = (batch.mean(1, keepdim=True) > batch.mean()).float()
        if raw.shape[2:] != wanted.shape[2:]:
            wanted = nn.functional.interpolate(wanted, raw.shape[2:])
        loss = nn.functional.binary_cross_entropy_with_logits(raw, wanted.expand_as(raw))
        adam.zero_grad()
        loss.backward()
        adam.step()
    module.eval()
