"""What a DICOM file may cost before it is parsed: pydicom unpacks it whole, and makes each item."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from napari_segnet.errors import ImageError

__all__ = ["require_few_items", "require_little_unpacked"]

PREAMBLE, MAGIC = 128, b"DICM"
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Kinds of values whose length has four bytes behind two that are reserved
(https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_7.1.2.html)."""
LEAST_BYTES = 64 * 1024**2
MOST_RATIO = 64
"""Deflated files of images are a half to a twentieth of what they hold. Up to ``LEAST_BYTES`` all
may be unpacked, such as masks; pydicom takes twice as much memory."""
PIECE_BYTES = 64 * 1024

ITEM = b"\xfe\xff\x00\xe0"
SMALL_BYTES = 8 * 1024**2
"""Larger files take the time that their size lets expect."""
MANY = 10_000
LEAST_ITEM_BYTES = 24
"""An item has a head of eight bytes, and elements of ten or more. pydicom takes 0.1 ms for one."""


def require_little_unpacked(path: Path, file: BinaryIO, length: int) -> None:
    """Refuse a deflated file that holds far more than its length lets expect.

    Parameters
    ----------
    path : Path
        Of the file, for the error.
    file : binary file
        Of the standard, with a preamble; it is read from its beginning.
    length : int
        Bytes of the file.

    Raises
    ------
    ImageError
        If it does; before memory is spent.
    """
    file.seek(_behind_meta(file))
    unpacker, most = zlib.decompressobj(-zlib.MAX_WBITS), max(LEAST_BYTES, MOST_RATIO * length)
    total, piece = 0, b""
    while total <= most and not unpacker.eof:
        piece = unpacker.unconsumed_tail or file.read(PIECE_BYTES)
        if not piece:
            return
        total += len(unpacker.decompress(piece, PIECE_BYTES))
    if total > most:
        raise ImageError(
            f"{path.name} is packed so that its {length:,} bytes become more than {most:,}. If "
            "that is right, convert it to an unpacked one, for example with dcmtk's dcmconv."
        )


def _behind_meta(file: BinaryIO) -> int:
    """Return where the elements of group 2, which are never packed, end."""
    at = PREAMBLE + len(MAGIC)
    while True:
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:2] != b"\x02\x00":
            return at
        if head[4:6] in LONG:
            at += 12 + int.from_bytes(head[8:12], "little")
        else:
            at += 8 + int.from_bytes(head[6:8], "little")


def require_few_items(path: Path, file: BinaryIO, length: int) -> None:
    """Refuse a small file of tens of thousands of items without content.

    Parameters
    ----------
    path, file, length
        As above.

    Raises
    ------
    ImageError
        If it is one.
    """
    if not MANY * len(ITEM) < length <= SMALL_BYTES:
        return
    file.seek(0)
    count = file.read().count(ITEM)
    if count > MANY and count * LEAST_ITEM_BYTES > length:
        raise ImageError(
            f"{path.name} is damaged: its lists have {count:,} items in {length:,} bytes, so most "
            "of them are empty. Copy or export it again."
        )
