"""Keep: how an answer is kept, as a value."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How an answer is kept.

    Attributes
    ----------
    shape : tuple of int
        ``(channel, [t,] [z,] y, x)``.
    dtype : str
        ``float32`` or ``float16``.
    place : str
        One of ``SINKS``: ``memory`` or ``file``.
    """

    shape: tuple[int, ...]
    dtype: str
    place: str
