"""Checkpoint: all we know of a weights file, and how we know it."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from napari_segnet.errors import BrokenWeightsError, WeightsError
from napari_segnet.stamp import Stamp, stamp_of

__all__ = [
    "ANSWER_KINDS",
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

Source = Literal["read", "decided", "assumed", "told"]
"""Of a fact: the file says it; its statistics prove it; nobody knows better; the user says it."""
Task = Literal["semantic", "instance"]
"""What a network tells apart: classes of pixels, or objects."""
ANSWER_KINDS: Mapping[Task, str] = {"semantic": "maps", "instance": "detections"}
"""How networks of a task answer unless they say otherwise: names of ``answers.ANSWERS``."""
Role = Literal["class", "foreground", "boundary", "distance", "affinity", "other"]
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
        form: dict[str, Any] = _plain(self)
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
        return cls(path=path, **fields_from_json(content, _READ))


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


# ---- From JSON ----


def fields_from_json(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return fields of a checkpoint out of their JSON form; every value is checked.

    Parameters
    ----------
    content : mapping
        A part of what ``Checkpoint.to_json`` gives, or what anybody wrote in its stead.
    names : iterable of str
        The fields that are wanted.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If one is missing or makes no sense.
    """
    return {name: _READ[name](content[name]) for name in names}


def _plain(value: Any) -> Any:
    """Return JSON values: tuples become lists, paths texts, dataclasses their fields."""
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _outputs(rows: Any) -> tuple[Output, ...]:
    found = []
    for row in rows:
        if row["role"] not in get_args(Role) or row["activation"] not in get_args(Activation):
            raise ValueError(f"the output {row} has an unknown role or activation")
        count = _count(row["channels"])
        found.append(Output(role=row["role"], channels=count, activation=row["activation"]))
    return tuple(found)


def _steps(rows: Any) -> tuple[PrepareStep, ...]:
    """Read steps; ``prepare.checked`` tells if they can be done."""
    return tuple(
        PrepareStep(name=_text(row["name"]), options=_mapping(row["options"])) for row in rows
    )


def _pixel_size(sizes: Any) -> dict[str, float]:
    for axis, size in sizes.items():
        if axis not in ("z", "y", "x") or not 0 < float(size) < float("inf"):
            raise ValueError(f"{axis}: {size} is no pixel size")
    return {axis: float(size) for axis, size in sizes.items()}


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError(f"{values!r} is no list of texts")
    return tuple(_text(value) for value in values)


def _task(value: Any) -> str:
    if value not in get_args(Task):
        raise ValueError(f"{value!r} is no task")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no JSON object")
    return value


def _card(value: Any) -> dict[str, Any]:
    _mapping(_mapping(value).get("label", {}))  # advice on labels
    return dict(value)


def _count(value: Any, least: int = 1, most: int = MOST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is no whole number from {least} to {most}")
    return value


def _lengths(values: Any) -> tuple[int, ...]:
    return tuple(_count(value, 0) for value in values)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _one_of(kinds: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in get_args(kinds):
            raise ValueError(f"{value!r} is none of {', '.join(get_args(kinds))}")
        return value

    return read


def _known(rows: Any) -> dict[str, Known]:
    source = _one_of(Source)
    return {n: Known(source=source(r["source"]), why=_text(r["why"])) for n, r in rows.items()}


def _store(row: Any) -> Store:
    return Store(
        container=_text(row["container"]),
        wrapper=_texts(row["wrapper"]),
        prefix=_text(row["prefix"]),
        dtype=_text(row["dtype"]),
        keys={_text(key): _text(value) for key, value in row["keys"].items()},
        layouts={_text(key): _layout(one) for key, one in row.get("layouts", {}).items()},
        member=_text(row.get("member", "")),
    )


def _layout(row: Any) -> Layout:
    return Layout(
        order=_lengths(row["order"]), flipped=_truth(row["flipped"]), key=_text(row.get("key", ""))
    )


_READ: dict[str, Callable[[Any], Any]] = {
    "family": _text,
    "task": _task,
    "answer_kind": _text,
    "program": _text,
    "hparams": _mapping,
    "ndim": _count,
    "channels": _count,
    "classes": _count,
    "outputs": _outputs,
    "size": lambda row: Size(**{name: _lengths(values) for name, values in row.items()}),
    "store": _store,
    "parameters": lambda value: _count(value, 0, 2**63),
    "halo_px": lambda values: None if values is None else _lengths(values),
    "exact": _truth,
    "prepare": _steps,
    "class_names": _texts,
    "pixel_size_um": _pixel_size,
    "members": lambda values: tuple(Path(text) for text in _texts(values)),
    "known": _known,
    "card": _card,
}
"""How each field is read from JSON; the keys are all fields but those of the file."""
