"""What carries the graph of a network: files in which each layer stands with its numbers.

A program is read, never run: its layers become operations of a closed list, see ``graph``. All
networks found so are of one family, ``graph``. To add a kind of program, write a file with a
class that has the methods of :class:`Program` and name it in ``PROGRAMS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import Tree
from napari_segnet.errors import OutputError
from napari_segnet.families.kit.write import ENDINGS
from napari_segnet.programs._bare import UNASKED, assumed_facts, is_bare, unasked
from napari_segnet.programs._published import UNASKED_COPY, as_published, is_published
from napari_segnet.programs.exported import Exported
from napari_segnet.programs.keras import Keras
from napari_segnet.programs.library import Library
from napari_segnet.programs.onnx import Onnx
from napari_segnet.programs.source import Source
from napari_segnet.programs.stardist import StarDist
from napari_segnet.programs.structure import Structure
from napari_segnet.programs.torchscript import TorchScript

if TYPE_CHECKING:
    import torch

__all__ = [
    "LIBRARY",
    "PROGRAMS",
    "SOURCE",
    "STRUCTURE",
    "UNASKED",
    "UNASKED_COPY",
    "Program",
    "WritingProgram",
    "as_published",
    "assumed_facts",
    "endings_of",
    "is_bare",
    "is_published",
    "title_of",
    "unasked",
    "writer_of",
]


class Program(Protocol):
    """What every kind of program can do; it holds no state."""

    name: str
    """Short and stable, such as ``"keras"``; stands in files and JSON."""
    title: str
    """For people, such as ``"Network of Keras"``."""

    def detect(self, tree: Tree) -> bool:
        """Tell if a file is of this kind, by its container."""

    def describe(self, tree: Tree, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
        """Return the network, of the family ``graph``, without reading its weights.

        ``overrides`` holds what the user says of it by name. Raises a ``WeightsError`` that names
        what cannot be read, and ``SettingsError`` for a name or value that the program lacks.
        """


@runtime_checkable
class WritingProgram(Program, Protocol):
    """Optional: a kind of program whose trained networks are written back in its own layout."""

    endings: tuple[str, ...]
    """Whoever calls a file so will open it with that program."""
    own_only: bool
    """True if files of these names are another program's as well: only networks that came from this
    one are written so."""

    def check_name(self, checkpoint: Checkpoint, path: Path) -> None:
        """See, before hours of work, that a network can be written under a name.

        Raises ``OutputError`` that says which name can be had.
        """

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network, whole or not at all; its notes tell what is left out.

        ``checkpoint.path`` is the file that it came from, which stays as it is.
        """


PROGRAMS: tuple[Program, ...] = (StarDist(), Keras(), Onnx(), TorchScript(), Exported())
"""Every kind of program, in the order in which a file is shown to them."""

SOURCE = Source()
"""What reads the code beside bare weights; where it has their tensors, it is the network.

Without such code families are asked, then :data:`STRUCTURE`.
"""

LIBRARY = Library()
"""What draws bare weights of a known library by their names; it is asked after the families."""

STRUCTURE = Structure()
"""What reads bare weights; it is asked after all families."""


def title_of(checkpoint: Checkpoint) -> str:
    """Return what people call the program that a network came from; empty if from none."""
    titles = {one.name: one.title for one in PROGRAMS}
    titles |= {SOURCE.name: SOURCE.title, STRUCTURE.name: STRUCTURE.title}
    titles |= {LIBRARY.name: LIBRARY.title}
    return titles.get(checkpoint.program, "")


def writer_of(checkpoint: Checkpoint, path: Path) -> WritingProgram | None:
    """Return the program that writes a network under a name; None where its family does.

    Raises
    ------
    OutputError
        If the name is none of a weights file, or one of a program that cannot write this network.
    """
    # Several programs write files of one name; the one that a network came from is asked first.
    for program in sorted(PROGRAMS, key=lambda one: one.name != checkpoint.program):
        if not isinstance(program, WritingProgram):
            continue
        if program.own_only and program.name != checkpoint.program:
            continue
        if path.name.lower().endswith(program.endings):
            program.check_name(checkpoint, path)
            return program
    ending = path.suffix.lower()
    if ending in ENDINGS or ending == "" == checkpoint.path.suffix:
        return None  # files of some families have no ending
    raise OutputError(
        f"{path.name} is not the name of a weights file. Choose a name that ends in one of: "
        f"{', '.join(endings_of(checkpoint))}."
    )


def endings_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the endings under which a network can be written, that of its own program first."""
    own = tuple(
        ending
        for one in PROGRAMS
        if isinstance(one, WritingProgram) and one.name == checkpoint.program
        for ending in one.endings
        if checkpoint.path.name.lower().endswith(ending)
    )
    return (*own, *ENDINGS)
