"""How a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.map_loss import LOSSES
from napari_segnet.plan.settings import FIND, INVERT
from napari_segnet.prepare import parse_normalizer
from napari_segnet.settings import check_types, short_repr, suggestion

__all__ = ["HEADS", "OPTIMIZERS", "PRECISIONS", "TrainSettings"]

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
OPTIMIZERS = ("adamw", "adam", "sgd")
HEADS = ("keep", "foreground", "objects")
"""And any number of classes."""
MOST_CLASSES = 1000

# Name of a setting -> its least and greatest value.
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 1e9),
    "steps_per_epoch": (1, 1e9),
    "batch_size": (1, 1e6),
    "crop_px": (8, 1e5),
    "crop_z_px": (1, 1e5),
    "weight_decay": (0, 1e3),
    "momentum": (0, 0.9999),
    "warm_up": (0, 0.5),
    "freeze_stages": (0, 100),
    "patience": (0, 1e9),
    "promote_at": (0.5, 0.9999),
    "minutes": (0, 1e6),
    "replay": (0, 100),
    "rehearsal": (0, 1),
    "anchor": (0, 1e9),
    "on_objects": (0, 1),
    "gamma": (1, 100),
    "gain": (1, 100),
    "offset": (0, 100),
    "noise": (0, 100),
    "blur_px": (0, 100),
    "threads": (0, 1024),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        Number of epochs; after each, the held-out part is scored and the state is saved.
    steps_per_epoch : int
        Optimiser steps per epoch.
    batch_size : int
        Crops per step. Few small crops give more steps and better networks in the same time
        (docs/training.md).
    crop_px : int
        Edge of a crop in y and x, in network pixels; rounded up to a size that the network takes,
        at least twice its stride.
    crop_z_px : int
        Depth of a crop in planes, for 3D networks.
    normalize, channels, invert : str
        Normalisation, image channels for the network, and whether dark and bright
        are exchanged, as in ``PredictSettings``; the card of the new network keeps them.
    scale : float
        Image pixels per network pixel; the card of the new network keeps it. 0: the scale of the
        network's card.
    head : str
        ``keep``: the network's own last layer; ``foreground``, ``objects`` (foreground,
        boundary and distance) or a number of classes including the background: a new, untrained
        layer, for labels that the network's classes do not fit.
    loss : str
        ``both`` (cross-entropy and Dice), ``cross-entropy``, ``dice`` or ``focal``.
    optimizer : str
        ``adamw`` (Loshchilov and Hutter 2019), ``adam`` or ``sgd`` (with Nesterov's momentum).
    learning_rate : float
        Highest learning rate; it warms up and then falls to zero as a cosine. 0: 0.001 for a
        trained network, 0.003 for an untrained one.
    warm_up : float
        Share of the training for the warm-up of the learning rate.
    momentum : float
        Momentum of ``sgd``.
    weight_decay : float
        Weight decay of the optimiser.
    freeze_stages : int
        Number of frozen encoder levels, from full size on.
    freeze_norm : bool or None
        Freeze the statistics of batch normalisation; None: for a trained network with batches of
        less than 4 crops, whose own statistics are too uncertain.
    patience : int
        Early stopping after this number of epochs without a better score on the held-out part; the
        best weights are kept. 0: no early stopping, the last weights are kept.
    minutes : float
        Duration of the training in minutes, without scoring before and after, and without the
        statistics of the layers at the end (64 crops); replaces ``epochs``.
        The learning rate falls to zero at the end. 0: ``epochs`` decides. The result depends on
        the speed of the computer.
    promote_at : float
        The new network replaces the old one if it is better with this probability.
    replay : float
        Weight of a loss that keeps the confident output of the old network where labels are not
        trusted, against forgetting. 0: untrusted pixels are ignored.
    rehearsal : float
        Crops of the ``earlier`` images per batch, as a share of its crops, so that the network does
        not forget these images. 0: they are only scored.
    average : float
        Share of the old weights in the running average that is kept as the result; 0: the
        last weights.
    anchor : float
        Number of objects that the old network counts for: the weights of a trained network that
        keeps its outputs are averaged with those learned from ``n`` objects, in the
        proportion ``anchor² : n²``, so that training on few objects does not make it forget
        (Wortsman et al. 2022, arXiv 2109.01903). No averaging if held-out crops get clearly worse,
        or if nothing is held out. 0: the new weights alone. For networks with objects.
    on_objects : float
        Share of the crops that are centred on an object.
    flip, rotate : bool
        Augmentation by mirroring, and by rotation by any angle in the plane.
    scale_range : tuple of float
        Augmentation by resizing by a factor between these two.
    gamma, gain, offset, noise, blur_px : float
        Greatest gamma (exponent of the brightness curve, as a factor), contrast (factor),
        brightness, noise (standard deviation; both in units of the normalised image), and blur
        (sigma in px). 1 for the first two and 0 for the others: no change.
    mirror : bool
        Whether the new network, if it has 2D output maps and trains with ``flip``, also
        runs on mirrored input and averages the outputs: better labels in four times the time.
        ``mirror`` of ``PredictSettings`` switches it off. Trained on four images
        of histology (208 nuclei) in five ways, the AP50 on 22 unseen ones was 0.02 higher with it
        each time, on 9 others 0.02 to 0.03.
    multiscale : bool
        Whether the new network, where it answers planes with maps, is to be shown each image at
        half the size, too, and the answers averaged (``PredictSettings``): objects that differ in
        size get better labels, for 1.25 times the time.
    precision : str
        ``auto`` (fp16 or bf16 on a GPU; on a CPU fp32, or bf16 for networks of 2D convolutions on a
        CPU with bf16 instructions), ``fp32``, ``fp16`` or ``bf16``.
    threads : int
        CPU threads, as in ``PredictSettings``; 0: as many as torch uses by default.
    seed : int
        Seed of random numbers; makes a run on a CPU repeatable.
    """

    epochs: int = 50
    steps_per_epoch: int = 100
    batch_size: int = 4
    crop_px: int = 128
    crop_z_px: int = 32
    normalize: str = "auto"
    channels: str = "auto"
    invert: str = "auto"
    scale: float = 0.0
    head: str = "keep"
    loss: str = "both"
    optimizer: str = "adamw"
    learning_rate: float = 0.0
    warm_up: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-2
    freeze_stages: int = 0
    freeze_norm: bool | None = None
    patience: int = 0
    minutes: float = 0.0
    promote_at: float = 0.9
    replay: float = 0.0
    rehearsal: float = 0.0
    average: float = 0.998
    anchor: float = 30.0
    on_objects: float = 0.5
    flip: bool = True
    rotate: bool = True
    scale_range: tuple[float, float] = (0.6, 1.6)
    gamma: float = 1.8
    gain: float = 1.3
    offset: float = 0.1
    noise: float = 0.08
    blur_px: float = 1.5
    mirror: bool = True
    multiscale: bool = True
    precision: str = "auto"
    threads: int = 0
    seed: int = 0

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_types(self)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise SettingsError(f"{name} is {value}, but must be from {least:g} to {most:g}.")
        if not 0 <= self.learning_rate <= 10:
            raise SettingsError(
                f"learning_rate is {self.learning_rate}, but must be from 0 to 10; 0 chooses a "
                "rate for the network."
            )
        if not 0 <= self.average < 1:
            raise SettingsError(f"average is {self.average}, but must be from 0 to below 1.")
        parse_normalizer("none" if self.normalize == "auto" else self.normalize)
        if self.scale and not 0.01 <= self.scale <= 100:
            raise SettingsError(
                f"scale is {self.scale}, but must be between 0.01 and 100 image pixels per "
                "network pixel, or 0: the scale of the network's card."
            )
        low, high = self.scale_range
        if not 0.05 <= low <= high <= 20:
            raise SettingsError(
                f"scale_range is {low},{high}, but needs two factors from 0.05 to 20, the smaller "
                "first."
            )
        for name, known in (
            ("precision", PRECISIONS),
            ("loss", LOSSES),
            ("optimizer", OPTIMIZERS),
            ("invert", tuple(word for word in INVERT if word != FIND)),
        ):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}{suggestion(getattr(self, name), known)}, "
                    f"but training knows {', '.join(known)}."
                )
        classes = int(self.head) if self.head.isdecimal() else 0
        if self.head not in HEADS and not 2 <= classes <= MOST_CLASSES:
            raise SettingsError(
                f"head is {self.head!r}{suggestion(self.head, HEADS)}, but can be "
                f"{', '.join(HEADS)}, or a number of classes from 2 (background and one) to "
                f"{MOST_CLASSES}."
            )
