"""What a training begins with: the network's weights, and a new last layer where one is wished."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import nn

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint, Output, PrepareStep
from napari_segnet.engines.torch import load
from napari_segnet.errors import SettingsError
from napari_segnet.families import FAMILIES, RawFamily, SmallInitFamily, Trainable
from napari_segnet.plan import PredictSettings
from napari_segnet.prepare.volumes import VOLUME
from napari_segnet.train.settings import TrainSettings

__all__ = [
    "SHOWN",
    "Start",
    "advised",
    "as_run",
    "shown",
    "start",
    "trainable",
    "wanted",
    "with_facts_of",
]

OBJECTS = tuple(
    Output(role=role, channels=1, activation="sigmoid")
    for role in ("foreground", "boundary", "distance")
)
"""What our own network answers, so that touching objects come apart."""

SHOWN = ("mirror", "multiscale")
"""Facts of a card by which answers are averaged. They alone make no network better: where two are
compared, both are shown images so, or neither."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """A network before its first step.

    Attributes
    ----------
    family : Trainable
        What it is.
    parent : Checkpoint
        What it begins with.
    checkpoint : Checkpoint
        With the outputs that it is going to have; without an activation at its end.
    module : Module
        On the CPU; with the weights of the file where they fit.
    learned : bool
        Whether it has learned before.
    fresh : tuple of str
        Tensors that begin anew although the file has others.
    """

    family: Trainable
    parent: Checkpoint
    checkpoint: Checkpoint
    module: nn.Module
    learned: bool
    fresh: tuple[str, ...] = ()


def trainable(network: Checkpoint) -> Trainable:
    """Return the family of a network that can be trained.

    Raises
    ------
    SettingsError
        If it cannot.
    """
    family = FAMILIES.named(network.family)
    if isinstance(family, Trainable):
        return family
    names = ", ".join(family.title for family in FAMILIES.trainable)
    raise SettingsError(
        f"Networks of the family {network.family!r} cannot be trained here yet. Can be trained: "
        f"{names}."
    )


def wanted(network: Checkpoint, settings: TrainSettings) -> Checkpoint:
    """Describe the network with the outputs that the settings ask for.

    Raises
    ------
    SettingsError
        If its family has no place for them, or the network no such loss.
    """
    # Made for its refusals: of a loss that the network has not.
    answer_of(network).objective(trainable(network), network, settings.loss, settings.replay)
    head, outputs = settings.head, network.outputs
    if head == "objects":
        outputs = OBJECTS
    elif head == "foreground":
        outputs = OBJECTS[:1]
    elif head != "keep":
        outputs = (Output(role="class", channels=int(head), activation="softmax"),)
    if outputs == network.outputs:
        return network
    return trainable(network).with_outputs(network, outputs)


def advised(network: Checkpoint) -> Checkpoint:
    """Give a network that learns from labels the advice that suits these."""
    return answer_of(network).advised(network)


def with_facts_of(old: Checkpoint, trained: Checkpoint, *facts: str) -> Checkpoint:
    """Return a network whose card says these facts as that of the old one does, or leaves out."""
    card = {name: value for name, value in trained.card.items() if name not in facts}
    own = {name: value for name, value in old.card.items() if name in facts}
    return replace(trained, card={**card, **own})


def as_run(settings: TrainSettings, device: str = "auto") -> PredictSettings:
    """Return how a network is run on images as a training shows them."""
    return PredictSettings(
        device=device,
        threads=settings.threads,
        normalize=settings.normalize,
        channels=settings.channels,
        invert=settings.invert,
        scale=settings.scale or None,
    )


def shown(network: Checkpoint, settings: TrainSettings) -> Checkpoint:
    """Describe a network that is shown images as the settings say, from now on.

    A recipe of whole volumes would say something else, and is dropped then.
    """
    if settings.normalize == "auto" and not settings.scale:
        return network
    steps = {step.name: step for step in network.prepare if step.name != VOLUME}
    if settings.normalize != "auto":
        own = steps.get("normalize", PrepareStep(name="normalize")).options
        over = own.get("over", "volume")
        steps["normalize"] = PrepareStep(
            name="normalize", options={"how": settings.normalize, "over": over}
        )
    pixel_size, card = network.pixel_size_um, dict(network.card)
    if settings.scale:
        # A pixel size that the training did not keep to would say another scale.
        pixel_size = {}
        steps["scale"] = PrepareStep(name="scale", options={"factor": settings.scale})
        card.pop("object_px", None)
    return replace(network, prepare=tuple(steps.values()), pixel_size_um=pixel_size, card=card)


def start(network: Checkpoint, settings: TrainSettings) -> Start:
    """Build a network and give it the weights of its file, as far as they fit."""
    family, checkpoint = trainable(network), wanted(network, settings)
    learned = network.path.exists()
    if learned and checkpoint is network:
        module = copy.deepcopy(load(network, device="cpu").module)
        checkpoint, module = _raw(family, checkpoint, module)
        module.requires_grad_(True)
        return Start(
            family=family, parent=network, checkpoint=checkpoint, module=module, learned=True
        )
    module = family.build(checkpoint)
    _initialise(
        module, family.small_init_layers(module) if isinstance(family, SmallInitFamily) else ()
    )
    fresh: tuple[str, ...] = ()
    if learned:
        old, new = load(network, device="cpu").module.state_dict(), module.state_dict()
        fresh = tuple(k for k, v in new.items() if k not in old or old[k].shape != v.shape)
        module.load_state_dict({**new, **{k: old[k] for k in new if k not in fresh}})
    return Start(
        family=family,
        parent=network,
        checkpoint=checkpoint,
        module=module,
        learned=learned,
        fresh=fresh,
    )


def _raw(
    family: Trainable, checkpoint: Checkpoint, module: nn.Module
) -> tuple[Checkpoint, nn.Module]:
    """Return a network without the activation at its end, of which the loss knows more."""
    if not isinstance(family, RawFamily):
        return checkpoint, module
    raw = family.raw(checkpoint)
    if raw.outputs == checkpoint.outputs:
        return checkpoint, module
    with torch.device("meta"):
        made = family.build(raw)
    made.load_state_dict(module.state_dict(), assign=True)
    return raw, made


def _initialise(module: nn.Module, small: tuple[nn.Module, ...]) -> None:
    for layer in module.modules():
        kinds = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear
        if not isinstance(layer, kinds):
            continue
        if any(layer is one for one in small):
            nn.init.normal_(layer.weight, std=0.01)
        else:
            # He et al. 2015 (doi 10.1109/ICCV.2015.123): right for ReLU, in any width.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
