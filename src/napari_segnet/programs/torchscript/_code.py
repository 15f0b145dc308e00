"""The code of TorchScript as a syntax tree: classes and functions by their dotted names."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Class", "Code", "parsed"]


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


def parsed(trees: Mapping[str, ast.Module]) -> Code:
    """Return what files of code define, by the names of the files."""
    code = Code()
    for module, tree in trees.items():
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
