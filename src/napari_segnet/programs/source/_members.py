"""Attributes and items: of layers, lists, texts, sizes and maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable, Stack, Value, Weight
from napari_segnet.programs.source._keras import keras_attribute
from napari_segnet.programs.source._keras_values import KerasLayer, KerasMap, KerasModel
from napari_segnet.programs.source._names import Globals
from napari_segnet.programs.source._operators import shown
from napari_segnet.programs.source._values import (
    Bound,
    Class,
    External,
    Filled,
    Function,
    Instance,
    Method,
    Parameter,
    Partial,
    Super,
    Unknown,
    Zeros,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = [
    "attribute",
    "child_at",
    "class_member",
    "container_of",
    "delete_item",
    "item",
    "iterated",
    "row_of",
    "set_attribute",
    "set_item",
    "tensor_of",
    "whole",
]

SAME = ("data", "values", "grad_fn", "T")
CONTAINERS = ("Sequential", "ModuleList")


def attribute(run: Runner, owner: Any, name: str) -> Any:
    """Return an attribute; a function of Python's own or of torch's stays a name."""
    if isinstance(owner, External):
        if name == "__name__":
            return owner.short
        return run.external(External(f"{owner.name}.{name}"))
    if isinstance(owner, Globals):
        return run.looked_up(name, owner)
    if isinstance(owner, Unknown):
        return owner
    if isinstance(owner, Instance):
        return _of_instance(run, owner, name)
    if isinstance(owner, Super):
        return _of_super(owner, name)
    if isinstance(owner, Class):
        return _of_class(owner, name)
    if isinstance(owner, Value | Stack):
        return _of_map(run, owner, name)
    if isinstance(owner, Weight | Parameter | Filled):
        return owner.shape if name == "shape" else owner if name == "data" else Method(owner, name)
    if isinstance(owner, Function | Bound | Partial | Zeros):
        return Method(owner, name)
    if isinstance(owner, tuple) and name == "values" and len(owner) == 2:
        return owner[0]  # torch.max(x, dim=1).values
    if isinstance(owner, list | tuple | dict | str | set | range | int | float | np.ndarray):
        return Method(owner, name)
    if isinstance(owner, KerasMap | KerasLayer | KerasModel):
        return keras_attribute(owner, name)
    raise NotReadable(f"it takes {name!r} of {shown(owner)}")


def _of_instance(run: Runner, owner: Instance, name: str) -> Any:
    for place in (owner.fields, owner.children):
        if name in place:
            return place[name]
    for tensors in (owner.parameters, owner.buffers):
        if name in tensors:
            return tensor_of(run, tensors[name])
    if isinstance(owner.kind, Class):
        found = class_member(owner.kind, name)
        if isinstance(found, Function):
            if found.kind == "property":
                return run.call(Bound(found, owner), (), {})
            if found.kind == "static":
                return found
            return Bound(found, owner.kind if found.kind == "class" else owner)
        if found is not None:
            return found
    if name in owner.values:
        return _setting(owner, name)
    if name == "training":
        return False
    if name == "__class__":
        return owner.kind
    return Method(owner, name)


def _setting(owner: Instance, name: str) -> Any:
    """Return an argument of a layer, as the layer keeps it: one number for each axis."""
    value = owner.values[name]
    each = ("kernel_size", "stride", "padding", "dilation", "output_padding")
    if owner.layer.startswith("Conv") and name in each and isinstance(value, int):
        return (value,) * int(owner.layer[-2])
    return value


def tensor_of(run: Runner, tensor: Parameter | None) -> Any:
    """Return a tensor of a layer as the graph takes it, once there is one."""
    if tensor is None or run.draw is None:
        return tensor
    if not tensor.key:
        raise NotReadable("it uses a tensor that the file does not hold")
    shape = tensor.shape
    return Weight(key=tensor.key, shape=shape, order=tuple(range(len(shape))), moved=shape)


def class_member(kind: Class, name: str) -> Any:
    """Return what a class of the code, or one that it is derived from, has by a name."""
    for one in kind.order():
        if isinstance(one, Class) and name in one.values:
            return one.values[name]
    return None


def _of_super(owner: Super, name: str) -> Any:
    kind = owner.target.kind if isinstance(owner.target, Instance) else owner.target
    order = kind.order() if isinstance(kind, Class) else []
    behind = order[order.index(owner.behind) + 1 :] if owner.behind in order else order[1:]
    for one in behind:
        if isinstance(one, Class) and name in one.values:
            found = one.values[name]
            return Bound(found, owner.target) if isinstance(found, Function) else found
        if isinstance(one, External) and name in ("__init__", "forward", "__call__"):
            return Method(owner, name)
    return Method(owner, name)


def _of_class(owner: Class, name: str) -> Any:
    found = class_member(owner, name)
    if isinstance(found, Function):
        return Bound(found, owner) if found.kind == "class" else found
    if found is not None:
        return found
    if name == "__name__":
        return owner.name
    return Method(owner, name)


def _of_map(run: Runner, owner: Value | Stack, name: str) -> Any:
    if name == "shape" and isinstance(owner, Value):
        return run.torch("size", owner)
    if name in ("data",):
        return owner
    if name == "ndim" and isinstance(owner, Value):
        return len(owner.axes)
    if name in ("is_cuda", "requires_grad"):
        return False  # its graph is the same on each device, and nothing is trained by the code
    if name in ("device", "dtype"):
        return Unknown(f"the {name} of a map")
    return Method(owner, name)


def set_attribute(run: Runner, owner: Any, name: str, value: Any) -> None:
    """Give an object an attribute; layers and tensors are registered, as torch does."""
    if isinstance(owner, Class):
        owner.values[name] = value
        return
    if isinstance(owner, External | Unknown | Parameter | Weight | Filled):
        return  # a setting of a library, or an initial value
    if isinstance(owner, Function | Bound):
        return
    if not isinstance(owner, Instance):
        raise NotReadable(f"it sets {name!r} of {shown(owner)}")
    if isinstance(value, Instance) and _is_layer(value) and _is_layer(owner):
        for place in (owner.fields, owner.parameters, owner.buffers):
            place.pop(name, None)
        owner.children[name] = value
    elif isinstance(value, Parameter):
        owner.fields.pop(name, None)
        owner.parameters[name] = value
    elif value is None and name in owner.children:
        owner.children[name] = None
    elif value is None and name in owner.parameters:
        owner.parameters[name] = None
    else:
        if isinstance(value, Filled) and name in owner.buffers:
            return
        owner.children.pop(name, None)
        owner.fields[name] = value


def _is_layer(value: Instance) -> bool:
    return isinstance(value.kind, External) or value.kind.is_module()


# ---- Items -----------------------------------------------------------------------------


def item(run: Runner, owner: Any, place: Any) -> Any:
    """Return an item, a part of a list, or a cut of a map."""
    if isinstance(owner, Unknown):
        return owner
    if isinstance(owner, External | Class):
        return owner  # a type: list[int]
    if isinstance(place, Unknown):
        return place
    if isinstance(owner, Value | Stack | Weight | Parameter | Filled):
        return run.torch("getitem", owner, place)
    if isinstance(owner, Instance):
        return child_at(run, owner, place)
    if isinstance(owner, dict):
        if isinstance(place, bool | int | float | str | tuple | None) and place in owner:
            return owner[place]
        raise NotReadable(f"it takes {shown(place)} of a dict that does not have it")
    if isinstance(owner, list | tuple | str | range):
        place = whole(run, place)
        if isinstance(place, slice):
            if not all(isinstance(n, int | None) for n in (place.start, place.stop, place.step)):
                raise NotReadable("it takes a part of a list whose ends are no whole numbers")
            found = owner[place]
            run.budget.made(len(found))
            return found
        if isinstance(place, int):
            if not -len(owner) <= place < len(owner):
                raise NotReadable(f"it takes item {place} of {len(owner)}")
            return owner[place]
    raise NotReadable(f"it takes {shown(place)} of {shown(owner)}")


def whole(run: Runner, place: Any) -> Any:
    """Return a place in a list: whole numbers that do not depend on the size of the image."""
    if isinstance(place, slice):
        parts = [whole(run, one) for one in (place.start, place.stop, place.step)]
        if parts[2] == 0:
            raise NotReadable("it takes every 0th item")
        return slice(*parts)
    if isinstance(place, np.ndarray):
        single = run.drawing().probes.single(place)
        if single is None:
            raise NotReadable("it takes an item by the size of the image")
        return single
    if isinstance(place, float) and place.is_integer():
        return int(place)
    return place


def child_at(run: Runner, owner: Instance, place: Any) -> Any:
    """Return a layer of a container, or a container of some of them."""
    if isinstance(place, str) and place in owner.children:
        return owner.children[place]
    kind = container_of(owner)
    place = whole(run, place)
    rows = list(owner.children.items())
    if kind in CONTAINERS and isinstance(place, slice):
        made = Instance(kind=External(f"torch.nn.{kind}"), layer=kind)
        kept = rows[place]
        names = [name for name, _ in kept]
        if kind == "ModuleList":
            names = [str(i) for i in range(len(kept))]
        made.children = dict(zip(names, (one for _, one in kept), strict=True))
        return made
    if kind in CONTAINERS and isinstance(place, int) and -len(rows) <= place < len(rows):
        return rows[place][1]
    if isinstance(owner.kind, Class):
        found = class_member(owner.kind, "__getitem__")
        if isinstance(found, Function):
            return run.call(Bound(found, owner), (place,), {})
    raise NotReadable(f"it takes {shown(place)} of {shown(owner)}")


def container_of(owner: Instance) -> str:
    """Return which container of torch an object is, or is derived from."""
    if owner.layer:
        return owner.layer
    if isinstance(owner.kind, Class):
        for one in owner.kind.order():
            if isinstance(one, External) and one.short in (*CONTAINERS, "ModuleDict"):
                return one.short
    return ""


def iterated(run: Runner, value: Any) -> Any:
    """Return the items that a loop goes through, as a list or a range."""
    if isinstance(value, Instance) and container_of(value):
        kind = container_of(value)
        return list(value.children) if kind == "ModuleDict" else list(value.children.values())
    if isinstance(value, Instance) and isinstance(value.kind, Class):
        return list(value.children.values())
    if isinstance(value, dict | set):
        return list(value)
    if isinstance(value, Unknown):
        raise NotReadable(f"it goes through something that is not read: {value.why}")
    if isinstance(value, Value | Weight | np.ndarray | Stack):
        raise NotReadable(f"it goes through {shown(value)}")
    if isinstance(value, list | tuple | str | range):
        return value
    raise NotReadable(f"it goes through {shown(value)}, which is no list")


def row_of(run: Runner, value: Any) -> list[Any]:
    """Return the items that a loop goes through as a list; they are counted."""
    return run.budget.row(iterated(run, value))


def set_item(run: Runner, owner: Any, place: Any, value: Any) -> None:
    """Set an item of a list, a dict or a container."""
    if isinstance(owner, Unknown | Parameter | Weight | Filled | External):
        return
    if isinstance(owner, dict) and isinstance(place, bool | int | float | str | tuple | None):
        run.budget.made(1)
        owner[place] = value
        return
    place = whole(run, place)
    if isinstance(owner, list) and isinstance(place, int) and -len(owner) <= place < len(owner):
        owner[place] = value
        return
    if isinstance(owner, Instance) and isinstance(value, Instance):
        names: Sequence[str] = list(owner.children)
        if isinstance(place, str):
            owner.children[place] = value
            return
        if isinstance(place, int) and -len(names) <= place < len(names):
            owner.children[names[place]] = value
            return
    raise NotReadable(f"it sets {shown(place)} of {shown(owner)}")


def delete_item(run: Runner, owner: Any, place: Any) -> None:
    """Take an item away."""
    place = whole(run, place)
    if isinstance(owner, list) and isinstance(place, int) and -len(owner) <= place < len(owner):
        del owner[place]
    elif isinstance(owner, dict) and place in owner:
        del owner[place]
    elif isinstance(owner, Instance) and isinstance(place, int | slice):
        rows = [one for _, one in owner.children.items()]
        del rows[place]
        owner.children = {str(i): one for i, one in enumerate(rows)}
    else:
        raise NotReadable(f"it deletes {shown(place)} of {shown(owner)}")
