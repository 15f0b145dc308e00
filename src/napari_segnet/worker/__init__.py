"""A process that does jobs for this one: whatever happens to it, this one goes on.

A :class:`Worker` is a Python of its own. What it is to do is a function and its arguments, all of
which pickle; progress, result and errors come back the same way. If it crashes, or the system ends
it for lack of memory, the job raises ``WorkerLostError``, and the next one has a new process.
"""

from __future__ import annotations

from napari_segnet.worker._worker import Worker

__all__ = ["Worker"]
