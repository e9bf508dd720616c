"""torch's CUDA kernels for rows laid end to end.

Written against torch 2.13's interfaces, not yet run by us on a GPU: docs/decisions/0013-packed-rows.md. At every
start models/attention.py compares them with the reference and takes one only when it agrees.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from burnish.models.attention import Rules
from burnish.models.rows import Spans


def varlen(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    """torch.nn.attention.varlen over the cumulative lengths: fp16 and bf16, no bias, soft cap or dropout.

    Shapes: query (1, heads, Nq, D); key, value (1, heads, Nk, D) -> (1, Nq, heads, D).
    """
    from torch.nn.attention.varlen import varlen_attn

    reach = -1 if rules.window is None else rules.window - 1
    answer = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1).contiguous(),
        value[0].transpose(0, 1).contiguous(),
        spans.query_ends,
        spans.key_ends,
        max(spans.queries),
        max(spans.keys),
        scale=rules.scale,
        window_size=(reach, 0 if rules.causal else reach),
        # the answer for a row must not depend on how long its neighbours are
        num_splits=1,
    )
    return cast(Tensor, answer)[None]


def flex(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    """Compiled flex attention with one block mask a batch, shared by all layers of the same rules.

    Shapes: as `varlen`.
    """
    answer = _compiled()(query, key, value, block_mask=_block_mask(spans, rules), scale=rules.scale)
    return cast(Tensor, answer).transpose(1, 2)


@cache
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


def _block_mask(spans: Spans, rules: Rules) -> object:
    from torch.nn.attention.flex_attention import create_block_mask

    wanted = (rules.causal, rules.window)
    if wanted in spans.masks:
        return spans.masks[wanted]
    row_of_query, row_of_key = spans.query_rows, spans.key_rows
    query_starts, key_starts = spans.query_ends[row_of_query], spans.key_ends[row_of_key]

    def allowed(_batch: Tensor, _head: Tensor, at: Tensor, to: Tensor) -> Tensor:
        inside = row_of_query[at] == row_of_key[to]
        behind = (at - query_starts[at]) - (to - key_starts[to])
        if rules.causal:
            inside = inside & (behind >= 0)
        if rules.window is not None:
            inside = inside & (behind.abs() < rules.window)
        return inside

    spans.masks[wanted] = create_block_mask(
        allowed, None, None, sum(spans.queries), sum(spans.keys), device=str(spans.device)
    )
    return spans.masks[wanted]
