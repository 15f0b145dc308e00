"""The commands of the command line, one file each.

To add one, write a file with a class that has the methods of :class:`Command` and name it
in ``COMMANDS``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Protocol

from napari_segnet.commands.demo import Demo
from napari_segnet.commands.evaluate import Evaluate
from napari_segnet.commands.exchange import Export, Import
from napari_segnet.commands.inspect import Inspect
from napari_segnet.commands.models import Models
from napari_segnet.commands.segment import Segment
from napari_segnet.commands.train import Train

__all__ = ["COMMANDS", "Command"]


class Command(Protocol):
    """One command."""

    name: str
    help: str

    @property
    def examples(self) -> Sequence[tuple[str, str]]:
        """Words behind ``napari-segnet``, and what they do; shown at the end of the help."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit code: 0 done, 1 some images failed.

        A ``SegnetError`` that leaves it means: refused before any image was read.
        """


COMMANDS: tuple[Command, ...] = (
    Inspect(),
    Segment(),
    Evaluate(),
    Import(),
    Export(),
    Train(),
    Models(),
    Demo(),
)
"""In the order of the help."""
