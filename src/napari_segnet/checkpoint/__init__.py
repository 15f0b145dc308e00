"""Checkpoint: all we know of a weights file, and how we know it."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from napari_segnet.checkpoint._facts import (
    ANSWER_KINDS,
    MOST,
    Activation,
    Known,
    Layout,
    Output,
    PrepareStep,
    Role,
    Size,
    Source,
    Store,
    Task,
)
from napari_segnet.checkpoint._json import READ, fields_from_json, plain
from napari_segnet.errors import BrokenWeightsError, WeightsError
from napari_segnet.stamp import Stamp, stamp_of

__all__ = [
    "ANSWER_KINDS",
    "MOST",
    "Activation",
    "Checkpoint",
    "Known",
    "Layout",
    "Output",
    "PrepareStep",
    "Role",
    "Size",
    "Source",
    "Store",
    "Task",
    "fields_from_json",
    "file_sha256",
]

OF_THE_FILE = ("path", "stamp", "notes")
"""Fields that belong to the file that was read, not to the network in it."""


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
        ``semantic`` (classes of pixels) or ``instance`` (objects).
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
    stamp : Stamp or None
        Of the file that was recognised; no other is loaded in its place.
    notes : tuple of str
        What its user should know of how the file was read, one sentence each.
    answer_kind : str
        How it answers: a name of ``napari_segnet.answers.ANSWERS``. Empty: that of the task,
        ``maps`` or ``detections``.
    program : str
        From what kind of file the graph was read: a name of ``napari_segnet.programs``; empty for
        networks that are known by name.
    """

    path: Path
    family: str
    task: Task
    hparams: Mapping[str, Any] = field(repr=False)
    ndim: int
    channels: int
    classes: int
    outputs: tuple[Output, ...] = field(repr=False)
    size: Size = field(repr=False)
    store: Store = field(repr=False)
    parameters: int
    halo_px: tuple[int, ...] | None = field(default=None, repr=False)
    exact: bool = field(default=True, repr=False)
    prepare: tuple[PrepareStep, ...] = field(default=(), repr=False)
    class_names: tuple[str, ...] = field(default=(), repr=False)
    pixel_size_um: Mapping[str, float] = field(default_factory=dict, repr=False)
    members: tuple[Path, ...] = field(default=(), repr=False)
    known: Mapping[str, Known] = field(default_factory=dict, repr=False)
    card: Mapping[str, Any] = field(default_factory=dict, repr=False)
    stamp: Stamp | None = field(default=None, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    answer_kind: str = field(default="", repr=False)
    program: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.answer_kind:
            object.__setattr__(self, "answer_kind", ANSWER_KINDS[self.task])

    @property
    def sha256(self) -> str:
        """SHA-256 of the file that was recognised, computed on first use.

        Raises
        ------
        WeightsError
            If it has been replaced before its hash was known.
        """
        return file_sha256(self.path, self.stamp)

    def to_json(self) -> dict[str, Any]:
        """Return all that is known of the network as plain JSON values, under their names.

        Its path, stamp and notes are left out: they are of the one file that was read.

        Whatever keeps a network's description takes its part of this one form: the header
        of our own files, ``.card.json``, the state of a training, ``inspect --json``.
        """
        form: dict[str, Any] = plain(self)
        for name in OF_THE_FILE:
            del form[name]
        return form

    @classmethod
    def from_json(cls, content: Mapping[str, Any], path: Path) -> Self:
        """Return the checkpoint of a file from what :meth:`to_json` gave.

        Raises
        ------
        ValueError, TypeError, KeyError, AttributeError
            If it cannot be understood.
        """
        # Files of before 0.2 do not say these.
        content = {"answer_kind": "", "program": "", **content}
        return cls(path=path, **fields_from_json(content, READ))


def file_sha256(path: Path, stamp: Stamp | None = None) -> str:
    """Return the SHA-256 of a file, computed anew only after it has changed.

    Parameters
    ----------
    path : Path
        The file.
    stamp : Stamp, optional
        Of the file that is meant. Its hash stays known after another has taken its place.

    Raises
    ------
    WeightsError
        If it cannot be read, or is not the one that is meant.
    """
    try:
        return _sha256(path, stamp or stamp_of(path.stat()))
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read any more ({error.strerror or error}). See that its disk or "
            "folder is still there."
        ) from error


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, stamp: Stamp) -> str:
    with path.open("rb") as file:
        before = stamp_of(os.fstat(file.fileno()))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = stamp_of(os.fstat(file.fileno()))
    if not before == after == stamp:
        raise BrokenWeightsError(
            f"{path.name} has changed since it was recognised. Open it again to use what is "
            "there now."
        )
    return digest
