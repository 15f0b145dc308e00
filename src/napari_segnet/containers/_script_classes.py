"""The classes and functions that the code of a TorchScript file defines."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.budget import Budget
from napari_segnet.containers._script_types import ANY, Type, fits, literal, type_of

__all__ = ["RESERVED", "ScriptClass", "ScriptCode"]

RESERVED = frozenset(("NoneType",))
"""Words of TorchScript that are none of Python."""
_BASES = frozenset(("Module", "NamedTuple", "Interface", "ModuleInterface", "Enum"))
_LONGEST = 10
"""Digits of the number of a constant."""
_TEXTS = frozenset(("__parameters__", "__buffers__"))
_TEXT, _DEVICE = Type("str"), Type("Device")
_MODE, _YES = "training", Type("bool")
"""What each module is told when it is trained or evaluated."""
_HOOKS = frozenset(("__forward_pre_hooks__", "__forward_hooks__"))
_PLAIN_CLASS = _TEXTS | _HOOKS | {"__annotations__"}
"""What a class of a module lists without a type."""


@dataclass(slots=True)
class ScriptClass:
    """A class: what its objects hold, and its functions."""

    open: bool = False
    """More than is written may be there: an interface, a named tuple, an enumeration."""
    enum: bool = False
    """Its objects are values that have names."""
    fields: dict[str, Type] = field(default_factory=dict)
    slots: list[str] = field(default_factory=list)
    """Fields that each object has a value of its own for."""
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    """Those of fields that are the same in each object."""


class ScriptCode:
    """All that the files define; classes are looked at on the way.

    Raises
    ------
    ValueError
        If PyTorch could not compile them.
    """

    def __init__(
        self, trees: Mapping[str, ast.Module], constants: Sequence[Type], budget: Budget
    ) -> None:
        self.constants, self.budget = constants, budget
        self.classes: dict[str, ScriptClass] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.at = ""
        bodies = []
        for module, tree in trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    bases = [one.id if isinstance(one, ast.Name) else "" for one in node.bases]
                    made = ScriptClass(bases not in ([], ["Module"]), bases == ["Enum"])
                    self._define(self.classes, f"{module}.{node.name}", made)
                    bodies.append((f"{module}.{node.name}", node))
                elif isinstance(node, ast.FunctionDef):
                    self._define(self.functions, f"{module}.{node.name}", node)
                elif not isinstance(node, ast.Import | ast.ImportFrom | ast.Assign):
                    # Files before 1.4 import each other, and say op_version_set = 1.
                    raise ValueError(f"its code {module[-80:]} holds more than classes")
        self.opened = {name: one.open for name, one in self.classes.items()}
        self.kinds = {name: _kind(name, node) for name, node in bodies}
        for name, node in bodies:
            self.at = name
            self._class(self.classes[name], node)
        self._require_order()

    def _require_order(self) -> None:
        """Refuse classes whose objects hold themselves: PyTorch makes a class after its fields."""
        done: set[str] = set()
        for first in self.classes:
            path, waiting = dict[str, None](), [(first, False)]
            while waiting:
                name, left = waiting.pop()
                self.budget.step(1)
                if left:
                    done.add(name)
                    del path[name]
                elif name in path:
                    self.at = name
                    raise self.refuse("a class holds itself")
                elif name not in done:
                    path[name] = None
                    waiting.append((name, True))
                    inside = (kind.name for kind in self.classes[name].fields.values())
                    waiting += [(one, False) for one in inside if one in self.classes]

    def _define(self, known: dict[str, Any], name: str, made: Any) -> None:
        if name in self.classes or name in self.functions:
            raise ValueError(f"its code defines {name[-80:]} twice")
        known[name] = made

    def require(self, needed: Sequence[tuple[str, Mapping[str, Type] | None]]) -> None:
        """Refuse modules of classes that are not there, and those without a field of theirs."""
        for name, held in needed:
            made = self.classes.get(name)
            if made is None:
                if not name.startswith("__torch__.torch.classes."):
                    raise ValueError(f"the class {name[-80:]} of a module is not in it")
            elif "__setstate__" not in made.functions and not made.enum:
                if held is None:
                    raise ValueError(f"a module of class {name[-80:]} has no values")
                if missing := [one for one in made.slots if one not in held]:
                    raise ValueError(f"a module of class {name[-80:]} has no {missing[0][:80]}")
                for one in made.slots:
                    if not self._fits(held[one], made.fields[one]):
                        raise ValueError(
                            f"{one[:80]} of a module of class {name[-80:]} is a {held[one]}"
                        )

    def _fits(self, have: Type, want: Type) -> bool:
        """Tell if a module may have a value; a class may be an interface of others.

        Files hold devices by their names, which are read as texts.
        """
        known = self.classes.get(have.name)
        inner = want.args[0] if want.name == "Optional" else want
        named = have == _TEXT and inner == _DEVICE
        return (known is not None and known.open) or named or fits(have, want, convert=False)

    def type(self, node: ast.expr | None) -> Type:
        """Return what an annotation says."""
        self.budget.step(1)
        return type_of(node, self.kinds)

    def dotted(self, name: str) -> Type:
        """Return the type of a value by its whole name; raises ``ValueError`` for none."""
        first, _, rest = name.partition(".")
        if first == "CONSTANTS":
            place, _, inside = rest.partition(".")  # an object may be a constant of frozen code
            number = place.removeprefix("c")
            known = number.isascii() and number.isdigit() and len(number) < _LONGEST
            if not known or int(number) >= len(self.constants):
                raise self.refuse(f"there is no constant {place}")
            return ANY if inside else self.constants[int(number)]
        elif first == "__torch__":
            known = name in self.functions or name in self.classes
            if not known and not name.startswith("__torch__.torch.classes."):
                first, _, last = name.rpartition(".")
                owner = self.classes.get(first)
                # An object of a class is made by __new__; an enumeration has names of values.
                if owner is None or not (owner.enum or last == "__new__"):
                    raise self.refuse(f"there is no {name}")
            return Type("Function", (Type(name),))
        return ANY

    def refuse(self, what: str) -> ValueError:
        return ValueError(f"{what[:80]} in its code {self.at[-80:]}")

    def _class(self, made: ScriptClass, node: ast.ClassDef) -> None:
        bases = [one.id for one in node.bases if isinstance(one, ast.Name)]
        if len(node.bases) > 1 or len(bases) < len(node.bases) or not _BASES.issuperset(bases):
            raise self.refuse("a class has odd bases")
        for one in node.body:
            if isinstance(one, ast.FunctionDef):
                if one.name in made.functions:
                    raise self.refuse(f"{one.name} is there twice")
                made.functions[one.name] = one
            elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                self._field(made, one.target.id, one)
            elif isinstance(one, ast.Assign) and len(one.targets) == 1:
                self._assigned(made, one.targets[0], one.value)
            elif not isinstance(one, ast.Pass):
                raise self.refuse(f"a {type(one).__name__}")

    def _field(self, made: ScriptClass, name: str, one: ast.AnnAssign) -> None:
        if name in made.fields or name in RESERVED:
            raise self.refuse(f"{name} is there twice, or a word of TorchScript")
        kind = self.type(one.annotation)
        said = one.annotation.value if isinstance(one.annotation, ast.Subscript) else None
        final = isinstance(said, ast.Name) and said.id == "Final"
        if name == _MODE and not made.open and not fits(_YES, kind):
            raise self.refuse(f"{name} is neither true nor false")
        if one.value is not None and not final and not made.open:
            raise self.refuse(f"{name} has a value and is not final")
        if one.value is not None and not fits(literal(one.value), kind):
            raise self.refuse(f"{name} is not of its type")
        made.fields[name] = kind
        if one.value is None:
            made.slots.append(name)
        else:
            made.values[name] = one.value

    def _assigned(self, made: ScriptClass, target: ast.expr, value: ast.expr) -> None:
        """Look at ``__parameters__ = [...]``, and ``__annotations__["0"] = ...``."""
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            if not isinstance(target.value, ast.Name) or target.value.id != "__annotations__":
                raise self.refuse("an odd value of a class")
            name = str(target.slice.value)
            if name in made.fields:
                raise self.refuse(f"{name} is there twice")
            made.fields[name] = self.type(value)
            made.slots.append(name)
        elif isinstance(target, ast.Name):
            known = target.id in _PLAIN_CLASS
            if target.id in _TEXTS and not _is_texts(value):
                raise self.refuse(f"{target.id} is no list of names")
            if known and isinstance(value, ast.List):
                if not all(isinstance(one, ast.Constant | ast.Name) for one in value.elts):
                    raise self.refuse(f"{target.id} lists what has no name")
            if not known and not made.open:
                raise self.refuse(f"{target.id} has no type")
        else:
            raise self.refuse("an odd value of a class")


def _kind(name: str, node: ast.ClassDef) -> Type:
    """Return the type of the objects of a class; any where they may be more than is written.

    That of a named tuple has as many parts as there are fields.
    """
    bases = [one.id for one in node.bases if isinstance(one, ast.Name)]
    if bases == ["NamedTuple"]:
        return Type(ANY.name, (ANY,) * sum(isinstance(one, ast.AnnAssign) for one in node.body))
    return Type(name) if not node.bases or bases == ["Module"] else ANY


def _is_texts(node: ast.expr) -> bool:
    return isinstance(node, ast.List) and all(
        isinstance(one, ast.Constant) and isinstance(one.value, str) for one in node.elts
    )
