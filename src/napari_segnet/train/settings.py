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
        Rounds; after each the held-out part is scored and the state is saved.
    steps_per_epoch : int
        Optimiser steps in a round.
    batch_size : int
        Crops per step: few and small ones, since in the same time many steps teach more than large
        ones (docs/training.md).
    crop_px : int
        Edge of a crop in y and x, in network pixels; rounded up to what the network takes,
        and to twice its stride at least.
    crop_z_px : int
        Depth of a crop for 3D networks.
    normalize, channels, invert : str
        How pixels are normalised, which image channels the network gets, and if dark and bright
        are exchanged, as in ``PredictSettings``; the network that is trained so wants it so from
        then on.
    scale : float
        Image pixels per network pixel, likewise; 0: as the network wants it.
    head : str
        ``keep``: the network's own last layer; ``foreground``, ``objects`` (foreground,
        boundary and distance) or a number of classes with the background: a new one, which
        begins from nothing, for labels that the network's classes do not fit.
    loss : str
        ``both`` (cross-entropy and Dice), ``cross-entropy``, ``dice`` or ``focal``.
    optimizer : str
        ``adamw`` (Loshchilov and Hutter 2019), ``adam`` or ``sgd`` (with Nesterov's momentum).
    learning_rate : float
        The highest; it warms up and then falls to zero as a cosine. 0: what suits the network,
        0.001 for one that has learned before, 0.003 for one that begins from nothing.
    warm_up : float
        Share of the training over which it warms up.
    momentum : float
        Of ``sgd``.
    weight_decay : float
        How strongly weights are drawn to zero.
    freeze_stages : int
        So many levels of the encoder, from the full size on, stay as they are.
    freeze_norm : bool or None
        Keep the statistics of batch normalisation as they are; None: if a network that has
        learned before gets batches of less than 4 crops, whose own statistics are too uncertain.
    patience : int
        Stop after so many rounds in which the held-out part got no better, and keep the best;
        0: never, and keep the last.
    minutes : float
        How long to learn, scores before and after not counted: as many steps as are done in that
        time, whatever ``epochs`` says, and with the learning rate that falls to zero by its end.
        0: ``epochs`` rounds. What comes out depends on how fast the computer was.
    promote_at : float
        The new network takes the place of the old one if it is better with this probability.
    replay : float
        Where labels are not trusted, hold on to what the old network is sure of, with this
        weight, against forgetting. 0: learn nothing there.
    rehearsal : float
        Where ``earlier`` images are given to a training: so many crops of theirs join each batch,
        as a share of its crops, so that the network does not forget them. 0: they are only scored.
    average : float
        Share of the old weights in the running average that is kept as the result; 0: the
        last weights.
    anchor : float
        So many objects the old network is worth: of one that has learned before and keeps its
        outputs the weights are averaged with those that were learned from ``n`` objects, in the
        proportion ``anchor² : n²``, so that few objects do not undo what it knew (Wortsman et al.
        2022, arXiv 2109.01903); not where held-out crops are answered clearly worse so, or none
        is held out. 0: the new weights alone. For networks that tell objects.
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
    mirror : bool
        Whether the new network, where it answers planes with maps and learns with ``flip``, is to
        be shown mirror images, too, and the answers averaged: labels get better, and take four
        times as long. Whoever uses it can switch that off (``PredictSettings``). Taught four images
        of histology (208 nuclei) in five ways, the AP50 on 22 unseen ones was 0.02 higher with it
        each time, on 9 others 0.02 to 0.03.
    multiscale : bool
        Whether the new network, where it answers planes with maps, is to be shown each image at
        half the size, too, and the answers averaged (``PredictSettings``): objects that differ in
        size get better labels, for 1.25 times the time.
    precision : str
        ``auto`` (fp16 or bf16 on a GPU; on a CPU fp32, or bf16 where it has instructions for that
        and the network is of 2D convolutions), ``fp32``, ``fp16`` or ``bf16``.
    threads : int
        Threads of the CPU, as in ``PredictSettings``; 0: all.
    seed : int
        Makes a run on a CPU repeatable.
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
                f"learning_rate is {self.learning_rate}, but must be from 0 to 10; 0 is what suits "
                "the network."
            )
        if not 0 <= self.average < 1:
            raise SettingsError(f"average is {self.average}, but must be from 0 to below 1.")
        parse_normalizer("none" if self.normalize == "auto" else self.normalize)
        if self.scale and not 0.01 <= self.scale <= 100:
            raise SettingsError(
                f"scale is {self.scale}, but must be between 0.01 and 100 image pixels per network "
                "pixel, or 0: as the network wants it."
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
