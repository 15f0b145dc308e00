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

The boxes of a snapshot are taken one after the other while the user goes on, with acts in
between. This is sound because an act says what its pixels *are* afterwards: where a box was
taken after an act, applying the act again changes nothing. So the pixels are the last
complete snapshot and, on it, every act behind its beginning, in order. And since a box may
hold only acts that stand in front of it in the file, no cut leaves a part of one.
"""

from __future__ import annotations

from napari_segnet.journal._acts import Act, Change, changes_at, difference, patched
from napari_segnet.journal._read import Recovered, Summary, replay, summary
from napari_segnet.journal._write import Journal, slabs

__all__ = [
    "SUFFIX",
    "Act",
    "Change",
    "Journal",
    "Recovered",
    "Summary",
    "changes_at",
    "difference",
    "patched",
    "replay",
    "slabs",
    "summary",
]

SUFFIX = ".journal"
