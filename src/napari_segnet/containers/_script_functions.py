"""Functions of TorchScript: whether their names are there, and their values of their types."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from napari_segnet.containers._script_classes import RESERVED, ScriptClass, ScriptCode
from napari_segnet.containers._script_operators import is_function
from napari_segnet.containers._script_types import (
    ANY,
    NONE,
    Type,
    fits,
    held,
    joined,
    literal,
    made_of,
    unite,
)
from napari_segnet.containers._script_values import (
    ONE,
    UNDECIDED,
    each,
    number,
    parts,
    result,
    span,
)

__all__ = ["ScriptFunction", "require_fixed"]

_ROOTS = frozenset(
    "torch ops CONSTANTS __torch__ annotate uninitialized unchecked_cast getattr setattr hasattr "
    "inf nan None True False range fork isinstance float int bool str complex Exception enumerate "
    "zip len print list tuple dict sorted reversed abs min max sum all any NoneType".split()
)
"""Names that TorchScript knows by itself."""
_VALUES = frozenset(("inf", "nan"))
"""Those of them that are values; others are called."""
_DOTTED = frozenset(("torch", "ops", "CONSTANTS", "__torch__"))
"""Those that stand before a dot."""
_WITHOUT_FUNCTIONS = frozenset(("Tuple", "NoneType", "int", "float", "bool"))
"""Types whose values have no functions of their own."""
_WITH_OPERATIONS = frozenset(("Tensor", "str", "List", "Dict"))
"""Types whose functions are PyTorch's operations, which it writes as such: ``torch.add(x, y)``."""
_WITHOUT_FIELDS = _WITHOUT_FUNCTIONS | _WITH_OPERATIONS - {"Tensor"}
_LISTED = "tolist"
"""The one function of a tensor that is no operation."""
_MAKES = ".__new__"
_STATEMENTS = (
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr, ast.If, ast.While, ast.For),
    *(ast.Pass, ast.With, ast.Raise, ast.Assert, ast.Break, ast.Continue, ast.Delete),
    ast.FunctionDef,
)


_OPERATORS: Mapping[type[ast.operator], str] = {
    **{ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.MatMult: "matmul"},
    **{ast.Mod: "remainder", ast.FloorDiv: "floordiv", ast.Pow: "pow"},
    **{ast.BitAnd: "__and__", ast.BitOr: "__or__", ast.BitXor: "__xor__"},
    **{ast.LShift: "__lshift__", ast.RShift: "__rshift__"},
}
"""What PyTorch makes of an operator between two values; its own files call these by name."""


class ScriptFunction:
    """Looks at one function: its names are there, and its values have their types."""

    def __init__(self, look: ScriptCode, owner: str | None) -> None:
        self.look, self.owner = look, owner
        self.returns: Type = ANY
        self.around: Mapping[str, Type] = {}
        """Values of the block around the present one, which keep their types."""

    def check(self, function: ast.FunctionDef) -> None:
        own, values = function.args, _taken(self.look, self.owner, function)
        self.returns = self.look.type(function.returns) if function.returns else ANY
        names = [one.arg for one in own.args][::-1]
        for name, default in zip(names, own.defaults[::-1], strict=False):
            require_fixed(self.look, default, values[name])
        if not own.args and self.owner is not None:
            raise self.look.refuse(f"{function.name} has no self")
        left = self._block(function.body, values)
        interface = self.owner is not None and self.look.opened.get(self.owner, False)
        if not left and not interface and self.returns.name not in {"NoneType", "Any", "Optional"}:
            raise self.look.refuse(f"{function.name} may end without a value")

    def constant(self, node: ast.expr) -> Type:
        """Return the type of an expression that takes no values."""
        return self._value(node, {})

    # ---- Statements --------------------------------------------------------------------

    def _inner(self, body: Sequence[ast.stmt], values: dict[str, Type]) -> bool:
        """Go through a block inside of another, whose values these are; as :meth:`_block`."""
        inside = ScriptFunction(self.look, self.owner)
        inside.returns, inside.around = self.returns, dict(values)
        return inside._block(body, values)

    def _block(self, body: Sequence[ast.stmt], values: dict[str, Type]) -> bool:
        """Go through statements; tell if the last one leaves the function."""
        left = False
        for one in body:
            if not isinstance(one, _STATEMENTS):
                raise self.look.refuse(f"a {type(one).__name__}")
            left = self._statement(one, values) or left
        return left

    def _statement(self, one: ast.stmt, values: dict[str, Type]) -> bool:
        self.look.budget.step(1)
        if isinstance(one, ast.Return):
            found = NONE if one.value is None else self._value(one.value, values)
            if not fits(found, self.returns):
                raise self.look.refuse(f"{found} is returned for {self.returns}")
            return True
        if isinstance(one, ast.Assign):
            found = self._value(one.value, values)
            for target in one.targets:
                self._assign(target, found, values)
        elif isinstance(one, ast.AnnAssign):
            kind = self.look.type(one.annotation)
            if one.value is not None and not fits(self._value(one.value, values), kind):
                raise self.look.refuse("a value is not of its type")
            self._assign(one.target, kind, values)
        elif isinstance(one, ast.AugAssign):
            self._value(one.value, values)
            self._value(one.target, values)
        elif isinstance(one, ast.Expr):
            self._value(one.value, values)
        elif isinstance(one, ast.If):
            return self._if(one, values)
        elif isinstance(one, ast.FunctionDef):  # what is computed beside, see torch.jit.fork
            values[one.name] = ANY
            inside = values | {own.arg: self.look.type(own.annotation) for own in one.args.args}
            ScriptFunction(self.look, self.owner)._block(one.body, inside)
        elif isinstance(one, ast.While):
            self._condition(one.test, values)
            self._inner(one.body, dict(values))
        elif isinstance(one, ast.For):
            over, inside = each(self.look, self._value(one.iter, values)), dict(values)
            self._assign(one.target, over, inside)
            self._inner(one.body, inside)
        elif isinstance(one, ast.With):
            for item in one.items:
                self._value(item.context_expr, values)
                if item.optional_vars is not None:
                    self._assign(item.optional_vars, ANY, values)
            return self._block(one.body, values)
        return isinstance(one, ast.Raise)

    def _if(self, node: ast.If, values: dict[str, Type]) -> bool:
        self._condition(node.test, values)
        yes, no = dict(values), dict(values)
        left, gone = self._inner(node.body, yes), self._inner(node.orelse, no)
        for name in yes.keys() | no.keys():
            one, two = yes.get(name, ANY), no.get(name, ANY)
            if not (name in yes or left) or not (name in no or gone):
                continue
            if left or gone or unite(one, two):
                values[name] = joined(one, two)
            else:  # of two types: whoever takes it later is refused
                values.pop(name, None)
        return left and gone

    def _condition(self, test: ast.expr, values: Mapping[str, Type]) -> None:
        found = self._value(test, values)
        if found.name in UNDECIDED:
            raise self.look.refuse(f"a condition is a {found}")

    def _assign(self, target: ast.expr, kind: Type, values: dict[str, Type]) -> None:
        if isinstance(target, ast.Name):
            if target.id in RESERVED:
                raise self.look.refuse(f"{target.id} is given a value")
            if not fits(kind, self.around.get(target.id, ANY)):
                raise self.look.refuse(f"{target.id} becomes a {kind}")
            values[target.id] = kind
        elif isinstance(target, ast.Tuple | ast.List):
            held_parts = parts(self.look, kind, len(target.elts))
            for one, part in zip(target.elts, held_parts, strict=True):
                self._assign(one, part, values)
        elif isinstance(target, ast.Attribute):
            if not fits(kind, self._attribute(target, values), convert=False):
                raise self.look.refuse(f"{target.attr} is given a {kind}")
        elif isinstance(target, ast.Subscript):
            self._value(target.value, values)
            self._value(target.slice, values)
        else:
            raise self.look.refuse(f"a {type(target).__name__} is assigned to")

    # ---- Expressions -------------------------------------------------------------------

    def _value(self, node: ast.expr, values: Mapping[str, Type]) -> Type:
        self.look.budget.step(1)
        if isinstance(node, ast.Constant):
            return literal(node)
        if isinstance(node, ast.Name):
            if node.id not in values and node.id not in _VALUES:
                raise self.look.refuse(f"{node.id} has no value")
            return values.get(node.id, ANY)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, values)
        if isinstance(node, ast.Call):
            return self._call(node, values)
        if isinstance(node, ast.List | ast.Tuple):
            return _gathered(node, [self._value(one, values) for one in node.elts])
        if isinstance(node, ast.Subscript):
            return self._item(node, values)
        if isinstance(node, ast.IfExp):
            self._condition(node.test, values)
            return joined(self._value(node.body, values), self._value(node.orelse, values))
        if isinstance(node, ast.UnaryOp):
            plain = isinstance(node.operand, ast.Constant)
            found = literal(node) if plain else self._value(node.operand, values)
            return found if isinstance(node.op, ast.USub) else ANY
        if isinstance(node, ast.BinOp):
            sides = [self._value(side, values) for side in (node.left, node.right)]
            return result(self.look, f"torch.{_OPERATORS[type(node.op)]}", sides, {})
        if isinstance(node, ast.Lambda | ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            raise self.look.refuse(f"a {type(node).__name__}")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._value(child, values)
        return ANY

    def _attribute(self, node: ast.Attribute, values: Mapping[str, Type]) -> Type:
        root = _root(node)
        if root is not None and root not in values:
            if root in {"torch", "ops"}:
                raise self.look.refuse(f"{node.attr} is used as a value")
            if root not in _DOTTED:
                raise self.look.refuse(f"{root} has no value")
            return self.look.dotted(ast.unparse(node))
        own = self._value(node.value, values)
        made = self.look.classes.get(own.name)
        if own.name in _WITHOUT_FIELDS:
            raise self.look.refuse(f"a {own} has no {node.attr}")
        if made is None:
            return ANY
        if node.attr in made.fields:
            return made.fields[node.attr]
        if not made.open and node.attr not in made.functions:
            raise self.look.refuse(f"a module has no {node.attr}")
        return ANY

    def _item(self, node: ast.Subscript, values: Mapping[str, Type]) -> Type:
        own = self._value(node.value, values)
        if isinstance(node.slice, ast.Slice):
            for part in (node.slice.lower, node.slice.upper, node.slice.step):
                if part is not None:
                    found = self._value(part, values)
                    if not fits(found, Type("Optional", (Type("int"),))):
                        raise self.look.refuse(f"a place is a {found}")
            return ANY if own.name == "Tuple" else own
        place = self._value(node.slice, values)
        if own.name == "Tensor":
            return own
        if own.name in {"List", "Dict", "str"}:
            return result(self.look, "torch.__getitem__", [own, place], {})
        if own.name == "Tuple" and isinstance(node.slice, ast.Constant):
            number = node.slice.value
            if isinstance(number, int) and not -len(own.args) <= number < len(own.args):
                raise self.look.refuse(f"item {number} of {len(own.args)}")
            return own.args[number] if isinstance(number, int) else ANY
        if own.name in ONE:
            raise self.look.refuse(f"an item of a {own}")
        return ANY

    def _call(self, node: ast.Call, values: Mapping[str, Type]) -> Type:
        if isinstance(node.func, ast.Name) and node.func.id not in values:
            if (found := self._said(node, node.func.id, values)) is not None:
                return found
        elif isinstance(node.func, ast.Attribute) and not _is_word(_root(node.func.value), values):
            own = self._value(node.func.value, values)
            made = self.look.classes.get(own.name)
            if made is not None:
                return self._method(made, node, values)
            odd = own.name in _WITH_OPERATIONS and not is_function(node.func.attr, own)
            odd = odd and node.func.attr != _LISTED
            if own.name in _WITHOUT_FUNCTIONS or odd:
                raise self.look.refuse(f"a {own} has no function {node.func.attr}")
        root = _root(node.func)
        if isinstance(node.func, ast.Attribute) and root not in {*values, *_DOTTED, None}:
            raise self.look.refuse(f"{root} has no functions")
        if root in {"torch", "ops"} and root not in values:
            return self._operation(ast.unparse(node.func), node, values)
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            if node.func.value.id == "CONSTANTS" and "CONSTANTS" not in values:
                raise self.look.refuse("a constant is called")
        known = isinstance(node.func, ast.Name) and _is_word(root, values)
        called = ANY if known else self._value(node.func, values)
        if called.name == "Function":
            name = called.args[0].name
            if name in self.look.functions:
                return self._given(self.look.functions[name], node, values, 0)
            if (name := name.removesuffix(_MAKES)) in self.look.classes:
                self._arguments(node, values)
                return self.look.kinds[name]
        elif called.name not in {"Any"}:
            raise self.look.refuse(f"a {called} is called")
        self._arguments(node, values)
        return ANY

    def _operation(self, name: str, node: ast.Call, values: Mapping[str, Type]) -> Type:
        """Compare what an operation of PyTorch is given with what it takes."""
        found = self._arguments(node, values)
        named = {one.arg: self._value(one.value, values) for one in node.keywords if one.arg}
        if any(isinstance(one, ast.Starred) for one in node.args):
            return ANY
        if len(named) < len(node.keywords):
            raise self.look.refuse(f"{name} is given a value twice")
        return result(self.look, name, found, named)

    def _said(self, node: ast.Call, name: str, values: Mapping[str, Type]) -> Type | None:
        """Return the type that ``annotate(type, value)`` and its like say."""
        if name in {"annotate", "unchecked_cast", "uninitialized"}:
            if len(node.args) != 2 - (name == "uninitialized") or node.keywords:
                raise self.look.refuse(f"{name} with {len(node.args)} arguments")
            kind = self.look.type(node.args[0])
            inner = self._value(node.args[1], values) if len(node.args) > 1 else ANY
            if name == "annotate" and not fits(inner, kind):
                raise self.look.refuse(f"a {inner} for a {kind}")
            return kind
        if name in {"int", "float", "bool"}:
            return number(self.look, name, self._arguments(node, values))
        if name == "range":
            return span(self.look, self._arguments(node, values))
        if name == "isinstance" and node.args:
            self._value(node.args[0], values)
            return Type("bool")
        if name in {"getattr", "hasattr"}:
            said = node.args[1] if len(node.args) > 1 else None
            if not isinstance(said, ast.Constant) or not isinstance(said.value, str):
                raise self.look.refuse(f"{name} does not say a name")
            if name == "getattr" and len(node.args) == 2:
                return self._attribute(ast.Attribute(node.args[0], said.value, ast.Load()), values)
        return None

    def _method(self, made: ScriptClass, node: ast.Call, values: Mapping[str, Type]) -> Type:
        assert isinstance(node.func, ast.Attribute)
        function = made.functions.get(node.func.attr)
        if function is not None:
            return self._given(function, node, values, 1)
        if node.func.attr not in made.fields and not made.open:
            raise self.look.refuse(f"a module has no function {node.func.attr}")
        self._arguments(node, values)
        return ANY

    def _arguments(self, node: ast.Call, values: Mapping[str, Type]) -> list[Type]:
        for one in node.keywords:
            self._value(one.value, values)
        return [
            self._value(one.value if isinstance(one, ast.Starred) else one, values)
            for one in node.args
        ]

    def _given(
        self, function: ast.FunctionDef, node: ast.Call, values: Mapping[str, Type], skip: int
    ) -> Type:
        """Compare what a function of the file is given with what it takes."""
        found = self._arguments(node, values)
        named = {one.arg: self._value(one.value, values) for one in node.keywords if one.arg}
        starred = any(isinstance(one, ast.Starred) for one in node.args)
        if not starred and not function.args.kwonlyargs:
            _require_given(self.look, function, found, named, skip)
        return self.look.type(function.returns) if function.returns else ANY


def require_fixed(look: ScriptCode, value: ast.expr, kind: Type) -> None:
    """Refuse a value of a class, or one without another, that is none or not of its type."""
    found = ScriptFunction(look, None).constant(value)
    called = value.func if isinstance(value, ast.Call) else None
    unmade = isinstance(called, ast.Name) and called.id == "uninitialized"
    if unmade and found != kind:  # PyTorch makes a number of it at once, and cannot
        raise look.refuse("a value is not made")
    if not fits(found, kind) or not fits(literal(value), kind):
        raise look.refuse("a value is not of its type")


def _require_given(
    look: ScriptCode,
    function: ast.FunctionDef,
    found: Sequence[Type],
    named: Mapping[str, Type],
    skip: int,
) -> None:
    """Refuse values that a function of the file does not take, from one of its arguments on."""
    own = function.args.args[skip:]
    if len(found) > len(own):
        raise look.refuse(f"{function.name} is given {len(found)} values for {len(own)}")
    given = dict(zip([one.arg for one in own], found, strict=False)) | dict(named)
    least = len(own) - len(function.args.defaults)
    for place, one in enumerate(own):
        if one.arg not in given:
            if place < least:
                raise look.refuse(f"{function.name} lacks {one.arg}")
        elif not fits(given[one.arg], look.type(one.annotation)):
            raise look.refuse(f"{function.name} is given an odd {one.arg}")
    if extra := named.keys() - {one.arg for one in own}:
        raise look.refuse(f"{function.name} takes no {min(extra)}")


def _taken(look: ScriptCode, owner: str | None, function: ast.FunctionDef) -> dict[str, Type]:
    """Return the types of what a function takes; the first one is of the class that has it."""
    own, values = function.args, dict[str, Type]()
    if own.vararg or own.kwarg or own.posonlyargs:
        raise look.refuse("arguments without names")
    for place, one in enumerate([*own.args, *own.kwonlyargs]):
        if one.arg in values:
            raise look.refuse(f"{one.arg} is there twice")
        values[one.arg] = Type(owner) if owner and not place else look.type(one.annotation)
    return values


def _is_word(name: str | None, values: Mapping[str, Type]) -> bool:
    """Tell if a name is TorchScript's own and stands for no value."""
    return name in _ROOTS and name not in values


def _root(node: ast.expr) -> str | None:
    """Return the first of dotted names; None for any other expression."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _gathered(node: ast.List | ast.Tuple, kinds: Sequence[Type]) -> Type:
    """Return the type of a list or tuple of values."""
    return (
        made_of("Tuple", kinds) if isinstance(node, ast.Tuple) else made_of("List", [held(*kinds)])
    )
