"""The code of a TorchScript file, parsed and looked at as ``torch.jit.load`` does.

PyTorch compiles all of it before it gives any weights, and so refuses a file one line of which
makes no sense, whether the network needs that line or not. Nothing is compiled here: what is looked
at are syntax, names, the types of classes, and what functions are given and return as far as that
is written (``_script_types.py``).
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping, Sequence

from napari_segnet.budget import Budget
from napari_segnet.containers._script_classes import ScriptCode
from napari_segnet.containers._script_functions import ScriptFunction, require_fixed
from napari_segnet.containers._script_types import Type

__all__ = ["parsed_code"]

DEEPEST = 200
"""Expressions in each other."""
WORDS = frozenset("async await except finally from lambda nonlocal try yield".split())
"""Those of Python that TorchScript has not: layers may be called so.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/csrc/jit/frontend/lexer.h
"""
MARK = "__word_of_python_"


NO_BASE = re.compile(r"^class\s+\w+\s*\(\s*\)", re.MULTILINE)
"""What Python takes, and PyTorch does not: it writes no brackets where there is no base."""


def parsed_code(
    files: Mapping[str, str],
    constants: Sequence[Type],
    needed: Sequence[tuple[str, Mapping[str, Type] | None]],
    budget: Budget,
) -> dict[str, ast.Module]:
    """Return the syntax trees of files of code by their dotted names.

    Parameters
    ----------
    files : mapping of str to str
        Their text.
    constants : sequence of Type
        Types of the values that the file numbers as ``CONSTANTS.c0`` and so on.
    needed : sequence of (str, mapping of str to Type or None)
        Dotted names of the classes of its modules, and the types of the values of each.
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
            trees[module] = _parsed(text)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(f"its code {module[-80:]} cannot be parsed ({error})") from error
        _require_flat(trees[module], module, budget)
    code = ScriptCode(trees, constants, budget)
    code.require(needed)
    for name, function in code.functions.items():
        code.at = name
        ScriptFunction(code, None).check(function)
    for name, one in code.classes.items():
        for field, value in one.values.items():
            code.at = f"{name}.{field}"
            require_fixed(code, value, one.fields[field])
        for function in one.functions.values():
            code.at = f"{name}.{function.name}"
            ScriptFunction(code, name).check(function)
    return trees


def _joins_statements(text: str) -> bool:
    """Tell if a semicolon stands outside of texts, as Python allows and TorchScript does not."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error
    return any(token.type == tokenize.OP and token.string == ";" for token in tokens)


def _parsed(text: str) -> ast.Module:
    """Return the syntax tree; a name may be a word of Python, brackets of a class are not empty."""
    if NO_BASE.search(text):
        raise SyntaxError("a class has empty brackets")
    if text and not text.endswith("\n"):
        raise SyntaxError("its last line does not end")
    if ";" in text and _joins_statements(text):
        raise SyntaxError("a semicolon joins two statements")
    try:
        return ast.parse(text)
    except SyntaxError:
        if not any(word in text for word in WORDS):
            raise
    lines = [list(line) for line in io.StringIO(text)]
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and token.string in WORDS:
                row, column = token.start
                lines[row - 1][column] = MARK + token.string[0]
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error
    tree = ast.parse("".join("".join(line) for line in lines))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            node.attr = node.attr.removeprefix(MARK)
        elif isinstance(node, ast.Name):
            node.id = node.id.removeprefix(MARK)
    return tree


def _require_flat(tree: ast.AST, module: str, budget: Budget) -> None:
    """Refuse code so deep that walking through it would overflow the stack."""
    row, depth = [tree], 0
    while row:
        depth += 1
        budget.step(len(row))
        if depth > DEEPEST:
            raise ValueError(f"its code {module[-80:]} is nested too deeply")
        row = [child for node in row for child in ast.iter_child_nodes(node)]
