"""What a forgotten row left in other records: its whole text, pieces of it, and words that stood nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from burnish.data.fold import fold
from burnish.data.tombstones import MARK
from burnish.data.wanted import Wanted

_WORD = re.compile(r"\w\w+")
# Shorter ones ("ok", a count of rows) are in every message.
_SHORTEST, _SHORTEST_NUMBER = 4, 6
_AROUND = "\"'`.,;:!?()[]{}<>«»“”„‘’…"


@dataclass(frozen=True, slots=True)
class Erased:
    """`whole` are texts as they are shown (folded), `words` (lower case) stood in forgotten rows and in no other."""

    wanted: Wanted
    whole: frozenset[str]
    words: frozenset[str]

    def is_text(self, text: str) -> bool:
        """Whether a text that some record shows is a forgotten one, or holds a piece that is to go."""
        folded = fold(text)
        return bool(folded) and (folded in self.whole or self.wanted.has_piece(text))

    def text(self, text: str) -> str:
        """A text that is shown for a row, marked when it is forgotten."""
        return MARK if self.is_text(text) else text

    def word(self, name: str) -> str:
        """One word, or a few, shown for many rows, marked when nobody else used it."""
        gone = any(word in self.words for word in words_of(name))
        return MARK if gone or self.is_text(name) else name

    def message(self, text: str) -> str:
        """A sentence of ours that may quote a row: in quotes, and where names, numbers or addresses stand, what only
        forgotten rows had is marked.
        """
        if not text or self.wanted.has_piece(text):
            return MARK if text else text
        quoted = re.sub(r'"[^"]*"', self._quote, text)
        return re.sub(
            r"\S+", lambda found: self._chunk(found) if _names(found[0]) else found[0], quoted
        )

    def remark(self, text: str) -> str:
        """A sentence a person wrote: every word that only forgotten rows had is marked."""
        return MARK if self.is_text(text) else re.sub(r"\S+", self._chunk, text)

    def _quote(self, found: re.Match[str]) -> str:
        inner = found[0][1:-1]
        gone = self.is_text(inner) or self._begins(inner) or words_of(inner) & self.words
        return f'"{MARK}"' if gone else found[0]

    def _begins(self, shown: str) -> bool:
        """Whether it is the beginning of a forgotten text, cut as messages cut long ones."""
        beginning = fold(shown.removesuffix("…"))
        return shown.endswith("…") and any(text.startswith(beginning) for text in self.whole)

    def _chunk(self, found: re.Match[str]) -> str:
        chunk = found[0]
        words = {chunk.strip(_AROUND).casefold(), *words_of(chunk)}
        return MARK if any(_tells(word) and word in self.words for word in words) else chunk


def words_of(text: str) -> set[str]:
    """The words of a text in lower case.

    Example:
        >>> sorted(words_of("Mail Jane.Doe@example.org!"))
        ['doe', 'example', 'jane', 'mail', 'org']
    """
    return set(_WORD.findall(text.casefold()))


def chunks_of(text: str) -> set[str]:
    """The words of a text, and what stands between white space, without marks around it."""
    return words_of(text) | {chunk.strip(_AROUND).casefold() for chunk in text.split()}


def only_there(gone: Iterable[str], others: Iterable[str]) -> frozenset[str]:
    """The words of the first texts that no other text has."""
    words: set[str] = set()
    for text in gone:
        words |= chunks_of(text)
    for text in others:
        if not words:
            break
        words -= chunks_of(text)
    return frozenset(words - {""})


def _tells(word: str) -> bool:
    return len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST)


def _names(chunk: str) -> bool:
    return "@" in chunk or any(one.isdigit() or one.isupper() for one in chunk)
