"""What the description of a bioimage.io model adds to what its weights say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_segnet.checkpoint import Activation, Checkpoint, Known, Output, Role, Size
from napari_segnet.packages._types import listed, mapping_of, text_of
from napari_segnet.packages.bioimageio._description import Description, Tensor
from napari_segnet.packages.bioimageio._prepare import NotDone, prepared

__all__ = ["Adding", "role_of"]

ABOUT = ("name", "description", "license", "version", "documentation", "git_repo", "timestamp")
WORDS: tuple[tuple[Role, tuple[str, ...]], ...] = (
    ("boundary", ("bound", "edge", "contour", "border", "membrane")),
    ("distance", ("dist",)),
    ("affinity", ("affin",)),
    ("foreground", ("foreground", "fg", "mask", "probab", "nucle", "cell")),
)
"""Words in the name of an output or channel that say what it is."""
NO_EFFECT = ("ensure_dtype", "clip")
"""Steps behind the network that change no label."""
MOST_AUTHORS = 50


def role_of(name: str) -> Role | None:
    """Return what a name says that an output is."""
    words = name.lower()
    return next((role for role, own in WORDS if any(word in words for word in own)), None)


@dataclass(frozen=True, slots=True)
class Adding:
    """Adds what a description says.

    Attributes
    ----------
    said : Description
        It.
    name : str
        The name of its file.
    """

    said: Description
    name: str

    def added(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint with preparation, outputs, sizes and card of the description."""
        found = self._prepared(checkpoint)
        if checkpoint.answer_kind == "star_polygons":
            # The listed outputs are those of another form of the network.
            return replace(found, card={**found.card, **self._card(found)})
        found = self._ended(found)
        found = self._sized(found)
        found = self._scaled(found)
        return replace(found, card={**found.card, **self._card(found)})

    def _read(self, what: str = "") -> Known:
        return Known(source="read", why=f"written in {self.name}{what and f' ({what})'}")

    # ---- Before the network ----

    def _prepared(self, checkpoint: Checkpoint) -> Checkpoint:
        inputs = self.said.inputs
        taken = sum(_channels(tensor) or 1 for tensor in inputs)
        notes = []
        if taken != checkpoint.channels:
            notes.append(
                f"{self.name} says that the network takes {taken} channels; its weights take "
                f"{checkpoint.channels}, which count."
            )
        try:
            alone = len(inputs) == 1
            each = [
                prepared(
                    tensor,
                    checkpoint.channels if alone else _channels(tensor) or 1,
                    checkpoint.ndim,
                )
                for tensor in inputs
            ]
            if any(one != each[0] for one in each):
                raise NotDone("that its inputs are prepared differently")
        except NotDone as error:
            steps = " then ".join(step.name[:40] for step in inputs[0].steps)
            note = (
                f"The package prepares images by {steps}, and this version does not do {error}. "
                "Set normalize to what comes nearest."
            )
            why = f"{self.name} names {error}, which this version does not do"
            known = {**checkpoint.known, "prepare": Known(source="assumed", why=why)}
            return replace(checkpoint, known=known, notes=(*checkpoint.notes, *notes, note))
        known = {**checkpoint.known, "prepare": self._read("preprocessing")}
        return replace(checkpoint, prepare=each[0], known=known, notes=(*checkpoint.notes, *notes))

    # ---- Behind it ----

    def _ended(self, checkpoint: Checkpoint) -> Checkpoint:
        groups, described = checkpoint.outputs, self.said.outputs
        if (len(described) == 1 and len(groups) == 1) or len(described) == len(groups):
            outputs, notes, sure = [], list[str](), True
            for group, tensor in zip(groups, described, strict=True):
                ends, clear = self._group(group, tensor, notes)
                outputs += ends
                sure = sure and clear
            return self._with_outputs(checkpoint, tuple(outputs), notes, sure)
        note = (
            f"{self.name} describes {len(described)} outputs, and the network has {len(groups)}; "
            "what its channels mean is not taken from there."
        )
        return replace(checkpoint, notes=(*checkpoint.notes, note))

    def _with_outputs(
        self, checkpoint: Checkpoint, outputs: tuple[Output, ...], notes: list[str], sure: bool
    ) -> Checkpoint:
        known = dict(checkpoint.known)
        if sure:
            known["outputs"] = self._read("postprocessing")
        names, label = checkpoint.class_names, dict(mapping_of(checkpoint.card.get("label")))
        own = self.said.outputs[0].axis("channel")
        first = outputs[0]
        if own is not None and first.role == "class" and len(own.channels) == first.channels > 1:
            names, known["class_names"] = own.channels, self._read("channel names")
        for tensor in self.said.outputs[:1]:
            for step in tensor.steps:
                value = step.values.get("threshold")
                if step.name == "binarize" and isinstance(value, int | float) and 0 < value < 1:
                    label["threshold"] = float(value)
        card = {**checkpoint.card, "label": label} if label else checkpoint.card
        classes = next(
            (o.channels for o in outputs if o.role in ("class", "foreground")), checkpoint.classes
        )
        return replace(
            checkpoint,
            outputs=outputs,
            classes=classes,
            class_names=names,
            card=card,
            known=known,
            notes=(*checkpoint.notes, *notes),
        )

    def _group(self, group: Output, tensor: Tensor, notes: list[str]) -> tuple[list[Output], bool]:
        """Return what the channels of one output mean, and whether the description says so."""
        names = [step.name for step in tensor.steps]
        other = [n for n in names if n not in (*NO_EFFECT, "sigmoid", "softmax", "binarize")]
        if other:
            notes.append(
                f"The package changes its answer by {', '.join(other)[:120]} afterwards, which is "
                "not done here."
            )
        activation: Activation = group.activation
        clear = True
        if "sigmoid" in names:
            activation = "sigmoid"
        elif "softmax" in names:
            activation = "softmax"
        elif 0 <= tensor.low and tensor.high <= 1:
            activation = "none"
        elif group.activation != "none":
            clear = False  # values of any size, and no word on what they are
        axis = tensor.axis("channel")
        channels = axis.channels if axis is not None else ()
        if activation != "softmax" and len(channels) == group.channels:
            roles = [role_of(name) for name in channels]
            if group.channels > 1 and all(roles) and len(set(roles)) == len(roles):
                ends = [(role, activation) for role in roles if role is not None]
                return [_output(role, how) for role, how in ends], clear
        role = group.role
        if group.channels == 1 and role == "foreground":
            said = role_of(tensor.name if not channels else f"{tensor.name} {channels[0]}")
            role = said or role
        how: Activation = "none" if role == "distance" else activation
        return [Output(role=role, channels=group.channels, activation=how)], clear

    # ---- Sizes ----

    def _sized(self, checkpoint: Checkpoint) -> Checkpoint:
        """Take sizes that are stricter than those of the layers; fixed ones are only named."""
        first, names = self.said.inputs[0], ("z", "y", "x")[-checkpoint.ndim :]
        axes = [first.axis(name) for name in names]
        if any(axis is None or axis.size is None for axis in axes):
            return checkpoint
        own = [axis for axis in axes if axis is not None]
        if not any(axis.step for axis in own):
            shown = " x ".join(str(axis.size) for axis in own)
            why = (
                f"{checkpoint.known['size'].why}; {self.name} says {shown} pixels, on which no "
                "layer depends"
            )
            known = {**checkpoint.known, "size": Known(source="read", why=why)}
            return replace(checkpoint, known=known)
        size = _stricter(checkpoint.size, [(axis.size or 1, axis.step) for axis in own])
        if size == checkpoint.size:
            return checkpoint
        known = {**checkpoint.known, "size": self._read("axes")}
        return replace(checkpoint, size=size, known=known)

    def _scaled(self, checkpoint: Checkpoint) -> Checkpoint:
        axes = self.said.inputs[0].axes
        found = {axis.name: axis.scale_um for axis in axes if axis.scale_um is not None}
        if not found:
            return checkpoint
        known = {**checkpoint.known, "pixel_size_um": self._read("scale of the axes")}
        return replace(checkpoint, pixel_size_um=found, known=known)

    # ---- The card ----

    def _card(self, checkpoint: Checkpoint) -> dict[str, Any]:
        about = self.said.about
        card: dict[str, Any] = {n: text_of(about[n]) for n in ABOUT if about.get(n) is not None}
        card["authors"] = [
            text_of(mapping_of(one).get("name", one), 200)
            for one in listed(about.get("authors"))[:MOST_AUTHORS]
        ]
        card["cite"] = [_citation(one) for one in listed(about.get("cite"))[:MOST_AUTHORS]]
        card["tags"] = [text_of(one, 80) for one in listed(about.get("tags"))[:MOST_AUTHORS]]
        data = mapping_of(about.get("training_data"))
        if data:
            card["training_data"] = text_of(data.get("id") or data.get("name"), 300)
        halo = {axis.name: axis.halo for axis in self.said.outputs[0].axes if axis.halo}
        card["package"] = {
            "kind": "bioimageio",
            "version": self.said.version,
            "description": self.name,
            "halo_px": halo,
            "test_inputs": [tensor.test for tensor in self.said.inputs],
            "test_outputs": [tensor.test for tensor in self.said.outputs],
        }
        return {name: value for name, value in card.items() if value}


def _output(role: Role, activation: Activation) -> Output:
    how: Activation = "none" if role == "distance" else activation
    return Output(role=role, channels=1, activation=how)


def _channels(tensor: Tensor) -> int | None:
    axis = tensor.axis("channel")
    return 1 if axis is None else axis.size


def _stricter(size: Size, wanted: Sequence[tuple[int, int]]) -> Size:
    """Return sizes that both the layers and the description allow; those of the layers if none."""
    minimum, multiple, remainder = [], [], []
    rows = zip(size.minimum, size.multiple, size.remainder, wanted, strict=True)
    for low, m, r, (least, step) in rows:
        step = step or 1
        every = math.lcm(m, step)
        fits = [n for n in range(least, least + every, step) if n % m == r]
        if not fits or every > 2**14:
            return size
        first = fits[0]
        while first < low:
            first += every
        minimum.append(first)
        multiple.append(every)
        remainder.append(first % every)
    return replace(
        size,
        minimum=tuple(minimum),
        multiple=tuple(multiple),
        remainder=tuple(remainder),
    )


def _citation(one: Any) -> str:
    row: Mapping[str, Any] = mapping_of(one)
    parts = (text_of(row.get("text"), 300), text_of(row.get("doi") or row.get("url"), 200))
    return " ".join(part for part in parts if part)
