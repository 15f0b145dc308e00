"""Run a map network over all planes or volumes of an image."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.cache import file_array
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch import Network, is_out_of_memory, load
from napari_segnet.plan.input import NetworkInput
from napari_segnet.plan.memory import Rung, cpu_rung, first_rung, next_rung, release, remember
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.prepare.scale import resize
from napari_segnet.progress import Progress
from napari_segnet.segmentation import Maps
from napari_segnet.stitch import Seams, stitch_maps

__all__ = ["run_maps"]

IN_MEMORY_BYTES = 1024**3
"""Larger maps are kept as float16 in a temporary file, where the system can page them."""
FP16_TOLERANCE = 5e-3
"""Half precision is used on a GPU where no map differs by more than that on the first
tile: a tenth of what moves a threshold that a user would set by eye."""

Ran = tuple[Maps, Rung, dict[str, Any]]


def run_maps(
    network: Network, given: NetworkInput, settings: PredictSettings
) -> Generator[Progress, None, Ran]:
    """Answer every unit; step down the memory ladder where memory runs out.

    Returns
    -------
    Maps
        At the image's pixels.
    Rung
        The rung that was used in the end.
    dict
        What the engine chose, plain JSON values.
    """
    checkpoint = network.checkpoint
    maps = _empty_maps(checkpoint, given, settings)
    rung = first_rung(network, given.seen, settings)
    precision = _Precision(settings.precision)
    seams = Seams()
    done, units = 0, given.units
    for number, (t, z) in enumerate(units):
        out = maps[:, t, z] if given.ndim == 2 else maps[:, t]
        while True:
            total = len(rung.tiling.tiles)
            yield Progress(what="tile", done=number * total, total=len(units) * total)
            try:
                for done in _unit(network, given, (t, z), rung, out, precision, seams):
                    yield Progress(
                        what="tile", done=number * total + done, total=len(units) * total
                    )
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the except block: the error holds the tensors of the failed forward.
            release(network.device)
            stepped = next_rung(rung, network, settings)
            if stepped is None:
                remember(rung, network)
                network, precision = load(checkpoint, "cpu"), _Precision("fp32")
                stepped = cpu_rung(network, given.seen, settings)
            rung = stepped
    remember(rung, network)
    answer = Maps(
        data=maps.reshape(_squeezed(maps.shape, given)),
        axes="c" + _kept_axes(given),
        outputs=checkpoint.outputs,
        ndim=given.ndim,
    )
    return answer, rung, _engine(given, rung, precision, seams, network)


def _unit(
    network: Network,
    given: NetworkInput,
    where: tuple[int, int],
    rung: Rung,
    out: npt.NDArray[Any],
    precision: _Precision,
    seams: Seams,
) -> Generator[int, None, None]:
    """Answer one plane or volume, at the network's scale, and write it at the image's."""
    whole = rung.tiling.frame.size

    def answer(batch: npt.NDArray[np.float32], begin: tuple[int, ...]) -> npt.NDArray[np.float32]:
        return precision.answer(network, batch, begin, whole)

    same = given.seen == given.shape
    target = out if same else np.empty((out.shape[0], *given.seen), np.float32)
    yield from stitch_maps(
        rung.tiling,
        given.reader(*where),
        answer,
        target,
        batch=rung.batch,
        one_place=network.one_place,
        seams=seams,
    )
    if not same:
        out[...] = resize(target, given.shape)


class _Precision:
    """Runs a network, and settles ``auto``: half precision only where it agrees."""

    def __init__(self, wish: str) -> None:
        self.chosen = None if wish == "auto" else wish
        self.error: float | None = None

    def answer(
        self,
        network: Network,
        batch: npt.NDArray[np.float32],
        offset: tuple[int, ...],
        whole: tuple[int, ...],
    ) -> npt.NDArray[np.float32]:
        def run(kind: str) -> npt.NDArray[np.float32]:
            return network.maps(batch, precision=kind, offset=offset, whole=whole)

        if self.chosen is None and not network.device.startswith("cuda"):
            self.chosen = "fp32"
        if self.chosen is None:
            exact, half = run("fp32"), run("fp16")
            error = float(np.abs(exact - half).max())
            # A NaN is not below the tolerance: overflow keeps full precision.
            self.chosen = "fp16" if error <= FP16_TOLERANCE else "fp32"
            self.error = error if np.isfinite(error) else None
            return exact
        maps = run(self.chosen)
        if self.error is not None and self.chosen == "fp16" and not np.isfinite(maps).all():
            # A brighter place than the first tile had: too large for half precision.
            self.chosen = "fp32"
            maps = run("fp32")
        return maps


def _empty_maps(
    checkpoint: Checkpoint, given: NetworkInput, settings: PredictSettings
) -> npt.NDArray[Any]:
    sizes = given.image.sizes
    channels = sum(output.channels for output in checkpoint.outputs)
    shape = (channels, sizes["t"], sizes["z"], sizes["y"], sizes["x"])
    large = int(np.prod(shape, dtype=np.int64)) * 4 > IN_MEMORY_BYTES
    wish = settings.maps
    dtype = np.float16 if wish == "float16" or (wish == "auto" and large) else np.float32
    if not large:
        return np.empty(shape, dtype)
    return file_array(shape, np.dtype(dtype))


def _kept_axes(given: NetworkInput) -> str:
    return "".join(a for a in "tzyx" if a in given.image.axes)


def _squeezed(shape: tuple[int, ...], given: NetworkInput) -> tuple[int, ...]:
    kept = _kept_axes(given)
    return (shape[0], *(n for a, n in zip("tzyx", shape[1:], strict=True) if a in kept))


def _engine(
    given: NetworkInput, rung: Rung, precision: _Precision, seams: Seams, network: Network
) -> dict[str, Any]:
    engine: dict[str, Any] = {
        "normalize": given.how,
        "normalize_over": given.over,
        "channels": given.channels.to_json(),
        "normalization": given.normalization.to_json(),
        "scale": given.scale,
        "tile_px": list(rung.edge),
        "halo_px": list(network.checkpoint.halo_px or ()),
        "tiles": len(rung.tiling.tiles),
        "work": round(rung.tiling.cost, 3),
        "batch_size": rung.batch,
        "precision": precision.chosen or "fp32",
        "exact": rung.tiling.exact,
    }
    if precision.error is not None:
        engine["fp16_error"] = precision.error
    if not rung.tiling.exact:
        engine["seam_error"] = seams.worst
    return engine
