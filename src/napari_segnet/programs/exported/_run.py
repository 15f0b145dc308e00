"""Walks through the operations of torch.export with values in place of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_segnet.budget import Budget
from napari_segnet.containers import TensorRef
from napari_segnet.programs._evaluate import Drawing, NotReadable, Value, Weight
from napari_segnet.programs._torch import OPERATIONS
from napari_segnet.programs.exported._program import Program, Step

__all__ = ["Runner"]

MOST_STEPS = 200_000
"""Operations, and items of lists that are moved."""
KINDS: Mapping[int, int] = {
    **{1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6, 8: 7, 9: 8, 10: 9, 11: 10, 12: 11, 13: 15},
}
"""The schema's scalar types -> those of c10, by which operations know them."""
NAMED = ("alpha", "rounding_mode", "approximate", "dtype", "layout", "device", "pin_memory",
         "memory_format", "generator", "non_blocking", "scale", "enable_gqa")  # fmt: skip
"""Arguments that operations take by name only; programs before schema 8 do not say it."""
IGNORED = ("layout", "device", "pin_memory", "memory_format", "generator", "non_blocking", "copy")
"""What changes no value."""
SKIPPED = (
    "_assert_scalar",
    "_assert_async",
    "_assert_tensor_metadata",
    "sym_constrain_range_for_size",
    "sym_constrain_range",
)
"""What only looks whether an image fits."""


@dataclass(slots=True, eq=False)
class Runner:
    """Walks through a program.

    Attributes
    ----------
    program : Program
        What the file says.
    draw : Drawing
        The graph that grows.
    root : mapping of str to TensorRef
        Tensors of the file.
    read : callable
        Returns the numbers of a small tensor by its key, or None.
    """

    program: Program
    draw: Drawing
    root: Mapping[str, TensorRef]
    read: Callable[[str], Any]
    budget: Budget = field(default_factory=lambda: Budget(steps=MOST_STEPS, error=NotReadable))
    values: dict[str, Any] = field(default_factory=dict)

    def spend(self, steps: int) -> None:
        """Count steps; raises ``NotReadable`` where there are more than any network takes."""
        self.budget.step(steps)

    def number_of(self, weight: Weight) -> Any:
        """Return the numbers of a small tensor."""
        found = self.read(weight.key)
        if found is None:
            raise NotReadable(f"{self.draw.at} computes with the tensor {weight.key[:80]}")
        return np.asarray(found).transpose(weight.order).reshape(weight.shape)

    def run(self, images: Mapping[str, Value]) -> list[tuple[str, Any]]:
        """Return what each answer is called and is.

        Raises
        ------
        NotReadable
            If some operation has no counterpart, by its name.
        """
        self.values = {**self.program.fixed, **images}
        for name, key in self.program.tensors.items():
            tensor = self.root.get(key)
            if tensor is not None:
                shape = tensor.shape
                order = tuple(range(len(shape)))
                self.values[name] = Weight(key=key, shape=shape, order=order, moved=shape)
        for step in self.program.steps:
            self.spend(1)
            self._step(step)
        return [(called, self.values.get(name)) for called, name in self.program.outputs]

    def _step(self, step: Step) -> None:
        name = _plain(step.target)
        first = next((row[0] for row in step.outputs if row), "")
        self.draw.at = first or name
        if name in SKIPPED:
            return
        function = OPERATIONS.get(name) or OPERATIONS.get(name.removesuffix("_"))
        if function is None:
            raise NotReadable(f"{self.draw.at} does {step.target[:60]}, which is not read")
        args, named = self._arguments(step)
        try:
            answer = function(self, *args, **named)
        except (TypeError, AttributeError, IndexError, OverflowError, KeyError) as error:
            raise NotReadable(
                f"{self.draw.at} does {step.target[:60]} in a way that is not read "
                f"({str(error)[:100]})"
            ) from error
        self._keep(step, answer)

    def _arguments(self, step: Step) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        named: dict[str, Any] = {}
        for name, argument, by_name in step.inputs:
            if name in IGNORED:
                continue
            value = self._value(argument)
            if by_name or name in NAMED:
                named[name] = value
            else:
                args.append(value)
        if named.get("dtype") is None:
            named.pop("dtype", None)
        return args, named

    def _keep(self, step: Step, answer: Any) -> None:
        """Give the answers their names: one, a row of them, or one that is a list."""
        names = step.outputs
        if len(names) == 1 and len(names[0]) == 1:
            whole = answer[0] if isinstance(answer, list | tuple) and len(answer) == 1 else answer
            self.values[names[0][0]] = whole
            return
        row = [name for one in names for name in one]
        if not isinstance(answer, list | tuple) or len(answer) < len(row):
            raise NotReadable(f"{self.draw.at} answers with {len(row)} values")
        self.values.update(zip(row, answer, strict=False))

    def _value(self, argument: Mapping[str, Any]) -> Any:
        ((kind, value),) = argument.items()
        if kind == "as_none":
            return None
        if kind in ("as_int", "as_float", "as_bool", "as_string"):
            return value if isinstance(value, bool | int | float | str) else self._unknown(kind)
        if kind in ("as_ints", "as_floats", "as_bools", "as_strings"):
            self.spend(len(value))
            return list(value)
        if kind == "as_tensor":
            return self._named(value["name"])
        if kind == "as_tensors":
            return [self._named(one["name"]) for one in value]
        if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
            return self._symbol(value)
        if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools"):
            return [self._symbol(one) for one in value]
        if kind in ("as_optional_tensor",):
            return self._value(value)
        if kind == "as_optional_tensors":
            return [self._value(one) for one in value]
        if kind == "as_scalar_type":
            return KINDS.get(value, -1)
        if kind in ("as_memory_format", "as_layout", "as_device"):
            return None
        return self._unknown(kind)

    def _unknown(self, kind: str) -> Any:
        raise NotReadable(f"{self.draw.at} takes an argument of the kind {kind[:40]}")

    def _symbol(self, value: Mapping[str, Any]) -> Any:
        ((kind, own),) = value.items()
        return self._named(own) if kind == "as_name" else own

    def _named(self, name: Any) -> Any:
        if name not in self.values:
            raise NotReadable(f"{self.draw.at} takes {str(name)[:60]!r}, which nothing gives")
        return self.values[name]


def _plain(target: str) -> str:
    """Return the name of an operation: ``torch.ops.aten.conv2d.default`` is ``conv2d``."""
    for start in ("torch.ops.aten.", "_operator.", "math.", "torch."):
        if target.startswith(start):
            return target.removeprefix(start).partition(".")[0]
    return target
