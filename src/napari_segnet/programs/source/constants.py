"""Constants of classes, such as ``class CellConfig(Config): NUM_CLASSES = 1 + 2``; nothing is run.

The walk is that of networks: plain values, arithmetic, names of the file and of files near it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import Weights
from napari_segnet.families import ConfiguredFamily, Family
from napari_segnet.families.kit.constants import ClassConstants
from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._budget import Budget
from napari_segnet.programs.source._files import SourceFile
from napari_segnet.programs.source._library import library
from napari_segnet.programs.source._names import Files, Globals
from napari_segnet.programs.source._runner import Runner
from napari_segnet.programs.source._values import Class, External
from napari_segnet.programs.source.program import paths_of_code

__all__ = ["constants_in", "described"]

MOST_CLASSES = 40
MOST_VALUES = 64
"""Items of a list; a configuration has a handful."""


def described(family: Family, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
    """Return what a family says of weights, with the settings in classes of code beside them.

    ``overrides`` may name the code (``source``), which no family knows of.
    """
    own = {name: value for name, value in overrides.items() if name != "source"}
    if not isinstance(family, ConfiguredFamily):
        return family.describe(weights, own)
    classes = constants_in(paths_of_code(weights.path, overrides), family.constants)
    return family.describe_with(weights, own, classes)


def constants_in(paths: Sequence[Path], wanted: Collection[str]) -> tuple[ClassConstants, ...]:
    """Return the classes that say one of the wanted constants, in the order of the code.

    Parameters
    ----------
    paths : sequence of Path
        Python files and notebooks; what cannot be parsed is left out.
    wanted : collection of str
        Names of constants; all others are left out.
    """
    files, budget = Files(library=library), Budget()
    found: list[ClassConstants] = []
    later: dict[Path, tuple[str, ...]] = {}
    for path in paths:
        try:
            names = files.add(path)
        except NotReadable:
            continue  # it is no code; another file may be
        for node in _classes(names):
            if len(found) == MOST_CLASSES:
                return tuple(found)
            made = _class_of(Runner(files=files, budget=budget), node, names)
            one = None if made is None else _constants(made, wanted)
            if one is None:
                continue
            if path not in later:
                later[path] = tuple(_set_later(names.file, wanted))
            found.append(replace(one, unread=(*one.unread, *later[path])))
    return tuple(found)


def _classes(names: Globals) -> Iterator[ast.ClassDef]:
    for rows in names.bound.values():
        for one in rows:
            if isinstance(one, ast.ClassDef):
                yield one


def _class_of(run: Runner, node: ast.ClassDef, names: Globals) -> Class | None:
    if names.statement(node.name) is not node:
        return None  # a later cell defines it anew
    try:
        found = run.looked_up(node.name, names)
    except (NotReadable, RecursionError):
        return None
    return found if isinstance(found, Class) else None


def _constants(made: Class, wanted: Collection[str]) -> ClassConstants | None:
    order = made.order()
    values: dict[str, Any] = {}
    lost: dict[str, str] = {}
    for one in order:
        if isinstance(one, External):
            continue
        for name, line in _assigned(one.node, wanted):
            if name in values or name in lost:
                continue  # a nearer class says it
            value = _plain(one.values.get(name, ...))
            if value is ...:
                lost[name] = f"{name} in {one.names.file.where(line)}"
            else:
                values[name] = value
    if not values and not lost:
        return None
    return ClassConstants(
        name=made.name,
        where=made.names.file.where(made.node.lineno),
        values=values,
        bases=tuple(one.name if isinstance(one, Class) else one.short for one in order[1:]),
        unread=tuple(lost.values()),
    )


def _assigned(node: ast.ClassDef, wanted: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield the constants that the body of a class gives a value, and where."""
    for one in node.body:
        targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in wanted:
                yield target.id, one.lineno


def _set_later(file: SourceFile, wanted: Collection[str]) -> Iterator[str]:
    """Yield the constants that code sets on an object (``config.NUM_CLASSES = n``)."""
    for statement in file.body:
        for node in ast.walk(statement):
            for one in node.targets if isinstance(node, ast.Assign) else ():
                if isinstance(one, ast.Attribute) and one.attr in wanted:
                    yield f"{one.attr} in {file.where(one.lineno)}"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; an ellipsis for what is none."""
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size <= MOST_VALUES else ...
    if isinstance(value, list | tuple):
        rows = [_plain(one) for one in value[: MOST_VALUES + 1]]
        return ... if len(rows) > MOST_VALUES or ... in rows else rows
    return value if isinstance(value, bool | int | float | str | None) else ...
