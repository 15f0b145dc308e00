"""From all that a file holds to flat sets of named tensors, best guess first.

Training programs wrap a network's tensors in dicts (``{"state_dict": ...}``), put
optimisers beside them, and write ``module.`` before every key. Every reading is offered;
which one is right, a family decides.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.budget import Budget, OverBudget
from napari_segnet.containers._company import AVERAGED, company_of, printable, said
from napari_segnet.containers._inert import Inert, Plain, plain
from napari_segnet.containers._modules import module_facts, module_layers, module_tensors
from napari_segnet.containers._types import Layer, TensorRef, Tree, Weights
from napari_segnet.errors import BrokenWeightsError, UnknownNetworkError

if TYPE_CHECKING:
    import torch

__all__ = ["candidates"]

# Keys that hold the network, in the order in which they are tried.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "network_weights",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
)
# Prefixes that training programs put before every key.
PREFIXES = (
    "module",
    "_orig_mod",
    "model",
    "net",
    "_model",
    "network",
    "unet",
    "segmentation_model",
)
_TRAINING = re.compile(
    r"^(?:optims?(?:$|_)|opts?(?:$|_)|.*optimi[sz]er|.*scheduler|scaler|grad_?scaler|amp($|_)|"
    r"rng(?:$|_)|.*rng_state|random_state|loops$|callbacks$)",
    re.IGNORECASE,
)
_COUNTER = "n_averaged"  # torch.optim.swa_utils.AveragedModel

# How sure a reading is: known keys, a running average, unknown keys, a guess.
_KNOWN, _EMA, _UNKNOWN, _GUESS = range(4)
_MAX_DEPTH = 6
_MAX_NODES = 5_000
_MAX_LIST = 16
_MAX_CANDIDATES = 64
_MAX_PREFIXES = 16
"""Prefixes that all names share; five are the most that is known."""
_MAX_STEPS = 400_000
"""Values that a walk looks at, shared ones again for each place; files have up to 10,000."""


@dataclass(frozen=True, slots=True)
class _Found:
    wrapper: tuple[str, ...]
    tensors: Mapping[str, TensorRef]
    metadata: Mapping[str, Any]
    rank: int
    prefix: str = ""
    layers: Mapping[str, Layer] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Search:
    """One walk through a tree; counts its steps and knows its way back."""

    left: int = _MAX_NODES
    above: list[int] = field(default_factory=list)
    copy: Plain = field(default_factory=Plain)
    budget: Budget = field(default_factory=lambda: Budget(steps=_MAX_STEPS))

    def walk(
        self, node: Any, wrapper: tuple[str, ...], metadata: Mapping[str, Any], rank: int
    ) -> list[_Found]:
        """Return the readings of a node, in the order of its wrapper keys."""
        self.left -= 1
        if self.left < 0 or len(wrapper) > _MAX_DEPTH or id(node) in self.above:
            return []
        module = module_tensors(node)
        if module is not None:
            recorded = {**metadata, **module_facts(node)}
            layers = dict(module_layers(node))
            return [_Found(wrapper, module, recorded, rank, layers=layers)] if module else []
        children = _children(node)
        if not self.budget.can(len(children)):
            return []
        nested = {
            key: child
            for key, child in sorted(children.items(), key=_wrapper_order)
            if isinstance(child, dict | Inert | list | tuple) and not _is_training(key, child)
        }
        self.above.append(id(node))
        inside = {
            key: self.walk(child, (*wrapper, key), {}, max(rank, _rank(key)))
            for key, child in nested.items()
        }
        self.above.pop()
        recorded = {**metadata, **_beside(children, inside, self.copy)}
        below = [
            replace(found, metadata={**recorded, **found.metadata})
            for readings in inside.values()
            for found in readings
        ]
        own = _own(node, children, wrapper, recorded, rank)
        if not own:
            return below
        if any(len(found.tensors) >= len(own[0].tensors) for found in below):
            side_values = not any("." in key for key in own[0].tensors)  # {"loss": ..., ...}
            return below if side_values else [*below, replace(own[0], rank=_GUESS)]
        return own + below


def candidates(tree: Tree, path: Path) -> tuple[Weights, ...]:
    """Return every way to see a file as a flat set of named tensors, best first.

    The order: what known wrapper keys hold (the bare file first), running averages (EMA)
    after the plain weights, then unknown wrapper keys. Each is followed by itself with
    known prefixes such as ``module.`` taken off. Last come guesses: an unknown prefix
    that all keys share, and the parts of a file joined into one. An optimiser's tensors
    are never offered.

    Raises
    ------
    UnknownNetworkError
        If there are no named tensors in the file, or several networks of one build and
        nothing that tells which one is meant.
    BrokenWeightsError
        If its parts share each other so often that they would be more than any network.
    """
    try:
        return _candidates(tree, path)
    except OverBudget as error:
        raise BrokenWeightsError(
            f"{path.name} is damaged or no weights file: with each part counted as often as it is "
            f"referred to, {error}. Save the network's state dict alone."
        ) from error


def _candidates(tree: Tree, path: Path) -> tuple[Weights, ...]:
    found = _Search().walk(tree.root, (), dict(plain(tree.metadata)), _KNOWN)
    joined = _joined(tree.root, found)
    ranked = sorted([*found, *joined], key=lambda reading: reading.rank)
    if not ranked:
        raise UnknownNetworkError(_nothing(tree, path))
    _refuse_twins(ranked, path)
    sure: list[_Found] = []
    guesses: list[_Found] = []
    for reading in ranked:
        first, *stripped = _prefixes(_without_counter(reading))
        sure.append(first)
        for variant in stripped:
            (sure if variant.rank == reading.rank else guesses).append(variant)
    return tuple(
        Weights(
            path=path,
            container=tree.container,
            wrapper=reading.wrapper,
            prefix=reading.prefix,
            tensors=reading.tensors,
            metadata=reading.metadata,
            stamp=tree.stamp,
            notes=(*tree.notes, *said(reading.left_out)),
            layers=reading.layers,
        )
        for reading in [*sure, *guesses][:_MAX_CANDIDATES]
    )


# ---- Nodes -----------------------------------------------------------------------------


def _children(node: Any) -> dict[str, Any]:
    if isinstance(node, dict):
        return {key: child for key, child in node.items() if isinstance(key, str)}
    if isinstance(node, Inert):
        return node.fields()
    if isinstance(node, list | tuple) and len(node) <= _MAX_LIST:
        return {str(index): child for index, child in enumerate(node)}
    return {}


def _wrapper_order(item: tuple[str, Any]) -> tuple[int, int]:
    key = item[0]
    rank = _rank(key)
    return rank, WRAPPERS.index(key) if rank == _KNOWN else 0


def _rank(key: str) -> int:
    if key in WRAPPERS:
        return _KNOWN
    return _EMA if AVERAGED.search(key) else _UNKNOWN


def _is_training(key: str, child: Any) -> bool:
    """Tell an optimiser, scheduler or the like by its key or its form."""
    if _TRAINING.match(key):
        return True
    return isinstance(child, dict) and {"state", "param_groups"} <= child.keys()


def _own(
    node: Any,
    children: Mapping[str, Any],
    wrapper: tuple[str, ...],
    recorded: Mapping[str, Any],
    rank: int,
) -> list[_Found]:
    """Return the tensors that lie in a node itself, if they look like a network's."""
    if isinstance(node, list | tuple):
        return []
    tensors = {key: value for key, value in children.items() if isinstance(value, TensorRef)}
    if not tensors:
        arrays = {key: value for key, value in children.items() if _is_weights_array(value)}
        tensors = {key: _from_array(value) for key, value in arrays.items()}
        recorded = {key: value for key, value in recorded.items() if key not in arrays}
    unnamed = rank == _UNKNOWN and not any("." in key for key in tensors)
    return [] if not tensors or unnamed else [_Found(wrapper, tensors, recorded, rank)]


def _is_weights_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _from_array(array: np.ndarray[Any, Any]) -> TensorRef:
    native = array.dtype.newbyteorder("=")
    return TensorRef(
        shape=array.shape, dtype=native.name, load=functools.partial(_load_array, array)
    )


def _load_array(array: np.ndarray[Any, Any]) -> torch.Tensor:
    import torch

    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))


def _beside(
    children: Mapping[str, Any], inside: Mapping[str, list[_Found]], copy: Plain
) -> dict[str, Any]:
    """Return plain copies of what lies beside the tensors."""
    return {
        key: copy.value(child)
        for key, child in children.items()
        if not isinstance(child, TensorRef) and not inside.get(key) and not _is_training(key, child)
    }


# ---- Readings of a reading -------------------------------------------------------------


def _without_counter(found: _Found) -> _Found:
    """Drop the counter that an averaged model puts beside ``module.``."""
    others = [key for key in found.tensors if key != _COUNTER]
    if len(others) == len(found.tensors) or not all(key.startswith("module.") for key in others):
        return found
    return replace(found, tensors={key: found.tensors[key] for key in others})


def _prefixes(found: _Found) -> Iterator[_Found]:
    """Yield a reading, then with one more shared prefix taken off each time.

    Where there is none, the last one is without losses.
    """
    for _ in range(_MAX_PREFIXES):
        yield found
        alone = _without_company(found)
        first = {key.partition(".")[0] for key in alone.tensors}
        if len(first) != 1 or not all(key.partition(".")[2] for key in alone.tensors):
            if len(alone.tensors) < len(found.tensors):
                yield alone
            return
        found = alone
        (prefix,) = first
        cut = len(prefix) + 1
        found = replace(
            found,
            tensors={key[cut:]: tensor for key, tensor in found.tensors.items()},
            layers={
                key[cut:]: layer
                for key, layer in found.layers.items()
                if key == prefix or key.startswith(f"{prefix}.")
            },
            prefix=f"{found.prefix}{prefix}.",
            rank=found.rank if prefix in PREFIXES else _GUESS,
        )


def _without_company(found: _Found) -> _Found:
    """Drop losses, metrics and averages beside the network."""
    company = company_of(found.tensors)

    def kept(key: str) -> bool:
        return key.partition(".")[0] not in company

    return replace(
        found,
        tensors={key: tensor for key, tensor in found.tensors.items() if kept(key)},
        layers={key: layer for key, layer in found.layers.items() if kept(key)},
        left_out=(*found.left_out, *(found.prefix + k for k in found.tensors if not kept(k))),
    )


def _refuse_twins(ranked: list[_Found], path: Path) -> None:
    """Refuse folds, cascades and the like: the first of equals may be the wrong one.

    Known keys have an order, and an average gives way to the plain weights. Under keys of
    an author's own, two networks with the same tensors may be anything.
    """
    if ranked[0].rank != _UNKNOWN:
        return
    build = _build_of(ranked[0])
    twins = [
        reading for reading in ranked if reading.rank == _UNKNOWN and _build_of(reading) == build
    ]
    if len(twins) < 2:
        return
    names = [printable(".".join(reading.wrapper)) for reading in twins]
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    raise UnknownNetworkError(
        f"{path.name} holds {len(twins)} networks with the same tensors ({shown}), and nothing "
        "in it says which one is meant or if they work together. Save the one that you want "
        "alone, as a state dict."
    )


def _build_of(found: _Found) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset((key, tensor.shape) for key, tensor in found.tensors.items())


def _joined(root: Any, found: list[_Found]) -> list[_Found]:
    """Return the parts of a file (``{"encoder": {...}, "decoder": {...}}``) as one."""
    parts = [reading for reading in found if len(reading.wrapper) == 1 and reading.rank == _UNKNOWN]
    if len(parts) < 2 or not isinstance(root, dict):
        return []
    tensors = {
        f"{reading.wrapper[0]}.{key}": tensor
        for reading in parts
        for key, tensor in reading.tensors.items()
    }
    return [_Found((), tensors, parts[0].metadata, _GUESS)]


def _nothing(tree: Tree, path: Path) -> str:
    children = _children(tree.root)
    shown = [printable(key) for key in list(children)[:8]]
    if children and all(_is_training(key, child) for key, child in children.items()):
        what = "only an optimiser's state"
    elif shown:
        what = "only " + ", ".join(shown) + (", ..." if len(children) > 8 else "")
    elif isinstance(tree.root, TensorRef):
        what = f"a single tensor of shape {list(tree.root.shape)} without a name"
    else:
        what = "nothing with a name"
    return (
        f"{path.name} holds no network: named tensors were expected, but it has {what}. "
        "Choose the file with the network's weights (its state dict)."
    )
