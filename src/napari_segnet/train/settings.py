"""How a network is taught."""

from __future__ import annotations

from dataclasses import dataclass

from napari_segnet.errors import SettingsError

__all__ = ["PRECISIONS", "TrainSettings"]

PRECISIONS = ("auto", "fp32", "fp16", "bf16")

# Name of a setting -> its least and greatest value.
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 1e9),
    "steps_per_epoch": (1, 1e9),
    "batch_size": (1, 1e6),
    "crop_px": (8, 1e5),
    "crop_z_px": (1, 1e5),
    "weight_decay": (0, 1e3),
    "on_objects": (0, 1),
    "gamma": (1, 100),
    "gain": (1, 100),
    "offset": (0, 100),
    "noise": (0, 100),
    "blur_px": (0, 100),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a network is taught.

    Attributes
    ----------
    epochs : int
        Rounds; after each the held-out part is scored and the state is saved.
    steps_per_epoch : int
        Optimiser steps in a round.
    batch_size : int
        Crops per step.
    crop_px : int
        Edge of a crop in y and x, in network pixels; rounded up to what the network takes,
        and to twice its stride at least.
    crop_z_px : int
        Depth of a crop for 3D networks.
    channels : str
        Which image channels the network gets, as in ``PredictSettings``.
    learning_rate : float
        The highest; it warms up over the first 5 % and falls to zero as a cosine.
    weight_decay : float
        Of AdamW (Loshchilov and Hutter 2019).
    average : float
        Share of the old weights in the running average that is kept as the result; 0: the
        last weights.
    on_objects : float
        Share of the crops that are centred on an object.
    flip, rotate : bool
        Augmentation by mirror images and by any angle in the plane.
    scale_range : tuple of float
        Objects are shown smaller and larger by a factor between these two.
    gamma, gain, offset, noise, blur_px : float
        Greatest change of brightness curve (factor of the exponent), contrast (factor),
        level, noise (standard deviation; both in units of the normalised image), and blur
        (sigma in pixels). 1 for the first two and 0 for the others: no change.
    precision : str
        ``auto`` (fp16 or bf16 on a GPU, fp32 on a CPU), ``fp32``, ``fp16`` or ``bf16``.
    seed : int
        Makes a run on a CPU repeatable.
    """

    epochs: int = 50
    steps_per_epoch: int = 100
    batch_size: int = 8
    crop_px: int = 192
    crop_z_px: int = 32
    channels: str = "auto"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    average: float = 0.998
    on_objects: float = 0.5
    flip: bool = True
    rotate: bool = True
    scale_range: tuple[float, float] = (0.6, 1.6)
    gamma: float = 1.8
    gain: float = 1.3
    offset: float = 0.1
    noise: float = 0.08
    blur_px: float = 1.5
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise SettingsError(f"{name} is {value}, but must be from {least:g} to {most:g}.")
        if not 0 < self.learning_rate <= 10:
            raise SettingsError(
                f"learning_rate is {self.learning_rate}, but must be above 0 and at most 10; "
                "0.003 suits most networks."
            )
        if not 0 <= self.average < 1:
            raise SettingsError(f"average is {self.average}, but must be from 0 to below 1.")
        low, high = self.scale_range
        if not 0.05 <= low <= high <= 20:
            raise SettingsError(
                f"scale_range is {low},{high}, but needs two factors from 0.05 to 20, the smaller "
                "first."
            )
        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"precision is {self.precision!r}, but training knows {', '.join(PRECISIONS)}."
            )
