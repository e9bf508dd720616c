"""Low-rank adapters through peft: put on, merged only when the merged model answers the same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn

from burnish.models.family import Family
from burnish.records.recipe import Recipe


def add_lora(model: nn.Module, *, family: Family, recipe: Recipe) -> nn.Module:
    """LoRA on every linear layer of the encoder blocks; the head trains whole.

    Source: Hu et al. 2021 (LoRA); scale = alpha / rank.
    """
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=family.lora_targets(model),
        modules_to_save=[name.rpartition(".")[2] for name in family.head_modules(model)],
    )
    return _adapted(model, config)


def add_adapters(
    model: nn.Module, recipe: Recipe, *, task: str, targets: str, whole: Sequence[str] = ()
) -> nn.Module:
    """LoRA, DoRA or rsLoRA on the linear layers of a model; embeddings stay, the modules named by `whole` train whole.

    Source: Hu et al. 2021 (LoRA); Liu et al. 2024 (DoRA: direction and size apart); Kalajdzievski 2023 (rsLoRA:
    scale alpha / sqrt(rank)).
    """
    config = LoraConfig(
        task_type=TaskType(task),
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=targets,
        use_dora=recipe.method == "dora",
        use_rslora=recipe.method == "rslora",
        modules_to_save=[name.rpartition(".")[2] for name in whole] or None,
        # GPT-2's layers keep their weights the other way round
        fan_in_fan_out=cast(Any, model).config.model_type == "gpt2",
    )
    return _adapted(model, config)


def _adapted(model: nn.Module, config: LoraConfig) -> nn.Module:
    with warnings.catch_warnings():
        # peft 0.21 asks for a property that transformers 5 has renamed; nothing that a user could change
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return cast(nn.Module, get_peft_model(cast(Any, model), config))


def load_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """The model with the adapter that peft saved in `folder` put on, in place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        device = str(next(model.parameters()).device)
        loaded = PeftModel.from_pretrained(cast(Any, model), str(folder), torch_device=device)
    return cast(nn.Module, loaded)


def merge_lora(model: nn.Module) -> nn.Module:
    """The plain model with adapters added into its weights; the caller compares outputs before use."""
    return cast(Any, model).merge_and_unload()


def remove_lora(model: nn.Module) -> nn.Module:
    """The plain model as it was before `add_lora`: the same modules, weights, and all of them learning again."""
    plain = cast(nn.Module, cast(Any, model).unload())
    plain.requires_grad_(True)
    return plain
