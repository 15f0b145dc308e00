"""What every kind of package gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import PackageFiles

__all__ = ["Member", "Package", "PackageKind"]

Adds = Callable[[Checkpoint], Checkpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Weights in a package.

    Attributes
    ----------
    name : str
        From the top of the package: ``"models/model.pt"``.
    what : str
        What the description calls them: ``"torchscript"``.
    sha256 : str
        As the description says; empty where it does not.
    """

    name: str
    what: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package whose description was read.

    Attributes
    ----------
    files : PackageFiles
        What lies in it.
    title : str
        What it is, for people: ``"model package of bioimage.io (0.5.4)"``.
    description : str
        The name of its description.
    members : tuple of Member
        Its weights that lie in it, best first; of an ensemble all of them count.
    absent : tuple of str
        Why other weights that it names are not used, one clause each.
    adds : callable
        Puts on a checkpoint what the description says.
    notes : tuple of str
        What the user should know, one sentence each.
    ensemble : bool
        True: the answers of all members are averaged.
    recorded : mapping
        Arguments of the network that the description says, by the names of its library; they
        count as if they stood in the weights file.
    """

    files: PackageFiles
    title: str
    description: str
    members: tuple[Member, ...]
    absent: tuple[str, ...] = ()
    adds: Adds = lambda checkpoint: checkpoint
    notes: tuple[str, ...] = ()
    ensemble: bool = False
    recorded: Mapping[str, Any] = field(default_factory=dict)

    def only(self, members: tuple[Member, ...]) -> Self:
        """Return the same package with fewer weights; what it says of all of an ensemble goes."""
        notes = () if self.ensemble else self.notes
        return replace(self, members=members, notes=notes)

    def added_to(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint with all that is known from the description."""
        found = self.adds(checkpoint)
        notes = tuple(dict.fromkeys((*self.notes, *found.notes)))
        return replace(found, notes=notes)

    @classmethod
    def not_understood(cls, files: PackageFiles, reason: str) -> Self:
        """Return what is put on a weights file whose package cannot be read: a note."""
        note = f"Nothing is taken from the description beside the weights. {reason}"
        return cls(files=files, title="", description="", members=(), notes=(note,))


class PackageKind(Protocol):
    """A kind of package; it holds no state."""

    name: str
    """Short and stable, such as ``"bioimageio"``."""
    title: str
    """For people, such as ``"Model package of bioimage.io"``."""
    descriptions: tuple[str, ...]
    """Names that its description may have, looked for beside weights; ``*`` stands for any."""

    def describes(self, name: str) -> bool:
        """Tell if a file is such a description, by its name."""

    def detect(self, files: PackageFiles) -> bool:
        """Tell if files are such a package, by their names."""

    def read(self, files: PackageFiles, description: str) -> Package:
        """Read the description (empty: the usual one).

        Raises a ``WeightsError`` that says what cannot be understood.
        """


def text_of(value: Any, most: int = 2000) -> str:
    """Return a value of a description as text of bounded length; empty for None."""
    return "" if value is None else str(value)[:most]


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return a mapping of a description; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """Return a list of a description; a single value becomes one, None an empty one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
