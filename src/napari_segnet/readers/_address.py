"""Images that are named by an address (``https:``, ``s3:``): which text is one, and its files.

Files are reached by fsspec, which torch brings; https://filesystem-spec.readthedocs.io
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError
from napari_segnet.extras import address_package

__all__ = ["Place", "RemoteFolder", "address_of", "described", "local_path", "named"]

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\]{1,2}(?=[^/\\])")
"""A scheme of two letters or more, for ``C:/`` is a disk; ``Path`` leaves one slash of two."""
_FILE = re.compile(r"file:/{1,3}(?=[^/])", re.IGNORECASE)


def address_of(path: str | os.PathLike[str]) -> str | None:
    """Return the address that a text or a path stands for; None for what lies on a disk.

    >>> from pathlib import PurePosixPath
    >>> address_of(PurePosixPath("https://example.org/cells.zarr/"))
    'https://example.org/cells.zarr'
    """
    text = os.fspath(path)
    found = _ADDRESS.match(text)
    if found is None or found[1].lower() == "file" or os.path.lexists(text):
        return None
    rest = text[found.end() :].replace("\\", "/").rstrip("/")
    return f"{found[1].lower()}://{rest}"


def named(path: Path) -> str:
    """Return a path, or the address that it stands for, as the user wrote it."""
    return address_of(path) or str(path)


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return the path on a disk, which may be written as ``file:///home/ada/cells.zarr``."""
    text = os.fspath(path)
    if _FILE.match(text) is None or os.path.lexists(text):
        return Path(text)
    from urllib.parse import unquote
    from urllib.request import url2pathname

    rest = unquote(_FILE.sub("/", text.replace("\\", "/")))
    return Path(url2pathname(rest) if os.name == "nt" else rest)


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder, or a file in one, that is named by an address.

    Attributes
    ----------
    address : str
        Without a slash at the end.
    """

    address: str

    @property
    def name(self) -> str:
        """Return its last part, without what a server is asked beside it."""
        return self.address.partition("?")[0].rpartition("/")[2]

    def __truediv__(self, name: str) -> RemoteFolder:
        path, ask, query = self.address.partition("?")
        return RemoteFolder(f"{path}/{name.strip('/')}{ask}{query}")

    def __str__(self) -> str:
        return self.address

    def read(self, most: int) -> bytes | None:
        """Return at most so many bytes of a file; None where there is none.

        Raises
        ------
        ImageError
            If the place cannot be reached.
        MissingExtraError
            If the package for such addresses is not installed.
        """
        files, path = self._files()
        try:
            found: bytes = files.cat_file(path, start=0, end=most)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except Exception as error:  # of whatever library speaks to such a place
            raise self.refused(error) from error
        return found

    def refused(self, error: Exception) -> ImageError:
        """Return what to say where it cannot be reached."""
        lines = str(error).strip().splitlines()
        return ImageError(
            f"{self.address} cannot be read ({lines[0][:150] if lines else type(error).__name__}). "
            "Check the address and the connection, and for a private place that your keys are "
            "set; or copy the image to a disk."
        )

    def _files(self) -> tuple[Any, str]:
        fsspec = address_package(self.address)
        try:
            files, path = fsspec.core.url_to_fs(self.address)
        except Exception as error:
            raise self.refused(error) from error
        return files, path


Place = Path | RemoteFolder
"""Where Zarr lies."""


def described(place: Place, most: int) -> bytes | None:
    """Return at most so many bytes of a small file; None where there is none."""
    if isinstance(place, RemoteFolder):
        return place.read(most)
    if not place.is_file():
        return None
    with place.open("rb") as file:
        return file.read(most)
