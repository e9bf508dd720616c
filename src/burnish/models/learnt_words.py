"""A tokenizer learnt from rows remembers their words: here they are taken out again, every other token as it was.

Only `tiny:` models learn their tokenizer from the rows; that of a fetched base model comes from elsewhere and is left.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TOKENIZER_FILE = "tokenizer.json"
TINY_VOCABULARY, TINY_WIDTH, TINY_LAYERS = 4096, 64, 2
_SPLIT = re.compile(r"[\W_]+")


def is_tiny(folder: Path) -> bool:
    """Whether a model folder holds one of our own small models (no published one has this shape)."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    width = config.get("hidden_size", config.get("dim"))
    layers = config.get("num_hidden_layers", config.get("n_layers"))
    small = int(config.get("vocab_size") or 0) <= TINY_VOCABULARY
    return (width, layers) == (TINY_WIDTH, TINY_LAYERS) and small


def pieces_only_in(tokenizer: bytes, gone: Iterable[str], others: Iterable[str]) -> frozenset[str]:
    """The tokens that are part of a word of the first texts and of no word of the others.

    No other text has such a token, so its ids stay what they were when these tokens lose their names.
    """
    vocabulary = _vocabulary(json.loads(tokenizer))
    mine, theirs = _words(gone), _words(others)
    found = {piece for piece in vocabulary if piece.removeprefix("##") in mine}
    return frozenset(piece for piece in found if piece.removeprefix("##") not in theirs)


def without_pieces(tokenizer: bytes, pieces: frozenset[str]) -> bytes:
    """The tokenizer.json with names in the place of those tokens that no text can spell."""
    value = json.loads(tokenizer)
    vocabulary = _vocabulary(value)
    value["model"]["vocab"] = {
        f"[forgotten {number}]" if piece in pieces else piece: number
        for piece, number in vocabulary.items()
    }
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def _vocabulary(value: dict[str, Any]) -> dict[str, int]:
    vocabulary = value.get("model", {}).get("vocab", {})
    return vocabulary if isinstance(vocabulary, dict) else {}


def _words(texts: Iterable[str]) -> str:
    """All words as the tokenizer sees them (lower case, no accents) in one text to look into."""
    words: set[str] = set()
    for text in texts:
        plain = unicodedata.normalize("NFD", text.lower())
        plain = "".join(one for one in plain if unicodedata.category(one) != "Mn")
        words.update(_SPLIT.split(plain))
    return " ".join(sorted(words))
