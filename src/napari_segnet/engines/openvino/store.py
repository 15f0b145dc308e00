"""Converted networks on disk: whole or not at all, by weights and versions, up to a bound.

Each has a folder in the user's cache: ``network.xml`` and ``network.bin`` as OpenVINO writes them,
``cut.xml`` and ``cut.bin`` where it can be cut for a part of its answer, or ``refused.txt`` where
it cannot be converted; ``sums.json`` tells whether they are as they were written,
``choice-N.json`` for N threads whether it is faster than torch and agrees with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_segnet.atomic import write_text
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.facts import deciding_facts
from napari_segnet.extras import version
from napari_segnet.folders import cache_folder

__all__ = ["KeptNetwork", "kept_network"]

LIMIT_BYTES = 4 * 1024**3
"""Of all converted networks: twice what is kept loaded (``cache.py``)."""
FORMAT = "5"
"""Raised where networks are to be converted again, though no version of a package changed."""
SUMS = "sums.json"
CHUNK_BYTES = 2**20
PACKAGES = ("napari-segnet", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class KeptNetwork:
    """Where a converted network is kept; nothing need be there yet.

    Attributes
    ----------
    folder : Path
        Its own.
    """

    folder: Path

    @property
    def model(self) -> Path | None:
        """Return the file of the network; None if it is not there."""
        return self._there("network.xml")

    @property
    def cut(self) -> Path | None:
        """Return the file of the network that takes where it is cut; None if it cannot be."""
        return self._there("cut.xml")

    @property
    def refusal(self) -> str | None:
        """Return why it cannot be converted; None if that is not known."""
        with contextlib.suppress(OSError, ValueError):  # not there, or not to be read: try again
            return (self.folder / "refused.txt").read_text("utf-8") or None
        return None

    def _there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() and path.with_suffix(".bin").exists() else None

    def put(self, write: Callable[[Path], object]) -> None:
        """Keep what ``write`` writes into the folder that it is given, and drop what is old.

        What another process put there meanwhile stays, unless it is damaged.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".part-", dir=self.folder.parent, ignore_cleanup_errors=True
        ) as part:
            whole = Path(part) / "whole"
            whole.mkdir()
            write(whole)
            sums = {file.name: _sum(file) for file in whole.iterdir()}
            (whole / SUMS).write_text(json.dumps(sums), "utf-8")
            if self.folder.exists() and not self.is_sound():
                self.discard()
            with contextlib.suppress(OSError):  # another was faster: the same network
                whole.rename(self.folder)
        _drop_old(self.folder.parent, LIMIT_BYTES, self.folder)

    def is_sound(self) -> bool:
        """Tell if what was kept is there, and as it was written."""
        try:
            sums = json.loads((self.folder / SUMS).read_text("utf-8"))
            return bool(sums) and all(_sum(self.folder / n) == wanted for n, wanted in sums.items())
        except (OSError, ValueError, AttributeError):  # gone, or no longer what was written
            return False

    def discard(self) -> None:
        """Remove it with all that was measured of it."""
        _remove(self.folder)

    def touch(self) -> None:
        """Mark it as just used."""
        with contextlib.suppress(OSError):  # a cache that is read-only keeps its order
            os.utime(self.folder)

    def choice(self, threads: int) -> dict[str, Any] | None:
        """Return what was measured for so many threads; None if nothing was."""
        try:
            found = json.loads((self.folder / f"choice-{threads}.json").read_text("utf-8"))
        except (OSError, ValueError):  # measured again, if it is asked for
            return None
        return found if isinstance(found, dict) else None

    def choose(self, threads: int, measured: dict[str, Any]) -> None:
        """Keep what was measured for so many threads."""
        write_text(self.folder / f"choice-{threads}.json", json.dumps(measured, indent=1))


def kept_network(checkpoint: Checkpoint) -> KeptNetwork:
    """Return where a network is kept; it need not be there."""
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    said = "\n".join([FORMAT, *versions, checkpoint.sha256, deciding_facts(checkpoint)])
    name = hashlib.sha256(said.encode()).hexdigest()[:32]
    return KeptNetwork(cache_folder() / "openvino" / name)


def _drop_old(store: Path, limit_bytes: int, but: Path) -> None:
    """Remove the networks used longest ago, until the others fit; never that of ``but``."""
    found = []
    for folder in store.iterdir():
        with contextlib.suppress(OSError):  # another process removed it meanwhile
            size = sum(file.stat().st_size for file in folder.iterdir())
            found.append((folder == but, folder.stat().st_mtime, folder, size))
    total = 0
    for mine, _, folder, size in sorted(found, reverse=True):
        total += size
        if total > limit_bytes and not mine and not folder.name.startswith("."):
            _remove(folder)


def _remove(folder: Path) -> None:
    # Renamed first: half a network is never found.
    gone = folder.with_name(f".part-{folder.name}-{os.getpid()}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _sum(file: Path) -> int:
    """Return a sum over the bytes of a file, which changes with any of them."""
    total = 0
    with file.open("rb") as read:
        while chunk := read.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total
