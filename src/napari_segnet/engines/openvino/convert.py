"""A torch module becomes a network of OpenVINO for every size, and is compared with it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Size
from napari_segnet.engines.openvino.cut import cut_model, tried_cuts
from napari_segnet.engines.openvino.device import compiled, imported, is_out_of_memory
from napari_segnet.engines.openvino.store import KeptNetwork, kept_network
from napari_segnet.engines.torch.dry import activated
from napari_segnet.engines.torch.weights import load
from napari_segnet.errors import Cancelled, EngineError, Remedy, SettingsError
from napari_segnet.families import MapFamily
from napari_segnet.graph.build import InWindows
from napari_segnet.recognition import family_of

__all__ = ["TOLERANCE", "converted", "differs", "first_line", "traced_lengths"]

TOLERANCE = 1e-4
"""Maps may differ by this part of the range that they take: rounding of float32 through a deep
network is 6e-8 to 5e-5."""
ROUNDING = 1e-6
"""And by this part of their largest number, where they hardly vary."""
TRACED_EDGE = {2: 64, 3: 24}
"""About the pixels per axis that are shown to torch while it tells its operations: few, for speed;
more than the kernels reach."""


def converted(checkpoint: Checkpoint) -> KeptNetwork:
    """Return where the converted network is kept; it is converted if it is not there.

    Takes seconds then, and the memory of a second copy of the weights.

    Raises
    ------
    SettingsError
        If OpenVINO cannot run the network, or answers otherwise than torch.
    EngineError
        If the disk refuses to keep it.
    """
    kept = kept_network(checkpoint)
    if kept.model is None and kept.refusal is None:
        _convert(checkpoint, kept)
    if kept.refusal is not None:
        torch_engine = Remedy("engine", "torch")
        raise SettingsError(
            f"The engine openvino does not run {checkpoint.path.name}: {kept.refusal}. Use "
            f"{torch_engine}.",
            remedies=(torch_engine,),
        )
    return kept


def differs(theirs: npt.NDArray[np.float32], ours: npt.NDArray[np.float32]) -> float:
    """Return how far maps are off, in parts of what is allowed: up to 1 they agree.

    Parameters
    ----------
    theirs, ours : ndarray
        ``(n, channel, [z,] y, x)``: what is asked, and what is right.
    """
    if theirs.shape != ours.shape or not np.isfinite(theirs).all():
        return math.inf
    worst = 0.0
    for channel in range(ours.shape[1]):
        right = ours[:, channel]
        allowed = TOLERANCE * float(np.ptp(right)) + ROUNDING * float(np.abs(right).max())
        error = float(np.abs(theirs[:, channel] - right).max())
        worst = max(worst, error / allowed if allowed else math.inf * error if error else 0.0)
    return worst


def _convert(checkpoint: Checkpoint, kept: KeptNetwork) -> None:
    """Convert and compare, and keep the network or why there is none."""
    openvino = imported()

    try:
        model = _model(checkpoint)
        wrong = "" if isinstance(model, str) else _proven(checkpoint, model)
    except Cancelled:
        raise  # it tells nothing of the network
    except Exception as error:
        # Whatever an operation that it does not know raises, out of two libraries.
        if is_out_of_memory(error):
            raise
        model, wrong = None, f"it cannot be converted ({first_line(error)})"
    refusal = model if isinstance(model, str) else wrong
    cut = None if refusal else _cut(checkpoint)

    def write(folder: Path) -> None:
        if refusal:
            (folder / "refused.txt").write_text(refusal, "utf-8")
        else:
            openvino.save_model(model, folder / "network.xml", compress_to_fp16=False)
        if cut is not None:
            openvino.save_model(cut, folder / "cut.xml", compress_to_fp16=False)

    try:
        kept.put(write)
    except OSError as error:
        raise EngineError(
            f"The converted network of {checkpoint.path.name} cannot be kept in "
            f"{kept.folder.parent} ({error.strerror or error}); free space there"
        ) from error


def _model(checkpoint: Checkpoint) -> Any:
    """Return the network for any batch and size, or why there is none."""
    openvino = imported()
    import torch

    network, found = load(checkpoint, "cpu"), family_of(checkpoint)
    if not isinstance(found, MapFamily):
        return "its output is objects, not maps"
    if network.depends_on_offset:
        return "its output depends on the position of a tile"
    if checkpoint.size.most:
        return "it takes images of one size only"
    if any(isinstance(layer, InWindows) for layer in network.module.modules()):
        return "its attention has windows, which cannot be drawn for any size"

    family: MapFamily = found

    class Answer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return activated(checkpoint, family.maps(self.network, x))

    example = torch.from_numpy(_noise(checkpoint, 2, traced_lengths(checkpoint.size), 1))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: what it missed shows in the comparison
        model = openvino.convert_model(Answer().eval(), example_input=example)
    model.reshape(openvino.PartialShape([-1, checkpoint.channels, *[-1] * checkpoint.ndim]))
    return model


def _proven(checkpoint: Checkpoint, model: Any) -> str:
    """Ask torch and the network for inputs of sizes that were not shown; return what is wrong."""
    network, request = load(checkpoint, "cpu"), compiled(model, "cpu", 1).create_infer_request()
    for batch, times in ((1, 2), (3, 1), (1, 3)):
        given = _example(checkpoint, batch, times)
        said = np.array(request.infer([given])[0])
        if differs(said, network.maps(given)) > 1:
            return "the converted network has another output than torch"
    return ""


def _cut(checkpoint: Checkpoint) -> Any:
    """Return the network that takes where it is cut; None if it cannot be, or answers otherwise."""
    network = load(checkpoint, "cpu")
    try:
        model = cut_model(checkpoint, network.module.state_dict())
        if model is None:
            return None
        request = compiled(model, "cpu", 1).create_infer_request()
        for seed, (lengths, keep, cuts) in enumerate(tried_cuts(checkpoint)):
            given = _noise(checkpoint, 1, lengths, seed)
            shown = np.ascontiguousarray(_part(given, cuts.image))
            said = np.array(request.infer([shown, np.array(cuts.bounds)])[0])
            if differs(_part(said, cuts.keep), _part(network.maps(given), keep)) > 1:
                return None
    except Cancelled:
        raise
    except Exception as error:
        # As above; without it whole tiles are answered.
        if is_out_of_memory(error):
            raise
        return None
    return model


def _part(maps: npt.NDArray[np.float32], where: tuple[slice, ...]) -> npt.NDArray[np.float32]:
    return maps[(slice(None), slice(None), *where)]


def _example(checkpoint: Checkpoint, batch: int, times: int) -> npt.NDArray[np.float32]:
    """Return noise of an allowed size, another along each axis: ``(n, c, [z,] y, x)``."""
    size, lengths = checkpoint.size, []
    edge = TRACED_EDGE[checkpoint.ndim]
    for axis in range(checkpoint.ndim):
        step, least = size.multiple[axis], max(size.minimum[axis], edge)
        least += (size.remainder[axis] - least) % step
        # Where every size is allowed, an odd one tells more.
        lengths.append(least + (times - 1 + axis) * (step if step > 1 else 7))
    return _noise(checkpoint, batch, lengths, times)


def traced_lengths(size: Size) -> tuple[int, ...]:
    """Return the pixels per axis ``([z,] y, x)`` of what is shown to torch once.

    Where every size is allowed, all poolings get an odd one: networks that pad their skip
    connections leave that out where nothing is to be padded, and the tracer would miss it.
    """
    lengths = []
    for axis, least in enumerate(size.minimum):
        step, stride = size.multiple[axis], size.stride[axis]
        edge = max(least, TRACED_EDGE[len(size.minimum)])
        if step == 1 and stride > 1:
            lengths.append((-(-edge // stride) + axis + 1) * stride - 1)
        else:
            edge += (size.remainder[axis] - edge) % step
            lengths.append(edge + axis * (step if step > 1 else 7))
    return tuple(lengths)


def _noise(
    checkpoint: Checkpoint, batch: int, lengths: Sequence[int], seed: int
) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(batch, checkpoint.channels, *lengths))
    return noise.astype(np.float32)


def first_line(error: BaseException) -> str:
    """Return what an error says first, and of which kind it is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:200] if lines else type(error).__name__
