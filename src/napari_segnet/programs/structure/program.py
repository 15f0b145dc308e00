"""What a bare file holds, as a space of candidates and as a checkpoint of the family ``graph``."""

from __future__ import annotations

from napari_segnet.containers import Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.programs.structure._facts import facts_of
from napari_segnet.programs.structure._layers import StoredLayer, stored_layers
from napari_segnet.programs.structure._parts import parts_of
from napari_segnet.programs.structure._search import topologies
from napari_segnet.programs.structure._space import Networks, layout_word
from napari_segnet.programs.structure._types import Space
from napari_segnet.programs.structure._units import units_of

__all__ = ["read_structure"]

NAMED = 4
FLOATING = ("float32", "float16", "bfloat16", "float64")
MOST_LAYERS = 1500
"""No hand-written network has more; the search of one would never end."""


def read_structure(weights: Weights) -> Space:
    """Return all networks that the tensors of a file can be.

    Raises
    ------
    UnknownNetworkError
        If there is none; names the tensors that are left.
    """
    shapes = {key: tensor.shape for key, tensor in weights.tensors.items()}
    layers = stored_layers(shapes)
    kinds = {
        name: layer.torch.startswith("ConvTranspose")
        for name, layer in weights.layers.items()
        if layer.torch.startswith("Conv")
    }
    units, left = units_of(layers, kinds)
    left = tuple(one for one in left if not _explained(one))
    if left or not units or len(layers) > MOST_LAYERS:
        raise _refused(weights, left)
    if len({len(unit.kernel) for unit in units}) > 1:
        raise _refused(weights, ())
    parts = parts_of(units)
    facts = facts_of(parts, weights.layers)
    found = {layout_word(one): one for one in topologies(parts, facts)}
    space = Networks(parts=parts, facts=facts, found=found)
    if not found or not space.first(1):
        raise _refused(weights, ())
    return space


def _explained(layer: StoredLayer) -> bool:
    """Tell if a layer that no convolution goes with may stand in a file without being used."""
    return layer.kind == "norm" and layer.running


def _refused(weights: Weights, left: tuple[StoredLayer, ...]) -> UnknownNetworkError:
    names = [f"{one.name}.{role} {shape}" for one in left for role, shape in one.roles.items()]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        reason = f"no place was found for {', '.join(names[:NAMED])}{more}"
    else:
        reason = "no encoder and decoder whose channels fit together was found among them"
    return UnknownNetworkError(
        f"{weights.path.name} holds tensors without a description of how they are connected, "
        f"and {reason}. Ask whoever made it for the network as ONNX, TorchScript or Keras, or "
        "for the code that defines it."
    )
