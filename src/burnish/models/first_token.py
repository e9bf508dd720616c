"""The encoder stack when only the first token is read: its last layer works at that position alone.

A classifier of the BERT line reads one hidden state of the last layer. Keys and values of that layer need every
token; its queries, its output projection and its feed-forward block, ten twelfths of the layer's weights, need
one. The answer is the stock pass's, and so is every gradient.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

MODEL_TYPES = frozenset({"bert", "roberta", "electra", "distilbert"})


def first_token(stem: nn.Module, ids: Tensor, mask: Tensor | None) -> Tensor:
    """The last hidden state at the first position, (R, 1, H), of a base model in `MODEL_TYPES`.

    Shapes: ids (R, T); mask (R, T), nonzero where a token is, None when nothing is padded.
    """
    part = cast(Any, stem)
    hidden_RTH = part.embeddings(ids)
    if hasattr(part, "embeddings_project"):
        hidden_RTH = part.embeddings_project(hidden_RTH)
    distilled = part.config.model_type == "distilbert"
    layers = part.transformer.layer if distilled else part.encoder.layer
    keep_R11T = None if mask is None else mask.bool()[:, None, None, :]
    for layer in layers[:-1]:
        hidden_RTH = layer(hidden_RTH, keep_R11T)
    finish = _distilbert_layer if distilled else _bert_layer
    return finish(layers[-1], hidden_RTH, keep_R11T)


def _bert_layer(layer: Any, hidden_RTH: Tensor, keep_R11T: Tensor | None) -> Tensor:
    first_R1H = hidden_RTH[:, :1]
    inner = layer.attention.self
    context = _attend(
        inner,
        inner.query(first_R1H),
        inner.key(hidden_RTH),
        inner.value(hidden_RTH),
        keep_R11T,
    )
    attended_R1H = layer.attention.output(context, first_R1H)
    return layer.output(layer.intermediate(attended_R1H), attended_R1H)


def _distilbert_layer(layer: Any, hidden_RTH: Tensor, keep_R11T: Tensor | None) -> Tensor:
    first_R1H = hidden_RTH[:, :1]
    inner = layer.attention
    context = _attend(
        inner,
        inner.q_lin(first_R1H),
        inner.k_lin(hidden_RTH),
        inner.v_lin(hidden_RTH),
        keep_R11T,
    )
    attended_R1H = layer.sa_layer_norm(inner.out_lin(context) + first_R1H)
    return layer.output_layer_norm(layer.ffn(attended_R1H) + attended_R1H)


def _attend(
    inner: Any, query_R1H: Tensor, key_RTH: Tensor, value_RTH: Tensor, keep_R11T: Tensor | None
) -> Tensor:
    def heads(states: Tensor) -> Tensor:
        return states.unflatten(-1, (-1, inner.attention_head_size)).transpose(1, 2)

    context = scaled_dot_product_attention(
        heads(query_R1H),
        heads(key_RTH),
        heads(value_RTH),
        attn_mask=keep_R11T,
        dropout_p=inner.dropout.p if inner.training else 0.0,
    )
    return context.transpose(1, 2).flatten(-2)
