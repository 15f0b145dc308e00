"""Several networks at once, each by threads of its own.

Layers of few pixels gain little from more threads, and between them Python works by one alone:
two networks side by side, each by one thread, take less time than one after the other by two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

__all__ = ["at_once"]

T = TypeVar("T")
MOST = 4
"""Each takes the memory of its answers, and more gain little."""


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Return what each of some functions returns, in their order.

    They are cancelled with the job that is at work here.

    Parameters
    ----------
    works : sequence of callable
        Each of them runs in a thread, but for a single one; so many at once as torch may use
        threads, up to four.

    Raises
    ------
    Exception
        What the first of them raised that did; the others have ended by then.
    """
    before = torch.get_num_threads()
    count = min(before, len(works), MOST)
    if count < 2:
        return [work() for work in works]
    waiting = SimpleQueue[tuple[Future[T], Callable[[], T]]]()
    futures = []
    for work in works:
        future = Future[T]()
        futures.append(future)
        waiting.put((future, work))
    begun = threading.Barrier(count + 1)
    contexts = [copy_context() for _ in range(count)]
    threads = [
        threading.Thread(target=context.run, args=(_emptied, waiting, before // count, begun))
        for context in contexts
    ]
    try:
        for thread in threads:
            thread.start()
        begun.wait()
    except BaseException:
        begun.abort()
        raise
    finally:
        # Each thread keeps its own number; that of threads that come later is the one set last.
        torch.set_num_threads(before)
    for thread in threads:
        thread.join()
    return [future.result() for future in futures]


def _emptied(
    waiting: SimpleQueue[tuple[Future[T], Callable[[], T]]],
    count: int,
    begun: threading.Barrier,
) -> None:
    """Do what waits, one after the other, by so many threads."""
    # The first question in a thread gives it the number that was set last, by whichever thread.
    torch.get_num_threads()
    torch.set_num_threads(count)
    begun.wait()
    while True:
        try:
            future, work = waiting.get_nowait()
        except Empty:
            return
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
