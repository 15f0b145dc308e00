"""What the operations of PyTorch take and give is what the installed PyTorch says."""

from __future__ import annotations

import pytest
import torch

from napari_segnet.containers._operators import FILE, operator, overloads

VERSION = (2, 15)
"""Of PyTorch, from which the table was made."""


def schemas() -> dict[str, torch._C.FunctionSchema]:
    """Return the schemas of PyTorch's own operations, called as in the table."""
    found = {}
    for one in torch._C._jit_get_all_schemas():
        space, _, name = one.name.partition("::")
        if space == "aten":
            found[f"{name}.{one.overload_name or 'default'}"] = one
    return found


def said(one: torch._C.FunctionSchema) -> tuple[object, ...]:
    arguments = [(a.name, a.has_default_value(), a.kwarg_only) for a in one.arguments]
    return arguments, len(one.returns), one.is_mutable


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) != VERSION,
    reason=f"the table is of PyTorch {'.'.join(map(str, VERSION))}",
)
def test_the_table_is_that_of_pytorch():
    known, wrong = schemas(), []
    assert len(known) > 2000
    for name, one in known.items():
        ours = operator(name)
        if ours is None:
            wrong.append((name, "missing"))
            continue
        arguments = [(a.name, a.optional, a.named) for a in ours.arguments]
        if (arguments, len(ours.results), ours.changes) != said(one):
            wrong.append((name, arguments, len(ours.results), ours.changes, said(one)))
    assert wrong == [], len(wrong)


def test_kinds_of_an_operation_are_told_apart():
    assert {one.arguments[1].kind.name for one in overloads("add")} >= {"Tensor", "number", "int"}
    assert operator("conv2d.nothing") is None
    assert FILE.read_text("ascii").endswith("\n")
