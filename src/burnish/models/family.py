"""The door of model families: which architectures learn here, and what each calls its parts.

A new family is one file with the functions of `Family` and one row in `FAMILIES`; tests/laws/test_families.py
then holds it to the laws.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from burnish.errors import fail, nearest
from burnish.models.families import encoder
from burnish.models.rows import Rows
from burnish.records.recipe import Recipe


class Family(Protocol):
    """What training and serving need to know about an architecture.

    `head(model, hidden_R1H)` gives the logits of pooled hidden states, exactly as the stock forward
    pass does from whole rows. Training and inference run `head(pooled_flat(...))` on rows laid end to end, or
    `head(pooled(...))` on padded rectangles where an architecture needs them; the stock pass is the oracle both
    are tested against. `lora_targets` are module-name endings.
    """

    MODEL_TYPES: frozenset[str]

    def load(
        self,
        folder: Path,
        *,
        label_names: Sequence[str] | None,
        objective: str | None,
        recipe: Recipe | None,
    ) -> nn.Module: ...
    def head(self, model: nn.Module, hidden_R1H: Tensor) -> Tensor: ...
    def pooled(self, model: nn.Module, ids: Tensor, mask: Tensor | None) -> Tensor: ...
    def pooled_flat(self, model: nn.Module, rows: Rows, *, body: str) -> Tensor: ...
    def head_modules(self, model: nn.Module) -> tuple[str, ...]: ...
    def last_linear(self, model: nn.Module) -> nn.Linear: ...
    def pretrained_pooler(self, model: nn.Module) -> nn.Linear | None: ...
    def lora_targets(self, model: nn.Module) -> str: ...


FAMILIES: dict[str, Family] = {"encoder": encoder}

MODEL_TYPES: frozenset[str] = frozenset().union(*(row.MODEL_TYPES for row in FAMILIES.values()))


def family_of(model_type: str) -> Family:
    """The family that knows `model_type`.

    Raises: model-type-unknown with the nearest known one.
    """
    for family in FAMILIES.values():
        if model_type in family.MODEL_TYPES:
            return family
    raise fail(
        "model-type-unknown",
        f'model_type "{model_type}"',
        where="config.json",
        expected=f"one of: {', '.join(sorted(MODEL_TYPES))}",
        fix="choose a base model of one of these architectures",
        nearest=nearest(model_type, MODEL_TYPES),
    )


def model_type_of(folder: Path) -> str:
    """The `model_type` in a folder's config.json."""
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
