"""Small models made from scratch: for tests, and for learning without any base model to download."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from burnish.models.learner import hush
from burnish.models.learnt_words import TINY_LAYERS, TINY_VOCABULARY, TINY_WIDTH

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_VOCABULARY, _WIDTH, _LAYERS = TINY_VOCABULARY, TINY_WIDTH, TINY_LAYERS
_HEADS = 4
_POSITIONS = 512


def make_tiny(folder: Path, *, texts: Iterable[str], model_type: str, seed: int) -> None:
    """Write a randomly initialised two-layer model and a WordPiece tokenizer learnt from `texts`.

    The folder has the Hugging Face layout and passes the same gate as any base model. Equal texts and
    seed give equal bytes. `model_type` is one of the encoder family's.
    """
    hush()
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    # show_progress would write to the user's terminal
    trainer = trainers.WordPieceTrainer(
        vocab_size=_VOCABULARY, special_tokens=list(_SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    torch.manual_seed(seed)
    model = AutoModel.from_config(_config(model_type, tokenizer.get_vocab_size()))
    model.save_pretrained(folder, safe_serialization=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=_POSITIONS,
    )
    fast.save_pretrained(folder)


def _config(model_type: str, vocabulary: int) -> PretrainedConfig:
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "intermediate_size": 2 * _WIDTH,
        "max_position_embeddings": _POSITIONS,
        "pad_token_id": 0,
    }
    match model_type:
        case "bert":
            return BertConfig(**shape)
        case "roberta":
            return RobertaConfig(**{**shape, "max_position_embeddings": _POSITIONS + 1})
        case "electra":
            return ElectraConfig(**shape, embedding_size=_WIDTH)
        case "deberta-v2":
            extra: dict[str, Any] = {
                "pooler_hidden_size": _WIDTH
            }  # a keyword of its own in no stub
            return DebertaV2Config(
                **shape, **extra, relative_attention=True, pos_att_type=["p2c", "c2p"]
            )
        case "modernbert":
            return ModernBertConfig(
                **shape,
                bos_token_id=2,
                cls_token_id=2,
                eos_token_id=3,
                sep_token_id=3,
            )
        case _:
            return DistilBertConfig(
                vocab_size=vocabulary,
                dim=_WIDTH,
                n_layers=_LAYERS,
                n_heads=_HEADS,
                hidden_dim=2 * _WIDTH,
                max_position_embeddings=_POSITIONS,
                pad_token_id=0,
            )
