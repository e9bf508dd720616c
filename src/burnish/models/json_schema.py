"""Answers that fit a JSON schema, token by token; needs the extra `burnish[json]` (xgrammar).

xgrammar compiles a schema against the vocabulary once (0.1 s and less) and then says for each token whether it may come
next. A limit on new tokens can still cut an answer short, so whoever asked validates what came out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import fail
from burnish.models.draw import Mask

# A schema is data from a request: beyond this it is refused before anything compiles it.
_MOST_SCHEMA_BYTES = 64 << 10


def schema_masks(
    folder: Path, *, vocabulary: int, stop_ids: Sequence[int]
) -> Callable[[dict[str, Any]], Mask]:
    """From a JSON schema to a mask for one answer, for the tokenizer of a model folder.

    `vocabulary` counts the language head's tokens. A mask serves one answer: make one for each row.

    Raises: decoding-missing-extra here; schema-refused for a schema that is too large or that xgrammar cannot compile.
    """
    try:
        import xgrammar  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise fail(
            "decoding-missing-extra",
            "the package xgrammar is not installed",
            where="response_format",
            fix="python -m pip install 'burnish[json]', or take the schema out",
        ) from None
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    info = xgrammar.TokenizerInfo.from_huggingface(
        tokenizer, vocab_size=vocabulary, stop_token_ids=list(stop_ids)
    )
    compiler = xgrammar.GrammarCompiler(info, max_threads=1)

    def mask_of(schema: dict[str, Any]) -> Mask:
        text = json.dumps(schema)
        if len(text) > _MOST_SCHEMA_BYTES:
            raise _refused(f"has {len(text)} bytes (at most {_MOST_SCHEMA_BYTES})")
        try:
            # with free white space a model may write blanks without end
            grammar = compiler.compile_json_schema(text, any_whitespace=False)
        except (RuntimeError, ValueError) as error:
            raise _refused(f"cannot be compiled: {str(error)[:160]}") from None
        return _mask(xgrammar, xgrammar.GrammarMatcher(grammar), vocabulary)

    return mask_of


def _mask(xgrammar: Any, matcher: Any, vocabulary: int) -> Mask:
    bits = xgrammar.allocate_token_bitmask(1, vocabulary)
    taken = 0

    def mask(ids: Sequence[int]) -> NDArray[np.int64] | None:
        nonlocal taken
        for token in ids[taken:]:
            matcher.accept_token(token)
        taken = len(ids)
        if not matcher.fill_next_token_bitmask(bits):
            return None
        words = bits.numpy().view(np.uint8)
        return np.flatnonzero(np.unpackbits(words, bitorder="little")[:vocabulary])

    return mask


def _refused(what: str) -> Exception:
    return fail(
        "schema-refused",
        what,
        where="response_format",
        expected="a JSON schema of objects, lists, texts, numbers and enumerations",
        fix="simplify the schema",
    )
