"""How a network is run on an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from napari_segnet.errors import SettingsError
from napari_segnet.settings import check_types, short_repr, suggestion

__all__ = [
    "ENGINES",
    "FIND",
    "INVERT",
    "MOST_THREADS",
    "PRECISIONS",
    "SCOPES",
    "SEAMS",
    "SOURCE",
    "PredictSettings",
]

SCOPES = ("auto", "volume", "plane", "series")
PRECISIONS = ("auto", "fp32", "tf32", "fp16", "bf16")
FIND = "find"
"""Of a setting: found on the image, see ``napari_segnet.find``."""
SOURCE = "source"
"""Of ``normalize``: what the code beside the weights says."""
FOUND = ("normalize", "channels", "invert", "scale")
"""Settings that can be found, in the order of a form."""
INVERT = ("auto", "no", "yes", FIND)
SEAMS = ("auto", "exact", "blend")
MIRROR = ("auto", "no", "yes")
MULTISCALE = ("auto", "no", "yes")
FORMER_RUNS = {"multiscale": "no"}
"""What records of runs mean that are older than a setting."""
MOST_THREADS = 1024
"""More than a workstation has; OpenMP ends a program that asks for more than there can be."""
ENGINES = ("auto", "torch", "openvino")
MAPS = ("auto", "float32", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSettings:
    """How a network is run on an image.

    Attributes
    ----------
    normalize : str
        Normalisation of grey values: ``auto`` (from the card, read or assumed), ``none``,
        ``divide-255``, ``divide-65535``, ``min-max``, ``percentile`` (1 and 99.8),
        ``percentile:LO,HI``, ``z-score``, ``half``, ``imagenet``, ``window:LO,HI``,
        ``mean-std:M,S``, or the name of another normalizer. ``find``: the best fit to the
        statistics in the file on this image, see ``napari_segnet.find``; ``source``: from the
        code beside the weights.
    normalize_over : str
        The pixels from which the statistics of a normalisation are computed, per channel:
        ``volume`` (each time point), ``plane``, ``series`` (all time points), or ``auto`` (from
        the card, otherwise ``volume``).
    channels : str
        Image channels for the network, in the order of its inputs: ``0,2``; ``auto``: all of
        them, luminance of RGB for a network with one channel, or a grey image three times.
        ``luminance``, ``hematoxylin``, ``eosin`` and ``dab`` of an RGB image; the prefix
        ``inverted-`` exchanges dark and bright of a channel. ``find``: RGB or BGR, whichever fits.
    invert : str
        ``yes`` exchanges dark and bright, for dark objects if the network expects bright ones;
        ``no``; ``auto``: as in the network's training, otherwise no; ``find``: whichever fits.
    scale : float, "find" or None
        Image pixels per network pixel: 2 halves the width and height of the network's input. None:
        from the pixel sizes of image and network if both are known, otherwise 1; ``find``: the best
        fit from a quarter to four times this value.
    object_px, object_um : float or None
        Diameter of the objects in the image, in px or in µm; sets the scale for networks whose file
        records the object diameter of the training.
    tile_px : tuple of int
        Edge of the kept part of a tile in px, one for all axes or one per axis
        (``[z,] y, x``), rounded up to the network's stride; empty: as memory allows.
    batch_size : int
        Tiles per batch; 0: as memory allows.
    precision : str
        ``auto`` (fp16 on a GPU if it agrees with fp32, fp32 on a CPU), ``fp32``,
        ``tf32``, ``fp16``, ``bf16``.
    seams : str
        ``exact`` (tiles with halos that equal the whole image), ``blend`` (overlapping
        tiles), or ``auto``: exact if the network allows it and, in 3D, the halo
        costs less than 4 times the work.
    mirror : str
        Whether the network also runs on mirrored input and the outputs are averaged: ``auto``, as
        in its training (nnU-Net: along the axes of its training, two to eight times the
        work; networks trained here: as with ``yes``), ``no``, or ``yes``: along y, x and both, four
        times the work.
    multiscale : str
        If planes are also shown at half the size, and the answers averaged: ``auto`` (where a
        training said so), ``no``, or ``yes``: 1.25 times the work. For networks that answer planes
        with foreground, boundary, distance or classes.
    maps : str
        Storage of maps: ``float32`` in memory, ``float16`` in a temporary file, or
        ``auto``: float32 up to 1 GiB.
    device : str
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    threads : int
        CPU threads of the network; 0: as many as torch uses by default.
    engine : str
        ``torch``; ``openvino`` (the extra ``[fast]``), for networks with output
        maps; ``auto``: OpenVINO if it was measured to be faster and to agree, otherwise torch.
    """

    normalize: str = "auto"
    normalize_over: str = "auto"
    channels: str = "auto"
    invert: str = "auto"
    scale: float | Literal["find"] | None = None
    object_px: float | None = None
    object_um: float | None = None
    tile_px: tuple[int, ...] = field(default=())
    batch_size: int = 0
    precision: str = "auto"
    seams: str = "auto"
    mirror: str = "auto"
    multiscale: str = "auto"
    maps: str = "auto"
    device: str = "auto"
    threads: int = 0
    engine: str = "auto"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_types(self)
        for name, known in (
            ("normalize_over", SCOPES),
            ("invert", INVERT),
            ("precision", PRECISIONS),
            ("seams", SEAMS),
            ("mirror", MIRROR),
            ("multiscale", MULTISCALE),
            ("maps", MAPS),
            ("engine", ENGINES),
        ):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}{suggestion(getattr(self, name), known)}, "
                    f"but can be {', '.join(known)}."
                )
        scale = 1.0 if self.scale is None or isinstance(self.scale, str) else self.scale
        if not 0.01 <= scale <= 100:
            raise SettingsError(
                f"scale is {self.scale}, but must be between 0.01 and 100 image pixels per "
                "network pixel; 2 halves the width and height of the network's input."
            )
        for name in ("object_px", "object_um"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 100_000:
                raise SettingsError(
                    f"{name} is {value}, but must be the diameter of the objects, above 0."
                )
        given = [n for n in ("scale", "object_px", "object_um") if getattr(self, n) is not None]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(given)} each set the scale. Set only one of them.")
        if any(edge < 1 for edge in self.tile_px) or len(self.tile_px) > 3:
            raise SettingsError(
                f"tile_px is {self.tile_px}, but needs one length above 0, or one per axis "
                "([z,] y, x), such as tile_px=512 or tile_px=32,256,256."
            )
        if self.batch_size < 0:
            raise SettingsError(f"batch_size is {self.batch_size}, but must be 0 (auto) or more.")
        if not 0 <= self.threads <= MOST_THREADS:
            raise SettingsError(
                f"threads is {self.threads}, but must be from 0 (all) to {MOST_THREADS}."
            )

    @property
    def to_find(self) -> tuple[str, ...]:
        """Names of the settings that are to be found on the image."""
        return tuple(name for name in FOUND if getattr(self, name) == FIND)
