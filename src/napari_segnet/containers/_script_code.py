"""The code of a TorchScript file, parsed and looked at as ``torch.jit.load`` does.

PyTorch compiles all of it before it gives any weights, and so refuses a file one line of which
makes no sense, whether the network needs that line or not. Nothing is compiled here: what is looked
at are syntax, names, the types of classes, and what functions are given and return as far as that
is written (``_script_types.py``).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence

from napari_segnet.budget import Budget
from napari_segnet.containers._script_classes import ScriptCode
from napari_segnet.containers._script_functions import ScriptFunction

__all__ = ["parsed_code"]

DEEPEST = 200
"""Expressions in each other."""


def parsed_code(
    files: Mapping[str, str],
    constants: int,
    needed: Sequence[tuple[str, Collection[str] | None]],
    budget: Budget,
) -> dict[str, ast.Module]:
    """Return the syntax trees of files of code by their dotted names.

    Parameters
    ----------
    files : mapping of str to str
        Their text.
    constants : int
        How many values the file numbers as ``CONSTANTS.c0`` and so on.
    needed : sequence of (str, collection of str or None)
        Dotted names of the classes of its modules, and what each module has values for.
    budget : Budget
        For all of it.

    Raises
    ------
    ValueError
        If PyTorch could not compile it.
    """
    trees = {}
    for module, text in files.items():
        budget.step(len(text))
        try:
            trees[module] = ast.parse(text)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f"its code {module[-80:]} cannot be parsed ({error})") from error
        _require_flat(trees[module], module, budget)
    code = ScriptCode(trees, constants, budget)
    code.require(needed)
    for name, function in code.functions.items():
        code.at = name
        ScriptFunction(code, None).check(function)
    for name, one in code.classes.items():
        for function in one.functions.values():
            code.at = f"{name}.{function.name}"
            ScriptFunction(code, name).check(function)
    return trees


def _require_flat(tree: ast.AST, module: str, budget: Budget) -> None:
    """Refuse code so deep that walking through it would overflow the stack."""
    row, depth = [tree], 0
    while row:
        depth += 1
        budget.step(len(row))
        if depth > DEEPEST:
            raise ValueError(f"its code {module[-80:]} is nested too deeply")
        row = [child for node in row for child in ast.iter_child_nodes(node)]
