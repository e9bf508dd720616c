"""For tests: GGUF files of tiny models, written byte by byte as ggml describes them, so that nothing reads its own writing."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def text(value: str) -> bytes:
    """A string of the format."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def field(key: str, value: object) -> bytes:
    """A field with its key: whole numbers are u32, fractions f32."""
    if isinstance(value, bool):
        kind, data = 7, struct.pack("<?", value)
    elif isinstance(value, int):
        kind, data = 4, struct.pack("<I", value)
    elif isinstance(value, float):
        kind, data = 6, struct.pack("<f", value)
    elif isinstance(value, str):
        kind, data = 8, text(value)
    elif isinstance(value, Sequence) and isinstance(value[0], str):
        kind, data = 9, struct.pack("<IQ", 8, len(value)) + b"".join(map(text, value))
    elif isinstance(value, Sequence):
        kind, data = 9, struct.pack(f"<IQ{len(value)}i", 5, len(value), *value)
    else:
        raise TypeError(type(value))
    return text(key) + struct.pack("<I", kind) + data


def gguf_bytes(
    fields: Mapping[str, object], tensors: Mapping[str, tuple[int, tuple[int, ...], bytes]]
) -> bytes:
    """A whole file. A tensor is (type, shape as torch has it, its bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields))
    head += b"".join(field(key, value) for key, value in fields.items())
    body = b""
    for name, (kind, shape, data) in tensors.items():
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += struct.pack("<IQ", kind, len(body))
        body += data + bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + body


def q8_0(values: np.ndarray) -> bytes:
    """Blocks of 32 numbers as one half-precision scale and 32 bytes."""
    blocks = values.reshape(-1, 32).astype(np.float32)
    scale = np.maximum(np.abs(blocks).max(1, keepdims=True) / 127, 1e-8).astype(np.float16)
    whole = np.round(blocks / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
    return b"".join(s.tobytes() + row.tobytes() for s, row in zip(scale, whole, strict=True))


def model_fields(model: Any, *, tokens: Sequence[str], merges: Sequence[str]) -> dict[str, object]:
    """The fields of a tiny LLaMA or Qwen."""
    config = model.config
    name = config.model_type
    return {
        "general.architecture": name,
        "general.license": "apache-2.0",
        f"{name}.block_count": config.num_hidden_layers,
        f"{name}.context_length": config.max_position_embeddings,
        f"{name}.embedding_length": config.hidden_size,
        f"{name}.feed_forward_length": config.intermediate_size,
        f"{name}.attention.head_count": config.num_attention_heads,
        f"{name}.attention.head_count_kv": config.num_key_value_heads,
        f"{name}.attention.key_length": config.head_dim,
        f"{name}.rope.dimension_count": config.head_dim,
        f"{name}.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        f"{name}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{name}.vocab_size": config.vocab_size,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": [3, 3, 3] + [1] * (len(tokens) - 3),
        "tokenizer.ggml.merges": list(merges),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def model_tensors(
    model: Any, *, quantised: bool = False
) -> dict[str, tuple[int, tuple[int, ...], bytes]]:
    """The weights under their names in the format; LLaMA's queries and keys in the order that llama.cpp keeps."""
    config = model.config
    found: dict[str, tuple[int, tuple[int, ...], bytes]] = {}
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        if config.model_type == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            weight = _permuted(weight, heads)
        values = weight.numpy().astype(np.float32)
        packed = quantised and values.ndim == 2
        data = q8_0(values) if packed else values.tobytes()
        found[_gguf_name(name)] = (8 if packed else 0, tuple(values.shape), data)
    return found


def _permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    return weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def _gguf_name(name: str) -> str:
    plain = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in plain:
        return plain[name]
    _, _, number, part = name.split(".", 3)
    stem, _, ending = part.rpartition(".")
    return f"blk.{number}.{_LAYER[stem]}.{ending}"


def write_gguf(path: Path, model: Any, **options: Any) -> Path:
    """A whole GGUF file of a tiny model with a byte-level tokenizer."""
    quantised = options.pop("quantised", False)
    fields = model_fields(model, tokens=options.pop("tokens"), merges=options.pop("merges"))
    fields |= options.pop("fields", {})
    fields = {key: value for key, value in fields.items() if value is not None}
    path.write_bytes(gguf_bytes(fields, model_tensors(model, quantised=quantised)))
    return path
