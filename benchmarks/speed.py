"""Seconds of our ``predict()`` beside MONAI's sliding window and the bare network.

::

    python benchmarks/speed.py [--network NAME|FILE] [--device cpu] [--repeat 3] [--quick]

Two networks: the built-in one, and a U-Net of 7.8 million parameters (the shape of
milesial/Pytorch-UNet with half its widths, random weights). Two images: 2048 x 2048 with
automatic tiles, 4096 x 4096 with tiles of 1024 pixels. Three contenders take turns, so that
a busy machine is busy for all of them, and the medians are compared:

* ours: ``predict()`` from 8-bit pixels to probabilities: percentiles, normalisation, tiles
  with exact halos, activation, stitching;
* MONAI: ``sliding_window_inference`` (windows of 512 pixels, overlap 0.25, Gaussian weights)
  of the same network in plain torch, from a tensor that is normalised already;
* raw: the fastest way found to push that tensor through the network and nothing else, of
  plain, channels last, fused, and both; of the whole image, or piece by piece without any
  overlap (whose seams are wrong).
"""

from __future__ import annotations

import argparse
import os
import sys

# Before torch is imported; results on more threads say less of the code.
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai.inferers import sliding_window_inference  # noqa: E402
from torch import nn  # noqa: E402

import napari_segnet as sn  # noqa: E402
from napari_segnet.engines.torch import family_of  # noqa: E402
from napari_segnet.engines.torch.fast import fast_copy  # noqa: E402


class UNet(nn.Module):
    """The shape of milesial/Pytorch-UNet, written in its key names."""

    def __init__(self, channels: int = 1, classes: int = 2, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(5)]
        self.inc = _named(double_conv=_convs(channels, width))
        for i in range(1, 5):
            block = _named(double_conv=_convs(widths[i - 1], widths[i]))
            self.add_module(f"down{i}", _named(maxpool_conv=nn.Sequential(nn.MaxPool2d(2), block)))
            deep, wide = widths[5 - i], widths[4 - i]
            up = nn.ConvTranspose2d(deep, wide, 2, stride=2)
            self.add_module(f"up{i}", _named(up=up, conv=_named(double_conv=_convs(deep, wide))))
        self.outc = _named(conv=nn.Conv2d(width, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.inc.double_conv(x)]
        for i in range(1, 5):
            pool, block = getattr(self, f"down{i}").maxpool_conv
            skips.append(block.double_conv(pool(skips[-1])))
        x = skips.pop()
        for i in range(1, 5):
            level = getattr(self, f"up{i}")
            x = level.conv.double_conv(torch.cat([skips.pop(), level.up(x)], dim=1))
        return self.outc.conv(x)


def _named(**layers: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module


def _convs(inputs: int, outputs: int) -> nn.Sequential:
    def one(a: int) -> list[nn.Module]:
        conv = nn.Conv2d(a, outputs, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    return nn.Sequential(*one(inputs), *one(outputs))


@dataclass(frozen=True)
class Case:
    """One network on one image."""

    name: str
    checkpoint: sn.Checkpoint
    make: Callable[[], nn.Module]
    edge: int
    tile_px: tuple[int, ...]


def networks(
    name: str, width: int, folder: Path
) -> dict[str, tuple[sn.Checkpoint, Callable[[], nn.Module]]]:
    """Return both networks: as a file that is recognised, and what makes it in plain torch."""
    built_in = sn.identify(name)
    state = sn.load(built_in, "cpu").module.state_dict()

    def plain() -> nn.Module:
        module = family_of(built_in).build(built_in)
        module.load_state_dict(state)
        return module

    def large() -> nn.Module:
        torch.manual_seed(0)
        return UNet(width=width)

    torch.save(large().state_dict(), folder / "unet.pth")
    return {"built-in": (built_in, plain), "U-Net 32": (sn.identify(folder / "unet.pth"), large)}


def picture(edge: int) -> np.ndarray:
    """Return 8-bit pixels ``(y, x)``: bright spots and noise."""
    rng = np.random.default_rng(edge)
    pixels = rng.normal(30, 6, (edge, edge)).astype(np.float32)
    for y, x in rng.integers(8, edge - 8, (edge * edge // 4000, 2)):
        pixels[y - 8 : y + 8, x - 8 : x + 8] += 90
    return np.clip(pixels, 0, 255).astype(np.uint8)


# ---- The contenders: each returns a function without arguments ----


def ours(case: Case, pixels: np.ndarray, device: str) -> Callable[[], object]:
    image = sn.Image(data=pixels, axes="yx")
    settings = sn.PredictSettings(device=device, tile_px=case.tile_px)
    return lambda: sn.run(sn.predict(case.checkpoint, image, settings))


def monai(
    case: Case, tensor: torch.Tensor, roi: int, windows: int, half: bool
) -> Callable[[], object]:
    module = _fresh(case).to(tensor.device)

    def infer() -> object:
        with torch.autocast(tensor.device.type, torch.float16, enabled=half):
            return sliding_window_inference(
                tensor, (roi, roi), windows, module, overlap=0.25, mode="gaussian"
            ).cpu()

    return infer


def raw(
    case: Case, tensor: torch.Tensor, fused: bool, last: bool, piece: int, half: bool
) -> Callable[[], object]:
    module = _fresh(case).to(tensor.device)
    if fused:
        # Without our bands: only layers that are joined.
        module = fast_copy(module, "none")
    layout = torch.channels_last if last else torch.contiguous_format
    module = module.to(memory_format=layout)
    edge = tensor.shape[-1]
    parts = [
        tensor[..., y : y + piece, x : x + piece].contiguous(memory_format=layout)
        for y in range(0, edge, piece)
        for x in range(0, edge, piece)
    ]

    def forward() -> object:
        with torch.autocast(tensor.device.type, torch.float16, enabled=half):
            return [module(part).cpu() for part in parts]

    return forward


def _fresh(case: Case) -> nn.Module:
    return case.make().eval().requires_grad_(False)


# ---- Timing ----


def seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    with torch.inference_mode():
        action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def fastest_raw(
    case: Case, tensor: torch.Tensor, halves: tuple[bool, ...]
) -> tuple[str, Callable[[], object]]:
    """Try every way once to find layout and precision, then the size of the pieces."""
    edge = tensor.shape[-1]
    small = tensor[..., : min(edge, 1024), : min(edge, 1024)]
    ways = [
        (fuse, last, half) for fuse in (False, True) for last in (False, True) for half in halves
    ]

    def trial(way: tuple[bool, bool, bool]) -> float:
        action = raw(case, small, way[0], way[1], small.shape[-1], way[2])
        return min(seconds(action) for _ in range(3))

    fused, last, half = min(ways, key=trial)
    sizes = [size for size in (edge, edge // 2, edge // 4) if size >= min(edge, 512)]
    by_size: dict[int, float] = {}
    for size in sizes:
        try:
            by_size[size] = seconds(raw(case, tensor, fused, last, size, half))
        except (RuntimeError, MemoryError):  # the whole may be too large for the memory
            continue
    size = min(by_size, key=lambda s: by_size[s])
    words = ["fused"] * fused + ["channels last"] * last + ["fp16"] * half or ["plain"]
    words.append("whole" if size == edge else f"pieces of {size}")
    return ", ".join(words), raw(case, tensor, fused, last, size, half)


def best_monai(
    case: Case, tensor: torch.Tensor, roi: int, halves: tuple[bool, ...]
) -> Callable[[], object]:
    """Try one and four windows at a time, in each precision."""
    small = tensor[..., : 2 * roi, : 2 * roi]

    def trial(way: tuple[int, bool]) -> float:
        return min(seconds(monai(case, small, roi, *way)) for _ in range(2))

    return monai(case, tensor, roi, *min(((n, h) for n in (1, 4) for h in halves), key=trial))


def compare(case: Case, device: str, repeat: int, roi: int) -> dict[str, float]:
    """Print a row, and return the medians."""
    pixels = picture(case.edge)
    tensor = torch.from_numpy(pixels.astype(np.float32) / 255)[None, None].to(device)
    halves = (False, True) if device.startswith("cuda") else (False,)
    way, bare = fastest_raw(case, tensor, halves)
    contenders = {
        "ours": ours(case, pixels, device),
        "MONAI": best_monai(case, tensor, roi, halves),
        "raw": bare,
    }
    seconds(contenders["ours"])  # the network is loaded and its speed known from now on
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, action in contenders.items():
            times[name].append(seconds(action))
    medians = {name: statistics.median(values) for name, values in times.items()}
    tiles = "automatic" if not case.tile_px else f"tile_px={case.tile_px[0]}"
    print(
        f"{case.name:9} {case.edge:5}² {tiles:13} {medians['ours']:8.3f} {medians['MONAI']:8.3f} "
        f"{medians['raw']:8.3f}   {medians['MONAI'] / medians['ours']:6.2f}x faster "
        f"{medians['ours'] / medians['raw']:7.2f}x as long   {way}",
        flush=True,
    )
    return medians


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=("built-in", "U-Net 32"))
    parser.add_argument("--quick", action="store_true", help="tiny images: does it run at all?")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    sizes = ((2048, ()), (4096, (1024,))) if not args.quick else ((64, ()), (128, (64,)))
    print(f"{args.device}, {THREADS} threads, torch {torch.__version__}, medians of {args.repeat}")
    print(
        f"{'network':9} {'image':>6} {'tiles':13} {'ours s':>8} {'MONAI s':>8} {'raw s':>8}   "
        f"{'than MONAI':>14} {'as raw':>16}   the fastest raw way"
    )
    with tempfile.TemporaryDirectory() as folder:
        found = networks(args.network, 4 if args.quick else 32, Path(folder))
        for name, (checkpoint, make) in found.items():
            if args.only not in (None, name):
                continue
            for edge, tile_px in sizes:
                case = Case(name, checkpoint, make, edge, tile_px)
                compare(case, args.device, args.repeat, roi=32 if args.quick else 512)
    return 0


if __name__ == "__main__":
    sys.exit(main())
