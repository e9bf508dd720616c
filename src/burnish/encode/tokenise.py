"""Text becomes token ids with the Rust tokenizer, in batches; what truncation takes is counted, never silent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from burnish.errors import fail
from burnish.records.encoding import Encoding

# Rows of one Rust call: bounds memory while 300,000-character rows pass through.
_CHUNK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Tokeniser:
    """A tokenizer with the length this task may use. `pad_id` only fills the model's rectangles."""

    tokenizer: Tokenizer
    max_tokens: int
    special_tokens: int
    pad_id: int


def model_limit(config: dict[str, object]) -> int | None:
    """The most tokens a model with this config.json takes, None where positions are unbounded.

    RoBERTa-like models number positions from pad_token_id + 1, so that many fewer fit.

    Example:
        >>> model_limit({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1})
        512
    """
    limit = config.get("max_position_embeddings")
    if not isinstance(limit, int) or limit <= 0:
        return None
    if config.get("model_type") in {"roberta", "xlm-roberta", "camembert"}:
        pad = config.get("pad_token_id")
        return limit - (pad if isinstance(pad, int) else 1) - 1
    return limit


def read_tokenizer(
    folder: Path, *, beside: Sequence[str]
) -> tuple[Tokenizer, tuple[dict[str, object], ...]]:
    """The tokenizer of a model folder as it was saved, and the JSON files beside it that are asked for.

    Raises: tokenizer-missing, tokenizer-broken.
    """
    try:
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
        found = [json.loads((folder / name).read_text(encoding="utf-8")) for name in beside]
    except FileNotFoundError as error:
        raise fail(
            "tokenizer-missing",
            f"the model folder has no {Path(error.filename).name}",
            where=folder.name,
            expected=f"tokenizer.json and {' and '.join(beside)} beside the weights",
            fix="save the fast tokenizer into the folder: AutoTokenizer(...).save_pretrained(folder)",
        ) from None
    except Exception as error:  # the Rust library raises bare Exception for a bad file
        if type(error) is not Exception and not isinstance(error, ValueError):
            raise
        raise fail(
            "tokenizer-broken",
            f"cannot be read: {str(error)[:200]}",
            where="tokenizer.json",
            expected="a tokenizer.json written by the tokenizers library",
            fix="download or save the model folder again",
        ) from None
    return tokenizer, tuple(one if isinstance(one, dict) else {} for one in found)


def load_tokeniser(folder: Path, *, max_tokens: int) -> Tokeniser:
    """The tokenizer of a model folder, its own truncation and padding settings put aside.

    The effective length is the smaller of `max_tokens` and the model's limit.

    Raises: tokenizer-missing, tokenizer-broken, tokenizer-unmarked, max-tokens-small.
    """
    tokenizer, (config,) = read_tokenizer(folder, beside=("config.json",))
    limit = model_limit(config)
    effective = min(max_tokens, limit) if limit else max_tokens
    tokenizer.no_padding()
    tokenizer.no_truncation()
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if special == 0:
        # the classifier reads the first token of a row, and an empty text must still have one
        raise fail(
            "tokenizer-unmarked",
            "adds no token of its own to a row",
            where="tokenizer.json",
            expected="a post_processor that puts the model's first token (as [CLS]) before the text",
            fix="save the tokenizer that belongs to the model into the folder",
        )
    if effective <= special:
        raise fail(
            "max-tokens-small",
            f"max_tokens = {effective} leaves no room for text beside {special} special tokens",
            where=folder.name,
            fix="raise max_tokens in the recipe",
        )
    tokenizer.enable_truncation(effective)
    pad = config.get("pad_token_id")
    return Tokeniser(tokenizer, effective, special, pad if isinstance(pad, int) else 0)


def tokenise(tokeniser: Tokeniser, texts: Sequence[str]) -> list[Encoding]:
    """One Encoding per text, in order; `dropped_tokens` and `dropped_characters` say what was cut.

    Shapes: see Encoding.
    """
    encodings: list[Encoding] = []
    for start in range(0, len(texts), _CHUNK_ROWS):
        chunk = list(texts[start : start + _CHUNK_ROWS])
        for text, found in zip(chunk, tokeniser.tokenizer.encode_batch(chunk), strict=True):
            offsets = np.asarray(found.offsets, dtype=np.int32).reshape(-1, 2)
            over = found.overflowing
            dropped_tokens = sum(len(part.ids) - tokeniser.special_tokens for part in over)
            dropped_characters = len(text) - int(offsets[:, 1].max()) if over else 0
            encodings.append(
                Encoding(
                    text=text,
                    ids_T=np.asarray(found.ids, dtype=np.int32),
                    offsets_T2=offsets,
                    dropped_tokens=dropped_tokens,
                    dropped_characters=dropped_characters,
                )
            )
    return encodings


def token_lengths(tokeniser: Tokeniser, texts: Sequence[str]) -> list[int]:
    """Whole token lengths, before truncation, special tokens included."""
    return [len(row) + row.dropped_tokens for row in tokenise(tokeniser, texts)]
