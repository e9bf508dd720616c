"""The encoder stack when only the first token is read: its last layer works at that position alone.

A classifier of the BERT line reads one hidden state of the last layer. Keys and values of that layer need every
token; its queries, its output projection and its feed-forward block, ten twelfths of the layer's weights, need
one. The answer is the stock pass's, and so is every gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from burnish.models.attention import Attend, Rules, body_named
from burnish.models.rows import Rows, Spans
from burnish.models.stacks import embedded, layers_of

MODEL_TYPES = frozenset({"bert", "roberta", "electra", "distilbert"})

# (the layer's attention, queries, keys, values) -> context, in the shape of the queries
_Attend = Callable[[Any, Tensor, Tensor, Tensor], Tensor]


def first_token(stem: nn.Module, ids: Tensor, mask: Tensor | None) -> Tensor:
    """The last hidden state at the first position, (R, 1, H), of a base model in `MODEL_TYPES`.

    Shapes: ids (R, T); mask (R, T), nonzero where a token is, None when nothing is padded.
    """
    part = cast(Any, stem)
    hidden_RTH = part.embeddings(ids)
    if hasattr(part, "embeddings_project"):
        hidden_RTH = part.embeddings_project(hidden_RTH)
    keep_R11T = None if mask is None else mask.bool()[:, None, None, :]
    *lower, last = layers_of(stem)
    for layer in lower:
        hidden_RTH = layer(hidden_RTH, keep_R11T)

    def attend(inner: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        context = scaled_dot_product_attention(
            _heads(inner, query),
            _heads(inner, key),
            _heads(inner, value),
            attn_mask=keep_R11T,
            dropout_p=_dropout(inner),
        )
        return context.transpose(1, 2).flatten(-2)

    return _finish(last, hidden_RTH, hidden_RTH[:, :1], attend)


def first_token_flat(stem: nn.Module, rows: Rows, *, body: str) -> Tensor:
    """The same, (R, 1, H), from rows laid end to end."""
    lengths, device = rows.read.lengths, rows.read.ids.device
    hidden_1NH = embedded(stem, rows.read)
    *lower, last = layers_of(stem)
    own = Attend(body, rows.spans())
    for layer in lower:
        hidden_1NH = layer(hidden_1NH, None, spans=own)
    spans = Spans((1,) * len(lengths), lengths, device)

    def attend(inner: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rules = Rules(inner.attention_head_size**-0.5, dropout=_dropout(inner))
        # one query a row fills no block of a CUDA kernel
        run = body_named("dense" if body == "dense" else "rows")
        heads = _heads(inner, query), _heads(inner, key), _heads(inner, value)
        return run(*heads, spans, rules).flatten(-2)

    first_1RH = hidden_1NH[:, rows.read.starts]
    return _finish(last, hidden_1NH, first_1RH, attend).transpose(0, 1)


def _finish(layer: Any, hidden: Tensor, first: Tensor, attend: _Attend) -> Tensor:
    """A layer's output where `first` is, its keys and values from everywhere."""
    if hasattr(layer, "ffn"):  # DistilBERT
        inner = layer.attention
        context = attend(inner, inner.q_lin(first), inner.k_lin(hidden), inner.v_lin(hidden))
        attended = layer.sa_layer_norm(inner.out_lin(context) + first)
        return layer.output_layer_norm(layer.ffn(attended) + attended)
    inner = layer.attention.self
    context = attend(inner, inner.query(first), inner.key(hidden), inner.value(hidden))
    attended = layer.attention.output(context, first)
    return layer.output(layer.intermediate(attended), attended)


def _heads(inner: Any, states: Tensor) -> Tensor:
    return states.unflatten(-1, (-1, inner.attention_head_size)).transpose(1, 2)


def _dropout(inner: Any) -> float:
    return inner.dropout.p if inner.training else 0.0
