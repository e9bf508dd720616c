"""Answers that fit a JSON schema, token by token; needs the extra `burnish[json]` (xgrammar).

xgrammar compiles a schema against the vocabulary once (0.1 s and less) and then says for each token whether it may come
next. A limit on new tokens can still cut an answer short, so whoever asked validates what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from burnish.errors import fail
from burnish.records.decoding import MOST_SCHEMA_CHARACTERS

if TYPE_CHECKING:  # a server in front of another engine has no torch
    from burnish.models.draw import Mask

# A schema is data from a request: beyond this it is refused before anything compiles it.
_MOST_SCHEMA_BYTES = MOST_SCHEMA_CHARACTERS


def need_json() -> None:
    """Refuse early where answers cannot be held to a schema.

    Raises: decoding-missing-extra.
    """
    if find_spec("xgrammar") is None:
        raise fail(
            "decoding-missing-extra",
            "the package xgrammar is not installed",
            where="JSON schema",
            fix="python -m pip install 'burnish[json]', or take the schema out",
        )


def schema_masks(
    tokenizer: Tokenizer, *, vocabulary: int, stop_ids: Sequence[int]
) -> Callable[[str], Mask]:
    """From the text of a JSON schema to a mask for one answer.

    `vocabulary` counts the language head's tokens. A mask serves one answer: make one for each row.

    Raises: decoding-missing-extra here; schema-refused for a schema that is too large or that xgrammar cannot compile.
    """
    need_json()
    import xgrammar  # pyright: ignore[reportMissingImports]
    from transformers import PreTrainedTokenizerFast

    info = xgrammar.TokenizerInfo.from_huggingface(
        PreTrainedTokenizerFast(tokenizer_object=tokenizer),
        vocab_size=vocabulary,
        stop_token_ids=list(stop_ids),
    )
    compiler = xgrammar.GrammarCompiler(info, max_threads=1)

    def mask_of(text: str) -> Mask:
        grammar = compiler.compile_grammar(_read_grammar(xgrammar, text))
        return _mask(xgrammar, xgrammar.GrammarMatcher(grammar), vocabulary)

    return mask_of


def schema_grammar(text: str) -> str:
    """The grammar of the answers that fit a JSON schema, in the EBNF of xgrammar, for another engine that knows it.

    Raises: decoding-missing-extra; schema-refused.
    """
    need_json()
    import xgrammar  # pyright: ignore[reportMissingImports]

    return str(_read_grammar(xgrammar, text))


def _read_grammar(xgrammar: Any, text: str) -> Any:
    if len(text) > _MOST_SCHEMA_BYTES:
        raise _refused(f"has {len(text)} bytes (at most {_MOST_SCHEMA_BYTES})")
    try:
        # with free white space a model may write blanks without end
        return xgrammar.Grammar.from_json_schema(text, any_whitespace=False)
    except (RuntimeError, ValueError) as error:
        raise _refused(f"cannot be compiled: {str(error)[:160]}") from None


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
        where="JSON schema",
        expected="a JSON schema of objects, lists, texts, numbers and enumerations",
        fix="simplify the schema",
    )
