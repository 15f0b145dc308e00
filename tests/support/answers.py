"""How far an answer of ours is from that of another runtime, before the last activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_segnet.graph import Activation, Softmax, needed
from napari_segnet.graph.build import build


def raw(module: Any) -> tuple[torch.nn.Module, torch.nn.Module | None]:
    """Return the network without its last activation, and that."""
    nodes = {node.name: node for node in module.graph.nodes}
    last = nodes[module.graph.outputs[0]]
    if not isinstance(last.operation, Activation | Softmax) or last.tensors:
        return module, None
    made = build(needed(module.graph, (last.inputs[0],)))
    made.load_state_dict({k: v for k, v in module.state_dict().items() if k in made.state_dict()})
    return made.eval(), torch.nn.Sequential(*module.layers(last.name))


def difference(module: Any, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return how far an answer is from the runtime's, and how far it may be."""
    network, end = raw(module)
    image = torch.from_numpy(x)
    with torch.no_grad():
        plain, exact = network(image), network.double()(image.double())
        network.float()
        limit = max(1e-4, 3 * float((plain - exact).abs().max()), 1e-3 * float(exact.std()))
        answer = (plain if end is None else end(plain)).numpy()
    # After the activation nothing differs by more than before it.
    return (float(np.abs(answer - y).max()), limit) if answer.shape == y.shape else (np.inf, limit)
