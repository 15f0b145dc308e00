"""Blocks of an answer on the disk, a file for each tile: a run that was cut off goes on with them.

Each block gets its name when it is whole, so that its name is its marker; a checksum tells one that
a power failure cut off. ``run.json`` says which run they are of, and what it chose on its way.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import ENDING, reason, write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.errors import OTHER_FOLDER, REPLACE, OutputError
from napari_segnet.ownership import Hold, hold

__all__ = ["Blocks", "KeptPlace"]

RECORD, BLOCK = "run.json", ".npz"
WAIT_S = 5.0
"""How long another run of the same image may still hold the folder, such as one that is ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlace:
    """Where the answer to one image is kept on the disk while it is made.

    Attributes
    ----------
    folder : Path
        Of nothing else; it need not exist.
    overwrite : bool
        Begin again where a run with other settings, or of another image, left its answer.
    only_large : bool
        Keep only answers that are too large for memory: smaller ones are soon made again.
    """

    folder: Path
    overwrite: bool = False
    only_large: bool = False

    def record(self) -> dict[str, Any] | None:
        """Return what is written of the run that is kept; None if none is, empty if damaged."""
        path = self.folder / RECORD
        if not path.is_file():
            return None
        try:
            found = parsed_json(path.read_bytes(), nan=True, file_names=True)
        except ValueError:
            found = {}
        return dict(found) if isinstance(found, Mapping) else {}

    def run(self) -> Mapping[str, Any]:
        """Return which run is kept, as :class:`Blocks` takes it; empty if that is not known."""
        try:
            found = (self.record() or {}).get("run")
        except OSError:  # said when the run begins
            return {}
        return found if isinstance(found, Mapping) else {}

    def remove(self) -> None:
        """Remove what is kept: the result is on the disk."""
        try:  # first: blocks without it are nobody's, see _begin
            (self.folder / RECORD).unlink()
        except FileNotFoundError:
            return  # nothing was kept, and whatever else is called so is not ours
        except OSError:
            pass
        shutil.rmtree(self.folder, ignore_errors=True)


class Blocks:
    """The blocks of one run; use it as a context, in which no other run has them.

    Parameters
    ----------
    place : KeptPlace
        Where they lie.
    run : mapping
        What the run is, plain JSON values: blocks of another one are not those of this one.

    Attributes
    ----------
    chosen : dict
        What the run chose on its way, plain JSON values; see :meth:`choose`.

    Raises
    ------
    OutputError
        If another run left an answer there, or is at it now, or nothing can be written.
    """

    def __init__(self, place: KeptPlace, run: Mapping[str, Any]) -> None:
        self._place, self._run = place, json.loads(json.dumps(run, default=str))
        self.chosen: dict[str, Any] = {}
        self._mine: Hold | None = None

    def __enter__(self) -> Blocks:
        folder = self._place.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._mine = hold(folder, WAIT_S)
            if self._mine is None:
                raise OutputError(
                    f"Another run of the same image works in {folder}. Wait until it ends, or "
                    f"choose {OTHER_FOLDER}.",
                    remedies=(OTHER_FOLDER,),
                )
            self._begin()
        except BaseException as error:
            self._release()
            if isinstance(error, OSError):
                raise self._refused(error) from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def choose(self, **facts: Any) -> None:
        """Record what the run chose, so that one that goes on does not choose anew."""
        chosen = json.loads(json.dumps({**self.chosen, **facts}, default=str))
        if chosen != self.chosen:
            self.chosen = chosen
            self._write_record()

    def get(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return the arrays of a block; None where there is none, or none that is whole."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as found:
                return {key: found[key] for key in found.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None  # cut off by a power failure: it is made again

    def put(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep the arrays of a block.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        path = self._path(name)
        part = path.with_name(f".{name}{ENDING}{BLOCK}")
        whole: dict[str, Any] = dict(arrays)
        try:
            with part.open("wb") as file:
                np.savez(file, **whole)
            os.replace(part, path)  # not flushed: the checksum inside tells if it is whole
        except OSError as error:
            part.unlink(missing_ok=True)
            raise self._refused(error) from error

    def names(self) -> list[str]:
        """Return the names of all blocks that are kept."""
        files = self._place.folder.glob(f"*{BLOCK}")
        return [path.stem for path in files if not path.name.startswith(".")]

    def drop(self, name: str) -> None:
        """Remove a block, if there is one."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._place.folder / f"{name}{BLOCK}"

    def _begin(self) -> None:
        folder = self._place.folder
        found = self._place.record()
        if found is not None and found.get("run") == self._run:
            for part in folder.glob(f".*{ENDING}{BLOCK}"):  # of a block that was being written
                part.unlink(missing_ok=True)
            self.chosen = dict(found.get("chosen") or {})
            return
        if found is not None and not self._place.overwrite:
            raise OutputError(
                f"An unfinished run {self._difference(found)} is kept in {folder}. Repeat its "
                f"command to go on with it, begin again with {REPLACE}, or choose {OTHER_FOLDER}.",
                remedies=(REPLACE, OTHER_FOLDER),
            )
        if folder.exists():
            if found is None and any(path.suffix != BLOCK for path in folder.iterdir()):
                raise OutputError(
                    f"{folder} is needed for what the network says until labels are written, and "
                    f"holds something else. Rename it, or choose {OTHER_FOLDER}.",
                    remedies=(OTHER_FOLDER,),
                )
            shutil.rmtree(folder)
        folder.mkdir()
        self._write_record()

    def _write_record(self) -> None:
        text = json.dumps({"run": self._run, "chosen": self.chosen}, indent=1)
        try:
            write_whole(self._place.folder / RECORD, lambda part: write_text(part, text + "\n"))
        except OSError as error:
            raise self._refused(error) from error

    def _difference(self, found: Mapping[str, Any]) -> str:
        """Say in which respects another run is another one."""
        other = found.get("run")
        other = other if isinstance(other, Mapping) else {}
        keys = [key for key in self._run if other.get(key) != self._run[key]]
        return f"with another {' and '.join(keys)}" if keys else "of another version"

    def _refused(self, error: OSError) -> OutputError:
        what, remedy = reason(
            error, elsewhere="name a folder on a larger disk with --scratch, or another -o"
        )
        return OutputError(
            f"What the network says cannot be kept in {self._place.folder}: {what}. "
            f"{remedy[0].upper()}{remedy[1:]}."
        )

    def _release(self) -> None:
        if self._mine is not None:
            self._mine.release()
            self._mine = None
