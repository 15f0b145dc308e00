"""How threads of OpenMP, on which torch computes, wait for each other: awake for a moment.

A thread that has done its part of a layer waits for the others. libgomp, which torch brings
along on Linux, lets it turn in circles for 300,000 rounds (some milliseconds) before it sleeps;
LLVM's and Intel's runtimes (macOS, Windows, conda) for 200 ms. Beside another program on the
same cores these rounds take the time that the others would need: the same labels took 2 to 3
times as long. Without any rounds, each of the many short waits of a network costs a wake-up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

__all__ = ["ASKED", "WAIT", "bound_waiting"]

ASKED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""By any of these a user says how threads wait; then nothing is changed."""
WAIT = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}
"""Rounds of libgomp: about as long as it takes to wake a thread. On two cores this takes 1.00 times
as long as the best of nine ways with the machine to itself (the default 1.02, no rounds 1.06) and
1.01 times beside a busy thread (default 1.50, no rounds 1.02, 10,000 rounds 1.20), measured by
``benchmarks/threads.py``. Milliseconds of the others: the least that is not none, not measured."""


def bound_waiting(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let threads wait awake for a moment only; OpenMP asks when it is loaded, so before torch."""
    if "torch" in sys.modules or any(name in environ for name in ASKED):
        return
    environ.update(WAIT)
