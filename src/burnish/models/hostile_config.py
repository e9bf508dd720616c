"""config.json and tokenizer_config.json, checked before a library acts on them: known type, sane sizes, no paths."""

from __future__ import annotations

import re

from burnish.errors import BurnishError, Problem, fail, nearest

# The architectures of models/families; a test keeps the two lists equal (this file loads without torch).
CLASSIFIER_TYPES = frozenset(
    {"bert", "roberta", "distilbert", "electra", "deberta-v2", "modernbert"}
)
WRITER_TYPES = frozenset(
    {"gpt2", "llama", "smollm3", "mistral", "qwen2", "qwen3"}
    | {"gemma", "gemma2", "gemma3_text", "phi", "phi3"}
    | {"t5", "mt5", "bart", "pegasus"}
)
MODEL_TYPES = CLASSIFIER_TYPES | WRITER_TYPES
# Types that keep a vector for each position; the others' number of positions costs no weights.
_LEARNT_POSITIONS = frozenset(
    {"bert", "roberta", "distilbert", "electra", "deberta-v2", "gpt2", "bart", "pegasus"}
)

# Far above any published model, far below what exhausts a machine. The first three rows are required.
_SIZES = (
    (("hidden_size", "dim", "n_embd", "d_model"), 65_536),
    (("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers"), 512),
    (("vocab_size",), 4_000_000),
)
_MOST_OF = {
    "embedding_size": 65_536,
    "intermediate_size": 262_144,
    "hidden_dim": 262_144,
    "num_attention_heads": 1024,
    "n_heads": 1024,
    "max_position_embeddings": 2_000_000,
    "n_positions": 2_000_000,
    "num_decoder_layers": 512,
    "decoder_layers": 512,
    "num_key_value_heads": 1024,
    "n_head": 1024,
    "num_heads": 1024,
    "encoder_attention_heads": 1024,
    "decoder_attention_heads": 1024,
    "head_dim": 8_192,
    "d_kv": 8_192,
    "n_inner": 262_144,
    "d_ff": 262_144,
    "encoder_ffn_dim": 262_144,
    "decoder_ffn_dim": 262_144,
    "relative_attention_num_buckets": 65_536,
    "max_relative_positions": 1_000_000,
    "position_buckets": 65_536,
    "type_vocab_size": 1024,
    "pooler_hidden_size": 65_536,
    "conv_kernel_size": 64,
    "num_labels": 100_000,  # the library makes a dictionary of this many names
    "_num_labels": 100_000,
} | {key: most for keys, most in _SIZES for key in keys}
_OUTSIDE = re.compile(r"(?:^|[/\\])\.\.[/\\]|[/\\]\.\.$")


def check_config(config: object) -> None:
    """Refuse a config.json of an unknown architecture, without sizes, or with absurd ones.

    Raises: base-config-broken, base-model-type, base-config-bounds.

    Example:
        >>> check_config({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 9})
    """
    if not isinstance(config, dict):
        raise _broken("is not a JSON object")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODEL_TYPES:
        raise fail(
            "base-model-type",
            f"model_type is {str(model_type)[:60]!r}",
            where="config.json",
            expected=f"one of: {', '.join(sorted(MODEL_TYPES))}",
            fix="choose a base model of one of these architectures",
            nearest=nearest(model_type, MODEL_TYPES) if isinstance(model_type, str) else None,
        )
    for keys, _ in _SIZES:
        if all(config.get(key) is None for key in keys):
            raise _broken(f"does not state {' or '.join(keys)}")
    problems = tuple(
        Problem(
            "base-config-bounds",
            f"{key} is {str(config[key])[:40]}",
            where="config.json",
            expected=f"a whole number from {least} to {most}",
            fix="check that this is the config.json the model's publisher meant",
        )
        for key, most in _MOST_OF.items()
        for least in (_least(key),)
        if config.get(key) is not None
        and (type(config[key]) is not int or not least <= config[key] <= most)
    )
    if problems:
        raise BurnishError(problems)
    names = config.get("architectures")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(n, str) and n.isidentifier() for n in names)
    ):
        raise _broken("architectures are not plain class names")
    check_paths(config, name="config.json")


def check_paths(value: object, *, name: str) -> None:
    """Refuse values that point outside the folder, or name a class with more than a plain word.

    Raises: base-config-broken.
    """
    if not isinstance(value, dict):
        raise _broken("is not a JSON object", where=name)
    for key, text in value.items():
        if isinstance(text, str) and _OUTSIDE.search(text):
            raise _broken(f"{key[:60]} points outside the folder", where=name)
    kind = value.get("tokenizer_class")
    if kind is not None and not (isinstance(kind, str) and kind.isidentifier()):
        raise _broken("tokenizer_class is not a plain class name", where=name)


def check_proportion(config: dict[str, object], *, elements: int) -> None:
    """Refuse a small file of `elements` weights whose config would make the loader allocate a giant.

    Raises: base-config-weights.
    """

    def most(*keys: str, default: int = 0) -> int:
        stated = [value for key in keys if type(value := config.get(key)) is int]
        return max(stated, default=default)

    hidden = most("hidden_size", "dim", "n_embd", "d_model")
    inner = most(
        "intermediate_size", "hidden_dim", "n_inner", "d_ff", "encoder_ffn_dim", default=4 * hidden
    )
    heads = most("num_attention_heads", "num_key_value_heads", "num_heads")
    width = heads * most("head_dim", "d_kv") or hidden
    layers = most("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")
    layers += most("num_decoder_layers", "decoder_layers")
    # what goes into and out of attention, one more square, and two rectangles: what every family here has at least
    described = layers * (hidden * min(hidden, width) + 2 * hidden * width + 2 * hidden * inner)
    described += most("vocab_size") * most("embedding_size", default=hidden)
    positions = most("max_position_embeddings", "n_positions")
    learnt = str(config.get("model_type")) in _LEARNT_POSITIONS
    described += hidden * (
        (positions if learnt else 0) + most("type_vocab_size") + 2 * most("position_buckets")
    )
    described += hidden * hidden * most("conv_kernel_size")
    if described > 2 * elements:
        raise fail(
            "base-config-weights",
            f"config.json describes about {described:,} weights, the file holds {elements:,}",
            where="config.json",
            expected="the configuration of these very weights",
            fix="download or save the model folder again",
        )


def _least(key: str) -> int:
    # DeBERTa-v2 has type_vocab_size 0, max_relative_positions -1 and position_buckets -1 for "none"
    return {"type_vocab_size": 0, "conv_kernel_size": 0}.get(
        key, -1 if key in ("max_relative_positions", "position_buckets") else 1
    )


def _broken(what: str, *, where: str = "config.json") -> BurnishError:
    return fail(
        "base-config-broken",
        what,
        where=where,
        expected="the file as transformers' save_pretrained writes it",
        fix="download or save the model folder again",
    )
