"""Every error we raise, as one tree.

::

    SegnetError
    ├── ImageError            a picture cannot be read or used
    ├── WeightsError          a weights file cannot be used
    │   ├── BrokenWeightsError      damaged, cut off, or not what its name says
    │   ├── UnsafeWeightsError      it would run code when opened
    │   ├── UnsupportedWeightsError a known kind of file that we do not open
    │   ├── MissingFactError        it opens once its user says what is not in it
    │   └── UnknownNetworkError     readable, but no family knows these tensors
    ├── SettingsError         a setting has an unknown name or a value out of range
    ├── MismatchError         image and network, or prediction and truth, do not fit
    ├── NothingFoundError     the network sees no object where one was asked for
    ├── MemoryExhaustedError  every rung of the memory ladder was tried
    ├── EngineError           an engine other than torch is damaged, or failed
    ├── OutputError           a result cannot be written
    ├── DatasetError          a folder of training data cannot be used
    ├── EditError             a correction cannot be made here
    ├── JournalError          a journal of corrections cannot be used
    ├── WorkerLostError       the process that ran the network has ended
    └── MissingExtraError     an optional dependency is not installed
    Cancelled                 the user asked to stop (not a SegnetError)

``str(error)`` is one or two sentences for a biologist: what was expected, what
came, and what to do. What to set stands in ``error.remedies``, too: the text has it as the command
line does, and a window puts its own words in their place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "OTHER_FOLDER",
    "OTHER_NAME",
    "REPLACE",
    "BrokenWeightsError",
    "Cancelled",
    "DatasetError",
    "DiskFullError",
    "EditError",
    "EngineError",
    "ImageError",
    "JournalError",
    "MemoryExhaustedError",
    "MismatchError",
    "MissingExtraError",
    "MissingFactError",
    "NothingFoundError",
    "OutputError",
    "Remedy",
    "SegnetError",
    "SettingsError",
    "UnknownNetworkError",
    "UnsafeWeightsError",
    "UnsupportedWeightsError",
    "WeightsError",
    "WorkerLostError",
    "is_of_the_device",
]


_NOT_SHOWN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]"
)
"""Letters that command a terminal, or turn what follows around: names in files may have them."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A setting that puts an error right.

    Attributes
    ----------
    setting : str
        Name of a field of a settings class; or ``output``, for another folder or name of what is
        written, or ``overwrite``, to replace what is there.
    value : str
        What to set it to; empty where the user has to know.
    """

    setting: str
    value: str = ""

    def __str__(self) -> str:
        if self.setting == "output":
            return f"another {self.value} with -o"
        if self.setting == "overwrite":
            return "--overwrite"
        if self.setting == "device":  # which has an option of its own
            return f"--device {self.value or '...'}"
        return f"--set {self.setting}={self.value or '...'}"


OTHER_FOLDER, OTHER_NAME = Remedy("output", "folder"), Remedy("output", "name")
REPLACE = Remedy("overwrite")


class SegnetError(Exception):
    """Anything that this package refuses, in words for its user.

    Parameters
    ----------
    *args : object
        The message, with ``str(remedy)`` where a remedy stands.
    remedies : tuple of Remedy
        What to set, for a program that says it in its own words.
    """

    def __init__(self, *args: object, remedies: tuple[Remedy, ...] = ()) -> None:
        super().__init__(
            *(_NOT_SHOWN.sub("?", one) if isinstance(one, str) else one for one in args)
        )
        self.remedies = remedies

    def phrased(self, phrase: Callable[[Remedy], str]) -> str:
        """Return the message with each remedy in the words that ``phrase`` has for it."""
        text = str(self)
        for remedy in self.remedies:
            text = text.replace(str(remedy), phrase(remedy))
        return text


class ImageError(SegnetError):
    """A picture that cannot be read or used."""


class WeightsError(SegnetError):
    """A weights file that cannot be used."""


class BrokenWeightsError(WeightsError):
    """A weights file that is damaged, cut off, or not what its name says."""


class UnsafeWeightsError(WeightsError):
    """A weights file that would run code when opened; none of it was run."""


class UnsupportedWeightsError(WeightsError):
    """A weights file of a known kind that this version does not open."""


class MissingFactError(WeightsError):
    """A weights file that opens once its user has said what is not in it.

    Parameters
    ----------
    message : str
        For the user.
    name : str
        What is to be told, as in the setting ``name=word``.
    words : tuple of (str, str)
        Each word that can be told, and what it means.
    places : tuple of str
        What it is told of: one word for all, or one for each, joined by commas.
    """

    def __init__(
        self,
        message: str,
        name: str,
        words: tuple[tuple[str, str], ...],
        places: tuple[str, ...],
    ) -> None:
        super().__init__(message)
        self.name, self.words, self.places = name, words, places

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.name, self.words, self.places)


class UnknownNetworkError(WeightsError):
    """Tensors that no family of networks recognises."""


class SettingsError(SegnetError):
    """A setting with an unknown name or a value out of range."""


class MismatchError(SegnetError):
    """Two things that do not fit: image and network, labels and truth."""


class NothingFoundError(SegnetError):
    """The network sees no object in the place that the user pointed at."""


class MemoryExhaustedError(SegnetError):
    """Not enough memory even on the last rung of the memory ladder."""


class EngineError(SegnetError):
    """An engine other than torch that is damaged, or failed; torch runs the same network.

    Parameters
    ----------
    why : str
        What happened, a clause: what the message begins with.
    """

    def __init__(self, why: str) -> None:
        torch = Remedy("engine", "torch")
        super().__init__(f"{why}. Run again with {torch}.", remedies=(torch,))
        self.why = why

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.why,)


class OutputError(SegnetError):
    """A result that cannot be written."""


class DiskFullError(OutputError):
    """A result that the disk has no room for."""


class DatasetError(SegnetError):
    """A folder of training data that cannot be used."""


class EditError(SegnetError):
    """A correction that cannot be made here; nothing was changed."""


class JournalError(SegnetError):
    """A journal of corrections that cannot be used."""


class WorkerLostError(SegnetError):
    """The process that ran the network has ended: by a crash, or for lack of memory."""


class MissingExtraError(SegnetError):
    """An optional dependency is not installed; the message names the extra."""


class Cancelled(Exception):
    """The user asked to stop; nothing is half written."""


DEVICE_FAULTS = (
    "cuda error",
    "cudnn error",
    "cublas_status",
    "hip error",
    "mps backend",
    "mtlcomm",
)
"""What PyTorch calls a graphics processor that was lost, or that failed within a computation;
https://docs.pytorch.org/docs/stable/generated/torch.AcceleratorError.html"""


def system_in_words(error: OSError) -> str:
    """Return what the system says of a failure and what to do, without a full stop at its end."""
    where = f" ({error.filename})" if error.filename else ""
    denied = isinstance(error, PermissionError)
    do = "Ask its owner for permission" if denied else "Check the disk"
    return f"The system says: {error.strerror}{where}. {do}"


def is_of_the_device(error: BaseException) -> bool:
    """Tell if an error says that the graphics processor failed: every later computation would."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in DEVICE_FAULTS)
