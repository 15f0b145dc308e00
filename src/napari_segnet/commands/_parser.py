"""The words of a command line: mistakes are a sentence, and every help ends with examples."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from napari_segnet.errors import SettingsError

if TYPE_CHECKING:
    from napari_segnet.commands import Command

__all__ = ["Parser", "make_parser"]

PROGRAM = "napari-segnet"
EXAMPLES = (
    ("demo", "a sample image, segmented"),
    ("inspect unet.pth", "what a weights file is"),
    ("segment cells.tif -c unet.pth", "labels of an image"),
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in a sentence, without a page of usage, and what may have been meant."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}. See {self.prog} --help.")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments, as argparse does; unknown ones get a suggestion."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = getattr(found, "parser", self)
            command.error(
                f"unrecognized arguments: {' '.join(unknown)}{_options(command, unknown)}"
            )
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        # As argparse words it, with the most similar word.
        choices = ", ".join(repr(choice) for choice in action.choices)
        raise argparse.ArgumentError(
            action,
            f"invalid choice: {value!r}{_similar(str(value), action.choices)} (choose from "
            f"{choices})",
        )


def make_parser(commands: Sequence[Command], version: type[argparse.Action]) -> Parser:
    """Return the parser of all commands.

    Parameters
    ----------
    commands : sequence of Command
        In the order of the help.
    version : type of argparse.Action
        Prints the version.
    """
    parser = Parser(
        prog=PROGRAM,
        description="Your own network, on your own image: run it, score it, train it.",
        epilog=_examples(EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=version, nargs=0, help="print the version and exit")
    subs = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        sub = subs.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            epilog=_examples(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.arguments(sub)
        sub.set_defaults(command=command, parser=sub)
    return parser


def _examples(examples: Sequence[tuple[str, str]]) -> str:
    lines = [f"  {PROGRAM} {words}\n      {what}" for words, what in examples]
    return "\n".join(["examples:", *lines])


def _options(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> str:
    """Return what the first unknown option may have meant."""
    known = [name for action in parser._actions for name in action.option_strings]
    wrong = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
    return _similar(wrong, known) if wrong else ""


def _similar(word: str, known: Iterable[str]) -> str:
    from napari_segnet.settings import suggestion

    return suggestion(word, known)
