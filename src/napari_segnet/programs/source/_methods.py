"""Functions of lists, dicts, texts and layers, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._expressions import key_of
from napari_segnet.programs.source._layer_kinds import LAYERS
from napari_segnet.programs.source._layers import base_constructed, construct, run_layer
from napari_segnet.programs.source._members import container_of, row_of, set_attribute, whole
from napari_segnet.programs.source._operators import as_text, shown
from napari_segnet.programs.source._values import (
    Class,
    External,
    Filled,
    Instance,
    Parameter,
    Super,
    Unknown,
)

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["module_method", "modules_of", "row_method"]

SELF = (
    *("to", "cuda", "cpu", "eval", "train", "half", "float", "double", "apply", "requires_grad_"),
    *("type", "compile", "share_memory"),
)
"""Functions of a layer that answer with it and change nothing here."""
NOTHING = (
    *(
        "load_state_dict",
        "zero_grad",
        "register_forward_hook",
        "init_weights",
        "save_hyperparameters",
    ),
    *(
        "register_load_state_dict_pre_hook",
        "print",
        "log",
        "add_loss",
        "__init__",
        "reset_parameters",
    ),
)
OF_ONE_TEXT = (
    *("startswith", "endswith", "find", "count", "split", "strip", "rstrip", "lstrip", "index"),
    *("removeprefix", "removesuffix", "rsplit"),
)
OF_TWO_SETS = (
    *("issubset", "issuperset", "isdisjoint", "union", "intersection", "difference"),
    "symmetric_difference",
)
MOST_MODULES = 20_000
FIELD = re.compile(r"\{(\w*)\}")


def row_method(
    run: Runner, name: str, owner: Any, args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    """Return what a function of a list, tuple, dict, set, text or number answers."""
    if isinstance(owner, list):
        return _list_method(run, name, owner, args)
    if isinstance(owner, dict):
        return _dict_method(run, name, owner, args, named)
    if isinstance(owner, str):
        return _text_method(run, name, owner, args, named)
    if isinstance(owner, tuple | range) and name in ("index", "count"):
        return getattr_of(owner, name, args)
    if isinstance(owner, tuple) and name == "numel":
        found: Any = 1
        for one in owner:
            found = found * one
        return found
    if isinstance(owner, set):
        return _set_method(run, name, owner, args)
    if isinstance(owner, np.ndarray | int | float) and name in ("item", "__int__"):
        return owner
    if isinstance(owner, float) and name == "is_integer":
        return owner.is_integer()
    raise NotReadable(f"it calls {name!r} of {shown(owner)}")


def getattr_of(owner: Any, name: str, args: Sequence[Any]) -> Any:
    """Return the place or the number of an item."""
    row = list(owner)
    if any(isinstance(one, np.ndarray) for one in row) or len(args) != 1:
        raise NotReadable("it looks for a place in a list of sizes")
    if name == "count":
        return row.count(args[0])
    if args[0] not in row:
        raise NotReadable(f"it looks for {shown(args[0])} where it is not")
    return row.index(args[0])


def _list_method(run: Runner, name: str, owner: list[Any], args: Sequence[Any]) -> Any:
    run.budget.made(1)
    if name == "append" and len(args) == 1:
        owner.append(args[0])
    elif name == "extend" and len(args) == 1:
        more = row_of(run, args[0])
        run.budget.made(len(owner) + len(more))
        owner.extend(more)
    elif name == "insert" and len(args) == 2:
        owner.insert(int(whole(run, args[0])), args[1])
    elif name == "pop":
        place = whole(run, args[0]) if args else -1
        if not isinstance(place, int) or not -len(owner) <= place < len(owner):
            raise NotReadable(f"it takes item {shown(place)} of {len(owner)}")
        return owner.pop(place)
    elif name == "reverse":
        owner.reverse()
    elif name == "copy":
        run.budget.made(len(owner))
        return list(owner)
    elif name == "clear":
        owner.clear()
    elif name in ("index", "count"):
        return getattr_of(owner, name, args)
    else:
        raise NotReadable(f"it calls {name!r} of a list")
    return None


def _set_method(run: Runner, name: str, owner: set[Any], args: Sequence[Any]) -> Any:
    run.budget.made(1)
    if name == "add" and len(args) == 1:
        owner.add(as_text(args[0]))
        return None
    if name in OF_TWO_SETS and len(args) == 1:
        other = set(map(key_of, row_of(run, args[0])))
        run.budget.made(len(owner) + len(other))
        return getattr(owner, name)(other)
    raise NotReadable(f"it calls {name!r} of a set")


def _dict_method(
    run: Runner, name: str, owner: dict[Any, Any], args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    run.budget.made(1)
    if name in ("items", "keys", "values"):
        run.budget.made(len(owner))
        return [*getattr(owner, name)()]
    if name in ("get", "pop", "setdefault") and 1 <= len(args) <= 2:
        key, default = args[0], args[1] if len(args) > 1 else None
        if not isinstance(key, bool | int | float | str | tuple | None):
            raise NotReadable("it looks up something that is no text or number")
        if name == "setdefault":
            return owner.setdefault(key, default)
        if name == "pop":
            if key not in owner and len(args) < 2:
                raise NotReadable(f"it takes {shown(key)} of a dict that does not have it")
            return owner.pop(key, default)
        return owner.get(key, default)
    if name == "update":
        more = args[0] if args else {}
        if isinstance(more, dict):
            run.budget.made(len(more) + len(named))
            owner.update(more)
            owner.update(named)
            return None
    if name == "copy":
        run.budget.made(len(owner))
        return dict(owner)
    raise NotReadable(f"it calls {name!r} of a dict")


def _text_method(
    run: Runner, name: str, owner: str, args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    if name == "format":
        return _formatted(run, owner, args, named)
    if name == "join" and len(args) == 1:
        row = [as_text(one) for one in row_of(run, args[0])]
        run.budget.made(sum(map(len, row)) + len(owner) * len(row))
        return owner.join(row)
    texts = all(isinstance(one, str) for one in args)
    if name in ("lower", "upper", "strip", "title", "capitalize", "isdigit") and not args:
        return getattr(owner, name)()
    if name in OF_ONE_TEXT and texts and len(args) < 2:
        if name == "index" and args[0] not in owner:
            raise NotReadable("it looks for a text where it is not")
        return getattr(owner, name)(*args)
    if name == "replace" and texts and len(args) == 2 and args[0]:
        run.budget.made(len(owner) + owner.count(args[0]) * len(args[1]))
        return owner.replace(args[0], args[1])
    raise NotReadable(f"it calls {name!r} of a text")


def _formatted(run: Runner, text: str, args: Sequence[Any], named: Mapping[str, Any]) -> str:
    row = list(args)

    def one(found: re.Match[str]) -> str:
        key = found[1]
        if key.isdigit() and int(key) < len(args):
            return as_text(args[int(key)])
        if key in named:
            return as_text(named[key])
        if key or not row:
            raise NotReadable("it writes a text in a way that is not read")
        return as_text(row.pop(0))

    run.budget.made(len(text) + sum(len(str(a)) for a in args if isinstance(a, str)) * 4)
    found = FIELD.sub(one, text)
    run.budget.made(len(found))
    return found


# ---- Layers ----------------------------------------------------------------------------


def modules_of(
    run: Runner, root: Instance, path: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Instance]]:
    """Yield an object and all layers in it, each once, with their places."""
    seen = set() if seen is None else seen
    if id(root) in seen:
        return
    if len(seen) > MOST_MODULES:
        raise NotReadable(f"it has more than {MOST_MODULES:,} layers")
    seen.add(id(root))
    run.budget.step()
    yield path, root
    for name, child in root.children.items():
        if child is not None:
            yield from modules_of(run, child, f"{path}.{name}" if path else name, seen)


def module_method(
    run: Runner, name: str, owner: Any, args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    """Return what a function of a layer answers."""
    if isinstance(owner, Super):
        return _super_method(run, name, owner, args, named)
    if name == "__deepcopy__":
        return _copied(run, owner)
    if isinstance(owner, External | Class | Unknown):
        if isinstance(owner, Class) and name == "__init__" and args:
            return _constructed(run, owner, args, named)
        if isinstance(owner, Class) and args and isinstance(args[0], Instance):
            return module_method(run, name, args[0], args[1:], named)
        return Unknown(f"{name} of {shown(owner)}")
    if not isinstance(owner, Instance):
        raise NotReadable(f"it calls {name!r} of {shown(owner)}")
    return _layer_method(run, name, owner, args, named)


def _super_method(
    run: Runner, name: str, owner: Super, args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    target = owner.target
    if not isinstance(target, Instance):
        return Unknown(f"{name} of the class behind")
    if name == "__init__":
        kind = target.kind
        order = kind.order() if isinstance(kind, Class) else []
        behind = order[order.index(owner.behind) + 1 :] if owner.behind in order else order
        for one in behind:
            if isinstance(one, External) and one.short in LAYERS:
                construct(run, target, one.short, args, named)
                return None
        return None
    if name in ("forward", "__call__"):
        return run_layer(run, target, [run.current(one) for one in args], named)
    return _layer_method(run, name, target, args, named)


def _constructed(run: Runner, owner: Class, args: Sequence[Any], named: Mapping[str, Any]) -> None:
    if isinstance(args[0], Instance):
        base_constructed(run, args[0], owner, args[1:], named)


def _layer_method(
    run: Runner, name: str, owner: Instance, args: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    kind = container_of(owner)
    if name in ("forward", "__call__"):
        return run.call(owner, args, named)
    if name in ("children", "modules", "named_children", "named_modules"):
        return _listed(run, name, owner)
    if name in ("parameters", "named_parameters", "buffers"):
        return _tensors(run, name, owner)
    if name in ("add_module", "register_module"):
        given = dict(zip(("name", "module"), args, strict=False)) | dict(named)
        set_attribute(run, owner, as_text(given["name"]), given["module"])
        return None
    if name == "register_parameter":
        owner.parameters[as_text(args[0])] = args[1] if isinstance(args[1], Parameter) else None
        return None
    if name == "register_buffer":
        return _buffer(owner, args, named)
    if kind == "ModuleDict" and name in ("items", "keys", "values"):
        return [*getattr(owner.children, name)()]
    if kind == "ModuleDict" and name == "update":
        owner.children.update(args[0])
        return None
    if kind in ("ModuleList", "Sequential"):
        if name in ("append", "extend", "insert", "pop"):
            return _grown(run, name, owner, args)
    if name in SELF:
        return owner
    if name in NOTHING or name.startswith("_init") or name.startswith("init_"):
        return None
    if name == "state_dict":
        return Unknown("a state dict")
    if name == "__deepcopy__":
        return _copied(run, owner)
    raise NotReadable(f"{owner.called} has no {name!r} that is read")


def _listed(run: Runner, name: str, owner: Instance) -> list[Any]:
    if name.endswith("children"):
        rows = [(key, one) for key, one in owner.children.items() if one is not None]
    else:
        rows = list(modules_of(run, owner))
    run.budget.made(min(len(rows), 9_999))
    return rows if name.startswith("named") else [one for _, one in rows]


def _tensors(run: Runner, name: str, owner: Instance) -> list[Any]:
    found: list[Any] = []
    for path, module in modules_of(run, owner):
        own = module.buffers if name == "buffers" else module.parameters
        for key, one in own.items():
            if one is not None:
                found.append((f"{path}.{key}", one) if name.startswith("named") else one)
    return found


def _buffer(owner: Instance, args: Sequence[Any], named: Mapping[str, Any]) -> None:
    given = dict(zip(("name", "tensor", "persistent"), args, strict=False)) | dict(named)
    name, tensor = as_text(given["name"]), given.get("tensor")
    if given.get("persistent", True) is False:
        owner.fields[name] = tensor
        return
    shape = tensor.shape if isinstance(tensor, Filled | Parameter) else None
    if tensor is None:
        owner.buffers[name] = None
    elif shape is None:
        raise NotReadable(f"the buffer {name!r} has a shape that is not read")
    else:
        owner.buffers[name] = Parameter(shape=shape, trained=False)


def _grown(run: Runner, name: str, owner: Instance, args: Sequence[Any]) -> Any:
    rows = list(owner.children.values())
    answer: Any = owner
    if name == "append":
        rows.append(args[0])
    elif name == "extend":
        rows.extend(row_of(run, args[0]))
    elif name == "insert":
        rows.insert(int(whole(run, args[0])), args[1])
    else:
        answer = rows.pop(int(whole(run, args[0])) if args else -1)
    if any(one is not None and not isinstance(one, Instance) for one in rows):
        raise NotReadable(f"it puts something that is no layer into {owner.called}")
    run.budget.made(len(rows))
    owner.children = {str(i): one for i, one in enumerate(rows)}
    return answer


def _copied(run: Runner, owner: Any) -> Any:
    run.budget.step()
    if isinstance(owner, list):
        run.budget.made(len(owner))
        return [_copied(run, one) for one in owner]
    if isinstance(owner, dict):
        return dict(owner)
    if isinstance(owner, Parameter):
        return Parameter(shape=owner.shape, trained=owner.trained)
    if not isinstance(owner, Instance):
        return owner

    def same(rows: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _copied(run, one) for name, one in rows.items()}

    return Instance(
        kind=owner.kind,
        fields=dict(owner.fields),
        parameters=same(owner.parameters),
        buffers=same(owner.buffers),
        children=same(owner.children),
        layer=owner.layer,
        values=dict(owner.values),
    )
