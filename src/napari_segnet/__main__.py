"""The same jobs without a window: the command ``napari-segnet``.

Exit codes: 0 done; 1 some images failed, the others are done; 2 refused before any image
was read: one sentence on standard error, nothing written; 130 stopped by Ctrl-C or by a
signal to terminate; 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from napari_segnet.commands import COMMANDS
from napari_segnet.commands._parser import make_parser
from napari_segnet.errors import Cancelled

__all__ = ["main"]

FAILED = 2
STOPPED = 128 + signal.SIGINT
"""As shells have it."""
UNREAD = 141
"""128 + SIGPIPE, which Windows lacks."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    from napari_segnet.commands._failure import in_words

    _never_choke()
    try:
        with _stoppable():
            try:
                args = make_parser(COMMANDS, _Version).parse_args(words)
            except SystemExit:  # after --help and --version
                sys.stdout.flush()
                raise
            code: int = args.command.run(args)
            sys.stdout.flush()
            return code
    except (Cancelled, KeyboardInterrupt):
        print("napari-segnet: stopped; what was finished is kept", file=sys.stderr)
        if words is None:
            # The command itself: unloading torch takes a second in which nothing happens.
            _leave(STOPPED)
        return STOPPED
    except BrokenPipeError:
        _give_up_output()
        return UNREAD
    except Exception as error:
        print(f"napari-segnet: {in_words(error)}", file=sys.stderr)
        _give_up_output()
        return FAILED


def _leave(code: int) -> NoReturn:
    """End the process at once; results and temporary files are in order by now."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: Any) -> NoReturn:
        from napari_segnet import __version__

        print(f"napari-segnet {__version__}")
        parser.exit()


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let a signal to terminate, or a terminal that closes, do what Ctrl-C does: clean up, stop."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none; nohup has it ignored
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _never_choke() -> None:
    """Escape letters that the terminal does not know, such as those of odd file names."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _give_up_output() -> None:
    """Keep Python from complaining, at its end, of output that cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            continue
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
