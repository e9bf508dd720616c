"""Hidden states of rows laid end to end, for every architecture that was shown to take them.

Most stacks are called as they are: position ids that start again in each row, and `spans` that travel down to
the attention. Three are walked here layer by layer instead, because their own forward pass cannot be told what
it needs: BART's encoder takes no position ids, T5 builds its position bias for the whole line, DeBERTa-v2's
attention does not go through transformers' interface. No class of transformers is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from burnish.models.attention import NAME, NO_MASK, Attend
from burnish.models.rows import Rows, Side, Spans

Stack = Callable[[Any, Rows, str], Tensor]


@dataclass(frozen=True, slots=True)
class Packable:
    """An architecture that takes rows end to end: how its hidden states are made, and what it needs, in words."""

    stack: Stack
    needs: str


def hidden_states(model: nn.Module, rows: Rows, *, body: str) -> Tensor:
    """The last hidden state of every token, (N, H): of the decoder where there is one. `rows` lie flat.

    `model` is a stack or a model with a head on it, of a type in `STACKS`, after `take_flat_rows`.
    """
    return STACKS[_type_of(model)].stack(model, rows, body)[0]


def padded_hidden_states(model: nn.Module, rows: Rows) -> Tensor:
    """The same from rectangles through the stock forward pass, padding included: (R * T, H)."""
    part = cast(Any, model)
    if rows.decoder is None:
        stem = part.base_model
        given: dict[str, Any] = {"use_cache": False} if hasattr(part.config, "use_cache") else {}
        given |= token_types(model, rows.read)
        states = stem(input_ids=rows.read.ids, attention_mask=rows.read.mask, **given)
        return states.last_hidden_state.flatten(0, 1)
    encoded = part.get_encoder()(input_ids=rows.read.ids, attention_mask=rows.read.mask)
    # no mask for the decoder's own padding: it stands behind the answer, where a causal decoder cannot see it
    decoded = part.get_decoder()(
        input_ids=rows.decoder.ids,
        encoder_hidden_states=encoded.last_hidden_state,
        encoder_attention_mask=rows.read.mask,
        use_cache=False,
    )
    return decoded.last_hidden_state.flatten(0, 1)


def take_flat_rows(model: nn.Module) -> None:
    """Make this one model ready for flat rows: its layers call our attention from now on. Plain calls stay right."""
    if _type_of(model) != "deberta-v2":
        cast(Any, model).set_attn_implementation(NAME)


def why_padded(model: nn.Module) -> str | None:
    """Why this model needs rectangles, in a few words; None when it takes rows laid end to end."""
    config = cast(Any, model).config
    if config.model_type not in STACKS:
        return f"{config.model_type} was not shown to take flat rows"
    if config.model_type == "deberta-v2" and getattr(config, "conv_kernel_size", 0) > 0:
        return "its convolution would mix the ends of neighbouring rows"
    if getattr(config, "add_cross_attention", False) and not config.is_encoder_decoder:
        return "its cross-attention has no encoder here"
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        return f"its positions are of type {config.position_embedding_type}"
    return None


def embedded(stem: Any, side: Side) -> Tensor:
    """What enters the first layer of a BERT-like stack, (1, N, H)."""
    kind = _type_of(stem)
    positions = _roberta_positions(stem, side) if kind == "roberta" else side.positions
    hidden = stem.embeddings(input_ids=side.ids, position_ids=positions, **token_types(stem, side))
    return stem.embeddings_project(hidden) if hasattr(stem, "embeddings_project") else hidden


def token_types(model: Any, side: Side) -> dict[str, Tensor]:
    """The keyword that tells a stack which of two texts each token is of; none where it was made to know but one."""
    knows = getattr(model.config, "type_vocab_size", 0) > 1
    return {"token_type_ids": side.types} if knows and side.types is not None else {}


def layers_of(stem: Any) -> nn.ModuleList:
    """The layers of a BERT-like stack."""
    return (stem.transformer if _type_of(stem) == "distilbert" else stem.encoder).layer


def _roberta_positions(stem: Any, side: Side) -> Tensor:
    """RoBERTa counts from pad_token_id + 1 and passes over tokens that are the padding token, in text as well."""
    pad = stem.embeddings.padding_idx
    real = (side.ids != pad).long()
    count = real.cumsum(1)
    ends = torch.tensor([0, *side.lengths], device=side.ids.device).cumsum(0)
    before = torch.cat([count.new_zeros(1), count[0]])[ends[:-1]]
    repeats = torch.tensor(side.lengths, device=side.ids.device)
    return (count - before.repeat_interleave(repeats)) * real + pad


def _type_of(model: Any) -> str:
    return str(model.config.model_type)


def _stem(model: Any, rows: Rows, body: str) -> Tensor:
    """Stacks that take position ids and hand keywords on to their attention."""
    given: dict[str, Any] = {} if _type_of(model) == "modernbert" else {"use_cache": False}
    return model.base_model(
        input_ids=rows.read.ids,
        position_ids=rows.read.positions,
        attention_mask=NO_MASK.to(rows.read.ids.device),
        spans=Attend(body, rows.spans()),
        **given,
        **token_types(model, rows.read),
    ).last_hidden_state


def _bert_like(model: Any, rows: Rows, body: str) -> Tensor:
    stem = model.base_model
    hidden = embedded(stem, rows.read)
    attend = Attend(body, rows.spans())
    for layer in layers_of(stem):
        hidden = layer(hidden, None, spans=attend)
    return hidden


def _deberta(model: Any, rows: Rows, body: str) -> Tensor:
    """Attention in a rectangle of its own, since its scores need every row's relative places; the rest flat."""
    del body
    stem, side = model.base_model, rows.read
    longest, device = max(side.lengths), side.ids.device
    hidden = stem.embeddings(
        input_ids=side.ids, position_ids=side.positions, **token_types(stem, side)
    )
    lengths = torch.tensor(side.lengths, device=device)
    real_RT = torch.arange(longest, device=device) < lengths[:, None]
    full = min(side.lengths) == longest
    encoder = stem.encoder
    relative_embeddings = encoder.get_rel_embedding()
    relative = encoder.get_rel_pos(real_RT[:1, :, None].float())
    for layer in encoder.layer:
        if full:
            grid = hidden.view(len(side.lengths), longest, -1)
        else:
            grid = hidden.new_zeros(*real_RT.shape, hidden.shape[-1])
            grid = grid.masked_scatter(real_RT[:, :, None], hidden)
        seen, _ = layer.attention.self(
            grid,
            real_RT[:, None, None, :],
            relative_pos=relative,
            rel_embeddings=relative_embeddings,
        )
        seen = (seen.flatten(0, 1) if full else seen[real_RT])[None]
        attended = layer.attention.output(seen, hidden)
        hidden = layer.output(layer.intermediate(attended), attended)
    return hidden


def _t5(model: Any, rows: Rows, body: str) -> Tensor:
    attend = Attend(body, rows.spans())
    states = _t5_stack(model.get_encoder(), rows.read, attend, encoded=None)
    decoder = _decoder_side(rows)
    attend = Attend(body, _own(decoder), Spans(decoder.lengths, rows.read.lengths, states.device))
    return _t5_stack(model.get_decoder(), decoder, attend, encoded=states)


def _t5_stack(stack: Any, side: Side, attend: Attend, *, encoded: Tensor | None) -> Tensor:
    hidden = stack.dropout(stack.embed_tokens(side.ids))
    first = stack.block[0].layer[0].SelfAttention
    # for the longest row, not for the whole line; every row takes its own corner of it
    bias = first.compute_bias(max(side.lengths), max(side.lengths), device=side.ids.device)
    # cross-attention has no bias: given as None each layer would make zeros for all pairs of tokens
    nothing = None if encoded is None else bias.new_zeros(1, 1, 1, 1)
    for block in stack.block:
        hidden = block(hidden, None, bias, encoded, None, nothing, spans=attend)[0]
    return stack.dropout(stack.final_layer_norm(hidden))


def _bart(model: Any, rows: Rows, body: str) -> Tensor:
    attend = Attend(body, rows.spans())
    states = _bart_stack(model.get_encoder(), rows.read, attend, encoded=None)
    decoder = _decoder_side(rows)
    attend = Attend(body, _own(decoder), Spans(decoder.lengths, rows.read.lengths, states.device))
    return _bart_stack(model.get_decoder(), decoder, attend, encoded=states)


def _bart_stack(stack: Any, side: Side, attend: Attend, *, encoded: Tensor | None) -> Tensor:
    hidden = stack.embed_tokens(side.ids)
    hidden = hidden + stack.embed_positions(side.ids, position_ids=side.positions[0])
    hidden = stack.layernorm_embedding(hidden)
    hidden = nn.functional.dropout(hidden, p=stack.dropout, training=stack.training)
    return _bart_layers(stack, hidden, attend, encoded=encoded)


def _bart_layers(stack: Any, hidden: Tensor, attend: Attend, *, encoded: Tensor | None) -> Tensor:
    for layer in stack.layers:
        if stack.training and stack.layerdrop > 0 and float(torch.rand([])) < stack.layerdrop:
            continue
        if encoded is None:
            hidden = layer(hidden, None, spans=attend)
        else:
            hidden = layer(hidden, None, encoded, spans=attend)
    return hidden


def _pegasus(model: Any, rows: Rows, body: str) -> Tensor:
    attend = Attend(body, rows.spans())
    states = _pegasus_stack(model.get_encoder(), rows.read, attend, encoded=None)
    decoder = _decoder_side(rows)
    attend = Attend(body, _own(decoder), Spans(decoder.lengths, rows.read.lengths, states.device))
    return _pegasus_stack(model.get_decoder(), decoder, attend, encoded=states)


def _pegasus_stack(stack: Any, side: Side, attend: Attend, *, encoded: Tensor | None) -> Tensor:
    hidden = stack.embed_tokens(side.ids) * stack.embed_scale
    hidden = hidden + stack.embed_positions(side.ids.shape, position_ids=side.positions[0])
    hidden = nn.functional.dropout(hidden, p=stack.dropout, training=stack.training)
    return stack.layer_norm(_bart_layers(stack, hidden, attend, encoded=encoded))


def _decoder_side(rows: Rows) -> Side:
    if rows.decoder is None:
        raise ValueError("an encoder-decoder needs the decoder's tokens in its batch")
    return rows.decoder


def _own(side: Side) -> Spans:
    return Spans(side.lengths, side.lengths, side.ids.device)


_POSITIONS = "position ids start again in each row"
_ROTARY = f"{_POSITIONS}; keys are repeated for grouped queries"
_WINDOW = f"{_POSITIONS}; its sliding window is applied inside each row"

# Every type here is held to tests/laws/test_packed.py: loss and gradients of the stock pass, no row seen by another.
STACKS: Mapping[str, Packable] = {
    "bert": Packable(_bert_like, _POSITIONS),
    "roberta": Packable(
        _bert_like, "positions are counted from its padding token's id in each row"
    ),
    "electra": Packable(_bert_like, _POSITIONS),
    "distilbert": Packable(_bert_like, _POSITIONS),
    "modernbert": Packable(_stem, f"{_WINDOW}, to both sides"),
    "deberta-v2": Packable(
        _deberta,
        "attention in a rectangle of its own, for its relative places; the rest end to end",
    ),
    "gpt2": Packable(_stem, _POSITIONS),
    "llama": Packable(_stem, _ROTARY),
    "mistral": Packable(_stem, _WINDOW),
    "qwen2": Packable(_stem, _WINDOW),
    "qwen3": Packable(_stem, _WINDOW),
    "smollm3": Packable(_stem, f"{_ROTARY}; some layers turn nothing"),
    "phi": Packable(_stem, _ROTARY),
    "phi3": Packable(_stem, _WINDOW),
    "gemma": Packable(_stem, _ROTARY),
    "gemma2": Packable(_stem, f"{_WINDOW}; scores are capped by plain products"),
    "gemma3_text": Packable(_stem, _WINDOW),
    "t5": Packable(_t5, "walked layer by layer; its position bias is made for the longest row"),
    "mt5": Packable(_t5, "walked layer by layer; its position bias is made for the longest row"),
    "bart": Packable(_bart, "walked layer by layer; its encoder takes no position ids of itself"),
    "pegasus": Packable(_pegasus, "walked layer by layer; its positions start again in each row"),
}
