"""How far flows are from those of labels, for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["cellpose_loss", "flow_error"]

FLOW_LENGTH = 5.0
"""Flows count as if they were so long, so that they weigh as much as cells; as in Cellpose."""


def flow_error(answer: torch.Tensor, targets: torch.Tensor, trusted: torch.Tensor) -> torch.Tensor:
    """Return half the mean squared error of flows.

    Parameters
    ----------
    answer, targets : Tensor
        ``(n, 2, y, x)``: flows along y and x, of length 1. Where targets are not a number nobody
        knows the flow, and there is no gradient.
    trusted : Tensor
        ``(n, 1, y, x)``: 1 where labels may be learned from, else 0.
    """
    import torch

    known = (trusted > 0) & targets[:, :1].isfinite()
    apart = FLOW_LENGTH * (answer - targets)
    apart = torch.where(known, apart, torch.zeros_like(apart)).square().mean(1)
    return apart.sum() / known.sum().clamp(min=1) / 2


def cellpose_loss(
    answer: torch.Tensor, targets: torch.Tensor, trusted: torch.Tensor
) -> torch.Tensor:
    """Return half the squared error of flows plus the cross-entropy of cells.

    As ``_loss_fn_seg`` of Cellpose 3 (BSD-3, ``train.py``) has it.

    Parameters
    ----------
    answer, targets : Tensor
        ``(n, 3, y, x)``: flows as in :func:`flow_error`, and cells (a logit, or 0 and 1).
    trusted : Tensor
        ``(n, 1, y, x)``.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    # An infinite value times zero would be NaN: take untrusted answers out, not just down.
    answer = torch.where(trusted > 0, answer, torch.zeros_like(answer))
    flows = flow_error(answer[:, :2], targets[:, :2], trusted)
    missed = binary_cross_entropy_with_logits(answer[:, 2:], targets[:, 2:], reduction="none")
    return flows + (missed * trusted).sum() / trusted.sum().clamp(min=1)
