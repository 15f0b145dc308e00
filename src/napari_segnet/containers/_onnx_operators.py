"""What ONNX says of its operations: how many inputs and outputs, and which attributes of a kind.

A name of an attribute with one wrong letter would leave its default in force without a word: the
format's own checker refuses it, and so does this.

``onnx_operators.txt`` is made by ``onnx.defs.get_all_schemas_with_history()`` of onnx 1.23:
operation, first version, inputs, outputs (least and most), attributes with the letter of their
kind, and ``!`` where a node must have it. Each version of an operation is a line of its own; the
word ``deprecated`` stands where there is none from then on. ``GroupNormalization`` of version 18 is
as it was before onnx 1.16 deprecated it. ``LayerNormalization`` has version 1, which ONNX Runtime
runs and its optimisers write, while ONNX knows it from version 17.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_segnet.containers._onnx_model import OnnxGraph, OnnxNode
from napari_segnet.containers._onnx_tensor import OnnxTensor

__all__ = ["NEWEST", "LaterOperator", "require_known"]

FILE = Path(__file__).with_name("onnx_operators.txt")
NEWEST = 26
"""The last version of ONNX' operations that the table knows; later ones may say more."""
DEPRECATED = "deprecated"
EXPERIMENTAL = frozenset(
    "ATen Affine ConstantFill Crop DynamicSlice GRUUnit GivenTensorFill ImageScaler "
    "ParametricSoftplus Scale ScaledTanh".split()
)
"""Operations of files of 2017 and 2018, which the checker lets pass and never looks at."""
ANY = 10**6
"""Of inputs and outputs where there is no most."""
KINDS: Mapping[str, tuple[type, ...]] = {
    **{"i": (int,), "f": (float,), "s": (str,), "t": (OnnxTensor,), "g": (OnnxGraph,)},
    **{"I": (int,), "F": (float,), "S": (str,)},
}
"""Of an attribute's value, and of each in a list (large letters)."""


class LaterOperator(ValueError):
    """A node has what no version of the table has, in a file of a later version."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one operation may have since a version."""

    since: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: Mapping[str, str]
    required: frozenset[str]
    deprecated: bool = False


_NONE = Rule(0, (0, 0), (0, 0), {}, frozenset(), deprecated=True)
"""Stands where there is no operation."""


@functools.cache
def _rules() -> Mapping[str, tuple[Rule, ...]]:
    """Return what each operation may have, the newest version first."""
    found: dict[str, list[Rule]] = {}
    for line in FILE.read_text("ascii").splitlines():
        name, since, inputs, *rest = line.split(" ")
        if inputs == DEPRECATED:
            found.setdefault(name, []).insert(0, replace(_NONE, since=int(since)))
            continue
        kinds = dict(one.removesuffix("!").split(":") for one in rest[1:])
        needed = frozenset(one.partition(":")[0] for one in rest[1:] if one.endswith("!"))
        rule = Rule(int(since), _range(inputs), _range(rest[0]), kinds, needed)
        found.setdefault(name, []).insert(0, rule)
    return {name: tuple(rules) for name, rules in found.items()}


WITHOUT = frozenset(("Loop", "Scan"))
"""Operations whose first inputs may be left out, though others behind them may not."""


def _range(text: str) -> tuple[int, int]:
    least, most = (ANY if end == "*" else int(end) for end in text.split("-"))
    return least, most


def require_known(node: OnnxNode, opset: int) -> None:
    """Refuse a node that its operation does not allow.

    Parameters
    ----------
    node : OnnxNode
        Of ONNX' own operations.
    opset : int
        Their version.

    Raises
    ------
    LaterOperator
        If a version beyond the table may have it.
    ValueError
        If it has other inputs, outputs or attributes than its operation has in this version, or
        if there is no such operation.
    """
    shown = f"{node.operation[:40]} ({(node.name or '-')[:40]})"
    if node.operation in EXPERIMENTAL:
        return
    rules = _rules().get(node.operation, ())
    rule = next((rule for rule in rules if rule.since <= opset), _NONE)
    if rule.deprecated:
        raise _unknown(f"ONNX knows no operation {shown} in version {opset}", opset)
    for what, names, (least, most) in (
        ("inputs", node.inputs, rule.inputs),
        ("outputs", node.outputs, rule.outputs),
    ):
        if not least <= len(names) <= most:
            raise _unknown(
                f"{shown} has {len(names)} {what}, where ONNX allows {least}-{most}", opset
            )
    if node.operation not in WITHOUT and not all(node.inputs[: rule.inputs[0]]):
        raise ValueError(f"{shown} lacks an input that ONNX demands")
    if rule.outputs[1] != ANY and not all(node.outputs[: rule.outputs[0]]):
        raise ValueError(f"{shown} has an output without a name")
    if missing := rule.required - node.attributes.keys():
        raise ValueError(f"{shown} has no attribute {min(missing)!r}, which ONNX demands")
    for name, value in node.attributes.items():
        kind = rule.attributes.get(name)
        if kind is None:
            raise _unknown(f"{shown} has an attribute {name[:40]!r} that ONNX does not know", opset)
        if not _fits(kind, value):
            raise ValueError(f"the attribute {name[:40]!r} of {shown} is of another kind")


def _unknown(what: str, opset: int) -> ValueError:
    """Return the error of a node that the table has not, which a later one may have."""
    return LaterOperator(what) if opset > NEWEST else ValueError(what)


def _fits(kind: str, value: Any) -> bool:
    expected = KINDS.get(kind)
    if expected is None:  # a sparse tensor, which nobody reads
        return True
    if kind.isupper():
        return isinstance(value, tuple) and all(isinstance(one, expected) for one in value)
    return isinstance(value, expected)
