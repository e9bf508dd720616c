"""Encoder-decoders that read one text and write another: T5 (Flan-T5 too), mT5, BART, Pegasus."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForSeq2SeqLM

MODEL_TYPES = frozenset({"t5", "mt5", "bart", "pegasus"})
AUTO: Any = AutoModelForSeq2SeqLM
PEFT_TASK: str = "SEQ_2_SEQ_LM"

_T5 = r"(encoder|decoder)\.block\..*\.(q|k|v|o|wi|wi_0|wi_1|wo)"
_BART = r"model\.(encoder|decoder)\.layers\..*(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"


def lora_targets(model_type: str) -> str:
    """A regular expression over the names of every linear layer of the blocks."""
    return _T5 if model_type in ("t5", "mt5") else _BART


def longest(config: Any) -> int | None:
    """The most tokens of the source, and of the answer; None where places are relative."""
    if config.model_type in ("t5", "mt5"):
        return None
    return int(config.max_position_embeddings)
