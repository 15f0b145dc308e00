"""A settings class to text and back: one class makes the keys of ``--set`` and of the JSON."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_segnet.errors import SettingsError

__all__ = ["field_names", "parse_pairs", "settings_from", "suggestion"]

S = TypeVar("S")

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
OPEN = ("auto", "none", "null", "")
"""Words for a setting that is left open (None)."""


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of a settings class, in their order."""
    return tuple(field.name for field in dataclasses.fields(cls))


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Split ``KEY=VALUE`` texts.

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


def settings_from(cls: type[S], values: Mapping[str, Any], start: S | None = None) -> S:
    """Make a settings object of texts or JSON values.

    Parameters
    ----------
    cls : type
        A settings dataclass.
    values : mapping
        Field name -> text (as typed) or JSON value.
    start : settings, optional
        Where the other fields come from; the defaults otherwise.

    Raises
    ------
    SettingsError
        For an unknown name or a value that is not of the field's type.
    """
    hints = get_type_hints(cls)
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise SettingsError(
                f"There is no setting {name!r}{suggestion(name, hints)}. Settings: "
                f"{', '.join(sorted(hints))}."
            )
        parsed[name] = _convert(name, value, hints[name])
    if start is None:
        return cls(**parsed)
    replaced: S = dataclasses.replace(start, **parsed)  # type: ignore[type-var]
    return replaced


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the most similar name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _convert(name: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in OPEN):
            return None
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    try:
        return _plain(value, hint)
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{name}={value} is not {_words(hint)}. Correct the setting."
        ) from error


def _plain(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return _several(value, get_args(hint))
    if hint is bool:
        return _truth(value)
    if hint is str:
        if not isinstance(value, str):
            raise TypeError("not a text")
        return value
    if isinstance(value, bool):
        raise TypeError("a truth value is not a number")
    if hint is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError("not whole")
        return int(value)
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("not finite")
    return number


def _several(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        words = value.strip().strip("()[]")
        value = [part.strip() for part in words.split(",") if part.strip()]
        if words.lower() == "auto":
            value = []
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
        many = {int: "whole numbers", float: "numbers", str: "names"}[kinds[0]]
        return f"a list of {count}{many}, such as 1,2"
    return {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
    }[hint]
