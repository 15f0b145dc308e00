"""The parts of a checkpoint: how a fact is known, outputs, sizes, steps, and how tensors lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = [
    "ANSWER_KINDS",
    "MOST",
    "Activation",
    "Known",
    "Layout",
    "Output",
    "PrepareStep",
    "Role",
    "Size",
    "Source",
    "Store",
    "Task",
]

Source = Literal["read", "decided", "assumed", "told"]
"""Of a fact: the file says it; its statistics prove it; nobody knows better; the user says it."""
Task = Literal["semantic", "instance"]
"""What a network tells apart: classes of pixels, or objects."""
ANSWER_KINDS: Mapping[Task, str] = {"semantic": "maps", "instance": "detections"}
"""How networks of a task answer unless they say otherwise: names of ``answers.ANSWERS``."""
Role = Literal[
    "class",
    "foreground",
    "boundary",
    "distance",
    "flow",
    "affinity",
    "ray_distance",
    "object_class",
    "offset",
    "other",
]
Activation = Literal["none", "sigmoid", "softmax", "tanh"]

MOST = 100_000
"""No count in a file is larger: one that is comes from a damaged file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How a fact is known.

    Attributes
    ----------
    source : Source
        *read* from the file; *decided*: the statistics in the file prove it, see
        ``napari_segnet.evidence``; *assumed*; or *told* by the user.
    why : str
        The reason, for people.
    """

    source: Source
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One group of output channels.

    Attributes
    ----------
    role : Role
        What the channels mean. ``class``: one map per class, background first where
        there are several. ``distance``: distance to the object's border, 0 to 1. ``flow``: the
        direction to the object's middle, one map along each axis, of length 1. ``ray_distance``:
        how far the object's border is along each of some rays, in pixels. ``object_class``: one
        map per class of objects, background first. ``offset``: how far a pixel lies from the middle
        of its object along x and along y, -1 to 1 in the object.
    channels : int
        How many channels, counted in the order of the network's output.
    activation : Activation
        What turns the raw answer into the map; ``none`` where the network's own
        forward already does, or for a distance.
    paints : tuple of int
        Of regions that may overlap (nnU-Net): the number that each channel writes into the labels
        where it is above the threshold, one after the other. Empty for all others.
    """

    role: Role
    channels: int
    activation: Activation
    paints: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Which input sizes a network takes; all per axis ``([z,] y, x)`` in pixels.

    A size ``n`` is allowed if ``n >= minimum`` and ``n % multiple == remainder``.

    Attributes
    ----------
    minimum, multiple, remainder : tuple of int
        As above. ``multiple`` is 1 for networks that pad by themselves.
    stride : tuple of int
        The product of the poolings: a cut-out that starts at a multiple of it has
        its pooling windows where the whole image has them.
    loss : tuple of int
        By how much the output is smaller than the input (valid convolutions);
        half of it on each side.
    most : tuple of int
        The largest size; empty: there is none. Larger images are cut into tiles of it.
    """

    minimum: tuple[int, ...]
    multiple: tuple[int, ...]
    stride: tuple[int, ...]
    remainder: tuple[int, ...] = ()
    loss: tuple[int, ...] = ()
    most: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        zeros = (0,) * len(self.minimum)
        if not self.remainder:
            object.__setattr__(self, "remainder", zeros)
        if not self.loss:
            object.__setattr__(self, "loss", zeros)

    def next_allowed(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Return the smallest allowed input whose output covers ``lengths`` pixels.

        It may be larger than ``most``: tiles of that are cut from it.
        """
        sizes = []
        for n, low, m, r, lost in zip(
            lengths, self.minimum, self.multiple, self.remainder, self.loss, strict=True
        ):
            need = max(n + lost, low)
            sizes.append(need + (r - need) % m)
        return tuple(sizes)

    def steady(self, axes: int | None = None) -> Size:
        """Return the allowed sizes of which no pooling leaves pixels over.

        Of these, a tile that begins at a multiple of the stride also ends at one of the mirror
        image.

        Parameters
        ----------
        axes : int, optional
            Only the last so many axes; the others remain as they are. Default: all.
        """
        kept = 0 if axes is None else len(self.multiple) - axes
        wider = map(math.lcm, self.multiple[kept:], self.stride[kept:])
        return replace(self, multiple=(*self.multiple[:kept], *wider))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareStep:
    """One step from image to network input, as data.

    ``name`` is a name of ``napari_segnet.prepare``; ``options`` are plain JSON values.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a tensor of a file differs from that of the module that holds the same numbers.

    Attributes
    ----------
    order : tuple of int
        Axes of the file in the order of the module's. Axes of length one may come or go, and
        neighbouring ones be merged: what is left is a reshape.
    flipped : bool
        Whether a kernel is mirrored along all its axes of space, those behind the first two.
    key : str
        File key of the numbers, where they are those of another tensor as well: exporters store
        equal tensors once.
    """

    order: tuple[int, ...]
    flipped: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """How the tensors lie in the file, so that it can be written back the same way.

    Attributes
    ----------
    container : str
        ``"torch-zip"``, ``"torch-legacy"``, ``"safetensors"``, ...
    wrapper : tuple of str
        Keys to walk from the file's top to the tensors: ``("model_state_dict",)``.
    prefix : str
        What stands before every key, such as ``"module."``.
    dtype : str
        The most common floating dtype of the tensors.
    keys : mapping of str to str
        File key (wrapper and prefix taken off) -> key of the built module.
    layouts : mapping of str to Layout
        File key -> how its tensor lies there, where it is otherwise than in the module.
    member : str
        Of a package in a zip: the name of the weights file inside.
    """

    container: str
    wrapper: tuple[str, ...] = ()
    prefix: str = ""
    dtype: str = "float32"
    keys: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    member: str = ""
