"""Small models that write text, made from scratch: for tests, and for learning a plain task without any base model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from burnish.models.learner import hush
from burnish.models.learnt_words import TINY_LAYERS, TINY_VOCABULARY, TINY_WIDTH

# The last two are the marks of the common chat template, so that a built-in one costs one token a mark.
_SPECIAL = ("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
_PAD, _START, _END = 0, 1, 2
_HEADS = 4
_POSITIONS = 1024
_LLAMA_LIKE = frozenset(
    {"llama", "smollm3", "mistral", "qwen2", "qwen3"}
    | {"gemma", "gemma2", "gemma3_text", "phi", "phi3"}
)
# Their configurations know no width of a head: it is the hidden size by the number of heads.
_NO_HEAD_WIDTH = ("phi", "phi3", "smollm3")


def make_tiny_writer(folder: Path, *, texts: Iterable[str], model_type: str, seed: int) -> None:
    """Write a randomly initialised model of two layers and a byte-level BPE tokenizer learnt from `texts`.

    Digits are tokens of their own and every byte has one, so that any text can be read and written. The folder has
    the Hugging Face layout and passes the same gate as any base model. Equal texts and seed give equal bytes.
    """
    hush()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    # show_progress would write to the user's terminal
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_VOCABULARY,
        min_frequency=3,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    marks = {"t5": "$A </s>", "mt5": "$A </s>", "pegasus": "$A </s>", "bart": "<s> $A </s>"}
    if model_type in marks:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=marks[model_type], special_tokens=[("<s>", _START), ("</s>", _END)]
        )
    config = _config(model_type, tokenizer.get_vocab_size())
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    torch.manual_seed(seed)
    model: Any = auto.from_config(config)
    model.save_pretrained(folder, safe_serialization=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)


def _config(model_type: str, vocabulary: int) -> PretrainedConfig:
    width, layers = TINY_WIDTH, TINY_LAYERS
    ids: dict[str, Any] = {
        "vocab_size": vocabulary,
        "pad_token_id": _PAD,
        "bos_token_id": _START,
        "eos_token_id": _END,
    }
    if model_type in _LLAMA_LIKE:
        ids |= {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": _HEADS,
            "num_key_value_heads": _HEADS // 2,
            "intermediate_size": 2 * width,
            "max_position_embeddings": _POSITIONS,
        }
        ids |= {} if model_type in _NO_HEAD_WIDTH else {"head_dim": width // _HEADS}
    elif model_type == "gpt2":
        ids |= {"n_embd": width, "n_layer": layers, "n_head": _HEADS, "n_positions": _POSITIONS}
    elif model_type in ("t5", "mt5"):
        ids |= {
            "d_model": width,
            "d_kv": width // _HEADS,
            "d_ff": 4 * width,
            "num_layers": layers,
            "num_heads": _HEADS,
            "decoder_start_token_id": _PAD,
        }
    else:
        ids |= {
            "d_model": width,
            "encoder_layers": layers,
            "decoder_layers": layers,
            "encoder_attention_heads": _HEADS,
            "decoder_attention_heads": _HEADS,
            "encoder_ffn_dim": 4 * width,
            "decoder_ffn_dim": 4 * width,
            "max_position_embeddings": _POSITIONS,
            "decoder_start_token_id": _END if model_type == "bart" else _PAD,
            "forced_eos_token_id": None,
        }
    return AutoConfig.for_model(model_type, **ids)
