"""Decoders that write text behind what they read: GPT-2, LLaMA (SmolLM too), Mistral, Qwen, Gemma, Phi."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForCausalLM

MODEL_TYPES = frozenset(
    {"gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi"}
)
AUTO: Any = AutoModelForCausalLM
PEFT_TASK: str = "CAUSAL_LM"

_GATED = r"(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
_LORA_TARGETS = {
    "gpt2": r"transformer\.h\..*(c_attn|c_proj|c_fc)",
    "phi": r"model\.layers\..*(q_proj|k_proj|v_proj|dense|fc1|fc2)",
}


def lora_targets(model_type: str) -> str:
    """A regular expression over the names of every linear layer of the blocks (Dettmers et al. 2023, section 4)."""
    return _LORA_TARGETS.get(model_type, rf"model\.layers\..*{_GATED}")


def longest(config: Any) -> int | None:
    """The most tokens of a prompt and its answer together."""
    return int(config.max_position_embeddings)
