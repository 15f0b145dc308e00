"""A dict that knows from which earlier one it was made, and by which keys the two can differ.

The states of 100,000 objects change one at a time. To copy such a dict takes a millisecond; to
find what differs in it, entry by entry, takes many.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import compress, filterfalse, repeat
from operator import is_not
from typing import Any, TypeVar

__all__ = ["VersionedDict", "keys_that_differ"]

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_KEYS = 1024
"""A change of more keys is not kept: its dict is one without earlier ones."""
MOST_STEPS = 64
"""How many earlier ones are known."""


class VersionedDict(dict[Key, Value]):
    """A dict for values that are not changed in place; equal to a dict that holds the same.

    Who changes one in place all the same makes a dict of it that has no earlier ones, and that
    is no earlier one of any other.

    Parameters
    ----------
    values : mapping, optional
        What it holds.
    """

    __slots__ = ("_kinds", "_steps", "_version")

    def __init__(self, values: Mapping[Key, Value] | None = None) -> None:
        super().__init__(values if values is not None else {})
        self._forget()

    def _forget(self) -> None:
        self._version = object()
        self._steps: tuple[tuple[object, frozenset[Key]], ...] = ()
        self._kinds: tuple[frozenset[type], frozenset[type]] | None = None

    @property
    def version(self) -> object:
        """Of what it holds: another object after each change in place."""
        return self._version

    @property
    def kinds(self) -> tuple[frozenset[type], frozenset[type]]:
        """Types among which those of all keys, and of all values, are."""
        if self._kinds is None:
            self._kinds = frozenset(map(type, self)), frozenset(map(type, self.values()))
        return self._kinds

    def with_changes(
        self, values: Mapping[Key, Value], removed: Collection[Key] = ()
    ) -> VersionedDict[Key, Value]:
        """Return a dict with other values for some keys, and without some.

        Parameters
        ----------
        values : mapping
            The keys that get a value.
        removed : collection
            The keys that have none; who is not there stays so.
        """
        made = VersionedDict(self)
        dict.update(made, values)
        for key in removed:
            dict.pop(made, key, None)
        if len(values) + len(removed) <= MOST_KEYS:
            keys = frozenset(values) | frozenset(removed)
            made._steps = ((self._version, keys), *self._steps[: MOST_STEPS - 1])
            if self._kinds is not None:
                of_keys, of_values = self._kinds
                made._kinds = (
                    of_keys | frozenset(map(type, values)),
                    of_values | frozenset(map(type, values.values())),
                )
        return made

    def changed_since(self, other: object) -> frozenset[Key] | None:
        """Return the keys by which it can differ from a dict that it was made from.

        None if it was not made from that one, or too long ago.
        """
        if not isinstance(other, VersionedDict):
            return None
        if other._version is self._version:
            return frozenset()
        keys: frozenset[Key] = frozenset()
        for version, more in self._steps:
            keys |= more
            if version is other._version:
                return keys
        return None

    # ---- Equality ----

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        """Compare with any dict; with a relative only the keys that can differ."""
        keys = related_keys(self, other)
        if keys is None or not isinstance(other, dict):
            return dict.__eq__(self, other)
        none = object()
        return all(self.get(key, none) == other.get(key, none) for key in keys)

    def __ne__(self, other: object) -> bool:
        """Compare as :meth:`__eq__`."""
        same = self.__eq__(other)
        return same if same is NotImplemented else not same

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copies plain dicts."""
        return dict, (dict(self),)

    # ---- Changes in place ----

    def __setitem__(self, key: Key, value: Value) -> None:
        """Set a value, and forget the earlier ones, as all that follows."""
        self._forget()
        super().__setitem__(key, value)

    def __delitem__(self, key: Key) -> None:
        """Remove a key."""
        self._forget()
        super().__delitem__(key)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        """Take the values of another one."""
        self._forget()
        super().update(other)
        return self

    def clear(self) -> None:
        """Remove all keys."""
        self._forget()
        super().clear()

    def pop(self, *args: Any) -> Any:
        """Remove a key and return its value."""
        self._forget()
        return super().pop(*args)

    def popitem(self) -> tuple[Key, Value]:
        """Remove the last key and return it with its value."""
        self._forget()
        return super().popitem()

    def setdefault(self, *args: Any) -> Any:
        """Return the value of a key, which gets one if it has none."""
        self._forget()
        return super().setdefault(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set values."""
        self._forget()
        super().update(*args, **kwargs)


def related_keys(one: object, other: object) -> frozenset[Any] | None:
    """Return the keys by which two dicts can differ of which one was made from the other.

    None if it is not known that one was.
    """
    for later, earlier in ((one, other), (other, one)):
        if isinstance(later, VersionedDict):
            keys = later.changed_since(earlier)
            if keys is not None:
                return keys
    return None


def keys_that_differ(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[Any]:
    """Return the keys that may have another value, or none: those that are gone come first.

    Parameters
    ----------
    before, after : mapping
        Of two that are not related, the values that are not one and the same object count.
    """
    related = related_keys(before, after)
    if related is not None:
        gone = [key for key in related if key in before and key not in after]
        return [*gone, *(key for key in related if key in after)]
    # Without a step of Python's for each of 100,000 entries.
    old = map(before.get, after, repeat(object()))
    changed = compress(after, map(is_not, old, after.values()))
    return [*filterfalse(after.__contains__, before), *changed]
