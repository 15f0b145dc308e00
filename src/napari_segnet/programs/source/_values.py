"""What stands for the things of Python while a definition is read; none of it can be called."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_segnet.programs.source._names import Globals

__all__ = [
    "Bound",
    "Class",
    "External",
    "Filled",
    "Frame",
    "Function",
    "Instance",
    "Method",
    "Parameter",
    "Partial",
    "Super",
    "Unknown",
    "Zeros",
]


@dataclass(frozen=True, slots=True)
class External:
    """A name of a library: ``torch.nn.Conv2d``."""

    name: str

    @property
    def short(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """Something that is not read, which does not matter until a network depends on it."""

    why: str


@dataclass(slots=True, eq=False)
class Frame:
    """Names of a function that is being read, inside of others; ``line`` is where it is."""

    names: Globals
    values: dict[str, Any] = field(default_factory=dict)
    outer: Frame | None = None
    owner: Class | None = None
    target: Any = None
    nonlocal_names: set[str] = field(default_factory=set)
    line: int = 0


@dataclass(slots=True, eq=False)
class Function:
    """A function of the code: ``kind`` is function, static, class or property."""

    node: ast.FunctionDef | ast.Lambda
    names: Globals
    outer: Frame | None = None
    owner: Class | None = None
    kind: str = "function"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.node.name if isinstance(self.node, ast.FunctionDef) else "lambda"


@dataclass(slots=True, eq=False)
class Class:
    """A class of the code; bases of libraries are :class:`External`."""

    name: str
    node: ast.ClassDef
    names: Globals
    bases: tuple[Class | External, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    def order(self) -> list[Class | External]:
        """Return it and its bases, in the order in which they are asked for a name."""
        found: list[Class | External] = [self]
        for base in self.bases:
            rest: list[Class | External] = base.order() if isinstance(base, Class) else [base]
            # What comes again in a later base comes only there.
            found = [one for one in found if one not in rest] + rest
        return found

    def is_module(self) -> bool:
        """Tell if it is a network or a part of one."""
        return any(
            isinstance(one, External)
            and (one.short in ("Module", "LightningModule") or one.name.startswith("torch.nn."))
            for one in self.order()
        )


@dataclass(slots=True, eq=False)
class Parameter:
    """A tensor of the file; its key is known once the whole network is put together."""

    shape: tuple[int, ...]
    key: str = ""
    trained: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A tensor that the code makes: its shape, and its number where it is one."""

    shape: tuple[int, ...]
    number: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Zeros:
    """Zeros that ``forward`` makes; their lengths may depend on those of the image.

    Attributes
    ----------
    lengths : tuple
        One of each axis: a number, or what it is for each probe.
    """

    lengths: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a class of the code, or a layer of a library.

    Attributes
    ----------
    kind : Class or External
        Its class.
    fields : dict of str
        Attributes that are neither layers nor tensors.
    parameters, buffers : dict of str to Parameter or None
        Its own tensors.
    children : dict of str to Instance or None
        Its layers, in the order in which they are registered.
    layer : str
        Of a layer of ``torch.nn``: which; also of a class that is derived from one.
    values : dict of str
        Arguments of that layer.
    path : str
        Where it lies in the network.
    """

    kind: Class | External
    fields: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Parameter | None] = field(default_factory=dict)
    buffers: dict[str, Parameter | None] = field(default_factory=dict)
    children: dict[str, Instance | None] = field(default_factory=dict)
    layer: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    path: str = ""

    @property
    def class_name(self) -> str:
        """What its class is called."""
        return self.kind.name if isinstance(self.kind, Class) else self.kind.short

    @property
    def called(self) -> str:
        """What it is called in messages."""
        return f"{self.path} ({self.class_name})" if self.path else self.class_name


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A function with the object that it belongs to."""

    function: Function
    target: Any


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A function of a list, a text, a layer, a map: by its name."""

    owner: Any
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """``functools.partial``."""

    function: Any
    args: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Super:
    """``super()``: the functions of the classes behind one."""

    target: Any
    behind: Class | None
