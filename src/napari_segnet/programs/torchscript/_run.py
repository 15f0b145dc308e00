"""Walks through the code of TorchScript with values in place of tensors; nothing is executed.

Of Python only what TorchScript writes is known: assignments, calls of its own functions and of
operations by name, branches and loops that sizes and settings decide, lists and tuples. Every other
piece of syntax is refused by its line.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_segnet.budget import Budget
from napari_segnet.containers import Inert, TensorRef
from napari_segnet.programs._evaluate import Drawing, NotReadable, Weight
from napari_segnet.programs._torch import OPERATIONS, truth
from napari_segnet.programs.torchscript._code import Code

__all__ = ["Module", "Runner"]

MOST_STEPS = 1_000_000
"""Pieces of expressions that are looked at, and items of lists that are moved: the largest network
that was tried, a scripted U-Net++ of segmentation-models-pytorch, takes 60,000."""
DEEPEST = 60
"""Calls in each other."""
WIDEST = 64
"""Bits of a whole number."""
LONGEST = 10_000
"""Items of a list, turns of a loop."""


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A module and its place."""

    inert: Inert
    path: str


@dataclass(frozen=True, slots=True)
class _Name:
    """A dotted name that is no value: ``torch.conv2d``, a function of the file."""

    text: str


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass(slots=True, eq=False)
class Runner:
    """Walks through functions.

    Attributes
    ----------
    code : Code
        What the file defines.
    draw : Drawing
        The graph that grows.
    root : mapping of str to TensorRef
        Tensors by their places.
    constants : sequence
        What the file numbers as ``CONSTANTS.c0`` and so on.
    read : callable
        Returns the numbers of a small tensor by its key, or None.
    """

    code: Code
    draw: Drawing
    root: Mapping[str, TensorRef]
    constants: Sequence[Any]
    read: Callable[[str], Any]
    budget: Budget = field(default_factory=lambda: Budget(steps=MOST_STEPS, error=NotReadable))
    depth: int = 0

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises
        ------
        NotReadable
            If there are more than any network takes.
        """
        self.budget.step(steps)

    def method(self, module: Module, name: str, args: Sequence[Any], named: Any = None) -> Any:
        """Return what a function of a module answers."""
        own = self.code.classes.get(str(module.inert.name))
        function = own.functions.get(name) if own else None
        if function is None:
            raise NotReadable(f"its module {module.path or '(itself)'} has no function {name!r}")
        before, self.draw.at = self.draw.at, module.path or self.draw.at
        answer = self._call(function, [module, *args], named or {})
        self.draw.at = before
        return answer

    def _call(self, function: ast.FunctionDef, args: Sequence[Any], named: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotReadable(f"its functions call each other more than {DEEPEST} deep")
        own = function.args
        names = [one.arg for one in own.args]
        values: dict[str, Any] = dict(zip(names, args, strict=False))
        values |= {k: v for k, v in named.items() if k in names}
        for name, default in zip(names[::-1], own.defaults[::-1], strict=False):
            if name not in values:
                values[name] = self._value(default, {})
        if missing := [name for name in names if name not in values]:
            raise NotReadable(f"its function {function.name} lacks {missing[0]!r}")
        answer = None
        try:
            self._block(function.body, values)
        except _Return as done:
            answer = done.value
        self.depth -= 1
        return answer

    # ---- Statements --------------------------------------------------------------------

    def _block(self, body: Sequence[ast.stmt], values: dict[str, Any]) -> None:
        for one in body:
            self._statement(one, values)

    def _statement(self, one: ast.stmt, values: dict[str, Any]) -> None:
        self.spend(1)
        if isinstance(one, ast.Return):
            raise _Return(None if one.value is None else self._value(one.value, values))
        if isinstance(one, ast.Assign) and len(one.targets) == 1:
            self._assign(one.targets[0], self._value(one.value, values), values)
        elif isinstance(one, ast.AnnAssign):
            if one.value is not None:
                self._assign(one.target, self._value(one.value, values), values)
        elif isinstance(one, ast.Expr):
            self._value(one.value, values)
        elif isinstance(one, ast.If):
            taken = truth(self.draw, self._value(one.test, values))
            self._block(one.body if taken else one.orelse, values)
        elif isinstance(one, ast.For) and isinstance(one.target, ast.Name):
            turns = self._value(one.iter, values)
            if not isinstance(turns, list | tuple | range) or len(turns) > LONGEST:
                raise self._refused(one)
            for turn in turns:
                self.spend(1)
                values[one.target.id] = turn
                self._block(one.body, values)
        elif isinstance(one, ast.While):
            for _ in range(LONGEST):
                if not truth(self.draw, self._value(one.test, values)):
                    return
                self._block(one.body, values)
            raise self._refused(one)
        elif not isinstance(one, ast.Pass):
            raise self._refused(one)

    def _assign(self, target: ast.expr, value: Any, values: dict[str, Any]) -> None:
        if isinstance(target, ast.Name):
            values[target.id] = value
            return
        if isinstance(target, ast.Tuple) and isinstance(value, list | tuple):
            if len(target.elts) != len(value):
                raise NotReadable(f"it unpacks {len(value)} values into {len(target.elts)}")
            for one, part in zip(target.elts, value, strict=True):
                self._assign(one, part, values)
            return
        raise self._refused(target)

    def _refused(self, node: ast.AST) -> NotReadable:
        text = (
            ast.unparse(node).splitlines()[0][:80] if isinstance(node, ast.stmt | ast.expr) else ""
        )
        return NotReadable(f"its code of {self.draw.at} says {text!r}, which is not read")

    # ---- Expressions -------------------------------------------------------------------

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        self.spend(1)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool | int | float | str | None):
                # ``0x`` and a million digits is a number to Python, and to no network.
                if not isinstance(node.value, int) or node.value.bit_length() <= WIDEST:
                    return node.value
        elif isinstance(node, ast.Name):
            return self._named(node, values)
        elif isinstance(node, ast.Attribute):
            return self._attribute(self._value(node.value, values), node)
        elif isinstance(node, ast.List | ast.Tuple):
            found = [self._value(one, values) for one in node.elts]
            return found if isinstance(node, ast.List) else tuple(found)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            own = self._value(node.operand, values)
            if isinstance(own, int | float | np.ndarray):
                return -own
        elif isinstance(node, ast.Subscript):
            return self._item(node, values)
        elif isinstance(node, ast.Call):
            return self._called(node, values)
        elif isinstance(node, ast.IfExp):
            taken = truth(self.draw, self._value(node.test, values))
            return self._value(node.body if taken else node.orelse, values)
        raise self._refused(node)

    def _named(self, node: ast.Name, values: Mapping[str, Any]) -> Any:
        if node.id in values:
            return values[node.id]
        words = {"inf": float("inf"), "nan": float("nan"), "None": None}
        return words[node.id] if node.id in words else _Name(node.id)

    def _attribute(self, own: Any, node: ast.Attribute) -> Any:
        if isinstance(own, _Name):
            text = f"{own.text}.{node.attr}"
            if own.text == "CONSTANTS":
                return self._constant(node.attr)
            return _Name(text)
        if isinstance(own, Module):
            return self._member(own, node.attr)
        raise self._refused(node)

    def _constant(self, name: str) -> Any:
        number = name.removeprefix("c")
        if not number.isdigit() or int(number) >= len(self.constants):
            raise NotReadable(f"its constant {name[:20]!r} is not in the file")
        return self._plain(self.constants[int(number)], f"CONSTANTS.{name}")

    def _member(self, module: Module, name: str) -> Any:
        own = module.inert.fields()
        if name in own:
            return self._plain(own[name], f"{module.path}.{name}" if module.path else name)
        made = self.code.classes.get(str(module.inert.name))
        if made is not None and name in made.constants:
            return self._value(made.constants[name], {})
        return _Name(f"{module.path}.{name}")

    def _plain(self, value: Any, key: str, depth: int = 0) -> Any:
        """Return a value out of the file as it is used here."""
        self.spend(1)
        if isinstance(value, TensorRef):
            shape = value.shape
            return Weight(key=key, shape=shape, order=tuple(range(len(shape))), moved=shape)
        if isinstance(value, Inert):
            if str(value.name).startswith("torch.jit._pickle.") and value.args:
                first = value.args[0]
                return list(first) if isinstance(first, list | tuple) else first
            return Module(value, key)
        if isinstance(value, list | tuple):
            if len(value) > LONGEST or depth > DEEPEST:
                raise NotReadable(f"its value {key[:80]} is longer or deeper than any")
            row = [self._plain(one, f"{key}.{i}", depth + 1) for i, one in enumerate(value)]
            return row if isinstance(value, list) else tuple(row)
        return value

    def _item(self, node: ast.Subscript, values: Mapping[str, Any]) -> Any:
        own, place = self._value(node.value, values), self._value(node.slice, values)
        if isinstance(own, _Name):
            return own  # a type: List[int]
        if isinstance(own, list | tuple) and isinstance(place, int):
            if not -len(own) <= place < len(own):
                raise NotReadable(f"its code of {self.draw.at} takes item {place} of {len(own)}")
            return own[place]
        raise self._refused(node)

    def _called(self, node: ast.Call, values: Mapping[str, Any]) -> Any:
        if any(isinstance(one, ast.Starred) for one in node.args):
            raise self._refused(node)
        named = {one.arg: self._value(one.value, values) for one in node.keywords if one.arg}
        if isinstance(node.func, ast.Attribute):
            owner = self._value(node.func.value, values)
            if isinstance(owner, Module):
                args = [self._value(one, values) for one in node.args]
                return self.method(owner, node.func.attr, args, named)
        function = self._value(node.func, values)
        if not isinstance(function, _Name):
            raise self._refused(node)
        name = function.text
        if name in ("annotate", "unchecked_cast", "uninitialized"):
            # The first says a type.
            return self._value(node.args[1], values) if len(node.args) > 1 else None
        args = [self._value(one, values) for one in node.args]
        return self._operation(name, args, named, node)

    def _operation(self, name: str, args: list[Any], named: Any, node: ast.Call) -> Any:
        if name == "getattr" and len(args) == 2 and isinstance(args[0], Module):
            return self._member(args[0], str(args[1]))
        if name in self.code.functions:
            return self._call(self.code.functions[name], args, named)
        if name == "ops.prim.RaiseException":
            said = str(args[0])[:80] if args else ""
            raise NotReadable(f"its code of {self.draw.at} stops here with {said!r}")
        plain = name.removeprefix("torch.").removeprefix("ops.prim.").removeprefix("ops.aten.")
        function = OPERATIONS.get(plain) or OPERATIONS.get(plain.removesuffix("_"))
        if function is None:
            raise NotReadable(f"{self.draw.at} does {name[:60]}, which is not read")
        try:
            return function(self, *args, **named)
        except (TypeError, AttributeError, IndexError, OverflowError, KeyError) as error:
            raise NotReadable(
                f"{self.draw.at} does {name[:60]} in a way that is not read ({str(error)[:100]})"
            ) from error

    def number_of(self, weight: Weight) -> Any:
        """Return the numbers of a small tensor."""
        found = self.read(weight.key)
        if found is None:
            raise NotReadable(f"{self.draw.at} computes with the tensor {weight.key[:80]}")
        return np.asarray(found).transpose(weight.order).reshape(weight.shape)
