"""Models that do not answer but look as if they did, named: one text for everything, copies, texts that never end.

Shape legend: R rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from burnish.evaluate.metrics.conduct import is_copy, repetition
from burnish.evaluate.scored import BoolArray
from burnish.evaluate.written import Written

Fault = Literal["same-text", "copies-prompt", "never-stops", "empty", "repeats"]
# Named from one row in twenty on: below that the worst rows of the report show it. Our choice.
NAMED_FRACTION = 0.05
# One text on a fifth of the rows is still what a model with few good answers does. Our choice.
NAMED_SAME_FRACTION = 0.2
# Right answers do some of this too (a support desk has few replies): only what is done twice as often is a fault.
_TIMES_THE_REFERENCES = 2.0
# Half of the four-word runs said before. Source: LOG.md 2026-11-23, none of 8,087 references of mts_dialog, medquad,
# legal_summ and scitldr reaches it.
_REPEATS = 0.5


@dataclass(frozen=True, slots=True)
class Degenerate:
    """One fault with how many of n rows have it, how many right answers have it too, and a row to look at."""

    fault: Fault
    rows: int
    n: int
    references: int
    where: str
    sentence: str


def degenerate(written: Written, *, where: Sequence[str]) -> tuple[Degenerate, ...]:
    """What makes a reader doubt every other number, worst first; nothing where nothing stands out.

    Counted are rows, each beside the first right answer of the same row: a fault is named when it is on at least 5% of
    the rows (one text for all: 20%), on two rows or more, and twice as often as among the right answers.
    `where` are the rows' places. Where copying is the task (a span of a context), score without prompts.

    Example:
        >>> from burnish.evaluate.written import written_from
        >>> same = written_from(["I do not know."] * 9, [[f"answer {n}"] for n in range(9)])
        >>> degenerate(same, where=[f"test.csv:{n}" for n in range(9)])[0].sentence
        'it writes the same text for different rows: "I do not know." on 9 of 9 (test.csv:0)'
    """
    firsts = [row[0] if row else "" for row in written.references]
    commonest, _ = Counter(text.strip() for text in written.texts).most_common(1)[0]
    alike = max(Counter(map(str.strip, firsts)).values())
    texts, prompts = written.texts, written.prompts
    found: list[tuple[Fault, BoolArray, int, float, str]] = [
        (
            "same-text",
            _where(text.strip() == commonest for text in texts),
            alike if alike > 1 else 0,
            NAMED_SAME_FRACTION,
            f"it writes the same text for different rows: {_quoted(commonest)} on",
        ),
        (
            "copies-prompt",
            _where(is_copy(text, of=prompt) for text, prompt in zip(texts, prompts, strict=True)),
            sum(is_copy(text, of=prompt) for text, prompt in zip(firsts, prompts, strict=True)),
            NAMED_FRACTION,
            "it copies the prompt, or a piece of it, on",
        ),
        (
            "never-stops",
            ~written.finished_R,
            0,
            NAMED_FRACTION,
            "it does not stop by itself but at the limit of new tokens on",
        ),
        (
            "empty",
            _where(not text.strip() for text in texts),
            sum(not text.strip() for text in firsts),
            NAMED_FRACTION,
            "it writes nothing on",
        ),
        (
            "repeats",
            _where(repetition(text) > _REPEATS for text in texts),
            sum(repetition(text) > _REPEATS for text in firsts),
            NAMED_FRACTION,
            "it repeats itself (more than half of its four-word runs stood before) on",
        ),
    ]
    rows = len(written)
    named = [
        Degenerate(
            fault=fault,
            rows=int(bad_R.sum()),
            n=rows,
            references=theirs,
            where=where[int(np.argmax(bad_R))],
            sentence=_sentence(says, int(bad_R.sum()), rows, theirs, where[int(np.argmax(bad_R))]),
        )
        for fault, bad_R, theirs, least, says in found
        if bad_R.sum() >= max(2, least * rows)
        and bad_R.sum() >= _TIMES_THE_REFERENCES * theirs
        # a model that writes nothing is named for that, not for writing the same
        and not (fault == "same-text" and not commonest)
    ]
    return tuple(sorted(named, key=lambda one: -one.rows))


def distinct_answers(written: Written) -> int:
    """How many different texts there are, white space at the ends aside.

    It has no interval: how many there would be on other rows is no mean over these.
    """
    return len({text.strip() for text in written.texts})


def _where(flags: Iterable[bool]) -> BoolArray:
    return np.fromiter(flags, dtype=np.bool_)


def _quoted(text: str) -> str:
    short = " ".join(text.split())
    return f'"{short}"' if len(short) <= 60 else f'"{short[:59].rstrip()}…"'


def _sentence(says: str, bad: int, rows: int, theirs: int, place: str) -> str:
    also = f"; of the right answers, {theirs}" if theirs else ""
    return f"{says} {bad:,} of {rows:,}{also} ({place})"
