"""Zip files: what they list, and where an entry's bytes really begin."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from napari_segnet.budget import Budget
from napari_segnet.containers._opcodes import Stream
from napari_segnet.containers._storage import UNPACKING, Region
from napari_segnet.errors import BrokenWeightsError
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["UTF8", "Archive", "names"]

MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # PKWARE APPNOTE 4.3.7
_ENCRYPTED = 0x2041
"""With a password, strongly, or with a masked directory: bits 0, 6 and 13 of APPNOTE 4.4.4."""
_PATCHED = 0x20
"""Bit 5: only changes to another file, which no program that is known unpacks."""
_FOLDER = 0x10
"""Of the attributes of MS-DOS; PyTorch reads a part that has it as zeros."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The packings that torch and Keras read."""
_END = struct.Struct("<4s4H2LH")
_ZIP64, _ZIP64_RECORD = b"PK\x06\x07", b"PK\x06\x06"
_LOCATOR = struct.Struct("<4sIQI")
_RECORD = struct.Struct("<4sQ2H2I4Q")
_LEFT_OUT = 12
"""Bytes of that record which its length does not count: the mark, and the length itself."""
_LISTED = struct.Struct("<4s6H3I5H2I")
_VOLUMES = (0, 1)
"""Numbers of the one file that there is; PyTorch takes both."""
_NO_DISK = (0, 0xFFFF)
"""One file only; or it is said elsewhere, in the record of zip64."""
_MAX_RATIO = 1100  # deflate packs at most 1032 to 1
_MAX_INDEX_BYTES = 256 * 2**20
_LEAST_INDEX_BYTES = 16 * 2**20
_INDEX_FOR_EACH = 16
"""Bytes of a list of tensors that are unpacked for each byte of the file; text packs 10 to 1."""
UTF8 = 0x800  # APPNOTE 4.4.4, bit 11: names are UTF-8, else code page 437
# What the zipfile module raises on damaged directories.
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    ValueError,
    OverflowError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
)


def names(head: bytes, path: Path) -> frozenset[str] | None:
    """Return the names in a zip file, None if it is none or has no readable listing."""
    if not head.startswith(MAGIC):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except _DAMAGE:
        return None


@dataclass(frozen=True, slots=True)
class Archive:
    """The listing of a zip file.

    Attributes
    ----------
    path : Path
        The file.
    entries : dict of str to ZipInfo
        By name.
    stamp : Stamp
        Of the file that was listed.
    checksums : bool
        False if every entry's checksum is zero: ``torch.save`` was told to store none.
    origin, length : int
        Where the zip file lies: from the first byte of the file on, or inside of another zip.
    """

    path: Path
    entries: dict[str, zipfile.ZipInfo]
    stamp: Stamp
    checksums: bool
    origin: int
    length: int

    @classmethod
    def open(cls, path: Path) -> Archive:
        """Read the listing; raises ``BrokenWeightsError`` where it contradicts the file."""
        state = path.stat()
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
            with path.open("rb") as file:
                end = state.st_size - _END.size - len(archive.comment)
                _require_one_disk(file, end, len(infos))
        except _DAMAGE as error:
            raise BrokenWeightsError(
                f"{path.name} is a damaged zip file ({error}). Download or copy it again."
            ) from error
        return cls._listed(path, infos, stamp_of(state), 0, state.st_size)

    @classmethod
    def _listed(
        cls, path: Path, infos: Sequence[zipfile.ZipInfo], stamp: Stamp, origin: int, length: int
    ) -> Archive:
        entries: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            _check(info, path, length)
            if info.filename in entries:
                raise BrokenWeightsError(
                    f"{path.name} is a damaged zip file: it lists its part "
                    f"{os.path.basename(info.filename)[:40]} twice, and programs differ in which "
                    "of the two they read. Save the network again, or download it again."
                )
            entries[info.filename] = info
        checksums = any(info.CRC for info in infos)
        return cls(path, entries, stamp, checksums, origin, length)

    def inner(self, name: str) -> Archive:
        """Return the listing of a zip file that is an entry of this one, stored as it is.

        Raises
        ------
        ValueError
            If it is packed, or none.
        """
        if self.entries[name].compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its part {name} is packed twice")
        region = self.region(name)
        try:
            with self.path.open("rb") as file:
                inside = _Window(file, region.start, region.length)
                with zipfile.ZipFile(inside) as archive:
                    infos = archive.infolist()
                end = region.length - _END.size - len(archive.comment)
                _require_one_disk(inside, end, len(infos))
        except _DAMAGE as error:
            raise ValueError(f"its part {name} is no zip file ({error})") from error
        return self._listed(self.path, infos, self.stamp, region.start, region.length)

    def region(self, name: str, *, swap: bool = False) -> Region:
        """Return where an entry's bytes are; raises ``ValueError`` if they are not there."""
        info = self.entries.get(name)
        if info is None:
            raise ValueError(f"its part {name} is missing")
        _require_known(info)
        if info.compress_type != zipfile.ZIP_STORED:
            if self.origin:
                raise ValueError(f"its part {name} is packed in a zip inside of a zip")
            return Region(
                path=self.path,
                start=0,
                length=info.file_size,
                stamp=self.stamp,
                entry=name,
                swap=swap,
            )
        start = self._data_start(info)
        if start + info.file_size > self.origin + self.length:
            raise ValueError(f"its part {name} reaches beyond the end of the file")
        return Region(
            path=self.path,
            start=start,
            length=info.file_size,
            stamp=self.stamp,
            swap=swap,
            checksum=info.CRC if self.checksums else None,
        )

    def read(self, name: str) -> bytes:
        """Return a small entry, such as the pickle that lists the tensors."""
        info = self.entries[name]
        most = min(_MAX_INDEX_BYTES, _LEAST_INDEX_BYTES + _INDEX_FOR_EACH * self.length)
        if info.file_size > most:
            raise BrokenWeightsError(
                f"{self.path.name} has a list of tensors of {info.file_size:,} bytes, more than "
                f"the {most:,} that a network in such a file needs; it is damaged or no weights "
                "file. Save the network's state dict alone."
            )
        try:
            _require_known(info)
            if info.compress_type != zipfile.ZIP_STORED and not self.origin:
                return self._unpacked(info)
            # Not through zipfile: torch may have been told to write no checksums.
            region = self.region(name)
            with self.path.open("rb") as file:
                file.seek(region.start)
                data = file.read(region.length)
            if region.checksum is not None and zlib.crc32(data) != region.checksum:
                raise ValueError("its bytes do not have the checksum that the file says")
            return data
        except UNPACKING as error:
            raise BrokenWeightsError(
                f"{self.path.name} is damaged: its part {name} cannot be read ({error}). "
                "Download or copy it again."
            ) from error

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        """Return a deflated entry.

        Not through zipfile, which reads the whole listing again for each entry: a traced network
        has a thousand.
        """
        with self.path.open("rb") as file:
            file.seek(self._data_start(info))
            packed = file.read(info.compress_size)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        data = unpacker.decompress(packed, info.file_size + 1)
        if len(data) != info.file_size or not unpacker.eof:
            raise ValueError(f"it has not the {info.file_size:,} bytes that are said")
        if self.checksums and zlib.crc32(data) != info.CRC:
            raise ValueError("its bytes do not have the checksum that the file says")
        return data

    def stream(self, data: bytes) -> Stream:
        """Return an entry's bytes as a pickle, with the budget of the file that it came out of."""
        return Stream(io.BytesIO(data), len(data), Budget.of_file(min(len(data), self.length)))

    def _data_start(self, info: zipfile.ZipInfo) -> int:
        with self.path.open("rb") as file:
            file.seek(self.origin + info.header_offset)
            header = file.read(_LOCAL_HEADER.size)
            listed = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")
            own = file.read(len(listed))
        if len(header) < _LOCAL_HEADER.size or not header.startswith(MAGIC):
            raise ValueError(f"its part {info.filename} does not begin where it should")
        *_rest, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if name_length != len(listed) or own != listed:
            raise ValueError(f"its part {info.filename} has another name where it begins")
        begin = self.origin + info.header_offset
        return begin + _LOCAL_HEADER.size + int(name_length) + int(extra_length)


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own that can only be read."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if begin + offset < 0:
            raise ValueError("a place before the begin of a part")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = max(min(len(buffer), self._length - self._at), 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _require_known(info: zipfile.ZipInfo) -> None:
    if info.compress_type not in _METHODS:
        raise ValueError(
            f"its part {info.filename[-60:]} is packed by method {info.compress_type}, which no "
            "program that writes weights uses"
        )


def _require_one_disk(file: BinaryIO | _Window, place: int, count: int) -> None:
    """Refuse a part of an archive that is cut into several files (APPNOTE 4.3.16).

    The number of its parts, and where they are listed, are compared as well.
    """
    file.seek(max(place - _RECORD.size - _LOCATOR.size, 0))
    before = file.read(min(place, _RECORD.size + _LOCATOR.size))
    file.seek(max(place, 0))
    end = file.read(_END.size)
    large = before[-_LOCATOR.size :].startswith(_ZIP64)
    if len(end) < _END.size or any(n not in _NO_DISK[: 1 + large] for n in _END.unpack(end)[1:3]):
        raise zipfile.BadZipFile("it says that it is one of several files")
    _, _, _, here, every, size, start, _ = _END.unpack(end)
    if large:
        _require_record(before, place, count)
        place -= _LOCATOR.size + _RECORD.size
        size = _RECORD.unpack(before[: _RECORD.size])[8]
    elif (here, every) != (count, count):
        raise zipfile.BadZipFile(f"it says another number of parts than the {count} that it lists")
    elif start + size != place:
        raise zipfile.BadZipFile("its list of parts is not where it says")
    _require_directory(file, place - size, size, count)


def _require_directory(file: BinaryIO | _Window, start: int, size: int, count: int) -> None:
    """Refuse a list of parts one of which is longer than the list (APPNOTE 4.3.12)."""
    file.seek(max(start, 0))
    listed = file.read(size)
    at = 0
    for _ in range(count):
        if at + _LISTED.size > len(listed):
            break
        at += _LISTED.size + sum(_LISTED.unpack_from(listed, at)[10:13])
    if at != size:
        raise zipfile.BadZipFile("its list of parts has another length than it says")


def _require_record(before: bytes, place: int, count: int) -> None:
    """Compare what zip64 says with what is there (APPNOTE 4.3.14 and 4.3.15)."""
    if len(before) < _RECORD.size + _LOCATOR.size:
        raise zipfile.BadZipFile("its list of parts has no end")
    own = place - _LOCATOR.size - _RECORD.size
    _, disk, said, disks = _LOCATOR.unpack(before[_RECORD.size :])
    mark, length, *_, here, first, listed, every, size, start = _RECORD.unpack(
        before[: _RECORD.size]
    )
    if length != _RECORD.size - _LEFT_OUT:
        raise zipfile.BadZipFile("the end of its list of parts has another length than it says")
    if disk or disks != 1 or here or first:
        raise zipfile.BadZipFile("it says that it is one of several files")
    if (mark, said, start + size) != (_ZIP64_RECORD, own, own):
        raise zipfile.BadZipFile("its list of parts does not end where it says")
    if (listed, every) != (count, count):
        raise zipfile.BadZipFile(f"it says another number of parts than the {count} that it lists")


def _check(info: zipfile.ZipInfo, path: Path, file_size: int) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise BrokenWeightsError(
            f"{path.name} is a zip file with a password; unpack it and open the weights inside."
        )
    if info.volume not in _VOLUMES:
        raise BrokenWeightsError(
            f"{path.name} is a damaged zip file: its part {os.path.basename(info.filename)[:40]} "
            "is said to be in another file. Download or copy it again."
        )
    if info.flag_bits & _PATCHED or "\0" in info.orig_filename:
        raise BrokenWeightsError(
            f"{path.name} is a damaged zip file: its part {os.path.basename(info.filename)[:40]} "
            "is listed in a way that programs read differently. Download or copy it again."
        )
    if info.external_attr & _FOLDER and info.file_size:
        raise BrokenWeightsError(
            f"{path.name} is a damaged zip file: its part {os.path.basename(info.filename)[:40]} "
            "is said to be a folder, and has bytes. Download or copy it again."
        )
    stored = info.compress_type == zipfile.ZIP_STORED
    packed = info.compress_size
    if (
        not 0 <= info.header_offset <= file_size
        or info.header_offset + packed > file_size
        or (stored and packed != info.file_size)
        or info.file_size > packed * _MAX_RATIO + 1024
    ):
        shown = os.path.basename(info.filename)[:40]
        raise BrokenWeightsError(
            f"{path.name} is a damaged zip file: its part {shown} claims "
            f"{info.file_size:,} bytes that are not there. Download or copy it again."
        )
