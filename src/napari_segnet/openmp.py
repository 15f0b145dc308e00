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
"""Rounds of libgomp: about as long as it takes to wake a thread. On a busy machine values up to
3000 could not be told apart (``benchmarks/threads.py``); on a quiet one none was measured.
Milliseconds of the others: the least that is not none, not measured either."""


def bound_waiting(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let threads wait awake for a moment only; OpenMP asks when it is loaded, so before torch."""
    if "torch" in sys.modules or any(name in environ for name in ASKED):
        return
    environ.update(WAIT)
