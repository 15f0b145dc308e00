"""Whether PyTorch can make the operations of a program of ``torch.export``.

https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/serialize.py (``deserialize_node``
and what it calls) and https://github.com/pytorch/pytorch/blob/main/torch/_export/verifier.py, as of
PyTorch 2.15
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.containers._export_schema import LaterSchema
from napari_segnet.containers._operators import Operator, argument_names, operator

__all__ = ["ATEN", "TRAINING", "known_name", "require_dialects", "require_ends", "require_node"]

_ATEN, OPERATIONS = "torch.ops.aten.", "torch.ops."
"""How the targets of PyTorch's own operations begin, and those of any package."""
ATEN, TRAINING = "ATEN", "TRAINING"
DIALECTS = frozenset(("", ATEN, TRAINING, "EDGE"))
"""Rules by which PyTorch checks a program; ExecuTorch has the last one. Without a word it is the
first that has a name."""
_NUMBERS = (
    "eq ne le ge lt gt neg mul add sub floordiv mod pow truediv and_ or_ lshift rshift abs not_ pos"
)
_FUNCTIONS = frozenset(
    [f"_operator.{name}" for name in (*_NUMBERS.split(), "getitem")]
    + [f"math.{name}" for name in ("trunc", "ceil", "floor")]
)
_TORCH = frozenset(
    "sym_int sym_float sym_ite sym_max sym_min sym_not sym_sqrt _sym_sqrt sym_sum set_grad_enabled "
    "_set_grad_enabled _enter_autocast _exit_autocast "
    "_call_custom_autograd_function_in_pre_dispatch cast_symbool_to_symint_guardless "
    "_add_batch_dim _remove_batch_dim _vmap_increment_nesting _vmap_decrement_nesting "
    "lazy_load_decompositions _make_dual _unpack_dual _jvp_increment_nesting "
    "_jvp_decrement_nesting _unwrap_for_grad _enter_dual_level _exit_dual_level".split()
)
"""Last names of functions of PyTorch that are no operations, and stand in a program."""
_ON_LENGTHS = ("_operator.", "torch.sym_", "torch._sym_")
"""How the targets begin that compute with lengths; ``_operator.getitem`` does not."""
_OWN = "#"
"""How the targets begin that other packages resolve."""
_PLACED, _NAMED = 1, 2
"""Kinds of arguments: by place, and by name."""
_ITEM = "item.default"
"""The one operation that is read as one on lengths is."""
_SYMBOLS = ("as_sym_int", "as_sym_float")
_IN = frozenset("as_int as_float as_bool as_none as_string as_tensor as_custom_obj".split())
_OUT = frozenset("as_int as_float as_bool as_none as_tensor".split())
"""Kinds of what a graph takes and gives, beside lengths that have a name."""


def require_dialects(names: Sequence[str]) -> None:
    """Refuse a program that is to be checked by rules that nobody has.

    Raises
    ------
    LaterSchema
        If it names others than are known.
    """
    if odd := [name for name in names if name not in DIALECTS]:
        raise LaterSchema(f"it is in the dialect {odd[0][:40]!r}")


def require_node(node: Mapping[str, Any], *, functional: bool) -> None:
    """Refuse an operation that PyTorch cannot make.

    Parameters
    ----------
    node : mapping
        A ``Node`` of the schema.
    functional : bool
        Whether no operation may change what it is given.

    Raises
    ------
    LaterSchema
        If the operation is not known, as one of a later PyTorch.
    ValueError
        If it lacks a value, has one twice, or gives what it cannot give.
    """
    target = node["target"]
    if target.startswith(_ATEN):
        name = target.removeprefix(_ATEN)
        known = operator(name)
        if known is None:
            raise LaterSchema(f"there is no operation {target[:60]!r}")
        if functional and known.changes:
            raise ValueError(f"its operation {name[:60]} changes what it is given")
        if name == _ITEM:
            _require_length(node["outputs"])
            return
        _require_arguments(node["inputs"], known, name)
        if known.results and not node["outputs"]:
            raise ValueError(f"its operation {name[:60]} has no results")
    elif not target.startswith((OPERATIONS, _OWN)):
        last = target.rpartition(".")[2]
        if target not in _FUNCTIONS and not (target.startswith("torch.") and last in _TORCH):
            raise LaterSchema(f"there is no operation {target[:60]!r}")
        if target.startswith(_ON_LENGTHS) and target != "_operator.getitem":
            _require_length(node["outputs"])
            return
    _require_results(node["outputs"])


def require_ends(graph: Mapping[str, Any]) -> None:
    """Refuse what a graph can neither take nor give.

    Raises
    ------
    ValueError
        If it is a list, or a length without a name.
    """
    for what, known in (("inputs", _IN), ("outputs", _OUT)):
        for one in graph[what]:
            ((kind, value),) = one.items()
            named = kind.startswith("as_sym_") and known_name(value)
            lengths = _SYMBOLS[:1] if what == "inputs" else (*_SYMBOLS, "as_sym_bool")
            if kind not in known and not (named and kind in lengths):
                raise ValueError(f"its graph cannot have {kind[3:40]} among its {what}")
    if graph.get("is_single_tensor_return") and len(graph["outputs"]) != 1:
        raise ValueError("its graph says that it gives one tensor, and gives others")


def known_name(held: Any) -> bool:
    """Tell if a length is one that has a name."""
    return isinstance(held, dict) and "as_name" in held


def _require_arguments(inputs: Sequence[Mapping[str, Any]], known: Operator, name: str) -> None:
    """Compare what an operation is given with what it takes.

    PyTorch puts values in the order of the operation's arguments, so that one which is missing
    would shift those behind it. It leaves names alone that the operation does not have.
    """
    kinds = {one["name"]: one.get("kind") for one in inputs}
    if len(kinds) != len(inputs):
        raise ValueError(f"its operation {name[:60]} is given a value twice")
    if odd := kinds.keys() - argument_names():
        raise LaterSchema(f"no operation takes a value {min(odd)[:60]!r}")
    gap = ""
    for one in known.arguments:
        if one.name not in kinds:
            if one.needed:
                raise ValueError(f"its operation {name[:60]} lacks {one.name}")
            gap = gap or one.name
            continue
        kind = kinds[one.name]
        placed = kind == _PLACED or one.word or (kind != _NAMED and one.needed)
        if placed and (gap or one.named):
            raise ValueError(f"its operation {name[:60]} is given {one.name} at another's place")
        if not placed:
            gap = gap or one.name


def _require_length(outputs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse results of an operation on lengths that are none."""
    if not outputs or not known_name(next(iter(outputs[0].values()))):
        raise ValueError("an operation on lengths does not give one")


def _require_results(outputs: Sequence[Mapping[str, Any]]) -> None:
    for one in outputs:
        ((kind, value),) = one.items()
        if kind in {"as_tensor", "as_none"} or (kind in _SYMBOLS and known_name(value)):
            continue
        if len(outputs) == 1:
            if kind == "as_sym_bool" and known_name(value):
                continue
            fine = kind == "as_tensors" and value
        else:
            fine = isinstance(value, list) and (
                not value
                or kind == "as_tensors"
                or (kind in {"as_sym_ints", "as_sym_floats"} and all(map(known_name, value)))
            )
        if not fine:
            raise ValueError(f"an operation cannot give {kind[3:40]}")
