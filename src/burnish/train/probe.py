"""A start for the head: fitted on the frozen base's features before anything else moves.

A random head sends random gradients through the base for its first hundreds of updates. A linear probe
first, then fine-tuning from it, reaches the same loss in fewer epochs and distorts the base less.

Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution";
our own figures in LOG.md, 2026-11-22 (head initialisation).
"""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.models.family import family_of
from burnish.models.learner import Learner
from burnish.records.encoding import FloatArray
from burnish.train.objective import Objective, row_losses

# Spread of a pooler's pre-activations after rescaling: tanh neither dead nor saturated. The default base's own
# is 0.064, which leaves no gradient to speak of. Source: LOG.md, 2026-11-22.
_POOLER_SPREAD = 0.5
_LEAST_SPREAD = 0.2
_PENALTY = 5e-4
_ITERATIONS = 60
# The probe's logits are halved: fine-tuning starts less sure than the probe is on rows it has seen.
_SOFTENED = 0.5


def probe_head(
    learner: Learner, features_R1H: Tensor, targets_RL: FloatArray, *, objective: Objective
) -> None:
    """Rescale a pretrained tanh pooler and set the last linear layer to a regularised probe, in place.

    The architecture stays stock. The same rows and threads give the same weights.

    Shapes: features_R1H the pooled hidden states of the train rows, targets_RL float64.
    """
    family = family_of(learner.model_type)
    model = learner.model
    model.eval()
    last = family.last_linear(model)
    pooler = family.pretrained_pooler(model)
    if pooler is not None:
        with torch.no_grad():
            spread = float(pooler(features_R1H[:, 0]).std())
            if spread > 0:
                pooler.weight.mul_(_POOLER_SPREAD / spread)
                pooler.bias.mul_(_POOLER_SPREAD / spread)
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        family.head(model, features_R1H)
    hook.remove()
    inputs_RD = seen[0].reshape(len(features_R1H), -1).double()
    weight_LD, bias_L = linear_probe(inputs_RD, torch.from_numpy(targets_RL), objective=objective)
    with torch.no_grad():
        last.weight.copy_(weight_LD * _SOFTENED)
        last.bias.copy_(bias_L * _SOFTENED)


def linear_probe(
    inputs_RD: Tensor, targets_RL: Tensor, *, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Regularised regression on standardised inputs, the standardisation folded into the answer."""
    targets_RL = targets_RL.to(inputs_RD.device)
    mean_D = inputs_RD.mean(0)
    # a feature that hardly moves beside its size would get a weight that dropout turns into noise
    size = float(inputs_RD.square().mean().sqrt())
    spread_D = inputs_RD.std(0, correction=0).clamp_min(max(_LEAST_SPREAD * size, 1e-6))
    standard_RD = (inputs_RD - mean_D) / spread_D
    n_labels, width = targets_RL.shape[1], inputs_RD.shape[1]
    zeros = {"dtype": torch.float64, "device": inputs_RD.device, "requires_grad": True}
    weight_LD = torch.zeros(n_labels, width, **zeros)
    bias_L = torch.zeros(n_labels, **zeros)
    optimizer = torch.optim.LBFGS(
        [weight_LD, bias_L], max_iter=_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits_RL = standard_RD @ weight_LD.T + bias_L
        losses_R = row_losses(logits_RL, targets_RL, objective=objective, label_smoothing=0.0)
        loss = losses_R.mean() + _PENALTY * weight_LD.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    folded_LD = weight_LD.detach() / spread_D
    return folded_LD, bias_L.detach() - folded_LD @ mean_D
