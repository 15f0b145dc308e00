"""The code of TorchScript as a syntax tree: classes and functions by their dotted names."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_segnet.programs._evaluate import NotReadable

__all__ = ["Class", "Code", "parsed"]

DEEPEST = 200
"""Expressions in each other."""


@dataclass(slots=True)
class Class:
    """A class: its functions, and values that are the same for all of its modules."""

    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    constants: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(slots=True)
class Code:
    """All that the files of code define."""

    classes: dict[str, Class] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)


def parsed(files: Mapping[str, str]) -> Code:
    """Return what files of code define; text is parsed, never run.

    Raises
    ------
    NotReadable
        If one is no Python.
    """
    code = Code()
    for module, text in files.items():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise NotReadable(f"its code {module[:80]} cannot be parsed ({error})") from error
        _require_flat(tree, module)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                code.functions[f"{module}.{node.name}"] = node
            elif isinstance(node, ast.ClassDef):
                code.classes[f"{module}.{node.name}"] = _class(node)
    return code


def _class(node: ast.ClassDef) -> Class:
    found = Class()
    for one in node.body:
        if isinstance(one, ast.FunctionDef):
            found.functions[one.name] = one
        elif (
            isinstance(one, ast.AnnAssign)
            and isinstance(one.target, ast.Name)
            and one.value is not None
        ):
            found.constants[one.target.id] = one.value
    return found


def _require_flat(tree: ast.AST, module: str) -> None:
    """Refuse code so deep that walking through it would overflow the stack."""
    row, depth = [tree], 0
    while row:
        depth += 1
        if depth > DEEPEST:
            raise NotReadable(f"its code {module[:80]} is nested too deeply")
        row = [child for node in row for child in ast.iter_child_nodes(node)]
