"""What a network of StarDist should say of labels, and how far it is from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.star import circle, inner_distance, rays_from_json, star_distances

if TYPE_CHECKING:
    import torch

__all__ = ["star_loss", "star_targets"]

LEAST_CHANCE = 1e-7
"""Keras' ``epsilon``: no probability is nearer to 0 or 1."""


def star_targets(
    labels: npt.NDArray[np.int32], outputs: tuple[Output, ...], star: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    """Return how deep each pixel lies, how far edges are, and of which class it is.

    Parameters
    ----------
    labels : ndarray
        ``([z,] y, x)`` int32 of objects.
    outputs : tuple of Output
        Of the network.
    star : mapping
        ``star`` of its ``hparams``.

    Returns
    -------
    ndarray
        ``(channel, [z,] y, x)`` float32. Distances are right at the places of the grid, and 0
        between them; every object is of the first class.
    """
    grid = tuple(int(n) for n in star["grid"])
    said, anisotropy = star.get("rays"), star.get("anisotropy")
    rays = circle(int(star["n_rays"])) if said is None else rays_from_json(said)
    found = np.zeros((sum(o.channels for o in outputs), *labels.shape), np.float32)
    found[0] = inner_distance(labels, tuple(anisotropy) if anisotropy else None)
    places = tuple(slice(None, None, step) for step in grid)
    found[1 : 1 + len(rays)][(slice(None), *places)] = star_distances(labels, rays, grid)
    if len(found) > 1 + len(rays):
        found[1 + len(rays)], found[2 + len(rays)] = labels == 0, labels > 0
    return found


def star_loss(
    answer: torch.Tensor, targets: torch.Tensor, trusted: torch.Tensor, star: Mapping[str, Any]
) -> torch.Tensor:
    """Return the loss of StarDist at the places of the grid that are trusted.

    As ``prepare_for_training`` of StarDist 0.9 (BSD-3, ``models/base.py``) has it: cross-entropy of
    the depth; the absolute (or squared) error of distances, weighed by the depth, and a little of
    them in the background; cross-entropy of the classes.

    Parameters
    ----------
    answer, targets : Tensor
        ``(n, channel, [z,] y, x)``: probabilities and distances.
    trusted : Tensor
        ``(n, 1, [z,] y, x)``: 1 where labels may be learned from, else 0.
    star : mapping
        ``star`` of the network's ``hparams``.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy

    places = (slice(None), slice(None), *(slice(None, None, int(step)) for step in star["grid"]))
    answer, targets, trusted = answer[places], targets[places], trusted[places]
    # An infinite value times zero would be NaN: take untrusted answers out, not just down.
    answer = torch.where(trusted > 0, answer, torch.zeros_like(answer))
    count, known = int(star["n_rays"]), trusted.sum().clamp(min=1)
    weights = [float(one) for one in star.get("loss_weights", (1, 0.2))]
    depth, wanted = targets[:, :1], targets[:, 1 : 1 + count]
    chance = answer[:, :1].clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    missed = binary_cross_entropy(chance, depth, reduction="none")
    total = weights[0] * (missed * trusted).sum() / known
    said = answer[:, 1 : 1 + count]
    apart = (wanted - said).square() if star.get("dist_loss") == "mse" else (wanted - said).abs()
    mean_depth = (depth * trusted).sum() / known + LEAST_CHANCE
    far = (apart.mean(1, keepdim=True) * depth * trusted).sum() / known / mean_depth
    outside = (said.abs().mean(1, keepdim=True) * (1 - depth) * trusted).sum() / known
    total = total + weights[1] * (far + float(star.get("background_reg", 1e-4)) * outside)
    if answer.shape[1] > 1 + count:
        kinds = answer[:, 1 + count :].clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
        own = star.get("class_weights") or [1.0] * kinds.shape[1]
        heavy = torch.tensor(own, dtype=kinds.dtype, device=kinds.device).view(
            1, -1, *(1,) * (kinds.ndim - 2)
        )
        crossed = -(heavy * targets[:, 1 + count :] * kinds.log()).sum(1, keepdim=True)
        total = total + weights[-1] * (crossed * trusted).sum() / known
    return total
