"""Checkpoint: all we know of a weights file, and how we know it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_segnet.errors import WeightsError

__all__ = [
    "Activation",
    "Checkpoint",
    "Known",
    "Output",
    "PrepareStep",
    "Role",
    "Size",
    "Source",
    "Store",
    "Task",
    "file_sha256",
]

Source = Literal["read", "assumed", "told"]
Task = str
"""Which kind of answer a network gives: ``semantic`` (maps), ``instance`` (detections), or that
of another member of ``napari_segnet.answers``."""
Role = Literal["class", "foreground", "boundary", "distance", "affinity", "other"]
Activation = Literal["none", "sigmoid", "softmax"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How a fact is known: *read* from the file, *assumed*, or *told* by the user."""

    source: Source
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One group of output channels.

    Attributes
    ----------
    role : Role
        What the channels mean. ``class``: one map per class, background first where
        there are several. ``distance``: distance to the object's border, 0 to 1.
    channels : int
        How many channels, counted in the order of the network's output.
    activation : Activation
        What turns the raw answer into the map; ``none`` where the network's own
        forward already does, or for a distance.
    """

    role: Role
    channels: int
    activation: Activation


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
    """

    minimum: tuple[int, ...]
    multiple: tuple[int, ...]
    stride: tuple[int, ...]
    remainder: tuple[int, ...] = ()
    loss: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        zeros = (0,) * len(self.minimum)
        if not self.remainder:
            object.__setattr__(self, "remainder", zeros)
        if not self.loss:
            object.__setattr__(self, "loss", zeros)

    def next_allowed(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Return the smallest allowed input whose output covers ``lengths`` pixels."""
        sizes = []
        for n, low, m, r, lost in zip(
            lengths, self.minimum, self.multiple, self.remainder, self.loss, strict=True
        ):
            need = max(n + lost, low)
            sizes.append(need + (r - need) % m)
        return tuple(sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareStep:
    """One step from image to network input, as data.

    ``name`` is a name of ``napari_segnet.prepare``; ``options`` are plain JSON values.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


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
    """

    container: str
    wrapper: tuple[str, ...] = ()
    prefix: str = ""
    dtype: str = "float32"
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All we know of a network in a file; cheap, picklable, without its weights.

    Attributes
    ----------
    path : Path
        The weights file.
    family : str
        Name of the family in ``napari_segnet.families``.
    task : Task
        ``semantic`` (maps), ``instance`` (detections): which of ``answers.ANSWERS`` it gives.
    hparams : mapping
        The family's own hyper-parameters, plain JSON values: enough to build it.
    ndim : int
        2 or 3 spatial dimensions.
    channels : int
        Input channels.
    classes : int
        Classes, background included where the network has one.
    outputs : tuple of Output
        Groups of output channels in order; empty for instance networks.
    size : Size
        Which input sizes the network takes.
    halo_px : tuple of int or None
        Receptive-field radius per axis ``([z,] y, x)``; None where it is not yet known
        or where the network has no bounded one.
    exact : bool
        True if tiles can equal the whole image (no operation looks at all of it).
    prepare : tuple of PrepareStep
        From image to input.
    class_names : tuple of str
        Background first; empty where unknown.
    pixel_size_um : mapping of str to float
        The pixel size the network was trained at, by axis; empty where unknown.
    parameters : int
        Number of trained values.
    members : tuple of Path
        The other files of one ensemble.
    store : Store
        How to write the file back.
    known : mapping of str to Known
        For every field above and every hyper-parameter, how it is known.
    card : mapping
        What the file says of itself (data, licence, scores), plain JSON values.
    """

    path: Path
    family: str
    task: Task
    hparams: Mapping[str, Any]
    ndim: int
    channels: int
    classes: int
    outputs: tuple[Output, ...]
    size: Size
    store: Store
    parameters: int
    halo_px: tuple[int, ...] | None = None
    exact: bool = True
    prepare: tuple[PrepareStep, ...] = ()
    class_names: tuple[str, ...] = ()
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    members: tuple[Path, ...] = ()
    known: Mapping[str, Known] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, computed on first use; see :func:`file_sha256`."""
        return file_sha256(self.path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, computed anew only after it has changed.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read any more ({error.strerror or error}). See that its disk or "
            "folder is still there."
        ) from error


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
