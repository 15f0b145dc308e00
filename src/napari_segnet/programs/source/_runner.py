"""Walks through a definition with values in place of tensors; no code of the file is executed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_segnet.programs._evaluate import Drawing, NotReadable, Value, Weight
from napari_segnet.programs._torch import truth
from napari_segnet.programs.source._budget import Budget
from napari_segnet.programs.source._builtins import BUILTINS
from napari_segnet.programs.source._calls import called
from napari_segnet.programs.source._expressions import evaluated
from napari_segnet.programs.source._keras import PROGRAMS, KerasMade
from napari_segnet.programs.source._layer_kinds import LAYERS
from napari_segnet.programs.source._members import attribute
from napari_segnet.programs.source._names import USUAL, Files, Globals
from napari_segnet.programs.source._statements import class_of, function_of, run_block
from napari_segnet.programs.source._torch import torch_call
from napari_segnet.programs.source._values import External, Frame, Function, Parameter, Unknown

__all__ = ["Runner"]

LIBRARIES = (
    *(
        "torch",
        "torchvision",
        "numpy",
        "monai",
        "keras",
        "tensorflow",
        "timm",
        "math",
        "collections",
    ),
    *("functools", "itertools", "typing", "cv2", "PIL", "skimage", "albumentations", "os", "copy"),
    "segmentation_models_pytorch",
)
"""Modules that are no files of the user."""


@dataclass(slots=True, eq=False)
class Runner:
    """Reads functions and classes.

    Attributes
    ----------
    files : Files
        The code.
    budget : Budget
        How much may be read yet.
    draw : Drawing or None
        The graph that grows; None while a network is put together.
    numbers : callable
        Returns the numbers of a small tensor by its key, or None.
    replaced : dict
        Maps that were changed in place, by the identity of the value that stood for them.
    place : (Globals, int) or None
        File and line that are being read.
    keras : KerasMade
        Models of Keras that were made.
    whole : Function or None
        The ``forward`` of the network, and in ``left`` the names it had when it was not read on.
    """

    files: Files
    budget: Budget = field(default_factory=Budget)
    draw: Drawing | None = None
    numbers: Callable[[str], Any] | None = None
    replaced: dict[int, tuple[Value, Value]] = field(default_factory=dict)
    place: tuple[Globals, int] | None = None
    keras: KerasMade = field(default_factory=KerasMade)
    whole: Function | None = None
    left: Frame | None = None

    # ---- What the parts need of each other ---------------------------------------------

    def spend(self, steps: int) -> None:
        """Count items that an operation of torch moves."""
        self.budget.made(steps)

    def value(self, node: ast.expr, frame: Frame) -> Any:
        """Return what an expression is."""
        return evaluated(self, node, frame)

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        """Read statements."""
        run_block(self, body, frame)

    def call(self, function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Return what a function, class, layer or name of a library answers."""
        return called(self, function, args, named)

    def attribute(self, owner: Any, name: str) -> Any:
        """Return an attribute."""
        return attribute(self, owner, name)

    def torch(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Return what a function of torch answers, by its name."""
        return torch_call(self, name, args, named)

    def drawing(self) -> Drawing:
        """Return the graph that grows."""
        if self.draw is None:
            raise NotReadable("it computes with maps while the network is put together")
        return self.draw

    def truth(self, value: Any) -> bool:
        """Return a condition; where sizes decide, those at which it is otherwise drop out."""
        if isinstance(value, Unknown):
            raise NotReadable(f"it branches on something that is not read: {value.why}")
        if isinstance(value, Parameter | Weight | Value):
            raise NotReadable("it branches on values of a map or a weight")
        if isinstance(value, np.ndarray):
            return truth(self.drawing(), value)
        if isinstance(value, External):
            return True
        if isinstance(value, bool | int | float | str | list | tuple | dict | set | range | None):
            return bool(value)
        return True  # layers, functions and classes are

    def current(self, value: Any) -> Any:
        """Return what a map has become by operations in place."""
        while isinstance(value, Value) and id(value) in self.replaced:
            value = self.replaced[id(value)][1]
        return value

    def replace(self, old: Any, new: Any) -> Any:
        """Note that a map was changed in place; return the new one."""
        old = self.current(old)
        if isinstance(old, Value) and isinstance(new, Value) and old is not new:
            self.replaced[id(old)] = (old, new)
        return new

    def number_of(self, weight: Weight) -> Any:
        """Return the numbers of a small tensor of the file."""
        found = None if self.numbers is None else self.numbers(weight.key)
        if found is None:
            raise NotReadable(f"it computes with the numbers of {weight.key[:80]}")
        return np.asarray(found).transpose(weight.order).reshape(weight.shape)

    def error(self, error: NotReadable) -> NotReadable:
        """Return an error with the place in the code in front."""
        if self.place is None:
            return error
        names, line = self.place
        return NotReadable(f"{names.file.where(line)}: {error}")

    # ---- Names -------------------------------------------------------------------------

    def named(self, name: str, frame: Frame) -> Any:
        """Return what a name stands for."""
        own: Frame | None = frame
        while own is not None:
            if name in own.values:
                return self.current(own.values[name])
            own = own.outer
        return self.looked_up(name, frame.names)

    def looked_up(self, name: str, names: Globals) -> Any:
        """Return what a file, its imports, Python itself or custom mean by a name."""
        if name in names.found:
            return names.found[name]
        statement = names.statement(name)
        if statement is None:
            return self._elsewhere(name, names)
        if name in names.busy:
            raise NotReadable(f"{name} is defined by itself")
        names.busy.add(name)
        before = self.place
        try:
            found = self._defined(name, statement, names)
        finally:
            names.busy.discard(name)
            self.place = before
        names.found[name] = found
        return found

    def _defined(self, name: str, node: ast.stmt, names: Globals) -> Any:
        frame = Frame(names=names)
        if isinstance(node, ast.FunctionDef):
            return function_of(self, node, frame)
        if isinstance(node, ast.ClassDef):
            return class_of(self, node, frame)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return self._imported(names, names.imported(node, name))
        try:
            self.block([node], frame)
        except NotReadable as error:
            return Unknown(f"{name} in {names.file.where(node.lineno)} ({error})")
        return frame.values.get(name, Unknown(name))

    def _imported(self, names: Globals, given: Any) -> Any:
        if isinstance(given, External | Globals):
            return given
        inside, name, dotted = self.files.member(names, given)
        if inside is None:
            near = self._near(dotted)
            return near if near is not None else self.external(dotted)
        if not name:
            return inside
        if inside.statement(name) is None and not inside.stars:
            below = self.files.module(inside, name, 1)
            return below or self.external(dotted)
        return self.looked_up(name, inside)

    def _near(self, dotted: External) -> Any:
        """Return what another file here defines, where its folder is not the one that it had."""
        if dotted.name.split(".")[0] in LIBRARIES:
            return None
        kinds = ast.FunctionDef | ast.ClassDef
        own = [
            one for one in self.files.known.values()
            if any(isinstance(row, kinds) for row in one.bound.get(dotted.short, ()))
        ]  # fmt: skip
        return self.looked_up(dotted.short, own[0]) if len(own) == 1 else None

    def external(self, name: External) -> Any:
        """Return a name of a library, or its definition where we have one."""
        library = self.files.defined(name.name)
        if library is not None:
            return self.looked_up(name.short, library)
        module, _, short = name.name.rpartition(".")
        if module and self.place is not None and module.split(".")[0] not in LIBRARIES:
            inside = self.files.exactly(self.place[0], module)  # import nets.parts.blocks
            if inside is not None and inside.statement(short) is not None:
                return self.looked_up(short, inside)
        return name

    def _elsewhere(self, name: str, names: Globals) -> Any:
        missing = ""
        for star in names.stars:
            inside = self.files.module(names, star.module or "", star.level)
            if inside is not None and inside is not names:
                try:
                    return self.looked_up(name, inside)
                except NotReadable:
                    continue
            module = star.module or ""
            if inside is None and module == "torch.nn" and name in LAYERS:
                return External(f"torch.nn.{name}")
            ours = module.split(".")[0] in PROGRAMS and name not in BUILTINS
            if inside is None and ours:
                return External(f"{module}.{name}")
            if inside is None:
                missing = module
        if name in BUILTINS:
            return External(f"builtins.{name}")
        if name in USUAL:
            return External(USUAL[name])
        if missing:
            raise NotReadable(
                f"it takes {name} from {missing}, which is not there; put {missing.split('.')[-1]}"
                ".py beside the weights as well"
            )
        others = [one for one in self.files.known.values() if name in one.bound]
        if len(others) == 1 and others[0] is not names:
            return self.looked_up(name, others[0])  # cells or files that were torn apart
        raise NotReadable(f"{name} is not defined in {names.file.path.name}")
