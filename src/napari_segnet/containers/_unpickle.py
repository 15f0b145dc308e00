"""Our own reader of pickles: a stack machine that cannot call anything.

Python's own unpickler imports what a file names and calls it. This one does neither:
each opcode is a function below, a named class stays a :class:`Named`, and where a pickle
would call it, the tables of ``_rebuild.py`` make a tensor or a plain value, or an
:class:`Inert` stand-in records what would have been done. So a hostile file can at most
build odd dicts and lists, and for those it has a budget (``budget.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any

import numpy as np

from napari_segnet.budget import Budget
from napari_segnet.containers._danger import refuse_attribute, refuse_dangerous
from napari_segnet.containers._inert import Inert, Named, Record, tagged_dict
from napari_segnet.containers._numpy_names import is_of_numpy
from napari_segnet.containers._numpy_state import old_text, require_kind
from napari_segnet.containers._opcodes import Stream, operations
from napari_segnet.containers._plain_values import plain_or_inert
from napari_segnet.containers._rebuild import (
    ARRAYS,
    FUNCTIONS,
    MUTABLE,
    OF_NOTHING,
    PLAIN,
    STATEFUL,
    TENSORS,
    HalfBuilt,
    hashable,
    is_kind,
    is_storage,
)
from napari_segnet.containers._types import ITEMSIZE, TensorRef
from napari_segnet.errors import BrokenWeightsError

__all__ = ["Stream", "unpickle"]

_INERT_BYTES = 300
"""A stand-in and its two lists."""
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "exceptions": "builtins"}
ARRAY = "numpy.ndarray"
"""A stand-in for one of dates or objects, which gets no items one by one."""
KIND = "numpy.dtype"
COMPLETE = (ARRAY, "numpy.generic")
"""Stand-ins for what gets nothing more: no second state, no items."""
NOT_CALLED = frozenset((*COMPLETE, KIND, "torch.Tensor"))
"""Stand-ins for objects that cannot be called, as some of a class that only its writer has can."""
_TORCH = ("torch", "torch.cuda", "torch.storage")
SCRIPT = "__torch__"
"""Where the classes of a TorchScript file are."""
_STRIDED, _WITH_METADATA = "torch._utils._rebuild_tensor_v2", 7
"""Values of a tensor of TorchScript, the last of which tells whether it is a conjugate."""
_MOST_KEPT = 2**24
"""Numbers of values that are kept in TorchScript, which makes a table of as many places."""
_SPARSE = "torch._utils._rebuild_sparse_tensor"
"""TorchScript gives it one by one what others give in one tuple."""
_FROM_TYPE = {"torch._tensor._rebuild_from_type", "torch._tensor._rebuild_from_type_v2"}
# What damage does to the machine below: odd types, missing operands, absurd numbers.
_DAMAGE = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    AttributeError,
    MemoryError,
    RecursionError,
)


def unpickle(stream: Stream, file_name: str, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return what one pickle describes; the stream stands behind it afterwards.

    Parameters
    ----------
    stream : Stream
        At the pickle's first byte.
    file_name : str
        For messages.
    persistent : callable, optional
        What stands for a persistent id (torch's storages); may raise ``ValueError``.

    Raises
    ------
    UnsafeWeightsError
        If it names something that runs code.
    BrokenWeightsError
        If it is damaged or ends too early.
    """
    machine = _Machine(file_name, persistent, stream.budget)
    try:
        return machine.run(stream)
    except _DAMAGE as error:
        raise BrokenWeightsError(
            f"{file_name} is damaged or cut off: the list of its tensors cannot be read "
            f"({_reason(error)}). Download or copy it again."
        ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, ValueError) and str(error):
        return str(error).splitlines()[0][:120]
    if isinstance(error, RecursionError | MemoryError):
        return "it is too large or too deeply nested"
    return "its parts do not fit together"


class _Machine:
    def __init__(
        self, file_name: str, persistent: Callable[[Any], Any] | None, budget: Budget
    ) -> None:
        self.file_name = file_name
        self.budget = budget
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.stateful: dict[int, Any] = {}
        """Plain values by identity that stand for objects which may get a state."""
        self.script = False
        """Whether it is one of TorchScript, which makes None of each ``OrderedDict``."""

    def run(self, stream: Stream) -> Any:
        step, self.script = self.budget.step, stream.alone
        for name, argument in operations(stream):
            step()
            _OPCODES[name](self, argument)
        if stream.alone and (len(self.stack) > 1 or self.marks):
            raise ValueError("it makes more than one value")
        return self.stack.pop()

    # ---- Calls, which are none -----------------------------------------------------

    def named(self, module: str, name: str) -> Named:
        self.budget.step((len(module) + len(name)) // 16)  # they are joined and compared
        if module.partition(".")[0] == "numpy" and not is_of_numpy(module, name):
            raise ValueError("it names something that the installed numpy does not have")
        named = Named(_OLD_MODULES.get(module, module), name)
        if not any(str(named) in known for known in (PLAIN, TENSORS, ARRAYS)):
            refuse_dangerous(named, self.file_name)
        return named

    def call(self, target: Any, args: Any) -> Any:
        """Return what stands for ``target(*args)``; what it makes is counted."""
        if isinstance(args, tuple):
            self.budget.step(len(args))
        if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], Sized):
            self.budget.step(len(args[0]) // 16)  # it may be copied
        made = self._called(target, args)
        if isinstance(made, Inert):
            self.budget.hold(_INERT_BYTES + len(made.name))
        elif isinstance(made, np.ndarray):
            self.budget.hold(made.nbytes)
        else:
            self.budget.made(made)
        return made

    def _called(self, target: Any, args: Any) -> Any:
        if not isinstance(args, tuple):
            raise ValueError("arguments are not a tuple")
        if isinstance(target, Inert):
            if target.name in PLAIN or target.name in NOT_CALLED:
                raise ValueError(f"a {target.name.rpartition('.')[2]} is called")
            return Inert(f"{target.name}()", args)
        if not isinstance(target, Named):
            raise ValueError(f"a {type(target).__name__} is called")
        name = str(target)
        if target.module == "torch" and target.short in ITEMSIZE:
            raise ValueError("a data type is called as if it were a function")
        known = target.module in _TORCH and is_kind(target.short)
        if self.persistent is not None and (known or is_storage(target.name)):
            raise ValueError("a data type is called as if it were a function")
        if self.script and name == "collections.OrderedDict":
            return None
        if name in TENSORS:
            if self.script and name == _STRIDED and len(args) == _WITH_METADATA:
                args = (*args[:-1], tagged_dict(args[-1]))
            if self.script and name == _SPARSE:
                args = args[0], args[1:]
            return TENSORS[name](*args)
        if name in ARRAYS:
            return ARRAYS[name](*args)
        if name in _FROM_TYPE:
            return self._called(args[0], args[2])
        if name in PLAIN:
            made = plain_or_inert(name, args)
            if name in STATEFUL:
                self.stateful[id(made)] = made
            return made
        if args and name in OF_NOTHING:
            raise ValueError(f"a {target.short} is made of {len(args)} values")
        if name == "builtins.getattr":
            refuse_attribute(args, self.file_name)
        if name == "copyreg._reconstructor" and args and isinstance(args[0], Named):
            return self._called(args[0], ()) if str(args[0]) in PLAIN else Inert(str(args[0]))
        return Inert(name, args)

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    # ---- Opcodes with more than one line -------------------------------------------

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def put(self, key: int) -> None:
        value = self.stack[-1]
        if self.script and key >= _MOST_KEPT:
            raise ValueError(f"it keeps a value as number {key:,}")
        if isinstance(value, HalfBuilt):
            value.memo_keys.append(key)
        self.memo[key] = value

    def reduce(self) -> None:
        args, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Named) and target.module.partition(".")[0] == SCRIPT:
            args = args if isinstance(args, tuple) else (args,)  # a value of an enumeration
        self.stack[-1] = self.call(target, args)

    def new_object(self) -> None:
        args = self.stack.pop()
        self._require_class(self.stack[-1], args)
        self.stack[-1] = self.call(self.stack[-1], args)

    def new_object_extended(self) -> None:
        options = self.stack.pop()
        args = self.stack.pop()
        self._require_class(self.stack[-1], args)
        if not isinstance(options, dict):
            raise ValueError("named arguments are not a dict")
        if options:
            if str(self.stack[-1]) in PLAIN:
                raise ValueError("a plain value gets named arguments")
            self.budget.hold(8 * len(args))
            args = (*args, options)
        self.stack[-1] = self.call(self.stack[-1], args)

    def _require_class(self, target: Any, args: Any) -> None:
        """Refuse what Python makes no new object of, or another one than a call does."""
        name = str(target) if isinstance(target, Named) else ""
        if not name or name in FUNCTIONS:
            raise ValueError("a new object is made of something that is not a class")
        if name in MUTABLE and args:
            raise ValueError("a new object gets values that its class would leave out")

    def object_from_mark(self) -> None:
        target, *args = self.pop_mark()
        self.stack.append(self.call(target, tuple(args)))

    def instance(self, names: str) -> None:
        args = tuple(self.pop_mark())
        self.stack.append(self.call(self.named(*names.split(" ", 1)), args))

    def build(self) -> None:
        state = self.stack.pop()
        value = self.stack[-1]
        if isinstance(state, dict):
            self.budget.step(len(state))
        if isinstance(value, HalfBuilt):
            built = value.build(state)
            if isinstance(built, np.ndarray):
                self.budget.hold(built.nbytes)
            self.stack[-1] = built
            for key in value.memo_keys:
                self.memo[key] = built
        elif isinstance(value, Inert):
            if value.name in COMPLETE:
                raise ValueError("an array gets a second state")
            if value.name == KIND:
                require_kind(state)
            if isinstance(value.state, dict):
                self.budget.step(len(value.state))
            value.build(state)
        elif isinstance(value, Record) and isinstance(state, dict):
            value.update((hashable(key), item) for key, item in state.items())
        elif isinstance(value, TensorRef):
            # whether it had a gradient, and hooks, as torch before 0.4 wrote variables
            if not isinstance(state, tuple) or len(state) != 3:
                raise ValueError("the state of a tensor is not understood")
        elif id(value) in self.stateful:
            # the _metadata of a state dict, which does not matter
            if not isinstance(state, dict):
                raise ValueError("a state is not a dict")
        elif state is not None:
            raise ValueError(f"a {type(value).__name__} gets a state")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise ValueError("a key has no value")
        pairs = zip(items[::2], items[1::2], strict=True)
        if isinstance(target, dict):
            target.update((hashable(key), value) for key, value in pairs)
        elif isinstance(target, Inert) and target.name not in COMPLETE:
            target.entries.extend(pairs)
        else:
            raise ValueError(f"a {type(target).__name__} gets keys")

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Inert) and target.name not in COMPLETE:
            target.items.extend(items)
        else:
            raise ValueError(f"a {type(target).__name__} gets items")

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, set):
            target.update(map(hashable, items))
        elif isinstance(target, Inert) and target.name not in COMPLETE:
            target.items.extend(items)
        else:
            raise ValueError(f"a {type(target).__name__} gets members")

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("operands are missing")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def dictionary(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def persistent_id(self, value: Any) -> None:
        if self.persistent is None:
            raise ValueError("it refers to something outside of it")
        self.stack.append(self.persistent(value))

    def push(self, value: Any) -> None:
        self.stack.append(self.budget.made(value))

    def require_buffer(self) -> None:
        if not isinstance(self.stack[-1], bytes | bytearray | Inert):
            raise ValueError(f"a {type(self.stack[-1]).__name__} is no bytes")

    def refuse(self, what: str) -> None:
        raise ValueError(what)


_Opcode = Callable[[_Machine, Any], None]


def _push(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _push_unicode(machine: _Machine, argument: Any) -> None:
    # Half a surrogate pair could not be printed or written to a file later.
    text = argument if argument.isascii() else argument.encode("utf-8", "replace").decode()
    machine.push(text)


def _push_text(machine: _Machine, argument: Any) -> None:
    machine.push(old_text(argument))


def _get(machine: _Machine, argument: Any) -> None:
    machine.stack.append(machine.memo[argument])


def _put(machine: _Machine, argument: Any) -> None:
    if argument < 0:
        raise ValueError("a value is stored at a negative place")
    machine.put(argument)


def _ignore(_machine: _Machine, _argument: Any) -> None:
    pass


def _drop_mark(machine: _Machine, _argument: Any) -> None:
    machine.pop_mark()


def _out_of_band(machine: _Machine, _argument: Any) -> None:
    machine.refuse("it needs a second file")


_OPCODES: Mapping[str, _Opcode] = {
    **dict.fromkeys(
        (
            "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
            "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
        ).split(),
        _push,
    ),
    **dict.fromkeys("UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8".split(), _push_unicode),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _push_text),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _ignore),
    **dict.fromkeys(("NEXT_BUFFER", "EXT1", "EXT2", "EXT4"), _out_of_band),
    "READONLY_BUFFER": lambda m, _: m.require_buffer(),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "LIST": lambda m, _: m.push(m.pop_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.take(3))),
    "FROZENSET": lambda m, _: m.push(frozenset(map(hashable, m.pop_mark()))),
    "DICT": lambda m, _: m.dictionary(m.pop_mark()),
    "SETITEM": lambda m, _: m.set_items(m.take(2)),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "APPEND": lambda m, _: m.append(m.take(1)),
    "APPENDS": lambda m, _: m.append(m.pop_mark()),
    "ADDITEMS": lambda m, _: m.add(m.pop_mark()),
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.pop(),
    "POP_MARK": _drop_mark,
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GLOBAL": lambda m, names: m.push(m.named(*names.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.push(m.named(*_texts(m.take(2)))),
    "INST": lambda m, names: m.instance(names),
    "OBJ": lambda m, _: m.object_from_mark(),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.new_object(),
    "NEWOBJ_EX": lambda m, _: m.new_object_extended(),
    "BUILD": lambda m, _: m.build(),
    "PERSID": lambda m, value: m.persistent_id(value),
    "BINPERSID": lambda m, _: m.persistent_id(m.stack.pop()),
}


def _texts(values: list[Any]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a name is not a text")
    return values
