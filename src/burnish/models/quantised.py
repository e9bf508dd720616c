"""Linear layers in 4 bits (NF4), for QLoRA; needs the extra `burnish[qlora]`."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from burnish.errors import fail


def read_quantised() -> dict[str, Any]:
    """What transformers is told so that it holds linear layers in NF4 with fp32 products.

    Source: Dettmers et al. 2023 (QLoRA), double quantisation included.

    Raises: method-missing-extra.
    """
    try:
        import bitsandbytes  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise fail(
            "method-missing-extra",
            "the package bitsandbytes is not installed",
            where='method "qlora"',
            fix="python -m pip install 'burnish[qlora]', or use method lora",
        ) from None
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return {"quantization_config": config}


def quantised(model: nn.Module) -> None:
    """Make a model held in 4 bits safe to train.

    On CPUs with avx512_bf16 one pass without gradients repacks the weights, and training afterwards is silently
    wrong (bitsandbytes 0.50: the gradient's cosine is about 0). The repacking is switched off before any pass.

    Raises: method-not-here when no linear layer could be held in 4 bits.
    """
    layers = _layers(model)
    if not layers:
        raise fail(
            "method-not-here",
            f"no layer of {type(model).__name__} can be held in 4 bits",
            where='method "qlora"',
            expected="a model of linear layers (GPT-2 has convolutions)",
            fix="use method lora",
        )
    for layer in layers:
        cast(Any, layer).support_avx512bf16_for_cpu = False
    for parameter in model.parameters():
        parameter.requires_grad = False


def is_quantised(model: nn.Module) -> bool:
    """Whether layers of this model are held in 4 bits."""
    return bool(_layers(model))


def merge_quantised(model: nn.Module) -> nn.Module:
    """The plain fp32 model whose weights are the 4-bit layers' values with the adapters' added in.

    Adding into 4 bits would round the adapters away; here nothing is rounded a second time.
    """
    from bitsandbytes.functional import (  # pyright: ignore[reportMissingImports]
        dequantize_4bit,
    )
    from peft.tuners.lora.layer import LoraLayer

    plain = cast(Any, model).get_base_model()
    for name, part in [*plain.named_modules()]:
        layer: Any = cast(Any, part).get_base_layer() if isinstance(part, LoraLayer) else part
        if type(layer).__name__ != "Linear4bit" or name.endswith(".base_layer"):
            continue
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
        if isinstance(part, LoraLayer):
            weight = weight + cast(Any, part).get_delta_weight("default")
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.bias is not None)
        linear.weight.data = weight
        if layer.bias is not None:
            linear.bias.data = layer.bias.data.float()
        plain.set_submodule(name, linear.to(weight.device))
    # transformers refuses to save what it still takes for a quantised model
    plain.config.__dict__.pop("quantization_config", None)
    for mark in ("hf_quantizer", "is_loaded_in_4bit", "is_quantized", "quantization_method"):
        plain.__dict__.pop(mark, None)
    return plain


def _layers(model: nn.Module) -> list[nn.Module]:
    # peft's wrapper has the same name and keeps the layer itself in `base_layer`
    return [
        part for part in model.modules()
        if type(part).__name__ == "Linear4bit" and not hasattr(part, "base_layer")
    ]  # fmt: skip
