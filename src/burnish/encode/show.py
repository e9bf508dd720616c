"""What the model sees, for people: the pieces of a row's text with the tokens they became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from burnish.encode.tokenise import Tokeniser
from burnish.records.encoding import Encoding

TokenRole = Literal["text", "special", "supervised", "dropped"]


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token: its id, the vocabulary's spelling, the characters it covers and its role.

    Roles: "supervised" carries the loss (the pooled token), "special" was added by the tokenizer,
    "dropped" stands once for everything truncation removed (id -1).
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
