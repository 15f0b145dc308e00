"""Types as TorchScript writes them, and which value fits which.

https://github.com/pytorch/pytorch/blob/v2.8.0/torch/csrc/jit/frontend/script_type_parser.cpp
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "ANY",
    "NONE",
    "Type",
    "bound",
    "fits",
    "held",
    "joined",
    "listed",
    "literal",
    "made_of",
    "type_of",
    "type_of_value",
    "unite",
    "unsure",
]

_PLAIN = frozenset(
    "Tensor int float bool str complex NoneType Any number Device Layout Generator Stream Storage "
    "QScheme ScalarType MemoryFormat AnyList AnyTuple AnyClassType AnyEnumType Capsule PyObject "
    "Quantizer SymInt SymFloat SymBool Scalar Dtype List Dict Tuple".split()
)
_MADE_OF = {
    **dict.fromkeys(("List", "Optional", "Final", "Future", "Await", "RRef", "Enum"), 1),
    "Dict": 2,
}
"""Types of other types, and of how many."""
_ALIKE = {
    **dict.fromkeys(("Layout", "ScalarType", "MemoryFormat", "SymInt", "Dtype"), "int"),
    **{"SymFloat": "float", "SymBool": "bool", "Scalar": "number"},
}
"""Types that TorchScript has no longer, or has for others."""
VARIABLES = frozenset(("t", "t1", "t2", "tVal", "tKey"))
"""Types that stand for any one, in the schemas of operations."""
_LOOSE = {"AnyList": "List", "AnyTuple": "Tuple", "AnyEnumType": "", "AnyClassType": ""}
"""Types of which others are kinds; objects of a file that are none of a module have any type."""
_CONVERTED = frozenset(
    [("Tensor", name) for name in ("int", "float", "complex")]
    + [("number", name) for name in ("int", "float", "complex")]
    + [("bool", "int"), ("str", "Device")]
)
"""Which values PyTorch makes of which without a word."""
_NUMBERS = frozenset(("int", "float", "complex", "number", "Tensor", "bool"))

_SCALARS = frozenset(("Tensor", "int", "float", "bool", "str"))
"""Types of which none is a kind of another."""


_END_OF_WHOLE = 2**63
"""Whole numbers have 64 bits, one of them for the sign."""
_LARGEST = 100
"""Types in one that is made of the types of values; a larger one is not known.

Each line of a program can make a tuple of twice the last one, the text of which has no end.
"""


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its name, and those that it is made of."""

    name: str
    args: tuple[Type, ...] = ()
    size: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(one.size for one in self.args))

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(map(str, self.args))}]" if self.args else self.name


ANY = Type("Any")
"""Also what is not known."""
NONE = Type("NoneType")


def made_of(name: str, kinds: Iterable[Type]) -> Type:
    """Return the type of a value that is made of others; any if it is too large."""
    found = Type(name, tuple(kinds))
    return found if found.size <= _LARGEST else ANY


def type_of(node: ast.expr | None, classes: Mapping[str, Type]) -> Type:
    """Return what an annotation says; a missing one says a tensor.

    Parameters
    ----------
    node : ast.expr or None
        The annotation.
    classes : mapping of str to Type
        Classes of the file by their dotted names, and the types of their objects.

    Raises
    ------
    ValueError
        If it is no type, or a class that is not in the file.
    """
    if node is None:
        return Type("Tensor")
    if isinstance(node, ast.Name) and node.id in _PLAIN:
        return Type(_ALIKE.get(node.id, node.id))
    if isinstance(node, ast.Constant) and node.value is None:
        return NONE
    if isinstance(node, ast.Attribute):
        return _dotted(ast.unparse(node), classes)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _made_of(node.value.id, node.slice, classes)
    raise ValueError(f"its code says a type {ast.unparse(node)[:60]!r}, which there is not")


def _dotted(name: str, classes: Mapping[str, Type]) -> Type:
    if name in classes:
        return classes[name]
    if name.startswith("__torch__.torch.classes."):
        return ANY  # made by PyTorch itself
    raise ValueError(f"its code says a type {name[-80:]!r}, which is not in it")


def _made_of(name: str, inside: ast.expr, classes: Mapping[str, Type]) -> Type:
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    found = tuple(type_of(one, classes) for one in parts)
    if name not in {"Tuple", "Union"} and len(found) != _MADE_OF.get(name):
        raise ValueError(f"its code says a type {name[:60]!r} of {len(found)}, which there is not")
    if name == "Final":
        return found[0]
    return ANY if name == "Enum" else Type(name, found)


def literal(node: ast.expr) -> Type:
    """Return the type of a constant or a list of them; what is none has any."""
    if isinstance(node, ast.Constant):
        kinds = {bool: "bool", int: "int", float: "float", str: "str", complex: "complex"}
        if node.value is None:
            return NONE
        if type(node.value) is int and node.value >= _END_OF_WHOLE:
            raise ValueError(f"its code holds {node.value:.3g}, which has more than 64 bits")
        if type(node.value) in kinds:
            return Type(kinds[type(node.value)])
        raise ValueError(
            f"its code holds {str(node.value)[:20]!r}, which TorchScript does not know"
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        least = isinstance(node.operand, ast.Constant) and node.operand.value == _END_OF_WHOLE
        return Type("int") if least else literal(node.operand)
    if isinstance(node, ast.Tuple):
        return Type("Tuple", tuple(map(literal, node.elts)))
    if isinstance(node, ast.List):
        return Type("List", (joined(*map(literal, node.elts)) if node.elts else ANY,))
    return ANY


def joined(*kinds: Type) -> Type:
    """Return the type of what is one of several."""
    if all(one == kinds[0] for one in kinds):
        return kinds[0]
    inner = [one.args[0] if one.name == "Optional" else one for one in kinds if one != NONE]
    if inner and any(one == NONE or one.name == "Optional" for one in kinds):
        return made_of("Optional", (joined(*inner),))
    if all(one.name == "Tuple" and len(one.args) == len(kinds[0].args) for one in kinds):
        rows = zip(*(one.args for one in kinds), strict=True)
        return made_of("Tuple", (joined(*row) for row in rows))
    return ANY


def unite(one: Type, two: Type) -> bool:
    """Tell if a value that has one type in a branch and another in the other has one after both."""
    if one == two or NONE in (one, two):
        return True
    if one.name == two.name == "Tuple" and len(one.args) == len(two.args):
        return all(map(unite, one.args, two.args))
    if "Optional" in {one.name, two.name}:
        inner = [kind.args[0] if kind.name == "Optional" else kind for kind in (one, two)]
        return unite(*inner)
    if {one.name, two.name} <= _SCALARS:
        return False
    return fits(one, two, convert=False) or fits(two, one, convert=False)


def held(*kinds: Type) -> Type:
    """Return the type of what a list of these holds; values of several types have no one."""
    if any(not unite(kinds[0], one) for one in kinds[1:]):
        return made_of("Union", kinds)
    return joined(*kinds) if kinds else ANY


def type_of_value(value: object) -> Type:
    """Return the type of a number or a text that a file holds; others have any."""
    plain = {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value))
    return ANY if plain is None else Type(plain)


def listed(kind: Type) -> Type:
    """Return the type of what a list holds."""
    return kind.args[0] if kind.name == "List" and kind.args else ANY


def unsure(kind: Type) -> bool:
    """Tell if a type is not known, or a part of it."""
    return kind.name == "Any" or any(map(unsure, kind.args))


def bound(kind: Type, kinds: Mapping[str, Type]) -> Type:
    """Return a type with those that its variables stand for; any for those that are not known."""
    if kind.name in VARIABLES:
        return kinds.get(kind.name, ANY)
    return made_of(kind.name, (bound(one, kinds) for one in kind.args)) if kind.args else kind


def fits(
    have: Type, want: Type, kinds: dict[str, Type] | None = None, *, convert: bool = True
) -> bool:
    """Tell if a value of a type may stand where another is wanted; true where it is not known.

    Parameters
    ----------
    have, want : Type
        The types.
    kinds : dict of str to Type, optional
        What the variables of ``want`` stand for; those that stand for nothing are added.
    convert : bool
        Whether PyTorch makes a number of a tensor or of yes and no, and a device of a text.
    """
    if want.name in VARIABLES and kinds is not None:
        before = kinds.setdefault(want.name, have)
        if before.name != "Any" and not unite(before, have):
            return False
        kinds[want.name] = joined(before, have)
        return True
    if have == want or {"Any", "Function"} & {have.name, want.name}:
        return True
    if want.name == "Optional":
        inner = have.args[0] if have.name == "Optional" else have
        return have == NONE or fits(inner, want.args[0], kinds, convert=convert)
    if want.name == "Union":
        return any(fits(have, one, kinds, convert=convert) for one in want.args)
    if have.name == "Union":
        return all(fits(one, want, kinds, convert=False) for one in have.args)
    if want.name in _LOOSE:
        return _LOOSE[want.name] == have.name
    if want.name == "number":
        return have.name in _NUMBERS if convert else have.name in _NUMBERS - {"Tensor", "bool"}
    if convert and (have.name, want.name) in _CONVERTED:
        return True
    if want.name == have.name and want.args:
        return _fit_inside(have, want, kinds, convert)
    if want.name == "List" and have.name == "Tuple" and want.args:
        return all(fits(one, want.args[0], kinds, convert=False) for one in have.args)
    return want.name == have.name  # a list of anything


def _fit_inside(have: Type, want: Type, kinds: dict[str, Type] | None, convert: bool) -> bool:
    if len(have.args) != len(want.args):
        return not have.args
    convert = convert and want.name == "Tuple"
    return all(
        fits(one, two, kinds, convert=convert)
        for one, two in zip(have.args, want.args, strict=True)
    )
