"""A GGUF file becomes an ordinary model folder: weights unpacked to fp32, tokenizer and chat template carried over.

Three faults of plain loading are put right here. Loaded without `dequantize=True` a model stays marked as quantised and
can be neither trained nor saved. A tokenizer whose splitting rule transformers does not know silently falls back to
GPT-2's, which reads numbers in other pieces than the model learnt. Tensors that have no place in the model are dropped
without a word.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from burnish.errors import fail
from burnish.models.hostile_config import check_config, check_proportion
from burnish.models.hostile_gguf import GgufFacts, check_gguf

# What a published vocabulary does before merging where transformers' reader does not know its name: each digit is a
# token of its own, the rest splits as GPT-2's. Source: the rule "smollm" in llama.cpp's src/llama-vocab.cpp.
_SINGLE_DIGITS = frozenset({"smollm"})


def unpack_gguf(path: Path, into: Path) -> str | None:
    """Write the model of a GGUF file into the empty folder `into`; return the licence it states.

    The header passes models/hostile_gguf.py first; the result still has to pass models/safety.py.

    Raises: base-gguf-broken, base-gguf-unsupported, base-gguf-missing-extra, base-config-bounds, base-config-weights.
    """
    facts = check_gguf(path)
    try:
        import gguf  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise fail(
            "base-gguf-missing-extra",
            "the package gguf is not installed",
            where=path.name,
            fix="python -m pip install 'burnish[gguf]', or use the model as safetensors",
        ) from None
    # the reader draws a bar on the terminal, where one voice speaks
    with contextlib.redirect_stderr(io.StringIO()):
        _convert(path, facts, into)
    _tidy_config(into / "config.json")
    _tidy_tokenizer(into / "tokenizer.json", tokens=int(facts.fields["tokenizer.ggml.tokens"] or 0))
    licence = facts.fields.get("general.license")
    return licence[:80] if isinstance(licence, str) and licence.isprintable() else None


def _convert(path: Path, facts: GgufFacts, into: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from burnish.models.learner import hush

    hush()
    named: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    config = AutoConfig.from_pretrained(path.parent, **named)
    width = facts.fields.get(f"{facts.architecture}.attention.key_length")
    if isinstance(width, int):
        config.head_dim = width  # the reader leaves it out for some architectures
    described = json.loads(config.to_json_string(use_diff=False))
    check_config(described)  # before anything of that size is made
    check_proportion(described, elements=facts.elements)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **named)
    _split_as_learnt(tokenizer, facts)
    auto: Any = AutoModelForCausalLM
    model, told = auto.from_pretrained(
        path.parent,
        config=config,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        output_loading_info=True,
        **named,
    )
    kept = {value.data_ptr() for value in model.parameters()}
    if told["missing_keys"] or told["unexpected_keys"] or len(kept) != len(facts.tensors):
        raise fail(
            "base-gguf-unsupported",
            f"holds {len(facts.tensors)} tensors, and the model takes {len(kept)}",
            where=path.name,
            expected="every tensor of the file in its place",
            fix="use the same model as safetensors: hub:ORG/NAME@REVISION or folder:PATH",
        )
    for mark in ("hf_quantizer", "is_quantized", "quantization_method"):
        model.__dict__.pop(mark, None)
    model.config.__dict__.pop("quantization_config", None)
    model.save_pretrained(into, safe_serialization=True)
    tokenizer.save_pretrained(into)


def _split_as_learnt(tokenizer: Any, facts: GgufFacts) -> None:
    from tokenizers import pre_tokenizers

    if facts.fields.get("tokenizer.ggml.pre") in _SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )


def _tidy_config(path: Path) -> None:
    """Leave out which versions wrote it: the same file gives the same folder."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("transformers_version", "_name_or_path", "_model_name_or_path"):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tidy_tokenizer(path: Path, *, tokens: int) -> None:
    """Take out what the reader's tokenizer class added to the file's own vocabulary: the model has no such token."""
    value = json.loads(path.read_text(encoding="utf-8"))
    added = value["added_tokens"]
    value["added_tokens"] = [token for token in added if token["id"] < tokens]
    if len(value["added_tokens"]) < len(added):
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
