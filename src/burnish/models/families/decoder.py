"""Decoders that write text behind what they read: GPT-2, LLaMA, SmolLM, Mistral, Qwen, Gemma, Phi."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForCausalLM

MODEL_TYPES = frozenset(
    {"gpt2", "llama", "smollm3", "mistral", "qwen2", "qwen3"}
    | {"gemma", "gemma2", "gemma3_text", "phi", "phi3"}
)
AUTO: Any = AutoModelForCausalLM
PEFT_TASK: str = "CAUSAL_LM"

_GATED = r"(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
_LORA_TARGETS = {
    "gpt2": r"transformer\.h\..*(c_attn|c_proj|c_fc)",
    "phi": r"model\.layers\..*(q_proj|k_proj|v_proj|dense|fc1|fc2)",
    "phi3": r"model\.layers\..*(qkv_proj|o_proj|gate_up_proj|down_proj)",
}


def lora_targets(model_type: str) -> str:
    """A regular expression over the names of every linear layer of the blocks (Dettmers et al. 2023, section 4)."""
    return _LORA_TARGETS.get(model_type, rf"model\.layers\..*{_GATED}")


def longest(config: Any) -> int | None:
    """The most tokens of a prompt and its answer together.

    Under LongRoPE (Ding et al. 2024) it is what the model read before it was stretched: one row beyond that changes
    how every position of its batch is turned, so that a row's answer would hang on its neighbours.
    """
    most = int(config.max_position_embeddings)
    turned = getattr(config, "rope_parameters", None) or {}
    # of all layers, or of each type of layer
    kinds = [turned, *(value for value in turned.values() if isinstance(value, dict))]
    stretched = [kind for kind in kinds if kind.get("rope_type") == "longrope"]
    return min([most, *(int(kind["original_max_position_embeddings"]) for kind in stretched)])
