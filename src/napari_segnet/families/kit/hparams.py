"""Hyper-parameters that no tensor shows: told by the user, recorded beside, or assumed.

One schema for all families: a :class:`Choice` says what a hyper-parameter may be, in the words of
which every refusal is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.budget import parsed_json
from napari_segnet.checkpoint import Known
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.settings import suggestion

__all__ = ["Choice", "list_of", "numbers_of", "parsed", "settle"]

RECORDS = ("hyper_parameters", "hparams", "model_kwargs", "model_args", "config", "args")
"""Where training programs write a network's arguments (Lightning: the first)."""
INSIDE: tuple[str, ...] = (
    *RECORDS,
    *("cfg", "model", "net", "network", "unet", "arch", "architecture", "opt"),
    *("init_args", "kwargs", "model_config", "model_cfg", "model_params", "params"),
)
"""Names under which such a record holds those of the network among others."""
DEEPEST = 4
"""No program nests them deeper."""
RECORDED_WORDS: Mapping[str, str] = {
    "avg": "average",
    "mean": "average",
    "LeakyReLU": "leaky_relu",
    "leakyrelu": "leaky_relu",
    "ReLU": "relu",
    "SiLU": "silu",
    "swish": "silu",
    "GELU": "gelu",
    "ELU": "elu",
}
"""Words of training programs for ours."""
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
    numbers : mapping of str to float
        Words that have a number, written ``word:number``, with the one that is meant where
        none is given.
    between : (float, float) or None
        Least and greatest number, where it may be any between; whole if the default is, or if
        the default is None, which is chosen when the network runs.
    also : tuple of str
        Other names of it in the records of training programs.
    only_by_user : tuple
        Values that count only from the user: in a record they may mean something else.
    """

    name: str
    values: tuple[Any, ...] = ()
    default: Any
    why: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    between: tuple[float, float] | None = None
    also: tuple[str, ...] = ()
    only_by_user: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.can})"

    @property
    def can(self) -> str:
        """What it may be, in words."""
        words = [f"{v}:number" if v in self.numbers else _text(v) for v in self.values]
        if self.between is not None:
            kind = "a whole number" if self._whole else "a number"
            words.append("{} from {:g} to {:g}".format(kind, *self.between))
        return " or ".join(words)

    def parsed(self, value: Any) -> Any:
        """Return the value that is meant, None if it is none of them."""
        word = str(value).strip().lower()
        for allowed in self.values:
            words: tuple[str, ...] = (str(allowed).lower(),)
            if isinstance(allowed, bool):
                words = TRUE if allowed else FALSE
            if word in words and allowed not in self.numbers:
                return allowed
        name, _, number = word.partition(":")
        if name in self.numbers:
            found = _number(number or self.numbers[name], 0.0, 100.0)
            return None if found is None else f"{name}:{found:g}"
        if self.between is None or isinstance(value, bool):
            return None
        found = _number(word, *self.between)
        if found is None or not self._whole:
            return found
        return int(found) if found.is_integer() else None

    @property
    def _whole(self) -> bool:
        return self.default is None or isinstance(self.default, int)


def settle(
    choices: tuple[Choice, ...],
    read: Mapping[str, Any],
    weights: Weights,
    overrides: Mapping[str, Any],
    title: str,
    layers: Mapping[str, Any] | None = None,
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
    overrides : mapping
        From the user; values may be text.
    title : str
        The family's name for people.
    layers : mapping, optional
        Choices that the layers of a whole pickled module decide.

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
        the tensors or the layers contradict.
    """
    hparams = dict(read)
    known = {name: Known(source="read", why="from the shapes of the tensors") for name in read}
    _refuse_unknown(choices, read, overrides, title)
    for choice in choices:
        value, known[choice.name] = _settled(choice, weights, overrides, layers or {})
        hparams[choice.name] = value
    return hparams, known


def _settled(
    choice: Choice, weights: Weights, overrides: Mapping[str, Any], layers: Mapping[str, Any]
) -> tuple[Any, Known]:
    wanted = parsed(choice, overrides[choice.name]) if choice.name in overrides else None
    if choice.name in layers:
        value = layers[choice.name]
        if wanted is not None and wanted != value:
            raise SettingsError(
                f"The layers in the file say {choice.name} = {_text(value)}, but {_text(wanted)} "
                f"was told. Leave {choice.name} out: it is read from the file."
            )
        return value, Known(source="read", why="from the layers of the pickled network")
    if wanted is not None:
        return wanted, Known(source="told", why="by the user")
    found = list(_recorded(choice, weights.metadata))
    if found and all(value == found[0][0] for value, _ in found):
        return found[0][0], Known(source="read", why=found[0][1])
    why = choice.why
    if found:
        why += "; the file records several values: " + ", ".join(_text(v) for v, _ in found)
    return choice.default, Known(source="assumed", why=why)


def _refuse_unknown(
    choices: tuple[Choice, ...], read: Mapping[str, Any], overrides: Mapping[str, Any], title: str
) -> None:
    for name, value in overrides.items():
        if any(choice.name == name for choice in choices):
            continue
        if name not in read:
            can = ", ".join(str(choice) for choice in choices)
            raise SettingsError(
                f"{title} has no hyper-parameter {name!r}"
                f"{suggestion(name, [choice.name for choice in choices])}. What can be told of "
                f"it: {can}; the rest is read from the file."
            )
        if _plain(value) != read[name]:
            raise SettingsError(
                f"The tensors in the file say {name} = {_text(read[name])}, but "
                f"{_text(_plain(value))} was told. Leave {name} out: it is read from the file."
            )


def parsed(choice: Choice, value: Any) -> Any:
    """Return the value that is meant.

    Raises
    ------
    SettingsError
        If it is none of the choice.
    """
    found = choice.parsed(value)
    if found is None:
        raise SettingsError(
            f"{choice.name} must be {choice.can}, not {value!r}. Correct the setting."
        )
    return found


def numbers_of(given: Any) -> Any:
    """Return a number or (nested) list of numbers from text or values; None if it is none."""
    value = given
    if isinstance(given, str):
        try:
            value = parsed_json(given if "[" in given or "," not in given else f"[{given}]")
        except ValueError:
            return None
    if isinstance(value, (list, tuple)):
        inner = [numbers_of(v) for v in value]
        return None if any(v is None for v in inner) else inner
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def list_of(name: str, given: Any) -> list[Any]:
    """Return a given list of positive numbers (or of lists of them)."""
    value = numbers_of(given)
    if not isinstance(value, list) or not value or not _positive(value):
        raise SettingsError(
            f"{name} must be a list of positive numbers such as {name}=8,16,32, not {given!r}. "
            "Correct the setting."
        )
    return value


def _positive(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_positive(v) for v in value)
    return bool(0 < value < float("inf"))


def _number(text: Any, low: float, high: float) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if low <= found <= high else None


def _recorded(
    choice: Choice, record: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[Any, str]]:
    """Yield what stands beside the tensors: at the top, or in a record of arguments."""
    for name in (choice.name, *choice.also):
        if name in record and (value := _same_kind(choice, record[name])) is not None:
            where = f"recorded in the file's {'.'.join(above)}" if above else "recorded in the file"
            yield value, where
    if len(above) >= DEEPEST:
        return
    for name in INSIDE if above else RECORDS:
        inner = record.get(name)
        if isinstance(inner, Mapping):
            yield from _recorded(choice, inner, (*above, name))


def _same_kind(choice: Choice, value: Any) -> Any:
    """Return the value that is meant; 1 may stand for another meaning than True."""
    if type(value) is not type(choice.default):
        return None
    found = choice.parsed(RECORDED_WORDS.get(value, value) if isinstance(value, str) else value)
    return None if found in choice.only_by_user else found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if not isinstance(value, str):
        return value
    try:
        return parsed_json(value.strip().lower())
    except ValueError:
        return value.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
