"""BERT-like encoders with the stock sequence-classification head, so that plain transformers loads the result.

The parts' names differ by `model_type`; the table below is the only place that knows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from burnish.models import first_token
from burnish.models.rows import Rows
from burnish.models.stacks import hidden_states
from burnish.records.recipe import Recipe

MODEL_TYPES = frozenset({"bert", "roberta", "distilbert", "electra", "deberta-v2", "modernbert"})

# Modules outside the encoder stack, in forward order; these train in method "head".
_HEAD_MODULES = {
    "bert": ("bert.pooler", "classifier"),
    "roberta": ("classifier",),
    "distilbert": ("pre_classifier", "classifier"),
    "electra": ("classifier",),
    "deberta-v2": ("pooler", "classifier"),
    "modernbert": ("head", "classifier"),
}
_LAST_LINEAR = {"roberta": "classifier.out_proj", "electra": "classifier.out_proj"}
# Every linear layer of the encoder blocks (LoRA on all of them, after the QLoRA paper's finding that
# adapting all layers matters more than rank; Dettmers et al. 2023, section 4).
_LORA_TARGETS = {
    "bert": r"bert\.encoder\..*(query|key|value|dense)",
    "roberta": r"roberta\.encoder\..*(query|key|value|dense)",
    "electra": r"electra\.encoder\..*(query|key|value|dense)",
    "distilbert": r"distilbert\.transformer\..*(q_lin|k_lin|v_lin|out_lin|lin1|lin2)",
    "deberta-v2": r"deberta\.encoder\.layer\..*(query_proj|key_proj|value_proj|dense)",
    "modernbert": r"model\.layers\..*(Wqkv|Wo|Wi)",
}
_HIDDEN_DROPOUT = (
    "hidden_dropout_prob",
    "dropout",
    "embedding_dropout",
    "mlp_dropout",
    "seq_classif_dropout",
    "classifier_dropout",
    "pooler_dropout",
)
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


def load(
    folder: Path,
    *,
    label_names: Sequence[str] | None,
    objective: str | None,
    recipe: Recipe | None,
) -> nn.Module:
    """The classifier of a folder; with `label_names` a fresh head of that many outputs is made.

    The fresh head comes from torch's global generator: seed it before. Weights are fp32.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if label_names is not None:
        config.id2label = dict(enumerate(label_names))
        config.label2id = {name: index for index, name in enumerate(label_names)}
        softmax = objective == "softmax"
        config.problem_type = (
            "single_label_classification" if softmax else "multi_label_classification"
        )
    if recipe is not None:
        set_dropout(config, recipe)
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        ignore_mismatched_sizes=label_names is not None,
    )


def set_dropout(config: Any, recipe: Recipe) -> None:
    """Put the recipe's dropout into a config, whatever its architecture calls it."""
    for names, value in (
        (_HIDDEN_DROPOUT, recipe.dropout),
        (_ATTENTION_DROPOUT, recipe.attention_dropout),
    ):
        for name in names:
            if hasattr(config, name):
                setattr(config, name, value)


def _type_of(model: nn.Module) -> str:
    return str(cast(Any, model).config.model_type)


def pooled_flat(model: nn.Module, rows: Rows, *, body: str) -> Tensor:
    """The same as `pooled`, (R, 1, H), from rows laid end to end."""
    config = cast(Any, model).config
    if _type_of(model) in first_token.MODEL_TYPES and not getattr(config, "is_decoder", False):
        return first_token.first_token_flat(cast(Any, model).base_model, rows, body=body)
    hidden_NH = hidden_states(model, rows, body=body)
    if getattr(config, "classifier_pooling", "cls") == "mean":
        parts = hidden_NH.split(list(rows.read.lengths))
        return torch.stack([part.mean(0, keepdim=True) for part in parts])
    return hidden_NH[rows.read.starts][:, None]


def pooled(model: nn.Module, ids: Tensor, mask: Tensor | None) -> Tensor:
    """The hidden state the head reads, (R, 1, H): the first token's, or ModernBERT's mean when so configured."""
    stem, config = cast(Any, model).base_model, cast(Any, model).config
    if _type_of(model) in first_token.MODEL_TYPES and not getattr(config, "is_decoder", False):
        return first_token.first_token(stem, ids, mask)
    hidden_RTH = stem(input_ids=ids, attention_mask=mask).last_hidden_state
    if getattr(config, "classifier_pooling", "cls") == "mean":
        weight = torch.ones_like(ids) if mask is None else mask
        weight_RT1 = weight.to(hidden_RTH.dtype)[:, :, None]
        return (hidden_RTH * weight_RT1).sum(1, keepdim=True) / weight_RT1.sum(1, keepdim=True)
    return hidden_RTH[:, :1]


def head(model: nn.Module, hidden_R1H: Tensor) -> Tensor:
    """Logits (R, L) from pooled hidden states."""
    part = cast(Any, model)
    match _type_of(model):
        case "bert":
            return part.classifier(part.dropout(part.bert.pooler(hidden_R1H)))
        case "deberta-v2":
            return part.classifier(part.dropout(part.pooler(hidden_R1H)))
        case "distilbert":
            inner = torch.relu(part.pre_classifier(hidden_R1H[:, 0]))
            return part.classifier(part.dropout(inner))
        case "modernbert":
            return part.classifier(part.drop(part.head(hidden_R1H[:, 0])))
        case _:  # roberta, electra: the head module takes whole hidden states and reads the first
            return part.classifier(hidden_R1H)


def head_modules(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules after the encoder stack."""
    return _HEAD_MODULES[_type_of(model)]


def last_linear(model: nn.Module) -> nn.Linear:
    """The layer that makes the logits; a temperature folds into it exactly."""
    name = _LAST_LINEAR.get(_type_of(model), "classifier")
    return cast(nn.Linear, model.get_submodule(name))


def pretrained_pooler(model: nn.Module) -> nn.Linear | None:
    """The linear layer of a pooler that came with the base and ends in tanh; None where the head is fresh."""
    if _type_of(model) != "bert":
        return None
    return cast(nn.Linear, model.get_submodule("bert.pooler.dense"))


def lora_targets(model: nn.Module) -> str:
    """A regular expression over module names for adapters."""
    return _LORA_TARGETS[_type_of(model)]
