"""A settings class to text and back: one class makes the keys of ``--set`` and of the JSON."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import numbers
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_segnet.errors import SettingsError

__all__ = [
    "as_settings",
    "check_types",
    "field_names",
    "parse_pairs",
    "parse_value",
    "settings_from",
    "short_repr",
    "suggestion",
    "type_name",
]

S = TypeVar("S")

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
AUTO = ("auto", "")
"""Words for a setting that is left as it is by default."""
OPEN = ("none", "null")
"""Further words for one whose default is to be left open (None)."""
MOST = 2**53
"""Whole numbers beyond it are mistakes: a float, as other programs write JSON, is not exact."""


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of a settings class, in their order."""
    return tuple(field.name for field in dataclasses.fields(cls))


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Split ``KEY=VALUE`` texts; of two with one key, the last counts.

    Raises
    ------
    SettingsError
        If one has no ``=``.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise SettingsError(
                f"--set {pair!r} is not understood. Write KEY=VALUE, for example "
                "--set threshold=0.4."
            )
        found[key.strip()] = value.strip()
    return found


def settings_from(cls: type[S], values: Mapping[str, Any]) -> S:
    """Make a settings object of texts or JSON values.

    Parameters
    ----------
    cls : type
        A settings dataclass; every field has a default.
    values : mapping
        Field name -> text (as typed) or JSON value. ``auto`` is the default.

    Raises
    ------
    SettingsError
        For an unknown name or a value that is not of the field's type.
    """
    hints = _hints(cls)
    default = cls()
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise SettingsError(
                f"There is no setting {name!r}{suggestion(name, hints)}. Settings: "
                f"{', '.join(sorted(hints))}."
            )
        parsed[name] = parse_value(name, value, hints[name], getattr(default, name))
    return cls(**parsed)


_cached_hints = functools.cache(get_type_hints)


def _hints(cls: Any) -> dict[str, Any]:
    """Return the types of a settings class; asked for each settings object that is made."""
    return _cached_hints(cls)


def as_settings(cls: type[S], value: S | Mapping[str, Any] | None) -> S:
    """Return settings that are given as themselves, as a mapping of names, or not at all.

    Raises
    ------
    SettingsError
        If it is anything else, or the mapping has unknown names or values.
    """
    if value is None:
        return cls()
    if isinstance(value, cls):
        return value
    if isinstance(value, Mapping):
        return settings_from(cls, value)
    raise SettingsError(
        f"Settings are {cls.__name__}(...) or a dict of its names, not {type_name(value)}. Give "
        f"one of these, such as {cls.__name__}()."
    )


def check_types(settings: Any) -> None:
    """Refuse fields of a settings object that are not of their type.

    Raises
    ------
    SettingsError
        For the first that is not.
    """
    cls: Any = type(settings)
    for name, kind, optional, said in _kinds(cls):
        value = getattr(settings, name)
        if type(value) is kind or (optional and (value is None or value in said)):
            continue
        if not _is_of(value, kind):
            raise SettingsError(f"{name} is {value!r}, but must be {_words(kind)}.")


@functools.cache
def _kinds(cls: Any) -> tuple[tuple[str, Any, bool, tuple[str, ...]], ...]:
    """Return name and type of each setting, if it may be open, and the words that it takes."""
    rows = []
    for name, hint in _hints(cls).items():
        optional = get_origin(hint) in (Union, types.UnionType)
        kinds = [kind for kind in get_args(hint) if kind is not type(None)] if optional else [hint]
        (kind,) = (kind for kind in kinds if get_origin(kind) is not Literal)
        rows.append((name, kind, optional, _said(kinds)))
    return tuple(rows)


def _said(kinds: Iterable[Any]) -> tuple[str, ...]:
    """Return the words that a setting takes beside values of its type."""
    return tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))


def _is_of(value: Any, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        return isinstance(value, list | tuple) and all(_is_of(part, kind) for part in value)
    if hint in (int, float):
        number = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, hint)


def short_repr(settings: Any) -> str:
    """Return ``Name(field=value)`` of a settings object, with what is not the default."""
    parts = [
        f"{one.name}={getattr(settings, one.name)!r}"
        for one in dataclasses.fields(settings)
        if getattr(settings, one.name) != one.default
    ]
    return f"{type(settings).__name__}({', '.join(parts)})"


def type_name(value: Any) -> str:
    """Return what a value is, for a message: ``int``, ``pandas.DataFrame``."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the most similar name, or nothing."""
    by_letters = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(by_letters), n=1)
    return f" (did you mean {by_letters[close[0]]!r}?)" if close else ""


def parse_value(name: str, value: Any, kind: Any, default: Any) -> Any:
    """Return the value of one setting.

    Parameters
    ----------
    name : str
        That of the setting, for the message.
    value : Any
        A text (as typed) or a JSON value.
    kind : type
        What the setting's class says that it is, such as ``float | None``.
    default : Any
        What ``auto`` stands for.

    Raises
    ------
    SettingsError
        If it is not of that type.
    """
    hint = kind
    word = value.strip().lower() if isinstance(value, str) else None
    if hint is not str and word in AUTO:
        return default
    if get_origin(hint) in (Union, types.UnionType):
        if value is None or word in OPEN:
            return None
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        if word in _said(kinds):
            return word
        (hint,) = (kind for kind in kinds if get_origin(kind) is not Literal)
    try:
        return _plain(value, hint)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(
            f"{name}={_shown(value)} is not {_words(hint)}. Correct the setting."
        ) from error


def _plain(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return _several(value, get_args(hint))
    if hint is bool:
        return _truth(value)
    if hint is str:
        return _text(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("not a number")
    if hint is int:
        return _whole(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _whole(value: str | float) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not whole")
    number = int(value)
    if abs(number) > MOST:
        raise ValueError("too large")
    return number


def _text(value: Any) -> str:
    """Return a text; in JSON, numbers may stand for themselves: ``"channels": [0, 2]``."""
    parts = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts):
        raise TypeError("not a text")
    return ",".join(str(part) for part in parts)


def _several(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        words = value.strip().strip("()[]")
        value = [part.strip() for part in words.split(",") if part.strip()]
    elif not isinstance(value, list | tuple):
        value = [value]
    if kinds[-1] is Ellipsis:
        return tuple(_plain(part, kinds[0]) for part in value)
    if len(value) != len(kinds):
        raise ValueError("wrong number of parts")
    return tuple(_plain(part, kind) for part, kind in zip(value, kinds, strict=True))


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise ValueError("neither true nor false")


def _words(hint: Any) -> str:
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        count = "" if kinds[-1] is Ellipsis else f"{len(kinds)} "
        many, example = {
            int: ("whole numbers", "1,2"),
            float: ("numbers", "0.5,2"),
            str: ("names", "smooth"),
        }[kinds[0]]
        return f"a list of {count}{many}, such as {example}"
    return {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
    }[hint]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
