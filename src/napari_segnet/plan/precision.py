"""In which precision a network answers: half where it is measured to agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from napari_segnet.engines import Engine

__all__ = ["Agreement", "PrecisionChoice", "Verdict"]

T = TypeVar("T")
S = TypeVar("S", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """If half precision may be used, and how far it is off where that is one number."""

    agrees: bool
    error: float | None = None


class Agreement(Protocol[S]):
    """How one kind of answer compares two precisions."""

    def telling(self, exact: S) -> bool:
        """Tell if an answer in full precision holds anything to compare."""

    def compare(self, exact: S, half: S) -> Verdict:
        """Compare the answers in full and half precision to one batch."""

    def sound(self, answer: S) -> bool:
        """Tell if a later answer in half precision can be right."""


class PrecisionChoice(Generic[T]):
    """Runs a network, and settles ``auto``: half precision only where it agrees.

    Parameters
    ----------
    wish : str
        The setting ``precision``.
    agreement : Agreement
        Of the kind of answer.

    Attributes
    ----------
    chosen : str or None
        What is used; None until it is settled.
    error : float or None
        How far half precision was off, if that was measured.
    """

    def __init__(self, wish: str, agreement: Agreement[T]) -> None:
        self.chosen = None if wish == "auto" else wish
        self.error: float | None = None
        self._agreement, self._measured = agreement, False

    def recall(self, chosen: str | None, error: float | None) -> None:
        """Use what an earlier part of the run chose, and how far half precision was off then."""
        if chosen is not None:
            self.chosen, self.error = chosen, error
            self._measured = error is not None

    def answer(self, engine: Engine, run: Callable[[str], T]) -> T:
        """Return what ``run`` returns for the precision of choice.

        Until that is settled the answers are those in full precision.
        """
        if self.chosen is None and "fp16" not in engine.precisions:
            self.chosen = "fp32"
        if self.chosen is None:
            exact = run("fp32")
            if self._agreement.telling(exact):
                verdict = self._agreement.compare(exact, run("fp16"))
                self.chosen = "fp16" if verdict.agrees else "fp32"
                self.error, self._measured = verdict.error, True
            return exact
        answer = run(self.chosen)
        if self._measured and self.chosen == "fp16" and not self._agreement.sound(answer):
            # A brighter place than the first tile had: too large for half precision.
            self.chosen = "fp32"
            answer = run("fp32")
        return answer
