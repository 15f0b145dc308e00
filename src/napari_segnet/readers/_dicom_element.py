"""The element of a DICOM file with its pixels: its kind, its length, and that it is the last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, Literal

from napari_segnet.errors import ImageError

__all__ = ["require_pixels"]

UNDEFINED = 0xFFFFFFFF
"""The length of what comes in pieces."""
KINDS = ("OB", "OW", "OF", "OD", "UN")
"""Kinds of values that pixels are written in, where a file says it."""
IN_PIECES = KINDS[:-1]
"""Of pixels in pieces: of an unknown kind, these are a list of objects
(https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.2.html)."""
TAG = {"little": b"\xe0\x7f\x10\x00", "big": b"\x7f\xe0\x00\x10"}
GROUPS = (b"\xe0\x7f", b"\x7f\xe0")
PIECE = b"\xfe\xff\x00\xe0"
"""How a piece of packed pixels begins; they are little-endian."""
END = b"\xfe\xff\xdd\xe0"
"""What stands behind the last piece."""
CHARACTERS = 0x00080005
"""The element that pydicom never skips: in which characters texts are."""
LEAST = 8
"""Bytes of the shortest element; fewer at the end of a file are none."""


def require_pixels(path: Path, file: BinaryIO, header: Any, *, is_packed: bool) -> int | None:
    """Return how many bytes the element says that it has at which a header ends.

    Parameters
    ----------
    path : Path
        Of the file, for the error.
    file : binary file
        At the element; it is left anywhere.
    header : Dataset
        What stands before.
    is_packed : bool
        Whether pixels come in pieces.

    Returns
    -------
    int or None
        None where it does not say: pixels in pieces, files of old programs, and files that end
        there. https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_7.1.2.html

    Raises
    ------
    ImageError
        If it is of a kind that no pixels have, has no end, or is followed by what belongs before
        it, such as other pixels: pydicom sees that, or does not, as it is asked.
    """
    start, head = file.tell(), file.read(12)
    implicit, little = header.original_encoding
    # One that says it of itself: files are seen that change from one way to the other.
    implicit = getattr(header.get_item("Rows"), "is_implicit_VR", implicit)
    place = slice(4, 8) if implicit else slice(8, 12)
    if implicit is None or len(head) < place.stop:
        return None
    kind = head[4:6].decode("latin-1")
    order: Literal["little", "big"] = "little" if little else "big"
    length = int.from_bytes(head[place], order)
    kinds = IN_PIECES if length == UNDEFINED else KINDS
    if not implicit and head[:2] in GROUPS and kind not in kinds:
        raise ImageError(f"{path.name} is damaged: no pixels are of kind {kind!r}. Copy it again.")
    if head[:4] != TAG[order]:
        return None if length == UNDEFINED else length
    if length == UNDEFINED and not is_packed:
        raise ImageError(
            f"{path.name} is damaged: it does not say where its pixels end. Copy or export it "
            "again."
        )
    file.seek(start + place.stop + (0 if length == UNDEFINED else length))
    behind = _number(_behind(path, file, in_pieces=length == UNDEFINED), order)
    if 0 < behind <= _number(TAG[order], order):
        raise ImageError(
            f"{path.name} is damaged: behind its pixels stands what belongs before them. Copy or "
            "export it again."
        )
    if behind:
        file.seek(-LEAST, os.SEEK_CUR)
        _require_ends(path, file, implicit=implicit, little=little)
    return None if length == UNDEFINED else length


def _require_ends(path: Path, file: BinaryIO, *, implicit: bool, little: bool) -> None:
    """Refuse elements from here on without an end: pydicom that reads them has no pixels then."""
    from pydicom.filereader import data_element_generator

    try:
        for _ in data_element_generator(file, implicit, little, specific_tags=[CHARACTERS]):
            pass
    except EOFError as error:
        raise ImageError(
            f"{path.name} is damaged: what stands behind its pixels has no end. Copy or export it "
            "again."
        ) from error


def _number(tag: bytes, order: Literal["little", "big"]) -> int:
    """Return group and element as a number, by which tags are sorted; 0 without: zeros follow."""
    return int.from_bytes(tag[:2], order) << 16 | int.from_bytes(tag[2:], order)


def _behind(path: Path, file: BinaryIO, *, in_pieces: bool) -> bytes:
    """Return the tag of the element that follows; nothing where there is none."""
    if in_pieces:
        while (head := file.read(LEAST))[:4] == PIECE:
            file.seek(int.from_bytes(head[4:], "little"), 1)
        if head[:4] != END and (head or not _ends_there(file)):
            raise ImageError(
                f"{path.name} is damaged: the pieces of its pixels do not end where they say. Copy "
                "or export it again."
            )
    head = file.read(LEAST)
    return head[:4] if len(head) == LEAST else b""


def _ends_there(file: BinaryIO) -> bool:
    """Tell if a file ends with its last piece, as some writers do, and this is no cut one."""
    here = file.tell()
    if here != file.seek(0, os.SEEK_END):
        return False
    file.seek(-LEAST, os.SEEK_END)
    return file.read(LEAST)[:4] != END
