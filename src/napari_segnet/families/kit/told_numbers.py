"""Hyper-parameters that are numbers or lists of numbers, with no short list of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.checkpoint import Known
from napari_segnet.errors import SettingsError

__all__ = ["Number", "list_told", "numbers_of", "settle_numbers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that the tensors do not show and that the user may tell.

    Attributes
    ----------
    name : str
        Its name in ``hparams``.
    low, high : float
        Least and greatest value allowed.
    default : int, float or None
        What is assumed if nobody says; an int if only whole numbers are allowed. None: a
        whole number that is chosen when the network runs.
    why : str
        Why that is assumed.
    """

    name: str
    low: float
    high: float
    default: float | None
    why: str


def settle_numbers(
    numbers: tuple[Number, ...], told: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Return each number as told or assumed, and how it is known.

    Raises
    ------
    SettingsError
        For a value that is no number or out of range.
    """
    hparams: dict[str, Any] = {}
    known: dict[str, Known] = {}
    for number in numbers:
        if number.name in told:
            hparams[number.name] = _parse(number, told[number.name])
            known[number.name] = Known(source="told", why="by the user")
        else:
            hparams[number.name] = number.default
            known[number.name] = Known(source="assumed", why=number.why)
    return hparams, known


def numbers_of(told: Any) -> Any:
    """Return a number or (nested) list of numbers from text or values; None if it is none."""
    value = told
    if isinstance(told, str):
        try:
            value = parsed_json(told if "[" in told or "," not in told else f"[{told}]")
        except ValueError:
            return None
    if isinstance(value, (list, tuple)):
        inner = [numbers_of(v) for v in value]
        return None if any(v is None for v in inner) else inner
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def list_told(name: str, told: Any) -> list[Any]:
    """Return a told list of positive numbers (or of lists of them)."""
    value = numbers_of(told)
    if not isinstance(value, list) or not value or not _positive(value):
        raise SettingsError(
            f"{name} must be a list of positive numbers such as {name}=8,16,32, not {told!r}. "
            "Correct the setting."
        )
    return value


def _positive(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_positive(v) for v in value)
    return bool(0 < value < float("inf"))


def _parse(number: Number, told: Any) -> float:
    value = numbers_of(told)
    whole = number.default is None or isinstance(number.default, int)
    kind = "a whole number" if whole else "a number"
    if (
        not isinstance(value, (int, float))
        or not number.low <= value <= number.high
        or (whole and value != int(value))
    ):
        raise SettingsError(
            f"{number.name} must be {kind} from {number.low:g} to {number.high:g}, not {told!r}. "
            "Correct the setting."
        )
    return int(value) if whole else float(value)
