"""Several models on one base in memory: each has modules of its own, and all of them the base's weights.

Nothing is switched between answers, as peft's `set_adapter` would: two models may answer at the same time.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from burnish.models.adapters import load_adapter
from burnish.models.writer import Writer


def apart(model: nn.Module) -> nn.Module:
    """The same model in modules of its own, over the very same weights.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> other = apart(layer)
        >>> other is layer, other.weight is layer.weight
        (False, True)
    """
    held = {id(one): one for one in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, cast(Any, held))


def with_adapter(base: Writer, folder: Path) -> Writer:
    """The base with the adapter saved in `folder`, ready to answer; the base and its other adapters are left as they are."""
    model = load_adapter(apart(base.model), folder)
    model.requires_grad_(False)
    return replace(base, model=model.eval())


def own_bytes(writer: Writer, base: Writer) -> int:
    """Memory of the weights that a writer does not share with its base."""
    shared = {id(one) for one in base.model.parameters()}
    return sum(
        one.numel() * one.element_size()
        for one in writer.model.parameters()
        if id(one) not in shared
    )
