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
        ``auto`` (what the checkpoint says, read or assumed), ``none``, ``divide-255``,
        ``divide-65535``, ``min-max``, ``percentile`` (1 and 99.8), ``percentile:LO,HI``,
        ``z-score``, ``half``, ``imagenet``, ``window:LO,HI``, ``mean-std:M,S``, or the name of
        another normalizer. ``find``: whatever fits the statistics in the file best on this
        image, see ``napari_segnet.find``; ``source``: what the code beside the weights says.
    normalize_over : str
        Over what its figures are computed, always per channel and never per tile:
        ``volume`` (each time point), ``plane``, ``series`` (everything), or ``auto`` (what
        the checkpoint says, else ``volume``).
    channels : str
        Which image channels the network gets, in its order: ``0,2``; ``auto``: all of
        them, luminance of RGB for a network with one channel, or a grey image three times.
        ``luminance``, ``hematoxylin``, ``eosin`` and ``dab`` of an RGB image; ``inverted-`` before
        a channel exchanges its dark and bright. ``find``: red, green, blue or the other way
        round, whichever fits.
    invert : str
        ``yes`` exchanges dark and bright: for dark objects, where the network knows bright ones;
        ``no``; ``auto``: as the network was trained, else no; ``find``: whichever fits.
    scale : float, "find" or None
        Image pixels per network pixel; None: from the pixel sizes where both image and
        network know theirs, else 1; ``find``: whichever fits from a quarter of that to four
        times as much.
    object_px, object_um : float or None
        Diameter of the objects in the image, in its pixels or in µm: another way to say the
        scale, for networks whose file records the diameter that they were trained on.
    tile_px : tuple of int
        Edge of the part of a tile that is kept, one for all axes or one per axis
        (``[z,] y, x``), rounded up to the network's stride; empty: as memory allows.
    batch_size : int
        Tiles that the network sees at once; 0: as memory allows.
    precision : str
        ``auto`` (fp16 on a GPU where it is measured to agree, fp32 on a CPU), ``fp32``,
        ``tf32``, ``fp16``, ``bf16``.
    seams : str
        ``exact`` (tiles with halos that equal the whole image), ``blend`` (overlapping
        tiles), or ``auto``: exact wherever the network allows it and, in 3D, the halo
        costs less than 4 times the work.
    mirror : str
        If what the network sees is also shown turned over, and the answers averaged: ``auto``,
        where its training says so (nnU-Net, along the axes that it names; two to eight times the
        work; networks trained here as with ``yes``), ``no``, or ``yes``: along y, x and both, four
        times the work.
    multiscale : str
        If planes are also shown at half the size, and the answers averaged: ``auto`` (where a
        training said so), ``no``, or ``yes``: 1.25 times the work. For networks that answer planes
        with foreground, boundary, distance or classes.
    maps : str
        How maps are kept in memory: ``float32``, ``float16`` in a temporary file, or
        ``auto``: float32 up to 1 GiB.
    device : str
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    threads : int
        Threads of the CPU that the network takes; 0: all that torch would take.
    engine : str
        Who computes: ``torch``; ``openvino``, the extra ``[fast]``, for networks that answer with
        maps; ``auto``: OpenVINO where it was measured to be faster and to agree, else torch.
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
                "network pixel; 2 shows the network an image of half the size."
            )
        for name in ("object_px", "object_um"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 100_000:
                raise SettingsError(
                    f"{name} is {value}, but must be the diameter of the objects, above 0."
                )
        given = [n for n in ("scale", "object_px", "object_um") if getattr(self, n) is not None]
        if len(given) > 1:
            raise SettingsError(
                f"{' and '.join(given)} each say at which scale the network sees the image. Set "
                "one of them."
            )
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
