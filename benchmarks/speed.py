"""Seconds of our ``predict()`` beside MONAI's sliding window and bare networks.

::

    python benchmarks/speed.py [--network NAME|FILE] [--device cpu] [--repeat 3] [--busy] [--quick]
        [--only NETWORK] [--edge PX] [--columns ours,MONAI,raw,OpenVINO]

Two networks: the built-in one, and a U-Net of 7.8 million parameters (the shape of
milesial/Pytorch-UNet with half its widths, random weights); images of 1024² and 2048² with
automatic tiles, 4096² with tiles of 1024 pixels. And a 3D U-Net on 128³. The contenders take
turns, so that a busy machine is busy for all of them, and the medians are compared:

* ours: ``predict()`` from 8-bit pixels to probabilities: percentiles, normalisation, tiles
  with exact halos, activation, stitching; by the engine that ``auto`` takes once both are measured;
* MONAI: ``sliding_window_inference`` (windows of 512 pixels, 64 in 3D, overlap 0.25, Gaussian
  weights) of the same network in plain torch, from a tensor that is normalised already;
* raw: the fastest way found to push that tensor through the network and nothing else by torch, of
  plain, channels last, fused, and both; of the whole image, or piece by piece without any
  overlap (whose seams are wrong);
* OpenVINO: the same by OpenVINO, the whole or the fastest pieces.

What is not installed is left out. With ``--busy``, a second table is measured beside a process that
computes on one thread all the time.
"""

from __future__ import annotations

import argparse
import os
import sys

# Before torch is imported; results on more threads say less of the code.
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

import importlib.util  # noqa: E402
import multiprocessing  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import napari_segnet as sn  # noqa: E402
from napari_segnet.engines.torch import family_of  # noqa: E402
from napari_segnet.engines.torch.fast import fast_copy  # noqa: E402


class UNet(nn.Module):
    """The shape of milesial/Pytorch-UNet, written in its key names."""

    def __init__(
        self, channels: int = 1, classes: int = 2, width: int = 32, ndim: int = 2, depth: int = 4
    ) -> None:
        super().__init__()
        self.depth = depth
        widths = [width * 2**i for i in range(depth + 1)]
        pool: type[nn.Module] = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        turned: type[nn.Module] = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        plain: type[nn.Module] = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.inc = _named(double_conv=_convs(channels, width, ndim))
        for i in range(1, depth + 1):
            block = _named(double_conv=_convs(widths[i - 1], widths[i], ndim))
            self.add_module(f"down{i}", _named(maxpool_conv=nn.Sequential(pool(2), block)))
            deep, wide = widths[depth + 1 - i], widths[depth - i]
            up, convs = turned(deep, wide, 2, stride=2), _convs(deep, wide, ndim)
            self.add_module(f"up{i}", _named(up=up, conv=_named(double_conv=convs)))
        self.outc = _named(conv=plain(width, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.inc.double_conv(x)]
        for i in range(1, self.depth + 1):
            pool, block = getattr(self, f"down{i}").maxpool_conv
            skips.append(block.double_conv(pool(skips[-1])))
        x = skips.pop()
        for i in range(1, self.depth + 1):
            level = getattr(self, f"up{i}")
            x = level.conv.double_conv(torch.cat([skips.pop(), level.up(x)], dim=1))
        return self.outc.conv(x)


def _named(**layers: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module


def _convs(inputs: int, outputs: int, ndim: int) -> nn.Sequential:
    def one(a: int) -> list[nn.Module]:
        plain: type[nn.Module] = nn.Conv2d if ndim == 2 else nn.Conv3d
        norm: type[nn.Module] = nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d
        return [plain(a, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU(inplace=True)]

    return nn.Sequential(*one(inputs), *one(outputs))


@dataclass(frozen=True)
class Case:
    """One network on one image."""

    name: str
    checkpoint: sn.Checkpoint
    make: Callable[[], nn.Module]
    edge: int
    tile_px: tuple[int, ...]
    roi: int

    @property
    def ndim(self) -> int:
        return self.checkpoint.ndim


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

    def deep() -> nn.Module:
        torch.manual_seed(0)
        return UNet(width=width // 2, ndim=3, depth=3)

    torch.save(large().state_dict(), folder / "unet.pth")
    torch.save(deep().state_dict(), folder / "unet3d.pth")
    return {
        "built-in": (built_in, plain),
        "U-Net 32": (sn.identify(folder / "unet.pth"), large),
        "3D 16": (sn.identify(folder / "unet3d.pth"), deep),
    }


def picture(edge: int, ndim: int = 2) -> np.ndarray:
    """Return 8-bit pixels ``([z,] y, x)``: bright spots and noise."""
    rng = np.random.default_rng(edge)
    pixels = rng.normal(30, 6, (edge,) * ndim).astype(np.float32)
    for middle in rng.integers(8, edge - 8, (edge**ndim // (4000 * 16 ** (ndim - 2)), ndim)):
        pixels[tuple(slice(n - 8, n + 8) for n in middle)] += 90
    return np.clip(pixels, 0, 255).astype(np.uint8)


# ---- The contenders: each returns a function without arguments ----


def ours(case: Case, pixels: np.ndarray, device: str) -> Callable[[], object]:
    image = sn.Image(data=pixels, axes="zyx"[-pixels.ndim :])
    settings = sn.PredictSettings(device=device, tile_px=case.tile_px)
    return lambda: sn.run(sn.predict(case.checkpoint, image, settings))


def monai(
    case: Case, tensor: torch.Tensor, roi: int, windows: int, half: bool
) -> Callable[[], object]:
    from monai.inferers import sliding_window_inference

    module = _fresh(case).to(tensor.device)

    def infer() -> object:
        with torch.autocast(tensor.device.type, torch.float16, enabled=half):
            return sliding_window_inference(
                tensor, (roi,) * case.ndim, windows, module, overlap=0.25, mode="gaussian"
            ).cpu()

    return infer


def raw(
    case: Case, tensor: torch.Tensor, fused: bool, last: bool, piece: int, half: bool
) -> Callable[[], object]:
    module = _fresh(case).to(tensor.device)
    if fused:
        # Without our bands: only layers that are joined.
        module = fast_copy(module, "none")
    own = torch.channels_last if case.ndim == 2 else torch.channels_last_3d
    layout = own if last else torch.contiguous_format
    module = module.to(memory_format=layout)
    parts = [part.contiguous(memory_format=layout) for part in pieces(tensor, piece)]

    def forward() -> object:
        with torch.autocast(tensor.device.type, torch.float16, enabled=half):
            return [module(part).cpu() for part in parts]

    return forward


def openvino(case: Case, tensor: torch.Tensor, piece: int) -> Callable[[], object]:
    from napari_segnet.engines.openvino.convert import converted
    from napari_segnet.engines.openvino.device import compiled, core

    model = core().read_model(converted(case.checkpoint).model)
    request = compiled(model, "cpu", THREADS).create_infer_request()
    parts = [np.ascontiguousarray(part.numpy()) for part in pieces(tensor, piece)]

    def forward() -> object:
        return [np.array(request.infer([part], share_inputs=True)[0]) for part in parts]

    return forward


def pieces(tensor: torch.Tensor, edge: int) -> Iterator[torch.Tensor]:
    """Cut ``(1, c, [z,] y, x)`` without overlap; in 3D along y and x, too."""
    for y in range(0, tensor.shape[-2], edge):
        for x in range(0, tensor.shape[-1], edge):
            yield tensor[..., y : y + edge, x : x + edge]


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
    least = min(edge, 512)
    ways = [
        (fuse, last, half) for fuse in (False, True) for last in (False, True) for half in halves
    ]

    def trial(way: tuple[bool, bool, bool]) -> float:
        action = raw(case, small, way[0], way[1], small.shape[-1], way[2])
        return min(seconds(action) for _ in range(3))

    fused, last, half = min(ways, key=trial)
    sizes = [size for size in (edge, edge // 2, edge // 4) if size >= least]
    size = fastest_size(sizes, lambda size: raw(case, tensor, fused, last, size, half))
    words = ["fused"] * fused + ["channels last"] * last + ["fp16"] * half or ["plain"]
    words.append("whole" if size == edge else f"pieces of {size}")
    return ", ".join(words), raw(case, tensor, fused, last, size, half)


def fastest_size(sizes: list[int], make: Callable[[int], Callable[[], object]]) -> int:
    by_size: dict[int, float] = {}
    for size in sizes:
        try:
            by_size[size] = seconds(make(size))
        except (RuntimeError, MemoryError):  # the whole may be too large for the memory
            continue
    return min(by_size, key=lambda s: by_size[s])


def fastest_openvino(case: Case, tensor: torch.Tensor) -> Callable[[], object]:
    """Measure both engines, as a first run would, then try the sizes of pieces."""
    from napari_segnet.engines.openvino.choice import middle
    from napari_segnet.engines.openvino.trial import measure

    tile = middle(tensor.numpy(), case.checkpoint.size)
    assert tile is not None
    measure(case.checkpoint, tile, THREADS)
    edge = tensor.shape[-1]
    sizes = [size for size in (edge, edge // 2, edge // 4) if size >= min(edge, 512)]
    return openvino(case, tensor, fastest_size(sizes, lambda size: openvino(case, tensor, size)))


@contextmanager
def busy_thread(wanted: bool) -> Iterator[None]:
    """Let another process compute on one thread meanwhile."""
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    if wanted:
        process.start()
    try:
        yield
    finally:
        if wanted:
            process.terminate()
            process.join()


def _spin() -> None:
    while True:
        sum(i * i for i in range(100_000))


def best_monai(
    case: Case, tensor: torch.Tensor, roi: int, halves: tuple[bool, ...]
) -> Callable[[], object]:
    """Try one and four windows at a time, in each precision."""
    small = tensor[..., : 2 * roi, : 2 * roi] if case.ndim == 2 else tensor

    def trial(way: tuple[int, bool]) -> float:
        return min(seconds(monai(case, small, roi, *way)) for _ in range(2))

    return monai(case, tensor, roi, *min(((n, h) for n in (1, 4) for h in halves), key=trial))


COLUMNS = ("ours", "MONAI", "raw", "OpenVINO")


def compare(
    case: Case, device: str, repeat: int, busy: bool, columns: tuple[str, ...] = COLUMNS
) -> dict[str, float]:
    """Print a row, and return the medians."""
    pixels = picture(case.edge, case.ndim)
    tensor = torch.from_numpy(pixels.astype(np.float32) / 255)[None, None].to(device)
    halves = (False, True) if device.startswith("cuda") else (False,)
    contenders, way = {"ours": ours(case, pixels, device)}, ""
    if "raw" in columns:
        way, contenders["raw"] = fastest_raw(case, tensor, halves)
    if "MONAI" in columns and importlib.util.find_spec("monai"):
        contenders["MONAI"] = best_monai(case, tensor, case.roi, halves)
    if "OpenVINO" in columns and device == "cpu" and importlib.util.find_spec("openvino"):
        try:
            contenders["OpenVINO"] = fastest_openvino(case, tensor)
        except sn.SegnetError as error:  # refused: torch answers
            print(error)
    seconds(contenders["ours"])  # the network is loaded and its speed known from now on
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with busy_thread(busy):
        for _ in range(repeat):
            for name, action in contenders.items():
                times[name].append(seconds(action))
    medians = {name: statistics.median(values) for name, values in times.items()}
    tiles = "automatic" if not case.tile_px else f"tile_px={case.tile_px[0]}"
    mine = medians["ours"]
    figures = "".join(f" {medians.get(name, float('nan')):8.3f}" for name in COLUMNS)
    ratios = f"{medians.get('MONAI', float('nan')) / mine:10.2f}x" + "".join(
        f"{mine / medians.get(name, float('nan')):8.2f}x" for name in COLUMNS[2:]
    )
    power = "²³"[case.ndim - 2]
    print(f"{case.name:9} {case.edge:5}{power} {tiles:13}{figures}{ratios}   {way}", flush=True)
    return medians


def cases(
    found: dict[str, tuple[sn.Checkpoint, Callable[[], nn.Module]]], quick: bool
) -> list[Case]:
    flat = ((1024, ()), (2048, ()), (4096, (1024,))) if not quick else ((64, ()), (128, (64,)))
    roi = 32 if quick else 512
    return [
        *(
            Case(name, checkpoint, make, edge, tile_px, roi)
            for name, (checkpoint, make) in found.items()
            if checkpoint.ndim == 2
            for edge, tile_px in flat
        ),
        *(
            Case(name, checkpoint, make, 32 if quick else 128, (), 16 if quick else 64)
            for name, (checkpoint, make) in found.items()
            if checkpoint.ndim == 3
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=("built-in", "U-Net 32", "3D 16"))
    parser.add_argument("--edge", type=int, help="only the row of this image")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="only these contenders")
    parser.add_argument("--busy", action="store_true", help="again, beside one busy thread")
    parser.add_argument("--quick", action="store_true", help="tiny images: does it run at all?")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(f"{args.device}, {THREADS} threads, torch {torch.__version__}, medians of {args.repeat}")
    with tempfile.TemporaryDirectory() as folder:
        found = networks(args.network, 4 if args.quick else 32, Path(folder))
        for busy in (False, True)[: 1 + args.busy]:
            if busy:
                print("beside a busy thread")
            print(
                f"{'network':9} {'image':>6} {'tiles':13}"
                + "".join(f" {name[:6] + ' s':>8}" for name in COLUMNS)
                + f"{'than MONAI':>11}{'as raw':>9}{'as OV':>9}   the fastest raw way"
            )
            for case in cases(found, args.quick):
                if args.only in (None, case.name) and args.edge in (None, case.edge):
                    columns = tuple(args.columns.split(","))
                    compare(case, args.device, args.repeat, busy, columns)
    return 0


if __name__ == "__main__":
    sys.exit(main())
