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
_WIDTHS = ("hidden_size", "dim", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")
_SPLIT = re.compile(r"[\W_]+")


def is_tiny(folder: Path) -> bool:
    """Whether a model folder holds one of our own small models (no published one has this shape)."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    width = next((config[key] for key in _WIDTHS if key in config), None)
    layers = next((config[key] for key in _LAYERS if key in config), None)
    small = int(config.get("vocab_size") or 0) <= TINY_VOCABULARY
    return (width, layers) == (TINY_WIDTH, TINY_LAYERS) and small


def pieces_only_in(tokenizer: bytes, gone: Iterable[str], others: Iterable[str]) -> frozenset[str]:
    """The tokens that are part of a word of the first texts and of no word of the others.

    No other text has such a token, so its ids stay what they were when these tokens lose their names.
    """
    value = json.loads(tokenizer)
    vocabulary, byte_level = _vocabulary(value), _is_byte_level(value)
    mine, theirs = _words(gone), _words(others)
    spelt = {piece: _spelt(piece, byte_level=byte_level) for piece in vocabulary}
    found = {piece for piece, word in spelt.items() if word and word in mine}
    return frozenset(piece for piece in found if spelt[piece] not in theirs)


def without_pieces(tokenizer: bytes, pieces: frozenset[str]) -> bytes:
    """The tokenizer.json with names in the place of those tokens that no text can spell."""
    value = json.loads(tokenizer)
    vocabulary = _vocabulary(value)
    value["model"]["vocab"] = {
        f"[forgotten {number}]" if piece in pieces else piece: number
        for piece, number in vocabulary.items()
    }
    merges = value["model"].get("merges")
    if merges:
        # whatever such a token was merged from or into is in no other text either
        value["model"]["merges"] = [pair for pair in merges if not _makes(pair, pieces)]
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def _vocabulary(value: dict[str, Any]) -> dict[str, int]:
    vocabulary = value.get("model", {}).get("vocab", {})
    return vocabulary if isinstance(vocabulary, dict) else {}


def _is_byte_level(value: dict[str, Any]) -> bool:
    return value.get("model", {}).get("type") == "BPE"


def _spelt(piece: str, *, byte_level: bool) -> str:
    """What a token spells, as `_words` writes words; empty when it spells no part of a word."""
    if not byte_level:
        return piece.removeprefix("##")
    try:
        text = bytes(_BYTES[one] for one in piece).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return ""
    word = _plain(text.strip())
    return word if len(word) > 1 else ""


def _makes(pair: Any, pieces: frozenset[str]) -> bool:
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return left in pieces or right in pieces or left + right in pieces


def _byte_spelling() -> dict[str, int]:
    """GPT-2's alphabet of bytes: printable ones stand for themselves, the others for characters from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [one for one in range(256) if one not in plain]
    return {chr(one): one for one in plain} | {chr(256 + at): one for at, one in enumerate(others)}


_BYTES = _byte_spelling()


def _plain(text: str) -> str:
    spread = unicodedata.normalize("NFD", text.lower())
    return "".join(one for one in spread if unicodedata.category(one) != "Mn")


def _words(texts: Iterable[str]) -> str:
    """All words as the tokenizer sees them (lower case, no accents) in one text to look into."""
    words: set[str] = set()
    for text in texts:
        words.update(_SPLIT.split(_plain(text)))
    return " ".join(sorted(words))
