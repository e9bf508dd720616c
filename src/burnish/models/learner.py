"""A model that can learn: the module, where it runs and at what precision, and its forward pass over flat batches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import logging

from burnish.models.allocator import keep_freed_memory
from burnish.models.attention import agrees, choose_body
from burnish.models.family import family_of
from burnish.models.rows import flat_rows, padded_rows
from burnish.models.stacks import take_flat_rows, why_padded
from burnish.records.encoding import Batch, FloatArray

Precision = Literal["fp32", "bf16"]
# What stands in a run's record for a model that is given rectangles: transformers' own choice.
PADDED_BODY = "sdpa"


@dataclass(frozen=True, slots=True)
class Layout:
    """How batches are laid out for a model: flat with an attention body, or padded because of something."""

    body: str
    padded_because: str | None = None


class Placed(Protocol):
    """What is asked of any model in place: where it runs, at what precision, and how rows are laid out for it."""

    @property
    def device(self) -> torch.device: ...
    @property
    def precision(self) -> Precision: ...

    layout: Layout


@dataclass(slots=True)
class Learner:
    """A sequence classifier in place. Master weights are fp32; `precision` is that of the matrix products."""

    model: nn.Module
    model_type: str
    n_labels: int
    pad_id: int
    device: torch.device
    precision: Precision
    layout: Layout


def pick_device() -> torch.device:
    """The first CUDA device, else the CPU, whose allocator is told to keep what it frees."""
    keep_freed_memory()
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def pick_precision(asked: str, device: torch.device) -> Precision:
    """bf16 where the machine has bf16 matrix units, fp32 otherwise; an explicit choice is obeyed.

    Of CPUs only those with AMX have such units. AVX-512 bf16 instructions alone are slower than fp32: products take 1.3 to
    1.8 times as long, a step of SmolLM2-135M 1.86 times (our measurement of 2026-11-23, LOG.md).
    """
    if asked in ("fp32", "bf16"):
        return "bf16" if asked == "bf16" else "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has_units = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return "bf16" if has_units else "fp32"


def hush() -> None:
    """Stop transformers from writing bars and load reports to the terminal: one voice speaks there."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def plain_model(model: nn.Module) -> nn.Module:
    """The classifier itself, whose linear layers may be adapters'; the same modules, not a copy."""
    return cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model


def compute_precision(learner: Placed) -> AbstractContextManager[object]:
    """The autocast context of the learner's precision."""
    if learner.precision == "bf16":
        return torch.autocast(learner.device.type, dtype=torch.bfloat16)
    return nullcontext()


def layout_of(model: nn.Module, *, device: torch.device, precision: Precision) -> Layout:
    """The layout this model takes on this machine; where it is flat the model is made ready for it."""
    because = why_padded(model)
    if because is not None:
        return Layout(PADDED_BODY, because)
    take_flat_rows(model)
    return Layout(choose_body(device, _compute_dtype(precision), typical_tokens=0))


def settle_body(learner: Placed, *, typical_tokens: int, recorded: str | None) -> None:
    """For a training: the body that an earlier part of the same run recorded, if it still runs here, else the
    best for rows so long."""
    if learner.layout.padded_because is not None:
        return
    dtype = _compute_dtype(learner.precision)
    if recorded and agrees(recorded, learner.device, dtype):
        learner.layout = Layout(recorded)
        return
    learner.layout = Layout(choose_body(learner.device, dtype, typical_tokens=typical_tokens))


def _compute_dtype(precision: Precision) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def pooled_of(learner: Learner, batch: Batch) -> Tensor:
    """The hidden states the head reads, (R, 1, H), rows in the batch's order, at the learner's precision."""
    model, family = plain_model(learner.model), family_of(learner.model_type)
    with compute_precision(learner):
        if learner.layout.padded_because is None:
            rows = flat_rows(batch, device=learner.device)
            return family.pooled_flat(model, rows, body=learner.layout.body)
        rows = padded_rows(batch, pad_id=learner.pad_id, device=learner.device)
        return family.pooled(model, rows.read.ids, rows.read.mask)


def logits_of(learner: Learner, batch: Batch) -> Tensor:
    """Logits (R, L) fp32 with gradients, rows in the batch's order."""
    pooled_R1H = pooled_of(learner, batch)
    family = family_of(learner.model_type)
    # in fp32 whatever the precision: a few rows cost nothing, and bf16 would round logits to 8 bits
    return family.head(plain_model(learner.model), pooled_R1H.float())


def forward(learner: Learner, batch: Batch) -> FloatArray:
    """Logits (R, L) float64 without gradients or dropout; the learner is left as it was."""
    was_training = learner.model.training
    learner.model.eval()
    try:
        with torch.inference_mode():
            return logits_of(learner, batch).cpu().numpy().astype(np.float64)
    finally:
        learner.model.train(was_training)
