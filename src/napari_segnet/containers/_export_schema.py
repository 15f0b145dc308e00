"""The schema of a program of ``torch.export``: the fields of each object, and their types.

https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/schema.py, as of PyTorch 2.15
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from typing import Any

from napari_segnet.containers._named_texts import device

__all__ = ["LaterSchema", "require_object"]

# Each line is one class, indented lines go on. ``?`` behind a field: it may be missing; behind a
# type: it may be null. [T] is a list, {T} an object of JSON with any keys. A class with ``|``
# has exactly one of its fields; any is a number, a text, yes or no, or null.
_CLASSES = """
Device: type str, index? int?
SymExprHint | as_int int, as_bool bool, as_float float
SymExpr: expr_str expression, hint? SymExprHint?
SymInt | as_expr SymExpr, as_int int
SymFloat | as_expr SymExpr, as_float float
SymBool | as_expr SymExpr, as_bool bool
TensorMeta: dtype dtype, sizes [SymInt], requires_grad bool, device Device, strides [SymInt],
    storage_offset SymInt, layout int
SymIntArgument | as_name str, as_int int
SymFloatArgument | as_name str, as_float float
SymBoolArgument | as_name str, as_bool bool
TensorArgument: name str
TokenArgument: name str
OptionalTensorArgument | as_tensor TensorArgument, as_none any
GraphArgument: name str, graph Graph
CustomObjArgument: name str, class_fqn? str
ComplexValue: real float, imag float
Argument | as_none any, as_tensor TensorArgument, as_tensors [TensorArgument], as_int int,
    as_ints [int], as_float float, as_floats [float], as_string str, as_strings [str], as_sym_int
    SymIntArgument, as_sym_ints [SymIntArgument], as_scalar_type dtype, as_memory_format memory,
    as_layout layout, as_device Device, as_bool bool, as_bools [bool], as_sym_bool SymBoolArgument,
    as_sym_bools [SymBoolArgument], as_graph GraphArgument, as_optional_tensors
    [OptionalTensorArgument], as_custom_obj CustomObjArgument, as_operator str, as_sym_float
    SymFloatArgument, as_sym_floats [SymFloatArgument], as_optional_tensor
    OptionalTensorArgument, as_complex ComplexValue, as_nested_tensors [[TensorArgument]],
    as_int_lists [[int]], as_string_to_argument {Argument}, as_float_lists [[float]]
NamedArgument: name str, arg Argument, kind? int?
Node: target str, inputs [NamedArgument], outputs [Argument], metadata {str?},
    is_hop_single_tensor_return? bool?, name? str?
Graph: inputs [Argument], outputs [Argument], nodes [Node], tensor_values {TensorMeta},
    sym_int_values {SymInt}, sym_bool_values {SymBool}, is_single_tensor_return? bool,
    custom_obj_values? {CustomObjArgument}, sym_float_values? {SymFloat}
UserInputSpec: arg Argument
ConstantValue | as_none any, as_int int, as_float float, as_string str, as_bool bool
InputToConstantInputSpec: name str, value ConstantValue
InputToParameterSpec: arg TensorArgument, parameter_name str
InputToBufferSpec: arg TensorArgument, buffer_name str, persistent bool
InputToTensorConstantSpec: arg TensorArgument, tensor_constant_name str
InputToCustomObjSpec: arg CustomObjArgument, custom_obj_name str
InputTokenSpec: arg TokenArgument
InputSpec | user_input UserInputSpec, parameter InputToParameterSpec, buffer InputToBufferSpec,
    tensor_constant InputToTensorConstantSpec, custom_obj InputToCustomObjSpec, token
    InputTokenSpec, constant_input InputToConstantInputSpec
UserOutputSpec: arg Argument
LossOutputSpec: arg TensorArgument
BufferMutationSpec: arg TensorArgument, buffer_name str
ParameterMutationSpec: arg TensorArgument, parameter_name str
GradientToParameterSpec: arg TensorArgument, parameter_name str
GradientToUserInputSpec: arg TensorArgument, user_input_name str
UserInputMutationSpec: arg TensorArgument, user_input_name str
OutputTokenSpec: arg TokenArgument
OutputSpec | user_output UserOutputSpec, loss_output LossOutputSpec, buffer_mutation
    BufferMutationSpec, gradient_to_parameter GradientToParameterSpec, gradient_to_user_input
    GradientToUserInputSpec, user_input_mutation UserInputMutationSpec, token OutputTokenSpec,
    parameter_mutation ParameterMutationSpec
GraphSignature: input_specs [InputSpec], output_specs [OutputSpec]
RangeConstraint: min_val bound?, max_val bound?
ModuleCallSignature: inputs [Argument], outputs [Argument], in_spec str, out_spec str,
    forward_arg_names? [str]?
ModuleCallEntry: fqn str, signature? ModuleCallSignature?
NamedTupleDef: field_names [str]
GraphModule: graph Graph, signature GraphSignature, module_call_graph [ModuleCallEntry],
    metadata? {any}, treespec_namedtuple_fields? {NamedTupleDef}
SchemaVersion: major int, minor int
ExportedProgram: graph_module GraphModule, opset_version {int}, range_constraints
    {RangeConstraint}, schema_version SchemaVersion, verifiers? [str], torch_version? str,
    guards_code? [str]
"""
_SCALARS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "float": (float, int, str),  # "Infinity" and "NaN" are texts since PyTorch 2.6
    "bound": (float, int, str),  # of a length; infinite where there is none
}
_NUMBERED: Mapping[str, frozenset[int]] = {
    "dtype": frozenset((*range(1, 14), *range(28, 36))),
    "layout": frozenset(range(1, 8)),
    "memory": frozenset(range(1, 5)),
}
"""What stands as a number: kinds of numbers, and how these lie in memory."""
_GROWING = "Argument"
"""What gets new kinds with PyTorch. Where the version of a program's schema is not known, an
unknown kind is left alone: it may not matter for the weights."""
_DEEPEST = 40
_LONGEST = 20_000
"""Letters of an expression."""


class LaterSchema(ValueError):
    """An object is of a kind that this schema has not."""


def require_object(held: Any, kind: str, depth: int = 0, grown: bool = True) -> None:
    """Refuse an object that is none of a class of the schema.

    Fields that the schema has not are left alone: a later PyTorch may have added them.

    Parameters
    ----------
    held : Any
        As JSON gives it.
    kind : str
        Name of a class such as ``ExportedProgram``, or a type of one of its fields.
    depth : int
        How deep it lies in others.
    grown : bool
        Whether its schema may know more kinds of arguments.

    Raises
    ------
    LaterSchema
        If a value is of a kind that a later PyTorch may have added.
    ValueError
        If a field is missing or has another type, or if a value is of no kind or of several.
    """
    if depth > _DEEPEST:
        raise ValueError("its values are nested too deeply")
    if kind.endswith("?"):
        if held is None:
            return
        kind = kind[:-1]
    if kind[0] in "[{":
        if not isinstance(held, list if kind[0] == "[" else dict):
            raise ValueError(f"a list or table of it is a {type(held).__name__}")
        for one in held if isinstance(held, list) else held.values():
            require_object(one, kind[1:-1], depth + 1, grown)
    elif kind in _SCALARS:
        if type(held) not in _SCALARS[kind] or not (kind in {"int", "bool", "str"} or _is(held)):
            raise ValueError(f"a value of it is no {kind}")
    elif kind in _NUMBERED:
        if type(held) is not int:
            raise ValueError(f"a value of it is no {kind}")
        if held not in _NUMBERED[kind]:
            raise LaterSchema(f"a {kind} is of the kind {held}")
    elif kind == "expression":
        _require_expression(held)
    elif kind != "any":
        _require_fields(held, kind, depth, grown)
    elif isinstance(held, dict) or (held and isinstance(held, list)):
        raise ValueError("a single value of it has parts")


def _is(held: float | str) -> bool:
    """Tell if a text is a number; numbers are."""
    try:
        float(held)
    except (ValueError, OverflowError):
        return False
    return True


def _require_expression(held: Any) -> None:
    """Refuse a length that is no expression; it is parsed, never evaluated."""
    if not isinstance(held, str) or len(held) > _LONGEST:
        raise ValueError("a length is no expression")
    try:
        ast.parse(held.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"a length is no expression ({held[:40]!r})") from error


def _require_fields(held: Any, kind: str, depth: int, grown: bool) -> None:
    one_of, fields = _classes()[kind]
    if not isinstance(held, dict):
        raise ValueError(f"a {kind} has no fields")
    if one_of and len(held) != 1:
        raise ValueError(f"a {kind} is of no kind, or of several")
    later = grown and kind == _GROWING and next(iter(held), "").startswith("as_")
    if one_of and not held.keys() <= fields.keys() and not later:
        raise LaterSchema(f"a {kind} is of the kind {next(iter(held))[:40]!r}")
    for name, (wanted, needed) in fields.items():
        if name in held:
            require_object(held[name], wanted, depth + 1, grown)
        elif needed and not one_of:
            raise ValueError(f"a {kind} has no field {name!r}")
    if kind == "Device":
        device(held["type"], held.get("index"))


@cache
def _classes() -> Mapping[str, tuple[bool, Mapping[str, tuple[str, bool]]]]:
    """Return for each class whether it has one field of several, and of each type and need."""
    found = {}
    for line in _CLASSES.replace("\n    ", " ").strip().splitlines():
        name, rest = line.split(maxsplit=1)
        one_of = rest.startswith("|")
        pairs = [part.split() for part in rest.removeprefix("|").split(",")]
        fields = {field.rstrip("?"): (kind, not field.endswith("?")) for field, kind in pairs}
        found[name.rstrip(":")] = (one_of, fields)
    return found
