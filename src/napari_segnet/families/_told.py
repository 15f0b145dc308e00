"""Hyper-parameters that no tensor shows: told by the user, recorded beside, or assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_segnet.checkpoint import Known
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError

__all__ = ["Choice", "settle"]

RECORDS = ("hyper_parameters", "hparams", "model_kwargs", "model_args", "config", "args")
"""Where training programs write a network's arguments (Lightning: the first)."""
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A hyper-parameter that the tensors do not show and that the user may tell.

    Attributes
    ----------
    name : str
        Its name in ``hparams``.
    values : tuple
        What it may be: booleans, numbers or words, all of one type.
    default : Any
        What is assumed if nobody says.
    why : str
        Why that is assumed.
    """

    name: str
    values: tuple[Any, ...]
    default: Any
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({' or '.join(_text(v) for v in self.values)})"


def settle(
    choices: tuple[Choice, ...],
    read: Mapping[str, Any],
    weights: Weights,
    told: Mapping[str, Any],
    title: str,
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Join what was read from shapes with what was told, recorded or assumed.

    Parameters
    ----------
    choices : tuple of Choice
        What the shapes do not show.
    read : mapping
        Hyper-parameters read from shapes. Telling one is allowed if it is the same.
    weights : Weights
        The file; values recorded beside the tensors count as read.
    told : mapping
        From the user; values may be text.
    title : str
        The family's name for people.

    Returns
    -------
    hparams : dict
        All hyper-parameters, plain JSON values.
    known : dict
        How each is known.

    Raises
    ------
    SettingsError
        A name that the family does not have, a value out of its range, or one that
        the tensors contradict.
    """
    hparams = dict(read)
    known = {name: Known(source="read", why="from the shapes of the tensors") for name in read}
    _refuse_unknown(choices, read, told, title)
    for choice in choices:
        if choice.name in told:
            value = _parse(choice, told[choice.name])
            known[choice.name] = Known(source="told", why="by the user")
        elif (found := _recorded(choice, weights)) is not None:
            value, where = found
            known[choice.name] = Known(source="read", why=f"recorded in the file's {where}")
        else:
            value = choice.default
            known[choice.name] = Known(source="assumed", why=choice.why)
        hparams[choice.name] = value
    return hparams, known


def _refuse_unknown(
    choices: tuple[Choice, ...], read: Mapping[str, Any], told: Mapping[str, Any], title: str
) -> None:
    for name, value in told.items():
        if any(choice.name == name for choice in choices):
            continue
        if name not in read:
            can = ", ".join(str(choice) for choice in choices)
            raise SettingsError(
                f"{title} has no hyper-parameter {name!r}. What can be told of it: {can}; the "
                "rest is read from the file."
            )
        if _plain(value) != read[name]:
            raise SettingsError(
                f"The tensors in the file say {name} = {_text(read[name])}, but "
                f"{_text(_plain(value))} was told. Leave {name} out: it is read from the file."
            )


def _parse(choice: Choice, value: Any) -> Any:
    for allowed in choice.values:
        words = (TRUE if allowed else FALSE) if isinstance(allowed, bool) else (str(allowed),)
        if str(value).strip().lower() in words:
            return allowed
    can = " or ".join(_text(v) for v in choice.values)
    raise SettingsError(f"{choice.name} must be {can}, not {value!r}. Correct the setting.")


def _recorded(choice: Choice, weights: Weights) -> tuple[Any, str] | None:
    for where in RECORDS:
        record = weights.metadata.get(where)
        if isinstance(record, Mapping) and choice.name in record:
            value = record[choice.name]
            for allowed in choice.values:
                # The same type too: 1 may stand for another meaning than True.
                if type(value) is type(allowed) and value == allowed:
                    return allowed, where
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.strip().lower())
    except ValueError:
        return value.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
