"""AdamW over the parameters that train, and its state as plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from burnish.records.recipe import Recipe

_MOMENTS = ("exp_avg", "exp_avg_sq")


def make_optimizer(
    model: nn.Module, recipe: Recipe, *, head_modules: tuple[str, ...]
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); no decay on biases and normalisation, a rate of its own for the head.

    Each group's `factor` multiplies the scheduled rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        in_head = any(f".{head}." in f".{name}" for head in head_modules)
        factor = recipe.head_learning_rate_factor if in_head else 1.0
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "factor": factor}
            for (factor, decay), parameters in groups.items()
        ],
        lr=recipe.learning_rate,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.AdamW, rate: float) -> None:
    """Give every group its share of the scheduled rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that train, by name: what a checkpoint holds."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def optimizer_tensors(optimizer: torch.optim.AdamW, model: nn.Module) -> dict[str, Tensor]:
    """Both moments and the step count of every parameter, by "name/moment"."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trainable(model).items():
        state = optimizer.state.get(parameter)
        if not state:
            continue
        for moment in _MOMENTS:
            tensors[f"{name}/{moment}"] = state[moment].detach().cpu().contiguous()
        tensors[f"{name}/step"] = state["step"].detach().cpu().reshape(1)
    return tensors


def restore_optimizer(
    optimizer: torch.optim.AdamW, model: nn.Module, tensors: dict[str, Tensor]
) -> None:
    """Put saved moments back, bit for bit."""
    for name, parameter in trainable(model).items():
        if f"{name}/step" not in tensors:
            continue
        state = {key: tensors[f"{name}/{key}"].to(parameter.device).clone() for key in _MOMENTS}
        state["step"] = tensors[f"{name}/step"].to(parameter.device).reshape(()).clone()
        optimizer.state[parameter] = state
