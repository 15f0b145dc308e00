"""A checkpoint as JSON, and back: every value is checked, since anybody can write one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from napari_segnet.checkpoint._facts import (
    MOST,
    Activation,
    Known,
    Layout,
    Output,
    PrepareStep,
    Role,
    Size,
    Source,
    Store,
    Task,
)

__all__ = ["READ", "fields_from_json", "plain"]


def fields_from_json(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return fields of a checkpoint out of their JSON form; every value is checked.

    Parameters
    ----------
    content : mapping
        A part of what ``Checkpoint.to_json`` gives, or what anybody wrote in its stead.
    names : iterable of str
        The fields that are wanted.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If one is missing or makes no sense.
    """
    return {name: READ[name](content[name]) for name in names}


def plain(value: Any) -> Any:
    """Return JSON values: tuples become lists, paths texts, dataclasses their fields."""
    if is_dataclass(value):
        rows = {part.name: plain(getattr(value, part.name)) for part in fields(value)}
        if isinstance(value, Output) and not value.paints:
            del rows["paints"]  # only regions have it
        return rows
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _outputs(rows: Any) -> tuple[Output, ...]:
    found = []
    for row in rows:
        if row["role"] not in get_args(Role) or row["activation"] not in get_args(Activation):
            raise ValueError(f"the output {row} has an unknown role or activation")
        count, paints = _count(row["channels"]), tuple(map(_count, row.get("paints", ())))
        if len(paints) not in (0, count):
            raise ValueError(f"the output {row} does not paint a number for each channel")
        ends = {name: row[name] for name in ("role", "activation")}
        found.append(Output(channels=count, paints=paints, **ends))
    return tuple(found)


def _steps(rows: Any) -> tuple[PrepareStep, ...]:
    """Read steps; ``prepare.checked`` tells if they can be done."""
    return tuple(
        PrepareStep(name=_text(row["name"]), options=_mapping(row["options"])) for row in rows
    )


def _pixel_size(sizes: Any) -> dict[str, float]:
    for axis, size in sizes.items():
        if axis not in ("z", "y", "x") or not 0 < float(size) < float("inf"):
            raise ValueError(f"{axis}: {size} is no pixel size")
    return {axis: float(size) for axis, size in sizes.items()}


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError(f"{values!r} is no list of texts")
    return tuple(_text(value) for value in values)


def _task(value: Any) -> str:
    if value not in get_args(Task):
        raise ValueError(f"{value!r} is no task")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no JSON object")
    return value


def _card(value: Any) -> dict[str, Any]:
    _mapping(_mapping(value).get("label", {}))  # advice on labels
    return dict(value)


def _count(value: Any, least: int = 1, most: int = MOST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is no whole number from {least} to {most}")
    return value


def _lengths(values: Any) -> tuple[int, ...]:
    return tuple(_count(value, 0) for value in values)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _one_of(kinds: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in get_args(kinds):
            raise ValueError(f"{value!r} is none of {', '.join(get_args(kinds))}")
        return value

    return read


def _known(rows: Any) -> dict[str, Known]:
    source = _one_of(Source)
    return {n: Known(source=source(r["source"]), why=_text(r["why"])) for n, r in rows.items()}


def _store(row: Any) -> Store:
    return Store(
        container=_text(row["container"]),
        wrapper=_texts(row["wrapper"]),
        prefix=_text(row["prefix"]),
        dtype=_text(row["dtype"]),
        keys={_text(key): _text(value) for key, value in row["keys"].items()},
        layouts={_text(key): _layout(one) for key, one in row.get("layouts", {}).items()},
        member=_text(row.get("member", "")),
    )


def _layout(row: Any) -> Layout:
    return Layout(
        order=_lengths(row["order"]), flipped=_truth(row["flipped"]), key=_text(row.get("key", ""))
    )


READ: dict[str, Callable[[Any], Any]] = {
    "family": _text,
    "task": _task,
    "answer_kind": _text,
    "program": _text,
    "hparams": _mapping,
    "ndim": _count,
    "channels": _count,
    "classes": _count,
    "outputs": _outputs,
    "size": lambda row: Size(**{name: _lengths(values) for name, values in row.items()}),
    "store": _store,
    "parameters": lambda value: _count(value, 0, 2**63),
    "halo_px": lambda values: None if values is None else _lengths(values),
    "exact": _truth,
    "prepare": _steps,
    "class_names": _texts,
    "pixel_size_um": _pixel_size,
    "members": lambda values: tuple(Path(text) for text in _texts(values)),
    "known": _known,
    "card": _card,
}
"""How each field is read from JSON; the keys are all fields but those of the file."""
