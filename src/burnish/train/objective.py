"""What one row costs: cross-entropy against soft targets, one label or many."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Objective = Literal["softmax", "sigmoid"]


def row_losses(
    logits_RL: Tensor, targets_RL: Tensor, *, objective: Objective, label_smoothing: float
) -> Tensor:
    """One loss per row, in nats, fp32.

    "softmax": cross-entropy over the labels. "sigmoid": binary cross-entropy, mean over the labels.
    Smoothing moves that fraction of a softmax row's mass evenly over all labels (Szegedy et al. 2016);
    for "sigmoid" it moves each target towards one half.

    Shapes: logits_RL, targets_RL (R, L) -> (R,).

    Example:
        >>> losses = row_losses(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]),
        ...                     objective="softmax", label_smoothing=0.0)
        >>> round(float(losses[0]), 4)
        0.6931
    """
    if objective == "softmax":
        smooth = targets_RL * (1 - label_smoothing) + label_smoothing / targets_RL.shape[1]
        return -(smooth * torch.log_softmax(logits_RL, dim=1)).sum(1)
    smooth = targets_RL * (1 - label_smoothing) + label_smoothing / 2
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits_RL, smooth, reduction="none"
    )
    return losses.mean(1)
