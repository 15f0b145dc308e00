"""Reading a journal: what it holds, and the labels after the last whole act."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.errors import JournalError
from napari_segnet.journal._acts import Change, Document, Labels, patched
from napari_segnet.journal._format import (
    front,
    opened,
    records,
    unpack_act,
    unpack_box,
    unpack_json,
)

__all__ = ["Recovered", "Summary", "replay", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a journal holds, told without its pixels.

    Attributes
    ----------
    path : Path
        The file.
    document : dict
        What belongs to the labels and is no pixel.
    acts : int
        How many acts it holds.
    last_at : float
        When the last one was, in seconds since 1970; 0 if there is none.
    complete : bool
        True if it holds all pixels; else they lie where the labels came from.
    """

    path: Path
    document: Document
    acts: int
    last_at: float
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovered:
    """Labels as they were after the last act that is whole.

    Attributes
    ----------
    labels : ndarray
        In the layer's own shape and dtype.
    document : dict
        What belongs to them and is no pixel.
    acts : int
        How many acts there were.
    last_at : float
        When the last one was, in seconds since 1970; 0 if there was none.
    whole : bool
        False if the file ends in a piece of a record: the last act was cut off.
    """

    labels: Labels
    document: Document
    acts: int
    last_at: float
    whole: bool


def summary(path: Path) -> Summary:
    """Tell what a journal holds; quick, also where it is large.

    Raises
    ------
    JournalError
        If it is no journal.
    """
    document: Document = {}
    acts, last, complete = 0, 0.0, False
    with opened(path) as file:
        for kind, payload in records(file):
            if kind == b"E":
                complete = True
            elif kind == b"P":
                document = patched(document, unpack_json(payload))
            elif kind == b"A":
                head = front(payload)
                acts, last = acts + 1, head["at"]
                document = patched(document, head["patch"] or [])
    acts += int(document.get("acts before", 0))
    return Summary(
        path=path,
        document=document,
        acts=acts,
        last_at=last or float(document.get("last act", 0.0)),
        complete=complete,
    )


def replay(path: Path, onto: Any = None) -> Recovered:
    """Return labels and document after the last whole act.

    Parameters
    ----------
    path : Path
        A journal.
    onto : array-like, optional
        For a journal without a snapshot: the labels that it began with. Changed in place.

    Raises
    ------
    JournalError
        If it is no journal, or holds no complete snapshot and ``onto`` is not given.
    """
    begin = _last_complete(path)
    document: Document = {}
    labels: Any = onto
    acts, last, replaced = 0, 0.0, False
    late: list[Change] = []
    with opened(path) as file:
        for number, (kind, payload) in enumerate(records(file)):
            behind = begin is None or number > begin
            if kind == b"P":
                document = patched(document, unpack_json(payload))
            elif kind == b"A":
                act = unpack_act(payload)
                acts, last = acts + 1, act.at
                document = patched(document, act.patch or [])
                if behind and not replaced:
                    late += act.changes
            elif number == begin:
                head = unpack_json(payload)
                labels = np.zeros(head["shape"], np.dtype(head["dtype"]))
            elif kind == b"S" and begin is not None and behind:
                replaced = True  # by labels of which not everything is here
            elif kind == b"C" and begin is not None and behind and not replaced:
                start, values = unpack_box(payload)
                where = zip(start, values.shape, strict=True)
                labels[tuple(slice(a, a + n) for a, n in where)] = values
        whole = file.tell() == os.fstat(file.fileno()).st_size
    if labels is None:
        raise JournalError(
            f"{path.name} holds corrections but not the labels that they belong to. Open those "
            "labels first, then recover."
        )
    for change in late:
        change.apply(labels)
    return Recovered(
        labels=labels,
        document=document,
        acts=acts + int(document.get("acts before", 0)),
        last_at=last or float(document.get("last act", 0.0)),
        whole=whole,
    )


def _last_complete(path: Path) -> int | None:
    """Return the number of the record that begins the last complete snapshot, or None."""
    begun: int | None = None
    found: int | None = None
    with opened(path) as file:
        for number, (kind, _) in enumerate(records(file)):
            if kind == b"S":
                begun = number
            elif kind == b"E":
                found = begun
    return found
