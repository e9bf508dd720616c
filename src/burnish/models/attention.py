"""Attention inside rows laid end to end: one function that transformers' layers call, with several bodies.

The function is registered with transformers under `NAME`. A layer that is called with `spans` attends inside
each row; without them it does what transformers' "sdpa" does, masks included, so that a plain call of the
same model stays right. The layers' masks are skipped by handing the stack `NO_MASK`.

Bodies: "dense" is the reference, one product with a block-diagonal mask, in fp32 or better, that the others
are tested against. "rows" runs neighbours of equal length as one product without padding (CPU, and whatever
the others cannot do). "varlen" and "flex" are torch's CUDA kernels (models/attention_cuda.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from burnish.models.rows import Run, Spans
from burnish.models.shortage import is_shortage

NAME = "burnish_rows"
# Stacks return a mask of four dimensions as it is instead of making their own; with spans nobody reads it.
NO_MASK = torch.ones(1, 1, 1, 1, dtype=torch.bool)
# Up to this many tokens in a row plain products beat torch's fused kernel, which works in blocks of 32 queries.
# Source: our experiment, docs/decisions/0013-packed-rows.md.
_SHORT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """What a layer's attention does beside softmax(QK)V.

    `window` w lets a token see those fewer than w places away (of the past, if causal). `bias` is added to the
    scores: (1, heads, T, T) at least as large as the longest row, the same for every row.
    """

    scale: float
    causal: bool = False
    window: int | None = None
    dropout: float = 0.0
    softcap: float | None = None
    bias: Tensor | None = None


Body = Callable[[Tensor, Tensor, Tensor, Spans, Rules], Tensor]


def dense(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    """The reference: all scores at once, those between rows put to minus infinity; at least fp32.

    Shapes: query (1, heads, Nq, D); key, value (1, heads, Nk, D) -> (1, Nq, heads, D).
    """
    with torch.autocast(query.device.type, enabled=False):
        return _dense(query, key, value, spans, rules)


def _dense(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = _scores(query.to(wide), key.to(wide), rules)
    offset = (_inside(spans.queries, spans.device)[:, None], _inside(spans.keys, spans.device))
    if rules.bias is not None:
        scores = scores + rules.bias[:, :, offset[0], offset[1]]
    same = spans.query_rows[:, None] == spans.key_rows
    allowed = _allowed(*offset, rules=rules)
    same = same if allowed is None else same & allowed
    weights = torch.softmax(scores.masked_fill(~same, float("-inf")), dim=-1)
    return (drop(weights, rules.dropout) @ value.to(wide)).to(query.dtype).transpose(1, 2)


def rows(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    """Each run of equally long rows as one product: no score between rows is ever computed.

    Split once and joined once, so that the backward pass makes no zero-filled copies. Shapes: as `dense`.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # torch's fused CPU kernel is slowest in bf16, and plain bf16 products round every score to 8 bits
        # (40 rows of 26 tokens, forward and backward: fused 45 ms, products 9.9, fused in fp32 10.4)
        with torch.autocast("cpu", enabled=False):
            return _rows(query.float(), key.float(), value.float(), spans, rules).to(query.dtype)
    return _rows(query, key, value, spans, rules)


def _rows(query: Tensor, key: Tensor, value: Tensor, spans: Spans, rules: Rules) -> Tensor:
    runs = spans.runs
    queries = query[0].split([run.tokens for run in runs], dim=1)
    keys = key[0].split([run.key_tokens for run in runs], dim=1)
    values = value[0].split([run.key_tokens for run in runs], dim=1)
    answers = [_run(*parts, rules=rules) for parts in zip(runs, queries, keys, values, strict=True)]
    return (answers[0] if len(answers) == 1 else torch.cat(answers))[None]


def _run(run: Run, query: Tensor, key: Tensor, value: Tensor, *, rules: Rules) -> Tensor:
    query_RHTD = query.unflatten(1, (run.rows, run.length)).transpose(0, 1)
    key_RHTD = key.unflatten(1, (run.rows, run.keys)).transpose(0, 1)
    value_RHTD = value.unflatten(1, (run.rows, run.keys)).transpose(0, 1)
    if _plain_products(query, run, rules):
        answer = _products(query_RHTD, key_RHTD, value_RHTD, rules=rules)
    else:
        answer = scaled_dot_product_attention(
            query_RHTD,
            key_RHTD,
            value_RHTD,
            attn_mask=_mask(run, query, rules=rules),
            is_causal=_needs_no_mask(run, rules) and rules.causal,
            scale=rules.scale,
        )
    return answer.transpose(1, 2).reshape(run.tokens, query.shape[0], value.shape[-1])


def _plain_products(query: Tensor, run: Run, rules: Rules) -> bool:
    """Whether two products and a softmax are the better, or the only, way."""
    must = rules.dropout > 0 or rules.softcap is not None
    return must or (query.device.type == "cpu" and run.keys <= _SHORT_TOKENS)


def _products(query: Tensor, key: Tensor, value: Tensor, *, rules: Rules) -> Tensor:
    length, keys = query.shape[-2], key.shape[-2]
    scores = _scores(query, key, rules)
    if rules.bias is not None:
        scores = scores + rules.bias[:, :, :length, :keys]
    places = torch.arange(length, device=query.device), torch.arange(keys, device=query.device)
    allowed = _allowed(places[0][:, None], places[1], rules=rules)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    wide = torch.promote_types(scores.dtype, torch.float32)
    weights = torch.softmax(scores, dim=-1, dtype=wide).to(value.dtype)
    return drop(weights, rules.dropout) @ value


def _scores(query: Tensor, key: Tensor, rules: Rules) -> Tensor:
    scores = (query * rules.scale) @ key.transpose(-1, -2)
    return scores if rules.softcap is None else torch.tanh(scores / rules.softcap) * rules.softcap


def _needs_no_mask(run: Run, rules: Rules) -> bool:
    return rules.bias is None and (rules.window is None or rules.window >= run.keys)


def _mask(run: Run, query: Tensor, *, rules: Rules) -> Tensor | None:
    if _needs_no_mask(run, rules):
        return None
    queries = torch.arange(run.length, device=query.device)[:, None]
    allowed = _allowed(queries, torch.arange(run.keys, device=query.device), rules=rules)
    if rules.bias is None:
        return allowed
    bias = rules.bias[:, :, : run.length, : run.keys].to(query.dtype)
    return bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))


def _allowed(queries: Tensor, keys: Tensor, *, rules: Rules) -> Tensor | None:
    """Which key a query may see, from their places inside the row; None when every one."""
    behind = queries - keys
    allowed = behind >= 0 if rules.causal else None
    if rules.window is not None:
        near = behind.abs() < rules.window
        allowed = near if allowed is None else allowed & near
    return allowed


def _inside(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.cat([torch.arange(length, device=device) for length in lengths])


def body_named(name: str) -> Body:
    """The body of that name. The CUDA ones are imported when they are asked for."""
    if name in BODIES:
        return BODIES[name]
    from burnish.models.attention_cuda import flex, varlen

    cuda: Mapping[str, Body] = {"flex": flex, "varlen": varlen}
    if name not in cuda:
        raise ValueError(f"no attention body named {name!r}")
    return cuda[name]


BODIES: Mapping[str, Body] = {"dense": dense, "rows": rows}
# Tried in this order at start; the first that agrees is taken. From so many tokens a row on, flex's blocks of 128
# are mostly full; below, varlen wastes none. Source: the kernels' block sizes, not yet measured by us.
_CPU_ORDER = ("rows", "dense")
_CUDA_SHORT = ("varlen", "flex", "rows", "dense")
_CUDA_LONG = ("flex", "varlen", "rows", "dense")
_LONG_TOKENS = 512
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 4e-2}


def choose_body(device: torch.device, dtype: torch.dtype, *, typical_tokens: int) -> str:
    """The first body, in the device's order, that runs forward and backward here and agrees with "dense".

    What works is probed; what is fastest is known from measurements and not timed at start, since two runs
    of one recipe would then differ in their last bits whenever two timings fell the other way.
    """
    order = _CPU_ORDER
    if device.type == "cuda":
        order = _CUDA_LONG if typical_tokens >= _LONG_TOKENS else _CUDA_SHORT
    return next((name for name in order if agrees(name, device, dtype)), "dense")


def agrees(name: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the body of that name runs here, forward and backward, and answers like "dense"."""
    spans = Spans((5, 5, 32), (5, 5, 32), device)
    rules = Rules(scale=32**-0.5)
    made = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, 2, 42, 32, generator=made).to(device, dtype) for _ in range(3)]
    found: list[Tensor] = []
    for body in (name, "dense"):
        leaves = [part.clone().requires_grad_() for part in parts]
        try:
            answer = body_named(body)(leaves[0], leaves[1], leaves[2], spans, rules)
            answer.float().square().sum().backward()
        except (RuntimeError, NotImplementedError, ImportError, ValueError) as error:
            if is_shortage(error):
                raise  # another body would be taken, and with it other bytes
            return False  # this machine, torch or precision has no such kernel
        found.append(torch.cat([answer.flatten(), *(leaf.grad.flatten() for leaf in leaves)]))  # pyright: ignore
    gap = (found[0].float() - found[1].float()).abs().max()
    return bool(gap <= _TOLERANCE.get(dtype, 1e-8))


@dataclass(frozen=True, slots=True)
class Attend:
    """What travels with a forward pass down to its attention: the body and where the rows are.

    `cross` are the spans of the cross-attention of an encoder-decoder's decoder.
    """

    body: str
    own: Spans
    cross: Spans | None = None


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    given: Mapping[str, Any],
) -> tuple[Tensor, None]:
    attend: Attend | None = given.get("spans")
    if attend is None:
        return _unpacked(module, query, key, value, mask, given)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    may_be_causal = getattr(getattr(module, "config", None), "is_causal", True)
    causal = bool(module.is_causal) and may_be_causal is not False
    # only a decoder with an encoder beside it has cross spans, and its self-attention is the causal one
    crosses = attend.cross is not None and not causal
    scale = given.get("scaling")
    rules = Rules(
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        causal=causal,
        window=given.get("sliding_window"),
        dropout=given.get("dropout", 0.0),
        softcap=given.get("softcap"),
        bias=None if crosses else given.get("position_bias"),
    )
    spans = attend.cross if crosses and attend.cross is not None else attend.own
    kernel = rules.dropout == 0 and rules.softcap is None and rules.bias is None
    body = attend.body if kernel or attend.body == "dense" else "rows"
    return body_named(body)(query, key, value, spans, rules), None


def _unpacked(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    given: Mapping[str, Any],
) -> tuple[Tensor, None]:
    """A plain call of a model that was made ready for packed rows: transformers' own attention."""
    if given.get("softcap") is None:
        return sdpa_attention_forward(module, query, key, value, mask, **given)
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    rules = Rules(given["scaling"], softcap=given["softcap"])
    scores = _scores(query, key, rules)
    if mask is None and query.shape[2] > 1 and module.is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        # not minus infinity: padding far behind a window sees nothing at all, and its answer must be a number
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = drop(torch.softmax(scores, dim=-1), given.get("dropout", 0.0))
    return (weights @ value).transpose(1, 2), None


# transformers hands on whatever keywords a layer was called with, so its door must take any
AttentionInterface.register(
    NAME,
    lambda module, query, key, value, mask=None, **given: _attend(
        module, query, key, value, mask, given=given
    ),
)
AttentionMaskInterface.register(NAME, sdpa_mask)
