"""Tensors that layers of ``torch.nn`` have, by the arguments of their constructors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._operators import shown
from napari_segnet.programs.source._values import Parameter

__all__ = [
    "Tensors",
    "checked_count",
    "conv_tensors",
    "flag_of",
    "group_tensors",
    "kernel_of",
    "layer_norm_tensors",
    "linear_tensors",
    "norm_tensors",
    "prelu_tensors",
]

MOST = 100_000
"""No layer has more channels, or a larger kernel."""
Tensors = tuple[Mapping[str, Parameter | None], Mapping[str, Parameter | None]]
"""Parameters and buffers by name; None where the layer is made without one."""


def checked_count(value: Any, what: str, least: int = 1) -> int:
    """Return a number of channels, or along a kernel, that a layer may have."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise NotReadable(f"{what} is {shown(value)}, where a whole number was expected")
    return value


def kernel_of(value: Any, ndim: int) -> tuple[int, ...]:
    """Return a kernel as one number for each axis."""
    row = list(value) if isinstance(value, list | tuple) else [value] * ndim
    if len(row) != ndim:
        raise NotReadable(f"a kernel along {ndim} axes is {shown(value)}")
    return tuple(checked_count(one, "a kernel") for one in row)


def conv_tensors(ndim: int, transposed: bool) -> Callable[[Mapping[str, Any]], Tensors]:
    """Return what makes the tensors of a convolution along so many axes."""

    def tensors(values: Mapping[str, Any]) -> Tensors:
        inputs = checked_count(values["in_channels"], "in_channels")
        outputs = checked_count(values["out_channels"], "out_channels")
        groups = checked_count(values["groups"], "groups")
        if inputs % groups or outputs % groups:
            raise NotReadable(f"{inputs} and {outputs} channels make no {groups} groups")
        kernel = kernel_of(values["kernel_size"], ndim)
        pair = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
        bias = Parameter(shape=(outputs,)) if flag_of(values["bias"]) else None
        return {"weight": Parameter(shape=(*pair, *kernel)), "bias": bias}, {}

    return tensors


def flag_of(value: Any) -> bool:
    """Return a switch, which the code may give as a number or a list."""
    if isinstance(value, bool | int | None):
        return bool(value)
    if isinstance(value, list | tuple | str):
        return bool(value)
    raise NotReadable(f"a switch is {shown(value)}")


def norm_tensors(values: Mapping[str, Any]) -> Tensors:
    """Return the tensors of a norm of batches or of single images."""
    count = checked_count(values["num_features"], "num_features")
    parameters: dict[str, Parameter | None] = {"weight": None, "bias": None}
    if flag_of(values["affine"]):
        parameters = {"weight": Parameter(shape=(count,)), "bias": Parameter(shape=(count,))}
    buffers: dict[str, Parameter | None] = {}
    if flag_of(values["track_running_stats"]):
        buffers = {
            "running_mean": Parameter(shape=(count,), trained=False),
            "running_var": Parameter(shape=(count,), trained=False),
            "num_batches_tracked": Parameter(shape=(), trained=False),
        }
    return parameters, buffers


def group_tensors(values: Mapping[str, Any]) -> Tensors:
    """Return the tensors of a norm of groups of channels."""
    count = checked_count(values["num_channels"], "num_channels")
    if count % checked_count(values["num_groups"], "num_groups"):
        raise NotReadable(f"{count} channels make no {values['num_groups']} groups")
    if not flag_of(values["affine"]):
        return {"weight": None, "bias": None}, {}
    return {"weight": Parameter(shape=(count,)), "bias": Parameter(shape=(count,))}, {}


def layer_norm_tensors(values: Mapping[str, Any]) -> Tensors:
    """Return the tensors of a norm along the last axes."""
    given = values["normalized_shape"]
    row = list(given) if isinstance(given, list | tuple) else [given]
    shape = tuple(checked_count(one, "normalized_shape") for one in row)
    if not flag_of(values["elementwise_affine"]):
        return {"weight": None, "bias": None}, {}
    bias = Parameter(shape=shape) if flag_of(values["bias"]) else None
    return {"weight": Parameter(shape=shape), "bias": bias}, {}


def linear_tensors(values: Mapping[str, Any]) -> Tensors:
    """Return the tensors of a matrix product."""
    shape = (
        checked_count(values["out_features"], "out_features"),
        checked_count(values["in_features"], "in_features"),
    )
    bias = Parameter(shape=shape[:1]) if flag_of(values["bias"]) else None
    return {"weight": Parameter(shape=shape), "bias": bias}, {}


def prelu_tensors(values: Mapping[str, Any]) -> Tensors:
    """Return the slopes of a PReLU."""
    count = checked_count(values["num_parameters"], "num_parameters")
    return {"weight": Parameter(shape=(count,))}, {}
