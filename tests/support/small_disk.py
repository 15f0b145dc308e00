"""A disk that is full: no file grows beyond some bytes."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within it no file of this process grows beyond so many bytes.

    Python compiles no module to disk meanwhile: it would keep a file that is cut off, and every
    later process would fail to import that module.
    """
    limit, writes = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        sys.dont_write_bytecode = writes
        signal.signal(signal.SIGXFSZ, handler)
