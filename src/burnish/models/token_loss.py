"""What tokens cost: the language head at the supervised positions alone, in chunks, softmax in fp32.

The logits of all supervised tokens never exist at once, in any precision. The backward pass makes each chunk's
logits again: one more product, and no memory that grows with the vocabulary times the tokens.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

# Logits of one chunk: 16 MiB in fp32, which stays in reach of a CPU's cache levels and of any GPU's memory.
_CHUNK_LOGITS = 1 << 22


def token_losses(model: nn.Module, hidden_SH: Tensor, targets_S: Tensor) -> Tensor:
    """Cross-entropy of each supervised token, in nats, (S,) fp32 (fp64 from fp64 hidden states).

    Equal to the model's own head followed by a softmax: its scale of hidden states (T5), its bias (BART, or
    the head's own) and its soft cap of logits (Gemma 2) are the model's.

    Shapes: hidden_SH last hidden states at the supervised positions; targets_S int64 token ids.
    """
    part = cast(Any, model)
    head, config = part.get_output_embeddings(), part.config
    if getattr(config, "scale_decoder_outputs", False):
        hidden_SH = hidden_SH * config.d_model**-0.5
    bias_V = head.bias
    extra = getattr(part, "final_logits_bias", None)
    if extra is not None:
        bias_V = extra[0] if bias_V is None else bias_V + extra[0]
    cap = getattr(config, "final_logit_softcapping", None)
    kind = hidden_SH.device.type
    if torch.is_autocast_enabled(kind):
        hidden_SH = hidden_SH.to(torch.get_autocast_dtype(kind))
    return cast(Tensor, _TokenLosses.apply(hidden_SH, head.weight, bias_V, targets_S, cap))


class _TokenLosses(torch.autograd.Function):
    """loss_s = logsumexp(logits_s) - logits_s[target]; d loss / d logits = softmax - one-hot."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden_SH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        targets_S: Tensor,
        cap: float | None,
    ) -> Tensor:
        wide = torch.promote_types(hidden_SH.dtype, torch.float32)
        spread_S = torch.empty(len(hidden_SH), dtype=wide, device=hidden_SH.device)
        hit_S = torch.empty_like(spread_S)
        for at in _chunks(hidden_SH, weight_VH):
            logits_CV = _logits(hidden_SH[at], weight_VH, bias_V, cap)
            spread_S[at] = torch.logsumexp(logits_CV, dim=1)
            hit_S[at] = logits_CV.gather(1, targets_S[at, None])[:, 0]
        part = cast(Any, ctx)
        part.save_for_backward(hidden_SH, weight_VH, bias_V, targets_S, spread_S)
        part.cap = cap
        return spread_S - hit_S

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        part = cast(Any, ctx)
        hidden_SH, weight_VH, bias_V, targets_S, spread_S = part.saved_tensors
        needs_hidden, needs_weight, needs_bias = part.needs_input_grad[:3]
        to_hidden_SH = torch.empty_like(hidden_SH) if needs_hidden else None
        to_weight_VH = torch.zeros_like(weight_VH) if needs_weight else None
        to_bias_V = torch.zeros_like(bias_V) if needs_bias else None
        for at in _chunks(hidden_SH, weight_VH):
            logits_CV = _logits(hidden_SH[at], weight_VH, bias_V, part.cap)
            slope_CV = torch.exp(logits_CV - spread_S[at, None])
            slope_CV[torch.arange(len(slope_CV), device=slope_CV.device), targets_S[at]] -= 1
            slope_CV *= gradients[0][at, None]
            if part.cap is not None:
                slope_CV *= 1 - (logits_CV / part.cap).square()
            if to_bias_V is not None:
                to_bias_V += slope_CV.sum(0).to(to_bias_V.dtype)
            slope_CV = slope_CV.to(hidden_SH.dtype)
            if to_hidden_SH is not None:
                to_hidden_SH[at] = slope_CV @ weight_VH.to(hidden_SH.dtype)
            if to_weight_VH is not None:
                product_VH = slope_CV.T @ hidden_SH[at]
                to_weight_VH += product_VH.to(to_weight_VH.dtype)
        return to_hidden_SH, to_weight_VH, to_bias_V, None, None


def _chunks(hidden_SH: Tensor, weight_VH: Tensor) -> list[slice]:
    size = max(1, _CHUNK_LOGITS // len(weight_VH))
    return [slice(at, at + size) for at in range(0, len(hidden_SH), size)]


def _logits(
    hidden_CH: Tensor, weight_VH: Tensor, bias_V: Tensor | None, cap: float | None
) -> Tensor:
    wide = torch.promote_types(hidden_CH.dtype, torch.float32)
    logits_CV = (hidden_CH @ weight_VH.to(hidden_CH.dtype).T).to(wide)
    if bias_V is not None:
        logits_CV = logits_CV + bias_V.to(wide)
    return logits_CV if cap is None else torch.tanh(logits_CV / cap) * cap
