"""From a bare file to the space of all networks that it can be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from napari_segnet.containers import Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.programs.structure._added import with_added
from napari_segnet.programs.structure._aliases import aliases_of
from napari_segnet.programs.structure._branches import side_by_side
from napari_segnet.programs.structure._facts import facts_of
from napari_segnet.programs.structure._gates import norms_of_sums
from napari_segnet.programs.structure._heads import without_side_heads, without_twin_decoders
from napari_segnet.programs.structure._idle import idle_norms, that_ran
from napari_segnet.programs.structure._layers import StoredLayer, stored_layers
from napari_segnet.programs.structure._listed_shortcuts import with_listed_shortcuts
from napari_segnet.programs.structure._nested import nested
from napari_segnet.programs.structure._norms_ahead import with_norms_behind
from napari_segnet.programs.structure._parts import Part, parts_of
from napari_segnet.programs.structure._search import MOST_STATES
from napari_segnet.programs.structure._sorted import is_sorted, resorted
from napari_segnet.programs.structure._space import Networks, Reading, layout_word
from napari_segnet.programs.structure._squeeze import squeezed, squeezes_of
from napari_segnet.programs.structure._stacked import topologies
from napari_segnet.programs.structure._units import Unit, units_of

__all__ = ["common_dtype", "read_structure"]

NAMED = 4
FLOATING = ("float32", "float16", "bfloat16", "float64")
COUNTER = "num_batches_tracked"
LIKELY = 2.0
"""Cost of a topology: about one thing in it is unusual, see ``_search``."""
IMAGENET = 1000
"""So many classes."""
MOST_LAYERS = 1500
"""No hand-written network has more; the search of one would never end."""


def read_structure(weights: Weights) -> Networks:
    """Return all networks that the tensors of a file can be.

    Raises
    ------
    UnknownNetworkError
        If there is none; names the tensors that are left.
    """
    whole = [
        f"{key} ({tensor.dtype})"
        for key, tensor in weights.tensors.items()
        if tensor.dtype not in FLOATING and not key.endswith(COUNTER)
    ]
    if whole:
        raise _refused(weights, f"{_listed(whole)} hold no floating numbers")
    found: list[Networks] = []
    if idle := idle_norms(weights.tensors):
        # The layer never ran, or its norm alone: what comes to the others tells.
        for alone in (False, True):
            with suppress(UnknownNetworkError):
                found.append(_read(weights, idle, alone))
    if not found:
        return _read(weights)
    if len(found) == 1:
        return found[0]
    return found[0].with_others_of_more_layers(found[1])


def _read(weights: Weights, idle: Collection[str] = (), alone: bool = False) -> Networks:
    """Return the networks of all layers but those whose norms are ``idle``, or but these alone.

    Raises
    ------
    UnknownNetworkError
        If there is none.
    """
    aliases = aliases_of(weights.tensors)
    shapes = {key: one.shape for key, one in weights.tensors.items() if key not in aliases}
    layers = stored_layers(shapes)
    by_name = is_sorted(layers)
    layers = resorted(layers) if by_name else with_norms_behind(layers)
    layers = without_twin_decoders(layers)
    sums = norms_of_sums(layers)
    layers = tuple(one for one in layers if one not in sums.values())
    kinds = {
        name: layer.torch.startswith("ConvTranspose")
        for name, layer in weights.layers.items()
        if layer.torch.startswith("Conv")
    }
    units, left = units_of(layers, kinds)
    units = that_ran(units, idle, alone)
    squeezes, units, left = squeezes_of(units, left)
    strange = [one for one in left if not (_explained(one) or _is_head(one, layers))]
    if strange:
        named = [
            f"{one.name}.{role} {shape}" for one in strange for role, shape in one.roles.items()
        ]
        raise _refused(weights, f"no place was found for {_listed(named)}")
    if not units or len({len(unit.kernel) for unit in units}) > 1 or len(layers) > MOST_LAYERS:
        raise _refused(weights, "they are not the layers of one network for images")
    parts = squeezed(with_listed_shortcuts(_parts(units, sums)), squeezes)
    if parts is None:
        named = [f"{one.layer.name}.weight {one.layer.weight}" for one in squeezes]
        raise _refused(weights, f"no place was found for {_listed(named)}")
    space = _first_space(parts, weights, by_name, aliases)
    if any(part.shortcut for part in parts) and _unlikely(space):
        # What is named as a shortcut may stand in the way itself, such as before a resizing.
        straight = squeezed(parts_of(units, sums, shortcuts=False), squeezes)
        other = _first_space(straight, weights, by_name, aliases) if straight else None
        space = other if space is None else space if other is None else space.with_others(other)
    if space is None:
        shown = [f"{unit.layer.name}.weight {unit.layer.weight}" for unit in units]
        raise _refused(
            weights,
            f"no network was found whose channels close among up to {MOST_STATES:,} that were "
            f"begun: {_listed(shown)}",
        )
    return space


def _parts(units: Sequence[Unit], sums: Mapping[str, StoredLayer]) -> tuple[Part, ...]:
    """Return the parts; the inputs in a row of a nested U-Net grow as those in a dense block do."""
    plain = parts_of(units, sums, dense=False)
    return plain if nested(plain) else parts_of(units, sums)


def _first_space(
    parts: tuple[Part, ...], weights: Weights, by_name: bool, aliases: Mapping[str, str]
) -> Networks | None:
    """Return the networks of the parts, without heads beside the last one where there are some.

    Such heads have no place in the answer; the card names their tensors.
    """
    joined = side_by_side(parts)
    main = joined if nested(joined) else without_side_heads(joined)[0]
    tried = [main, *(one for one in (joined, parts) if one != main)]
    spaces = (_space(one, weights, by_name, aliases) for one in tried)
    return next((one for one in spaces if one is not None), None)


def _space(
    parts: tuple[Part, ...], weights: Weights, by_name: bool, aliases: Mapping[str, str]
) -> Networks | None:
    """Return the networks of all parts; None where there is none."""
    facts = facts_of(parts, weights.layers, by_name, weights.metadata)
    ranked, pairs = with_added(parts, topologies(parts, facts))
    words = [layout_word(one) for one in ranked]
    siblings = {words[a]: words[b] for pair in pairs for a, b in (pair, pair[::-1])}
    found = dict(zip(words, ranked, strict=True))
    numbers = {name: math.prod(one.shape) for name, one in weights.tensors.items()}
    space = Networks(
        readings=dict.fromkeys(words, Reading(parts=parts, facts=facts)),
        found=found,
        siblings=siblings,
        numbers=numbers,
        aliases=aliases,
    )
    return space if found and space.first(1) else None


def _unlikely(space: Networks | None) -> bool:
    """Tell if even the likeliest topology has something that few networks have."""
    return space is None or min(one.cost for one in space.found.values()) > LIKELY


def common_dtype(weights: Weights) -> str:
    """Return the most common floating dtype in a file."""
    counts = Counter(t.dtype for t in weights.tensors.values() if t.dtype in FLOATING)
    return counts.most_common(1)[0][0] if counts else "float32"


def _explained(layer: StoredLayer) -> bool:
    """Tell if a file may hold a layer that nothing uses: a norm beside all convolutions."""
    return layer.kind == "norm" and layer.running


def _is_head(layer: StoredLayer, layers: Sequence[StoredLayer]) -> bool:
    """Tell if a layer is the head of a classifier of ImageNet, whose body is the encoder.

    Networks that keep the whole classifier as a module never run it; others stand behind it.
    """
    if layer.kind != "dense" or layer.weight[0] != IMAGENET:
        return False
    behind = layers[layers.index(layer) + 1 :]
    body = layer.name.rpartition(".")[0]
    others = [one for one in behind if one.kind == "convolution"]
    return any(not body or not one.name.startswith(f"{body}.") for one in others)


def _refused(weights: Weights, reason: str) -> UnknownNetworkError:
    return UnknownNetworkError(
        f"{weights.path.name} holds {len(weights.tensors)} tensors without a description of how "
        f"they are connected, and {reason}. Ask whoever made it for the whole network (as a model "
        "of Keras), or which code wrote the file."
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
