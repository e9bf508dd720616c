"""A model that can learn: the module, where it runs and at what precision, and its forward pass over flat batches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import logging

from burnish.models.allocator import keep_freed_memory
from burnish.models.family import family_of
from burnish.records.encoding import Batch, FloatArray

Precision = Literal["fp32", "bf16"]


@dataclass(slots=True)
class Learner:
    """A sequence classifier in place. Master weights are fp32; `precision` is that of the matrix products."""

    model: nn.Module
    model_type: str
    n_labels: int
    pad_id: int
    device: torch.device
    precision: Precision


def pick_device() -> torch.device:
    """The first CUDA device, else the CPU, whose allocator is told to keep what it frees."""
    keep_freed_memory()
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def pick_precision(asked: str, device: torch.device) -> Precision:
    """bf16 where the machine has bf16 matrix units, fp32 otherwise; an explicit choice is obeyed.

    On CPUs without AMX or AVX-512 bf16 instructions bf16 products are emulated and slower than fp32.
    """
    if asked in ("fp32", "bf16"):
        return "bf16" if asked == "bf16" else "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has_units = (
        getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
        or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    )
    return "bf16" if has_units else "fp32"


def hush() -> None:
    """Stop transformers from writing bars and load reports to the terminal: one voice speaks there."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def rectangle(batch: Batch, *, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The flat batch as (token ids, attention mask), both (R, longest); no mask when nothing is padded.

    The stock Hugging Face forward passes take rectangles; rows of like length keep the padding small.
    """
    lengths = np.diff(batch.cumulative_lengths)
    longest = int(lengths.max())
    grid = np.full((len(lengths), longest), pad_id, dtype=np.int64)
    mask = np.arange(longest)[None, :] < lengths[:, None]
    grid[mask] = batch.token_ids_N
    ids = torch.from_numpy(grid).to(device)
    return ids, None if bool(mask.all()) else torch.from_numpy(mask.astype(np.int64)).to(device)


def plain_model(model: nn.Module) -> nn.Module:
    """The classifier itself, whose linear layers may be adapters'; the same modules, not a copy."""
    return cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model


def compute_precision(learner: Learner) -> AbstractContextManager[object]:
    """The autocast context of the learner's precision."""
    if learner.precision == "bf16":
        return torch.autocast(learner.device.type, dtype=torch.bfloat16)
    return nullcontext()


def logits_of(learner: Learner, batch: Batch) -> Tensor:
    """Logits (R, L) fp32 with gradients, rows in the batch's order."""
    ids, mask = rectangle(batch, pad_id=learner.pad_id, device=learner.device)
    with compute_precision(learner):
        model = plain_model(learner.model)
        family = family_of(learner.model_type)
        return family.head(model, family.pooled(model, ids, mask)).float()


def forward(learner: Learner, batch: Batch) -> FloatArray:
    """Logits (R, L) float64 without gradients or dropout; the learner is left as it was."""
    was_training = learner.model.training
    learner.model.eval()
    try:
        with torch.inference_mode():
            return logits_of(learner, batch).cpu().numpy().astype(np.float64)
    finally:
        learner.model.train(was_training)
