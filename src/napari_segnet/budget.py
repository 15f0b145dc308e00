"""What reading one file may cost: steps, memory, depth and time, counted before they are spent.

A kilobyte can name the same list a million times, double a text forty times, or nest brackets
until the stack ends. So whatever reads the bytes of a stranger takes a :class:`Budget` along:
what is shared counts each time it is copied, and what is too much raises before it is made.
``docs/security.md`` says what is promised.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Budget", "OverBudget", "parsed_json", "parsed_yaml"]

LEAST_BYTES = 96 * 2**20
"""Memory for a file of any size; the promise for one below a megabyte is 200 MB."""
BYTES_FOR_EACH = 32
"""Further memory for each byte of the file: Python takes 24 for an empty list of JSON."""
LEAST_STEPS = 1_000_000
STEPS_FOR_EACH = 4
"""A step of a pickle takes at least one byte, and may be copied a few times."""
LEAST_SECONDS = 4.0
"""Of computing, on one core; the promise for a file below a megabyte is 5 s."""
BYTES_A_SECOND = 2**20
"""That a larger file is given more time for: pickles are read at about this speed."""
DEEPEST = 200
"""Lists in lists; the deepest known description has 30."""
_EACH = 4096
"""Steps between two looks at the clock."""


class OverBudget(ValueError):
    """What is read takes more than any file of its kind; says what of, without the file's name."""


@dataclass(slots=True)
class Budget:
    """What is left of what reading one file may cost.

    Attributes
    ----------
    steps : int
        Operations, values and items.
    nbytes : int
        Bytes of memory that are made.
    seconds : float
        Of computing in this thread, from the making of the budget on; the first import of a
        library that reading needs, such as torch, does not count.
    deepest : int
        Things in each other.
    error : type of Exception
        What is raised; takes a reason in words.
    """

    steps: int = LEAST_STEPS
    nbytes: int = LEAST_BYTES
    seconds: float = LEAST_SECONDS
    deepest: int = DEEPEST
    error: type[Exception] = OverBudget
    depth: int = 0
    _begun: float = field(default_factory=time.thread_time)
    _looked: float = field(default_factory=time.thread_time)
    _modules: int = field(default_factory=lambda: len(sys.modules))
    _look: int = _EACH

    @classmethod
    def of_file(cls, nbytes: int) -> Budget:
        """Return the budget for reading a file, or the part of it that lists the rest.

        Parameters
        ----------
        nbytes : int
            Its size in bytes.
        """
        return cls(
            steps=LEAST_STEPS + STEPS_FOR_EACH * nbytes,
            nbytes=LEAST_BYTES + BYTES_FOR_EACH * nbytes,
            seconds=LEAST_SECONDS + nbytes / BYTES_A_SECOND,
        )

    def step(self, count: int = 1) -> None:
        """Count steps, and now and then look at the clock."""
        self.steps -= count
        self._look -= count
        if self.steps < 0:
            raise self.error("it takes more steps than any such file")
        if self._look < 0:
            self._look = _EACH
            self.look()

    def look(self) -> None:
        """Look at the clock."""
        now, modules = time.thread_time(), len(sys.modules)
        if modules != self._modules:
            self._begun += now - self._looked
            self._modules = modules
        self._looked = now
        if now - self._begun > self.seconds:
            raise self.error(f"it takes more than {self.seconds:.0f} s to be understood")

    def hold(self, nbytes: int) -> None:
        """Count memory, before it is taken."""
        self.nbytes -= nbytes
        if self.nbytes < 0:
            raise self.error("it takes more memory than any such file")

    def made(self, value: Any) -> Any:
        """Count the memory of a fresh value, without what it holds; return it."""
        self.hold(sys.getsizeof(value) + 8)
        return value

    def can(self, steps: int) -> bool:
        """Count steps where they are there; tell if they were."""
        if self.steps < steps:
            self.steps = 0
            return False
        self.steps -= steps
        return True

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Count a thing in another."""
        self.depth += 1
        if self.depth > self.deepest:
            raise self.error(f"it has things in each other, more than {self.deepest} deep")
        try:
            yield
        finally:
            self.depth -= 1


# ---- Descriptions in text ----------------------------------------------------------------

_HALF_A_LETTER = re.compile(r"\\u[dD][89a-fA-F]")
_MOST_DIGITS = 30
"""Whole numbers beyond it are no lengths, and Python prints none of more than 4,300."""
MOST_EVENTS = 100_000
"""Values of one YAML, aliases counted by what they stand for; the longest has some hundred."""
DEEPEST_TEXT = 64
"""Lists in lists of one YAML or JSON: whoever walks through them calls itself for each."""


def parsed_json(
    text: str | bytes, *, unique: bool = False, nan: bool = False, file_names: bool = False
) -> Any:
    """Return the values of a text in JSON: no numbers or letters that do not exist.

    Parameters
    ----------
    text : str or bytes
        The text; bytes in UTF-8, UTF-16 or UTF-32.
    unique : bool
        Refuse an object that has a name twice, of which programs take the first or the last.
    nan : bool
        Let NaN and infinite numbers through, as Python writes them, to a caller that looks at
        each; otherwise they are refused.
    file_names : bool
        Let pass names of files that are no text, which Python writes with half letters
        (PEP 383): for records of our own.

    Raises
    ------
    ValueError
        If it is not JSON, or holds what could not be printed, computed with or written again.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        found = json.loads(
            text,
            object_pairs_hook=_with_unique_names if unique else None,
            parse_constant=float if nan else _no_number,
            parse_int=_whole_number,
            parse_float=float if nan else _real_number,
        )
    except RecursionError as error:
        raise OverBudget("it has lists in each other, too deep to be read") from error
    if text.count("[") + text.count("{") > DEEPEST_TEXT:
        _require_flat(found)
    if _HALF_A_LETTER.search(text) is not None:
        bytes_of_names = "surrogateescape" if file_names else "strict"
        # UnicodeError is a ValueError.
        json.dumps(found, ensure_ascii=False).encode("utf-8", bytes_of_names)
    return found


def _require_flat(found: Any) -> None:
    row = [found]
    for _ in range(DEEPEST_TEXT + 1):
        row = [
            one
            for held in row
            for one in (held.values() if isinstance(held, dict) else held)
            if isinstance(one, dict | list)
        ]
        if not row:
            return
    raise OverBudget(f"it has lists in each other, more than {DEEPEST_TEXT} deep")


def _with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits")
    return int(text)


def _real_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def parsed_yaml(text: str, most: int = MOST_EVENTS) -> Any:
    """Return the plain values of a text in YAML; nothing of it makes objects of Python.

    Parameters
    ----------
    text : str
        The text.
    most : int
        Values that it may have, those that an alias stands for counted each time.

    Raises
    ------
    ValueError
        If it is not YAML, or more, or more in each other, than a description has.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _require_modest(yaml.parse(text, Loader=loader), most)
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (TypeError, AttributeError, OverflowError, RecursionError, LookupError) as error:
        # What its makers of numbers and dates raise for odd ones.
        raise ValueError(f"a value cannot be understood ({str(error)[:80]})") from error


def _require_modest(events: Any, most: int) -> None:
    """Refuse YAML whose aliases expand to too much; raises ``ValueError``."""
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise OverBudget("a value of it holds itself")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.NodeEvent):
            total += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, total))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before + 1
        if total > most or len(open_nodes) > DEEPEST_TEXT:
            raise OverBudget("it has more values, or more in each other, than a description")
