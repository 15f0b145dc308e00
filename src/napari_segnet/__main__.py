"""The same jobs without a window: the command ``napari-segnet``.

Exit codes: 0 done; 1 some images failed, the others are done; 2 refused before any image
was read: one sentence on standard error, nothing written; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from napari_segnet.commands import COMMANDS
from napari_segnet.errors import Cancelled, SegnetError

__all__ = ["main"]

STOPPED = 130
"""128 + SIGINT, as shells have it."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = _parser()
    args = parser.parse_args(words)
    try:
        code: int = args.command.run(args)
    except SegnetError as error:
        print(f"napari-segnet: {error}", file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("napari-segnet: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # The reader of our output (such as `head`) has seen enough.
        sys.stderr.close()
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-segnet",
        description="Your own network, on your own image: run it, score it, know what it is.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.help)
        command.arguments(sub)
        sub.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
