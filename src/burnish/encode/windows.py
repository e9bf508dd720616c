"""A question and its context become windows a model can read, and each token keeps its place in the original context.

A context longer than a model reads is cut into windows that overlap. The question and the tokenizer's own marks stand
in every window, exactly where its post-processor puts them for a pair of texts.

Source: Devlin et al. (2019), BERT, section 4.2 and their published run_squad: overlapping windows, and each token
belongs to the window that shows most of what stands around it.

Shape legend: T tokens of one window, C tokens of one context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer

from burnish.encode.tokenise import model_limit, read_tokenizer
from burnish.errors import fail

# Neighbouring windows share this part of their context tokens. Source: Devlin et al. 2019 move 128 of 384 tokens on and
# share the rest; a third costs half as many windows, and an answer of 30 tokens still stands whole in one of them.
_OVERLAP = 1 / 3
# A window must show at least this many tokens of the context. Our choice: fewer hold hardly any answer.
LEAST_ROOM = 8
_CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class PairTokeniser:
    """A tokenizer for question and context, and how many tokens a window may have."""

    tokenizer: Tokenizer
    max_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One window of one row: its tokens, and where in the row's context the tokens of the context stand.

    Shapes: ids_T, types_T int32; offsets_T2 int32 (start, end) in characters of the original context, (0, 0) outside
    of [first, last), the tokens that are of the context. Tokens [own_first, own_last) belong to this window and to no
    other: an answer that starts in them is looked for here. `left` tokens of the context stand before its
    first. The first token of all stands for "no answer".
    """

    row: int
    ids_T: NDArray[np.int32]
    types_T: NDArray[np.int32]
    offsets_T2: NDArray[np.int32]
    first: int
    last: int
    own_first: int
    own_last: int
    left: int

    def __len__(self) -> int:
        return len(self.ids_T)


def load_pair_tokeniser(folder: Path, *, max_tokens: int) -> PairTokeniser:
    """The tokenizer of a model folder for pairs of texts; the length is the smaller of `max_tokens` and the model's.

    Raises: tokenizer-missing, tokenizer-broken, tokenizer-unmarked.
    """
    tokenizer, (config,) = read_tokenizer(folder, beside=("config.json",))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    probe = tokenizer.encode("a", "b")
    if not probe.sequence_ids or probe.sequence_ids[0] is not None:
        raise fail(
            "tokenizer-unmarked",
            "puts no token of its own before a pair of texts",
            where="tokenizer.json",
            expected="a post_processor that puts the model's first token (as [CLS]) there: it stands for no answer",
            fix="save the tokenizer that belongs to the model into the folder",
        )
    limit = model_limit(config)
    return PairTokeniser(tokenizer, min(max_tokens, limit) if limit else max_tokens)


def windows_of(
    tokeniser: PairTokeniser,
    pairs: Sequence[tuple[str, str]],
    *,
    places: Sequence[str],
) -> list[tuple[Window, ...]]:
    """The windows of each pair (question, context), in the order of the context; at least one a pair.

    Every token of a context belongs to exactly one window. `places` name the pairs in messages.

    Raises: question-too-long naming the pair.
    """
    found: list[tuple[Window, ...]] = []
    for start in range(0, len(pairs), _CHUNK_ROWS):
        chunk = [*pairs[start : start + _CHUNK_ROWS]]
        for row, encoded in enumerate(tokeniser.tokenizer.encode_batch(chunk), start):
            found.append(
                _cut(
                    encoded,
                    row,
                    chunk[row - start][1],
                    most=tokeniser.max_tokens,
                    where=places[row],
                )
            )
    return found


def _cut(
    encoded: RustEncoding, row: int, text: str, *, most: int, where: str
) -> tuple[Window, ...]:
    """All windows of one pair, encoded whole: what is not of the context stands in each of them."""
    parts = np.array([-1 if part is None else part for part in encoded.sequence_ids])
    ids = np.asarray(encoded.ids, dtype=np.int32)
    types = np.asarray(encoded.type_ids, dtype=np.int32)
    offsets = np.asarray(encoded.offsets, dtype=np.int32).reshape(-1, 2)
    context = np.flatnonzero(parts == 1)
    size = len(context)
    # an empty context has no place of its own, and nothing to put there
    begin = int(context[0]) if size else len(ids)
    offsets = np.where((parts == 1)[:, None], offsets, 0).astype(np.int32)
    offsets[context, 1] = _ends_with_marks(offsets[context], text)
    room = most - (len(ids) - size)
    if room < min(LEAST_ROOM, size):
        question = int((parts == 0).sum())
        raise fail(
            "question-too-long",
            f"the question has {question} tokens, which leaves {max(room, 0)} of {most} to the context",
            where=where,
            expected=f"a question that leaves room for {LEAST_ROOM} tokens of the context",
            fix="raise max_tokens in recipe.toml, or shorten the question",
        )
    starts = _starts(size, room)
    made: list[Window] = []
    for at, left in enumerate(starts):
        right = min(left + room, size)
        # between two windows each keeps the tokens it shows more of the surroundings of
        own_left = left if at == 0 else _border(left, min(starts[at - 1] + room, size))
        own_right = right if at == len(starts) - 1 else _border(starts[at + 1], right)
        keep = np.concatenate(
            [np.arange(begin), begin + np.arange(left, right), np.arange(begin + size, len(ids))]
        )
        made.append(
            Window(
                row=row,
                ids_T=ids[keep],
                types_T=types[keep],
                offsets_T2=offsets[keep],
                first=begin,
                last=begin + right - left,
                own_first=begin + own_left - left,
                own_last=begin + own_right - left,
                left=left,
            )
        )
    return tuple(made)


def _ends_with_marks(offsets_C2: NDArray[np.int32], text: str) -> NDArray[np.int32]:
    """The tokens' ends, moved over marks on their last letter, and letters composed with it, that no token holds.

    A normaliser that composes or drops marks gives the token of "e" + accent the place of the "e" alone, and an answer
    would be cut between a letter and its accent (tokenizers 0.22, NFC, NFKC and BertNormalizer; 2026-11-23).
    """
    ends_C = offsets_C2[:, 1].copy()
    nexts_C = np.append(offsets_C2[1:, 0], len(text))
    # a token without width stands for nothing in the text, and has no letter to carry a mark
    for at in np.flatnonzero((ends_C < nexts_C) & (ends_C > offsets_C2[:, 0])).tolist():
        end, most = int(ends_C[at]), int(nexts_C[at])
        while end < most and text[end] > "\u02ff" and _joins(text[end - 1], text[end]):
            end += 1
        ends_C[at] = end
    return ends_C


def _joins(letter: str, mark: str) -> bool:
    """Whether the second is a mark on the first, or one letter with it as half-width kana and their voicing are."""
    if category(mark).startswith("M"):
        return True
    return len(normalize("NFKC", letter + mark)) <= len(normalize("NFKC", letter))


def _starts(size: int, room: int) -> list[int]:
    """The first context token of each window: as few windows as the overlap allows, spread evenly.

    Example:
        >>> _starts(10, 10), _starts(20, 9)
        ([0], [0, 6, 11])
    """
    if size <= room:
        return [0]
    step = max(1, room - int(room * _OVERLAP))
    count = 1 + -(-(size - room) // step)
    return [round(at * (size - room) / (count - 1)) for at in range(count)]


def _border(left: int, right: int) -> int:
    """The token that divides what two neighbouring windows share."""
    return (left + right + 1) // 2


def context_offsets(windows: Sequence[Window]) -> NDArray[np.int32]:
    """Where every token of a row's context stands, (C, 2), from all its windows."""
    return np.concatenate([one.offsets_T2[one.own_first : one.own_last] for one in windows])


def answer_tokens(
    windows: Sequence[Window], context: str, start: int, end: int
) -> tuple[int, int] | None:
    """The first and the last of the context's tokens that hold a visible character of [start, end); None where none does.

    What they hold may begin before the answer or end after it: a token is not cut.
    """
    starts_C, ends_C = trimmed(context_offsets(windows), context)
    held = np.flatnonzero((starts_C < end) & (ends_C > start) & (ends_C > starts_C))
    return (int(held[0]), int(held[-1])) if len(held) else None


def targets_of(windows: Sequence[Window], tokens: tuple[int, int]) -> list[tuple[int, int]]:
    """In each window the tokens that begin and end the answer; (0, 0), no answer, where it does not stand whole."""
    first, last = tokens
    return [
        (one.first + first - one.left, one.first + last - one.left)
        if one.left <= first and last < one.left + one.last - one.first
        else (0, 0)
        for one in windows
    ]


def trimmed(
    offsets_T2: NDArray[np.int32], context: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where each token starts and ends in the context without the blanks around it, which some tokenizers count in."""
    starts_T, ends_T = offsets_T2[:, 0].copy(), offsets_T2[:, 1].copy()
    for at, (start, end) in enumerate(offsets_T2.tolist()):
        if end > start and (context[start].isspace() or context[end - 1].isspace()):
            text = context[start:end]
            kept = text.strip()
            left = start + len(text) - len(text.lstrip()) if kept else end
            starts_T[at], ends_T[at] = left, left + len(kept)
    return starts_T, ends_T
