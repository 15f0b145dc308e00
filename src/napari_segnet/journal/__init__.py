"""A journal of corrections: every act on a label image, on disk within a moment, never half.

A journal is one file that only grows. After a line that names the format come records::

    length (u32) | CRC-32 of the rest (u32) | kind (1 byte) | payload (length bytes)

little-endian. Payloads are compressed by zlib. Kinds:

====  =======================================================================================
kind  payload
====  =======================================================================================
P     a patch of the *document* (JSON): whatever belongs to the labels and is no pixel
S     a snapshot of all pixels begins: shape and dtype (JSON)
C     a box of that snapshot
E     the snapshot is complete
A     an act: what, when, the pixels that it changed with their values before and after, and
      a patch of the document
====  =======================================================================================

A file that was cut off anywhere, as by a crash, reads as all records in front of the cut: an
act is there or it is not.

A file that was damaged inside reads on with the next record whose length and check sum are
right. Acts in front of the damage, and all that a whole snapshot behind it holds, are as they
were. An act behind it is done again if each pixel that it changed is as it was before; else an
act that is lost lies between, and it is left out and counted.

The boxes of a snapshot are taken one after the other while the user goes on, with acts in
between. A box holds the acts in front of it in the file and none behind it. So records are
taken in their order, from the beginning of the last complete snapshot on: what a box says wins
over what was there, an act changes what it says. And no cut leaves a part of an act.

A journal that is being written belongs to its program (``ownership.py``), and only its user may
read it.
"""

from __future__ import annotations

from napari_segnet.journal._acts import Act, Change, Patch, apply_patch, changes_at, difference
from napari_segnet.journal._read import Recovered, Summary, replay, summary
from napari_segnet.journal._write import Journal, own, slabs

__all__ = [
    "SUFFIX",
    "Act",
    "Change",
    "Journal",
    "Patch",
    "Recovered",
    "Summary",
    "apply_patch",
    "changes_at",
    "difference",
    "own",
    "replay",
    "slabs",
    "summary",
]

SUFFIX = ".journal"
