"""Many damaged files of one kind, each opened under guard; what went wrong is a list of words.

    python -m support.hostile.attack KIND COUNT FIRST_SEED

runs an attack in a process of its own with a limit of memory, and prints the report as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_segnet.errors import SegnetError
from support.hostile.guard import watched
from support.hostile.mutators import mutated

MOST_SECONDS, MOST_BYTES = 5.0, 200 * 2**20
"""What a file below a megabyte may cost (docs/security.md)."""
LARGEST = 2**20
HANGS_S = 120
ADDRESS_SPACE = 12 * 2**30


@dataclass(slots=True)
class Report:
    """What an attack found.

    Attributes
    ----------
    opened, refused, compared : int
        Files.
    faults : list of str
        Seed and what went wrong.
    seconds, nbytes : float
        The most that one file cost.
    """

    opened: int = 0
    refused: int = 0
    compared: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    nbytes: int = 0


def attack(kind: Any, count: int, first: int, folder: Path, *, alone: bool = False) -> Report:
    """Open ``count`` damaged files of a kind.

    Parameters
    ----------
    kind : Kind
        See ``kinds.py``.
    count, first : int
        Seeds.
    folder : Path
        An empty one.
    alone : bool
        End this process where a file hangs.
    """
    report = Report()
    seeds = kind.make(folder)
    kind.read(seeds[0])  # imports what is imported at the first use; a whole file opens
    whole = {file: file.read_bytes() for file in seeds}
    for number, file in enumerate(seeds[1:count], 1):
        _one(kind, file, whole[file], -number, report)
    for seed in range(first, first + count):
        file = seeds[seed % len(seeds)]
        if alone:
            faulthandler.dump_traceback_later(HANGS_S, exit=True)
        data = mutated(whole[file], kind.mutators, f"{kind.name} {seed}")
        file.write_bytes(data)
        _one(kind, file, data, seed, report)
        file.write_bytes(whole[file])
    return report


def _one(kind: Any, file: Path, data: bytes, seed: int, report: Report) -> None:
    ours: Mapping[str, Any] | None = None
    before = set(file.parent.rglob("*"))
    error: BaseException | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with watched() as watch:
            try:
                ours = kind.read(file)
            except SegnetError as refusal:
                if len(str(refusal)) < 30:
                    error = AssertionError(f"no sentence: {refusal}")
            except BaseException as other:
                error = other
    faults = list(watch.seen)
    if error is not None:
        faults.append(f"{type(error).__name__}: {str(error)[:200]} at {_where(error)}")
    report.opened += ours is not None
    report.refused += ours is None
    faults += [f"made {one.name}" for one in set(file.parent.rglob("*")) - before]
    if len(data) <= LARGEST:
        if watch.seconds > MOST_SECONDS:
            faults.append(f"took {watch.seconds:.1f} s")
        if watch.nbytes > MOST_BYTES:
            faults.append(f"took {watch.nbytes / 2**20:.0f} MB")
        report.seconds = max(report.seconds, watch.seconds)
        report.nbytes = max(report.nbytes, watch.nbytes)
    if ours is not None and kind.second is not None:
        faults += _compared(kind, file, ours, report)
    report.faults += [f"{kind.name} {seed}: {fault}" for fault in faults]


def _compared(kind: Any, file: Path, ours: Mapping[str, Any], report: Report) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = kind.second(file)
        except Exception as error:
            if kind.strict:
                yield f"opens, and its own reader refuses it ({str(error)[:100]})"
            return
    report.compared += 1
    for name, value in ours.items():
        if name in theirs and value != theirs[name]:
            yield f"{name} is {str(value)[:80]}, to its own reader {str(theirs[name])[:80]}"


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"


def main() -> None:
    import resource

    from support.hostile.kinds import KINDS

    name, count, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        report = attack(KINDS[name], count, first, Path(folder), alone=True)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
