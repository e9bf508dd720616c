"""What the model sees, for people: the pieces of a row's text with the tokens they became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from burnish.encode.fit_prompt import FittedPrompt
from burnish.encode.tokenise import Tokeniser
from burnish.encode.windows import Window
from burnish.records.encoding import Encoding, TokenRow

TokenRole = Literal["text", "special", "supervised", "dropped"]


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token: its id, the vocabulary's spelling, the characters it covers and its role.

    Roles: "supervised" carries the loss (a classifier's pooled token, a written answer's tokens with the stop token),
    "special" was added by the tokenizer or the template, "dropped" stands once for everything truncation removed
    (id -1).
    """

    id: int
    token: str
    text: str
    role: TokenRole


def show(encoding: Encoding, *, tokeniser: Tokeniser) -> Sequence[TokenView]:
    """The row's tokens in order; a last view of role "dropped" when text was cut."""
    views: list[TokenView] = []
    for position, (token_id, (start, end)) in enumerate(
        zip(encoding.ids_T.tolist(), encoding.offsets_T2.tolist(), strict=True)
    ):
        role: TokenRole = "special" if start == end else "text"
        if position == 0:
            role = "supervised"
        spelling = tokeniser.tokenizer.id_to_token(token_id) or ""
        views.append(TokenView(token_id, spelling, encoding.text[start:end], role))
    # counted in tokens: a cut within one character's bytes drops tokens and no whole character
    if encoding.dropped_tokens:
        cut = encoding.text[len(encoding.text) - encoding.dropped_characters :]
        views.append(TokenView(-1, f"({encoding.dropped_tokens} tokens cut)", cut, "dropped"))
    return views


def shown_tokens(row: TokenRow, *, tokenizer: Tokenizer) -> Sequence[TokenView]:
    """The tokens of a row whose target is text, in order: "supervised" are those that the model must say.

    Of an encoder-decoder first what it reads, then the answer. A token of half a character shows as U+FFFD.
    """
    if row.source_T is not None:
        ids = np.concatenate([row.source_T, row.targets_T[row.targets_T >= 0]])
        asked_T = np.arange(len(ids)) >= len(row.source_T)
    else:
        ids = row.ids_T
        # the target stands at the token before
        asked_T = np.concatenate([[False], row.targets_T[:-1] >= 0])
    return _views(ids, asked_T, tokenizer=tokenizer)


def shown_prompt(prompt: FittedPrompt, *, tokenizer: Tokenizer) -> Sequence[TokenView]:
    """The tokens of a prompt that nobody has answered: none carries the loss. Last, what was cut."""
    views = _views(prompt.ids_T, np.zeros(len(prompt.ids_T), dtype=np.bool_), tokenizer=tokenizer)
    return [*views, *shown_cut(prompt.dropped_tokens)]


def shown_window(
    window: Window, target: tuple[int, int] | None, *, tokenizer: Tokenizer
) -> Sequence[TokenView]:
    """The tokens of one window of a question and its context; "supervised" are those from the answer's first to its last.

    Where a window does not show the answer, the target is (0, 0): its first token carries the loss. None: nobody said.
    """
    place_T = np.arange(len(window))
    first, last = target if target is not None else (0, -1)
    return _views(window.ids_T, (place_T >= first) & (place_T <= last), tokenizer=tokenizer)


def shown_cut(dropped_tokens: int) -> list[TokenView]:
    """One view for the tokens that were cut from a prompt; none where none were."""
    if not dropped_tokens:
        return []
    return [TokenView(-1, f"({dropped_tokens} tokens cut)", "", "dropped")]


def _views(
    ids: NDArray[np.signedinteger[Any]], asked_T: NDArray[np.bool_], *, tokenizer: Tokenizer
) -> list[TokenView]:
    special = {
        number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special
    }
    views: list[TokenView] = []
    for token_id, asked in zip(ids.tolist(), asked_T.tolist(), strict=True):
        role: TokenRole = "special" if token_id in special else "text"
        views.append(
            TokenView(
                token_id,
                tokenizer.id_to_token(token_id) or "",
                tokenizer.decode([token_id], skip_special_tokens=False),
                "supervised" if asked else role,
            )
        )
    return views
