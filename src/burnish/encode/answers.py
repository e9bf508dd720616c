"""A prompt and its answer become one row: tokenised together, marked by character, asked for the answer alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from burnish.encode.pack import causal_row
from burnish.records.encoding import TokenRow

# Who writes the marks at the ends of a row: the template that rendered the text, or the tokenizer.
Marks = Literal["template", "tokenizer"]


@dataclass(frozen=True, slots=True)
class Answered:
    """A row for a decoder. `straddles`: one token holds the end of the prompt and the start of the answer.

    Such a token carries no loss, since a server's prompt never ends in the middle of it; callers report it.
    """

    row: TokenRow
    straddles: bool


def answered(
    tokenizer: Tokenizer, text: str, *, answer_at: int, marks: Marks, weight: float = 1.0
) -> Answered:
    """The row of a whole text whose answer starts at character `answer_at`; the stop token belongs to the answer.

    The text is tokenised once: prompt and answer apart would give other tokens where they meet. A template has
    written its own first token already, so nothing is added to its text. A token is asked for because of where
    it stands, never by its id, so a stop token that is also the padding token is still learnt.
    """
    found = tokenizer.encode(text, add_special_tokens=marks == "tokenizer")
    offsets_T2 = np.asarray(found.offsets, dtype=np.int64).reshape(-1, 2)
    starts_T, ends_T = offsets_T2[:, 0], offsets_T2[:, 1]
    inside_T = (starts_T >= answer_at) & (ends_T > starts_T)
    straddles = bool(((starts_T < answer_at) & (ends_T > answer_at)).any())
    # marks that the tokenizer added cover no character: the one behind the text is the stop token
    added_T = ends_T == starts_T
    behind_T = np.arange(len(ends_T)) > np.flatnonzero(~added_T).max(initial=-1)
    row = causal_row(
        np.asarray(found.ids, dtype=np.int64),
        answer_T=inside_T | (added_T & behind_T),
        weight=weight,
    )
    return Answered(row, straddles)
