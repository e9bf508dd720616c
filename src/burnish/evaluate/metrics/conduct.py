"""How a model writes, whatever it writes: lengths, empty answers, texts that never end, repetition, copying.

Shape legend: R rows, S terms; "..." is any number of resamples.
"""

from __future__ import annotations

import numpy as np

from burnish.evaluate.script import words
from burnish.evaluate.written import Written
from burnish.records.encoding import FloatArray

_REPEATED_WORDS = 4
# A shorter piece of the prompt is often simply the answer. Source: LOG.md 2026-11-23: the 68 of 1,701 references of
# mts_dialog that stand in their own input, word by word, have at most 7 words.
COPIED_WORDS = 8


def lengths(written: Written) -> FloatArray:
    """Characters of the text and of the reference nearest in length: shape (R, 2); no reference has none."""
    pairs = [
        (len(text), min(map(len, references), key=lambda n: (abs(n - len(text)), n), default=0))
        for text, references in zip(written.texts, written.references, strict=True)
    ]
    return np.array(pairs, dtype=np.float64)


def length_ratio(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """Characters written for each character of the references: (..., 2), (...) to (...); 1 where both are none."""
    said, true = sums_S[..., 0], sums_S[..., 1]
    return np.where(said + true > 0, said / np.maximum(true, 1), 1.0)


def empty(written: Written) -> FloatArray:
    """Nothing written though there is an answer, and whether there is one: shape (R, 2)."""
    silent_R = np.array([not text.strip() for text in written.texts])
    there_R = written.answerable_R
    return np.stack([silent_R & there_R, there_R], axis=1).astype(np.float64)


def of_those(sums_S: FloatArray, rows: FloatArray) -> FloatArray:
    """The first sum as a share of the second: (..., 2), (...) to (...); 0 where the second is 0."""
    return sums_S[..., 0] / np.maximum(sums_S[..., 1], 1)


def unfinished(written: Written) -> FloatArray:
    """1 where the limit of new tokens ended the text: shape (R, 1)."""
    return (~written.finished_R).astype(np.float64)[:, None]


def repeated(written: Written) -> FloatArray:
    """Each row's share of four-word runs that it has said before: shape (R, 1).

    Source: Welleck et al. (2020), "Neural Text Generation with Unlikelihood Training" (seq-rep-4).
    """
    return np.array([repetition(text) for text in written.texts])[:, None]


def repetition(text: str) -> float:
    """1 - different / all runs of four words; 0 for a text of fewer words.

    Example:
        >>> repetition("one two three four " * 3), repetition("I see")
        (0.5555555555555556, 0.0)
    """
    said = words(text)
    runs = list(zip(*(said[start:] for start in range(_REPEATED_WORDS)), strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def copied(written: Written) -> FloatArray:
    """1 where the text is the prompt, or a piece of at least 8 words of it: shape (R, 1)."""
    pairs = zip(written.texts, written.prompts, strict=True)
    return np.array([float(is_copy(text, of=prompt)) for text, prompt in pairs])[:, None]


def is_copy(text: str, *, of: str) -> bool:
    """Whether the words of the text are the prompt's, in one piece and in their order; a short piece is no copy.

    Example:
        >>> is_copy("Summarise: a cat", of="summarise: a cat"), is_copy("a cat", of="summarise: a cat")
        (True, False)
    """
    said, asked = _told(text), _told(of)
    if not said.strip():
        return False
    return said == asked or (said.count(" ") > COPIED_WORDS and said in asked)


def _told(text: str) -> str:
    return f" {' '.join(words(text.casefold()))} "
