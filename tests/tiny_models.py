"""For tests: tiny models with random weights of every architecture that may be packed, rows for them, and their loss.

`update_loss` is the one under test: our batch, our forward pass, our loss. `stock_loss` is plain transformers: an
untouched copy, eager attention, every row alone, no padding, no mask, its own logits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    MT5Config,
    PegasusConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    SmolLM3Config,
    T5Config,
)

from burnish.encode.pack import answer_row, causal_row, pack, pack_tokens
from burnish.models.family import family_of
from burnish.models.rows import flat_rows, padded_rows
from burnish.models.stacks import (
    hidden_states,
    padded_hidden_states,
    take_flat_rows,
    why_padded,
)
from burnish.models.token_loss import token_losses
from burnish.records.encoding import Batch, Encoding, IntArray, TokenRow

VOCABULARY, WIDTH, LAYERS, HEADS, POSITIONS, LABELS = 61, 16, 2, 4, 40, 3
CPU = torch.device("cpu")
_BERT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 2 * WIDTH,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "num_labels": LABELS,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_LLAMA: dict[str, Any] = {
    **{key: _BERT[key] for key in tuple(_BERT)[:6]},
    "num_key_value_heads": 2,
    "head_dim": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "attention_dropout": 0.0,
}
_WITHOUT_HEAD = {key: value for key, value in _LLAMA.items() if key != "head_dim"}
_MODERN: dict[str, Any] = {
    **{key: _BERT[key] for key in tuple(_BERT)[:7]},
    "local_attention": 6,
    "global_attn_every_n_layers": 2,
    "num_hidden_layers": 3,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}
_DEBERTA: dict[str, Any] = {
    **_BERT,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 4,
    "pooler_hidden_size": WIDTH,
    "pooler_dropout": 0.0,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
}
_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": WIDTH,
    "d_kv": 4,
    "d_ff": 2 * WIDTH,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
_GEMMA_WINDOW = {
    "sliding_window": 4,
    "query_pre_attn_scalar": 4,
    "layer_types": ["sliding_attention", "full_attention"],
}

# name -> what it is asked ("label", "next" token, "answer" text) and its configuration
SHAPES: dict[str, tuple[str, Callable[[], PretrainedConfig]]] = {
    "bert": ("label", lambda: BertConfig(**_BERT)),
    "roberta": (
        "label",
        lambda: RobertaConfig(
            **{**_BERT, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1}
        ),
    ),
    "electra": ("label", lambda: ElectraConfig(**_BERT, embedding_size=8)),
    "distilbert": (
        "label",
        lambda: DistilBertConfig(
            vocab_size=VOCABULARY,
            dim=WIDTH,
            n_layers=LAYERS,
            n_heads=HEADS,
            hidden_dim=2 * WIDTH,
            max_position_embeddings=POSITIONS,
            num_labels=LABELS,
            dropout=0.0,
            attention_dropout=0.0,
            seq_classif_dropout=0.0,
        ),
    ),
    "modernbert": ("label", lambda: ModernBertConfig(**_MODERN, num_labels=LABELS)),
    "modernbert, mean pooling": (
        "label",
        lambda: ModernBertConfig(**_MODERN, num_labels=LABELS, classifier_pooling="mean"),
    ),
    "deberta-v2": ("label", lambda: DebertaV2Config(**_DEBERTA)),
    "deberta-v2, convolution": (
        "label",
        lambda: DebertaV2Config(**_DEBERTA, conv_kernel_size=3, conv_act="gelu"),
    ),
    "gpt2": (
        "next",
        lambda: GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=POSITIONS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=1,
            eos_token_id=2,
        ),
    ),
    "llama": ("next", lambda: LlamaConfig(**_LLAMA)),
    "mistral": ("next", lambda: MistralConfig(**_LLAMA, sliding_window=None)),
    "mistral, sliding window": ("next", lambda: MistralConfig(**_LLAMA, sliding_window=3)),
    "qwen2": ("next", lambda: Qwen2Config(**{**_LLAMA, "head_dim": 4})),
    "qwen3": ("next", lambda: Qwen3Config(**_LLAMA)),
    "qwen3, sliding window": (
        "next",
        lambda: Qwen3Config(
            **_LLAMA, use_sliding_window=True, sliding_window=3, max_window_layers=1
        ),
    ),
    "phi": (
        "next",
        lambda: PhiConfig(
            **_WITHOUT_HEAD,
            partial_rotary_factor=0.5,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
        ),
    ),
    "phi3": ("next", lambda: Phi3Config(**_WITHOUT_HEAD, resid_pdrop=0.0, embd_pdrop=0.0)),
    "phi3, LongRoPE and sliding window": (
        "next",
        lambda: Phi3Config(
            **{**_WITHOUT_HEAD, "max_position_embeddings": 4 * POSITIONS},
            original_max_position_embeddings=POSITIONS,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0, 1.5],
                "long_factor": [2.0, 8.0],
            },
            sliding_window=3,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
        ),
    ),
    "smollm3": (
        "next",
        lambda: SmolLM3Config(**_WITHOUT_HEAD, no_rope_layer_interval=2),
    ),
    "gemma": ("next", lambda: GemmaConfig(**_LLAMA)),
    "gemma2": ("next", lambda: Gemma2Config(**_LLAMA, **_GEMMA_WINDOW)),
    "gemma3_text": ("next", lambda: Gemma3TextConfig(**_LLAMA, **_GEMMA_WINDOW)),
    "t5": ("answer", lambda: T5Config(**_T5)),
    "t5, gated": (
        "answer",
        lambda: T5Config(**_T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    ),
    "mt5": ("answer", lambda: MT5Config(**_T5, tie_word_embeddings=False)),
    "bart": (
        "answer",
        lambda: BartConfig(
            vocab_size=VOCABULARY,
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=2 * WIDTH,
            decoder_ffn_dim=2 * WIDTH,
            max_position_embeddings=POSITIONS,
            dropout=0.0,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            decoder_start_token_id=2,
        ),
    ),
    "pegasus": (
        "answer",
        lambda: PegasusConfig(
            vocab_size=VOCABULARY,
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=2 * WIDTH,
            decoder_ffn_dim=2 * WIDTH,
            max_position_embeddings=POSITIONS,
            scale_embedding=True,
            dropout=0.0,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        ),
    ),
}
_AUTO = {
    "label": AutoModelForSequenceClassification,
    "next": AutoModelForCausalLM,
    "answer": AutoModelForSeq2SeqLM,
}


@dataclass(frozen=True)
class Row:
    """A made-up row: what is read, what is asked (a label, or which tokens are the answer), and its weight."""

    ids_T: IntArray
    label: int
    answer_T: IntArray
    weight: float


@dataclass(frozen=True)
class Tiny:
    """A model made ready for our forward pass, and an untouched copy with the same weights."""

    name: str
    asked: str
    model: Any
    stock: Any

    @property
    def body(self) -> str | None:
        """The attention body to test with, None where the model needs the padded builder."""
        return None if why_padded(self.model) else "rows"


@cache
def _made(name: str) -> Any:
    asked, config = SHAPES[name]
    torch.manual_seed(5)
    model = _AUTO[asked].from_config(config(), attn_implementation="eager").train()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in key.lower():
                # fresh weights answer almost the same to everything: make tokens and places matter
                weight.normal_(std=0.25)
            elif weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.1)
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_(std=0.5)
    return model


def tiny(name: str, dtype: torch.dtype = torch.float32) -> Tiny:
    """A fresh pair of models of this shape."""
    made = _made(name)
    model, stock = copy.deepcopy(made).to(dtype), copy.deepcopy(made).to(dtype)
    if why_padded(model) is None:
        take_flat_rows(model)
    return Tiny(name, SHAPES[name][0], model, stock)


def rows_of(lengths: Sequence[int], *, seed: int = 0) -> list[Row]:
    """Random rows of these lengths; the answers are of other lengths. Every row has a supervised token.

    A row of one token has no next token, so decoders are given one more.
    """
    random = np.random.default_rng([seed, *lengths])
    return [row_of(length, random) for length in lengths]


def row_of(length: int, random: np.random.Generator) -> Row:
    """One random row of `length` tokens; the padding token may be among them, as in real text."""
    return Row(
        ids_T=random.integers(0, VOCABULARY, length),
        label=int(random.integers(LABELS)),
        answer_T=random.integers(0, VOCABULARY, int(random.integers(1, 9))),
        weight=float(random.uniform(0.5, 2.0)),
    )


def batch_of(asked: str, rows: Sequence[Row]) -> Batch:
    """The rows as one of our batches, in the order given."""
    every = np.arange(len(rows))
    if asked == "label":
        encodings = [
            Encoding("", row.ids_T.astype(np.int32), np.zeros((len(row.ids_T), 2), np.int32))
            for row in rows
        ]
        targets_RL = np.eye(LABELS)[[row.label for row in rows]]
        weights_R = np.array([row.weight for row in rows])
        return pack(encodings, every, targets_RL=targets_RL, weights_R=weights_R)
    token_rows = [token_row(asked, row) for row in rows]
    return pack_tokens(token_rows, every, places=[f"row {place}" for place in every])


def token_row(asked: str, row: Row) -> TokenRow:
    """The row for a decoder (read, then answer) or an encoder-decoder."""
    if asked == "answer":
        return answer_row(row.ids_T, row.answer_T, start_id=0, weight=row.weight)
    whole = np.concatenate([row.ids_T, row.answer_T])
    return causal_row(whole, answer_T=np.arange(len(whole)) >= len(row.ids_T), weight=row.weight)


def position_losses(tiny: Tiny, batch: Batch, *, body: str | None) -> Tensor:
    """Our loss of every supervised position, (S,): packed with that body, or padded with None."""
    model = tiny.model
    if tiny.asked == "label":
        family = family_of(model.config.model_type)
        if body is None:
            rows = padded_rows(batch, pad_id=model.config.pad_token_id, device=CPU)
            pooled_R1H = family.pooled(model, rows.read.ids, rows.read.mask)
        else:
            pooled_R1H = family.pooled_flat(model, flat_rows(batch, device=CPU), body=body)
        targets_S = torch.from_numpy(batch.targets.argmax(1))
        return cross_entropy(family.head(model, pooled_R1H), targets_S, reduction="none")
    if body is None:
        rows = padded_rows(batch, pad_id=model.config.pad_token_id or 0, device=CPU)
        hidden = padded_hidden_states(model, rows)
    else:
        rows = flat_rows(batch, device=CPU)
        hidden = hidden_states(model, rows, body=body)
    return token_losses(model, hidden[rows.supervised_S], torch.from_numpy(batch.targets))


def row_losses(tiny: Tiny, batch: Batch, *, body: str | None) -> Tensor:
    """Our loss of every row, its weight included, (R,)."""
    losses_S = position_losses(tiny, batch, body=body)
    owners_S = torch.from_numpy(batch.owners_S)
    shares_S = losses_S * torch.from_numpy(batch.weights_S).to(losses_S)
    return shares_S.new_zeros(len(batch.rows_R)).index_add(0, owners_S, shares_S)


def update_loss(
    tiny: Tiny, rows: Sequence[Row], *, body: str | None, micro: int | None = None
) -> float:
    """The loss of one update of these rows, `micro` rows a forward pass; gradients are left in the model."""
    tiny.model.zero_grad()
    whole = batch_of(tiny.asked, rows)
    divisor = float(whole.weights_S.sum())
    size = micro or len(rows)
    total = 0.0
    for at in range(0, len(rows), size):
        piece = batch_of(tiny.asked, rows[at : at + size])
        loss = row_losses(tiny, piece, body=body).sum() / divisor
        loss.backward()
        total += float(loss.detach())
    return total


def stock_loss(tiny: Tiny, rows: Sequence[Row]) -> float:
    """The same loss from plain transformers, row by row; gradients are left in `stock`."""
    tiny.stock.zero_grad()
    parts, weights = [], []
    for row in rows:
        ids = torch.from_numpy(row.ids_T)[None]
        if tiny.asked == "label":
            logits = tiny.stock(input_ids=ids).logits
            targets = torch.tensor([row.label])
        elif tiny.asked == "next":
            whole = torch.from_numpy(np.concatenate([row.ids_T, row.answer_T]))[None]
            count = len(row.answer_T)
            logits = tiny.stock(input_ids=whole, use_cache=False).logits[0, -count - 1 : -1]
            targets = whole[0, -count:]
        else:
            targets = torch.from_numpy(row.answer_T)
            read = torch.cat([torch.zeros(1, dtype=torch.long), targets[:-1]])[None]
            logits = tiny.stock(input_ids=ids, decoder_input_ids=read, use_cache=False).logits[0]
        losses = cross_entropy(
            logits.float() if logits.dtype != torch.float64 else logits, targets, reduction="none"
        )
        parts.append((losses * row.weight).sum())
        weights.append(row.weight * len(targets))
    loss = torch.stack(parts).sum() / sum(weights)
    loss.backward()
    return float(loss.detach())


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter's gradient, zeros where it has none."""
    return {
        name: torch.zeros_like(one) if one.grad is None else one.grad.clone()
        for name, one in model.named_parameters()
    }


def embeddings_of(tiny: Tiny) -> list[nn.Module]:
    """The modules that turn token ids into states, the encoder's before the decoder's."""
    if tiny.asked == "answer":
        return [tiny.model.get_encoder().embed_tokens, tiny.model.get_decoder().embed_tokens]
    return [tiny.model.get_input_embeddings()]
