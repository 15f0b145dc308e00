"""Layers of ``torch.nn`` are made and run.

https://pytorch.org/docs/stable/nn.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_segnet.programs._evaluate import NotReadable, Stack, Value
from napari_segnet.programs.source._layer_kinds import LAYERS, NEEDED
from napari_segnet.programs.source._operators import shown
from napari_segnet.programs.source._values import Class, External, Instance, Unknown

if TYPE_CHECKING:
    from napari_segnet.programs.source._runner import Runner

__all__ = ["base_constructed", "construct", "layer_of", "run_layer"]

IGNORED = ("device", "dtype", "inplace")


# ---- Making ----------------------------------------------------------------------------


def layer_of(run: Runner, short: str, args: Sequence[Any], named: Mapping[str, Any]) -> Instance:
    """Return a layer of ``torch.nn``."""
    made = Instance(kind=External(f"torch.nn.{short}"))
    construct(run, made, short, args, named)
    return made


def construct(
    run: Runner, made: Instance, short: str, args: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Give an object what a layer of torch has; also one of a class derived from it."""
    if short == "Module":
        return
    made.layer = short
    if short in ("Sequential", "ModuleList", "ModuleDict"):
        _contain(run, made, args)
        return
    layer = LAYERS[short]
    names = list(layer.arguments)
    if len(args) > len(names) + len(IGNORED):
        raise NotReadable(f"{short} takes {len(names)} arguments, not {len(args)}")
    values: dict[str, Any] = dict(zip(names, args, strict=False))
    for name, value in named.items():
        if name in values or (name not in names and name not in IGNORED):
            raise NotReadable(f"{short} has no argument {name!r}, or gets it twice")
        values[name] = value
    for name, default in layer.arguments.items():
        if name not in values:
            if default is NEEDED:
                raise NotReadable(f"{short} lacks its argument {name!r}")
            values[name] = default
    made.values = values
    if layer.tensors is not None:
        parameters, buffers = layer.tensors(values)
        made.parameters.update(parameters)
        made.buffers.update(buffers)


def base_constructed(
    run: Runner, made: Instance, kind: Class, args: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Do what the constructor of the library's class does that a class is derived from."""
    for one in kind.order():
        if isinstance(one, External) and one.short in LAYERS and one.name.startswith("torch.nn"):
            construct(run, made, one.short, args, named)
            return


def _contain(run: Runner, made: Instance, args: Sequence[Any]) -> None:
    """Fill a container with layers."""
    rows: Any = list(args)
    if made.layer != "Sequential":
        rows = args[0] if args else []
    elif len(args) == 1 and isinstance(args[0], dict):
        rows = args[0]
    if isinstance(rows, Instance):
        rows = list(rows.children.values())
    if isinstance(rows, list | tuple | range):
        rows = {str(i): one for i, one in enumerate(rows)}
    if not isinstance(rows, dict):
        raise NotReadable(f"{made.layer} holds {shown(rows)}")
    run.budget.made(len(rows))
    for name, one in rows.items():
        if one is not None and not isinstance(one, Instance):
            why = f" ({one.why})" if isinstance(one, Unknown) else ""
            raise NotReadable(f"{made.layer} holds {shown(one)}, which is no layer{why}")
        made.children[str(name)] = one


# ---- Running ---------------------------------------------------------------------------


def run_layer(run: Runner, layer: Instance, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what a layer answers, or each layer of a row after the other."""
    inputs = [*args, *named.values()]
    if not inputs:
        raise NotReadable(f"{layer.called} is called without a map")
    if layer.layer == "Sequential":
        value = inputs[0]
        for one in layer.children.values():
            value = run.call(one, (value,), {})
        return value
    own = LAYERS.get(layer.layer)
    if own is None or not layer.layer:
        raise NotReadable(f"{layer.called} has no forward that is read")
    if not isinstance(run.current(inputs[0]), Value | Stack):
        raise NotReadable(f"{layer.called} is called with {shown(inputs[0])}{_why(inputs[0])}")
    more = dict(zip(own.more, args[1:], strict=False))
    more |= {name: value for name, value in named.items() if name in own.more}
    if len(more) + 1 < len(inputs):
        raise NotReadable(f"{layer.called} is called with more than a map")
    answer = own.run(run, layer, run.current(inputs[0]), **more)
    if layer.values.get("inplace") is True:
        run.replace(inputs[0], answer)
    return answer


def _why(value: Any) -> str:
    return f" ({value.why})" if isinstance(value, Unknown) else ""
